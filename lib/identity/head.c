#include "identity/head.h"

#include <assert.h>

enum err head_make(const struct head *head, const struct swarm_root *swarm,
                   const struct sign_key *device, struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, HEAD_BYTES_MAX);
    assert(head->sequence > 0 && (head->sequence == 1) == id_is_zero(&head->previous));
    assert(head->sealed.size <= HEAD_SEALED_MAX && head->other_count <= HEAD_OTHERS_MAX);
    cbor_write_key(w, 0), cbor_write_id(w, &head->account);
    cbor_write_key(w, 1), cbor_write_u64(w, head->slot);
    cbor_write_key(w, 2), cbor_write_u64(w, head->sequence);
    if (head->sequence > 1)
        cbor_write_key(w, 3), cbor_write_id(w, &head->previous);
    cbor_write_key(w, 4), cbor_write_u64(w, head->manifest_number);
    cbor_write_key(w, 5), cbor_write_array(w);
    for (size_t i = 0; i < head->other_count; i++) {
        assert(i == 0 || head->others[i].slot > head->others[i - 1].slot);
        cbor_write_map(w);
        cbor_write_key(w, 0), cbor_write_u64(w, head->others[i].slot);
        cbor_write_key(w, 1), cbor_write_u64(w, head->others[i].sequence);
        cbor_write_key(w, 2), cbor_write_id(w, &head->others[i].hash);
        cbor_write_end(w);
    }
    cbor_write_end(w);
    cbor_write_key(w, 6), cbor_write_i64(w, head->time_s);
    cbor_write_key(w, 7), cbor_write_bytes(w, head->sealed);
    return document_end(&d, "head", swarm, device, out);
}

static void read_others(struct cbor_reader *r, struct head *out)
{
    out->other_count = cbor_read_array(r, HEAD_OTHERS_MAX);
    for (size_t i = 0; i < out->other_count; i++) {
        struct head_other *other = &out->others[i];
        cbor_read_map(r);
        cbor_read_key(r, 0), other->slot = cbor_read_u32(r, UINT32_MAX);
        cbor_read_key(r, 1), other->sequence = cbor_read_u64(r, UINT64_MAX);
        cbor_read_key(r, 2), cbor_read_id(r, &other->hash);
        cbor_read_end(r);
        if (i > 0 && other->slot <= other[-1].slot)
            cbor_read_refuse(r, ERR_FORMAT);
    }
    cbor_read_end(r);
}

enum err head_open(struct slice bytes, const struct swarm_root *swarm, const struct id *device,
                   struct head *out, struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r = document_read(&d, "head", swarm, device, bytes, HEAD_BYTES_MAX);
    out->previous = (struct id){0};
    cbor_read_key(r, 0), cbor_read_id(r, &out->account);
    cbor_read_key(r, 1), out->slot = cbor_read_u32(r, UINT32_MAX);
    cbor_read_key(r, 2), out->sequence = cbor_read_u64(r, UINT64_MAX);
    if (out->sequence == 0)
        cbor_read_refuse(r, ERR_FORMAT);
    if (out->sequence > 1) {
        cbor_read_key(r, 3), cbor_read_id(r, &out->previous);
        if (id_is_zero(&out->previous))
            cbor_read_refuse(r, ERR_FORMAT);
    }
    cbor_read_key(r, 4), out->manifest_number = cbor_read_u64(r, UINT64_MAX);
    cbor_read_key(r, 5), read_others(r, out);
    cbor_read_key(r, 6), out->time_s = cbor_read_i64(r);
    cbor_read_key(r, 7), out->sealed = cbor_read_bytes(r, HEAD_SEALED_MAX);
    out->device = d.signer;
    document_hash(bytes, &out->hash);
    return document_read_end(&d, msg, "the head");
}

enum err head_follows(const struct head *head, const struct head *next, struct errmsg *msg)
{
    if (!id_equal(&head->account, &next->account) || head->slot != next->slot ||
        !id_equal(&head->device, &next->device))
        return err_say(msg, ERR_INCONSISTENT, "the two heads are of different devices");
    if (next->sequence == head->sequence && !id_equal(&next->hash, &head->hash))
        return err_say(
            msg, ERR_INCONSISTENT,
            "there are two different heads number %llu of one device: a copy of its vault "
            "was used, or an old state of it was brought back",
            (unsigned long long)head->sequence);
    if (next->sequence <= head->sequence)
        return err_say(msg, ERR_STALE, "head %llu is known already, this one is number %llu",
                       (unsigned long long)head->sequence, (unsigned long long)next->sequence);
    if (next->sequence - head->sequence > 1)
        return err_say(msg, ERR_NOT_ENOUGH, "between heads %llu and %llu others are missing",
                       (unsigned long long)head->sequence, (unsigned long long)next->sequence);
    if (!id_equal(&next->previous, &head->hash))
        return err_say(msg, ERR_INCONSISTENT,
                       "head %llu does not follow the head %llu that is known: the device's chain "
                       "has forked",
                       (unsigned long long)next->sequence, (unsigned long long)head->sequence);
    return ERR_OK;
}
