#include "harness/alloc_fault.h"

#include "harness/fault.h"

#include <errno.h>
#include <stddef.h>

/* the names are the linker's: see --wrap in ld(1) */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);

static struct fault fault = {.at = UINT64_MAX};

static bool fails(void)
{
    if (!fault_hit(&fault))
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return fails() ? NULL : __real_reallocarray(old, count, size);
}

void alloc_fault_arm(uint64_t at, bool for_good)
{
    fault = FAULT_INIT(at, for_good);
}

bool alloc_fault_disarm(void)
{
    fault.at = UINT64_MAX;
    return fault.failed > 0;
}

uint64_t alloc_fault_seen(void)
{
    return fault.seen;
}
