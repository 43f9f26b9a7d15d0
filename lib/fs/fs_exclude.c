#include "fs/fs_exclude.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A name's pattern in pieces; characters are Unicode's, or NOT_UTF8 + byte. */
enum piece_kind { PIECE_PLAIN, PIECE_ANY, PIECE_RUN, PIECE_SET, PIECE_NOT_SET };

struct piece {
    uint32_t kind;
    uint32_t rune; /* PLAIN; else the number of ranges that follow as RANGE pieces of a set */
};

/* In a set's array each range is one piece: kind = lowest, rune = highest. */

enum { NOT_UTF8 = 0x110000 };

struct name_pattern {
    struct piece *pieces; /* borrowed from the pattern */
    size_t piece_count;
    char *plain; /* borrowed; the name itself when it has no wildcard, else NULL */
    size_t plain_size;
    bool any_depth; /* "**" */
};

struct pattern {
    bool negated, absolute, ignore_case;
    struct name_pattern *names; /* owned */
    size_t name_count;
    struct piece *pieces; /* owned */
    char *text;           /* owned: plain names */
};

struct fs_exclude {
    struct pattern *patterns; /* owned */
    size_t count, capacity;
};

static uint32_t lower(uint32_t rune)
{
    return rune >= 'A' && rune <= 'Z' ? rune - 'A' + 'a' : rune;
}

/* The next character at `*at`, which moves on. */
static uint32_t next_rune(const uint8_t *data, size_t size, size_t *at)
{
    uint8_t first = data[*at];
    if (first < 0x80) {
        ++*at;
        return first;
    }
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    bool good = first >= 0xc2 && first <= 0xf4 && *at + length <= size;
    uint32_t rune = first & (0xffu >> (length + 1));
    for (size_t i = 1; good && i < length; i++) {
        good = (data[*at + i] & 0xc0) == 0x80;
        rune = rune << 6 | (data[*at + i] & 0x3f);
    }
    if (!good || rune > 0x10ffff) {
        ++*at;
        return NOT_UTF8 + first;
    }
    *at += length;
    return rune;
}

/* --- building --- */

enum err fs_exclude_new(struct fs_exclude **out)
{
    *out = calloc(1, sizeof(**out));
    return *out ? ERR_OK : ERR_NOMEM;
}

static void pattern_free(struct pattern *pattern)
{
    free(pattern->names);
    free(pattern->pieces);
    free(pattern->text);
}

void fs_exclude_free(struct fs_exclude *list)
{
    if (!list)
        return;
    for (size_t i = 0; i < list->count; i++)
        pattern_free(&list->patterns[i]);
    free(list->patterns);
    free(list);
}

bool fs_exclude_empty(const struct fs_exclude *list)
{
    return !list || list->count == 0;
}

/* One character of a set or name, perhaps behind a '\'. */
static enum err take_rune(const uint8_t *name, size_t size, size_t *at, bool ignore_case,
                          uint32_t *out)
{
    if (*at < size && name[*at] == '\\')
        ++*at;
    if (*at >= size)
        return ERR_FORMAT;
    *out = next_rune(name, size, at);
    if (ignore_case)
        *out = lower(*out);
    return ERR_OK;
}

/* `*at` stands behind the '['. */
static enum err parse_set(const uint8_t *name, size_t size, size_t *at, bool ignore_case,
                          struct piece *pieces, size_t *used)
{
    struct piece *set = &pieces[(*used)++];
    set->kind = PIECE_SET;
    set->rune = 0;
    if (*at < size && name[*at] == '^') {
        set->kind = PIECE_NOT_SET;
        ++*at;
    }
    /* a ']' that comes first is refused, not taken as plain: as restic's matcher has it */
    while (*at < size && name[*at] != ']') {
        struct piece *range = &pieces[*used];
        enum err e = take_rune(name, size, at, ignore_case, &range->kind);
        range->rune = range->kind;
        if (e == ERR_OK && *at < size && name[*at] == '-') {
            ++*at;
            if (*at < size && name[*at] == ']')
                return ERR_FORMAT;
            e = take_rune(name, size, at, ignore_case, &range->rune);
        }
        if (e != ERR_OK)
            return e;
        ++*used;
        set->rune++;
    }
    if (*at >= size || set->rune == 0)
        return ERR_FORMAT;
    ++*at; /* the ']' */
    return ERR_OK;
}

