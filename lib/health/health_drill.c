#include "health/health_drill.h"

#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER(field_, name_, help_) \
    CONFIG_NUMBER(struct health_drill, field_, name_, NULL, 0, INT64_MAX, help_)

static const struct config_key keys[] = {
    NUMBER(time_s, "time", "when the last drill ended, in seconds since 1970"),
    CONFIG_BOOL(struct health_drill, passed, "passed", "no", "everything came back as it was"),
    NUMBER(sample_percent, "sample", "percent of the files that were restored"),
    NUMBER(files, "files", "restored"),
    NUMBER(bytes, "bytes", "restored"),
    NUMBER(compared, "compared", "files compared with those of this machine"),
    NUMBER(different, "different", "of them, with other bytes"),
    NUMBER(failed, "failed", "files that could not be restored"),
    NUMBER(problems, "problems", "pieces of the index that could not be had"),
    NUMBER(duration_ms, "duration-ms", "how long it took"),
};

static char *record_path(const char *dir)
{
    const size_t size = strlen(dir) + sizeof("/drill");
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/drill", dir);
    return path;
}

enum err health_drill_write(const char *dir, const struct health_drill *drill, struct errmsg *msg)
{
    char *path = record_path(dir);
    const enum err e =
        path ? config_write_file(path, 0600, keys, ARRAY_COUNT(keys), drill, msg) : ERR_NOMEM;
    free(path);
    return e;
}

enum err health_drill_read(const char *dir, struct health_drill *out, struct errmsg *msg)
{
    char *path = record_path(dir);
    config_defaults(keys, ARRAY_COUNT(keys), out);
    enum err e = path ? config_read_file(path, keys, ARRAY_COUNT(keys), out, NULL, msg) : ERR_NOMEM;
    free(path);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
