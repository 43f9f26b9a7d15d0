/*
 * For LD_PRELOAD: makes something happen to a file at the very moment that it is opened or read.
 *
 *     MEDDLE_PATH     the file
 *     MEDDLE_AT       "open" (before an openat() of it that does not make it) or "read" (before a
 *                     pread() of it)
 *     MEDDLE_SKIP     how many of those pass before; default 0
 *     MEDDLE_TIMES    how often it happens; default 1
 *     MEDDLE_COMMAND  a shell command; it runs while the caller waits, and must not fail
 *     MEDDLE_COUNT    a file: at the end it gets how many bytes were read by pread() below
 * MEDDLE_PATH
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

typedef int openat_fn(int, const char *, int, ...);
typedef ssize_t pread_fn(int, void *, size_t, off_t);

static atomic_int seen;
static atomic_ullong counted;

static int number(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

static void meddle(const char *at, const char *path)
{
    const char *wanted = getenv("MEDDLE_PATH"), *when = getenv("MEDDLE_AT");
    const char *command = getenv("MEDDLE_COMMAND");
    if (!wanted || !when || !command || strcmp(when, at) != 0 || strcmp(wanted, path) != 0)
        return;
    const int count = atomic_fetch_add(&seen, 1) - number("MEDDLE_SKIP", 0);
    if (count < 0 || count >= number("MEDDLE_TIMES", 1))
        return;
    if (system(command) != 0)
        abort();
}

/* The path of what is open as `fd`, with `name` behind it when there is one. */
static void path_of(int fd, const char *name, char *out, size_t size)
{
    char link[64], folder[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t got = readlink(link, folder, sizeof(folder) - 1);
    folder[got < 0 ? 0 : got] = 0;
    snprintf(out, size, "%s%s%s", folder, name ? "/" : "", name ? name : "");
}

static int open_it(const char *symbol, int fd, const char *name, int flags, mode_t mode)
{
    char path[2 * PATH_MAX];
    openat_fn *real = (openat_fn *)dlsym(RTLD_NEXT, symbol);
    path_of(fd, name, path, sizeof(path));
    if (!(flags & (O_PATH | O_CREAT)))
        meddle("open", path);
    return real(fd, name, flags, mode);
}

int openat64(int fd, const char *name, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_it("openat64", fd, name, flags, mode);
}

/* What glibc makes of openat() under _FORTIFY_SOURCE. */
int __openat64_2(int fd, const char *name, int flags);
int __openat64_2(int fd, const char *name, int flags)
{
    return open_it("openat64", fd, name, flags, 0);
}

ssize_t pread64(int fd, void *out, size_t size, off_t offset)
{
    char path[2 * PATH_MAX];
    pread_fn *real = (pread_fn *)dlsym(RTLD_NEXT, "pread64");
    path_of(fd, NULL, path, sizeof(path));
    meddle("read", path);
    const ssize_t got = real(fd, out, size, offset);
    const char *below = getenv("MEDDLE_PATH");
    if (got > 0 && below && !strncmp(path, below, strlen(below)))
        atomic_fetch_add(&counted, (unsigned long long)got);
    return got;
}

__attribute__((destructor)) static void tell_count(void)
{
    const char *path = getenv("MEDDLE_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file)
        return;
    fprintf(file, "%llu\n", atomic_load(&counted));
    fclose(file);
}
