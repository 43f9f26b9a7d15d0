/*
 * Taking devices in:
 *
 *     requests from all who keep them ─▶ each verified, by the invite and the manifest ─▶ into the
 *     manifest, with the account's keys sealed to those that may read ─▶ manifest to everybody
 */
#include "devices/devices.h"

#include "identity/device_request.h"
#include "identity/invite_text.h"
#include "identity/member_list.h"
#include "swarm/swarm_devices.h"
#include "vault/vault_manifest.h"
#include "vault/vault_phrase.h"

#include <stdio.h>
#include <stdlib.h>

_Static_assert((int)DEVICES_MAY_PUT == (int)MANIFEST_PUT &&
                   (int)DEVICES_MAY_READ == (int)MANIFEST_READ &&
                   (int)DEVICES_MAY_DELETE == (int)MANIFEST_DELETE &&
                   (int)DEVICES_MAY_ADMIN == (int)MANIFEST_ADMIN,
               "the same bits");

enum { PREFIX_MIN = 4 };

/* --- looking --- */

static void row_of(const struct vault *vault, const struct manifest_device *d,
                   struct devices_row *out)
{
    *out = (struct devices_row){
        .id = d->id,
        .slot = d->slot,
        .capabilities = d->capabilities,
        .self = id_equal(&d->id, vault_device(vault)),
        .revoked = d->revoked,
        .last_sequence = d->last_sequence,
        .epochs = (uint32_t)d->epoch_count,
    };
    snprintf(out->name, sizeof(out->name), "%s", d->name);
}

size_t devices_count(const struct vault *vault)
{
    return vault->manifest->device_count;
}

void devices_at(const struct vault *vault, size_t number, struct devices_row *out)
{
    row_of(vault, &vault->manifest->devices[number], out);
}

unsigned devices_may(const struct vault *vault)
{
    const struct manifest_device *self = vault_manifest_self(vault);
    return self && !self->revoked ? self->capabilities : 0;
}

static bool is_meant(const struct manifest_device *d, const char *text)
{
    char id[ID_TEXT_SIZE];
    id_format(&d->id, id);
    return !strcmp(d->name, text) ||
           (strlen(text) >= PREFIX_MIN && !strncmp(id, text, strlen(text)));
}

enum err devices_find(const struct vault *vault, const char *text, struct devices_row *out,
                      struct errmsg *msg)
{
    size_t found = 0;
    for (size_t i = 0; i < vault->manifest->device_count; i++) {
        if (!is_meant(&vault->manifest->devices[i], text))
            continue;
        found++;
        devices_at(vault, i, out);
    }
    if (found == 0)
        return err_say(msg, ERR_NOT_FOUND,
                       "there is no device '%s'; \"cellctl device list\" shows them", text);
    if (found > 1)
        return err_say(msg, ERR_USAGE, "%zu devices are called '%s': give the ID", found, text);
    return ERR_OK;
}

/* --- inviting --- */

static enum err text_of(struct vault *vault, struct slice invite, struct buf *out,
                        struct errmsg *msg)
{
    struct member_list *list = NULL;
    struct invite_text text = {.swarm = vault->swarm_root, .invite = invite};
    enum err e = member_list_open(swarm_list_bytes(vault->swarm), &vault->swarm_root, &list, msg);
    if (e != ERR_OK)
        return err_wrap(msg, ERR_STATE,
                        "no member list is known, which would have the coordinator's certificate");
    text.coordinator = list->coordinator_doc;
    text.addresses = list->coordinator.addresses;
    for (size_t i = 0; i < vault->settings.addresses.count; i++) /* a full list has enough */
        err_ignore(address_list_add(&text.addresses, vault->settings.addresses.items[i]));
    e = invite_text_make(&text, out);
    if (e != ERR_OK)
        (void)err_say(msg, e, "the invite cannot be written: %s", err_words(e));
    member_list_free(list);
    return e;
}

