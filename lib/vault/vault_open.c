#include "vault/vault_manifest.h"

#include "base/text.h"
#include "placement/placement_level.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum err read_settings(struct vault *vault, struct errmsg *msg)
{
    char *path = vault_path(vault, "settings.ini");
    if (!path)
        return err_say(msg, ERR_NOMEM, "out of memory");
    config_defaults(vault_settings_keys, vault_settings_key_count, &vault->settings);
    enum err e = config_read_file(path, vault_settings_keys, vault_settings_key_count,
                                  &vault->settings, vault->ports.log, msg);
    free(path);
    if (e == ERR_NOT_FOUND)
        return err_say(msg, e, "there is no vault at %s; \"cellctl init\" makes one", vault->dir);
    return e;
}

/* The account's keys may have changed (its phrase was replaced): the manifest has them for this
   device, unless it was revoked before. */
static void refresh_secrets(struct vault *vault)
{
    const struct manifest_device *self =
        vault->device ? manifest_device_find(vault->manifest, vault_device(vault)) : NULL;
    uint8_t public[SEAL_PUBLIC_SIZE], secret[SEAL_SECRET_SIZE];
    struct account_secrets *opened;
    if (!self || !self->has_secrets || !(opened = secret_new(sizeof(*opened))))
        return;
    seal_pair(vault->secrets->seal_seed, public, secret);
    if (account_secrets_open(self->secrets, public, secret, opened) == ERR_OK)
        vault->secrets->account = *opened;
    secret_wipe(secret, sizeof(secret));
    secret_free(opened);
}

enum err vault_unseal(const struct vault *vault, struct slice sealed, uint8_t *out)
{
    const struct manifest *m = vault->manifest;
    struct account_secrets *secrets = secret_new(sizeof(*secrets));
    if (!secrets)
        return ERR_NOMEM;
    enum err e = seal_open(m->reading_key, vault->secrets->account.reading_secret, sealed, out);
    for (size_t back = 0; e == ERR_AUTH && back < m->root_count; back++) {
        e = manifest_secrets_before(m, &vault->secrets->account, back, secrets);
        if (e == ERR_OK)
            e = seal_open(m->roots[m->root_count - 1 - back].reading_before,
                          secrets->reading_secret, sealed, out);
    }
    secret_free(secrets);
    return e;
}

enum err vault_manifest_take(struct vault *vault, struct slice bytes, struct errmsg *msg)
{
    struct manifest *manifest = NULL;
    enum err e = manifest_open(bytes, &vault->swarm_root, &manifest, msg);
    if (e == ERR_OK && !id_equal(&manifest->account, &vault->account))
        e = err_say(msg, ERR_INCONSISTENT, "a manifest of another account");
    if (e == ERR_OK && vault->manifest)
        e = manifest_follows(vault->manifest, manifest, msg);
    struct buf copy = BUF_INIT(LIMIT_MANIFEST_BYTES);
    if (e == ERR_OK)
        e = buf_append(&copy, bytes.data, bytes.size);
    if (e != ERR_OK) {
        manifest_free(manifest);
        return e;
    }
    manifest_free(vault->manifest);
    buf_free(&vault->manifest_bytes);
    vault->manifest = manifest;
    vault->manifest_bytes = copy;
    refresh_secrets(vault);
    return ERR_OK;
}

static enum err read_manifest(struct vault *vault, struct errmsg *msg)
{
    struct slice bytes;
    enum err e = index_fact_get(vault->index, "manifest", &bytes, msg);
    if (e == ERR_NOT_FOUND)
        return err_say(msg, ERR_CORRUPT,
                       "the vault's index is damaged: the account's manifest is not in it; it can "
                       "be rebuilt from what the swarm holds");
    return e == ERR_OK ? vault_manifest_take(vault, bytes, msg)
                       : err_wrap(msg, e, "the vault's index does not know the account's manifest");
}

/* What only wants to catch up reads when it cannot have the lock. */
static enum err take_lock(struct vault *vault, struct errmsg *msg)
{
    const bool short_use = vault->access == VAULT_CATCH_UP;
    if (vault->access == VAULT_READ)
        return ERR_OK;
    char *path = vault_path(vault, "lock");
    enum err e = path ? vault_file_lock(path, short_use, &vault->lock_fd, msg) : ERR_NOMEM;
    free(path);
    vault->access = e == ERR_OK || !short_use ? VAULT_WRITE : VAULT_READ;
    return short_use && e != ERR_NOMEM ? ERR_OK : e;
}

