#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fs/fs_internal.h"

void fs_walk_roots_free(struct fs_walk_roots *roots)
{
    for (size_t i = 0; i < roots->count; i++)
        free(roots->paths[i]);
    free(roots->paths);
    *roots = (struct fs_walk_roots){0};
}

/* '/' sorts before every byte, so that what is below a path follows it at once. */
static int compare_paths(const void *left, const void *right)
{
    const unsigned char *a = *(unsigned char *const *)left, *b = *(unsigned char *const *)right;
    while (*a && *a == *b) {
        a++;
        b++;
    }
    unsigned x = *a == '/' ? 1 : *a ? *a + 1u : 0, y = *b == '/' ? 1 : *b ? *b + 1u : 0;
    return (x > y) - (x < y);
}

static bool below(const char *path, const char *root)
{
    size_t size = strlen(root);
    if (size == 1) /* "/" */
        return true;
    return strncmp(path, root, size) == 0 && (path[size] == 0 || path[size] == '/');
}

static char *join(const char *folder, const char *name)
{
    size_t folder_size = strlen(folder), name_size = strlen(name);
    if (folder_size == 1)
        folder_size = 0; /* "/" */
    char *path = malloc(folder_size + name_size + 2);
    if (path) {
        memcpy(path, folder, folder_size);
        path[folder_size] = '/';
        memcpy(path + folder_size + 1, name, name_size + 1);
    }
    return path;
}

/* The last name is kept as it is unless it is followed by a slash or no name at all; everything
   before it is followed. errno when NULL. */
static char *resolve(const char *given)
{
    const char *slash = strrchr(given, '/');
    const char *name = slash ? slash + 1 : given;
    if (*name == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return realpath(*given ? given : ".", NULL);
    char *folder = slash ? strndup(given, (size_t)(slash - given) + 1) : strdup(".");
    char *whole = folder ? realpath(folder, NULL) : NULL;
    char *path = whole ? join(whole, name) : NULL;
    free(whole);
    free(folder);
    return path;
}

enum err fs_walk_roots_resolve(const char *const *given, size_t count, struct fs_walk_roots *out,
                               struct errmsg *msg)
{
    *out = (struct fs_walk_roots){.paths = calloc(count ? count : 1, sizeof(*out->paths))};
    if (!out->paths)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        char *path = resolve(given[i]);
        if (!path || lstat(path, &st) != 0) {
            enum err e = err_say_errno(msg, errno, "cannot back up %s", given[i]);
            free(path);
            fs_walk_roots_free(out);
            return e;
        }
        out->paths[out->count++] = path;
    }
    qsort(out->paths, out->count, sizeof(*out->paths), compare_paths);
    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++) {
        if (kept > 0 && below(out->paths[i], out->paths[kept - 1]))
            free(out->paths[i]);
        else
            out->paths[kept++] = out->paths[i];
    }
    out->count = kept;
    return ERR_OK;
}
