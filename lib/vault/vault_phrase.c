#include "vault/vault_phrase.h"

#include "identity/member_list.h"
#include "identity/phrase.h"
#include "vault/vault_manifest.h"

#include <stdlib.h>

_Static_assert((int)VAULT_PHRASE_TEXT_SIZE == (int)PHRASE_TEXT_SIZE, "the same text");

enum { PHRASE_CELLS = 16 };

enum err vault_root_adapt(const struct manifest *m, struct account_keys *keys)
{
    struct account_secrets *before = secret_new(sizeof(*before));
    enum err e = before ? ERR_OK : ERR_NOMEM;
    if (e == ERR_OK && m->root_count > 0)
        e = manifest_secrets_before(m, &keys->secrets, 0, before);
    if (e == ERR_OK && m->root_count > 0) {
        memcpy(keys->secrets.chunk_id_key, before->chunk_id_key, KEYED_HASH_KEY_SIZE);
        memcpy(keys->secrets.cut_point_key, before->cut_point_key, sizeof(before->cut_point_key));
    }
    secret_free(before);
    keys->account = m->account;
    return e;
}

static enum err check_root(const struct vault *vault, struct vault_root *root, struct errmsg *msg)
{
    const struct manifest *m = vault->manifest;
    bool now;
    if (!manifest_is_root(m, sign_key_id(root->keys.root), &now))
        return err_say(msg, ERR_SECRET,
                       "these words are a recovery phrase, but of another account than this "
                       "vault's");
    if (!now)
        return err_say(msg, ERR_SECRET,
                       "these words were this account's recovery phrase and have been replaced by "
                       "others: they open nothing any more");
    const enum err e = vault_root_adapt(m, &root->keys);
    return e == ERR_OK ? e : err_say(msg, e, "the account's keys do not open with these words");
}

enum err vault_phrase_open(const struct vault *vault, const char *words, struct vault_root **out,
                           struct errmsg *msg)
{
    struct vault_root *root = secret_new(sizeof(*root));
    uint8_t *entropy = secret_new(PHRASE_ENTROPY_SIZE);
    enum err e = root && entropy ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory");
    if (e == ERR_OK)
        e = phrase_decode(words, entropy, msg);
    if (e == ERR_OK) {
        e = account_keys_derive(entropy, &vault->swarm_root, &root->keys);
        if (e != ERR_OK)
            (void)err_say(msg, e, "cannot make the account's keys from the phrase");
    }
    if (e == ERR_OK)
        e = check_root(vault, root, msg);
    secret_free(entropy);
    if (e != ERR_OK) {
        vault_phrase_close(root);
        return e;
    }
    *out = root;
    return ERR_OK;
}

void vault_phrase_close(struct vault_root *root)
{
    if (!root)
        return;
    account_keys_clear(&root->keys);
    secret_free(root);
}

/* --- another one --- */

enum err vault_phrase_new(const struct vault *vault, const struct vault_root *old,
                          struct vault_root **out, char *words, struct errmsg *msg)
{
    struct vault_root *root = secret_new(sizeof(*root));
    uint8_t *entropy = secret_new(PHRASE_ENTROPY_SIZE);
    enum err e = root && entropy ? ERR_OK : ERR_NOMEM;
    if (e == ERR_OK) {
        random_fill(vault->ports.random, entropy, PHRASE_ENTROPY_SIZE);
        phrase_encode(entropy, words);
        e = account_keys_derive(entropy, &vault->swarm_root, &root->keys);
    }
    secret_free(entropy);
    if (e != ERR_OK) {
        vault_phrase_close(root);
        return err_say(msg, e, "cannot make a new phrase: %s", err_words(e));
    }
    root->keys.account = old->keys.account;
    memcpy(root->keys.secrets.chunk_id_key, old->keys.secrets.chunk_id_key, KEYED_HASH_KEY_SIZE);
    memcpy(root->keys.secrets.cut_point_key, old->keys.secrets.cut_point_key,
           sizeof(root->keys.secrets.cut_point_key));
    *out = root;
    return ERR_OK;
}

static enum err write_member(const struct member *member, struct buf *out)
{
    struct address_list addresses;
    char id[ID_TEXT_SIZE];
    id_format(&member->id, id);
    enum err e = address_list_decode(member->addresses, &addresses);
    for (size_t i = 0; e == ERR_OK && i < addresses.count; i++)
        e = buf_append_format(out, "at %s@%s\n", id, addresses.text[i]);
    return e;
}

