/* A directory of a test's own, on the real file system. */
#pragma once

#include <stddef.h>

enum { TEMP_DIR_SIZE = 96 };

/* Makes one below $TMPDIR (or /tmp) and writes its path; aborts when it cannot. */
void temp_dir_make(char out_path[TEMP_DIR_SIZE]);

/* Removes it with all that is in it; symbolic links are removed, not followed. */
void temp_dir_remove(const char *path);