enum err vault_in_use(const char *dir, struct errmsg *msg)
{
    bool needed;
    int fd;
    char *path = NULL;
    enum err e = vault_needs_passphrase(dir, &needed, msg);
    if (e == ERR_OK && asprintf(&path, "%s/lock", dir) < 0)
        e = err_say(msg, ERR_NOMEM, "out of memory");
    if (e == ERR_OK)
        e = vault_file_lock(path, true, &fd, msg);
    if (e == ERR_OK)
        close(fd);
    free(path);
    return e;
}

bool vault_may_write(const struct vault *vault)
{
    return vault->access == VAULT_WRITE;
}

enum err vault_settle(struct vault *vault, struct errmsg *msg)
{
    if (vault->access != VAULT_WRITE)
        return ERR_OK;
    vault_manifest_keep(vault);
    index_close(vault->index);
    vault->index = NULL;
    vault->access = VAULT_READ;
    const enum err e = vault_index_open(vault, INDEX_FILE, false, msg);
    if (vault->lock_fd >= 0)
        close(vault->lock_fd);
    vault->lock_fd = -1;
    return e;
}

static enum err open_parts(struct vault *vault, const struct vault_open_options *options,
                           struct errmsg *msg)
{
    enum err e = read_settings(vault, msg);
    if (e == ERR_OK)
        e = take_lock(vault, msg);
    if (e == ERR_OK)
        e = vault_keys_read(vault, options->passphrase, msg);
    if (e != ERR_OK || options->rebuild)
        return e == ERR_OK ? vault_index_renew(vault, msg) : e;
    e = vault_index_open(vault, INDEX_FILE, false, msg);
    if (e == ERR_NOT_FOUND)
        return err_say(msg, ERR_CORRUPT,
                       "the vault's index %s/" INDEX_FILE " is gone; \"cellctl recover\" makes it "
                       "anew from what the swarm holds",
                       vault->dir);
    if (e == ERR_OK)
        e = read_manifest(vault, msg);
    if (e == ERR_OK)
        vault_manifest_keep(vault);
    return e;
}

enum err vault_new(const char *dir, enum vault_access access, const struct vault_ports *ports,
                   struct vault **out, struct errmsg *msg)
{
    struct vault *vault = calloc(1, sizeof(*vault));
    if (!vault)
        return err_say(msg, ERR_NOMEM, "out of memory");
    vault->access = access;
    vault->ports = *ports;
    vault->lock_fd = -1;
    vault->manifest_bytes = BUF_INIT(LIMIT_MANIFEST_BYTES);
    vault->dir = strdup(dir);
    vault->secrets = secret_new(sizeof(*vault->secrets));
    vault->lane = work_lane_new(ports->work, "index");
    if (vault->dir && vault->secrets && vault->lane) {
        *out = vault;
        return ERR_OK;
    }
    vault_close(vault);
    return err_say(msg, ERR_NOMEM, "out of memory");
}

enum err vault_open(const struct vault_open_options *options, const struct vault_ports *ports,
                    struct vault **out, struct errmsg *msg)
{
    struct vault *vault;
    enum err e = vault_new(options->dir, options->access, ports, &vault, msg);
    if (e != ERR_OK)
        return e;
    e = open_parts(vault, options, msg);
    if (e != ERR_OK) {
        vault_close(vault);
        return e;
    }
    *out = vault;
    return ERR_OK;
}

void vault_close(struct vault *vault)
{
    if (!vault)
        return;
    vault_manifest_keep(vault);
    if (vault->rebuilding)
        vault_index_renew_undo(vault);
    swarm_close(vault->swarm);
    work_lane_free(vault->ports.work, vault->lane);
    index_close(vault->index);
    manifest_free(vault->manifest);
    buf_free(&vault->manifest_bytes);
    sign_key_free(vault->device);
    secret_free(vault->secrets);
    secret_free(vault->phrase);
    vault_join_free(vault);
    secret_wipe(vault->vault_key, sizeof(vault->vault_key));
    if (vault->lock_fd >= 0)
        close(vault->lock_fd);
    free(vault->dir);
    free(vault);
}

/* --- the swarm --- */

