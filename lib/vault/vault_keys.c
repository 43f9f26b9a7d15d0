/*
 * DIR/keys: CBOR map
 *     0 version 1 · 1 swarm root's key · 2 account ID · 3 device ID
 *     4 slots: array of [kind (1 passphrase, 2 key file), salt (16), passes, memory KiB, box]
 *     5 box of the secrets under the vault key
 * A slot's box holds the vault key under Argon2id(passphrase, salt) or under DIR/key; the boxes are
 * bound to account and device by their additional data (fields 1 to 3, joined).
 */
#include "vault/vault_keyslots.h"
#include "vault/vault_parts.h"

#include "cbor/cbor_read.h"
#include "cbor/cbor_write.h"
#include "crypto/box.h"
#include "crypto/kdf.h"
#include "crypto/password.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { VERSION = 1, SLOTS_MAX = VAULT_KEYSLOTS_MAX, KEYS_BYTES_MAX = 65536, AAD_SIZE = 96 };
enum slot_kind { SLOT_PASSPHRASE = 1, SLOT_KEY_FILE = 2 };

struct slot {
    enum slot_kind kind;
    uint8_t salt[PASSWORD_SALT_SIZE];
    struct password_cost cost;
    uint8_t box[VAULT_KEY_SIZE + BOX_OVERHEAD];
};

static void bind_to(const struct vault *vault, const struct id *device, uint8_t aad[AAD_SIZE])
{
    memcpy(aad, vault->swarm_root.key, 32);
    memcpy(aad + 32, vault->account.bytes, 32);
    memcpy(aad + 64, device->bytes, 32);
}

static enum err secrets_encode(const struct vault_secrets *s, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0), cbor_write_bytes(&w, slice_of(s->device_seed, SIGN_SEED_SIZE));
    cbor_write_key(&w, 1), cbor_write_bytes(&w, slice_of(s->seal_seed, SEAL_SEED_SIZE));
    cbor_write_key(&w, 2), cbor_write_bytes(&w, slice_of(&s->account, sizeof(s->account)));
    cbor_write_key(&w, 3), cbor_write_u64(&w, s->slot);
    cbor_write_key(&w, 4), cbor_write_array(&w);
    for (size_t i = 0; i < s->epoch_count; i++) {
        cbor_write_array(&w);
        cbor_write_u64(&w, s->epochs[i].epoch);
        cbor_write_bytes(&w, slice_of(s->epochs[i].data_key, SEGMENT_DATA_KEY_SIZE));
        cbor_write_end(&w);
    }
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static enum err secrets_decode(struct slice bytes, struct vault_secrets *s, struct errmsg *msg)
{
    struct cbor_reader r = cbor_read_over(bytes);
    cbor_read_map(&r);
    cbor_read_key(&r, 0), cbor_read_fixed(&r, s->device_seed, SIGN_SEED_SIZE);
    cbor_read_key(&r, 1), cbor_read_fixed(&r, s->seal_seed, SEAL_SEED_SIZE);
    cbor_read_key(&r, 2), cbor_read_fixed(&r, &s->account, sizeof(s->account));
    cbor_read_key(&r, 3), s->slot = cbor_read_u32(&r, UINT32_MAX);
    cbor_read_key(&r, 4), s->epoch_count = cbor_read_array(&r, VAULT_EPOCHS_MAX);
    for (size_t i = 0; i < s->epoch_count; i++) {
        if (cbor_read_array(&r, 2) != 2)
            cbor_read_refuse(&r, ERR_FORMAT);
        s->epochs[i].epoch = cbor_read_u32(&r, UINT32_MAX);
        cbor_read_fixed(&r, s->epochs[i].data_key, SEGMENT_DATA_KEY_SIZE);
        cbor_read_end(&r);
    }
    cbor_read_end(&r);
    cbor_read_end(&r);
    if (r.e == ERR_OK && s->epoch_count == 0)
        cbor_read_refuse(&r, ERR_FORMAT);
    return cbor_read_finish(&r, msg, "the vault's keys");
}