/* The pattern of one name; `text` has room for it. */
static enum err parse_name(const uint8_t *name, size_t size, bool ignore_case,
                           struct name_pattern *out, struct piece *pieces, size_t *used, char *text,
                           size_t *text_used)
{
    *out = (struct name_pattern){.pieces = pieces + *used, .plain = text + *text_used};
    out->any_depth = size == 2 && name[0] == '*' && name[1] == '*';
    size_t first = *used;
    bool plain = true, behind_run = false;
    for (size_t at = 0; at < size;) {
        struct piece *piece = &pieces[*used];
        enum err e = ERR_OK;
        uint8_t byte = name[at];
        bool again = behind_run && byte == '*';
        behind_run = byte == '*';
        if (byte == '*') {
            at++;
            plain = false;
            if (again)
                continue;
            *piece = (struct piece){.kind = PIECE_RUN};
            ++*used;
        } else if (byte == '?') {
            at++;
            plain = false;
            *piece = (struct piece){.kind = PIECE_ANY};
            ++*used;
        } else if (byte == '[') {
            at++;
            plain = false;
            e = parse_set(name, size, &at, ignore_case, pieces, used);
        } else {
            size_t start = byte == '\\' ? at + 1 : at;
            piece->kind = PIECE_PLAIN;
            e = take_rune(name, size, &at, ignore_case, &piece->rune);
            ++*used;
            if (e == ERR_OK) {
                memcpy(text + *text_used, name + start, at - start);
                *text_used += at - start;
            }
        }
        if (e != ERR_OK)
            return e;
    }
    out->piece_count = *used - first;
    out->plain_size = (size_t)(text + *text_used - out->plain);
    if (!plain || ignore_case)
        out->plain = NULL;
    return ERR_OK;
}

static enum err parse(const char *given, bool ignore_case, struct pattern *out)
{
    const uint8_t *text = (const uint8_t *)given;
    size_t size = strlen(given), used = 0, text_used = 0;
    enum err e = ERR_OK;
    *out = (struct pattern){.ignore_case = ignore_case};
    if (size > 0 && text[0] == '!') {
        out->negated = true;
        text++;
        size--;
    }
    if (size == 0)
        return ERR_FORMAT;
    out->absolute = text[0] == '/';
    out->names = calloc(size / 2 + 1, sizeof(*out->names));
    out->pieces = calloc(size + 1, sizeof(*out->pieces));
    out->text = malloc(size);
    if (!out->names || !out->pieces || !out->text)
        return ERR_NOMEM;
    for (size_t at = 0; at < size && e == ERR_OK;) {
        size_t end = at;
        while (end < size && text[end] != '/')
            end++;
        if (end > at && !(end == at + 1 && text[at] == '.'))
            e = parse_name(text + at, end - at, ignore_case, &out->names[out->name_count++],
                           out->pieces, &used, out->text, &text_used);
        at = end + 1;
    }
    return e == ERR_OK && out->name_count == 0 && !out->absolute ? ERR_FORMAT : e;
}

