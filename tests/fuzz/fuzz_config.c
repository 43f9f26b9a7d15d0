/* config/: settings.ini as an editor, or an attacker with a foot in the door, may leave it. */
#include "fuzz.h"

#include "config/config.h"

struct settings {
    char listen[CONFIG_TEXT_SIZE];
    struct config_list addresses;
    uint64_t count, give_bytes, scrub_ms;
    bool backup;
    unsigned level;
};

static const struct config_key keys[] = {
    CONFIG_TEXT(struct settings, listen, "listen", "0.0.0.0:7400", "address and port to serve at"),
    CONFIG_LIST(struct settings, addresses, "address", "where others reach us"),
    CONFIG_NUMBER(struct settings, count, "count", "3", 1, 100, "how many"),
    CONFIG_SIZE(struct settings, give_bytes, "give", "1G", 1, UINT64_MAX, "disk to give"),
    CONFIG_DURATION(struct settings, scrub_ms, "scrub-period", "30d", 1, UINT64_MAX,
                    "a full round"),
    CONFIG_BOOL(struct settings, backup, "backup", "yes", "whether"),
    CONFIG_CHOICE(struct settings, level, "level", "low", "low|middle|high", "which"),
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings settings, again;
    struct errmsg msg;
    static const struct log silent;
    config_defaults(keys, ARRAY_COUNT(keys), &settings);
    enum err e = config_read_text(slice_of(data, size), "settings.ini", keys, ARRAY_COUNT(keys),
                                  &settings, &silent, &msg);
    if (e != ERR_OK)
        return 0;
    FUZZ_CHECK(settings.count >= 1 && settings.count <= 100 && settings.level < 3);
    FUZZ_CHECK(settings.addresses.count <= CONFIG_LIST_MAX);
    FUZZ_CHECK(memchr(settings.listen, 0, sizeof(settings.listen)) != NULL);
    /* what was read can be written and reads the same */
    struct buf text = BUF_INIT(CONFIG_FILE_BYTES_MAX);
    e = config_write_text(keys, ARRAY_COUNT(keys), &settings, &text);
    if (e == ERR_OK) {
        config_defaults(keys, ARRAY_COUNT(keys), &again);
        e = config_read_text(buf_slice(&text), "again", keys, ARRAY_COUNT(keys), &again, &silent,
                             &msg);
        if (e == ERR_OK)
            FUZZ_CHECK(again.count == settings.count && again.give_bytes == settings.give_bytes &&
                       again.scrub_ms == settings.scrub_ms && again.backup == settings.backup &&
                       again.level == settings.level);
    }
    buf_free(&text);
    return 0;
}

void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    static const char full[] = "; a comment\n"
                               "listen = [::]:7400 ; and why\n"
                               "address = one.example:7400\n"
                               "address=two.example:7400\n"
                               "Scrub_Period = 2w\n"
                               "# another\n"
                               "give = 1.5T\n"
                               "count = 7\n"
                               "backup = off\n"
                               "level = high\n";
    put(user, "full", slice_text(full));
    put(user, "section", slice_text("[cell]\ngive = 1G\n"));
    put(user, "unknown", slice_text("newer-key = 1\r\ncount = 0x7\r\n"));
    struct settings settings;
    struct buf text = BUF_INIT(CONFIG_FILE_BYTES_MAX);
    config_defaults(keys, ARRAY_COUNT(keys), &settings);
    if (config_write_text(keys, ARRAY_COUNT(keys), &settings, &text) == ERR_OK)
        put(user, "written", buf_slice(&text));
    buf_free(&text);
}