/* The key of a slot: from the passphrase, or a new key file. */
static enum err make_slot(const struct vault *vault, struct slice passphrase,
                          const uint8_t aad[AAD_SIZE], struct slot *slot, struct errmsg *msg)
{
    uint8_t key[BOX_KEY_SIZE], nonce[BOX_NONCE_SIZE];
    enum err e;
    *slot = (struct slot){.kind = passphrase.size ? SLOT_PASSPHRASE : SLOT_KEY_FILE,
                          .cost = PASSWORD_COST_DEFAULT};
    random_fill(vault->ports.random, slot->salt, sizeof(slot->salt));
    random_fill(vault->ports.random, nonce, sizeof(nonce));
    if (passphrase.size > 0) {
        e = password_key(passphrase, slot->salt, slot->cost, key);
        if (e != ERR_OK)
            e = err_say(msg, e, "cannot make a key from the passphrase");
    } else {
        random_fill(vault->ports.random, key, sizeof(key));
        char *path = vault_path(vault, "key");
        e = path ? file_write(path, 0600, slice_of(key, sizeof(key)), msg)
                 : err_say(msg, ERR_NOMEM, "out of memory");
        free(path);
    }
    if (e == ERR_OK)
        box_seal(key, nonce, slice_of(aad, AAD_SIZE), slice_of(vault->vault_key, VAULT_KEY_SIZE),
                 slot->box);
    secret_wipe(key, sizeof(key));
    return e;
}

static void write_slot(struct cbor_writer *w, const struct slot *slot)
{
    cbor_write_array(w);
    cbor_write_u64(w, slot->kind);
    cbor_write_bytes(w, slice_of(slot->salt, sizeof(slot->salt)));
    cbor_write_u64(w, slot->cost.passes);
    cbor_write_u64(w, slot->cost.memory_kib);
    cbor_write_bytes(w, slice_of(slot->box, sizeof(slot->box)));
    cbor_write_end(w);
}

static enum err file_encode(const struct vault *vault, const struct slot *slots, size_t count,
                            struct slice box, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0), cbor_write_u64(&w, VERSION);
    cbor_write_key(&w, 1), cbor_write_bytes(&w, slice_of(vault->swarm_root.key, 32));
    cbor_write_key(&w, 2), cbor_write_id(&w, &vault->account);
    cbor_write_key(&w, 3), cbor_write_id(&w, sign_key_id(vault->device));
    cbor_write_key(&w, 4), cbor_write_array(&w);
    for (size_t i = 0; i < count; i++)
        write_slot(&w, &slots[i]);
    cbor_write_end(&w);
    cbor_write_key(&w, 5), cbor_write_bytes(&w, box);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

/* The whole file, with the secrets as they are now. */
static enum err write_file(const struct vault *vault, const struct slot *slots, size_t count,
                           struct errmsg *msg)
{
    uint8_t aad[AAD_SIZE], nonce[BOX_NONCE_SIZE];
    struct buf plain = BUF_INIT(KEYS_BYTES_MAX), box = BUF_INIT(KEYS_BYTES_MAX),
               file = BUF_INIT(KEYS_BYTES_MAX);
    char *path = vault_path(vault, "keys");
    bind_to(vault, sign_key_id(vault->device), aad);
    random_fill(vault->ports.random, nonce, sizeof(nonce));
    enum err e = path ? buf_reserve(&plain, KEYS_BYTES_MAX / 2) : ERR_NOMEM;
    if (e == ERR_OK)
        e = secrets_encode(vault->secrets, &plain);
    if (e == ERR_OK)
        e = buf_append_zeros(&box, plain.size + BOX_OVERHEAD);
    if (e == ERR_OK) {
        box_seal(vault->vault_key, nonce, slice_of(aad, AAD_SIZE), buf_slice(&plain), box.data);
        e = file_encode(vault, slots, count, buf_slice(&box), &file);
    }
    if (e == ERR_OK)
        e = file_write(path, 0600, buf_slice(&file), msg);
    if (plain.data)
        secret_wipe(plain.data, plain.capacity);
    buf_free(&plain);
    buf_free(&box);
    buf_free(&file);
    free(path);
    return e == ERR_OK ? e : err_wrap(msg, e, "cannot write the vault's keys");
}

enum err vault_keys_write(const struct vault *vault, struct slice passphrase, struct errmsg *msg)
{
    uint8_t aad[AAD_SIZE];
    struct slot slot;
    bind_to(vault, sign_key_id(vault->device), aad);
    const enum err e = make_slot(vault, passphrase, aad, &slot, msg);
    return e == ERR_OK ? write_file(vault, &slot, 1, msg) : e;
}

