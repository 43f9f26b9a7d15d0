#include "wire_examples.h"
#include "wire_examples_parts.h"

#include "wire/wire_cell.h"
#include "wire/wire_coordinator.h"
#include "wire/wire_device.h"
#include "wire/wire_directory.h"
#include "wire/wire_error.h"
#include "wire/wire_heads.h"
#include "wire/wire_hello.h"
#include "wire/wire_inventory.h"
#include "wire/wire_shard.h"

static enum err build_error(struct buf *out)
{
    return wire_error_encode(ERR_STALE, "manifest 4 is known here", DOCUMENT("newer"), out);
}

static enum err again_error(struct slice in, struct buf *out)
{
    struct wire_error error;
    char sentence[WIRE_SENTENCE_BYTES + 1];
    enum err e = wire_error_decode(in, &error);
    if (e != ERR_OK)
        return e;
    memcpy(sentence, error.sentence.data, error.sentence.size);
    sentence[error.sentence.size] = 0;
    /* what C text cannot hold, and numbers that became PEER, have no way back */
    if (strlen(sentence) != error.sentence.size || error.code != ERR_STALE)
        return ERR_UNSUPPORTED;
    return wire_error_encode(error.code, sentence, error.document, out);
}

static enum err build_hello(struct buf *out)
{
    return wire_hello_encode(&(struct wire_hello){.kind = WIRE_PEER_DEVICE,
                                                  .document = DOCUMENT("manifest"),
                                                  .list_number = 17,
                                                  .manifest_number = 3},
                             out);
}

static enum err again_hello(struct slice in, struct buf *out)
{
    struct wire_hello hello;
    enum err e = wire_hello_decode(in, &hello);
    return e != ERR_OK ? e : wire_hello_encode(&hello, out);
}

static enum err build_hello_reply(struct buf *out)
{
    return wire_hello_reply_encode(
        &(struct wire_hello_reply){.list_number = 18, .time_s = 1700000000, .manifest_number = 3},
        out);
}

static enum err again_hello_reply(struct slice in, struct buf *out)
{
    struct wire_hello_reply reply;
    enum err e = wire_hello_reply_decode(in, &reply);
    return e != ERR_OK ? e : wire_hello_reply_encode(&reply, out);
}

static enum err build_info(struct buf *out)
{
    struct wire_info info = {.role = WIRE_ROLE_CELL,
                             .id = id_of(0xcc),
                             .version = slice_text("0.1.0"),
                             .coordinator = DOCUMENT("certificate"),
                             .list_number = 18};
    memset(info.swarm_root, 0xaa, sizeof(info.swarm_root));
    return wire_info_encode(&info, out);
}

static enum err again_info(struct slice in, struct buf *out)
{
    struct wire_info info;
    enum err e = wire_info_decode(in, &info);
    return e != ERR_OK ? e : wire_info_encode(&info, out);
}

static enum err build_heads(struct buf *out)
{
    const struct slice heads[] = {DOCUMENT("head 0"), DOCUMENT("head 1")};
    return wire_heads_encode(DOCUMENT("manifest"), heads, ARRAY_COUNT(heads), out);
}

static enum err again_heads(struct slice in, struct buf *out)
{
    struct wire_heads heads;
    struct slice list[WIRE_HEADS_MAX];
    size_t count = 0;
    enum err e = wire_heads_decode(in, &heads);
    if (e != ERR_OK)
        return e;
    while (wire_heads_next(&heads.list, &list[count]))
        count++;
    return wire_heads_encode(heads.manifest, list, count, out);
}

static enum err build_device_ask(struct buf *out)
{
    const struct wire_device_ask ask = {DOCUMENT("invite"), DOCUMENT("request")};
    return wire_device_ask_encode(&ask, out);
}

static enum err again_device_ask(struct slice in, struct buf *out)
{
    struct wire_device_ask ask;
    const enum err e = wire_device_ask_decode(in, &ask);
    return e == ERR_OK ? wire_device_ask_encode(&ask, out) : e;
}

