#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/fs_internal.h"

/* One answer of the system's user database, found or not. */
struct known {
    struct known *next; /* of the same bucket */
    uint32_t number;
    bool found;
    char text[];
};

enum { BUCKETS = 256, LOOKUP_BYTES_MAX = 1 << 20 };

struct table {
    struct known *of_number[BUCKETS], *of_text[BUCKETS];
    struct known *last; /* neighbours mostly have the same owner */
};

struct fs_names {
    pthread_mutex_t lock;
    struct table tables[2];
};

enum err fs_names_new(struct fs_names **out)
{
    struct fs_names *names = calloc(1, sizeof(*names));
    if (!names)
        return ERR_NOMEM;
    pthread_mutex_init(&names->lock, NULL);
    *out = names;
    return ERR_OK;
}

static void free_chain(struct known *known)
{
    while (known) {
        struct known *next = known->next;
        free(known);
        known = next;
    }
}

void fs_names_free(struct fs_names *names)
{
    if (!names)
        return;
    for (size_t k = 0; k < 2; k++)
        for (size_t b = 0; b < BUCKETS; b++) {
            free_chain(names->tables[k].of_number[b]);
            free_chain(names->tables[k].of_text[b]);
        }
    pthread_mutex_destroy(&names->lock);
    free(names);
}

static struct known *new_known(const char *text, uint32_t number, bool found)
{
    size_t size = strlen(text) + 1;
    struct known *known = malloc(sizeof(*known) + size);
    if (known) {
        *known = (struct known){.number = number, .found = found};
        memcpy(known->text, text, size);
    }
    return known;
}

/* Asks the system, by number when `text` is NULL; the answer's text or number in a new struct, NULL
   when memory is out. Entries may be larger than the first buffer: a group lists its members. */
static struct known *ask(enum fs_names_kind kind, const char *text, uint32_t number)
{
    struct known *known = NULL;
    char *memory = NULL;
    for (size_t size = 2048; size <= LOOKUP_BYTES_MAX; size *= 2) {
        char *larger = realloc(memory, size);
        if (!larger)
            break;
        memory = larger;
        int problem;
        if (kind == FS_NAMES_USER) {
            struct passwd space, *found = NULL;
            problem = text ? getpwnam_r(text, &space, memory, size, &found)
                           : getpwuid_r(number, &space, memory, size, &found);
            if (problem != ERANGE)
                known = found ? new_known(text ? text : found->pw_name, found->pw_uid, true)
                              : new_known(text ? text : "", number, false);
        } else {
            struct group space, *found = NULL;
            problem = text ? getgrnam_r(text, &space, memory, size, &found)
                           : getgrgid_r(number, &space, memory, size, &found);
            if (problem != ERANGE)
                known = found ? new_known(text ? text : found->gr_name, found->gr_gid, true)
                              : new_known(text ? text : "", number, false);
        }
        if (problem != ERANGE)
            break;
    }
    free(memory);
    return known;
}

const char *fs_names_of(struct fs_names *names, enum fs_names_kind kind, uint32_t number)
{
    struct table *table = &names->tables[kind];
    struct known **bucket = &table->of_number[number % BUCKETS];
    pthread_mutex_lock(&names->lock);
    struct known *known = table->last;
    if (!known || known->number != number) {
        known = *bucket;
        while (known && known->number != number)
            known = known->next;
    }
    if (!known && (known = ask(kind, NULL, number))) {
        known->number = number;
        known->next = *bucket;
        *bucket = known;
    }
    table->last = known;
    pthread_mutex_unlock(&names->lock);
    return known ? known->text : "";
}

static size_t bucket_of(const char *text)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 16777619u;
    return hash % BUCKETS;
}

bool fs_names_find(struct fs_names *names, enum fs_names_kind kind, const char *text, uint32_t *out)
{
    if (!text || !*text)
        return false;
    struct known **bucket = &names->tables[kind].of_text[bucket_of(text)];
    pthread_mutex_lock(&names->lock);
    struct known *known = *bucket;
    while (known && strcmp(known->text, text) != 0)
        known = known->next;
    if (!known && (known = ask(kind, text, 0))) {
        known->next = *bucket;
        *bucket = known;
    }
    pthread_mutex_unlock(&names->lock);
    if (!known || !known->found)
        return false;
    *out = known->number;
    return true;
}
