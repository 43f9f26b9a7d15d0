#include "identity/manifest_internal.h"

#include "crypto/secret.h"

#include <stdlib.h>

enum err manifest_new(const struct swarm_root *swarm, const uint8_t root[SIGN_PUBLIC_SIZE],
                      const uint8_t reading_key[SEAL_PUBLIC_SIZE], struct manifest **out)
{
    struct manifest *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return ERR_NOMEM;
    memcpy(m->root, root, SIGN_PUBLIC_SIZE);
    memcpy(m->reading_key, reading_key, SEAL_PUBLIC_SIZE);
    account_id(swarm, root, &m->account);
    m->number = manifest_next_number(0, true);
    m->hold_s = MANIFEST_HOLD_DEFAULT_S;
    *out = m;
    return ERR_OK;
}

uint64_t manifest_next_number(uint64_t number, bool by_root)
{
    return by_root ? ((number >> 32) + 1) << 32 : number + 1;
}

/* Room for one more item behind `count` of them. */
static enum err grow(void **items, size_t count, size_t count_max, size_t item_size)
{
    if (count >= count_max)
        return ERR_TOO_LARGE;
    void *more = realloc(*items, (count + 1) * item_size);
    if (more == NULL)
        return ERR_NOMEM;
    *items = more;
    return ERR_OK;
}

static struct manifest_device *device_at(struct manifest *m, uint32_t slot)
{
    for (size_t i = 0; i < m->device_count; i++)
        if (m->devices[i].slot == slot)
            return &m->devices[i];
    return NULL;
}

enum err manifest_add_device(struct manifest *m, const struct manifest_device *device,
                             uint32_t *slot)
{
    struct id id;
    void *devices = m->devices;
    sign_id(device->key, &id);
    if (manifest_device_find(m, &id) != NULL)
        return ERR_EXISTS;
    enum err e = grow(&devices, m->device_count, MANIFEST_DEVICES_MAX, sizeof(*m->devices));
    if (e != ERR_OK)
        return e;
    m->devices = devices;
    struct manifest_device *d = &m->devices[m->device_count];
    *d = *device;
    d->id = id;
    d->epochs = NULL;
    d->epoch_count = 0;
    /* slots ascend and devices never leave the list, so the last one has the highest ever used */
    d->slot = m->device_count == 0 ? 0 : d[-1].slot + 1;
    m->device_count++;
    *slot = d->slot;
    return ERR_OK;
}

enum err manifest_add_epoch(struct manifest *m, uint32_t slot, const struct manifest_epoch *epoch)
{
    struct manifest_device *d = device_at(m, slot);
    if (d == NULL)
        return ERR_NOT_FOUND;
    if (d->epoch_count != 0 && d->epochs[d->epoch_count - 1].epoch >= epoch->epoch)
        return ERR_EXISTS;
    void *epochs = d->epochs;
    enum err e = grow(&epochs, d->epoch_count, MANIFEST_EPOCHS_MAX, sizeof(*d->epochs));
    if (e != ERR_OK)
        return e;
    d->epochs = epochs;
    d->epochs[d->epoch_count++] = *epoch;
    return ERR_OK;
}

enum err manifest_add_claim(struct manifest *m, const struct id *cell)
{
    if (manifest_claims(m, cell))
        return ERR_EXISTS;
    void *claims = m->claims;
    enum err e = grow(&claims, m->claim_count, MANIFEST_CLAIMS_MAX, sizeof(*m->claims));
    if (e != ERR_OK)
        return e;
    m->claims = claims;
    size_t at = m->claim_count++;
    for (; at > 0 && id_compare(&m->claims[at - 1], cell) > 0; at--)
        m->claims[at] = m->claims[at - 1];
    m->claims[at] = *cell;
    return ERR_OK;
}

enum err manifest_drop_claim(struct manifest *m, const struct id *cell)
{
    for (size_t i = 0; i < m->claim_count; i++)
        if (id_equal(&m->claims[i], cell)) {
            m->claim_count--;
            memmove(&m->claims[i], &m->claims[i + 1], (m->claim_count - i) * sizeof(*m->claims));
            return ERR_OK;
        }
    return ERR_NOT_FOUND;
}

enum err manifest_revoke(struct manifest *m, uint32_t slot, uint64_t last_sequence)
{
    struct manifest_device *d = device_at(m, slot);
    if (d == NULL)
        return ERR_NOT_FOUND;
    if (!d->revoked || last_sequence < d->last_sequence)
        d->last_sequence = last_sequence;
    d->revoked = true;
    return ERR_OK;
}

enum err manifest_certify_admins(struct manifest *m, const struct swarm_root *swarm,
                                 const struct sign_key *root)
{
    uint8_t message[ADMIN_MESSAGE_SIZE];
    for (size_t i = 0; i < m->device_count; i++) {
        struct manifest_device *d = &m->devices[i];
        if (!manifest_may(d, MANIFEST_ADMIN))
            continue;
        manifest_admin_message(m, d, message);
        enum err e = document_sign("admin", swarm, root, slice_of(message, sizeof(message)),
                                   d->admin_signature);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

enum err manifest_replace_root(struct manifest *m, const struct swarm_root *swarm,
                               const struct sign_key *old, const struct sign_key *next,
                               const uint8_t reading_key[SEAL_PUBLIC_SIZE],
                               const uint8_t secrets[ACCOUNT_SECRETS_SEALED_SIZE])
{
    uint8_t message[ROOT_MESSAGE_SIZE];
    if (memcmp(sign_key_public(old), manifest_root_now(m), SIGN_PUBLIC_SIZE) != 0)
        return ERR_AUTH;
    if (m->root_count == MANIFEST_ROOTS_MAX)
        return ERR_TOO_LARGE;
    struct manifest_root *root = &m->roots[m->root_count];
    memcpy(root->key, sign_key_public(next), SIGN_PUBLIC_SIZE);
    memcpy(root->reading_before, m->reading_key, SEAL_PUBLIC_SIZE);
    memcpy(root->reading_after, reading_key, SEAL_PUBLIC_SIZE);
    memcpy(root->secrets, secrets, sizeof(root->secrets));
    manifest_root_message(m, m->root_count, message);
    const struct slice signed_part = slice_of(message, sizeof(message));
    enum err e = document_sign("root", swarm, old, signed_part, root->signature);
    if (e == ERR_OK)
        e = document_sign("root-next", swarm, next, signed_part, root->accepted);
    if (e != ERR_OK)
        return e;
    memcpy(m->reading_key, reading_key, SEAL_PUBLIC_SIZE);
    m->root_count++;
    return ERR_OK;
}

enum err manifest_secrets_before(const struct manifest *m, const struct account_secrets *now,
                                 size_t back, struct account_secrets *out)
{
    const uint8_t *public = m->reading_key;
    struct account_secrets secrets = *now;
    enum err e = back < m->root_count ? ERR_OK : ERR_NOT_FOUND;
    for (size_t i = 0; e == ERR_OK && i <= back; i++) {
        const struct manifest_root *root = &m->roots[m->root_count - 1 - i];
        struct account_secrets before;
        e = account_secrets_open(root->secrets, public, secrets.reading_secret, &before);
        secrets = before;
        public = root->reading_before;
        secret_wipe(&before, sizeof(before));
    }
    if (e == ERR_OK)
        *out = secrets;
    secret_wipe(&secrets, sizeof(secrets));
    return e;
}