struct keys_file {
    struct buf bytes;
    struct id device;
    struct slot slots[SLOTS_MAX];
    size_t slot_count;
    struct slice box;
};

static void read_slot(struct cbor_reader *r, struct slot *slot)
{
    if (cbor_read_array(r, 5) != 5)
        cbor_read_refuse(r, ERR_FORMAT);
    slot->kind = (enum slot_kind)cbor_read_u64(r, 2);
    cbor_read_fixed(r, slot->salt, sizeof(slot->salt));
    slot->cost.passes = cbor_read_u32(r, PASSWORD_PASSES_MAX);
    slot->cost.memory_kib = cbor_read_u32(r, PASSWORD_MEMORY_MAX_KIB);
    cbor_read_fixed(r, slot->box, sizeof(slot->box));
    cbor_read_end(r);
}

static enum err keys_read(struct vault *vault, struct keys_file *file, struct errmsg *msg)
{
    file->bytes = BUF_INIT(KEYS_BYTES_MAX);
    char *path = vault_path(vault, "keys");
    enum err e = path ? file_read(path, &file->bytes, msg) : ERR_NOMEM;
    free(path);
    if (e != ERR_OK)
        return e;
    uint8_t root[SIGN_PUBLIC_SIZE];
    struct cbor_reader r = cbor_read_over(buf_slice(&file->bytes));
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    if (cbor_read_u64(&r, UINT64_MAX) != VERSION)
        cbor_read_refuse(&r, ERR_VERSION);
    cbor_read_key(&r, 1), cbor_read_fixed(&r, root, sizeof(root));
    cbor_read_key(&r, 2), cbor_read_id(&r, &vault->account);
    cbor_read_key(&r, 3), cbor_read_id(&r, &file->device);
    cbor_read_key(&r, 4), file->slot_count = cbor_read_array(&r, SLOTS_MAX);
    for (size_t i = 0; i < file->slot_count; i++)
        read_slot(&r, &file->slots[i]);
    cbor_read_end(&r);
    cbor_read_key(&r, 5), file->box = cbor_read_bytes(&r, KEYS_BYTES_MAX);
    cbor_read_end(&r);
    if (r.e == ERR_OK && file->box.size < BOX_OVERHEAD)
        cbor_read_refuse(&r, ERR_FORMAT);
    e = cbor_read_finish(&r, msg, "the vault's key file");
    if (e == ERR_FORMAT)
        return err_say(msg, e,
                       "%s/keys is damaged: move the vault away and recover it with the phrase",
                       vault->dir);
    if (e == ERR_OK)
        swarm_root_of(root, &vault->swarm_root);
    return e;
}

/* SECRET when this slot is not opened by what was given. */
static enum err try_slot(struct vault *vault, const struct slot *slot, struct slice passphrase,
                         const uint8_t aad[AAD_SIZE], struct errmsg *msg)
{
    uint8_t key[BOX_KEY_SIZE] = {0};
    enum err e = ERR_SECRET;
    if (slot->kind == SLOT_PASSPHRASE && passphrase.size > 0) {
        e = password_key(passphrase, slot->salt, slot->cost, key);
        if (e != ERR_OK)
            err_say(msg, e, "cannot make a key from the passphrase");
    } else if (slot->kind == SLOT_KEY_FILE && passphrase.size == 0) {
        struct buf file = BUF_INIT(2 * BOX_KEY_SIZE);
        char *path = vault_path(vault, "key");
        e = path ? file_read(path, &file, msg) : ERR_NOMEM;
        if (e == ERR_NOT_FOUND)
            e = ERR_SECRET;
        if (e == ERR_OK && file.size != BOX_KEY_SIZE)
            e = err_say(msg, ERR_FORMAT, "%s is not a key file", path);
        if (e == ERR_OK)
            memcpy(key, file.data, BOX_KEY_SIZE);
        if (file.data)
            secret_wipe(file.data, file.capacity);
        buf_free(&file);
        free(path);
    }
    if (e == ERR_OK)
        e = box_open(key, slice_of(aad, AAD_SIZE), slice_of(slot->box, sizeof(slot->box)),
                     vault->vault_key);
    secret_wipe(key, sizeof(key));
    return e;
}

