/*
 * What a backup leaves out: patterns as restic has them.
 *
 *     *.o            matches at any depth, against the last names of a path
 *     cache/tmp      any depth, two names in a row
 *     /home/x/tmp    from the file system's root
 *     a / ** / b     (without blanks) ** stands for any number of names, also none
 *     !keep.o        takes back an earlier match; the last pattern that matches decides
 *
 * Within a name: '*' any run, '?' one byte, '[a-z]' and '[^a-z]' a set, '\' makes the next byte
 * plain. A directory that is left out is not entered. Matching is on bytes and takes time
 * proportional to pattern times path. A list is read-only once built, hence thread-safe.
 */
#pragma once

#include "base/buf.h"

struct fs_exclude; /* a list of patterns */

enum { FS_EXCLUDE_PATTERN_MAX = 4096, FS_EXCLUDE_COUNT_MAX = 65536 };

MUST_CHECK enum err fs_exclude_new(struct fs_exclude **out);
void fs_exclude_free(struct fs_exclude *list);

/* ERR_FORMAT for an empty pattern or an unfinished set; TOO_LARGE. `ignore_case`: ASCII letters. */
MUST_CHECK enum err fs_exclude_add(struct fs_exclude *list, const char *pattern, bool ignore_case,
                                   struct errmsg *msg);

/* One pattern a line; blank lines and those that start with '#' do not count; "$VAR" and "${VAR}"
   are not expanded. A "~/" at a line's start is the home directory. */
MUST_CHECK enum err fs_exclude_add_file(struct fs_exclude *list, const char *path, bool ignore_case,
                                        struct errmsg *msg);

bool fs_exclude_empty(const struct fs_exclude *list); /* NULL is empty */

/* `path` is absolute ("/home/x"). NULL matches nothing. */
bool fs_exclude_matches(const struct fs_exclude *list, struct slice path);

/* For --include: whether something below `path` could match, so that it must be entered. */
bool fs_exclude_may_match_below(const struct fs_exclude *list, struct slice path);
