#include "devices/devices_joining.h"

#include "base/text.h"
#include "crypto/kdf.h"
#include "identity/device_request.h"
#include "identity/invite_text.h"
#include "port/net_body.h"
#include "swarm/swarm_devices.h"
#include "vault/vault_manifest.h"
#include "wire/wire_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FROM_MAX = 64, POLL_FIRST_MS = 1000, POLL_MAX_MS = 15000 };

struct joining_from {
    struct id id;
    char address[LIMIT_ADDRESS_BYTES + 1];
};

struct devices_joining {
    struct vault *vault;
    struct invite_text invite;
    struct invite_device wish;
    char name[LIMIT_NAME_BYTES + 1];
    struct joining_from from[FROM_MAX];
    size_t from_count, from_at;
    const char *address; /* borrowed by the question under way */
    struct devices_joining_events events;
    void *user;
    bool wait, told, requested, cancelled;
    struct timer timer;
    bool timer_runs;
    uint64_t pause_ms;
    struct buf manifest; /* the newest one that was shown */
    uint64_t number;     /* its number; 0: none */
    char redundancy[WIRE_DEVICE_REDUNDANCY_BYTES + 1];
    struct buf request;
    uint8_t reading_key[SEAL_PUBLIC_SIZE]; /* to which the data key in `request` is sealed */
    struct errmsg msg;
};

static void pause_over(struct timer *timer);

/* --- making --- */

static char *path_in(const char *dir, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static enum err add_from(struct devices_joining *j, const struct id *id, const char *address)
{
    if (j->from_count == FROM_MAX)
        return ERR_TOO_LARGE;
    struct joining_from *to = &j->from[j->from_count++];
    to->id = *id;
    snprintf(to->address, sizeof(to->address), "%s", address);
    return ERR_OK;
}

static enum err find_peers(struct devices_joining *j, const struct devices_joining_options *options,
                           struct errmsg *msg)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < j->invite.addresses.count; i++)
        e = add_from(j, &j->invite.certificate.id, j->invite.addresses.text[i]);
    for (size_t i = 0; e == ERR_OK && i < options->from_count; i++) {
        const char *text = options->from[i], *at = strchr(text, '@');
        struct id id;
        if (!at || id_parse(text, (size_t)(at - text), &id) != ERR_OK || !address_valid(at + 1))
            return err_say(msg, ERR_USAGE, "'%s' is no address: it is written ID@host:port", text);
        e = add_from(j, &id, at + 1);
    }
    return e == ERR_OK ? e : err_say(msg, e, "too many addresses");
}

