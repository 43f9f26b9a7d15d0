#include "mount/mount_names.h"

#include <stdio.h>
#include <time.h>

static int64_t floor_s(int64_t time_ns)
{
    const int64_t s = time_ns / 1000000000;
    return time_ns % 1000000000 < 0 ? s - 1 : s;
}

static void local_name(int64_t time_ns, char out[MOUNT_NAME_SIZE])
{
    const time_t s = (time_t)floor_s(time_ns);
    struct tm tm;
    if (!localtime_r(&s, &tm)) {
        snprintf(out, MOUNT_NAME_SIZE, "%lld", (long long)s);
        return;
    }
    size_t size = strftime(out, MOUNT_NAME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    const long minutes = tm.tm_gmtoff / 60;
    const long away = minutes < 0 ? -minutes : minutes;
    if (minutes == 0)
        snprintf(out + size, MOUNT_NAME_SIZE - size, "Z");
    else
        snprintf(out + size, MOUNT_NAME_SIZE - size, "%c%02ld:%02ld", minutes < 0 ? '-' : '+',
                 away / 60, away % 60);
}

void mount_names_local(const int64_t *times_ns, size_t count, struct mount_name *out)
{
    size_t same = 0;
    for (size_t i = 0; i < count; i++) {
        out[i].snapshot = i;
        local_name(times_ns[i], out[i].text);
        same = i > 0 && floor_s(times_ns[i]) == floor_s(times_ns[i - 1]) ? same + 1 : 0;
        const size_t size = strlen(out[i].text);
        if (same > 0)
            snprintf(out[i].text + size, MOUNT_NAME_SIZE - size, "-%zu", same);
    }
}

size_t mount_names_gmt(const int64_t *times_ns, size_t count, struct mount_name *out)
{
    size_t made = 0;
    for (size_t i = 0; i < count; i++) {
        const time_t s = (time_t)floor_s(times_ns[i]);
        struct tm tm;
        if (i + 1 < count && floor_s(times_ns[i + 1]) == floor_s(times_ns[i]))
            continue;
        if (!gmtime_r(&s, &tm))
            continue;
        strftime(out[made].text, MOUNT_NAME_SIZE, "@GMT-%Y.%m.%d-%H.%M.%S", &tm);
        out[made++].snapshot = i;
    }
    return made;
}

void mount_name_of(struct slice text, char *out)
{
    const size_t size = text.size < 255 ? text.size : 255;
    for (size_t i = 0; i < size; i++)
        out[i] = text.data[i] == '/' || text.data[i] == 0 ? '_' : (char)text.data[i];
    out[size] = 0;
    if (size == 0 || !strcmp(out, ".") || !strcmp(out, ".."))
        strcpy(out, "_");
}