static enum err open_secrets(struct vault *vault, const struct keys_file *file,
                             const uint8_t aad[AAD_SIZE], struct errmsg *msg)
{
    const size_t size = file->box.size - BOX_OVERHEAD;
    uint8_t *plain = secret_new(size + 1);
    if (!plain)
        return err_say(msg, ERR_NOMEM, "out of memory");
    enum err e = box_open(vault->vault_key, slice_of(aad, AAD_SIZE), file->box, plain);
    if (e != ERR_OK)
        e = err_say(
            msg, e == ERR_SECRET ? ERR_CORRUPT : e,
            "the vault's keys are damaged: move the vault away and recover it with the phrase");
    if (e == ERR_OK)
        e = secrets_decode(slice_of(plain, size), vault->secrets, msg);
    secret_free(plain);
    if (e == ERR_OK)
        e = sign_key_new(vault->secrets->device_seed, &vault->device);
    if (e == ERR_OK && !id_equal(sign_key_id(vault->device), &file->device))
        e = err_say(msg, ERR_CORRUPT, "the vault's keys are of another device");
    return e;
}

enum err vault_keys_read(struct vault *vault, struct slice passphrase, struct errmsg *msg)
{
    struct keys_file file;
    uint8_t aad[AAD_SIZE];
    enum err e = keys_read(vault, &file, msg);
    if (e != ERR_OK)
        goto end;
    bind_to(vault, &file.device, aad);
    e = ERR_SECRET;
    for (size_t i = 0; e == ERR_SECRET && i < file.slot_count; i++) {
        e = try_slot(vault, &file.slots[i], passphrase, aad, msg);
        vault->keyslot = (unsigned)i;
    }
    if (e == ERR_SECRET)
        err_say(msg, e,
                passphrase.size ? "the passphrase does not open the vault %s"
                                : "the vault %s needs a passphrase",
                vault->dir);
    if (e == ERR_OK)
        e = open_secrets(vault, &file, aad, msg);
end:
    buf_free(&file.bytes);
    return e;
}

enum err vault_keys_need_passphrase(const char *dir, bool *out, struct errmsg *msg)
{
    struct vault vault = {0};
    struct keys_file file = {0};
    if (asprintf(&vault.dir, "%s", dir) < 0)
        return err_say(msg, ERR_NOMEM, "out of memory");
    const enum err e = keys_read(&vault, &file, msg);
    char *path = vault_path(&vault, "key");
    *out = true;
    for (size_t i = 0; e == ERR_OK && path && i < file.slot_count; i++)
        if (file.slots[i].kind == SLOT_KEY_FILE && access(path, F_OK) == 0)
            *out = false;
    buf_free(&file.bytes);
    free(path);
    free(vault.dir);
    return e;
}

enum err vault_needs_passphrase(const char *dir, bool *out, struct errmsg *msg)
{
    char *path = NULL;
    *out = true;
    if (asprintf(&path, "%s/settings.ini", dir) < 0)
        return err_say(msg, ERR_NOMEM, "out of memory");
    const bool there = access(path, F_OK) == 0;
    free(path);
    return there ? vault_keys_need_passphrase(dir, out, msg)
                 : err_say(msg, ERR_NOT_FOUND, "there is no vault at %s", dir);
}

void vault_own_keys(const uint8_t data_key[SEGMENT_DATA_KEY_SIZE], struct account_secrets *out)
{
    memset(out, 0, sizeof(*out));
    kdf_32(data_key, "cellar/device/chunk-id", slice_of(NULL, 0), out->chunk_id_key);
    kdf_32(data_key, "cellar/device/cut-point", slice_of(NULL, 0), out->cut_point_key);
}

/* --- slots --- */

enum err vault_keys_save(const struct vault *vault, struct errmsg *msg)
{
    struct vault there = {.dir = vault->dir};
    struct keys_file file = {0};
    enum err e = keys_read(&there, &file, msg);
    if (e == ERR_OK)
        e = write_file(vault, file.slots, file.slot_count, msg);
    buf_free(&file.bytes);
    return e;
}

static enum err slots_read(const struct vault *vault, struct keys_file *file, struct errmsg *msg)
{
    struct vault there = {.dir = vault->dir};
    return keys_read(&there, file, msg);
}

