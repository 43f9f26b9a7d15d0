#include "devices/devices_recover_internal.h"
#include "vault/vault_phrase.h"

#include "base/text.h"
#include "identity/coordinator_cert.h"
#include "identity/recovery_cert.h"
#include "port/net_body.h"
#include "swarm/swarm_heads.h"
#include "wire/wire_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SWARM_LOSSES_MAX = 15 };

/* --- making and freeing --- */

static enum err parse_from(const char *text, struct recovery_from *out, struct errmsg *msg)
{
    const char *at = strchr(text, '@');
    if (!at || id_parse(text, (size_t)(at - text), &out->id) != ERR_OK || !address_valid(at + 1))
        return err_say(msg, ERR_USAGE, "'%s' is no address: it is written ID@host:port", text);
    snprintf(out->address, sizeof(out->address), "%s", at + 1);
    return ERR_OK;
}

static enum err fill(struct devices_recovery *r, const struct devices_recovery_options *options,
                     struct errmsg *msg)
{
    enum err e = phrase_decode(options->words, r->secret->entropy, msg);
    if (e == ERR_OK && options->from_count == 0)
        e = err_say(msg, ERR_USAGE,
                    "nobody to ask: give a coordinator or cell by --from ID@host:port");
    for (size_t i = 0; e == ERR_OK && i < options->from_count && i < RECOVERY_FROM_MAX; i++)
        e = parse_from(options->from[i], &r->from[r->from_count++], msg);
    if (e == ERR_OK && options->passphrase.size > sizeof(r->secret->passphrase))
        e = err_say(msg, ERR_TOO_LARGE, "the passphrase is too long");
    if (e != ERR_OK)
        return e;
    if (options->passphrase.size > 0)
        memcpy(r->secret->passphrase, options->passphrase.data, options->passphrase.size);
    r->passphrase_size = options->passphrase.size;
    r->rehearsal = options->rehearsal;
    vault_device_name(options->device_name, r->device_name);
    random_fill(r->vault->ports.random, r->vault->vault_key, sizeof(r->vault->vault_key));
    random_fill(r->vault->ports.random, r->vault->secrets->device_seed, SIGN_SEED_SIZE);
    return sign_key_new(r->vault->secrets->device_seed, &r->vault->device);
}

enum err devices_recovery_new(const struct devices_recovery_options *options,
                              const struct vault_ports *ports, struct devices_recovery **out,
                              struct errmsg *msg)
{
    struct devices_recovery *r = calloc(1, sizeof(*r));
    if (!r)
        return err_say(msg, ERR_NOMEM, "out of memory");
    r->certificate = BUF_INIT(RECOVERY_CERT_BYTES_MAX);
    r->members = BUF_INIT(LIMIT_MEMBER_LIST_BYTES);
    r->coordinator = BUF_INIT(COORDINATOR_CERT_BYTES_MAX);
    r->secret = secret_new(sizeof(*r->secret));
    enum err e =
        r->secret ? vault_new(options->dir, VAULT_WRITE, ports, &r->vault, msg) : ERR_NOMEM;
    if (e == ERR_OK)
        e = vault_refuse_existing(r->vault, msg);
    if (e == ERR_OK)
        e = fill(r, options, msg);
    if (e != ERR_OK) {
        devices_recovery_free(r);
        return e;
    }
    *out = r;
    return ERR_OK;
}

const uint8_t *devices_recovery_seed(const struct devices_recovery *recovery)
{
    return recovery->vault->secrets->device_seed;
}

struct vault *devices_recovery_vault(struct devices_recovery *recovery)
{
    return recovery->vault;
}

void devices_recovery_free(struct devices_recovery *r)
{
    if (!r)
        return;
    if (r->rehearsal && r->files_made)
        vault_remove_all(r->vault);
    for (size_t i = 0; i < r->head_count; i++)
        buf_free(&r->heads[i].bytes);
    free(r->heads);
    manifest_free(r->manifest);
    buf_free(&r->certificate);
    buf_free(&r->members);
    buf_free(&r->coordinator);
    if (r->secret)
        account_keys_clear(&r->secret->keys);
    secret_free(r->secret);
    vault_close(r->vault);
    free(r);
}