enum err devices_invite(struct vault *vault, unsigned capabilities, int64_t expires_s,
                        const struct vault_root *root, struct buf *out, struct errmsg *msg)
{
    struct invite_device invite = {
        .account = vault->account, .capabilities = capabilities, .expires_s = expires_s};
    struct buf doc = BUF_INIT(INVITE_BYTES_MAX);
    if (!root && (devices_may(vault) & MANIFEST_ADMIN) == 0)
        return err_say(msg, ERR_DENIED,
                       "this device is no admin of the account: it cannot invite others");
    if (!root && (capabilities & MANIFEST_ADMIN))
        return err_say(msg, ERR_DENIED,
                       "an admin is made by the recovery phrase only: give it by "
                       "--phrase-file");
    if ((capabilities & (MANIFEST_PUT | MANIFEST_READ)) == 0)
        return err_say(msg, ERR_USAGE, "a device that may neither put nor read is of no use");
    random_fill(vault->ports.random, invite.id, sizeof(invite.id));
    enum err e = invite_device_make(&invite, &vault->swarm_root,
                                    root ? root->keys.root : vault->device, &doc);
    if (e != ERR_OK)
        (void)err_say(msg, e, "cannot sign the invite");
    if (e == ERR_OK)
        e = text_of(vault, buf_slice(&doc), out, msg);
    buf_free(&doc);
    return e;
}

/* --- taking in --- */

struct wish {
    struct invite_device invite;
    struct device_request request;
    uint32_t slot; /* of the last edit */
    bool granted;
};

struct admit {
    struct vault *vault;
    const struct vault_root *root;
    struct devices_events events;
    void *user;
    struct wish wishes[WIRE_DEVICE_REQUESTS_MAX];
    size_t count;
    struct errmsg msg;
};

static void refuse(const struct admit *a, enum err e, const struct device_request *request,
                   const char *why)
{
    struct errmsg msg;
    char id[ID_TEXT_SIZE];
    if (!a->events.refused)
        return;
    (void)err_say(&msg, e, "device %.10s (%s) waits and is not taken in: %s",
                  id_format(&request->device, id), request->name, why);
    a->events.refused(a->user, e, msg.text);
}

static bool is_listed(const struct admit *a, const struct device_request *request)
{
    for (size_t i = 0; i < a->count; i++)
        if (id_equal(&a->wishes[i].request.device, &request->device) ||
            (request->invited && a->wishes[i].request.invited &&
             memcmp(a->wishes[i].request.invite, request->invite, INVITE_ID_SIZE) == 0))
            return true;
    return false;
}

/* What does not verify was never shown to a daemon that checks: it is passed over. */
static void waiting(void *user, const struct id *peer, const struct wire_device_ask *ask)
{
    struct admit *a = user;
    struct wish wish = {0};
    const struct swarm_root *swarm = &a->vault->swarm_root;
    (void)peer;
    if (a->count == ARRAY_COUNT(a->wishes) ||
        device_request_open(ask->request, swarm, NULL, &wish.request, NULL) != ERR_OK ||
        !id_equal(&wish.request.account, &a->vault->account) || is_listed(a, &wish.request))
        return;
    if (wish.request.invited &&
        (invite_device_open(ask->invite, swarm, NULL, &wish.invite, NULL) != ERR_OK ||
         memcmp(wish.invite.id, wish.request.invite, INVITE_ID_SIZE) != 0))
        return;
    a->wishes[a->count++] = wish;
}

static enum err check_wish(const struct admit *a, const struct manifest *m, const struct wish *wish,
                           struct errmsg *msg)
{
    const unsigned wanted = wish->invite.capabilities;
    if (!manifest_invites(m, &wish->invite))
        return err_say(msg, ERR_DENIED, "who signed its invite is no admin (any more)");
    if (clock_wall_ns(a->vault->ports.clock) / 1000000000 > wish->invite.expires_s)
        return err_say(msg, ERR_DENIED, "its invite is over");
    if (manifest_invite_used(m, wish->invite.id))
        return err_say(msg, ERR_DENIED, "its invite was used by another device");
    if ((wanted & MANIFEST_ADMIN) && !a->root)
        return err_say(msg, ERR_DENIED,
                       "it is to be an admin: \"cellctl device admit "
                       "--phrase-file FILE\" does that");
    if ((wanted & MANIFEST_READ) && !a->root && (devices_may(a->vault) & MANIFEST_READ) == 0)
        return err_say(msg, ERR_DENIED, "this device has not got the keys that it is to read by");
    return ERR_OK;
}