enum err vault_phrase_write(const struct vault *vault, const char *words, const char *file,
                            struct errmsg *msg)
{
    struct member_list *list = NULL;
    const struct vault_settings *settings = &vault->settings;
    struct buf text = BUF_INIT(65536);
    enum err e = buf_reserve(&text, 32768);
    if (e == ERR_OK)
        e = buf_append_format(&text, "%s\n", words);
    for (size_t i = 0; e == ERR_OK && i < settings->addresses.count; i++)
        e = buf_append_format(&text, "at %s@%s\n", settings->coordinator,
                              settings->addresses.items[i]);
    if (e == ERR_OK)
        e = member_list_open(swarm_list_bytes(vault->swarm), &vault->swarm_root, &list, msg);
    for (size_t i = 0; e == ERR_OK && i < list->count && i < PHRASE_CELLS; i++)
        e = write_member(&list->members[i], &text);
    if (e == ERR_OK)
        e = file_create(file, 0600, buf_slice(&text), msg);
    if (e == ERR_EXISTS)
        (void)err_say(msg, e, "%s exists already, and a phrase is never written over anything",
                      file);
    member_list_free(list);
    if (text.data)
        secret_wipe(text.data, text.capacity);
    buf_free(&text);
    return e;
}

struct replace {
    struct vault *vault;
    const struct account_keys *old, *next;
    vault_done_fn *done;
    void *user;
};

/* One that does not open was never a key: it stays as it is. */
static enum err seal_epochs(const struct replace *r, const struct manifest *m,
                            struct manifest_device *d)
{
    uint8_t ephemeral[SEAL_SEED_SIZE], *key = secret_new(MANIFEST_DATA_KEY_SIZE);
    enum err e = key ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; e == ERR_OK && i < d->epoch_count; i++) {
        struct manifest_epoch *epoch = &d->epochs[i];
        const struct slice sealed = slice_of(epoch->sealed, sizeof(epoch->sealed));
        if (seal_open(m->reading_key, r->old->secrets.reading_secret, sealed, key) != ERR_OK)
            continue;
        random_fill(r->vault->ports.random, ephemeral, sizeof(ephemeral));
        e = seal(r->next->reading_public, ephemeral, slice_of(key, MANIFEST_DATA_KEY_SIZE),
                 epoch->sealed);
    }
    secret_free(key);
    return e;
}

/* A revoked device gets none of the new keys. */
static enum err seal_secrets(const struct replace *r, struct manifest_device *d)
{
    uint8_t ephemeral[SEAL_SEED_SIZE];
    d->has_secrets = d->has_secrets && !d->revoked;
    if (!d->has_secrets)
        return ERR_OK;
    random_fill(r->vault->ports.random, ephemeral, sizeof(ephemeral));
    return account_secrets_seal(&r->next->secrets, d->seal_key, ephemeral, d->secrets);
}

static enum err replace_edit(void *user, struct manifest *m, struct errmsg *msg)
{
    const struct replace *r = user;
    uint8_t ephemeral[SEAL_SEED_SIZE], sealed[ACCOUNT_SECRETS_SEALED_SIZE];
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < m->device_count; i++) {
        e = seal_epochs(r, m, &m->devices[i]);
        if (e == ERR_OK)
            e = seal_secrets(r, &m->devices[i]);
    }
    random_fill(r->vault->ports.random, ephemeral, sizeof(ephemeral));
    if (e == ERR_OK)
        e = account_secrets_seal(&r->old->secrets, r->next->reading_public, ephemeral, sealed);
    if (e == ERR_OK)
        e = manifest_replace_root(m, &r->vault->swarm_root, r->old->root, r->next->root,
                                  r->next->reading_public, sealed);
    if (e == ERR_TOO_LARGE)
        return err_say(msg, e, "the phrase was replaced %u times, which is all that there can be",
                       (unsigned)MANIFEST_ROOTS_MAX);
    return e == ERR_OK ? e : err_say(msg, e, "cannot put the new phrase in its place");
}

static void replaced(void *user, enum err e, const struct errmsg *msg)
{
    struct replace *r = user;
    vault_done_fn *done = r->done;
    void *done_user = r->user;
    free(r);
    done(done_user, e, msg);
}

enum err vault_phrase_replace(struct vault *vault, const struct vault_root *old,
                              const struct vault_root *next, vault_done_fn *done, void *user,
                              struct errmsg *msg)
{
    struct replace *r = calloc(1, sizeof(*r));
    if (!r)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *r = (struct replace){
        .vault = vault, .old = &old->keys, .next = &next->keys, .done = done, .user = user};
    const struct vault_manifest_change change = {
        .edit = replace_edit, .root = next->keys.root, .done = replaced, .user = r};
    const enum err e = vault_manifest_change(vault, &change, msg);
    if (e != ERR_OK)
        free(r);
    return e;
}
