#include "vault/vault_manifest.h"

#include "swarm/swarm_heads.h"

#include <stdlib.h>

enum { CHANGE_TRIES = 5, LOSSES_MAX = 15 };

struct change {
    struct vault *vault;
    struct vault_manifest_change how;
    unsigned tries;
    struct buf document;
    enum err e;
    struct errmsg msg;
};

struct save {
    struct work_job job;
    struct vault *vault;
    struct buf document;
    vault_done_fn *done;
    void *user;
    enum err e;
    struct errmsg msg;
};

const struct manifest_device *vault_manifest_self(const struct vault *vault)
{
    return manifest_device_find(vault->manifest, vault_device(vault));
}

/* --- taking up --- */

enum err vault_manifest_seen(struct vault *vault, struct slice document, bool *taken,
                             struct errmsg *msg)
{
    if (taken)
        *taken = false;
    if (slice_equal(document, buf_slice(&vault->manifest_bytes)))
        return ERR_OK;
    enum err e = vault_manifest_take(vault, document, msg);
    if (e == ERR_STALE)
        return ERR_OK;
    if (e == ERR_OK && vault->swarm)
        e = vault_introduce(vault, msg);
    if (e == ERR_OK && taken)
        *taken = true;
    return e;
}

static void save_run(struct work_job *job)
{
    struct save *save = container_of(job, struct save, job);
    if (save->vault->access == VAULT_WRITE)
        save->e =
            index_fact_put(save->vault->index, "manifest", buf_slice(&save->document), &save->msg);
}

static void save_done(struct work_job *job)
{
    struct save *save = container_of(job, struct save, job);
    save->done(save->user, save->e, &save->msg);
    buf_free(&save->document);
    free(save);
}

enum err vault_manifest_save(struct vault *vault, vault_done_fn *done, void *user,
                             struct errmsg *msg)
{
    struct save *save = calloc(1, sizeof(*save));
    if (!save)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *save = (struct save){.job = {.run = save_run, .done = save_done},
                          .vault = vault,
                          .document = BUF_INIT(LIMIT_MANIFEST_BYTES),
                          .done = done,
                          .user = user};
    const enum err e =
        buf_append(&save->document, vault->manifest_bytes.data, vault->manifest_bytes.size);
    if (e != ERR_OK) {
        free(save);
        return err_say(msg, e, "out of memory for a manifest");
    }
    work_submit(vault->ports.work, vault->lane, &save->job);
    return ERR_OK;
}

/* --- changing --- */

static void change_ask(struct change *c);

static void change_end(struct change *c, enum err e)
{
    if (e != ERR_OK)
        (void)err_wrap(&c->msg, e, "cannot change the account's manifest");
    c->how.done(c->how.user, e, &c->msg);
    buf_free(&c->document);
    free(c);
}

static void saved(void *user, enum err e, const struct errmsg *msg)
{
    struct change *c = user;
    if (e != ERR_OK) {
        c->msg = *msg;
        c->e = e;
    }
    change_end(c, c->e);
}

static void newer(void *user, const struct id *peer, struct slice document)
{
    struct change *c = user;
    struct errmsg msg;
    (void)peer;
    if (vault_manifest_seen(c->vault, document, NULL, &msg) != ERR_OK)
        log_say(c->vault->ports.log, LOG_WARN, "a manifest that somebody keeps: %s", msg.text);
}

static void was_put(void *user, enum err e, const struct swarm_heads_result *result,
                    const struct errmsg *msg)
{
    struct change *c = user;
    c->msg = *msg;
    if (e == ERR_STALE && result->domains == 0 && ++c->tries < CHANGE_TRIES) {
        change_ask(c);
        return;
    }
    if (result->domains == 0) {
        change_end(c, e);
        return;
    }
    /* it is out */
    c->e = e == ERR_STALE ? ERR_NOT_ENOUGH : e;
    e = vault_manifest_seen(c->vault, buf_slice(&c->document), NULL, &c->msg);
    if (e == ERR_OK)
        e = vault_manifest_save(c->vault, saved, c, &c->msg);
    if (e != ERR_OK)
        change_end(c, e);
}

