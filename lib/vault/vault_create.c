/*
 * A new account. Written in this order, so that nothing is lost however it ends: phrase file, keys,
 * index; then the invite is redeemed; then members and settings.ini, with which the vault exists.
 */
#include "base/text.h"
#include "identity/invite_text.h"
#include "identity/member_list.h"
#include "identity/phrase.h"
#include "placement/placement_level.h"
#include "swarm/swarm_join.h"
#include "vault/vault_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PHRASE_CELLS = 16 };

struct vault_join_state {
    struct vault *vault;
    struct invite_text invite;
    struct buf manifest; /* number 1, document */
    char *phrase_file;   /* written by us, or NULL */
    const char *addresses[LIMIT_ADDRESSES];
    vault_done_fn *done;
    void *user;
};

void vault_join_free(struct vault *vault)
{
    struct vault_join_state *join = vault->join;
    if (!join)
        return;
    invite_text_free(&join->invite);
    buf_free(&join->manifest);
    free(join->phrase_file);
    free(join);
    vault->join = NULL;
}

/* With its parents, 0700. */
enum err vault_make_dirs(const char *dir, struct errmsg *msg)
{
    char *path = strdup(dir);
    if (!path)
        return err_say(msg, ERR_NOMEM, "out of memory");
    enum err e = ERR_OK;
    for (char *at = path + 1; e == ERR_OK; at++) {
        if (*at != '/' && *at != 0)
            continue;
        const char was = *at;
        *at = 0;
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            e = err_say_errno(msg, errno, "cannot make the directory %s", path);
        *at = was;
        if (was == 0)
            break;
    }
    free(path);
    return e;
}

enum err vault_refuse_existing(const struct vault *vault, struct errmsg *msg)
{
    char *path = vault_path(vault, "settings.ini");
    if (!path)
        return err_say(msg, ERR_NOMEM, "out of memory");
    const bool there = access(path, F_OK) == 0;
    free(path);
    return there ? err_say(msg, ERR_EXISTS, "there is a vault at %s already", vault->dir) : ERR_OK;
}

/* The words on the first line, then where the swarm can be found. */
static enum err write_phrase(struct vault *vault, const char *file, struct errmsg *msg)
{
    struct vault_join_state *join = vault->join;
    struct buf text = BUF_INIT(65536);
    char id[ID_TEXT_SIZE];
    enum err e = buf_append_format(&text, "%s\n", vault->phrase);
    id_format(&join->invite.certificate.id, id);
    for (size_t i = 0; e == ERR_OK && i < join->invite.addresses.count; i++)
        e = buf_append_format(&text, "at %s@%s\n", id, join->invite.addresses.text[i]);
    if (e == ERR_OK)
        e = file_create(file, 0600, buf_slice(&text), msg);
    if (e == ERR_EXISTS)
        err_say(msg, e, "%s exists already, and a phrase is never written over anything", file);
    if (e == ERR_OK && !(join->phrase_file = strdup(file)))
        e = ERR_NOMEM;
    if (text.data)
        secret_wipe(text.data, text.capacity);
    buf_free(&text);
    return e;
}

enum err vault_make_device(struct vault *vault, const struct account_keys *keys, const char *name,
                           struct manifest *m)
{
    struct vault_secrets *s = vault->secrets;
    struct manifest_device device = {.capabilities = MANIFEST_CAPABILITIES, .has_secrets = true};
    struct manifest_epoch epoch = {.epoch = 1};
    uint8_t seal_secret[SEAL_SECRET_SIZE], fresh[2][SEAL_SEED_SIZE];
    if (!vault->device)
        random_fill(vault->ports.random, s->device_seed, sizeof(s->device_seed));
    random_fill(vault->ports.random, s->seal_seed, sizeof(s->seal_seed));
    random_fill(vault->ports.random, s->epochs[0].data_key, SEGMENT_DATA_KEY_SIZE);
    random_fill(vault->ports.random, fresh, sizeof(fresh));
    s->account = keys->secrets;
    s->epoch_count = 1;
    s->epochs[0].epoch = epoch.epoch;
    seal_pair(s->seal_seed, device.seal_key, seal_secret);
    secret_wipe(seal_secret, sizeof(seal_secret));
    snprintf(device.name, sizeof(device.name), "%s", name);
    enum err e = vault->device ? ERR_OK : sign_key_new(s->device_seed, &vault->device);
    if (e == ERR_OK)
        memcpy(device.key, sign_key_public(vault->device), SIGN_PUBLIC_SIZE);
    if (e == ERR_OK)
        e = account_secrets_seal(&keys->secrets, device.seal_key, fresh[0], device.secrets);
    if (e == ERR_OK)
        e = seal(keys->reading_public, fresh[1],
                 slice_of(s->epochs[0].data_key, SEGMENT_DATA_KEY_SIZE), epoch.sealed);
    if (e == ERR_OK)
        e = manifest_add_device(m, &device, &s->slot);
    return e == ERR_OK ? manifest_add_epoch(m, s->slot, &epoch) : e;
}