enum err fs_exclude_add(struct fs_exclude *list, const char *pattern, bool ignore_case,
                        struct errmsg *msg)
{
    if (strlen(pattern) > FS_EXCLUDE_PATTERN_MAX)
        return err_say(msg, ERR_TOO_LARGE, "the pattern \"%.40s...\" is longer than %d bytes",
                       pattern, FS_EXCLUDE_PATTERN_MAX);
    if (list->count == FS_EXCLUDE_COUNT_MAX)
        return err_say(msg, ERR_TOO_LARGE, "there are more than %d patterns", FS_EXCLUDE_COUNT_MAX);
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 16;
        struct pattern *patterns = reallocarray(list->patterns, capacity, sizeof(*patterns));
        if (!patterns)
            return ERR_NOMEM;
        list->patterns = patterns;
        list->capacity = capacity;
    }
    struct pattern *added = &list->patterns[list->count];
    enum err e = parse(pattern, ignore_case, added);
    if (e == ERR_OK) {
        list->count++;
        return ERR_OK;
    }
    pattern_free(added);
    if (e == ERR_FORMAT)
        return err_say(msg, e,
                       "the pattern \"%s\" is empty, or has a '[' without its ']', or nothing "
                       "behind a '\\'",
                       pattern);
    return e;
}

/* Blanks at both ends do not count; one behind a '\' does. */
static char *trim(char *line)
{
    line += strspn(line, " \t");
    size_t size = strlen(line);
    while (size > 0 && strchr(" \t\r\n", line[size - 1]) &&
           !(size > 1 && line[size - 2] == '\\' && line[size - 1] == ' '))
        size--;
    line[size] = 0;
    return line;
}

static enum err add_line(struct fs_exclude *list, char *line, bool ignore_case, struct errmsg *msg)
{
    const char *home = getenv("HOME"), *pattern = trim(line);
    if (*pattern == 0 || *pattern == '#')
        return ERR_OK;
    bool negated = *pattern == '!';
    if (strncmp(pattern + negated, "~/", 2) != 0 || !home || home[0] != '/')
        return fs_exclude_add(list, pattern, ignore_case, msg);
    char whole[FS_EXCLUDE_PATTERN_MAX + 2];
    (void)snprintf(whole, sizeof(whole), "%s%s%s", negated ? "!" : "", home, pattern + negated + 1);
    return fs_exclude_add(list, whole, ignore_case, msg);
}

enum err fs_exclude_add_file(struct fs_exclude *list, const char *path, bool ignore_case,
                             struct errmsg *msg)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return err_say_errno(msg, errno, "cannot read the patterns in %s", path);
    char *line = NULL;
    size_t capacity = 0, number = 0;
    enum err e = ERR_OK;
    while (e == ERR_OK && getline(&line, &capacity, file) >= 0) {
        number++;
        e = add_line(list, line, ignore_case, msg);
    }
    if (e != ERR_OK)
        e = err_wrap(msg, e, "%s, line %zu", path, number);
    else if (ferror(file))
        e = err_say_errno(msg, errno, "cannot read the patterns in %s", path);
    free(line);
    (void)fclose(file);
    return e;
}

/* --- matching --- */

static bool piece_fits(const struct piece *piece, uint32_t rune)
{
    if (piece->kind == PIECE_PLAIN)
        return piece->rune == rune;
    if (piece->kind == PIECE_ANY)
        return true;
    bool inside = false;
    for (uint32_t i = 1; i <= piece->rune && !inside; i++)
        inside = rune >= piece[i].kind && rune <= piece[i].rune;
    return inside == (piece->kind == PIECE_SET);
}

static size_t piece_step(const struct piece *piece)
{
    bool set = piece->kind == PIECE_SET || piece->kind == PIECE_NOT_SET;
    return set ? piece->rune + 1 : 1;
}

/* Only the latest '*' is ever tried again: what stands before it fits already, and an earlier fit
   leaves the most for the rest. */
static bool name_fits(const struct name_pattern *p, bool ignore_case, struct slice name)
{
    if (p->plain)
        return p->plain_size == name.size && memcmp(p->plain, name.data, name.size) == 0;
    const struct piece *pieces = p->pieces;
    size_t at = 0, on = 0, retry_at = 0, retry_on = SIZE_MAX;
    while (at < name.size) {
        if (on < p->piece_count && pieces[on].kind == PIECE_RUN) {
            retry_on = ++on;
            retry_at = at;
            if (on == p->piece_count)
                return true;
            continue;
        }
        size_t next = at;
        uint32_t rune = next_rune(name.data, name.size, &next);
        if (on < p->piece_count && piece_fits(&pieces[on], ignore_case ? lower(rune) : rune)) {
            at = next;
            on += piece_step(&pieces[on]);
        } else if (retry_on != SIZE_MAX) {
            (void)next_rune(name.data, name.size, &retry_at);
            at = retry_at;
            on = retry_on;
        } else {
            return false;
        }
    }
    while (on < p->piece_count && pieces[on].kind == PIECE_RUN)
        on++;
    return on == p->piece_count;
}

