#include "wire_examples_parts.h"

#include "wire/wire_audit.h"
#include "wire/wire_coordinator.h"
#include "wire/wire_lease.h"
#include "wire/wire_removal.h"
#include "wire/wire_repair.h"

/* ---- repair ---- */

enum err build_leaving(struct buf *out)
{
    return wire_heartbeat_encode(&(struct wire_heartbeat){.list_number = 17, .leaving = true}, out);
}

enum err build_offer(struct buf *out)
{
    return wire_heartbeat_reply_encode(
        &(struct wire_heartbeat_reply){.list_number = 18,
                                       .time_s = 1700000000,
                                       .interval_ms = 60000,
                                       .work = WIRE_WORK_REPAIR | WIRE_WORK_PROOF,
                                       .drained = true},
        out);
}

enum err build_work(struct buf *out)
{
    return wire_work_encode(WIRE_WORK_REPAIR | WIRE_WORK_PROOF, out);
}

enum err again_work(struct slice in, struct buf *out)
{
    unsigned wanted;
    enum err e = wire_work_decode(in, &wanted);
    return e != ERR_OK ? e : wire_work_encode(wanted, out);
}

enum err build_work_reply(struct buf *out)
{
    return wire_work_reply_encode(
        &(struct wire_work_reply){.kind = WIRE_WORK_REPAIR, .ticket = DOCUMENT("ticket")}, out);
}

enum err again_work_reply(struct slice in, struct buf *out)
{
    struct wire_work_reply reply;
    enum err e = wire_work_reply_decode(in, &reply);
    return e != ERR_OK ? e : wire_work_reply_encode(&reply, out);
}

enum err build_report(struct buf *out)
{
    const struct slice receipts[] = {DOCUMENT("receipt 3")};
    const struct wire_fault faults[] = {{.index = 1, .cell = id_of(0xcc), .kind = WIRE_FAULT_LIED}};
    return wire_report_encode(&(struct wire_report){.ticket = "0123456789abcde",
                                                    .segment = id_of(0x11),
                                                    .outcome = WIRE_OUTCOME_DONE,
                                                    .receipts = receipts,
                                                    .receipt_count = ARRAY_COUNT(receipts),
                                                    .faults = faults,
                                                    .fault_count = ARRAY_COUNT(faults)},
                              out);
}

enum err again_report(struct slice in, struct buf *out)
{
    static struct slice receipts[LIMIT_SHARDS + 1];
    static struct wire_fault faults[WIRE_REPORT_FAULTS + 1];
    struct wire_report report;
    enum err e = wire_report_decode(in, &report);
    if (e != ERR_OK)
        return e;
    report.receipts = receipts;
    report.faults = faults;
    while (wire_report_receipts_next(&report.receipt_list, &receipts[report.receipt_count]))
        report.receipt_count++;
    while (wire_report_faults_next(&report.fault_list, &faults[report.fault_count]))
        report.fault_count++;
    return wire_report_encode(&report, out);
}

enum err build_damage(struct buf *out)
{
    const struct wire_damaged shards[] = {{.segment = id_of(0x11), .index = 4}};
    return wire_damage_encode(shards, ARRAY_COUNT(shards), out);
}

enum err again_damage(struct slice in, struct buf *out)
{
    static struct wire_damaged shards[WIRE_DAMAGED + 1];
    struct wire_list list;
    size_t count = 0;
    enum err e = wire_damage_decode(in, &list);
    while (e == ERR_OK && wire_damage_next(&list, &shards[count]))
        count++;
    return e != ERR_OK ? e : wire_damage_encode(shards, count, out);
}

enum err build_away(struct buf *out)
{
    const struct id cell = id_of(0xcc);
    return wire_away_encode(&cell, 1700000000, out);
}

enum err again_away(struct slice in, struct buf *out)
{
    struct id cell;
    int64_t until_s;
    enum err e = wire_away_decode(in, &cell, &until_s);
    return e != ERR_OK ? e : wire_away_encode(&cell, until_s, out);
}

enum err build_delete(struct buf *out)
{
    const struct wire_order orders[] = {
        {.kind = WIRE_ORDER_DELETE, .doc = slice_text("delete")},
        {.kind = WIRE_ORDER_UNDELETE, .doc = slice_text("undelete")},
    };
    return wire_delete_encode(orders, ARRAY_COUNT(orders), out);
}

enum err again_delete(struct slice in, struct buf *out)
{
    struct wire_order orders[WIRE_ORDERS_MAX + 1];
    struct wire_list list;
    size_t count = 0;
    const enum err e = wire_delete_decode(in, &list);
    while (e == ERR_OK && wire_delete_next(&list, &orders[count]))
        count++;
    return e != ERR_OK ? e : wire_delete_encode(orders, count, out);
}

enum err build_delete_reply(struct buf *out)
{
    const uint32_t counts[] = {3, 0};
    return wire_delete_reply_encode(counts, ARRAY_COUNT(counts), out);
}