static enum err build_device_reply(struct buf *out)
{
    const struct wire_device_reply reply = {
        .manifest = DOCUMENT("manifest"), .redundancy = DOCUMENT("4+2"), .waiting = true};
    return wire_device_reply_encode(&reply, out);
}

static enum err again_device_reply(struct slice in, struct buf *out)
{
    struct wire_device_reply reply;
    const enum err e = wire_device_reply_decode(in, &reply);
    return e == ERR_OK ? wire_device_reply_encode(&reply, out) : e;
}

static enum err build_device_requests(struct buf *out)
{
    const struct wire_device_ask asks[] = {{DOCUMENT("invite"), DOCUMENT("request")},
                                           {.request = DOCUMENT("next key")}};
    return wire_device_requests_encode(asks, ARRAY_COUNT(asks), out);
}

static enum err again_device_requests(struct slice in, struct buf *out)
{
    struct wire_list list;
    struct wire_device_ask asks[WIRE_DEVICE_REQUESTS_MAX];
    size_t count = 0;
    const enum err e = wire_device_requests_decode(in, &list);
    if (e != ERR_OK)
        return e;
    while (wire_device_requests_next(&list, &asks[count]))
        count++;
    return wire_device_requests_encode(asks, count, out);
}

static enum err build_heads_reply(struct buf *out)
{
    const struct wire_head_held held[] = {{.slot = 0, .sequence = 41}, {.slot = 1, .sequence = 7}};
    return wire_heads_reply_encode(3, held, ARRAY_COUNT(held), out);
}

static enum err again_heads_reply(struct slice in, struct buf *out)
{
    struct wire_list list;
    struct wire_head_held held[WIRE_HEADS_MAX];
    uint64_t number;
    size_t count = 0;
    enum err e = wire_heads_reply_decode(in, &number, &list);
    if (e != ERR_OK)
        return e;
    while (wire_heads_reply_next(&list, &held[count]))
        count++;
    return wire_heads_reply_encode(number, held, count, out);
}

static enum err build_prelude(struct buf *out)
{
    return wire_prelude_encode(&(struct wire_prelude){.grant = DOCUMENT("grant"),
                                                      .record = DOCUMENT("record"),
                                                      .header = DOCUMENT("header")},
                               out);
}

static enum err again_prelude(struct slice in, struct buf *out)
{
    struct wire_prelude prelude;
    uint32_t size;
    if (in.size < WIRE_SHARD_HEAD_SIZE)
        return ERR_FORMAT;
    enum err e = wire_prelude_size(in.data, &size);
    if (e != ERR_OK)
        return e;
    if (size != in.size - WIRE_SHARD_HEAD_SIZE)
        return ERR_FORMAT;
    e = wire_prelude_decode(slice_of(in.data + WIRE_SHARD_HEAD_SIZE, size), &prelude);
    return e != ERR_OK ? e : wire_prelude_encode(&prelude, out);
}

static enum err build_segment(struct buf *out)
{
    return wire_segment_encode(&(struct wire_segment){.header = DOCUMENT("header"),
                                                      .record = DOCUMENT("record"),
                                                      .held = {0, 5},
                                                      .held_count = 2,
                                                      .damaged = {3},
                                                      .damaged_count = 1},
                               out);
}

static enum err again_segment(struct slice in, struct buf *out)
{
    struct wire_segment segment;
    enum err e = wire_segment_decode(in, &segment);
    return e != ERR_OK ? e : wire_segment_encode(&segment, out);
}

static enum err build_have(struct buf *out)
{
    const struct id ids[] = {id_of(0x11), id_of(0x22)};
    return wire_ids_encode(ids, ARRAY_COUNT(ids), out);
}

