#include "harness/temp_dir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

void temp_dir_make(char out_path[TEMP_DIR_SIZE])
{
    const char *base = getenv("TMPDIR");
    int size =
        snprintf(out_path, TEMP_DIR_SIZE, "%s/cellar-test-XXXXXX", base && *base ? base : "/tmp");
    if (size < 0 || size >= TEMP_DIR_SIZE || !mkdtemp(out_path)) {
        perror("temp_dir_make");
        abort();
    }
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status, (void)kind, (void)where;
    return remove(path);
}

void temp_dir_remove(const char *path)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        perror(path);
}