/* A new device, with its first data key, and the account's keys when it may read. */
static enum err add_device(const struct admit *a, struct manifest *m, struct wish *wish)
{
    const struct device_request *request = &wish->request;
    const struct account_secrets *secrets =
        a->root ? &a->root->keys.secrets : &a->vault->secrets->account;
    struct manifest_device device = {.capabilities = wish->invite.capabilities, .invited = true};
    uint8_t ephemeral[SEAL_SEED_SIZE];
    enum err e = ERR_OK;
    memcpy(device.key, request->key, sizeof(device.key));
    memcpy(device.seal_key, request->seal_key, sizeof(device.seal_key));
    memcpy(device.invite, request->invite, sizeof(device.invite));
    snprintf(device.name, sizeof(device.name), "%s", request->name);
    device.has_secrets = (device.capabilities & MANIFEST_READ) != 0;
    if (device.has_secrets) {
        random_fill(a->vault->ports.random, ephemeral, sizeof(ephemeral));
        e = account_secrets_seal(secrets, device.seal_key, ephemeral, device.secrets);
    }
    if (e == ERR_OK)
        e = manifest_add_device(m, &device, &wish->slot);
    return e == ERR_OK ? manifest_add_epoch(m, wish->slot, &request->epoch) : e;
}

/* Does its data key open for those who read? One that was sealed to an older reading key, or is
   none at all, would make all that the device stores unreadable for everybody else. */
static enum err check_data_key(const struct admit *a, const struct manifest *m,
                               const struct wish *wish, struct errmsg *msg)
{
    const struct account_secrets *secrets =
        a->root ? &a->root->keys.secrets : &a->vault->secrets->account;
    const struct manifest_epoch *epoch = &wish->request.epoch;
    uint8_t key[MANIFEST_DATA_KEY_SIZE];
    if (!a->root && (devices_may(a->vault) & MANIFEST_READ) == 0)
        return ERR_OK; /* it cannot know */
    const enum err e = seal_open(m->reading_key, secrets->reading_secret,
                                 slice_of(epoch->sealed, sizeof(epoch->sealed)), key);
    secret_wipe(key, sizeof(key));
    return e == ERR_OK ? e
                       : err_say(msg, ERR_DENIED,
                                 "its data key is not sealed to the account's reading key; let it "
                                 "ask again");
}

/* ERR_END: nothing to do for this one. */
static enum err grant(struct admit *a, struct manifest *m, struct wish *wish)
{
    struct errmsg why = {0};
    const struct device_request *request = &wish->request;
    const struct manifest_device *there = manifest_device_find(m, &request->device);
    enum err e = ERR_OK;
    if (there && (there->revoked || manifest_epoch_find(there, request->epoch.epoch)))
        return ERR_END;
    if (!there && !request->invited)
        return ERR_END;
    e = there ? ERR_OK : check_wish(a, m, wish, &why);
    if (e == ERR_OK)
        e = check_data_key(a, m, wish, &why);
    if (e == ERR_OK && there) {
        wish->slot = there->slot;
        e = manifest_add_epoch(m, there->slot, &request->epoch);
    } else if (e == ERR_OK) {
        e = add_device(a, m, wish);
    }
    if (e != ERR_OK && e != ERR_NOMEM) {
        refuse(a, e, request, why.text[0] ? why.text : err_words(e));
        return ERR_END;
    }
    return e;
}

static enum err edit(void *user, struct manifest *m, struct errmsg *msg)
{
    struct admit *a = user;
    size_t granted = 0;
    for (size_t i = 0; i < a->count; i++) {
        const enum err e = grant(a, m, &a->wishes[i]);
        a->wishes[i].granted = e == ERR_OK;
        granted += e == ERR_OK;
        if (e != ERR_OK && e != ERR_END)
            return err_say(msg, e, "out of memory for a device");
    }
    return granted > 0 ? ERR_OK : ERR_END;
}

static void admit_end(struct admit *a, enum err e, const struct errmsg *msg)
{
    uint32_t count = 0;
    for (size_t i = 0; (e == ERR_OK || e == ERR_NOT_ENOUGH) && i < a->count; i++) {
        struct devices_row row;
        const struct manifest_device *d =
            manifest_device_find(a->vault->manifest, &a->wishes[i].request.device);
        if (!a->wishes[i].granted || !d)
            continue;
        row_of(a->vault, d, &row);
        count++;
        a->events.admitted(a->user, &row);
    }
    a->events.done(a->user, e, count, msg);
    secret_wipe(a, sizeof(*a));
    free(a);
}