static void recovery_end(struct devices_recovery *r, enum err e)
{
    const struct errmsg msg = r->msg;
    if (e != ERR_OK && r->files_made) {
        vault_remove_all(r->vault);
        r->files_made = false;
    }
    r->summary.account = r->vault->account;
    r->summary.snapshots = r->read.snapshots;
    r->summary.segments = r->read.segments;
    r->summary.chunks = r->read.chunks;
    r->summary.problems += r->read.problems;
    r->events.done(r->user, e, &r->summary, &msg);
}

/* --- the end: settings, and the manifest to everybody --- */

/* The coordinator, as its certificate has it and as the person named it. NOT_FOUND: not known. */
static enum err find_coordinator(const struct devices_recovery *r, struct coordinator_cert *out)
{
    if (r->coordinator.size == 0 ||
        coordinator_cert_open(buf_slice(&r->coordinator), &r->vault->swarm_root, out, NULL) !=
            ERR_OK)
        return ERR_NOT_FOUND;
    for (size_t i = 0; i < r->from_count; i++) {
        if (id_equal(&r->from[i].id, &out->id)) /* a full list has enough of them */
            err_ignore(address_list_add(&out->addresses, r->from[i].address));
    }
    return ERR_OK;
}

static enum err write_settings(struct devices_recovery *r, struct errmsg *msg)
{
    struct vault *vault = r->vault;
    struct vault_settings *settings = &vault->settings;
    struct coordinator_cert cert;
    config_defaults(vault_settings_keys, vault_settings_key_count, settings);
    text_hex(slice_of(vault->swarm_root.key, 32), settings->swarm_root);
    if (r->k)
        snprintf(settings->swarm_redundancy, CONFIG_TEXT_SIZE, "%u+%u", r->k, r->m);
    if (find_coordinator(r, &cert) == ERR_OK) {
        id_format(&cert.id, settings->coordinator);
        for (size_t i = 0; i < cert.addresses.count && i < CONFIG_LIST_MAX; i++)
            snprintf(settings->addresses.items[settings->addresses.count++], CONFIG_TEXT_SIZE, "%s",
                     cert.addresses.text[i]);
    }
    char *members = vault_path(vault, "members"), *path = vault_path(vault, "settings.ini");
    const struct slice list = swarm_list_bytes(vault->swarm);
    enum err e = members && path ? ERR_OK : ERR_NOMEM;
    if (e == ERR_OK && list.size > 0)
        e = file_write(members, 0600, list, msg);
    if (e == ERR_OK)
        e = config_write_file(path, 0600, vault_settings_keys, vault_settings_key_count, settings,
                              msg);
    free(members);
    free(path);
    return e;
}

static void manifest_put(void *user, enum err e, const struct swarm_heads_result *result,
                         const struct errmsg *msg)
{
    struct devices_recovery *r = user;
    (void)result;
    if (e != ERR_OK) /* every connection shows it; backups put it again */
        r->events.problem(r->user, e, msg->text);
    e = write_settings(r, &r->msg);
    recovery_end(r, e);
}

static void put_manifest(struct devices_recovery *r)
{
    const struct swarm_heads_put put = {
        .account = r->vault->account,
        .manifest = buf_slice(&r->vault->manifest_bytes),
        .losses = r->m < SWARM_LOSSES_MAX ? r->m : SWARM_LOSSES_MAX,
        .done = manifest_put,
        .user = r,
    };
    struct swarm_heads *heads;
    const enum err e = swarm_heads_put(r->vault->swarm, &put, &heads, &r->msg);
    if (e != ERR_OK)
        recovery_end(r, e);
}

/* --- head after head --- */

static void next_head(struct devices_recovery *r);

/* Seen: all that it leads to is here. Else the head stays unknown, and the next command that
   catches up with the account (heads_sync.h) asks for all of it again. */
static enum err keep_head(struct devices_recovery *r, const struct recovery_head *head)
{
    return index_head_put(r->vault->index, &head->device, head->sequence, buf_slice(&head->bytes),
                          &r->msg);
}

static void head_done(void *user, enum err e, const struct errmsg *msg,
                      const struct heads_import *import)
{
    struct devices_recovery *r = user;
    struct recovery_head *head = &r->heads[r->head_at];
    heads_import_level(import, &r->k, &r->m);
    if (e == ERR_NOMEM || e == ERR_FULL || e == ERR_IO) {
        r->msg = *msg;
        recovery_end(r, e);
        return;
    }
    if (e != ERR_OK) {
        r->summary.problems++;
        r->events.problem(r->user, e, msg->text);
    }
    head->unread |= e != ERR_OK || r->read.problems != r->problems_before;
    e = r->rest && !head->unread ? keep_head(r, head) : ERR_OK;
    if (e != ERR_OK) {
        recovery_end(r, e);
        return;
    }
    r->head_at++;
    next_head(r);
}

