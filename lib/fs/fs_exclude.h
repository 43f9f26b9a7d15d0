/*
 * What a backup leaves out: patterns as restic has them.
 *
 *     *.o            a name, at any depth
 *     cache/tmp      any depth, two names in a row
 *     /home/x/tmp    from the file system's root
 *     a / ** / b     (without blanks) ** stands for any number of names, also none
 *     !keep.o        takes back an earlier match; the last pattern that matches decides
 *
 * A pattern matches a path when it matches the path itself or a directory above it: "/home/x"
 * matches "/home/x/y/z" too, so what lies below an included directory is included.
 *
 * Within a name: '*' any run, '?' one character (a byte that is not UTF-8 is one too), '[a-z]' and
 * '[^a-z]' a set, '\' makes the next character plain. A directory that is left out is not entered,
 * so nothing below it can be taken back. Time is proportional to pattern times path: '*' and '**'
 * take the first fit and never come back to an earlier one. A list is read-only once built, hence
 * thread-safe.
 */
#pragma once

#include "base/buf.h"

struct fs_exclude; /* a list of patterns */

enum { FS_EXCLUDE_PATTERN_MAX = 4096, FS_EXCLUDE_COUNT_MAX = 65536 };

MUST_CHECK enum err fs_exclude_new(struct fs_exclude **out);
void fs_exclude_free(struct fs_exclude *list);

/* ERR_FORMAT for an empty pattern, an unfinished set or a '\' with nothing behind it; TOO_LARGE.
   `ignore_case`: ASCII letters. A list keeps what it had when an addition fails. */
MUST_CHECK enum err fs_exclude_add(struct fs_exclude *list, const char *pattern, bool ignore_case,
                                   struct errmsg *msg);

/* One pattern a line; blanks around it, blank lines and those that start with '#' do not count;
   "$VAR" and "${VAR}" are not expanded. A "~/" at a line's start is the home directory ($HOME). The
   sentence names the line that is wrong. */
MUST_CHECK enum err fs_exclude_add_file(struct fs_exclude *list, const char *path, bool ignore_case,
                                        struct errmsg *msg);

bool fs_exclude_empty(const struct fs_exclude *list); /* NULL is empty */

/* `path` is absolute ("/home/x"). NULL matches nothing. */
bool fs_exclude_matches(const struct fs_exclude *list, struct slice path);

/* For --include: whether something below `path` could match, so that it must be entered. Patterns
   with '!' do not count. */
bool fs_exclude_may_match_below(const struct fs_exclude *list, struct slice path);
