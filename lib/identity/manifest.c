#include "identity/manifest_internal.h"

#include <assert.h>
#include <stdlib.h>

void manifest_free(struct manifest *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->device_count; i++)
        free(m->devices[i].epochs);
    free(m->devices);
    free(m->claims);
    free(m);
}

void manifest_admin_message(const struct manifest *m, const struct manifest_device *device,
                            uint8_t out[ADMIN_MESSAGE_SIZE])
{
    memcpy(out, m->account.bytes, ID_SIZE);
    memcpy(out + ID_SIZE, device->key, SIGN_PUBLIC_SIZE);
    put_le32(out + ID_SIZE + SIGN_PUBLIC_SIZE, (uint32_t)(m->number >> 32));
}

void manifest_root_message(const struct manifest *m, size_t number, uint8_t out[ROOT_MESSAGE_SIZE])
{
    const struct manifest_root *root = &m->roots[number];
    memcpy(out, m->account.bytes, ID_SIZE);
    memcpy(out + ID_SIZE, root->key, SIGN_PUBLIC_SIZE);
    memcpy(out + ID_SIZE + SIGN_PUBLIC_SIZE, root->reading_before, SEAL_PUBLIC_SIZE);
    memcpy(out + ID_SIZE + SIGN_PUBLIC_SIZE + SEAL_PUBLIC_SIZE, root->reading_after,
           SEAL_PUBLIC_SIZE);
    put_le32(out + ROOT_MESSAGE_SIZE - 4, (uint32_t)number);
}

const uint8_t *manifest_root_now(const struct manifest *m)
{
    return m->root_count > 0 ? m->roots[m->root_count - 1].key : m->root;
}

bool manifest_is_root(const struct manifest *m, const struct id *key, bool *now)
{
    struct id root;
    for (size_t i = 0; i <= m->root_count; i++) {
        sign_id(i == 0 ? m->root : m->roots[i - 1].key, &root);
        *now = i == m->root_count;
        if (id_equal(&root, key))
            return true;
    }
    return false;
}

static void write_root(struct cbor_writer *w, const struct manifest_root *root)
{
    cbor_write_map(w);
    cbor_write_key(w, 0), cbor_write_bytes(w, slice_of(root->key, SIGN_PUBLIC_SIZE));
    cbor_write_key(w, 1), cbor_write_bytes(w, slice_of(root->signature, SIGN_SIZE));
    cbor_write_key(w, 2), cbor_write_bytes(w, slice_of(root->reading_before, SEAL_PUBLIC_SIZE));
    cbor_write_key(w, 3), cbor_write_bytes(w, slice_of(root->reading_after, SEAL_PUBLIC_SIZE));
    cbor_write_key(w, 4), cbor_write_bytes(w, slice_of(root->secrets, sizeof(root->secrets)));
    cbor_write_key(w, 5), cbor_write_bytes(w, slice_of(root->accepted, SIGN_SIZE));
    cbor_write_end(w);
}

static void write_device(struct cbor_writer *w, const struct manifest_device *d)
{
    cbor_write_map(w);
    cbor_write_key(w, 0), cbor_write_u64(w, d->slot);
    cbor_write_key(w, 1), cbor_write_bytes(w, slice_of(d->key, SIGN_PUBLIC_SIZE));
    cbor_write_key(w, 2), cbor_write_bytes(w, slice_of(d->seal_key, SEAL_PUBLIC_SIZE));
    cbor_write_key(w, 3), cbor_write_u64(w, d->capabilities);
    cbor_write_key(w, 4), cbor_write_string(w, d->name);
    if (d->capabilities & MANIFEST_ADMIN)
        cbor_write_key(w, 5), cbor_write_bytes(w, slice_of(d->admin_signature, SIGN_SIZE));
    if (d->has_secrets)
        cbor_write_key(w, 6), cbor_write_bytes(w, slice_of(d->secrets, sizeof(d->secrets)));
    cbor_write_key(w, 7), cbor_write_array(w);
    for (size_t i = 0; i < d->epoch_count; i++) {
        cbor_write_map(w);
        cbor_write_key(w, 0), cbor_write_u64(w, d->epochs[i].epoch);
        cbor_write_key(w, 1);
        cbor_write_bytes(w, slice_of(d->epochs[i].sealed, MANIFEST_DATA_KEY_SEALED_SIZE));
        cbor_write_end(w);
    }
    cbor_write_end(w);
    if (d->revoked)
        cbor_write_key(w, 8), cbor_write_u64(w, d->last_sequence);
    if (d->invited)
        cbor_write_key(w, 9), cbor_write_bytes(w, slice_of(d->invite, INVITE_ID_SIZE));
    cbor_write_end(w);
}

