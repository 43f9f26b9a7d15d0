#include "vault/vault_hold.h"

#include "vault/vault_manifest.h"
#include "vault/vault_phrase.h"

#include <stdlib.h>

struct setting {
    uint64_t hold_s;
    bool by_root;
    vault_done_fn *done;
    void *user;
};

uint64_t vault_hold_s(const struct vault *vault)
{
    return vault->manifest->hold_s;
}

static enum err edit(void *user, struct manifest *m, struct errmsg *msg)
{
    const struct setting *setting = user;
    if (m->hold_s == setting->hold_s)
        return ERR_END;
    if (m->hold_s > setting->hold_s && !setting->by_root)
        return err_say(msg, ERR_DENIED, "a shorter hold needs the recovery phrase");
    m->hold_s = setting->hold_s;
    return ERR_OK;
}

static void changed(void *user, enum err e, const struct errmsg *msg)
{
    struct setting *setting = user;
    const struct setting copy = *setting;
    free(setting);
    copy.done(copy.user, e, msg);
}

enum err vault_hold_set(struct vault *vault, uint64_t hold_s, const struct vault_root *root,
                        vault_done_fn *done, void *user, struct errmsg *msg)
{
    if (vault->access != VAULT_WRITE || !vault->swarm)
        return err_say(msg, ERR_STATE, "the vault is not open for writing");
    if (hold_s > MANIFEST_HOLD_MAX_S)
        return err_say(msg, ERR_USAGE, "a hold is ten years at most");
    struct setting *setting = malloc(sizeof(*setting));
    if (!setting)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *setting =
        (struct setting){.hold_s = hold_s, .by_root = root != NULL, .done = done, .user = user};
    const struct vault_manifest_change change = {
        .edit = edit,
        .root = root ? root->keys.root : NULL,
        .done = changed,
        .user = setting,
    };
    const enum err e = vault_manifest_change(vault, &change, msg);
    if (e != ERR_OK)
        free(setting);
    return e;
}
