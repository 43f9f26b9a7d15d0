#include "removal/removal_waits.h"

#include "removal/removal_prune_internal.h"

#include <stdlib.h>

bool removal_waits_needed(const struct vault *vault, const struct manifest_device *device,
                          uint32_t list_slot)
{
    return device->slot != vault->secrets->slot && device->slot != list_slot &&
           manifest_may(device, MANIFEST_PUT | MANIFEST_READ);
}

enum err removal_waits_head(const struct vault *vault, const struct manifest_device *device,
                            struct head *head, struct errmsg *msg)
{
    uint64_t own;
    struct slice body;
    const enum err e = index_head_get(vault->index, &device->id, &own, &body, msg);
    return e == ERR_OK ? head_open(body, &vault->swarm_root, &device->id, head, msg) : e;
}

bool removal_waits_seen(const struct head *head, uint32_t slot, uint64_t sequence)
{
    for (size_t i = 0; i < head->other_count; i++)
        if (head->others[i].slot == slot && head->others[i].sequence >= sequence)
            return true;
    return false;
}

enum err removal_waits_all_seen(const struct vault *vault, uint64_t sequence, bool *out,
                                struct errmsg *msg)
{
    const struct manifest *m = vault->manifest;
    const uint32_t slot = vault->secrets->slot;
    struct head *head = malloc(sizeof(*head));
    enum err e = head ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory");
    *out = e == ERR_OK;
    for (size_t i = 0; e == ERR_OK && *out && i < m->device_count; i++) {
        const struct manifest_device *device = &m->devices[i];
        if (device->slot == slot || !manifest_may(device, MANIFEST_READ))
            continue;
        e = removal_waits_head(vault, device, head, msg);
        *out = e == ERR_OK && removal_waits_seen(head, slot, sequence);
        e = e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    free(head);
    return e;
}

enum err removal_waits_named(const struct vault *vault, const struct index_record *record,
                             uint64_t *out, struct errmsg *msg)
{
    struct id after = {{0}}, ids[64];
    size_t count = 64;
    enum err e = ERR_OK;
    *out = 0;
    while (e == ERR_OK && count == 64) {
        e = index_record_named(vault->index, record->number, &after, ids, 64, &count, msg);
        *out += e == ERR_OK ? count : 0;
    }
    return e;
}

enum err removal_waits_kept(const struct vault *vault, uint64_t *out, struct errmsg *msg)
{
    int64_t kept = 0;
    const enum err e = index_fact_get_number(vault->index, VAULT_FACT_HEAD_KEPT, &kept, msg);
    *out = (uint64_t)kept;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

const struct manifest_device *removal_waits_signer(const struct vault *vault,
                                                   const struct index_record *record)
{
    return id_is_zero(&record->device) ? manifest_device_at(vault->manifest, vault->secrets->slot)
                                       : manifest_device_find(vault->manifest, &record->device);
}

/* One list, and a device whose newest head is `head` (NULL: it has none). */
static enum err add_list(struct vault *vault, const struct index_record *record, uint64_t kept,
                         const struct manifest_device *device, const struct head *head,
                         struct removal_wait *wait, struct errmsg *msg)
{
    uint64_t segments = 0;
    const struct manifest_device *signer = removal_waits_signer(vault, record);
    const bool own = id_is_zero(&record->device);
    if (record->lifted || record->orders_s != 0 || !signer || (own && record->head > kept) ||
        !removal_waits_needed(vault, device, signer->slot) ||
        (head && removal_waits_seen(head, signer->slot, record->head)))
        return ERR_OK;
    const enum err e = removal_waits_named(vault, record, &segments, msg);
    if (e != ERR_OK || segments == 0)
        return e;
    wait->segments += segments;
    if (wait->since_s == 0 || record->time_s < wait->since_s)
        wait->since_s = record->time_s;
    if (record->time_s + REMOVAL_WAIT_S > wait->until_s)
        wait->until_s = record->time_s + REMOVAL_WAIT_S;
    return ERR_OK;
}

static enum err look_at(struct vault *vault, const struct manifest_device *device, uint64_t kept,
                        struct removal_wait *wait, struct errmsg *msg)
{
    struct head *head = malloc(sizeof(*head));
    struct index_record rows[16];
    size_t count = 16;
    uint64_t after = 0;
    if (!head)
        return err_say(msg, ERR_NOMEM, "out of memory");
    enum err e = removal_waits_head(vault, device, head, msg);
    const bool known = e == ERR_OK;
    if (e == ERR_NOT_FOUND)
        e = ERR_OK;
    *wait = (struct removal_wait){.device = device->id, .slot = device->slot};
    memcpy(wait->name, device->name, sizeof(wait->name));
    wait->last_s = known ? head->time_s : 0;
    while (e == ERR_OK && count == 16) {
        e = index_records(vault->index, INDEX_CONDEMNED_LIST, after, rows, 16, &count, msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            after = rows[i].number;
            e = add_list(vault, &rows[i], kept, device, known ? head : NULL, wait, msg);
        }
    }
    free(head);
    return e;
}

enum err removal_waits(struct vault *vault, removal_wait_fn *each, void *user, struct errmsg *msg)
{
    const struct manifest *m = vault->manifest;
    uint64_t kept;
    enum err e = removal_waits_kept(vault, &kept, msg);
    for (size_t i = 0; e == ERR_OK && m && i < m->device_count; i++) {
        struct removal_wait wait;
        e = look_at(vault, &m->devices[i], kept, &wait, msg);
        if (e == ERR_OK && wait.segments > 0)
            each(user, &wait);
    }
    return e == ERR_OK ? e : err_wrap(msg, e, "cannot tell whom deletions wait for");
}
