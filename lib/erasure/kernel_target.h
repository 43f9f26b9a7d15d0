/*
 * KERNEL_TARGET("avx2") at the top of a kernel, after its includes: what follows is compiled for
 * that instruction set, whatever the rest of the library is compiled for. KERNEL_TARGET_END closes
 * it.
 */
#pragma once

#define KERNEL_PRAGMA(text) _Pragma(#text)
#ifdef __clang__
#define KERNEL_TARGET(isa) \
    KERNEL_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define KERNEL_TARGET_END KERNEL_PRAGMA(clang attribute pop)
#else
#define KERNEL_TARGET(isa) KERNEL_PRAGMA(GCC push_options) KERNEL_PRAGMA(GCC target(isa))
#define KERNEL_TARGET_END  KERNEL_PRAGMA(GCC pop_options)
#endif

/* KERNEL_UNROLL before a short loop of constant length: gcc leaves loops alone at -O2. */
#ifdef __clang__
#define KERNEL_UNROLL _Pragma("unroll")
#else
#define KERNEL_UNROLL _Pragma("GCC unroll 16")
#endif
