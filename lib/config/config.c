#include "config/config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

/* --- one value --- */

static char plain_letter(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '_' ? '-' : c;
}

static bool same_name(const char *a, const char *b)
{
    while (*a && plain_letter(*a) == plain_letter(*b)) {
        a++;
        b++;
    }
    return plain_letter(*a) == plain_letter(*b);
}

static const struct config_key *find(const struct config_key *keys, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (same_name(keys[i].name, name))
            return &keys[i];
    return NULL;
}

static void *field(const struct config_key *key, void *settings)
{
    return (char *)settings + key->offset;
}

static const void *const_field(const struct config_key *key, const void *settings)
{
    return (const char *)settings + key->offset;
}

static enum err set_text(char out[CONFIG_TEXT_SIZE], const struct config_key *key,
                         const char *value, struct errmsg *msg)
{
    size_t length = strlen(value);
    if (length >= CONFIG_TEXT_SIZE)
        return err_say(msg, ERR_TOO_LARGE, "%s is longer than %d bytes", key->name,
                       CONFIG_TEXT_SIZE - 1);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
            return err_say(msg, ERR_FORMAT, "%s holds a control character", key->name);
    memcpy(out, value, length + 1);
    return ERR_OK;
}

static enum err set_list(struct config_list *list, const struct config_key *key, const char *value,
                         struct errmsg *msg)
{
    if (list->count == CONFIG_LIST_MAX)
        return err_say(msg, ERR_TOO_LARGE, "%s may be given %d times at most", key->name,
                       CONFIG_LIST_MAX);
    enum err e = set_text(list->items[list->count], key, value, msg);
    if (e == ERR_OK)
        list->count++;
    return e;
}

static enum err set_number(uint64_t *out, const struct config_key *key, const char *value,
                           struct errmsg *msg)
{
    enum err e;
    const char *like;
    if (key->type == CONFIG_TYPE_SIZE) {
        e = text_parse_size(value, out);
        like = "a size such as 500G or 10MiB";
    } else if (key->type == CONFIG_TYPE_DURATION) {
        e = text_parse_duration_ms(value, out);
        like = "a time such as 90s, 4h or 30d";
    } else {
        e = text_parse_u64(value, UINT64_MAX, out);
        like = "a whole number";
    }
    if (e != ERR_OK)
        return err_say(msg, ERR_FORMAT, "%s must be %s, not \"%.80s\"", key->name, like, value);
    if (*out >= key->min && *out <= key->max)
        return ERR_OK;
    if (key->max == UINT64_MAX)
        return err_say(msg, ERR_FORMAT, "%s must be at least %" PRIu64 "%s, not \"%.80s\"",
                       key->name, key->min,
                       key->type == CONFIG_TYPE_SIZE       ? " bytes"
                       : key->type == CONFIG_TYPE_DURATION ? " ms"
                                                           : "",
                       value);
    return err_say(msg, ERR_FORMAT,
                   "%s must be between %" PRIu64 " and %" PRIu64 "%s, not \"%.80s\"", key->name,
                   key->min, key->max,
                   key->type == CONFIG_TYPE_SIZE       ? " bytes"
                   : key->type == CONFIG_TYPE_DURATION ? " ms"
                                                       : "",
                   value);
}

static enum err set_bool(bool *out, const struct config_key *key, const char *value,
                         struct errmsg *msg)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (same_name(words[i], value)) {
            *out = i % 2;
            return ERR_OK;
        }
    }
    return err_say(msg, ERR_FORMAT, "%s must be yes or no, not \"%.80s\"", key->name, value);
}

static enum err set_choice(unsigned *out, const struct config_key *key, const char *value,
                           struct errmsg *msg)
{
    unsigned position = 0;
    size_t length = strlen(value);
    for (const char *at = key->choices;; position++) {
        const char *end = strchrnul(at, '|');
        if ((size_t)(end - at) == length && memcmp(at, value, length) == 0) {
            *out = position;
            return ERR_OK;
        }
        if (!*end)
            return err_say(msg, ERR_FORMAT, "%s must be one of %s, not \"%.80s\"", key->name,
                           key->choices, value);
        at = end + 1;
    }
}