enum err manifest_make(const struct manifest *m, const struct swarm_root *swarm,
                       const struct sign_key *key, struct buf *out)
{
    struct document_writer d;
    const struct manifest_device *device = manifest_device_find(m, sign_key_id(key));
    if (memcmp(sign_key_public(key), manifest_root_now(m), SIGN_PUBLIC_SIZE) != 0 &&
        (device == NULL || !manifest_may(device, MANIFEST_ADMIN)))
        return ERR_DENIED;
    struct cbor_writer *w = document_begin(&d, LIMIT_MANIFEST_BYTES);
    cbor_write_key(w, 0), cbor_write_bytes(w, slice_of(m->root, SIGN_PUBLIC_SIZE));
    cbor_write_key(w, 1), cbor_write_u64(w, m->number);
    cbor_write_key(w, 2), cbor_write_i64(w, m->time_s);
    cbor_write_key(w, 3), cbor_write_u64(w, m->hold_s);
    cbor_write_key(w, 4), cbor_write_bytes(w, slice_of(m->reading_key, SEAL_PUBLIC_SIZE));
    cbor_write_key(w, 5), cbor_write_array(w);
    for (size_t i = 0; i < m->device_count; i++)
        write_device(w, &m->devices[i]);
    cbor_write_end(w);
    cbor_write_key(w, 6), cbor_write_array(w);
    for (size_t i = 0; i < m->claim_count; i++)
        cbor_write_id(w, &m->claims[i]);
    cbor_write_end(w);
    if (m->root_count > 0) {
        cbor_write_key(w, 7), cbor_write_array(w);
        for (size_t i = 0; i < m->root_count; i++)
            write_root(w, &m->roots[i]);
        cbor_write_end(w);
    }
    return document_end(&d, "manifest", swarm, key, out);
}

static void read_epochs(struct cbor_reader *r, struct manifest_device *d)
{
    size_t count = cbor_read_array(r, MANIFEST_EPOCHS_MAX);
    if (count != 0 && (d->epochs = calloc(count, sizeof(*d->epochs))) == NULL) {
        cbor_read_refuse(r, ERR_NOMEM);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct manifest_epoch *epoch = &d->epochs[i];
        cbor_read_map(r);
        cbor_read_key(r, 0), epoch->epoch = cbor_read_u32(r, UINT32_MAX);
        cbor_read_key(r, 1), cbor_read_fixed(r, epoch->sealed, sizeof(epoch->sealed));
        cbor_read_end(r);
        if (i > 0 && epoch->epoch <= epoch[-1].epoch)
            cbor_read_refuse(r, ERR_FORMAT);
    }
    cbor_read_end(r);
    d->epoch_count = count;
}

static void read_device(struct cbor_reader *r, struct manifest_device *d)
{
    cbor_read_map(r);
    cbor_read_key(r, 0), d->slot = cbor_read_u32(r, UINT32_MAX);
    cbor_read_key(r, 1), cbor_read_fixed(r, d->key, SIGN_PUBLIC_SIZE);
    sign_id(d->key, &d->id);
    cbor_read_key(r, 2), cbor_read_fixed(r, d->seal_key, SEAL_PUBLIC_SIZE);
    cbor_read_key(r, 3), d->capabilities = cbor_read_u32(r, MANIFEST_CAPABILITIES);
    cbor_read_key(r, 4), cbor_read_string(r, d->name, sizeof(d->name));
    if (d->capabilities & MANIFEST_ADMIN)
        cbor_read_key(r, 5), cbor_read_fixed(r, d->admin_signature, SIGN_SIZE);
    d->has_secrets = cbor_read_key_optional(r, 6);
    if (d->has_secrets)
        cbor_read_fixed(r, d->secrets, sizeof(d->secrets));
    if (d->has_secrets && (d->capabilities & MANIFEST_READ) == 0)
        cbor_read_refuse(r, ERR_FORMAT);
    cbor_read_key(r, 7), read_epochs(r, d);
    d->revoked = cbor_read_key_optional(r, 8);
    if (d->revoked)
        d->last_sequence = cbor_read_u64(r, UINT64_MAX);
    d->invited = cbor_read_key_optional(r, 9);
    if (d->invited)
        cbor_read_fixed(r, d->invite, sizeof(d->invite));
    cbor_read_end(r);
}