enum err again_delete_reply(struct slice in, struct buf *out)
{
    uint32_t counts[WIRE_ORDERS_MAX + 1];
    struct wire_list list;
    size_t count = 0;
    const enum err e = wire_delete_reply_decode(in, &list);
    while (e == ERR_OK && wire_delete_reply_next(&list, &counts[count]))
        count++;
    return e != ERR_OK ? e : wire_delete_reply_encode(counts, count, out);
}

enum err build_moved(struct buf *out)
{
    return wire_moved_encode(
        &(struct wire_moved){.ticket = DOCUMENT("ticket"), .receipt = DOCUMENT("receipt")}, out);
}

enum err again_moved(struct slice in, struct buf *out)
{
    struct wire_moved moved;
    enum err e = wire_moved_decode(in, &moved);
    return e != ERR_OK ? e : wire_moved_encode(&moved, out);
}

enum err build_lot(struct buf *out)
{
    const struct wire_lot lot = {.day = 20417, .segment = id_of(0x11)};
    return wire_lot_encode(&lot, out);
}

enum err again_lot(struct slice in, struct buf *out)
{
    struct wire_lot lot;
    enum err e = wire_lot_decode(in, &lot);
    return e != ERR_OK ? e : wire_lot_encode(&lot, out);
}

enum err build_verdicts(struct buf *out)
{
    const struct wire_verdict verdicts[] = {
        {.day = 20417,
         .segment = id_of(0x11),
         .cell = id_of(0xcc),
         .kind = WIRE_VERDICT_PROVEN,
         .index = 7},
        {.day = 20418, .segment = id_of(0x22), .cell = id_of(0xdd), .kind = WIRE_VERDICT_LACKS}};
    return wire_verdicts_encode(verdicts, ARRAY_COUNT(verdicts), out);
}

enum err again_verdicts(struct slice in, struct buf *out)
{
    struct wire_list list;
    struct wire_verdict verdicts[4];
    size_t count = 0;
    enum err e = wire_verdicts_decode(in, &list);
    while (e == ERR_OK && count < ARRAY_COUNT(verdicts) &&
           wire_verdicts_next(&list, &verdicts[count]))
        count++;
    return e != ERR_OK ? e : wire_verdicts_encode(verdicts, count, out);
}

enum err build_verdicts_reply(struct buf *out)
{
    return wire_verdicts_reply_encode(1, out);
}

enum err again_verdicts_reply(struct slice in, struct buf *out)
{
    uint32_t taken;
    enum err e = wire_verdicts_reply_decode(in, &taken);
    return e != ERR_OK ? e : wire_verdicts_reply_encode(taken, out);
}

enum err build_renewals(struct buf *out)
{
    const struct wire_renewed renewed[] = {{.doc = DOCUMENT("renewal"), .received_s = 1700000000},
                                           {.received_s = 1600000000, .over = true}};
    return wire_renewals_encode(renewed, ARRAY_COUNT(renewed), out);
}

enum err again_renewals(struct slice in, struct buf *out)
{
    struct wire_list list;
    struct wire_renewed renewed[4];
    size_t count = 0;
    enum err e = wire_renewals_decode(in, &list);
    while (e == ERR_OK && count < ARRAY_COUNT(renewed) &&
           wire_renewals_next(&list, &renewed[count]))
        count++;
    return e != ERR_OK ? e : wire_renewals_encode(renewed, count, out);
}

enum err build_orders(struct buf *out)
{
    const uint64_t numbers[] = {7, 8};
    return wire_orders_encode(numbers, ARRAY_COUNT(numbers), out);
}

enum err again_orders(struct slice in, struct buf *out)
{
    uint64_t numbers[WIRE_ACKS_MAX + 1];
    struct wire_list list;
    size_t count = 0;
    const enum err e = wire_orders_decode(in, &list);
    while (e == ERR_OK && wire_orders_next(&list, &numbers[count]))
        count++;
    return e != ERR_OK ? e : wire_orders_encode(numbers, count, out);
}

enum err build_orders_reply(struct buf *out)
{
    const struct wire_order order = {
        .number = 9, .kind = WIRE_ORDER_DELETE, .doc = slice_text("delete")};
    const struct wire_orders_reply reply = {
        .manifest = slice_text("manifest"), .orders = &order, .order_count = 1};
    return wire_orders_reply_encode(&reply, out);
}

enum err again_orders_reply(struct slice in, struct buf *out)
{
    struct wire_order orders[WIRE_ORDERS_MAX + 1];
    struct wire_orders_reply reply;
    const enum err e = wire_orders_reply_decode(in, &reply);
    reply.orders = orders;
    while (e == ERR_OK && wire_orders_reply_next(&reply.order_list, &orders[reply.order_count]))
        reply.order_count++;
    return e != ERR_OK ? e : wire_orders_reply_encode(&reply, out);
}