static void changed(void *user, enum err e, const struct errmsg *msg)
{
    admit_end(user, e, msg);
}

static void gathered(void *user, enum err e, const struct errmsg *msg)
{
    struct admit *a = user;
    if (e != ERR_OK || a->count == 0) {
        admit_end(a, e, msg);
        return;
    }
    const struct vault_manifest_change change = {
        .edit = edit, .root = a->root ? a->root->keys.root : NULL, .done = changed, .user = a};
    e = vault_manifest_change(a->vault, &change, &a->msg);
    if (e != ERR_OK)
        admit_end(a, e, &a->msg);
}

enum err devices_admit(struct vault *vault, const struct vault_root *root,
                       const struct devices_events *events, void *user, struct errmsg *msg)
{
    if ((devices_may(vault) & MANIFEST_ADMIN) == 0)
        return err_say(msg, ERR_DENIED, "this device is no admin of the account");
    struct admit *a = calloc(1, sizeof(*a));
    if (!a)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *a = (struct admit){.vault = vault, .root = root, .events = *events, .user = user};
    const enum err e =
        swarm_devices_waiting(vault->swarm, &vault->account, waiting, gathered, a, msg);
    if (e != ERR_OK)
        free(a);
    return e;
}

/* --- revoking --- */

struct revoke {
    struct work_job job;
    struct vault *vault;
    const struct vault_root *root;
    struct id device;
    uint64_t last;
    vault_done_fn *done;
    void *user;
    enum err e;
    struct errmsg msg;
};

static void revoke_end(void *user, enum err e, const struct errmsg *msg)
{
    struct revoke *r = user;
    const struct errmsg copy = *msg;
    vault_done_fn *done = r->done;
    void *done_user = r->user;
    free(r);
    done(done_user, e, &copy);
}

static enum err revoke_edit(void *user, struct manifest *m, struct errmsg *msg)
{
    struct revoke *r = user;
    const struct manifest_device *d = manifest_device_find(m, &r->device);
    if (!d)
        return err_say(msg, ERR_NOT_FOUND, "the account has no such device");
    if (d->revoked)
        return ERR_END;
    if ((d->capabilities & MANIFEST_ADMIN) && !r->root)
        return err_say(msg, ERR_DENIED,
                       "%s is an admin: only the recovery phrase may revoke it; give it by "
                       "--phrase-file",
                       d->name);
    return manifest_revoke(m, d->slot, r->last);
}

/* The newest head that is known of it: what comes later is void. */
static void last_run(struct work_job *job)
{
    struct revoke *r = container_of(job, struct revoke, job);
    struct slice head;
    r->e = index_head_get(r->vault->index, &r->device, &r->last, &head, &r->msg);
    if (r->e == ERR_NOT_FOUND) {
        r->last = 0;
        r->e = ERR_OK;
    }
}

static void last_done(struct work_job *job)
{
    struct revoke *r = container_of(job, struct revoke, job);
    const struct vault_manifest_change change = {.edit = revoke_edit,
                                                 .root = r->root ? r->root->keys.root : NULL,
                                                 .done = revoke_end,
                                                 .user = r};
    if (r->e == ERR_OK)
        r->e = vault_manifest_change(r->vault, &change, &r->msg);
    if (r->e != ERR_OK)
        revoke_end(r, r->e, &r->msg);
}

enum err devices_revoke(struct vault *vault, const struct id *device, const struct vault_root *root,
                        vault_done_fn *done, void *user, struct errmsg *msg)
{
    const struct manifest_device *d = manifest_device_find(vault->manifest, device);
    if (!d)
        return err_say(msg, ERR_NOT_FOUND, "the account has no such device");
    if (d->revoked)
        return err_say(msg, ERR_EXISTS, "device %s is revoked already", d->name);
    if (id_equal(device, vault_device(vault)) && !root)
        return err_say(msg, ERR_STATE,
                       "that is this device itself: revoke it from another one, or with the "
                       "recovery phrase");
    struct revoke *r = calloc(1, sizeof(*r));
    if (!r)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *r = (struct revoke){.job = {.run = last_run, .done = last_done},
                         .vault = vault,
                         .root = root,
                         .device = *device,
                         .done = done,
                         .user = user};
    work_submit(vault->ports.work, vault->lane, &r->job);
    return ERR_OK;
}
