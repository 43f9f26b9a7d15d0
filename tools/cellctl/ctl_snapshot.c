#include "ctl_snapshot.h"

#include <stdio.h>

void ctl_snapshot_texts(struct json_line *line, const char *key, const struct slice *texts,
                        size_t count)
{
    json_line_open_array(line, key);
    for (size_t i = 0; i < count; i++)
        json_line_path(line, NULL, texts[i]);
    json_line_close(line);
}

void ctl_snapshot_json(struct json_line *line, const struct vault_snapshot *s)
{
    char id[ID_TEXT_SIZE], short_id[11];
    snprintf(short_id, sizeof(short_id), "%.10s", id_format(&s->id, id));
    json_line_text(line, "id", id);
    json_line_text(line, "short_id", short_id);
    json_line_time(line, "time", s->snapshot.time_ns);
    json_line_bytes(line, "hostname", s->snapshot.host);
    json_line_bytes(line, "username", s->snapshot.user);
    json_line_u64(line, "uid", s->snapshot.uid);
    json_line_u64(line, "gid", s->snapshot.gid);
    json_line_bytes(line, "program_version", s->snapshot.program);
    if (!id_is_zero(&s->snapshot.parent))
        json_line_id(line, "parent", &s->snapshot.parent);
    if (s->snapshot.revision > 0)
        json_line_id(line, "original", &s->snapshot.original);
    ctl_snapshot_texts(line, "paths", s->snapshot.paths, s->snapshot.path_count);
    ctl_snapshot_texts(line, "tags", s->snapshot.tags, s->snapshot.tag_count);
    ctl_snapshot_texts(line, "excludes", s->snapshot.excludes, s->snapshot.exclude_count);
    json_line_u64(line, "total_files", s->snapshot.totals.files);
    json_line_u64(line, "total_bytes", s->snapshot.totals.bytes);
}
