#include "transfer/transfer_segment.h"

#include "base/text.h"

static enum err load_header(struct index *index, struct transfer_segment *out, struct errmsg *msg)
{
    struct slice header, record;
    struct id id;
    enum err e = index_segment_header(index, out->row.number, &header, &record, msg);
    if (e != ERR_OK)
        return e;
    segment_header_id(header, &id);
    if (!id_equal(&id, &out->row.id))
        return err_say(msg, ERR_CORRUPT, "the index keeps a header that is not this segment's");
    return segment_header_decode(header, &out->header, msg);
}

enum err transfer_segment_load(struct index *index, uint64_t number, struct transfer_segment *out,
                               struct errmsg *msg)
{
    size_t count;
    *out = (struct transfer_segment){0};
    enum err e = index_segment_by_number(index, number, &out->row, msg);
    if (e == ERR_OK)
        e = load_header(index, out, msg);
    if (e == ERR_OK)
        e = index_segment_shards(index, number, out->shards, &count, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "cannot read segment %llu from the index",
                        (unsigned long long)number);
    if (count != (size_t)out->header.k + out->header.m)
        return err_say(msg, ERR_CORRUPT, "the index lists %zu shards of a segment that has %u",
                       count, out->header.k + out->header.m);
    for (size_t i = 0; i < count; i++) {
        if (!id_is_zero(&out->shards[i].cell) && out->shards[i].state != INDEX_SHARD_MISSING)
            out->holders[out->holder_count++] =
                (struct swarm_holder){.cell = out->shards[i].cell, .index = (uint8_t)i};
    }
    return ERR_OK;
}

enum err transfer_segment_unlock(const struct vault *vault, struct transfer_segment *segment,
                                 struct errmsg *msg)
{
    const enum err e = vault_data_key(vault, segment->header.device_slot, segment->header.epoch,
                                      segment->data_key);
    if (e != ERR_OK)
        return err_say(msg, e, "there is no key for what device %u wrote in epoch %u: %s",
                       segment->header.device_slot, segment->header.epoch, err_words(e));
    return ERR_OK;
}

void transfer_segment_clear(struct transfer_segment *segment)
{
    secret_wipe(segment->data_key, sizeof(segment->data_key));
}
