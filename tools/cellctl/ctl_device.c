/* cellctl device, join: the devices of one account. */
#include "base/text.h"
#include "ctl.h"
#include "devices/devices.h"
#include "devices/devices_joining.h"
#include "uvio/uvio_net.h"

#include <stdlib.h>
#include <string.h>

enum { EXPIRES_DEFAULT_S = 7 * 86400, WAIT_POLL_MS = 2000 };

static const struct {
    unsigned bit;
    const char *name;
} capability_names[] = {
    {DEVICES_MAY_PUT, "put"},
    {DEVICES_MAY_READ, "read"},
    {DEVICES_MAY_DELETE, "delete"},
    {DEVICES_MAY_ADMIN, "admin"},
};

enum { CAPABILITIES_SIZE = 32 };

static const char *capabilities_text(unsigned capabilities, char out[CAPABILITIES_SIZE])
{
    out[0] = 0;
    for (size_t i = 0; i < ARRAY_COUNT(capability_names); i++) {
        if (!(capabilities & capability_names[i].bit))
            continue;
        if (out[0])
            strcat(out, ",");
        strcat(out, capability_names[i].name);
    }
    return out;
}

static enum err capabilities_parse(const char *text, unsigned *out, struct errmsg *msg)
{
    *out = 0;
    while (*text) {
        const size_t length = strcspn(text, ",");
        bool known = false;
        for (size_t i = 0; i < ARRAY_COUNT(capability_names); i++) {
            const char *name = capability_names[i].name;
            if (strlen(name) != length || strncmp(name, text, length) != 0)
                continue;
            *out |= capability_names[i].bit;
            known = true;
        }
        if (!known)
            return err_say(msg, ERR_USAGE,
                           "'%.*s' is no capability: they are put, read, delete and admin",
                           (int)length, text);
        text += length + (text[length] == ',');
    }
    return ERR_OK;
}

/* --- list --- */

static void show_device(struct ctl *ctl, const struct devices_row *d)
{
    struct json_line *line;
    char id[ID_TEXT_SIZE], may[CAPABILITIES_SIZE], name[CTL_TEXT_SIZE];
    id_format(&d->id, id);
    capabilities_text(d->capabilities, may);
    if (!ctl->out.json) {
        ctl_print(&ctl->out, "%.10s  %-22s %s%s%s", id, may, ctl_text(slice_text(d->name), name),
                  d->self ? "  (this device)" : "", d->revoked ? "  revoked" : "");
    } else if (json_line_new("device", &line) == ERR_OK) {
        json_line_text(line, "id", id);
        json_line_u64(line, "slot", d->slot);
        json_line_bytes(line, "name", slice_text(d->name));
        json_line_open_array(line, "capabilities");
        for (size_t i = 0; i < ARRAY_COUNT(capability_names); i++)
            if (d->capabilities & capability_names[i].bit)
                json_line_text(line, NULL, capability_names[i].name);
        json_line_close(line);
        json_line_bool(line, "this", d->self);
        json_line_bool(line, "revoked", d->revoked);
        json_line_u64(line, "epochs", d->epochs);
        ctl_json(&ctl->out, line);
    }
}

static int list_devices(struct ctl *ctl)
{
    const int code = ctl_open_swarm(ctl, VAULT_CATCH_UP);
    if (code != CTL_OK)
        return code;
    for (size_t i = 0; i < devices_count(ctl->vault); i++) {
        struct devices_row row;
        devices_at(ctl->vault, i, &row);
        show_device(ctl, &row);
    }
    return CTL_OK;
}

/* --- with the phrase, where one is given --- */

static enum err open_root(struct ctl *ctl, struct vault_root **root)
{
    struct buf words = BUF_INIT(CTL_PHRASE_FILE_MAX);
    *root = NULL;
    if (!ctl->options.phrase_file)
        return ERR_OK;
    enum err e = ctl_phrase(&ctl->options, &words, &ctl->msg);
    if (e == ERR_OK)
        e = vault_phrase_open(ctl->vault, (const char *)words.data, root, &ctl->msg);
    ctl_secret_clear(&words);
    return e;
}

/* --- invite --- */

struct admitting {
    struct ctl *ctl;
    uint32_t count;
};

static void on_admitted(void *user, const struct devices_row *device)
{
    struct admitting *a = user;
    ctl_device_admitted(a->ctl, device);
}

static void on_refused(void *user, enum err e, const char *sentence)
{
    struct admitting *a = user;
    (void)e;
    ctl_warn(&a->ctl->out, sentence);
}