static enum err again_have(struct slice in, struct buf *out)
{
    static struct id ids[WIRE_HAVE_IDS];
    struct wire_list list;
    size_t count = 0;
    enum err e = wire_ids_decode(in, WIRE_HAVE_IDS, &list);
    if (e != ERR_OK)
        return e;
    while (wire_ids_next(&list, &ids[count]))
        count++;
    return wire_ids_encode(ids, count, out);
}

static enum err build_have_reply(struct buf *out)
{
    const struct wire_held held[] = {
        {.position = 0, .index = 4, .state = WIRE_SHARD_STORED},
        {.position = 1, .index = 2, .state = WIRE_SHARD_DAMAGED},
    };
    return wire_have_reply_encode(held, ARRAY_COUNT(held), out);
}

static enum err again_have_reply(struct slice in, struct buf *out)
{
    struct wire_held held[64];
    struct wire_list list;
    size_t count = 0;
    enum err e = wire_have_reply_decode(in, &list);
    if (e != ERR_OK)
        return e;
    while (count < ARRAY_COUNT(held) && wire_have_reply_next(&list, &held[count]))
        count++;
    return wire_have_reply_encode(held, count, out);
}

static enum err build_names(struct buf *out)
{
    const struct wire_shard_name names[] = {{.segment = id_of(0x11), .index = 4}};
    return wire_names_encode(names, ARRAY_COUNT(names), true, out);
}

static enum err again_names(struct slice in, struct buf *out)
{
    struct wire_shard_name names[64];
    struct wire_list list;
    bool more;
    size_t count = 0;
    enum err e = wire_names_decode(in, &list, &more);
    if (e != ERR_OK)
        return e;
    while (count < ARRAY_COUNT(names) && wire_names_next(&list, &names[count]))
        count++;
    return wire_names_encode(names, count, more, out);
}

static enum err build_claim(struct buf *out)
{
    return wire_claim_encode(
        &(struct wire_claim){.claim = DOCUMENT("claim"), .code = slice_text("4711-0815")}, out);
}

static enum err again_claim(struct slice in, struct buf *out)
{
    struct wire_claim claim;
    enum err e = wire_claim_decode(in, &claim);
    return e != ERR_OK ? e : wire_claim_encode(&claim, out);
}

static enum err build_state(struct buf *out)
{
    return wire_state_encode(&(struct wire_state){.given_bytes = 500000000000,
                                                  .used_bytes = 1000,
                                                  .free_bytes = 499999999000,
                                                  .shard_count = 1,
                                                  .scrub_checked_count = 500,
                                                  .scrub_started_s = 1700000000},
                             out);
}

static enum err again_state(struct slice in, struct buf *out)
{
    struct wire_state state;
    enum err e = wire_state_decode(in, &state);
    return e != ERR_OK ? e : wire_state_encode(&state, out);
}

static enum err build_join(struct buf *out)
{
    return wire_join_encode(&(struct wire_join){.kind = WIRE_JOIN_CELL,
                                                .invite = DOCUMENT("invite"),
                                                .document = DOCUMENT("statement")},
                            out);
}

static enum err again_join(struct slice in, struct buf *out)
{
    struct wire_join join;
    enum err e = wire_join_decode(in, &join);
    return e != ERR_OK ? e : wire_join_encode(&join, out);
}

static enum err build_join_reply(struct buf *out)
{
    return wire_join_reply_encode(&(struct wire_join_reply){.coordinator = DOCUMENT("certificate"),
                                                            .members = DOCUMENT("members"),
                                                            .redundancy = slice_text("4+2")},
                                  out);
}

static enum err again_join_reply(struct slice in, struct buf *out)
{
    struct wire_join_reply reply;
    enum err e = wire_join_reply_decode(in, &reply);
    return e != ERR_OK ? e : wire_join_reply_encode(&reply, out);
}

static enum err build_since(struct buf *out)
{
    return wire_since_encode(17, out);
}

