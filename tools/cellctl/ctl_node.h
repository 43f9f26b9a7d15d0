/*
 * How an entry of a snapshot is shown: restic's fields and columns, for ls and find.
 */
#pragma once

#include "browse/browse_walk.h"
#include "ctl_output.h"

/* Go's os.FileMode of an entry, which is what restic's JSON has as "mode". */
uint32_t ctl_node_mode(const struct browse_walk_entry *entry);
/* The same as text, restic's "permissions": "-rw-r--r--", "dtrwxrwxrwx", "Lrwxrwxrwx". */
enum { CTL_PERMISSIONS_SIZE = 24 };
const char *ctl_node_permissions(const struct browse_walk_entry *entry,
                                 char out[CTL_PERMISSIONS_SIZE]);

/* The last name of a path; "/" of the root. */
struct slice ctl_node_name(struct slice path);

/* The fields that both commands have. */
void ctl_node_json(struct json_line *line, const struct browse_walk_entry *entry);
/* A line of words: the path, or with `long_listing` modes, owners, size and time before it. */
void ctl_node_print(struct ctl_output *out, const struct browse_walk_entry *entry,
                    bool long_listing);