static void on_admit_done(void *user, enum err e, uint32_t count, const struct errmsg *msg)
{
    struct admitting *a = user;
    a->count = count;
    ctl_done(a->ctl, e, msg);
}

void ctl_device_admitted(struct ctl *ctl, const struct devices_row *device)
{
    char id[ID_TEXT_SIZE], may[CAPABILITIES_SIZE], name[CTL_TEXT_SIZE];
    struct json_line *line;
    ctl->admitted++;
    id_format(&device->id, id);
    capabilities_text(device->capabilities, may);
    if (!ctl->out.json)
        ctl_say(&ctl->out, "Device %.10s (%s) is one of the account now; it may: %s.", id,
                ctl_text(slice_text(device->name), name), may);
    else if (json_line_new("device_admitted", &line) == ERR_OK) {
        json_line_text(line, "id", id);
        json_line_bytes(line, "name", slice_text(device->name));
        ctl_json(&ctl->out, line);
    }
}

static enum err admit(struct ctl *ctl, const struct vault_root *root, uint32_t *count)
{
    static const struct devices_events events = {
        .admitted = on_admitted, .refused = on_refused, .done = on_admit_done};
    struct admitting a = {.ctl = ctl};
    enum err e = devices_admit(ctl->vault, root, &events, &a, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    *count = a.count;
    return e;
}

struct sleep_timer {
    struct timer timer;
    struct ctl *ctl;
};

static void slept(struct timer *timer)
{
    struct sleep_timer *s = container_of(timer, struct sleep_timer, timer);
    ctl_done(s->ctl, ERR_OK, NULL);
}

static enum err wait_for_device(struct ctl *ctl, const struct vault_root *root)
{
    struct sleep_timer s = {.timer = {.fire = slept}, .ctl = ctl};
    uint32_t count = 0;
    enum err e;
    while ((e = admit(ctl, root, &count)) == ERR_OK && count == 0) {
        e = timer_start(uvio_clock(ctl->io), &s.timer, WAIT_POLL_MS);
        if (e == ERR_OK)
            e = ctl_wait(ctl);
        if (e != ERR_OK)
            break;
    }
    return e;
}

static void tell_invite(struct ctl *ctl, const char *text, unsigned may, int64_t expires_s)
{
    char names[CAPABILITIES_SIZE], when[CTL_TIME_SIZE];
    struct json_line *line;
    if (ctl->out.json && json_line_new("invite", &line) == ERR_OK) {
        json_line_text(line, "invite", text);
        json_line_text(line, "capabilities", capabilities_text(may, names));
        json_line_time(line, "expires", expires_s * 1000000000);
        ctl_json(&ctl->out, line);
        return;
    }
    ctl_say(&ctl->out,
            "On the new machine, before %s: cellctl join --invite STRING\n"
            "Whoever has this string becomes a device of your account (%s); it counts once.\n",
            ctl_time(expires_s * 1000000000, when), capabilities_text(may, names));
    ctl_print(&ctl->out, "%s", text);
    ctl_say(&ctl->out, "\n%s",
            ctl->options.wait
                ? "Waiting for it; an interrupt changes nothing, the next run takes it in."
                : "The next backup, or \"cellctl device list\", on this device takes it in.");
}

static int invite_device(struct ctl *ctl)
{
    unsigned may = DEVICES_MAY_PUT | DEVICES_MAY_READ;
    uint64_t expires_ms = (uint64_t)EXPIRES_DEFAULT_S * 1000;
    struct buf text = BUF_INIT(32768);
    struct vault_root *root = NULL;
    const struct ctl_options *o = &ctl->options;
    if (o->capabilities && capabilities_parse(o->capabilities, &may, &ctl->msg) != ERR_OK)
        return ctl_fail(&ctl->out, CTL_USAGE, ctl->msg.text);
    if (o->expires && (text_parse_duration_ms(o->expires, &expires_ms) != ERR_OK ||
                       expires_ms < 1000 || expires_ms / 1000 > 366 * 86400))
        return ctl_fail(&ctl->out, CTL_USAGE,
                        "--expires is no duration up to a year; write it as in 7d");
    const int code = ctl_open_swarm(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        return code;
    const int64_t expires_s =
        clock_wall_ns(uvio_clock(ctl->io)) / 1000000000 + (int64_t)(expires_ms / 1000);
    enum err e = open_root(ctl, &root);
    if (e == ERR_OK)
        e = devices_invite(ctl->vault, may, expires_s, may & DEVICES_MAY_ADMIN ? root : NULL, &text,
                           &ctl->msg);
    if (e == ERR_OK)
        e = buf_append_u8(&text, 0);
    if (e == ERR_OK) {
        tell_invite(ctl, (const char *)text.data, may, expires_s);
        fflush(stdout);
        if (o->wait)
            e = wait_for_device(ctl, root);
    }
    buf_free(&text);
    vault_phrase_close(root);
    return e == ERR_OK ? CTL_OK : ctl_failed(ctl, e);
}

static int admit_devices(struct ctl *ctl)
{
    struct json_line *line;
    struct vault_root *root = NULL;
    uint32_t count = 0;
    const int code = ctl_open_swarm(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        return code;
    enum err e = open_root(ctl, &root);
    if (e == ERR_OK)
        e = admit(ctl, root, &count);
    vault_phrase_close(root);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    if (ctl->admitted == 0)
        ctl_say(&ctl->out, "Nobody waits to be taken in.");
    if (ctl->out.json && json_line_new("summary", &line) == ERR_OK) {
        json_line_u64(line, "devices_admitted", ctl->admitted);
        ctl_json(&ctl->out, line);
    }
    return CTL_OK;
}

/* --- revoke --- */

static int revoke_device(struct ctl *ctl, const char *text)
{
    struct devices_row row = {0};
    struct vault_root *root = NULL;
    struct json_line *line;
    char name[CTL_TEXT_SIZE];
    const int code = ctl_open_swarm(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        return code;
    enum err e = devices_find(ctl->vault, text, &row, &ctl->msg);
    if (e == ERR_OK)
        e = open_root(ctl, &root);
    if (e == ERR_OK)
        e = devices_revoke(ctl->vault, &row.id, root, ctl_done, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    vault_phrase_close(root);
    if (e != ERR_OK)
        return e == ERR_USAGE ? ctl_fail(&ctl->out, CTL_USAGE, ctl->msg.text) : ctl_failed(ctl, e);
    ctl_say(&ctl->out,
            "Device %s is revoked: no cell obeys it any more. What it backed up before stays.%s",
            ctl_text(slice_text(row.name), name),
            row.capabilities & DEVICES_MAY_READ
                ? "\nIt knows the account's reading key: when it was stolen, also replace the "
                  "phrase (docs/devices.md)."
                : "");
    if (ctl->out.json && json_line_new("device_revoked", &line) == ERR_OK) {
        json_line_id(line, "id", &row.id);
        json_line_bytes(line, "name", slice_text(row.name));
        ctl_json(&ctl->out, line);
    }
    return CTL_OK;
}

int ctl_device(struct ctl *ctl)
{
    const struct ctl_list *arguments = &ctl->options.arguments;
    const char *verb = arguments->items[0];
    if (arguments->count == 1 && !strcmp(verb, "list"))
        return list_devices(ctl);
    if (arguments->count == 1 && !strcmp(verb, "invite"))
        return invite_device(ctl);
    if (arguments->count == 1 && !strcmp(verb, "admit"))
        return admit_devices(ctl);
    if (arguments->count == 2 && !strcmp(verb, "revoke"))
        return revoke_device(ctl, arguments->items[1]);
    return ctl_fail(&ctl->out, CTL_USAGE,
                    "device takes invite, list, admit, or revoke ID; see: cellctl device --help");
}

/* --- join --- */

struct joining {
    struct ctl *ctl;
    struct devices_joining *joining;
    unsigned capabilities;
};

static void on_waiting(void *user)
{
    struct joining *j = user;
    struct json_line *line;
    char id[ID_TEXT_SIZE];
    if (j->ctl->options.no_wait) /* tell_left() says it */
        return;
    id_format(devices_joining_device(j->joining), id);
    if (j->ctl->out.json && json_line_new("waiting", &line) == ERR_OK) {
        json_line_text(line, "device", id);
        ctl_json(&j->ctl->out, line);
    }
    ctl_say(&j->ctl->out,
            "Waiting for an admin device of the account to take this one in (device %.10s): its "
            "next backup does,\nor \"cellctl device list\" there. An interrupt changes nothing: "
            "\"cellctl join\" goes on.",
            id);
    fflush(stdout);
}

static void on_joined(void *user, enum err e, unsigned capabilities, const struct errmsg *msg)
{
    struct joining *j = user;
    j->capabilities = capabilities;
    ctl_done(j->ctl, e, msg);
}

static void cancel_join(struct ctl *ctl)
{
    devices_joining_cancel(ctl->operation);
}

static enum err new_joining(struct joining *j, const char *dir)
{
    struct ctl *ctl = j->ctl;
    const struct ctl_options *o = &ctl->options;
    const struct vault_ports ports = {
        .clock = uvio_clock(ctl->io),
        .random = uvio_random(ctl->io),
        .work = uvio_work(ctl->io),
        .log = &ctl->log,
    };
    struct buf passphrase = BUF_INIT(CTL_PASSPHRASE_MAX);
    struct devices_joining_options options = {
        .dir = dir,
        .invite = o->invite,
        .from = o->from.items,
        .from_count = o->from.count,
        .device_name = o->device_name,
    };
    bool needed = !o->no_passphrase;
    const bool begun = devices_joining_needs_passphrase(dir, &needed, NULL) == ERR_OK;
    enum err e = ERR_OK;
    if (needed && (begun || o->invite))
        e = ctl_passphrase(o, !begun, &passphrase, &ctl->msg);
    options.passphrase = buf_slice(&passphrase);
    if (e == ERR_OK)
        e = devices_joining_new(&options, &ports, &j->joining, &ctl->msg);
    ctl_secret_clear(&passphrase);
    return e;
}

static enum err run_join(struct joining *j)
{
    static const struct devices_joining_events events = {.waiting = on_waiting, .done = on_joined};
    struct ctl *ctl = j->ctl;
    const struct uvio_net_options options = {.seed = devices_joining_seed(j->joining)};
    enum err e = uvio_net_open(ctl->io, &options, &ctl->net, &ctl->msg);
    ctl->operation = j->joining;
    ctl->cancel = cancel_join;
    if (e == ERR_OK)
        e = devices_joining_start(j->joining, ctl->net, !ctl->options.no_wait, &events, j,
                                  &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    ctl->cancel = NULL;
    return e;
}

static void tell_joined(const struct joining *j)
{
    struct ctl *ctl = j->ctl;
    struct json_line *line;
    char account[ID_TEXT_SIZE], device[ID_TEXT_SIZE], may[CAPABILITIES_SIZE];
    id_format(devices_joining_account(j->joining), account);
    id_format(devices_joining_device(j->joining), device);
    capabilities_text(j->capabilities, may);
    if (ctl->out.json && json_line_new("joined", &line) == ERR_OK) {
        json_line_text(line, "id", account);
        json_line_text(line, "device", device);
        json_line_text(line, "capabilities", may);
        ctl_json(&ctl->out, line);
    }
    ctl_say(&ctl->out, "This machine is device %.10s of the account; it may: %s.\nNext: cellctl %s",
            device, may,
            j->capabilities & DEVICES_MAY_READ ? "snapshots, or cellctl backup PATH..."
                                               : "backup PATH...");
}

/* With --no-wait. */
static void tell_left(const struct joining *j)
{
    struct ctl *ctl = j->ctl;
    struct json_line *line;
    char id[ID_TEXT_SIZE];
    id_format(devices_joining_device(j->joining), id);
    if (ctl->out.json && json_line_new("waiting", &line) == ERR_OK) {
        json_line_text(line, "device", id);
        ctl_json(&ctl->out, line);
    }
    ctl_say(&ctl->out,
            "The request of this device, %.10s, is out. Once an admin device of the account has "
            "taken it in (its next backup does,\nor \"cellctl device list\" there): cellctl join",
            id);
}

int ctl_join(struct ctl *ctl)
{
    struct joining j = {.ctl = ctl};
    enum err e = ctl_start(ctl);
    char *dir = ctl_vault_dir(&ctl->options);
    if (e == ERR_OK && !dir)
        e = ERR_NOMEM;
    if (e == ERR_OK)
        e = new_joining(&j, dir);
    const bool usage = e == ERR_USAGE || (e == ERR_NOT_FOUND && !ctl->options.invite);
    if (e == ERR_OK)
        e = run_join(&j);
    free(dir);
    const bool left = e == ERR_BUSY && ctl->options.no_wait; /* all that was asked for */
    if (e == ERR_OK)
        tell_joined(&j);
    else if (left)
        tell_left(&j);
    const int code = e == ERR_OK || left ? CTL_OK
                     : usage             ? ctl_fail(&ctl->out, CTL_USAGE, ctl->msg.text)
                                         : ctl_failed(ctl, e);
    devices_joining_free(j.joining);
    return code;
}