static enum err again_since(struct slice in, struct buf *out)
{
    uint64_t number;
    const enum err e = wire_since_decode(in, &number);
    return e != ERR_OK ? e : wire_since_encode(number, out);
}

static enum err build_heartbeat(struct buf *out)
{
    return wire_heartbeat_encode(&(struct wire_heartbeat){.statement = DOCUMENT("statement"),
                                                          .free_bytes = 499999999000,
                                                          .used_bytes = 1000,
                                                          .shard_count = 1,
                                                          .list_number = 17},
                                 out);
}

static enum err again_heartbeat(struct slice in, struct buf *out)
{
    struct wire_heartbeat beat;
    enum err e = wire_heartbeat_decode(in, &beat);
    return e != ERR_OK ? e : wire_heartbeat_encode(&beat, out);
}

static enum err build_heartbeat_reply(struct buf *out)
{
    return wire_heartbeat_reply_encode(&(struct wire_heartbeat_reply){.list_number = 18,
                                                                      .time_s = 1700000000,
                                                                      .interval_ms = 60000},
                                       out);
}

static enum err again_heartbeat_reply(struct slice in, struct buf *out)
{
    struct wire_heartbeat_reply reply;
    enum err e = wire_heartbeat_reply_decode(in, &reply);
    return e != ERR_OK ? e : wire_heartbeat_reply_encode(&reply, out);
}

static enum err build_cells(struct buf *out)
{
    const struct wire_cell cells[] = {{.id = id_of(0xcc),
                                       .state = WIRE_CELL_UP,
                                       .last_seen_s = 1699999990,
                                       .free_bytes = 499999999000,
                                       .used_bytes = 1000,
                                       .observed_s = 86400,
                                       .up_s = 86000}};
    const struct wire_cells swarm = {.time_s = 1700000000,
                                     .list_number = 18,
                                     .exposure_s = 31557600,
                                     .loss_count = 1,
                                     .gone_after_s = 1209600,
                                     .repair_percent = 75};
    return wire_cells_encode(&swarm, cells, ARRAY_COUNT(cells), out);
}

static enum err build_some_cells(struct buf *out)
{
    const struct wire_cells swarm = {
        .time_s = 1700000000, .list_number = 18, .some = true, .up_count = 99000};
    return wire_cells_encode(&swarm, NULL, 0, out);
}

static enum err again_cells(struct slice in, struct buf *out)
{
    struct wire_cell cells[16];
    struct wire_list list;
    struct wire_cells swarm;
    size_t count = 0;
    enum err e = wire_cells_decode(in, &swarm, &list);
    if (e != ERR_OK)
        return e;
    while (count < ARRAY_COUNT(cells) && wire_cells_next(&list, &cells[count]))
        count++;
    return wire_cells_encode(&swarm, cells, count, out);
}

static enum err build_inventory(struct buf *out)
{
    return wire_inventory_encode(
        &(struct wire_inventory){.has_after = true, .after_segment = id_of(0x55), .after_index = 3},
        out);
}

static enum err again_inventory(struct slice in, struct buf *out)
{
    struct wire_inventory question;
    const enum err e = wire_inventory_decode(in, &question);
    return e != ERR_OK ? e : wire_inventory_encode(&question, out);
}

static enum err build_inventory_reply(struct buf *out)
{
    const struct wire_inventory_item item = {
        .segment = id_of(0x55), .account = id_of(0xaa), .index = 4, .state = WIRE_SHARD_WAITING};
    return wire_inventory_reply_encode(&item, 1, true, slice_text("claim"), out);
}

static enum err again_inventory_reply(struct slice in, struct buf *out)
{
    static struct wire_inventory_item items[WIRE_INVENTORY_ITEMS];
    struct wire_list list;
    struct slice claim;
    bool more;
    size_t count = 0;
    const enum err e = wire_inventory_reply_decode(in, &list, &more, &claim);
    while (e == ERR_OK && wire_inventory_next(&list, &items[count]))
        count++;
    return e != ERR_OK ? e : wire_inventory_reply_encode(items, count, more, claim, out);
}