static enum err sign_change(struct change *c, struct manifest *m)
{
    struct vault *vault = c->vault;
    const bool by_root = c->how.root != NULL;
    const struct manifest_device *self = vault_manifest_self(vault);
    if (!by_root && (!self || !manifest_may(self, MANIFEST_ADMIN)))
        return err_say(&c->msg, ERR_DENIED, "this device is no admin of the account");
    m->number = manifest_next_number(m->number, by_root);
    m->time_s = clock_wall_ns(vault->ports.clock) / 1000000000;
    enum err e = by_root ? manifest_certify_admins(m, &vault->swarm_root, c->how.root) : ERR_OK;
    buf_clear(&c->document);
    if (e == ERR_OK)
        e = manifest_make(m, &vault->swarm_root, by_root ? c->how.root : vault->device,
                          &c->document);
    return e == ERR_OK ? e : err_say(&c->msg, e, "cannot sign it: %s", err_words(e));
}

static enum err put(struct change *c)
{
    unsigned k, m;
    vault_level(c->vault, &k, &m);
    const struct swarm_heads_put how = {
        .account = c->vault->account,
        .manifest = buf_slice(&c->document),
        .losses = m < LOSSES_MAX ? m : LOSSES_MAX,
        .coordinator_first = true,
        .newer = newer,
        .done = was_put,
        .user = c,
    };
    return swarm_heads_put(c->vault->swarm, &how, NULL, &c->msg);
}

static void asked(void *user, enum err e, const struct swarm_heads_result *result,
                  const struct errmsg *msg)
{
    struct change *c = user;
    struct manifest *m = NULL;
    (void)result;
    c->msg = *msg;
    if (e == ERR_OK)
        e = manifest_open(buf_slice(&c->vault->manifest_bytes), &c->vault->swarm_root, &m, &c->msg);
    if (e == ERR_OK)
        e = c->how.edit(c->how.user, m, &c->msg);
    if (e == ERR_END) { /* as it should be; but it may have come just now */
        manifest_free(m);
        e = vault_manifest_save(c->vault, saved, c, &c->msg);
        if (e != ERR_OK)
            change_end(c, e);
        return;
    }
    if (e == ERR_OK)
        e = sign_change(c, m);
    manifest_free(m);
    if (e == ERR_OK)
        e = put(c);
    if (e != ERR_OK)
        change_end(c, e);
}

static void shown(void *user, const struct id *peer, struct wire_heads *heads)
{
    if (heads->manifest.size > 0)
        newer(user, peer, heads->manifest);
}

static void change_ask(struct change *c)
{
    const enum err e =
        swarm_heads_get(c->vault->swarm, &c->vault->account, shown, asked, c, NULL, &c->msg);
    if (e != ERR_OK)
        change_end(c, e);
}

enum err vault_manifest_change(struct vault *vault, const struct vault_manifest_change *change,
                               struct errmsg *msg)
{
    struct change *c = calloc(1, sizeof(*c));
    if (!c)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *c =
        (struct change){.vault = vault, .how = *change, .document = BUF_INIT(LIMIT_MANIFEST_BYTES)};
    const enum err e = swarm_heads_get(vault->swarm, &vault->account, shown, asked, c, NULL, msg);
    if (e != ERR_OK)
        free(c);
    return e;
}

void vault_manifest_keep(const struct vault *vault)
{
    struct buf kept = BUF_INIT(LIMIT_MANIFEST_BYTES);
    char *path = vault_path(vault, "manifest");
    if (vault->access != VAULT_WRITE || !vault->index || !vault->manifest || !path)
        goto out;
    const enum err e = file_read(path, &kept, NULL);
    if (e == ERR_OK && slice_equal(buf_slice(&kept), buf_slice(&vault->manifest_bytes)))
        goto out;
    if (file_write(path, 0600, buf_slice(&vault->manifest_bytes), NULL) != ERR_OK)
        log_say(vault->ports.log, LOG_WARN, "the manifest's copy in %s cannot be written",
                vault->dir);
out:
    buf_free(&kept);
    free(path);
}
