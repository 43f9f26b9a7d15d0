/* What the files of examples share: wire_examples_upkeep.c has those of repair, removal, leases and
   audits. */
#pragma once

#include "base/buf.h"
#include "base/id.h"

/* 32 equal bytes. */
static inline struct id id_of(uint8_t byte)
{
    struct id id;
    memset(id.bytes, byte, sizeof(id.bytes));
    return id;
}

#define DOCUMENT(text) slice_of(text, sizeof(text) - 1)

enum err build_leaving(struct buf *out);
enum err build_offer(struct buf *out);
enum err build_work(struct buf *out);
enum err again_work(struct slice in, struct buf *out);
enum err build_work_reply(struct buf *out);
enum err again_work_reply(struct slice in, struct buf *out);
enum err build_report(struct buf *out);
enum err again_report(struct slice in, struct buf *out);
enum err build_damage(struct buf *out);
enum err again_damage(struct slice in, struct buf *out);
enum err build_away(struct buf *out);
enum err again_away(struct slice in, struct buf *out);
enum err build_delete(struct buf *out);
enum err again_delete(struct slice in, struct buf *out);
enum err build_delete_reply(struct buf *out);
enum err again_delete_reply(struct slice in, struct buf *out);
enum err build_moved(struct buf *out);
enum err again_moved(struct slice in, struct buf *out);
enum err build_lot(struct buf *out);
enum err again_lot(struct slice in, struct buf *out);
enum err build_verdicts(struct buf *out);
enum err again_verdicts(struct slice in, struct buf *out);
enum err build_verdicts_reply(struct buf *out);
enum err again_verdicts_reply(struct slice in, struct buf *out);
enum err build_renewals(struct buf *out);
enum err again_renewals(struct slice in, struct buf *out);
enum err build_orders(struct buf *out);
enum err again_orders(struct slice in, struct buf *out);
enum err build_orders_reply(struct buf *out);
enum err again_orders_reply(struct slice in, struct buf *out);
