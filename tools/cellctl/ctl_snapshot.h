/*
 * A snapshot as --json shows it, wherever it is shown: restic's fields.
 */
#pragma once

#include "vault/vault_snapshots.h"
#include "json/json_line.h"

/* Into the object that is open. */
void ctl_snapshot_json(struct json_line *line, const struct vault_snapshot *s);
void ctl_snapshot_texts(struct json_line *line, const char *key, const struct slice *texts,
                        size_t count);