static void read_devices(struct cbor_reader *r, struct manifest *m)
{
    size_t count = cbor_read_array(r, MANIFEST_DEVICES_MAX);
    if (count != 0 && (m->devices = calloc(count, sizeof(*m->devices))) == NULL) {
        cbor_read_refuse(r, ERR_NOMEM);
        return;
    }
    for (size_t i = 0; i < count && r->e == ERR_OK; i++) {
        struct manifest_device *d = &m->devices[i];
        m->device_count = i + 1; /* what manifest_free() must look at */
        read_device(r, d);
        if (i > 0 && d->slot <= d[-1].slot)
            cbor_read_refuse(r, ERR_FORMAT);
        for (size_t j = 0; j < i; j++)
            if (id_equal(&m->devices[j].id, &d->id))
                cbor_read_refuse(r, ERR_FORMAT);
    }
    cbor_read_end(r);
}

static void read_claims(struct cbor_reader *r, struct manifest *m)
{
    size_t count = cbor_read_array(r, MANIFEST_CLAIMS_MAX);
    if (count != 0 && (m->claims = calloc(count, sizeof(*m->claims))) == NULL) {
        cbor_read_refuse(r, ERR_NOMEM);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        cbor_read_id(r, &m->claims[i]);
        if (i > 0 && id_compare(&m->claims[i - 1], &m->claims[i]) >= 0)
            cbor_read_refuse(r, ERR_FORMAT);
    }
    cbor_read_end(r);
    m->claim_count = count;
}

static void read_roots(struct cbor_reader *r, struct manifest *m)
{
    if (!cbor_read_key_optional(r, 7))
        return;
    m->root_count = cbor_read_array(r, MANIFEST_ROOTS_MAX);
    if (m->root_count == 0)
        cbor_read_refuse(r, ERR_FORMAT);
    for (size_t i = 0; i < m->root_count; i++) {
        struct manifest_root *root = &m->roots[i];
        cbor_read_map(r);
        cbor_read_key(r, 0), cbor_read_fixed(r, root->key, sizeof(root->key));
        cbor_read_key(r, 1), cbor_read_fixed(r, root->signature, sizeof(root->signature));
        cbor_read_key(r, 2), cbor_read_fixed(r, root->reading_before, SEAL_PUBLIC_SIZE);
        cbor_read_key(r, 3), cbor_read_fixed(r, root->reading_after, SEAL_PUBLIC_SIZE);
        cbor_read_key(r, 4), cbor_read_fixed(r, root->secrets, sizeof(root->secrets));
        cbor_read_key(r, 5), cbor_read_fixed(r, root->accepted, sizeof(root->accepted));
        cbor_read_end(r);
    }
    cbor_read_end(r);
}

/* Each root is named by the one before, and the last one's reading key is the account's. */
static enum err check_roots(const struct manifest *m, const struct swarm_root *swarm,
                            struct errmsg *msg)
{
    uint8_t message[ROOT_MESSAGE_SIZE];
    for (size_t i = 0; i < m->root_count; i++) {
        manifest_root_message(m, i, message);
        const struct slice signed_part = slice_of(message, sizeof(message));
        enum err e = document_verify_say(
            "root", swarm, i == 0 ? m->root : m->roots[i - 1].key, signed_part,
            m->roots[i].signature, msg,
            "the manifest is refused: a root in it is not signed by the root before");
        if (e == ERR_OK)
            e = document_verify_say(
                "root-next", swarm, m->roots[i].key, signed_part, m->roots[i].accepted, msg,
                "the manifest is refused: a root in it has not agreed to be it");
        if (e != ERR_OK)
            return e;
        const uint8_t *next =
            i + 1 < m->root_count ? m->roots[i + 1].reading_before : m->reading_key;
        if (memcmp(next, m->roots[i].reading_after, SEAL_PUBLIC_SIZE) != 0)
            return err_say(msg, ERR_AUTH,
                           "the manifest is refused: its reading key is not the one that its root "
                           "came with");
    }
    return ERR_OK;
}