static enum err open_invite(struct devices_joining *j, const char *text, struct errmsg *msg)
{
    enum err e = invite_text_open(text, &j->invite, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the invite cannot be used");
    if (j->invite.kind != INVITE_DEVICE)
        return err_say(msg, ERR_DENIED,
                       "this invite is not for a device of an account, it is for %s; \"cellctl "
                       "device invite\" makes one",
                       j->invite.kind == INVITE_CELL ? "a cell" : "a new account (cellctl init)");
    e = invite_device_open(j->invite.invite, &j->invite.swarm, NULL, &j->wish, msg);
    j->vault->swarm_root = j->invite.swarm;
    j->vault->account = j->wish.account;
    return e;
}

/* Own keys: Ed25519, sealing, first data key. */
static enum err make_keys(struct devices_joining *j, struct slice passphrase, struct errmsg *msg)
{
    struct vault *vault = j->vault;
    struct vault_secrets *s = vault->secrets;
    const struct random *random = vault->ports.random;
    random_fill(random, s->device_seed, sizeof(s->device_seed));
    random_fill(random, s->seal_seed, sizeof(s->seal_seed));
    random_fill(random, s->epochs[0].data_key, SEGMENT_DATA_KEY_SIZE);
    random_fill(random, vault->vault_key, sizeof(vault->vault_key));
    s->epochs[0].epoch = 1;
    s->epoch_count = 1;
    const enum err e = sign_key_new(s->device_seed, &vault->device);
    return e == ERR_OK ? vault_keys_write(vault, passphrase, msg)
                       : err_say(msg, e, "cannot make the device's keys");
}

static enum err take_lock(struct vault *vault, struct errmsg *msg)
{
    char *path = vault_path(vault, "lock");
    const enum err e = path ? vault_file_lock(path, false, &vault->lock_fd, msg) : ERR_NOMEM;
    free(path);
    return e;
}

/* DIR/joining: the invite, and on a second line what the device is to be called. */
enum { JOINING_BYTES_MAX = INVITE_TEXT_MAX + 1 + LIMIT_NAME_BYTES + 1 };

static enum err keep_wish(const struct devices_joining *j, const char *invite, struct errmsg *msg)
{
    struct buf text = BUF_INIT(JOINING_BYTES_MAX);
    char *path = vault_path(j->vault, "joining");
    enum err e = path ? buf_append_format(&text, "%s\n%s", invite, j->name) : ERR_NOMEM;
    if (e == ERR_OK)
        e = file_write(path, 0600, buf_slice(&text), msg);
    buf_free(&text);
    free(path);
    return e;
}

/* The invite last: without it nothing was begun. */
static enum err begin(struct devices_joining *j, const struct devices_joining_options *options,
                      struct errmsg *msg)
{
    enum err e = vault_make_dirs(j->vault->dir, msg);
    vault_device_name(options->device_name, j->name);
    if (e == ERR_OK)
        e = take_lock(j->vault, msg);
    if (e == ERR_OK)
        e = make_keys(j, options->passphrase, msg);
    return e == ERR_OK ? keep_wish(j, options->invite, msg) : e;
}

/* An earlier run's invite, name and keys. */
static enum err go_on(struct devices_joining *j, const struct devices_joining_options *options,
                      struct buf *text, struct errmsg *msg)
{
    enum err e = buf_append_u8(text, 0);
    char *name = e == ERR_OK ? strchr((char *)text->data, '\n') : NULL;
    if (name)
        *name++ = 0;
    vault_device_name(options->device_name ? options->device_name : name, j->name);
    if (e == ERR_OK && options->invite && strcmp(options->invite, (const char *)text->data) != 0)
        return err_say(msg, ERR_EXISTS,
                       "%s holds an unfinished join by another invite: finish that one (without "
                       "--invite), or remove the directory",
                       j->vault->dir);
    if (e == ERR_OK)
        e = open_invite(j, (const char *)text->data, msg);
    if (e == ERR_OK)
        e = take_lock(j->vault, msg);
    return e == ERR_OK ? vault_keys_read(j->vault, options->passphrase, msg) : e;
}

static enum err read_unfinished(const char *dir, struct buf *out, struct errmsg *msg)
{
    char *path = path_in(dir, "joining");
    const enum err e = path ? file_read(path, out, msg) : ERR_NOMEM;
    free(path);
    return e;
}

static enum err fill(struct devices_joining *j, const struct devices_joining_options *options,
                     struct errmsg *msg)
{
    struct buf text = BUF_INIT(JOINING_BYTES_MAX);
    enum err e = vault_refuse_existing(j->vault, msg);
    if (e != ERR_OK)
        return e;
    e = read_unfinished(options->dir, &text, msg);
    if (e == ERR_OK)
        e = go_on(j, options, &text, msg);
    else if (e == ERR_NOT_FOUND && !options->invite)
        e = err_say(msg, e,
                    "join needs an invite: --invite STRING (\"cellctl device invite\" on a "
                    "device of the account makes one)");
    else if (e == ERR_NOT_FOUND && (e = open_invite(j, options->invite, msg)) == ERR_OK)
        e = begin(j, options, msg);
    buf_free(&text);
    if (e == ERR_OK)
        e = find_peers(j, options, msg);
    return e;
}

enum err devices_joining_new(const struct devices_joining_options *options,
                             const struct vault_ports *ports, struct devices_joining **out,
                             struct errmsg *msg)
{
    struct devices_joining *j = calloc(1, sizeof(*j));
    if (!j)
        return err_say(msg, ERR_NOMEM, "out of memory");
    j->manifest = BUF_INIT(LIMIT_MANIFEST_BYTES);
    j->request = BUF_INIT(DEVICE_REQUEST_BYTES_MAX);
    j->timer.fire = pause_over;
    j->pause_ms = POLL_FIRST_MS;
    enum err e = vault_new(options->dir, VAULT_WRITE, ports, &j->vault, msg);
    if (e == ERR_OK)
        e = fill(j, options, msg);
    if (e != ERR_OK) {
        devices_joining_free(j);
        return e;
    }
    *out = j;
    return ERR_OK;
}

enum err devices_joining_needs_passphrase(const char *dir, bool *out, struct errmsg *msg)
{
    struct buf text = BUF_INIT(JOINING_BYTES_MAX);
    enum err e = read_unfinished(dir, &text, msg);
    buf_free(&text);
    return e == ERR_OK ? vault_keys_need_passphrase(dir, out, msg) : e;
}

void devices_joining_free(struct devices_joining *j)
{
    if (!j)
        return;
    if (j->vault && j->timer_runs)
        timer_stop(j->vault->ports.clock, &j->timer);
    invite_text_free(&j->invite);
    buf_free(&j->manifest);
    buf_free(&j->request);
    vault_close(j->vault);
    free(j);
}

const uint8_t *devices_joining_seed(const struct devices_joining *j)
{
    return j->vault->secrets->device_seed;
}

const struct id *devices_joining_device(const struct devices_joining *j)
{
    return sign_key_id(j->vault->device);
}

const struct id *devices_joining_account(const struct devices_joining *j)
{
    return &j->vault->account;
}

static void joining_end(struct devices_joining *j, enum err e, unsigned capabilities)
{
    const struct errmsg msg = j->msg;
    j->events.done(j->user, e, capabilities, &msg);
}

/* --- the end: a whole vault --- */

/* The account's keys; or, for a device that may only put, keys of its own from its first data key
   (so that whoever may read can name its chunks too). */
static enum err take_secrets(struct vault *vault, const struct manifest_device *self,
                             struct errmsg *msg)
{
    struct vault_secrets *s = vault->secrets;
    uint8_t public[SEAL_PUBLIC_SIZE], secret[SEAL_SECRET_SIZE];
    enum err e = ERR_OK;
    s->slot = self->slot;
    if (!self->has_secrets) {
        vault_own_keys(s->epochs[0].data_key, &s->account);
        return ERR_OK;
    }
    seal_pair(s->seal_seed, public, secret);
    e = account_secrets_open(self->secrets, public, secret, &s->account);
    secret_wipe(secret, sizeof(secret));
    return e == ERR_OK ? e : err_say(msg, e, "the account's keys do not open with this device's");
}

static enum err write_settings(struct devices_joining *j, struct errmsg *msg)
{
    struct vault *vault = j->vault;
    struct vault_settings *settings = &vault->settings;
    const struct slice list = swarm_list_bytes(vault->swarm);
    config_defaults(vault_settings_keys, vault_settings_key_count, settings);
    text_hex(slice_of(vault->swarm_root.key, 32), settings->swarm_root);
    id_format(&j->invite.certificate.id, settings->coordinator);
    for (size_t i = 0; i < j->invite.addresses.count && i < CONFIG_LIST_MAX; i++)
        snprintf(settings->addresses.items[settings->addresses.count++], CONFIG_TEXT_SIZE, "%s",
                 j->invite.addresses.text[i]);
    snprintf(settings->swarm_redundancy, CONFIG_TEXT_SIZE, "%s", j->redundancy);
    char *members = vault_path(vault, "members"), *path = vault_path(vault, "settings.ini");
    enum err e = members && path ? ERR_OK : ERR_NOMEM;
    if (e == ERR_OK)
        e = file_write(members, 0600, list, msg);
    if (e == ERR_OK)
        e = config_write_file(path, 0600, vault_settings_keys, vault_settings_key_count, settings,
                              msg);
    free(members);
    free(path);
    return e;
}

static enum err make_whole(struct devices_joining *j, const struct manifest_device *self,
                           struct errmsg *msg)
{
    struct vault *vault = j->vault;
    char *joining = vault_path(vault, "joining");
    enum err e = joining ? take_secrets(vault, self, msg) : ERR_NOMEM;
    if (e == ERR_OK)
        e = vault_keys_save(vault, msg);
    if (e == ERR_OK)
        e = vault_index_open(vault, INDEX_FILE, true, msg);
    if (e == ERR_OK)
        e = index_fact_put(vault->index, "manifest", buf_slice(&j->manifest), msg);
    if (e == ERR_OK)
        e = write_settings(j, msg);
    if (e == ERR_OK)
        unlink(joining);
    free(joining);
    return e;
}

/* --- how things are --- */

static enum err make_request(struct devices_joining *j, struct errmsg *msg)
{
    struct vault *vault = j->vault;
    const struct vault_secrets *s = vault->secrets;
    struct device_request request = {
        .account = vault->account,
        .invited = true,
        .epoch = {.epoch = s->epochs[0].epoch},
        .time_s = clock_wall_ns(vault->ports.clock) / 1000000000,
    };
    uint8_t secret[SEAL_SECRET_SIZE], ephemeral[SEAL_SEED_SIZE];
    memcpy(request.invite, j->wish.id, sizeof(request.invite));
    snprintf(request.name, sizeof(request.name), "%s", j->name);
    seal_pair(s->seal_seed, request.seal_key, secret);
    secret_wipe(secret, sizeof(secret));
    random_fill(vault->ports.random, ephemeral, sizeof(ephemeral));
    enum err e = seal(vault->manifest->reading_key, ephemeral,
                      slice_of(s->epochs[0].data_key, SEGMENT_DATA_KEY_SIZE), request.epoch.sealed);
    memcpy(j->reading_key, vault->manifest->reading_key, sizeof(j->reading_key));
    buf_clear(&j->request);
    if (e == ERR_OK)
        e = device_request_make(&request, &vault->swarm_root, vault->device, &j->request);
    return e == ERR_OK ? e : err_say(msg, e, "cannot sign the request to join");
}

/* Keeps the newest manifest that follows the one before. */
static void on_reply(void *user, const struct id *peer, const struct wire_device_reply *reply)
{
    struct devices_joining *j = user;
    struct errmsg msg;
    (void)peer;
    const enum err e = vault_manifest_take(j->vault, reply->manifest, &msg);
    if (e == ERR_OK) {
        buf_clear(&j->manifest);
        if (buf_append(&j->manifest, reply->manifest.data, reply->manifest.size) == ERR_OK)
            j->number = j->vault->manifest->number;
    } else if (e != ERR_STALE && e != ERR_INCONSISTENT) {
        log_say(j->vault->ports.log, LOG_WARN, "a manifest that was shown: %s", msg.text);
    }
    if (reply->redundancy.size > 0) {
        memcpy(j->redundancy, reply->redundancy.data, reply->redundancy.size);
        j->redundancy[reply->redundancy.size] = 0;
    }
}

static enum err ask(struct devices_joining *j);

static void pause_over(struct timer *timer)
{
    struct devices_joining *j = container_of(timer, struct devices_joining, timer);
    j->timer_runs = false;
    enum err e = j->cancelled ? err_say(&j->msg, ERR_CANCELLED,
                                        "interrupted; \"cellctl join\" goes on from here")
                              : ask(j);
    if (e != ERR_OK)
        joining_end(j, e, 0);
}

static enum err wait_a_while(struct devices_joining *j)
{
    const enum err e = timer_start(j->vault->ports.clock, &j->timer, j->pause_ms);
    j->timer_runs = e == ERR_OK;
    j->pause_ms = j->pause_ms * 3 / 2 < POLL_MAX_MS ? j->pause_ms * 3 / 2 : POLL_MAX_MS;
    return e;
}

/* ERR_OK: it goes on by itself. */
static enum err wait_for_admin(struct devices_joining *j)
{
    const bool right_key =
        memcmp(j->reading_key, j->vault->manifest->reading_key, sizeof(j->reading_key)) == 0;
    if (!j->requested || !right_key) { /* the phrase may be replaced meanwhile */
        const enum err e = make_request(j, &j->msg);
        j->requested = e == ERR_OK;
        return e == ERR_OK ? ask(j) : e;
    }
    if (!j->told && j->events.waiting)
        j->events.waiting(j->user);
    j->told = true;
    if (!j->wait)
        return err_say(&j->msg, ERR_BUSY,
                       "the request is out; \"cellctl join\" goes on when an admin device of the "
                       "account has taken this one in");
    return wait_a_while(j);
}

static void asked(void *user, enum err e, const struct errmsg *msg)
{
    struct devices_joining *j = user;
    const struct manifest_device *self = NULL;
    j->msg = *msg;
    if (j->cancelled)
        e = err_say(&j->msg, ERR_CANCELLED, "interrupted; \"cellctl join\" goes on from here");
    if (e == ERR_OK && j->number == 0)
        e = err_say(&j->msg, ERR_AUTH, "nobody has shown a manifest of the invite's account");
    if (e == ERR_OK)
        self = manifest_device_find(j->vault->manifest, sign_key_id(j->vault->device));
    if (self && self->revoked)
        e = err_say(&j->msg, ERR_DENIED, "this device was taken in and revoked again");
    if (e == ERR_OK && self) {
        const unsigned capabilities = self->capabilities;
        e = make_whole(j, self, &j->msg);
        joining_end(j, e, capabilities);
        return;
    }
    if (e != ERR_OK && j->told && j->wait && err_class(e) == ERR_CLASS_RETRYABLE &&
        e != ERR_CANCELLED)
        e = wait_a_while(j); /* the network comes and goes */
    else if (e == ERR_OK)
        e = wait_for_admin(j);
    if (e != ERR_OK)
        joining_end(j, e, 0);
}

static enum err ask(struct devices_joining *j)
{
    const struct wire_device_ask question = {.invite = j->invite.invite,
                                             .request = buf_slice(&j->request)};
    return swarm_devices_ask(j->vault->swarm, &j->vault->account, &question, on_reply, asked, j,
                             &j->msg);
}

/* --- the swarm --- */

static enum err open_swarm(struct devices_joining *j, struct slice members)
{
    struct vault *vault = j->vault;
    const char *addresses[LIMIT_ADDRESSES];
    const struct swarm_options options = {
        .net = vault->net,
        .clock = vault->ports.clock,
        .random = vault->ports.random,
        .work = vault->ports.work,
        .log = vault->ports.log,
        .root = &vault->swarm_root,
        .account = vault->account,
        .coordinator = j->invite.certificate.id,
        .coordinator_addresses = addresses,
        .coordinator_address_count = address_list_pointers(&j->invite.addresses, addresses),
        .members = members,
    };
    return swarm_open(&options, &vault->swarm, &j->msg);
}

static enum err ask_members(struct devices_joining *j);

static void on_members(void *user, enum err e, unsigned status, struct slice body,
                       const struct errmsg *msg)
{
    struct devices_joining *j = user;
    if (e == ERR_OK && status != 200)
        e = err_say(&j->msg, ERR_PEER, "it answered %u", status);
    else
        j->msg = *msg;
    if (e != ERR_OK) {
        j->from_at++;
        e = j->cancelled ? err_say(&j->msg, ERR_CANCELLED, "interrupted") : ask_members(j);
    } else {
        e = open_swarm(j, body);
        if (e == ERR_OK)
            e = ask(j);
    }
    if (e != ERR_OK)
        joining_end(j, e, 0);
}

static enum err ask_members(struct devices_joining *j)
{
    struct net_message *message;
    for (; j->from_at < j->from_count; j->from_at++) {
        j->address = j->from[j->from_at].address;
        const struct net_request request = {
            .target = {.id = j->from[j->from_at].id, .addresses = &j->address, .address_count = 1},
            .method = NET_GET,
            .path = wire_path_plain(WIRE_MEMBERS),
            .net_class = NET_OTHER,
        };
        if (net_message_start(j->vault->net, &request, LIMIT_MEMBER_LIST_BYTES, on_members, j,
                              &message, &j->msg) == ERR_OK)
            return ERR_OK;
    }
    const struct errmsg why = j->msg;
    return err_say(&j->msg, ERR_UNREACHABLE,
                   "nobody of the swarm answers (the last one: %s); name a cell by --from "
                   "ID@host:port, or try again",
                   why.text);
}

enum err devices_joining_start(struct devices_joining *j, struct net *net, bool wait,
                               const struct devices_joining_events *events, void *user,
                               struct errmsg *msg)
{
    if (j->vault->net)
        return err_say(msg, ERR_STATE, "this join has run already");
    j->vault->net = net;
    j->wait = wait;
    j->events = *events;
    j->user = user;
    const enum err e = ask_members(j);
    if (e != ERR_OK)
        *msg = j->msg;
    return e;
}

void devices_joining_cancel(struct devices_joining *j)
{
    j->cancelled = true;
    if (j->timer_runs && timer_start(j->vault->ports.clock, &j->timer, 0) != ERR_OK)
        log_say(j->vault->ports.log, LOG_WARN, "no timer for the end");
}