static enum err set_key(const struct config_key *key, void *settings, const char *value,
                        struct errmsg *msg)
{
    void *out = field(key, settings);
    switch (key->type) {
    case CONFIG_TYPE_TEXT:
        return set_text(out, key, value, msg);
    case CONFIG_TYPE_LIST:
        return set_list(out, key, value, msg);
    case CONFIG_TYPE_NUMBER:
    case CONFIG_TYPE_SIZE:
    case CONFIG_TYPE_DURATION: {
        uint64_t number = 0;
        enum err e = set_number(&number, key, value, msg);
        if (e == ERR_OK)
            *(uint64_t *)out = number;
        return e;
    }
    case CONFIG_TYPE_BOOL:
        return set_bool(out, key, value, msg);
    case CONFIG_TYPE_CHOICE:
        return set_choice(out, key, value, msg);
    }
    return ERR_USAGE;
}

static void set_default(const struct config_key *key, void *settings)
{
    void *out = field(key, settings);
    switch (key->type) {
    case CONFIG_TYPE_TEXT:
        *(char *)out = '\0';
        break;
    case CONFIG_TYPE_LIST:
        memset(out, 0, sizeof(struct config_list));
        break;
    case CONFIG_TYPE_NUMBER:
    case CONFIG_TYPE_SIZE:
    case CONFIG_TYPE_DURATION:
        *(uint64_t *)out = 0;
        break;
    case CONFIG_TYPE_BOOL:
        *(bool *)out = false;
        break;
    case CONFIG_TYPE_CHOICE:
        *(unsigned *)out = 0;
        break;
    }
    if (!key->fallback)
        return;
    enum err e = set_key(key, settings, key->fallback, NULL);
    assert(e == ERR_OK);
    (void)e;
}

void config_defaults(const struct config_key *keys, size_t count, void *settings)
{
    for (size_t i = 0; i < count; i++)
        set_default(&keys[i], settings);
}

enum err config_set(const struct config_key *keys, size_t count, void *settings, const char *name,
                    const char *value, struct errmsg *msg)
{
    const struct config_key *key = find(keys, count, name);
    if (!key)
        return err_say(msg, ERR_NOT_FOUND, "there is no setting \"%.80s\"", name);
    return set_key(key, settings, value, msg);
}

enum err config_clear(const struct config_key *keys, size_t count, void *settings, const char *name)
{
    const struct config_key *key = find(keys, count, name);
    if (!key)
        return ERR_NOT_FOUND;
    set_default(key, settings);
    return ERR_OK;
}

/* --- a file --- */

struct reading {
    struct slice text;
    size_t at;
    unsigned line;
    const char *from;
    const struct config_key *keys;
    size_t count;
    void *settings;
    const struct log *log;
    struct errmsg *msg;
    enum err error; /* the first one; its sentence is in msg */
};

static void fail(struct reading *r, enum err e)
{
    r->error = e;
    (void)err_wrap(r->msg, e, "%s, line %u", r->from, r->line);
}

/* fgets() over the text, without leading blanks (which mean "goes on" to the parser). What the
   parser would pass over or cut in silence is an error here. */
