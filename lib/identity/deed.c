#include "identity/deed.h"

#include "identity/manifest.h"

#include "identity/account.h"

void deed_write(struct cbor_writer *w, const struct deed *deed)
{
    cbor_write_key(w, 0), cbor_write_id(w, &deed->account);
    cbor_write_key(w, 1), cbor_write_u64(w, deed->manifest_number);
    cbor_write_key(w, 2), cbor_write_u64(w, deed->slot);
    cbor_write_key(w, 3), cbor_write_u64(w, deed->sequence);
    cbor_write_key(w, 4), cbor_write_i64(w, deed->time_s);
}

void deed_read(struct document_reader *d, const struct swarm_root *swarm, struct deed *out)
{
    struct cbor_reader *r = &d->r;
    struct id root;
    cbor_read_key(r, 0), cbor_read_id(r, &out->account);
    cbor_read_key(r, 1), out->manifest_number = cbor_read_u64(r, UINT64_MAX);
    cbor_read_key(r, 2), out->slot = cbor_read_u32(r, UINT32_MAX);
    cbor_read_key(r, 3), out->sequence = cbor_read_u64(r, UINT64_MAX);
    cbor_read_key(r, 4), out->time_s = cbor_read_i64(r);
    out->signer = d->signer;
    account_id(swarm, d->signer_key, &root);
    out->by_root = id_equal(&root, &out->account) || out->slot == DEED_SLOT_ROOT;
}

enum err deed_allowed(const struct deed *deed, const struct manifest *m, unsigned capability,
                      struct errmsg *msg)
{
    if (!id_equal(&deed->account, &m->account))
        return err_say(msg, ERR_DENIED, "the order is another account's");
    bool now = false;
    if (deed->by_root && manifest_is_root(m, &deed->signer, &now) && now)
        return ERR_OK;
    if (deed->manifest_number > m->number)
        return err_say(msg, ERR_STALE, "the order was signed under a manifest not known here yet");
    if (deed->by_root)
        return err_say(msg, ERR_DENIED,
                       "the order is signed by a recovery phrase that is not the account's, or was "
                       "replaced");
    const struct manifest_device *device = manifest_device_find(m, &deed->signer);
    if (!device || device->slot != deed->slot)
        return err_say(msg, ERR_DENIED, "the order is signed by no device of this account");
    if (!manifest_may(device, capability))
        return err_say(msg, ERR_DENIED,
                       "the device that signed the order was revoked, or has not the right to it");
    return ERR_OK;
}
