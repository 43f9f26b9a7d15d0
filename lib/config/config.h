/*
 * Settings into a plain struct: a table of keys says where each goes, what it is, its default and
 * limits.
 *
 *     struct settings { char listen[CONFIG_TEXT_SIZE]; uint64_t give_bytes; uint64_t scrub_ms; };
 *     static const struct config_key keys[] = {
 *         CONFIG_TEXT(struct settings, listen, "listen", "0.0.0.0:7400", "address and port to serve
 * at"), CONFIG_SIZE(struct settings, give_bytes, "give", "0", MIB(1), UINT64_MAX, "disk to give"),
 *         CONFIG_DURATION(struct settings, scrub_ms, "scrub-period", "30d", 0, UINT64_MAX, "..."),
 *     };
 *     config_defaults(keys, ARRAY_COUNT(keys), &settings);
 *     config_read_file("DIR/settings.ini", keys, ..., &settings, &log, msg);   // then
 *     config_set(keys, ..., &settings, "give", flag_value, msg);               // flags win
 *
 * The file is INI: `key = value` lines, comments behind ';' or '#' at a line's start (or " ;"
 * within one), no sections (one is an error: a key in the wrong place should not be passed over). A
 * key that is not in the table is warned of, since an older program may read a newer file.
 * Underscores and capitals in keys do not matter. Sizes and durations are read as base/text.h does.
 */
#pragma once

#include "base/buf.h"
#include "base/log.h"

enum config_type {
    CONFIG_TYPE_TEXT,     /* char[CONFIG_TEXT_SIZE] */
    CONFIG_TYPE_LIST,     /* struct config_list: the key may come several times */
    CONFIG_TYPE_NUMBER,   /* uint64_t */
    CONFIG_TYPE_SIZE,     /* uint64_t, bytes */
    CONFIG_TYPE_DURATION, /* uint64_t, ms */
    CONFIG_TYPE_BOOL,     /* bool: yes/no, true/false, on/off, 1/0 */
    CONFIG_TYPE_CHOICE,   /* unsigned: position in "a|b|c" */
};

enum { CONFIG_TEXT_SIZE = 256, CONFIG_LIST_MAX = 16, CONFIG_FILE_BYTES_MAX = 65536 };

struct config_list {
    size_t count;
    char items[CONFIG_LIST_MAX][CONFIG_TEXT_SIZE];
};

struct config_key {
    const char *name;
    enum config_type type;
    size_t offset;        /* of the field in the struct */
    const char *fallback; /* as a person would write it; NULL: 0, "", an empty list */
    uint64_t min, max;    /* of numbers, sizes, durations in ms */
    const char *choices;  /* "a|b|c" */
    const char *help;     /* half a sentence, for the file's comments */
};

#define CONFIG_KEY(type_, struct_, field_, name_, fallback_, min_, max_, choices_, help_) \
    {                                                                                     \
        .name = (name_), .type = (type_), .offset = offsetof(struct_, field_),            \
        .fallback = (fallback_), .min = (min_), .max = (max_), .choices = (choices_),     \
        .help = (help_)                                                                   \
    }
#define CONFIG_TEXT(struct_, field_, name_, fallback_, help_) \
    CONFIG_KEY(CONFIG_TYPE_TEXT, struct_, field_, name_, fallback_, 0, 0, NULL, help_)
#define CONFIG_LIST(struct_, field_, name_, help_) \
    CONFIG_KEY(CONFIG_TYPE_LIST, struct_, field_, name_, NULL, 0, 0, NULL, help_)
#define CONFIG_NUMBER(struct_, field_, name_, fallback_, min_, max_, help_) \
    CONFIG_KEY(CONFIG_TYPE_NUMBER, struct_, field_, name_, fallback_, min_, max_, NULL, help_)
#define CONFIG_SIZE(struct_, field_, name_, fallback_, min_, max_, help_) \
    CONFIG_KEY(CONFIG_TYPE_SIZE, struct_, field_, name_, fallback_, min_, max_, NULL, help_)
#define CONFIG_DURATION(struct_, field_, name_, fallback_, min_, max_, help_) \
    CONFIG_KEY(CONFIG_TYPE_DURATION, struct_, field_, name_, fallback_, min_, max_, NULL, help_)
#define CONFIG_BOOL(struct_, field_, name_, fallback_, help_) \
    CONFIG_KEY(CONFIG_TYPE_BOOL, struct_, field_, name_, fallback_, 0, 0, NULL, help_)
#define CONFIG_CHOICE(struct_, field_, name_, fallback_, choices_, help_) \
    CONFIG_KEY(CONFIG_TYPE_CHOICE, struct_, field_, name_, fallback_, 0, 0, choices_, help_)

/* Sets every key's field to its default (an assertion fails if the table's own defaults are wrong).
 */
void config_defaults(const struct config_key *keys, size_t count, void *settings);

/* One key, as from a flag. NOT_FOUND for an unknown one; FORMAT or TOO_LARGE for a wrong value,
   with a sentence that says what would be right. A list grows by one item; a list that
   config_read_* filled is replaced by the first item that config_set adds: say so with
   config_clear(). */
MUST_CHECK enum err config_set(const struct config_key *keys, size_t count, void *settings,
                               const char *name, const char *value, struct errmsg *msg);
/* Empties a list. Anything else goes back to its default. */
MUST_CHECK enum err config_clear(const struct config_key *keys, size_t count, void *settings,
                                 const char *name);

/* The text of a file. `from` names it in sentences ("DIR/settings.ini, line 7: ..."). On an error
   the settings may be half read: read into a copy. */
MUST_CHECK enum err config_read_text(struct slice text, const char *from,
                                     const struct config_key *keys, size_t count, void *settings,
                                     const struct log *log, struct errmsg *msg);
/* NOT_FOUND when there is no file; TOO_LARGE above CONFIG_FILE_BYTES_MAX. */
MUST_CHECK enum err config_read_file(const char *path, const struct config_key *keys, size_t count,
                                     void *settings, const struct log *log, struct errmsg *msg);

/* The settings as a file's text: each key under its help; those at their default commented out. */
MUST_CHECK enum err config_write_text(const struct config_key *keys, size_t count,
                                      const void *settings, struct buf *out);
/* Atomically: a new file beside it, fsync, rename, fsync of the folder. `mode` as for open(). */
MUST_CHECK enum err config_write_file(const char *path, unsigned mode,
                                      const struct config_key *keys, size_t count,
                                      const void *settings, struct errmsg *msg);