static char *next_line(char *out, int size, void *user)
{
    struct reading *r = user;
    if (r->error != ERR_OK || r->at == r->text.size)
        return NULL;
    r->line++;
    const char *start = (const char *)r->text.data + r->at;
    const char *end = memchr(start, '\n', r->text.size - r->at);
    size_t length = end ? (size_t)(end - start) : r->text.size - r->at;
    r->at += length + (end ? 1 : 0);
    while (length > 0 && (*start == ' ' || *start == '\t')) {
        start++;
        length--;
    }
    enum err e = ERR_OK;
    if (length + 2 > (size_t)size)
        e = err_say(r->msg, ERR_TOO_LARGE, "the line is longer than %d bytes", size - 2);
    else if (memchr(start, '\0', length))
        e = err_say(r->msg, ERR_FORMAT, "there is a NUL byte; this is no text file");
    else if (length > 0 && *start == '[')
        e = err_say(r->msg, ERR_FORMAT, "sections are not known here; remove this line");
    if (e != ERR_OK) {
        fail(r, e);
        return NULL;
    }
    memcpy(out, start, length);
    out[length] = '\n';
    out[length + 1] = '\0';
    return out;
}

static int take_key(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;
    (void)section;
    const struct config_key *key = find(r->keys, r->count, name);
    if (!key) {
        log_say(r->log, LOG_WARN, "%s, line %u: there is no setting \"%.80s\"; it is passed over",
                r->from, r->line, name);
        return 1;
    }
    enum err e = set_key(key, r->settings, value, r->msg);
    if (e != ERR_OK)
        fail(r, e);
    return e == ERR_OK;
}

enum err config_read_text(struct slice text, const char *from, const struct config_key *keys,
                          size_t count, void *settings, const struct log *log, struct errmsg *msg)
{
    struct reading r = {.text = text,
                        .from = from,
                        .keys = keys,
                        .count = count,
                        .settings = settings,
                        .log = log,
                        .msg = msg};
    if (text.size > CONFIG_FILE_BYTES_MAX)
        return err_say(msg, ERR_TOO_LARGE, "%s is larger than %d bytes; this is no settings file",
                       from, CONFIG_FILE_BYTES_MAX);
    for (size_t i = 0; i < count; i++) /* what a file says of a list replaces the list */
        if (keys[i].type == CONFIG_TYPE_LIST)
            set_default(&keys[i], settings);
    int result = ini_parse_stream(next_line, &r, take_key, &r);
    if (r.error != ERR_OK)
        return r.error;
    if (result < 0)
        return err_say(msg, ERR_NOMEM, "cannot read %s: out of memory", from);
    if (result > 0)
        return err_say(msg, ERR_FORMAT, "%s, line %d: not of the form \"key = value\"", from,
                       result);
    return ERR_OK;
}

enum err config_read_file(const char *path, const struct config_key *keys, size_t count,
                          void *settings, const struct log *log, struct errmsg *msg)
{
    char *text = malloc(CONFIG_FILE_BYTES_MAX + 1);
    if (!text)
        return err_say(msg, ERR_NOMEM, "cannot read %s: out of memory", path);
    enum err e = ERR_OK;
    size_t size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        e = err_say_errno(msg, errno, "cannot read the settings in %s", path);
        goto free_text;
    }
    while (size <= CONFIG_FILE_BYTES_MAX) {
        ssize_t got = read(fd, text + size, CONFIG_FILE_BYTES_MAX + 1 - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            e = err_say_errno(msg, errno, "cannot read the settings in %s", path);
        if (got <= 0)
            break;
        size += (size_t)got;
    }
    if (e == ERR_OK)
        e = config_read_text(slice_of(text, size), path, keys, count, settings, log, msg);
    (void)close(fd);
free_text:
    free(text);
    return e;
}

/* --- writing --- */