enum { NAMES_AT_HAND = 128 };

/* A path in its names. */
struct names {
    struct slice *at;
    size_t count;
    struct slice space[NAMES_AT_HAND];
};

/* false: out of memory. */
static bool split(struct slice path, struct names *out)
{
    size_t most = path.size / 2 + 1;
    out->at = most <= NAMES_AT_HAND ? out->space : NULL;
    if (!out->at) { /* long, but mostly not of one-letter names */
        most = 1;
        for (size_t i = 0; i < path.size; i++)
            most += path.data[i] == '/';
        out->at = most <= NAMES_AT_HAND ? out->space : calloc(most, sizeof(*out->at));
    }
    if (!out->at)
        return false;
    out->count = 0;
    for (size_t at = 0; at < path.size;) {
        const uint8_t *slash = memchr(path.data + at, '/', path.size - at);
        size_t end = slash ? (size_t)(slash - path.data) : path.size;
        if (end > at)
            out->at[out->count++] = slice_of(path.data + at, end - at);
        at = end + 1;
    }
    return true;
}

static void names_free(struct names *names)
{
    if (names->at != names->space)
        free(names->at);
}

/* The names from `first` up to the next "**" fit those of the path from `at` on. */
static bool row_fits(const struct pattern *p, size_t first, size_t end, const struct names *names,
                     size_t at)
{
    for (size_t i = first; i < end; i++)
        if (!name_fits(&p->names[i], p->ignore_case, names->at[at + i - first]))
            return false;
    return true;
}

/* Rows of names between "**", each at its first fit behind the one before. */
static bool pattern_matches(const struct pattern *p, const struct names *names)
{
    size_t at = 0;
    bool fixed = p->absolute;
    for (size_t first = 0; first < p->name_count;) {
        if (p->names[first].any_depth) {
            fixed = false;
            first++;
            continue;
        }
        size_t end = first;
        while (end < p->name_count && !p->names[end].any_depth)
            end++;
        size_t length = end - first;
        while (at + length <= names->count && !row_fits(p, first, end, names, at)) {
            if (fixed)
                return false;
            at++;
        }
        if (at + length > names->count)
            return false;
        at += length;
        first = end;
    }
    return true;
}

bool fs_exclude_matches(const struct fs_exclude *list, struct slice path)
{
    struct names names;
    if (fs_exclude_empty(list) || !split(path, &names))
        return false;
    bool matches = false;
    for (size_t i = list->count; i > 0; i--)
        if (pattern_matches(&list->patterns[i - 1], &names)) {
            matches = !list->patterns[i - 1].negated;
            break;
        }
    names_free(&names);
    return matches;
}

/* What is absolute leads below `path` when the two agree as far as both go. */
static bool leads_below(const struct pattern *p, const struct names *names)
{
    if (!p->absolute)
        return true;
    for (size_t i = 0; i < p->name_count && i < names->count; i++) {
        if (p->names[i].any_depth)
            return true;
        if (!name_fits(&p->names[i], p->ignore_case, names->at[i]))
            return false;
    }
    return true;
}

bool fs_exclude_may_match_below(const struct fs_exclude *list, struct slice path)
{
    struct names names;
    if (fs_exclude_empty(list))
        return false;
    if (!split(path, &names))
        return true;
    bool may = false;
    for (size_t i = 0; i < list->count && !may; i++)
        may = !list->patterns[i].negated && leads_below(&list->patterns[i], &names);
    names_free(&names);
    return may;
}