/* Phrase, account, device, manifest number one. */
static enum err make_account(struct vault *vault, const struct vault_create_options *options,
                             struct errmsg *msg)
{
    struct secret {
        uint8_t entropy[PHRASE_ENTROPY_SIZE];
        struct account_keys keys;
    } *secret = secret_new(sizeof(*secret));
    struct manifest *m = NULL;
    char host[LIMIT_NAME_BYTES + 1];
    vault->phrase = secret_new(PHRASE_TEXT_SIZE);
    enum err e = secret && vault->phrase ? ERR_OK : ERR_NOMEM;
    if (e != ERR_OK)
        goto end;
    vault_device_name(NULL, host);
    random_fill(vault->ports.random, secret->entropy, sizeof(secret->entropy));
    random_fill(vault->ports.random, vault->vault_key, sizeof(vault->vault_key));
    phrase_encode(secret->entropy, vault->phrase);
    e = account_keys_derive(secret->entropy, &vault->swarm_root, &secret->keys);
    if (e == ERR_OK)
        e = manifest_new(&vault->swarm_root, sign_key_public(secret->keys.root),
                         secret->keys.reading_public, &m);
    if (e != ERR_OK)
        goto end;
    vault->account = secret->keys.account;
    m->number = manifest_next_number(0, true);
    m->time_s = clock_wall_ns(vault->ports.clock) / 1000000000;
    m->hold_s = options->hold_s ? options->hold_s : MANIFEST_HOLD_DEFAULT_S;
    e = vault_make_device(vault, &secret->keys, options->device_name ? options->device_name : host,
                          m);
    if (e == ERR_OK)
        e = manifest_certify_admins(m, &vault->swarm_root, secret->keys.root);
    if (e == ERR_OK)
        e = manifest_make(m, &vault->swarm_root, secret->keys.root, &vault->join->manifest);
end:
    manifest_free(m);
    if (secret)
        account_keys_clear(&secret->keys);
    secret_free(secret);
    return e == ERR_OK ? e : err_say(msg, e, "cannot make a new account: %s", err_words(e));
}

static void settings_from_invite(struct vault *vault, const struct vault_create_options *options)
{
    struct vault_settings *settings = &vault->settings;
    const struct invite_text *invite = &vault->join->invite;
    config_defaults(vault_settings_keys, vault_settings_key_count, settings);
    text_hex(slice_of(vault->swarm_root.key, 32), settings->swarm_root);
    id_format(&invite->certificate.id, settings->coordinator);
    for (size_t i = 0; i < invite->addresses.count && i < CONFIG_LIST_MAX; i++)
        snprintf(settings->addresses.items[settings->addresses.count++], CONFIG_TEXT_SIZE, "%s",
                 invite->addresses.text[i]);
    if (options->redundancy)
        snprintf(settings->redundancy, CONFIG_TEXT_SIZE, "%s", options->redundancy);
}

static enum err read_invite(struct vault *vault, const struct vault_create_options *options,
                            struct errmsg *msg)
{
    struct placement_level level;
    if (options->redundancy && placement_level_parse(options->redundancy, &level, msg) != ERR_OK)
        return ERR_FORMAT;
    if (options->hold_s > MANIFEST_HOLD_MAX_S)
        return err_say(msg, ERR_TOO_LARGE, "a hold time of more than ten years cannot be");
    vault->join = calloc(1, sizeof(*vault->join));
    if (!vault->join)
        return err_say(msg, ERR_NOMEM, "out of memory");
    vault->join->manifest = BUF_INIT(LIMIT_MANIFEST_BYTES);
    vault->join->vault = vault;
    enum err e = invite_text_open(options->invite, &vault->join->invite, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the invite cannot be used");
    if (vault->join->invite.kind != INVITE_ACCOUNT)
        return err_say(msg, ERR_DENIED, "this invite is not for an account%s",
                       vault->join->invite.kind == INVITE_CELL ? ", it is for a cell" : "");
    vault->swarm_root = vault->join->invite.swarm;
    return ERR_OK;
}

void vault_device_name(const char *asked, char out[LIMIT_NAME_BYTES + 1])
{
    snprintf(out, LIMIT_NAME_BYTES + 1, "%s", asked ? asked : "device");
    if (!asked)
        (void)gethostname(out, LIMIT_NAME_BYTES);
}

void vault_remove_all(struct vault *vault)
{
    static const char *const names[] = {
        "keys",         "key",     "members",  INDEX_FILE, INDEX_FILE "-wal", INDEX_FILE "-shm",
        "settings.ini", "joining", "manifest", "lock"};
    index_close(vault->index);
    vault->index = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char *path = vault_path(vault, names[i]);
        if (path)
            unlink(path);
        free(path);
    }
    if (vault->join && vault->join->phrase_file)
        unlink(vault->join->phrase_file);
    rmdir(vault->dir); /* when it holds nothing else */
}

