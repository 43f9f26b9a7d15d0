/*
 * Memory for keys: locked (not swapped), between guard pages, wiped when freed. Costs some four
 * pages an allocation, so keep secrets together in one struct.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Zeroed memory of `size` bytes, owned by the caller, or NULL when there is none left. Where the
   process may lock no more (RLIMIT_MEMLOCK) the rest still holds. */
MUST_CHECK void *secret_new(size_t size);

/* Wipes and frees; nothing for NULL. */
void secret_free(void *secret);

/* Wipes memory that is somebody else's (a stack array); never optimised away. */
void secret_wipe(void *data, size_t size);

/* In constant time. */
MUST_CHECK bool secret_equal(const void *a, const void *b, size_t size);