static enum err write_number(const struct config_key *key, uint64_t value, struct buf *out)
{
    static const struct {
        uint64_t unit;
        const char *letter;
    } sizes[] = {{UINT64_C(1) << 40, "T"}, {1 << 30, "G"}, {1 << 20, "M"}, {1 << 10, "K"}},
      times[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    if (key->type == CONFIG_TYPE_SIZE)
        for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
            if (value && value % sizes[i].unit == 0)
                return buf_append_format(out, "%" PRIu64 "%s", value / sizes[i].unit,
                                         sizes[i].letter);
    if (key->type == CONFIG_TYPE_DURATION)
        for (size_t i = 0; i < ARRAY_COUNT(times); i++)
            if (value && value % times[i].unit == 0)
                return buf_append_format(out, "%" PRIu64 "%s", value / times[i].unit,
                                         times[i].letter);
    return buf_append_format(out, "%" PRIu64, value);
}

static enum err write_choice(const struct config_key *key, unsigned position, struct buf *out)
{
    const char *at = key->choices;
    for (; position > 0; position--)
        at = strchrnul(at, '|') + 1;
    return buf_append(out, at, (size_t)(strchrnul(at, '|') - at));
}

static enum err write_value(const struct config_key *key, const void *settings, struct buf *out)
{
    const void *value = const_field(key, settings);
    switch (key->type) {
    case CONFIG_TYPE_TEXT:
        return buf_append_text(out, value);
    case CONFIG_TYPE_NUMBER:
    case CONFIG_TYPE_SIZE:
    case CONFIG_TYPE_DURATION:
        return write_number(key, *(const uint64_t *)value, out);
    case CONFIG_TYPE_BOOL:
        return buf_append_text(out, *(const bool *)value ? "yes" : "no");
    case CONFIG_TYPE_CHOICE:
        return write_choice(key, *(const unsigned *)value, out);
    case CONFIG_TYPE_LIST:
        break;
    }
    return ERR_OK;
}

static enum err write_list(const struct config_key *key, const struct config_list *list,
                           struct buf *out)
{
    if (list->count == 0)
        return buf_append_format(out, "# %s =\n", key->name);
    enum err e = ERR_OK;
    for (size_t i = 0; i < list->count && e == ERR_OK; i++)
        e = buf_append_format(out, "%s = %s\n", key->name, list->items[i]);
    return e;
}

static enum err write_line(const struct config_key *key, const void *settings, struct buf *out)
{
    struct buf value = BUF_INIT(2 * CONFIG_TEXT_SIZE), other = BUF_INIT(2 * CONFIG_TEXT_SIZE);
    uint64_t scratch[CONFIG_TEXT_SIZE / sizeof(uint64_t)]; /* the default, where a field would be */
    struct config_key moved = *key;
    moved.offset = 0;
    set_default(&moved, scratch);
    enum err e = write_value(key, settings, &value);
    if (e == ERR_OK)
        e = write_value(&moved, scratch, &other);
    bool is_default = slice_equal(buf_slice(&value), buf_slice(&other));
    if (e == ERR_OK)
        e = buf_append_format(out, "%s%s = ", is_default ? "# " : "", key->name);
    if (e == ERR_OK)
        e = buf_append(out, value.data, value.size);
    if (e == ERR_OK)
        e = buf_append_u8(out, '\n');
    buf_free(&other);
    buf_free(&value);
    return e;
}

enum err config_write_text(const struct config_key *keys, size_t count, const void *settings,
                           struct buf *out)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        e = buf_append_format(out, "%s# %s\n", i ? "\n" : "", keys[i].help ? keys[i].help : "");
        if (e == ERR_OK)
            e = keys[i].type == CONFIG_TYPE_LIST
                    ? write_list(&keys[i], const_field(&keys[i], settings), out)
                    : write_line(&keys[i], settings, out);
    }
    return e;
}

enum err config_write_file(const char *path, unsigned mode, const struct config_key *keys,
                           size_t count, const void *settings, struct errmsg *msg)
{
    struct buf text = BUF_INIT(CONFIG_FILE_BYTES_MAX);
    enum err e = config_write_text(keys, count, settings, &text);
    if (e == ERR_OK)
        e = file_write(path, mode, buf_slice(&text), msg);
    else
        (void)err_say(msg, e, "%s", err_words(e));
    buf_free(&text);
    return e == ERR_OK ? e : err_wrap(msg, e, "cannot write the settings to %s", path);
}