static void head_problem(void *user, enum err e, const char *sentence)
{
    struct devices_recovery *r = user;
    r->events.problem(r->user, e, sentence);
}

static enum err read_head(struct devices_recovery *r, const struct recovery_head *head,
                          struct errmsg *msg)
{
    const struct heads_import_options options = {
        .head = buf_slice(&head->bytes),
        .device = &head->device,
        .slot = head->slot,
        .sequence = head->sequence,
        .documents_only = !r->rest,
        .problem = head_problem,
        .done = head_done,
        .user = r,
        .summary = &r->read,
    };
    r->problems_before = r->read.problems;
    return heads_import_start(r->vault, &options, msg);
}

static void next_head(struct devices_recovery *r)
{
    while (r->head_at < r->head_count) {
        struct errmsg msg = {0};
        const enum err e = read_head(r, &r->heads[r->head_at], &msg);
        if (e == ERR_OK)
            return;
        r->summary.problems++;
        r->events.problem(r->user, e, msg.text[0] ? msg.text : err_words(e));
        r->heads[r->head_at].unread = true;
        r->head_at++;
    }
    if (!r->rest) { /* all documents about removal are read: now the rest */
        r->rest = true;
        r->head_at = 0;
        next_head(r);
        return;
    }
    if (r->rehearsal)
        recovery_end(r, ERR_OK);
    else
        put_manifest(r);
}

/* --- the new device --- */

static enum err make_files(struct devices_recovery *r, const struct buf *document,
                           struct errmsg *msg)
{
    struct vault *vault = r->vault;
    enum err e = vault_make_dirs(vault->dir, msg);
    if (e != ERR_OK)
        return e;
    r->files_made = true;
    char *lock = vault_path(vault, "lock");
    e = lock ? vault_file_lock(lock, false, &vault->lock_fd, msg) : ERR_NOMEM;
    free(lock);
    if (e == ERR_OK && !r->rehearsal)
        e = vault_keys_write(vault, slice_of(r->secret->passphrase, r->passphrase_size), msg);
    if (e == ERR_OK)
        e = vault_index_open(vault, INDEX_FILE, true, msg);
    if (e == ERR_OK)
        e = vault_manifest_take(vault, buf_slice(document), msg);
    return e == ERR_OK ? index_fact_put(vault->index, "manifest", buf_slice(document), msg) : e;
}

static enum err make_device(struct devices_recovery *r, struct errmsg *msg)
{
    struct vault *vault = r->vault;
    struct manifest *m = r->manifest;
    struct buf document = BUF_INIT(LIMIT_MANIFEST_BYTES);
    m->number = manifest_next_number(m->number, true);
    m->time_s = clock_wall_ns(vault->ports.clock) / 1000000000;
    enum err e = vault_root_adapt(m, &r->secret->keys);
    if (e == ERR_OK)
        e = vault_make_device(vault, &r->secret->keys, r->device_name, m);
    if (e == ERR_OK)
        e = manifest_certify_admins(m, &vault->swarm_root, r->secret->keys.root);
    if (e == ERR_OK)
        e = manifest_make(m, &vault->swarm_root, r->secret->keys.root, &document);
    if (e == ERR_OK)
        e = make_files(r, &document, msg);
    buf_free(&document);
    return e == ERR_OK ? e : err_wrap(msg, e, "cannot make this machine a device of the account");
}

/* --- manifest and heads --- */

static void take_manifest(struct devices_recovery *r, struct slice document)
{
    struct manifest *m = NULL;
    if (document.size == 0 || manifest_open(document, &r->vault->swarm_root, &m, NULL) != ERR_OK)
        return;
    /* our root is the one that counts there, be it the first or one that came after it */
    if (memcmp(manifest_root_now(m), sign_key_public(r->secret->keys.root), SIGN_PUBLIC_SIZE) !=
            0 ||
        (r->manifest && m->number <= r->manifest->number)) {
        manifest_free(m);
        return;
    }
    manifest_free(r->manifest);
    r->manifest = m;
    r->vault->account = m->account;
}

