/* cellctl key, phrase, unlock: what opens the vault and the account. */
#include "ctl.h"
#include "vault/vault_epoch.h"
#include "vault/vault_keyslots.h"
#include "vault/vault_phrase.h"

#include <stdlib.h>
#include <string.h>

/* --- slots --- */

static int list_keys(struct ctl *ctl)
{
    struct vault_keyslot slots[VAULT_KEYSLOTS_MAX];
    size_t count = 0;
    struct json_line *line;
    const int code = ctl_open(ctl, VAULT_READ);
    if (code != CTL_OK)
        return code;
    const enum err e = vault_keyslots_list(ctl->vault, slots, &count, &ctl->msg);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    for (size_t i = 0; i < count; i++) {
        const char *kind = slots[i].key_file ? "key file" : "passphrase";
        if (!ctl->out.json) {
            ctl_print(&ctl->out, "%u  %s%s", slots[i].number, kind,
                      slots[i].used ? "  (opened the vault now)" : "");
        } else if (json_line_new("key", &line) == ERR_OK) {
            json_line_u64(line, "number", slots[i].number);
            json_line_text(line, "kind", kind);
            json_line_bool(line, "current", slots[i].used);
            ctl_json(&ctl->out, line);
        }
    }
    return CTL_OK;
}

static int add_key(struct ctl *ctl)
{
    struct buf passphrase = BUF_INIT(CTL_PASSPHRASE_MAX);
    unsigned number = 0;
    const int code = ctl_open(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        return code;
    enum err e = ERR_OK;
    if (!ctl->options.no_passphrase)
        e = ctl_new_passphrase(&ctl->options, &passphrase, &ctl->msg);
    if (e == ERR_OK)
        e = vault_keyslots_add(ctl->vault, buf_slice(&passphrase), &number, &ctl->msg);
    ctl_secret_clear(&passphrase);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    ctl_say(&ctl->out, "Key slot %u opens the vault too now.", number);
    return CTL_OK;
}

static int remove_key(struct ctl *ctl, const char *text)
{
    char *end;
    const unsigned long number = strtoul(text, &end, 10);
    if (end == text || *end || number > VAULT_KEYSLOTS_MAX)
        return ctl_fail(&ctl->out, CTL_USAGE,
                        "key remove takes a slot's number; \"cellctl key list\" shows them");
    const int code = ctl_open(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        return code;
    const enum err e = vault_keyslots_remove(ctl->vault, (unsigned)number, &ctl->msg);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    ctl_say(&ctl->out, "Key slot %lu opens the vault no more.", number);
    return CTL_OK;
}

static int change_passphrase(struct ctl *ctl)
{
    struct buf passphrase = BUF_INIT(CTL_PASSPHRASE_MAX);
    const int code = ctl_open(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        return code;
    enum err e = ctl_new_passphrase(&ctl->options, &passphrase, &ctl->msg);
    if (e == ERR_OK)
        e = vault_keyslots_change(ctl->vault, buf_slice(&passphrase), &ctl->msg);
    ctl_secret_clear(&passphrase);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    ctl_say(&ctl->out, "The vault has a new passphrase; the old one opens it no more.");
    return CTL_OK;
}

/* --- the data key --- */

struct rotating {
    struct ctl *ctl;
    uint32_t epoch;
    bool in_force;
};

static void on_rotated(void *user, enum err e, uint32_t epoch, bool in_force,
                       const struct errmsg *msg)
{
    struct rotating *r = user;
    r->epoch = epoch;
    r->in_force = in_force;
    ctl_done(r->ctl, e, msg);
}

static int rotate_key(struct ctl *ctl)
{
    struct rotating r = {.ctl = ctl};
    struct json_line *line;
    const int code = ctl_open_swarm(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        return code;
    enum err e = vault_epoch_rotate(ctl->vault, on_rotated, &r, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    if (ctl->out.json && json_line_new("rotated", &line) == ERR_OK) {
        json_line_u64(line, "epoch", r.epoch);
        json_line_bool(line, "in_force", r.in_force);
        ctl_json(&ctl->out, line);
    }
    ctl_say(&ctl->out,
            r.in_force ? "What this device stores from now on is under its data key %u."
                       : "Data key %u counts as soon as an admin device of the account has run.",
            r.epoch);
    if (!ctl->options.rewrite)
        return CTL_OK;
    if (!r.in_force) {
        ctl_say(&ctl->out, "When it does: cellctl key rewrite.");
        return CTL_OK;
    }
    return ctl_prune_run(ctl, true);
}

static int rewrite_old(struct ctl *ctl)
{
    const int code = ctl_open_swarm(ctl, VAULT_WRITE);
    return code == CTL_OK ? ctl_prune_run(ctl, true) : code;
}

int ctl_key(struct ctl *ctl)
{
    const struct ctl_list *arguments = &ctl->options.arguments;
    const char *verb = arguments->items[0];
    if (arguments->count == 1 && !strcmp(verb, "list"))
        return list_keys(ctl);
    if (arguments->count == 1 && !strcmp(verb, "add"))
        return add_key(ctl);
    if (arguments->count == 1 && !strcmp(verb, "passwd"))
        return change_passphrase(ctl);
    if (arguments->count == 1 && !strcmp(verb, "rotate"))
        return rotate_key(ctl);
    if (arguments->count == 1 && !strcmp(verb, "rewrite"))
        return rewrite_old(ctl);
    if (arguments->count == 2 && !strcmp(verb, "remove"))
        return remove_key(ctl, arguments->items[1]);
    return ctl_fail(
        &ctl->out, CTL_USAGE,
        "key takes list, add, remove N, passwd, rotate or rewrite; see: cellctl key --help");
}

/* --- the phrase --- */

static int check_phrase(struct ctl *ctl)
{
    struct buf words = BUF_INIT(CTL_PHRASE_FILE_MAX);
    struct vault_root *root = NULL;
    struct json_line *line;
    const int code = ctl_open(ctl, VAULT_READ);
    if (code != CTL_OK)
        return code;
    enum err e = ctl_phrase(&ctl->options, &words, &ctl->msg);
    if (e == ERR_OK)
        e = vault_phrase_open(ctl->vault, (const char *)words.data, &root, &ctl->msg);
    ctl_secret_clear(&words);
    vault_phrase_close(root);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    if (ctl->out.json && json_line_new("phrase", &line) == ERR_OK) {
        json_line_bool(line, "belongs", true);
        ctl_json(&ctl->out, line);
    }
    ctl_say(&ctl->out, "These are the 24 words of this account: they bring everything back.");
    return CTL_OK;
}

int ctl_phrase_command(struct ctl *ctl)
{
    const struct ctl_list *arguments = &ctl->options.arguments;
    if (arguments->count == 1 && !strcmp(arguments->items[0], "check"))
        return check_phrase(ctl);
    return ctl_fail(&ctl->out, CTL_USAGE, "phrase takes check; see: cellctl phrase --help");
}

/* --- the lock --- */

int ctl_unlock(struct ctl *ctl)
{
    const int code = ctl_open(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        return code;
    ctl_say(&ctl->out, "Nothing holds the vault: a lock goes with the process that took it.");
    return CTL_OK;
}
