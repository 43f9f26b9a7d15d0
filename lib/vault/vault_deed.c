#include "vault/vault_deed.h"

enum err vault_deed_allowed(const struct vault *vault, struct errmsg *msg)
{
    const struct manifest_device *self = manifest_device_find(vault->manifest, vault_device(vault));
    if (self && manifest_may(self, MANIFEST_DELETE | MANIFEST_READ))
        return ERR_OK;
    return err_say(msg, ERR_DENIED,
                   "this device may not forget or delete anything: it was not "
                   "given the capabilities for it, or was revoked");
}

static enum err newest_head(struct vault *vault, uint64_t *sequence, struct errmsg *msg)
{
    struct slice body;
    *sequence = 0;
    const enum err e = index_head_get(vault->index, vault_device(vault), sequence, &body, msg);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err vault_deed_next(struct vault *vault, struct deed *out, struct errmsg *msg)
{
    int64_t last = 0;
    uint64_t head;
    vault_deed_of_root(vault, out);
    out->slot = vault->secrets->slot;
    enum err e = newest_head(vault, &head, msg);
    if (e == ERR_OK)
        e = index_fact_get_number(vault->index, VAULT_FACT_LAST_DEED, &last, msg);
    if (e == ERR_NOT_FOUND)
        e = ERR_OK;
    out->sequence = (uint64_t)last + 1 > head ? (uint64_t)last + 1 : head;
    return e == ERR_OK ? index_fact_put_number(vault->index, VAULT_FACT_LAST_DEED,
                                               (int64_t)out->sequence, msg)
                       : e;
}

void vault_deed_of_root(const struct vault *vault, struct deed *out)
{
    *out = (struct deed){
        .account = vault->account,
        .manifest_number = vault->manifest->number,
        .slot = vault->manifest->root_count > 0 ? DEED_SLOT_ROOT : 0,
        .time_s = clock_wall_ns(vault->ports.clock) / 1000000000,
    };
}