static enum err build_described(struct buf *out)
{
    const struct wire_described segment = {
        .position = 7, .header = slice_text("header"), .record = slice_text("record")};
    return wire_described_encode(&segment, 1, out);
}

static enum err again_described(struct slice in, struct buf *out)
{
    static struct wire_described segments[WIRE_DESCRIBE_IDS];
    struct wire_list list;
    size_t count = 0;
    const enum err e = wire_described_decode(in, &list);
    while (e == ERR_OK && wire_described_next(&list, &segments[count]))
        count++;
    return e != ERR_OK ? e : wire_described_encode(segments, count, out);
}

static enum err build_account(struct buf *out)
{
    const struct wire_account account = {.used_bytes = 5 << 20,
                                         .given_bytes = 7 << 20,
                                         .allowed_bytes = 1 << 30,
                                         .promised_bytes = 9};
    return wire_account_encode(&account, out);
}

static enum err again_account(struct slice in, struct buf *out)
{
    struct wire_account account;
    const enum err e = wire_account_decode(in, &account);
    return e != ERR_OK ? e : wire_account_encode(&account, out);
}

static enum err build_place(struct buf *out)
{
    const struct wire_want wants[] = {{.cell = id_of(0xcc), .bytes = 1 << 30}};
    return wire_place_encode(18, wants, ARRAY_COUNT(wants), out);
}

static enum err again_place(struct slice in, struct buf *out)
{
    struct wire_want wants[WIRE_PLACE_CELLS];
    struct wire_list list;
    uint64_t number;
    size_t count = 0;
    enum err e = wire_place_decode(in, &number, &list);
    if (e != ERR_OK)
        return e;
    while (wire_place_next(&list, &wants[count]))
        count++;
    return wire_place_encode(number, wants, count, out);
}

static enum err build_grants(struct buf *out)
{
    const struct slice grants[] = {DOCUMENT("grant")};
    return wire_grants_encode(grants, ARRAY_COUNT(grants), out);
}

static enum err again_grants(struct slice in, struct buf *out)
{
    struct slice grants[WIRE_PLACE_CELLS];
    struct wire_list list;
    size_t count = 0;
    enum err e = wire_grants_decode(in, &list);
    if (e != ERR_OK)
        return e;
    while (wire_grants_next(&list, &grants[count]))
        count++;
    return wire_grants_encode(grants, count, out);
}

static enum err build_register(struct buf *out)
{
    const struct slice receipts[] = {DOCUMENT("receipt 0"), DOCUMENT("receipt 1")};
    const struct wire_registration segment = {.record = DOCUMENT("record"),
                                              .k = 1,
                                              .m = 1,
                                              .shard_bytes = 4096,
                                              .receipts = receipts,
                                              .receipt_count = ARRAY_COUNT(receipts)};
    return wire_register_encode(&segment, 1, out);
}

static enum err again_register(struct slice in, struct buf *out)
{
    static struct slice receipts[WIRE_REGISTER_SEGMENTS][LIMIT_SHARDS];
    static struct wire_registration segments[WIRE_REGISTER_SEGMENTS];
    struct wire_list list;
    size_t count = 0;
    enum err e = wire_register_decode(in, &list);
    if (e != ERR_OK)
        return e;
    while (wire_register_next(&list, &segments[count])) {
        struct wire_registration *one = &segments[count];
        one->receipts = receipts[count];
        while (wire_receipts_next(&one->receipt_list, &receipts[count][one->receipt_count]))
            one->receipt_count++;
        count++;
    }
    return wire_register_encode(segments, count, out);
}

static enum err build_register_reply(struct buf *out)
{
    return wire_register_reply_encode(1, out);
}

