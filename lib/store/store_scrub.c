#include "store/store_internal.h"

/*
 * A cycle begins at a random place in the order of segment IDs and ends when it has come round to
 * it. IDs are hashes, so that order has nothing to do with when or where a shard was written. Where
 * the cycle began and is now rests in the fact "scrub" (little-endian):
 *
 *     start id (32) | at id (32) | u16 at index + 1 | u8 came round | i64 began s | i64 last ended
 * s | u64 checked | i64 last began s
 */
enum { SCRUB_FACT_SIZE = 32 + 32 + 2 + 1 + 8 + 8 + 8 + 8 };

struct scrub_place {
    struct id start, at;
    int at_index; /* -1: before the first shard of `at` */
    bool round;
    int64_t began_s, ended_s, last_began_s;
    uint64_t checked;
};

static enum err load(struct store *store, struct scrub_place *place, struct errmsg *msg)
{
    struct buf fact = BUF_INIT(256);
    uint16_t index1 = 0;
    uint8_t round = 0;
    uint64_t began = 0, ended = 0, last_began = 0;
    *place = (struct scrub_place){.at_index = -1};
    enum err e = documents_fact_get(store->db, "scrub", &fact, msg);
    if (e == ERR_OK) {
        struct cursor c = cursor_over(buf_slice(&fact));
        if (cursor_copy(&c, place->start.bytes, ID_SIZE) ||
            cursor_copy(&c, place->at.bytes, ID_SIZE) || cursor_le16(&c, &index1) ||
            cursor_u8(&c, &round) || cursor_le64(&c, &began) || cursor_le64(&c, &ended) ||
            cursor_le64(&c, &place->checked) || cursor_le64(&c, &last_began) || cursor_end(&c))
            *place = (struct scrub_place){.at_index = -1}; /* a new cycle is as good */
        else {
            place->at_index = (int)index1 - 1;
            place->round = round != 0;
            place->began_s = (int64_t)began;
            place->ended_s = (int64_t)ended;
            place->last_began_s = (int64_t)last_began;
        }
    }
    buf_free(&fact);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err save(struct store *store, const struct scrub_place *place, struct errmsg *msg)
{
    uint8_t fact[SCRUB_FACT_SIZE];
    memcpy(fact, place->start.bytes, ID_SIZE);
    memcpy(fact + 32, place->at.bytes, ID_SIZE);
    put_le16(fact + 64, (uint16_t)(place->at_index + 1));
    fact[66] = place->round;
    put_le64(fact + 67, (uint64_t)place->began_s);
    put_le64(fact + 75, (uint64_t)place->ended_s);
    put_le64(fact + 83, place->checked);
    put_le64(fact + 91, (uint64_t)place->last_began_s);
    return documents_fact_put(store->db, "scrub", slice_of(fact, sizeof(fact)), msg);
}

static void begin_cycle(struct store *store, struct scrub_place *place, int64_t now_s)
{
    random_fill(store->options.random, place->start.bytes, ID_SIZE);
    place->at = place->start;
    place->at_index = -1;
    place->round = false;
    place->began_s = now_s;
    place->checked = 0;
}

/* The next shard of the cycle; ERR_END when it has come round. */
static enum err next_shard(struct store *store, struct scrub_place *place,
                           struct store_shard *shard, struct errmsg *msg)
{
    enum err e = store_catalogue_next(store, &place->at, place->at_index, shard, NULL);
    if (e == ERR_NOT_FOUND && !place->round) {
        place->round = true;
        static const struct id first;
        e = store_catalogue_next(store, &first, -1, shard, NULL);
    }
    if (e == ERR_NOT_FOUND)
        return ERR_END;
    if (e != ERR_OK)
        return err_say(msg, e, "cannot read the cell's catalogue");
    if (place->round && id_compare(&shard->segment, &place->start) >= 0)
        return ERR_END;
    place->at = shard->segment;
    place->at_index = (int)shard->index;
    return ERR_OK;
}

static enum err check_shard(struct store *store, const struct store_shard *shard,
                            struct errmsg *msg)
{
    char path[STORE_PATH_SIZE];
    struct store_file *file;
    store_shard_path(&shard->segment, shard->index, path);
    enum err e =
        store_file_open_path(store, path, &shard->segment, shard->index, store->hash, &file, msg);
    if (e == ERR_OK) {
        e = store_file_check(file, store->hash, msg);
        store_file_close(file);
    }
    return e;
}

enum err store_quarantine(struct store *store, const struct id *segment, unsigned index,
                          struct errmsg *msg)
{
    struct store_shard known;
    char from[STORE_PATH_SIZE], to[STORE_PATH_SIZE];
    enum err e = store_catalogue_get(store, segment, index, &known, msg);
    if (e != ERR_OK || known.state == STORE_DAMAGED)
        return e;
    store_shard_path(segment, index, from);
    store_quarantine_path(segment, index, to);
    e = disk_rename(store->options.disk, from, to, msg);
    if (e == ERR_NOT_FOUND)
        e = store_present(store, msg);
    if (e != ERR_OK)
        return e;
    return store_catalogue_set_state(store, segment, index, STORE_DAMAGED, msg);
}

/* Damage is what the bytes say, or that the file cannot be read at all; not a lack of memory. */
static bool is_damage(enum err e)
{
    return err_class(e) == ERR_CLASS_CORRUPT || e == ERR_NOT_FOUND || e == ERR_IO;
}

enum err store_scrub_step(struct store *store, int64_t now_s, struct store_scrub *out,
                          struct errmsg *msg)
{
    struct scrub_place place;
    *out = (struct store_scrub){.shard.index = LIMIT_SHARDS};
    enum err e = load(store, &place, msg);
    if (e != ERR_OK)
        return e;
    if (place.began_s == 0)
        begin_cycle(store, &place, now_s);
    e = next_shard(store, &place, &out->shard, msg);
    if (e == ERR_END) {
        out->shard.index = LIMIT_SHARDS;
        out->cycle_done = true;
        place.ended_s = now_s;
        place.last_began_s = place.began_s;
        place.began_s = 0;
        return save(store, &place, msg);
    }
    if (e != ERR_OK)
        return e;
    place.checked++;
    out->bytes = out->shard.shard_bytes;
    if (out->shard.state == STORE_WHOLE) {
        struct errmsg why;
        e = check_shard(store, &out->shard, &why);
        if (is_damage(e) && store_present(store, msg) != ERR_OK)
            return ERR_BUSY;
        if (is_damage(e)) {
            out->found_damage = true;
            log_say(store->options.log, LOG_WARN, "scrub: %s", why.text);
            e = store_quarantine(store, &out->shard.segment, out->shard.index, msg);
        } else if (e != ERR_OK) {
            err_say(msg, e, "%s", why.text);
        }
    }
    return e == ERR_OK ? save(store, &place, msg) : e;
}

enum err store_scrub_state(struct store *store, struct store_scrub_state *out, struct errmsg *msg)
{
    struct scrub_place place;
    uint64_t whole, damaged, bytes;
    enum err e = load(store, &place, msg);
    if (e == ERR_OK)
        e = store_catalogue_counts(store, &whole, &damaged, &bytes, msg);
    if (e != ERR_OK)
        return e;
    *out = (struct store_scrub_state){
        .cycle_began_s = place.began_s,
        .last_cycle_began_s = place.last_began_s,
        .last_cycle_ended_s = place.ended_s,
        .checked = place.began_s ? place.checked : 0,
        .total = whole + damaged,
    };
    return ERR_OK;
}