/* Keeps the highest of each device; who may sign is looked at when the manifest is known. */
static enum err take_head(struct devices_recovery *r, struct slice document, struct head *head)
{
    struct recovery_head *to = NULL;
    if (head_open(document, &r->vault->swarm_root, NULL, head, NULL) != ERR_OK ||
        !id_equal(&head->account, &r->vault->account))
        return ERR_OK;
    for (size_t i = 0; !to && i < r->head_count; i++) {
        if (id_equal(&r->heads[i].device, &head->device))
            to = &r->heads[i];
    }
    if (to && to->sequence >= head->sequence)
        return ERR_OK;
    if (!to) {
        struct recovery_head *more = realloc(r->heads, (r->head_count + 1) * sizeof(*more));
        if (!more)
            return ERR_NOMEM;
        r->heads = more;
        to = &more[r->head_count++];
        *to = (struct recovery_head){.bytes = BUF_INIT(HEAD_BYTES_MAX)};
    }
    to->device = head->device;
    to->slot = head->slot;
    to->sequence = head->sequence;
    buf_clear(&to->bytes);
    return buf_append(&to->bytes, document.data, document.size);
}

static void on_heads(void *user, const struct id *peer, struct wire_heads *heads)
{
    struct devices_recovery *r = user;
    struct head *head = malloc(sizeof(*head));
    struct slice document;
    (void)peer;
    take_manifest(r, heads->manifest);
    while (head && r->head_count < MANIFEST_DEVICES_MAX &&
           wire_heads_next(&heads->list, &document)) {
        if (take_head(r, document, head) != ERR_OK)
            break;
    }
    free(head);
}

/* Drops heads of whom the manifest does not know as a device. */
static void drop_foreign_heads(struct devices_recovery *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->head_count; i++) {
        const struct manifest_device *device =
            manifest_device_find(r->manifest, &r->heads[i].device);
        if (device && device->slot == r->heads[i].slot &&
            manifest_valid(device, r->heads[i].sequence))
            r->heads[kept++] = r->heads[i];
        else
            buf_free(&r->heads[i].bytes);
    }
    r->head_count = kept;
    r->summary.devices = kept;
}

static void heads_got(void *user, enum err e, const struct swarm_heads_result *result,
                      const struct errmsg *msg)
{
    struct devices_recovery *r = user;
    if (e == ERR_OK && !r->manifest)
        e = err_say(&r->msg, ERR_NOT_FOUND,
                    "nobody of the %u who answered knows this account: is the phrase of another "
                    "swarm, or are the cells that keep it asleep?",
                    result->answered);
    else if (e == ERR_DENIED || e == ERR_STALE)
        e = err_say(&r->msg, ERR_SECRET,
                    "nobody lets in who has these words: they were replaced by others, or the "
                    "account is none of this swarm's");
    else if (e != ERR_OK)
        r->msg = *msg;
    if (e == ERR_OK) {
        drop_foreign_heads(r);
        e = make_device(r, &r->msg);
    }
    if (e != ERR_OK) {
        recovery_end(r, e);
        return;
    }
    next_head(r);
}

static void refreshed(void *user, enum err e, const struct errmsg *msg)
{
    struct devices_recovery *r = user;
    struct swarm_heads *heads;
    r->msg = *msg;
    if (e == ERR_OK)
        e = swarm_heads_get(r->vault->swarm, &r->vault->account, on_heads, heads_got, r, &heads,
                            &r->msg);
    if (e != ERR_OK)
        recovery_end(r, e);
}

/* --- the swarm --- */

static enum err open_swarm(struct devices_recovery *r, struct errmsg *msg)
{
    struct vault *vault = r->vault;
    struct coordinator_cert cert = {0};
    const char *addresses[LIMIT_ADDRESSES];
    struct swarm_options options = {
        .net = r->net,
        .clock = vault->ports.clock,
        .random = vault->ports.random,
        .work = vault->ports.work,
        .log = vault->ports.log,
        .root = &vault->swarm_root,
        .account = vault->account,
        .coordinator_addresses = addresses,
        .members = buf_slice(&r->members),
    };
    if (find_coordinator(r, &cert) == ERR_OK) {
        options.coordinator = cert.id;
        options.coordinator_address_count = address_list_pointers(&cert.addresses, addresses);
    }
    const struct wire_hello hello = {
        .kind = WIRE_PEER_ROOT,
        .document = buf_slice(&r->certificate),
    };
    enum err e = swarm_open(&options, &vault->swarm, msg);
    if (e == ERR_OK)
        e = swarm_introduce(vault->swarm, &hello, msg);
    return e == ERR_OK ? swarm_refresh(vault->swarm, refreshed, r, msg) : e;
}