static enum err open_swarm(struct vault *vault, struct errmsg *msg)
{
    const char *addresses[CONFIG_LIST_MAX];
    struct swarm_options options = {
        .net = vault->net,
        .clock = vault->ports.clock,
        .random = vault->ports.random,
        .work = vault->ports.work,
        .log = vault->ports.log,
        .root = &vault->swarm_root,
        .account = vault->account,
        .coordinator_addresses = addresses,
        .coordinator_address_count = vault->settings.addresses.count,
    };
    struct buf members = BUF_INIT(LIMIT_MEMBER_LIST_BYTES);
    for (size_t i = 0; i < vault->settings.addresses.count; i++)
        addresses[i] = vault->settings.addresses.items[i];
    const char *id = vault->settings.coordinator;
    if (id[0] && id_parse(id, strlen(id), &options.coordinator) != ERR_OK)
        return err_say(msg, ERR_FORMAT, "the coordinator's ID in %s/settings.ini is wrong",
                       vault->dir);
    char *path = vault_path(vault, "members");
    enum err e = path ? file_read(path, &members, msg) : ERR_NOMEM;
    options.members = e == ERR_OK ? buf_slice(&members) : slice_of(NULL, 0);
    if (e == ERR_OK || e == ERR_NOT_FOUND)
        e = swarm_open(&options, &vault->swarm, msg);
    free(path);
    buf_free(&members);
    return e;
}

enum err vault_introduce(struct vault *vault, struct errmsg *msg)
{
    const struct wire_hello hello = {
        .kind = WIRE_PEER_DEVICE,
        .document = buf_slice(&vault->manifest_bytes),
        .list_number = swarm_list_number(vault->swarm),
        .manifest_number = vault->manifest->number,
    };
    return swarm_introduce(vault->swarm, &hello, msg);
}

enum err vault_connect(struct vault *vault, struct net *net, struct errmsg *msg)
{
    struct slice grants;
    vault->net = net;
    enum err e = open_swarm(vault, msg);
    if (e == ERR_OK)
        e = vault_introduce(vault, msg);
    /* grants that are no longer good are left out by the swarm; none is no error */
    if (e == ERR_OK && index_fact_get(vault->index, "grants", &grants, NULL) == ERR_OK &&
        swarm_grants_load(vault->swarm, grants) != ERR_OK)
        log_say(vault->ports.log, LOG_WARN, "the grants kept in the vault cannot be read");
    return e == ERR_OK ? e : err_wrap(msg, e, "cannot speak to the swarm");
}

/* --- what it is --- */

const uint8_t *vault_seed(const struct vault *vault)
{
    return vault->secrets->device_seed;
}

uint32_t vault_upload_limit(const struct vault *vault)
{
    return (uint32_t)vault->settings.upload_kib_s;
}

const struct id *vault_account(const struct vault *vault)
{
    return &vault->account;
}

const struct id *vault_device(const struct vault *vault)
{
    return sign_key_id(vault->device);
}

const char *vault_dir(const struct vault *vault)
{
    return vault->dir;
}

/* Watched for so long, all of its cells together, a swarm's uptime counts for the level. */
enum { UPTIME_MIN_S = 7 * 86400 };

static bool asked_level(const struct vault *vault, struct placement_level *out)
{
    const char *asked = vault->settings.redundancy[0] ? vault->settings.redundancy
                                                      : vault->settings.swarm_redundancy;
    return asked[0] && placement_level_parse(asked, out, NULL) == ERR_OK;
}

bool vault_level_is_fixed(const struct vault *vault)
{
    struct placement_level level;
    return asked_level(vault, &level);
}

void vault_level(const struct vault *vault, unsigned *k, unsigned *m)
{
    struct placement_level level = {0, 0};
    if (!asked_level(vault, &level)) {
        struct swarm_survey survey = {0};
        if (vault->swarm)
            swarm_survey(vault->swarm, &survey);
        level = placement_level_measured(survey.domains,
                                         survey.observed_s >= UPTIME_MIN_S
                                             ? (double)survey.up_s / (double)survey.observed_s
                                             : 0);
    }
    *k = level.k;
    *m = level.m;
}

/* Another device's key, by the account's reading key. */
static enum err sealed_data_key(const struct vault *vault, const struct manifest_epoch *epoch,
                                uint8_t out[SEGMENT_DATA_KEY_SIZE])
{
    return seal_open(vault->manifest->reading_key, vault->secrets->account.reading_secret,
                     slice_of(epoch->sealed, sizeof(epoch->sealed)), out);
}

enum err vault_data_key(const struct vault *vault, uint32_t slot, uint32_t epoch,
                        uint8_t out[SEGMENT_DATA_KEY_SIZE])
{
    const struct vault_secrets *secrets = vault->secrets;
    for (size_t i = 0; slot == secrets->slot && i < secrets->epoch_count; i++)
        if (secrets->epochs[i].epoch == epoch) {
            memcpy(out, secrets->epochs[i].data_key, SEGMENT_DATA_KEY_SIZE);
            return ERR_OK;
        }
    const struct manifest_device *device = manifest_device_at(vault->manifest, slot);
    const struct manifest_epoch *found = device ? manifest_epoch_find(device, epoch) : NULL;
    return found ? sealed_data_key(vault, found, out) : ERR_NOT_FOUND;
}