static enum err write_parts(struct vault *vault, const struct vault_create_options *options,
                            struct errmsg *msg)
{
    char *lock = vault_path(vault, "lock");
    enum err e = lock ? vault_file_lock(lock, false, &vault->lock_fd, msg) : ERR_NOMEM;
    free(lock);
    if (e == ERR_OK && options->phrase_file)
        e = write_phrase(vault, options->phrase_file, msg);
    if (e != ERR_OK)
        return e;
    e = vault_keys_write(vault, options->passphrase, msg);
    if (e == ERR_OK)
        e = vault_index_open(vault, INDEX_FILE, true, msg);
    if (e == ERR_OK)
        e = vault_manifest_take(vault, buf_slice(&vault->join->manifest), msg);
    if (e == ERR_OK)
        e = index_begin(vault->index, msg);
    if (e == ERR_OK)
        e = index_fact_put(vault->index, "manifest", buf_slice(&vault->join->manifest), msg);
    return e == ERR_OK ? index_commit(vault->index, msg) : e;
}

enum err vault_create(const struct vault_create_options *options, const struct vault_ports *ports,
                      struct vault **out, struct errmsg *msg)
{
    struct vault *vault;
    enum err e = vault_new(options->dir, VAULT_WRITE, ports, &vault, msg);
    if (e != ERR_OK)
        return e;
    e = vault_refuse_existing(vault, msg);
    if (e == ERR_OK)
        e = read_invite(vault, options, msg);
    if (e == ERR_OK)
        e = make_account(vault, options, msg);
    if (e == ERR_OK)
        e = vault_make_dirs(vault->dir, msg);
    if (e != ERR_OK)
        goto close;
    settings_from_invite(vault, options);
    e = write_parts(vault, options, msg);
    if (e == ERR_OK) {
        *out = vault;
        return ERR_OK;
    }
    vault_remove_all(vault);
close:
    vault_close(vault);
    return e;
}

const char *vault_phrase(const struct vault *vault)
{
    return vault->phrase;
}

/* The phrase's file gets some cells too, so that a recovery does not hang on the coordinator. */
static enum err append_cells(const struct vault *vault, struct slice document, struct errmsg *msg)
{
    struct member_list *list = NULL;
    struct buf text = BUF_INIT(65536);
    enum err e = member_list_open(document, &vault->swarm_root, &list, msg);
    for (size_t i = 0; e == ERR_OK && i < list->count && i < PHRASE_CELLS; i++) {
        struct address_list addresses;
        char id[ID_TEXT_SIZE];
        id_format(&list->members[i].id, id);
        e = address_list_decode(list->members[i].addresses, &addresses);
        for (size_t j = 0; e == ERR_OK && j < addresses.count; j++)
            e = buf_append_format(&text, "at %s@%s\n", id, addresses.text[j]);
    }
    if (e == ERR_OK)
        e = vault_file_append(vault->join->phrase_file, buf_slice(&text), msg);
    member_list_free(list);
    buf_free(&text);
    return e;
}

static enum err finish(struct vault *vault, const struct wire_join_reply *reply, struct errmsg *msg)
{
    char *members = vault_path(vault, "members"), *settings = vault_path(vault, "settings.ini");
    enum err e = members && settings ? ERR_OK : ERR_NOMEM;
    const size_t size = reply->redundancy.size;
    if (size > 0 && size < CONFIG_TEXT_SIZE) {
        memcpy(vault->settings.swarm_redundancy, reply->redundancy.data, size);
        vault->settings.swarm_redundancy[size] = 0;
    }
    if (e == ERR_OK)
        e = file_write(members, 0600, reply->members, msg);
    if (e == ERR_OK && vault->join->phrase_file)
        e = append_cells(vault, reply->members, msg);
    if (e == ERR_OK)
        e = config_write_file(settings, 0600, vault_settings_keys, vault_settings_key_count,
                              &vault->settings, msg);
    free(members);
    free(settings);
    return e;
}

static void joined(void *user, enum err e, const struct wire_join_reply *reply,
                   const struct errmsg *why)
{
    struct vault *vault = user;
    struct errmsg msg = *why;
    struct vault_join_state *join = vault->join;
    vault_done_fn *done = join->done;
    void *done_user = join->user;
    if (e == ERR_OK)
        e = finish(vault, reply, &msg);
    if (e != ERR_OK)
        vault_remove_all(vault);
    vault_join_free(vault);
    done(done_user, e, &msg);
}

enum err vault_join(struct vault *vault, struct net *net, vault_done_fn *done, void *user,
                    struct errmsg *msg)
{
    struct vault_join_state *join = vault->join;
    if (!join)
        return err_say(msg, ERR_STATE, "the vault is a member already");
    join->done = done;
    join->user = user;
    const struct swarm_join_request request = {
        .net = net,
        .coordinator = join->invite.certificate.id,
        .addresses = join->addresses,
        .address_count = address_list_pointers(&join->invite.addresses, join->addresses),
        .join = {.kind = WIRE_JOIN_ACCOUNT,
                 .invite = join->invite.invite,
                 .document = buf_slice(&join->manifest)},
    };
    enum err e = swarm_join(&request, joined, vault, msg);
    if (e != ERR_OK)
        vault_remove_all(vault);
    return e;
}
