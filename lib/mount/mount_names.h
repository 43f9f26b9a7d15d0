/*
 * What the directories above the snapshots are called. Pure.
 *
 *     2026-03-01T13:00:00+01:00     local time with its zone, as restic's mount has it; of several
 *                                   in one second the later ones get -1, -2, ...
 *     @GMT-2026.03.01-12.00.00      UTC: what Samba's shadow_copy2 looks for
 */
#pragma once

#include "base/bytes.h"

enum { MOUNT_NAME_SIZE = 64 };

struct mount_name {
    char text[MOUNT_NAME_SIZE];
    size_t snapshot; /* index in what was given */
};

/* `times_ns` oldest first; `out` holds `count` names, in the same order. */
void mount_names_local(const int64_t *times_ns, size_t count, struct mount_name *out);

/* One name a second, of the newest snapshot in it; returns how many. `out` holds `count`. */
size_t mount_names_gmt(const int64_t *times_ns, size_t count, struct mount_name *out);

/* A host's or tag's name as that of a directory: '/' and NUL become '_', and so do names that a
   directory cannot have (empty, ".", ".."). Cut at 255 bytes. `out` holds 256. */
void mount_name_of(struct slice text, char *out);
