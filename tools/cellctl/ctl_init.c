/* cellctl init: a new account and its first device. */
#include "base/text.h"
#include "ctl.h"
#include "uvio/uvio_net.h"

#include <stdlib.h>
#include <string.h>

static enum err create(struct ctl *ctl, const char *dir, struct slice passphrase)
{
    const struct vault_ports ports = {
        .clock = uvio_clock(ctl->io),
        .random = uvio_random(ctl->io),
        .work = uvio_work(ctl->io),
        .log = &ctl->log,
    };
    struct vault_create_options options = {
        .dir = dir,
        .invite = ctl->options.invite,
        .phrase_file = ctl->options.phrase_file,
        .passphrase = passphrase,
        .redundancy = ctl->options.redundancy,
        .device_name = ctl->options.device_name,
    };
    if (ctl->options.hold) {
        uint64_t hold_ms;
        if (text_parse_duration_ms(ctl->options.hold, &hold_ms) != ERR_OK || hold_ms < 1000)
            return err_say(&ctl->msg, ERR_USAGE, "--hold %s is no duration; write it as in 30d",
                           ctl->options.hold);
        options.hold_s = hold_ms / 1000;
    }
    return vault_create(&options, &ports, &ctl->vault, &ctl->msg);
}

static void tell(struct ctl *ctl, const char *phrase)
{
    struct json_line *line;
    char account[ID_TEXT_SIZE], device[ID_TEXT_SIZE];
    id_format(vault_account(ctl->vault), account);
    id_format(vault_device(ctl->vault), device);
    if (ctl->out.json && json_line_new("initialized", &line) == ERR_OK) {
        json_line_text(line, "id", account);
        json_line_text(line, "device", device);
        json_line_text(line, "repository", vault_dir(ctl->vault));
        if (phrase)
            json_line_text(line, "phrase", phrase);
        ctl_json(&ctl->out, line);
        return;
    }
    ctl_say(&ctl->out, "This machine has a new account in the swarm. Its vault is %s.",
            vault_dir(ctl->vault));
    if (ctl->options.phrase_file)
        ctl_say(&ctl->out,
                "The recovery phrase is in %s. Print it or write it down, keep it away from this\n"
                "machine, then delete the file: whoever has the words has everything.",
                ctl->options.phrase_file);
    else
        ctl_print(
            &ctl->out,
            "The recovery phrase. Write it down and keep it away from this machine: with these\n"
            "words everything can be had back, and whoever has them has everything.\n\n    %s\n",
            phrase);
    ctl_say(&ctl->out, "Next: cellctl backup PATH...");
}

static enum err join(struct ctl *ctl)
{
    const struct uvio_net_options options = {.seed = vault_seed(ctl->vault)};
    enum err e = uvio_net_open(ctl->io, &options, &ctl->net, &ctl->msg);
    if (e == ERR_OK)
        e = vault_join(ctl->vault, ctl->net, ctl_done, ctl, &ctl->msg);
    return e == ERR_OK ? ctl_wait(ctl) : e;
}

int ctl_init(struct ctl *ctl)
{
    if (!ctl->options.invite)
        return ctl_fail(&ctl->out, CTL_USAGE,
                        "init needs --invite STRING; see: cellctl init --help");
    enum err e = ctl_start(ctl);
    char *dir = ctl_vault_dir(&ctl->options);
    struct buf passphrase = BUF_INIT(CTL_PASSPHRASE_MAX);
    if (e == ERR_OK && !dir)
        e = ERR_NOMEM;
    if (e == ERR_OK && !ctl->options.no_passphrase)
        e = ctl_passphrase(&ctl->options, true, &passphrase, &ctl->msg);
    if (e == ERR_OK)
        e = create(ctl, dir, buf_slice(&passphrase));
    ctl_secret_clear(&passphrase);
    free(dir);
    if (e == ERR_USAGE)
        return ctl_fail(&ctl->out, CTL_USAGE, ctl->msg.text);
    if (e == ERR_OK)
        e = join(ctl);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    tell(ctl, ctl->options.phrase_file ? NULL : vault_phrase(ctl->vault));
    return CTL_OK;
}