/* Is the signer the root or an admin, and is every admin the root's? */
static enum err check_rights(struct manifest *m, const struct swarm_root *swarm,
                             const uint8_t signer_key[SIGN_PUBLIC_SIZE], struct errmsg *msg)
{
    uint8_t message[ADMIN_MESSAGE_SIZE];
    const struct manifest_device *signer = manifest_device_find(m, &m->signer);
    m->by_root = memcmp(signer_key, manifest_root_now(m), SIGN_PUBLIC_SIZE) == 0;
    if (!m->by_root && (signer == NULL || !manifest_may(signer, MANIFEST_ADMIN)))
        return err_say(msg, ERR_AUTH,
                       "the manifest is refused: who signed it is neither the "
                       "account's root nor one of its admin devices");
    for (size_t i = 0; i < m->device_count; i++) {
        const struct manifest_device *d = &m->devices[i];
        if (!manifest_may(d, MANIFEST_ADMIN))
            continue;
        manifest_admin_message(m, d, message);
        enum err e = document_verify_say("admin", swarm, manifest_root_now(m),
                                         slice_of(message, sizeof(message)), d->admin_signature,
                                         msg, "it is named admin without the root's signature");
        if (e != ERR_OK)
            return err_wrap(msg, e, "the manifest is refused: device %u (%s)", d->slot, d->name);
    }
    return ERR_OK;
}

enum err manifest_open(struct slice bytes, const struct swarm_root *swarm, struct manifest **out,
                       struct errmsg *msg)
{
    struct document_reader d;
    struct manifest *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return err_say(msg, ERR_NOMEM, "no memory for the manifest");
    struct cbor_reader *r = document_read(&d, "manifest", swarm, NULL, bytes, LIMIT_MANIFEST_BYTES);
    cbor_read_key(r, 0), cbor_read_fixed(r, m->root, SIGN_PUBLIC_SIZE);
    account_id(swarm, m->root, &m->account);
    cbor_read_key(r, 1), m->number = cbor_read_u64(r, UINT64_MAX);
    cbor_read_key(r, 2), m->time_s = cbor_read_i64(r);
    cbor_read_key(r, 3), m->hold_s = cbor_read_u64(r, MANIFEST_HOLD_MAX_S);
    cbor_read_key(r, 4), cbor_read_fixed(r, m->reading_key, SEAL_PUBLIC_SIZE);
    cbor_read_key(r, 5), read_devices(r, m);
    cbor_read_key(r, 6), read_claims(r, m);
    read_roots(r, m);
    m->signer = d.signer;
    enum err e = document_read_end(&d, msg, "the manifest");
    if (e == ERR_OK)
        e = check_roots(m, swarm, msg);
    if (e == ERR_OK)
        e = check_rights(m, swarm, d.signer_key, msg);
    if (e != ERR_OK) {
        manifest_free(m);
        return e;
    }
    document_hash(bytes, &m->hash);
    *out = m;
    return ERR_OK;
}

const struct manifest_device *manifest_device_find(const struct manifest *m, const struct id *id)
{
    for (size_t i = 0; i < m->device_count; i++)
        if (id_equal(&m->devices[i].id, id))
            return &m->devices[i];
    return NULL;
}

const struct manifest_device *manifest_device_at(const struct manifest *m, uint32_t slot)
{
    for (size_t i = 0; i < m->device_count; i++)
        if (m->devices[i].slot == slot)
            return &m->devices[i];
    return NULL;
}

bool manifest_may(const struct manifest_device *device, unsigned capabilities)
{
    return !device->revoked && (device->capabilities & capabilities) == capabilities;
}

bool manifest_valid(const struct manifest_device *device, uint64_t sequence)
{
    return !device->revoked || sequence <= device->last_sequence;
}

const struct manifest_epoch *manifest_epoch_find(const struct manifest_device *device,
                                                 uint32_t epoch)
{
    for (size_t i = 0; i < device->epoch_count; i++)
        if (device->epochs[i].epoch == epoch)
            return &device->epochs[i];
    return NULL;
}

bool manifest_claims(const struct manifest *m, const struct id *cell)
{
    for (size_t i = 0; i < m->claim_count; i++)
        if (id_equal(&m->claims[i], cell))
            return true;
    return false;
}

bool manifest_invite_used(const struct manifest *m, const uint8_t invite[INVITE_ID_SIZE])
{
    for (size_t i = 0; i < m->device_count; i++)
        if (m->devices[i].invited && memcmp(m->devices[i].invite, invite, INVITE_ID_SIZE) == 0)
            return true;
    return false;
}

bool manifest_invites(const struct manifest *m, const struct invite_device *invite)
{
    struct id root;
    sign_id(manifest_root_now(m), &root);
    const struct manifest_device *signer = manifest_device_find(m, &invite->signer);
    if (!id_equal(&invite->account, &m->account))
        return false;
    if (id_equal(&invite->signer, &root))
        return true;
    return signer && manifest_may(signer, MANIFEST_ADMIN) &&
           (invite->capabilities & MANIFEST_ADMIN) == 0;
}