static enum err again_register_reply(struct slice in, struct buf *out)
{
    uint32_t count;
    enum err e = wire_register_reply_decode(in, &count);
    return e != ERR_OK ? e : wire_register_reply_encode(count, out);
}

static enum err build_found(struct buf *out)
{
    const struct wire_shard_at shards[] = {{.index = 0, .cell = id_of(0xcc)},
                                           {.index = 1, .cell = id_of(0xdd)}};
    const struct wire_found found = {.position = 1,
                                     .k = 1,
                                     .m = 1,
                                     .shard_bytes = 4096,
                                     .shards = shards,
                                     .shard_count = ARRAY_COUNT(shards)};
    return wire_found_encode(&found, 1, out);
}

static enum err again_found(struct slice in, struct buf *out)
{
    static struct wire_shard_at shards[4][64];
    struct wire_found found[4];
    struct wire_list list;
    size_t count = 0;
    enum err e = wire_found_decode(in, &list);
    if (e != ERR_OK)
        return e;
    while (count < ARRAY_COUNT(found) && wire_found_next(&list, &found[count])) {
        struct wire_found *one = &found[count];
        one->shards = shards[count];
        while (one->shard_count < 64 &&
               wire_shards_next(&one->shard_list, &shards[count][one->shard_count]))
            one->shard_count++;
        count++;
    }
    return wire_found_encode(found, count, out);
}

const struct wire_example wire_examples[] = {
    {"error", build_error, again_error},
    {"hello", build_hello, again_hello},
    {"hello reply", build_hello_reply, again_hello_reply},
    {"info reply", build_info, again_info},
    {"heads", build_heads, again_heads},
    {"heads reply", build_heads_reply, again_heads_reply},
    {"devices", build_device_ask, again_device_ask},
    {"devices reply", build_device_reply, again_device_reply},
    {"devices that wait", build_device_requests, again_device_requests},
    {"shard prelude", build_prelude, again_prelude},
    {"segment reply", build_segment, again_segment},
    {"have", build_have, again_have},
    {"have reply", build_have_reply, again_have_reply},
    {"account shards reply", build_names, again_names},
    {"claim", build_claim, again_claim},
    {"state reply", build_state, again_state},
    {"changes", build_since, again_since},
    {"join", build_join, again_join},
    {"join reply", build_join_reply, again_join_reply},
    {"heartbeat", build_heartbeat, again_heartbeat},
    {"heartbeat reply", build_heartbeat_reply, again_heartbeat_reply},
    {"cells reply", build_cells, again_cells},
    {"some cells reply", build_some_cells, again_cells},
    {"inventory", build_inventory, again_inventory},
    {"inventory reply", build_inventory_reply, again_inventory_reply},
    {"describe reply", build_described, again_described},
    {"account reply", build_account, again_account},
    {"place", build_place, again_place},
    {"place reply", build_grants, again_grants},
    {"segments", build_register, again_register},
    {"segments reply", build_register_reply, again_register_reply},
    {"find reply", build_found, again_found},
    {"heartbeat of a cell that leaves", build_leaving, again_heartbeat},
    {"heartbeat reply with work", build_offer, again_heartbeat_reply},
    {"repairs", build_work, again_work},
    {"repairs reply", build_work_reply, again_work_reply},
    {"report", build_report, again_report},
    {"damage", build_damage, again_damage},
    {"away", build_away, again_away},
    {"delete", build_delete, again_delete},
    {"delete reply", build_delete_reply, again_delete_reply},
    {"orders", build_orders, again_orders},
    {"orders reply", build_orders_reply, again_orders_reply},
    {"moved", build_moved, again_moved},
    {"renewals reply", build_renewals, again_renewals},
    {"audit", build_lot, again_lot},
    {"verdicts", build_verdicts, again_verdicts},
    {"verdicts reply", build_verdicts_reply, again_verdicts_reply},
};
const size_t wire_example_count = ARRAY_COUNT(wire_examples);
