/* cellctl key, phrase, unlock: what opens the vault and the account. */
#include "crypto/secret.h"
#include "ctl.h"
#include "vault/vault_epoch.h"
#include "vault/vault_keyslots.h"
#include "vault/vault_phrase.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* What became of a slot, as JSON. */
static void tell_slot(struct ctl *ctl, const char *message_type, unsigned number)
{
    struct json_line *line;
    if (!ctl->out.json || json_line_new(message_type, &line) != ERR_OK)
        return;
    json_line_u64(line, "number", number);
    ctl_json(&ctl->out, line);
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
    tell_slot(ctl, "key_added", number);
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
    tell_slot(ctl, "key_removed", (unsigned)number);
    return CTL_OK;
}

static int change_passphrase(struct ctl *ctl)
{
    struct json_line *line;
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
    if (ctl->out.json && json_line_new("passphrase_changed", &line) == ERR_OK)
        ctl_json(&ctl->out, line);
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

static enum err run_replace(struct ctl *ctl, const struct vault_root *old, char *words)
{
    struct vault_root *next = NULL;
    const char *file = ctl->options.new_phrase_file;
    enum err e = vault_phrase_new(ctl->vault, old, &next, words, &ctl->msg);
    if (e == ERR_OK && file) /* before it counts: it must not be lost */
        e = vault_phrase_write(ctl->vault, words, file, &ctl->msg);
    const bool written = e == ERR_OK && file;
    if (e == ERR_OK)
        e = vault_phrase_replace(ctl->vault, old, next, ctl_done, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    if (e == ERR_NOT_ENOUGH) {
        ctl_warn(&ctl->out, ctl->msg.text);
        e = ERR_OK;
    }
    if (e != ERR_OK && written)
        unlink(file); /* it opens nothing */
    vault_phrase_close(next);
    return e;
}

static void tell_replaced(struct ctl *ctl, const char *words)
{
    struct json_line *line;
    const char *file = ctl->options.new_phrase_file;
    if (ctl->out.json && json_line_new("phrase_replaced", &line) == ERR_OK) {
        if (!file)
            json_line_text(line, "phrase", words);
        ctl_json(&ctl->out, line);
        return;
    }
    if (file)
        ctl_say(&ctl->out,
                "The new recovery phrase is in %s. Print it or write it down, keep it away from "
                "this\nmachine, then delete the file. The old words open nothing any more.",
                file);
    else
        ctl_print(&ctl->out,
                  "The new recovery phrase. Write it down and keep it away from this machine; the "
                  "old words\nopen nothing any more.\n\n    %s\n",
                  words);
}

static int replace_phrase(struct ctl *ctl)
{
    struct buf words = BUF_INIT(CTL_PHRASE_FILE_MAX);
    struct vault_root *old = NULL;
    const int code = ctl_open_swarm(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        return code;
    char *fresh = secret_new(VAULT_PHRASE_TEXT_SIZE);
    enum err e = fresh ? ctl_phrase(&ctl->options, &words, &ctl->msg) : ERR_NOMEM;
    if (e == ERR_OK)
        e = vault_phrase_open(ctl->vault, (const char *)words.data, &old, &ctl->msg);
    ctl_secret_clear(&words);
    if (e == ERR_OK)
        e = run_replace(ctl, old, fresh);
    vault_phrase_close(old);
    if (e == ERR_OK)
        tell_replaced(ctl, fresh);
    secret_free(fresh);
    return e == ERR_OK ? CTL_OK : ctl_failed(ctl, e);
}

int ctl_phrase_command(struct ctl *ctl)
{
    const struct ctl_list *arguments = &ctl->options.arguments;
    if (arguments->count == 1 && !strcmp(arguments->items[0], "check"))
        return check_phrase(ctl);
    if (arguments->count == 1 && !strcmp(arguments->items[0], "replace"))
        return replace_phrase(ctl);
    return ctl_fail(&ctl->out, CTL_USAGE,
                    "phrase takes check or replace; see: cellctl phrase --help");
}

/* --- the lock --- */

int ctl_unlock(struct ctl *ctl)
{
    struct json_line *line;
    char *dir = ctl_vault_dir(&ctl->options);
    const enum err e = dir ? vault_in_use(dir, &ctl->msg) : ERR_NOMEM;
    free(dir);
    if (e == ERR_NOT_FOUND)
        return ctl_fail(&ctl->out, CTL_NO_VAULT, ctl->msg.text);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    if (ctl->out.json && json_line_new("unlocked", &line) == ERR_OK)
        ctl_json(&ctl->out, line);
    ctl_say(&ctl->out, "Nothing holds the vault: a lock goes with the process that took it.");
    return CTL_OK;
}
