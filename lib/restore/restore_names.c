#include "restore/restore_names.h"

#include "crypto/keyed_hash.h"

#include <stdlib.h>

struct restore_names {
    size_t count, last; /* last: that matched; the next one is likely of the same device */
    struct keyed_hash *hashes[MANIFEST_DEVICES_MAX + 1];
};

static enum err add(struct restore_names *names, const struct account_secrets *keys)
{
    const enum err e = keyed_hash_new(keys->chunk_id_key, &names->hashes[names->count]);
    names->count += e == ERR_OK;
    return e;
}

/* A device whose key cannot be had wrote nothing that can be read. */
static enum err add_device(const struct vault *vault, const struct manifest_device *device,
                           struct restore_names *names)
{
    uint8_t data_key[SEGMENT_DATA_KEY_SIZE];
    struct account_secrets keys;
    if (device->epoch_count == 0 ||
        vault_data_key(vault, device->slot, device->epochs[0].epoch, data_key) != ERR_OK)
        return ERR_OK;
    vault_own_keys(data_key, &keys);
    secret_wipe(data_key, sizeof(data_key));
    const enum err e = add(names, &keys);
    secret_wipe(&keys, sizeof(keys));
    return e;
}

enum err restore_names_new(const struct vault *vault, struct restore_names **out)
{
    struct restore_names *names = calloc(1, sizeof(*names));
    const struct manifest *m = vault->manifest;
    enum err e = names ? add(names, &vault->secrets->account) : ERR_NOMEM;
    for (size_t i = 0; e == ERR_OK && i < m->device_count; i++)
        if (!(m->devices[i].capabilities & MANIFEST_READ) &&
            m->devices[i].slot != vault->secrets->slot)
            e = add_device(vault, &m->devices[i], names);
    if (e != ERR_OK) {
        restore_names_free(names);
        return e;
    }
    *out = names;
    return ERR_OK;
}

void restore_names_free(struct restore_names *names)
{
    if (!names)
        return;
    for (size_t i = 0; i < names->count; i++)
        keyed_hash_free(names->hashes[i]);
    free(names);
}

static bool matches(struct keyed_hash *hash, struct slice plain, const struct id *name)
{
    uint8_t found[KEYED_HASH_SIZE];
    keyed_hash(hash, plain, found);
    return memcmp(found, name->bytes, ID_SIZE) == 0;
}

bool restore_names_match(struct restore_names *names, struct slice plain, const struct id *name)
{
    if (matches(names->hashes[names->last], plain, name))
        return true;
    for (size_t i = 0; i < names->count; i++)
        if (i != names->last && matches(names->hashes[i], plain, name)) {
            names->last = i;
            return true;
        }
    return false;
}
