#include "vault/vault_epoch.h"

#include "identity/device_request.h"
#include "swarm/swarm_devices.h"
#include "vault/vault_manifest.h"

#include <stdio.h>
#include <stdlib.h>

struct rotation {
    struct work_job job;
    struct vault *vault;
    struct manifest_epoch epoch;
    struct buf request;
    vault_epoch_fn *done;
    void *user;
    enum err e;
    struct errmsg msg;
};

const struct vault_epoch *vault_epoch_current(const struct vault *vault)
{
    const struct vault_secrets *s = vault->secrets;
    const struct manifest_device *self = vault_manifest_self(vault);
    for (size_t i = s->epoch_count; self && i-- > 0;)
        if (manifest_epoch_find(self, s->epochs[i].epoch))
            return &s->epochs[i];
    return &s->epochs[0];
}

uint32_t vault_epoch_now(const struct vault *vault)
{
    return vault_epoch_current(vault)->epoch;
}

static void rotation_end(struct rotation *r, enum err e, bool in_force)
{
    r->done(r->user, e, r->epoch.epoch, in_force, &r->msg);
    buf_free(&r->request);
    free(r);
}

/* --- the key: one that is not in the manifest yet, of an earlier try, or a new one --- */

static enum err make_key(struct rotation *r)
{
    struct vault *vault = r->vault;
    struct vault_secrets *s = vault->secrets;
    const struct manifest_device *self = vault_manifest_self(vault);
    const struct vault_epoch *last = &s->epochs[s->epoch_count - 1];
    uint8_t ephemeral[SEAL_SEED_SIZE];
    if (!self || self->revoked)
        return err_say(&r->msg, ERR_DENIED, "this device was revoked");
    if (manifest_epoch_find(self, last->epoch)) {
        if (s->epoch_count == VAULT_EPOCHS_MAX)
            return err_say(&r->msg, ERR_TOO_LARGE,
                           "this device has had %u data keys, which is all that it keeps: join "
                           "anew as another device",
                           (unsigned)VAULT_EPOCHS_MAX);
        struct vault_epoch *next = &s->epochs[s->epoch_count];
        next->epoch = self->epochs[self->epoch_count - 1].epoch + 1;
        random_fill(vault->ports.random, next->data_key, sizeof(next->data_key));
        s->epoch_count++;
        last = next;
    }
    r->epoch.epoch = last->epoch;
    random_fill(vault->ports.random, ephemeral, sizeof(ephemeral));
    const enum err e = seal(vault->manifest->reading_key, ephemeral,
                            slice_of(last->data_key, sizeof(last->data_key)), r->epoch.sealed);
    return e == ERR_OK ? vault_keys_save(vault, &r->msg)
                       : err_say(&r->msg, e, "cannot seal the new data key");
}

/* --- into the manifest --- */

static enum err add_epoch(void *user, struct manifest *m, struct errmsg *msg)
{
    struct rotation *r = user;
    const struct manifest_device *self = manifest_device_find(m, vault_device(r->vault));
    if (!self || self->revoked)
        return err_say(msg, ERR_DENIED, "this device was revoked");
    if (manifest_epoch_find(self, r->epoch.epoch))
        return ERR_END;
    return manifest_add_epoch(m, self->slot, &r->epoch);
}

static void changed(void *user, enum err e, const struct errmsg *msg)
{
    struct rotation *r = user;
    r->msg = *msg;
    rotation_end(r, e, e == ERR_OK || e == ERR_NOT_ENOUGH);
}

static void on_reply(void *user, const struct id *peer, const struct wire_device_reply *reply)
{
    struct rotation *r = user;
    struct errmsg msg;
    (void)peer;
    if (vault_manifest_seen(r->vault, reply->manifest, NULL, &msg) != ERR_OK)
        log_say(r->vault->ports.log, LOG_WARN, "a manifest that was shown: %s", msg.text);
}

static void requested(void *user, enum err e, const struct errmsg *msg)
{
    struct rotation *r = user;
    r->msg = *msg;
    rotation_end(r, e, false);
}

static enum err send_request(struct rotation *r)
{
    struct vault *vault = r->vault;
    const struct manifest_device *self = vault_manifest_self(vault);
    struct device_request request = {
        .account = vault->account,
        .epoch = r->epoch,
        .time_s = clock_wall_ns(vault->ports.clock) / 1000000000,
    };
    memcpy(request.seal_key, self->seal_key, sizeof(request.seal_key));
    snprintf(request.name, sizeof(request.name), "%s", self->name);
    const enum err e =
        device_request_make(&request, &vault->swarm_root, vault->device, &r->request);
    if (e != ERR_OK)
        return err_say(&r->msg, e, "cannot sign the request");
    const struct wire_device_ask ask = {.request = buf_slice(&r->request)};
    return swarm_devices_ask(vault->swarm, &vault->account, &ask, on_reply, requested, r, &r->msg);
}

static void key_run(struct work_job *job)
{
    struct rotation *r = container_of(job, struct rotation, job);
    r->e = make_key(r);
}

static void key_done(struct work_job *job)
{
    struct rotation *r = container_of(job, struct rotation, job);
    const struct vault_manifest_change change = {.edit = add_epoch, .done = changed, .user = r};
    if (r->e == ERR_OK)
        r->e = manifest_may(vault_manifest_self(r->vault), MANIFEST_ADMIN)
                   ? vault_manifest_change(r->vault, &change, &r->msg)
                   : send_request(r);
    if (r->e != ERR_OK)
        rotation_end(r, r->e, false);
}

enum err vault_epoch_rotate(struct vault *vault, vault_epoch_fn *done, void *user,
                            struct errmsg *msg)
{
    if (vault->access != VAULT_WRITE || !vault->swarm)
        return err_say(msg, ERR_STATE, "the vault is not open for writing");
    struct rotation *r = calloc(1, sizeof(*r));
    if (!r)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *r = (struct rotation){.job = {.run = key_run, .done = key_done},
                           .vault = vault,
                           .request = BUF_INIT(DEVICE_REQUEST_BYTES_MAX),
                           .done = done,
                           .user = user};
    work_submit(vault->ports.work, vault->lane, &r->job);
    return ERR_OK;
}