static enum err slots_open(const struct vault *vault, struct keys_file *file, struct errmsg *msg)
{
    if (vault->access != VAULT_WRITE)
        return err_say(msg, ERR_STATE, "the vault is not open for writing");
    return slots_read(vault, file, msg);
}

enum err vault_keyslots_list(const struct vault *vault,
                             struct vault_keyslot out[VAULT_KEYSLOTS_MAX], size_t *count,
                             struct errmsg *msg)
{
    struct keys_file file = {0};
    const enum err e = slots_read(vault, &file, msg);
    *count = e == ERR_OK ? file.slot_count : 0;
    for (size_t i = 0; i < *count; i++)
        out[i] = (struct vault_keyslot){.number = (unsigned)i + 1,
                                        .key_file = file.slots[i].kind == SLOT_KEY_FILE,
                                        .used = i == vault->keyslot};
    buf_free(&file.bytes);
    return e;
}

enum err vault_keyslots_add(struct vault *vault, struct slice passphrase, unsigned *number,
                            struct errmsg *msg)
{
    struct keys_file file = {0};
    uint8_t aad[AAD_SIZE];
    enum err e = slots_open(vault, &file, msg);
    for (size_t i = 0; e == ERR_OK && passphrase.size == 0 && i < file.slot_count; i++)
        if (file.slots[i].kind == SLOT_KEY_FILE)
            e = err_say(msg, ERR_EXISTS, "the vault has a key file already");
    if (e == ERR_OK && file.slot_count == SLOTS_MAX)
        e = err_say(msg, ERR_TOO_LARGE, "all %u key slots are used; remove one first",
                    (unsigned)SLOTS_MAX);
    bind_to(vault, sign_key_id(vault->device), aad);
    if (e == ERR_OK)
        e = make_slot(vault, passphrase, aad, &file.slots[file.slot_count], msg);
    if (e == ERR_OK)
        e = write_file(vault, file.slots, ++file.slot_count, msg);
    if (e == ERR_OK)
        *number = (unsigned)file.slot_count;
    buf_free(&file.bytes);
    return e;
}

static void remove_key_file(const struct vault *vault)
{
    char *path = vault_path(vault, "key");
    if (path)
        unlink(path);
    free(path);
}

enum err vault_keyslots_remove(struct vault *vault, unsigned number, struct errmsg *msg)
{
    struct keys_file file = {0};
    enum err e = slots_open(vault, &file, msg);
    if (e == ERR_OK && (number == 0 || number > file.slot_count))
        e = err_say(msg, ERR_NOT_FOUND, "there is no key slot %u; \"cellctl key list\" shows them",
                    number);
    if (e == ERR_OK && file.slot_count == 1)
        e = err_say(msg, ERR_DENIED,
                    "this is the only key of the vault; without it nothing opens it any more");
    if (e != ERR_OK) {
        buf_free(&file.bytes);
        return e;
    }
    const bool key_file = file.slots[number - 1].kind == SLOT_KEY_FILE;
    file.slot_count--;
    for (size_t i = number - 1; i < file.slot_count; i++)
        file.slots[i] = file.slots[i + 1];
    e = write_file(vault, file.slots, file.slot_count, msg);
    if (e == ERR_OK && key_file)
        remove_key_file(vault);
    if (e == ERR_OK && vault->keyslot + 1 > number)
        vault->keyslot--;
    buf_free(&file.bytes);
    return e;
}

enum err vault_keyslots_change(struct vault *vault, struct slice passphrase, struct errmsg *msg)
{
    struct keys_file file = {0};
    uint8_t aad[AAD_SIZE];
    enum err e = slots_open(vault, &file, msg);
    if (e == ERR_OK && passphrase.size == 0)
        e = err_say(msg, ERR_USAGE, "the new passphrase is empty");
    bind_to(vault, sign_key_id(vault->device), aad);
    const bool key_file = e == ERR_OK && file.slots[vault->keyslot].kind == SLOT_KEY_FILE;
    if (e == ERR_OK)
        e = make_slot(vault, passphrase, aad, &file.slots[vault->keyslot], msg);
    if (e == ERR_OK)
        e = write_file(vault, file.slots, file.slot_count, msg);
    if (e == ERR_OK && key_file)
        remove_key_file(vault);
    buf_free(&file.bytes);
    return e;
}