static void ask_info(struct devices_recovery *r);

static enum err ask(struct devices_recovery *r, enum wire_route route, size_t reply_max,
                    net_message_fn *done)
{
    struct net_message *message;
    r->address = r->from[r->from_at].address;
    const struct net_request request = {
        .target = {.id = r->from[r->from_at].id, .addresses = &r->address, .address_count = 1},
        .method = NET_GET,
        .path = wire_path_plain(route),
        .net_class = NET_RESTORE,
    };
    return net_message_start(r->net, &request, reply_max, done, r, &message, &r->why);
}

static void next_address(struct devices_recovery *r, const struct errmsg *msg)
{
    if (msg)
        r->why = *msg;
    r->from_at++;
    ask_info(r);
}

static void on_members(void *user, enum err e, unsigned status, struct slice body,
                       const struct errmsg *msg)
{
    struct devices_recovery *r = user;
    if (e == ERR_OK && status == 200)
        e = buf_append(&r->members, body.data, body.size);
    if (e != ERR_OK) {
        next_address(r, msg);
        return;
    }
    e = open_swarm(r, &r->msg);
    if (e != ERR_OK)
        recovery_end(r, e);
}

static enum err take_info(struct devices_recovery *r, const struct wire_info *info)
{
    struct vault *vault = r->vault;
    swarm_root_of(info->swarm_root, &vault->swarm_root);
    account_keys_clear(&r->secret->keys);
    enum err e = account_keys_derive(r->secret->entropy, &vault->swarm_root, &r->secret->keys);
    if (e != ERR_OK)
        return e;
    vault->account = r->secret->keys.account;
    struct recovery_cert cert = {
        .capabilities = MANIFEST_CAPABILITIES,
        .time_s = clock_wall_ns(vault->ports.clock) / 1000000000,
    };
    memcpy(cert.device_key, sign_key_public(vault->device), SIGN_PUBLIC_SIZE);
    buf_clear(&r->certificate);
    buf_clear(&r->coordinator);
    e = recovery_cert_make(&cert, &vault->swarm_root, r->secret->keys.root, &r->certificate);
    return e == ERR_OK ? buf_append(&r->coordinator, info->coordinator.data, info->coordinator.size)
                       : e;
}

static void on_info(void *user, enum err e, unsigned status, struct slice body,
                    const struct errmsg *msg)
{
    struct devices_recovery *r = user;
    struct wire_info info;
    if (e == ERR_OK && status != 200)
        e = ERR_PEER;
    if (e == ERR_OK)
        e = wire_info_decode(body, &info);
    if (e == ERR_OK)
        e = take_info(r, &info);
    if (e == ERR_OK)
        e = ask(r, WIRE_MEMBERS, LIMIT_MEMBER_LIST_BYTES, on_members);
    if (e != ERR_OK)
        next_address(r, msg);
}

static void ask_info(struct devices_recovery *r)
{
    for (; r->from_at < r->from_count; r->from_at++) {
        if (ask(r, WIRE_INFO, WIRE_INFO_BYTES, on_info) == ERR_OK)
            return;
    }
    recovery_end(r,
                 err_say(&r->msg, ERR_UNREACHABLE,
                         "nobody of the swarm answers (%zu asked, the last one: %s); give others "
                         "by --from ID@host:port",
                         r->from_count, r->why.text));
}

enum err devices_recovery_start(struct devices_recovery *r, struct net *net,
                                const struct devices_recovery_events *events, void *user,
                                struct errmsg *msg)
{
    if (r->net)
        return err_say(msg, ERR_STATE, "this recovery has run already");
    r->net = net;
    r->vault->net = net;
    r->events = *events;
    r->user = user;
    for (; r->from_at < r->from_count; r->from_at++) {
        if (ask(r, WIRE_INFO, WIRE_INFO_BYTES, on_info) == ERR_OK)
            return ERR_OK;
    }
    *msg = r->why;
    return ERR_UNREACHABLE;
}
