/* cellctl hold: how long cells keep what is deleted. */
#include "base/text.h"
#include "ctl.h"
#include "vault/vault_hold.h"

static void tell(struct ctl *ctl)
{
    struct json_line *line;
    char text[TEXT_DURATION_SIZE];
    const uint64_t hold_s = vault_hold_s(ctl->vault);
    if (!ctl->out.json)
        ctl_print(&ctl->out, "Cells keep what is deleted for %s.", text_duration(hold_s, text));
    else if (json_line_new("hold", &line) == ERR_OK) {
        json_line_u64(line, "hold_seconds", hold_s);
        ctl_json(&ctl->out, line);
    }
}

/* The words are asked for only when they are needed. */
static enum err open_root(struct ctl *ctl, uint64_t hold_s, struct vault_root **out)
{
    struct buf words = BUF_INIT(CTL_PHRASE_FILE_MAX);
    *out = NULL;
    if (hold_s >= vault_hold_s(ctl->vault))
        return ERR_OK;
    enum err e = ctl_phrase(&ctl->options, &words, &ctl->msg);
    if (e == ERR_OK)
        e = vault_phrase_open(ctl->vault, (const char *)words.data, out, &ctl->msg);
    ctl_secret_clear(&words);
    return e;
}

static int change(struct ctl *ctl, const char *text)
{
    struct vault_root *root = NULL;
    uint64_t hold_ms;
    if (text_parse_duration_ms(text, &hold_ms) != ERR_OK || hold_ms < 1000)
        return ctl_fail(&ctl->out, CTL_USAGE, "the hold is a duration of a second at least: 30d");
    const int code = ctl_open_swarm(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        return code;
    enum err e = open_root(ctl, hold_ms / 1000, &root);
    if (e == ERR_OK)
        e = vault_hold_set(ctl->vault, hold_ms / 1000, root, ctl_done, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    vault_phrase_close(root);
    if (e == ERR_USAGE)
        return ctl_fail(&ctl->out, CTL_USAGE, ctl->msg.text);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    tell(ctl);
    return CTL_OK;
}

int ctl_hold(struct ctl *ctl)
{
    if (ctl->options.arguments.count > 0)
        return change(ctl, ctl->options.arguments.items[0]);
    const int code = ctl_open_reading(ctl);
    if (code == CTL_OK)
        tell(ctl);
    return code;
}
