/*
 * coordinatord: the coordinator as a process, and its subcommands `invite` and `status`.
 */
#include "base/file.h"
#include "base/text.h"
#include "coordinator.h"
#include "coordinatord_move.h"
#include "coordinatord_status.h"
#include "coordinatord_succeed.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"
#include "daemon/daemon_control.h"
#include "daemon/daemon_main.h"
#include "db/db.h"
#include "identity/invite_text.h"
#include "identity/phrase.h"
#include "placement/placement_level.h"
#include "uvio/uvio_net.h"
#include "uvio/uvio_reach.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct settings {
    char listen[CONFIG_TEXT_SIZE];
    struct config_list advertise;
    char redundancy[CONFIG_TEXT_SIZE];
    uint64_t asleep_after_ms, gone_after_ms, proof_period_ms;
    uint64_t repair_percent, repair_delay_ms, ticket_lease_ms, lease_ms;
    uint64_t starter_bytes, quota_percent;
};

static const struct config_key keys[] = {
    CONFIG_TEXT(struct settings, listen, "listen", "[::]:7400", "address and port to serve at"),
    CONFIG_LIST(struct settings, advertise, "advertise",
                "address and port at which others reach the coordinator"),
    CONFIG_TEXT(struct settings, redundancy, "redundancy", "",
                "k+m that new accounts begin with, as 4+2; empty: by the number of households"),
    CONFIG_DURATION(struct settings, asleep_after_ms, "asleep-after", "4h", 1, UINT64_MAX,
                    "a cell that was silent for so long is asleep"),
    CONFIG_DURATION(struct settings, gone_after_ms, "gone-after", "14d", 1, UINT64_MAX,
                    "a cell that was silent for so long is gone"),
    CONFIG_DURATION(struct settings, proof_period_ms, "proof-period", "6h", 0, UINT64_MAX,
                    "each cell has to prove a shard about so often; 0: never"),
    CONFIG_NUMBER(struct settings, repair_percent, "repair-threshold", "75", 1, 100,
                  "a segment is repaired when so many percent of its m spare shards are not left"),
    CONFIG_DURATION(struct settings, repair_delay_ms, "repair-delay", "6h", 0, UINT64_MAX,
                    "the owner's device may repair first for so long, where it can wait"),
    CONFIG_DURATION(struct settings, ticket_lease_ms, "ticket-lease", "1h", 1000, UINT64_MAX,
                    "a repairer has so long; then somebody else gets its ticket"),
    CONFIG_DURATION(struct settings, lease_ms, "lease", "1y", 12000, UINT64_MAX,
                    "an account that does not renew for so long, and a twelfth more, is let go"),
    CONFIG_SIZE(struct settings, starter_bytes, "starter", "100G", 1, UINT64_MAX >> 1,
                "what an account may use without giving anything, once for its invite"),
    CONFIG_NUMBER(struct settings, quota_percent, "quota-percent", "100", 1, 100,
                  "how much more it may use for what it gives, in percent of that"),
};

enum { HEARTBEAT_MAX_MS = 60000, HEARTBEAT_MIN_MS = 50, INVITE_DEFAULT_S = 30 * 86400 };

static const char usage[] =
    "usage: coordinatord --data DIR [--listen ADDR:PORT] [--advertise ADDR:PORT]...\n"
    "                    [--redundancy K+M] [--asleep-after T] [--gone-after T]\n"
    "                    [--proof-period T] [--repair-threshold PERCENT] [--repair-delay T]\n"
    "                    [--ticket-lease T]\n"
    "       coordinatord --data DIR invite --cell [--stranger]|--account [--uses N] [--expires T]\n"
    "       coordinatord --data DIR status [--json]\n"
    "       coordinatord --data DIR rebuild --swarm-root SHEET --from ID@HOST:PORT[,...]\n"
    "       coordinatord --data DIR move --to [HOST:]DIR --advertise ADDR:PORT --swarm-root SHEET\n"
    "                    [--listen ADDR:PORT] [--rsh COMMAND]\n"
    "\n"
    "Knows the members of a swarm, issues grants, keeps the directory of segments. It sees no "
    "file,\n"
    "no name and no key. The first start makes what it needs and writes the swarm root's sheet to\n"
    "DIR/swarm-root.txt: print it, and keep it away from this machine. A cell that joins by a\n"
    "--stranger's invite gets few shards until it has proven that it keeps them.\n"
    "\n"
    "  coordinatord --data /srv/cellar/coordinator --listen 0.0.0.0:7400 \\\n"
    "               --advertise backup.example.net:7400\n";

struct program {
    struct daemon d;
    struct daemon_flags flags;
    struct settings settings;
    struct swarm_root swarm;
    struct buf certificate;
    struct coordinator_cert cert;
    struct uvio *io;
    struct net *net;
    struct work_lane *lane;
    struct registry *registry;
    struct coordinator *coordinator;
    struct member_list *old_list; /* owned: of the coordinator whose place this one takes */
    bool rebuild;                 /* the command: ends when all cells that answer are asked */
    struct uvio_control *control;
    struct errmsg msg;
    int exit_code;
};

/* --- the first start: a swarm is made --- */

static enum err write_sheet(struct program *p, const uint8_t entropy[PHRASE_ENTROPY_SIZE])
{
    char path[DAEMON_PATH_SIZE], words[PHRASE_TEXT_SIZE], name[ID_TEXT_SIZE];
    struct buf sheet = BUF_INIT(4096);
    phrase_encode(entropy, words);
    enum err e = buf_append_format(&sheet,
                                   "Cellar: the root of a swarm\n\n%s\n\n"
                                   "These 24 words certify the swarm's coordinators. They are "
                                   "needed only when the coordinator's\n"
                                   "machine is lost and another one takes its place. Print this "
                                   "sheet, keep it where the machine\n"
                                   "is not, and delete the file.\n\nswarm %s\n",
                                   words, id_format(&p->swarm.hash, name));
    if (e == ERR_OK)
        e = file_write(daemon_path(&p->d, "swarm-root.txt", path), 0600, buf_slice(&sheet),
                       &p->msg);
    secret_wipe(words, sizeof(words));
    if (sheet.data)
        secret_wipe(sheet.data, sheet.size);
    buf_free(&sheet);
    if (e == ERR_OK)
        fprintf(stderr,
                "The root of the new swarm is in %s: print it, keep it elsewhere, delete it.\n",
                path);
    return e;
}

static enum err make_swarm(struct program *p)
{
    uint8_t *entropy = secret_new(PHRASE_ENTROPY_SIZE);
    struct sign_key *root = NULL;
    char path[DAEMON_PATH_SIZE];
    struct coordinator_cert cert = {.incarnation = 1, .time_s = time(NULL)};
    enum err e = entropy ? ERR_OK : err_say(&p->msg, ERR_NOMEM, "out of memory for a swarm");
    if (e == ERR_OK) {
        crypto_random(entropy, PHRASE_ENTROPY_SIZE);
        e = swarm_root_key(entropy, &root);
    }
    if (e == ERR_OK) {
        swarm_root_of(sign_key_public(root), &p->swarm);
        memcpy(cert.key, sign_key_public(p->d.key), sizeof(cert.key));
        for (size_t i = 0; i < p->settings.advertise.count && e == ERR_OK; i++)
            e = address_list_add(&cert.addresses, p->settings.advertise.items[i]);
    }
    /* the sheet first: a swarm whose root nobody has could never be moved */
    if (e == ERR_OK)
        e = write_sheet(p, entropy);
    if (e == ERR_OK)
        e = coordinator_cert_make(&cert, &p->swarm, root, &p->certificate);
    if (e == ERR_OK)
        e = file_write(daemon_path(&p->d, "swarm-root.pub", path), 0644,
                       slice_of(p->swarm.key, sizeof(p->swarm.key)), &p->msg);
    if (e == ERR_OK)
        e = file_write(daemon_path(&p->d, "certificate", path), 0644, buf_slice(&p->certificate),
                       &p->msg);
    sign_key_free(root);
    secret_free(entropy);
    return e;
}

static void stop(void *user, int signal_number);

/* --- or a lost coordinator's place is taken --- */

static enum err certify(struct program *p, const struct sign_key *root, uint32_t incarnation)
{
    struct coordinator_cert cert = {.incarnation = incarnation, .time_s = time(NULL)};
    memcpy(cert.key, sign_key_public(p->d.key), sizeof(cert.key));
    enum err e = ERR_OK;
    for (size_t i = 0; i < p->settings.advertise.count && e == ERR_OK; i++)
        e = address_list_add(&cert.addresses, p->settings.advertise.items[i]);
    if (e == ERR_OK && cert.addresses.count == 0 && uvio_reach_is_any(p->settings.listen))
        return err_say(&p->msg, ERR_USAGE,
                       "cells must be told where to find this coordinator: say --advertise "
                       "HOST:PORT");
    if (e == ERR_OK && cert.addresses.count == 0)
        e = address_list_add(&cert.addresses, p->settings.listen);
    buf_clear(&p->certificate);
    if (e == ERR_OK)
        e = coordinator_cert_make(&cert, &p->swarm, root, &p->certificate);
    return e == ERR_OK ? e : err_say(&p->msg, e, "the coordinator cannot be certified");
}

/* Certified by the root, one incarnation above the last; what it takes over is in old_list. */
static enum err make_successor(struct program *p)
{
    struct sign_key *root = NULL;
    enum err e =
        coordinatord_sheet(daemon_flag(&p->flags, "swarm-root"), &root, &p->swarm, &p->msg);
    if (e == ERR_OK)
        e = coordinatord_last_list(&p->d, &p->swarm, daemon_flag(&p->flags, "from"), &p->old_list,
                                   &p->msg);
    if (e == ERR_OK)
        e = certify(p, root, p->old_list->incarnation + 1);
    sign_key_free(root);
    return e;
}

/* After the registry has adopted the members: a start that dies before makes it all again. */
static enum err keep_successor(struct program *p)
{
    char path[DAEMON_PATH_SIZE];
    enum err e = registry_adopt(p->registry, p->old_list, time(NULL), &p->msg);
    if (e == ERR_STATE) /* adopted before */
        e = ERR_OK;
    if (e == ERR_OK)
        e = file_write(daemon_path(&p->d, "swarm-root.pub", path), 0644,
                       slice_of(p->swarm.key, sizeof(p->swarm.key)), &p->msg);
    if (e == ERR_OK)
        e = file_write(daemon_path(&p->d, "certificate", path), 0644, buf_slice(&p->certificate),
                       &p->msg);
    if (e == ERR_OK)
        log_say(&p->d.log, LOG_INFO, "incarnation %u takes over %zu members", p->cert.incarnation,
                p->old_list->count);
    return e;
}

static void rebuilt(void *user, enum err e, const struct registry_counts *counts,
                    const struct errmsg *msg)
{
    struct program *p = user;
    (void)msg;
    if (e == ERR_OK)
        printf("%llu of %llu cells have said what they hold: %llu segments of %llu accounts, %llu "
               "shards still to be proven\n",
               (unsigned long long)(counts->cells - counts->ungathered),
               (unsigned long long)counts->cells, (unsigned long long)counts->segments,
               (unsigned long long)counts->accounts, (unsigned long long)counts->unproven);
    fflush(stdout);
    stop(p, 0);
}

static void gathered(void *user, uint64_t silent_cells)
{
    struct program *p = user;
    if (!p->rebuild)
        return;
    p->rebuild = false;
    if (silent_cells)
        log_say(&p->d.log, LOG_WARN, "%llu cells do not answer: they are asked when they come back",
                (unsigned long long)silent_cells);
    if (coordinator_count(p->coordinator, rebuilt, p, &p->msg) != ERR_OK)
        stop(p, 0);
}

static enum err refuse_moved(struct program *p)
{
    char path[DAEMON_PATH_SIZE];
    struct buf note = BUF_INIT(8192);
    const enum err e = file_read(daemon_path(&p->d, "moved", path), &note, &p->msg);
    const int size = (int)note.size;
    if (e == ERR_OK)
        err_say(&p->msg, ERR_STATE, "this coordinator has moved to %.*s", size > 0 ? size - 1 : 0,
                (const char *)note.data);
    buf_free(&note);
    return e == ERR_OK ? ERR_STATE : e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err load_swarm(struct program *p)
{
    char path[DAEMON_PATH_SIZE];
    struct buf root = BUF_INIT(SIGN_PUBLIC_SIZE);
    enum err e = file_read(daemon_path(&p->d, "swarm-root.pub", path), &root, &p->msg);
    if (e == ERR_OK && root.size != SIGN_PUBLIC_SIZE)
        e = err_say(&p->msg, ERR_CORRUPT, "%s has not %d bytes", path, SIGN_PUBLIC_SIZE);
    if (e == ERR_OK) {
        swarm_root_of(root.data, &p->swarm);
        e = file_read(daemon_path(&p->d, "certificate", path), &p->certificate, &p->msg);
    }
    buf_free(&root);
    return e;
}

static enum err open_swarm(struct program *p)
{
    char path[DAEMON_PATH_SIZE];
    struct buf known = BUF_INIT(COORDINATOR_CERT_BYTES_MAX);
    p->certificate = BUF_INIT(COORDINATOR_CERT_BYTES_MAX);
    enum err e = file_read(daemon_path(&p->d, "certificate", path), &known, &p->msg);
    buf_free(&known);
    if (e == ERR_OK)
        e = load_swarm(p);
    else if (e == ERR_NOT_FOUND && daemon_flag(&p->flags, "swarm-root"))
        e = make_successor(p);
    else if (e == ERR_NOT_FOUND && p->rebuild)
        e = err_say(&p->msg, ERR_USAGE, "say where the swarm root's sheet is: --swarm-root SHEET");
    else if (e == ERR_NOT_FOUND)
        e = make_swarm(p);
    if (e == ERR_OK)
        e = coordinator_cert_open(buf_slice(&p->certificate), &p->swarm, &p->cert, &p->msg);
    if (e == ERR_OK && !id_equal(&p->cert.id, sign_key_id(p->d.key)))
        e = err_say(&p->msg, ERR_CORRUPT, "%s is not for the key in identity.key", path);
    return e;
}

/* --- invite: needs no running server, signs with the key in DATA --- */

static enum err invite_addresses(struct program *p, struct address_list *out)
{
    char path[DAEMON_PATH_SIZE];
    struct buf file = BUF_INIT(512);
    enum err e = ERR_OK;
    for (size_t i = 0; i < p->settings.advertise.count && e == ERR_OK; i++)
        e = address_list_add(out, p->settings.advertise.items[i]);
    if (e != ERR_OK || out->count)
        return e;
    e = file_read(daemon_path(&p->d, "address", path), &file, &p->msg);
    if (e == ERR_OK)
        e = buf_append_u8(&file, 0);
    if (e == ERR_OK) {
        char *text = (char *)file.data, *at = strchr(text, '@');
        text[strcspn(text, "\n")] = 0;
        e = at ? address_list_add(out, at + 1) : ERR_FORMAT;
    }
    buf_free(&file);
    if (e == ERR_OK && uvio_reach_is_any(out->text[0]))
        e = ERR_STATE;
    if (e != ERR_OK)
        e = err_say(&p->msg, ERR_STATE,
                    "the coordinator's address is not known: start it first, or set --advertise");
    return e;
}

static enum err read_invite_flags(struct program *p, struct invite *invite)
{
    const struct daemon_flags *f = &p->flags;
    const bool cell = daemon_flag(f, "cell") != NULL, account = daemon_flag(f, "account") != NULL;
    uint64_t uses = 1, ms = (uint64_t)INVITE_DEFAULT_S * 1000;
    if (cell == account)
        return err_say(&p->msg, ERR_USAGE, "say whom to invite: --cell or --account");
    if (daemon_flag(f, "uses") &&
        (text_parse_u64(daemon_flag(f, "uses"), UINT32_MAX, &uses) != ERR_OK || uses == 0))
        return err_say(&p->msg, ERR_USAGE, "--uses takes a number from 1 on");
    if (daemon_flag(f, "expires") &&
        text_parse_duration_ms(daemon_flag(f, "expires"), &ms) != ERR_OK)
        return err_say(&p->msg, ERR_USAGE, "--expires takes a time, as 30d or 12h");
    *invite = (struct invite){
        .kind = cell ? INVITE_CELL : INVITE_ACCOUNT,
        .stranger = cell && daemon_flag(f, "stranger"),
        .uses = (uint32_t)uses,
        .expires_s = time(NULL) + (int64_t)(ms / 1000),
        .incarnation = p->cert.incarnation,
    };
    crypto_random(invite->id, sizeof(invite->id));
    return ERR_OK;
}

static enum err print_invite(struct program *p)
{
    struct invite invite;
    struct buf doc = BUF_INIT(INVITE_BYTES_MAX), text = BUF_INIT(INVITE_TEXT_MAX);
    struct invite_text out = {.swarm = p->swarm, .coordinator = buf_slice(&p->certificate)};
    enum err e = read_invite_flags(p, &invite);
    if (e == ERR_OK)
        e = invite_addresses(p, &out.addresses);
    if (e == ERR_OK)
        e = invite_make(&invite, &p->swarm, p->d.key, &doc);
    out.invite = buf_slice(&doc);
    if (e == ERR_OK)
        e = invite_text_make(&out, &text);
    if (e == ERR_OK)
        printf("%.*s\n", (int)text.size, (const char *)text.data);
    buf_free(&doc);
    buf_free(&text);
    return e;
}

/* --- wiring --- */

static uint64_t heartbeat_ms(const struct settings *s)
{
    const uint64_t part = s->asleep_after_ms / 4;
    return part < HEARTBEAT_MIN_MS   ? HEARTBEAT_MIN_MS
           : part > HEARTBEAT_MAX_MS ? HEARTBEAT_MAX_MS
                                     : part;
}

static void take_timers(const struct settings *s, struct registry_options *out)
{
    out->asleep_after_ms = s->asleep_after_ms;
    out->gone_after_ms = s->gone_after_ms;
    out->proof_period_ms = s->proof_period_ms;
    out->repair_percent = (unsigned)s->repair_percent;
    out->repair_delay_s = s->repair_delay_ms / 1000;
    out->lease_s = s->ticket_lease_ms / 1000;
    out->account_lease_s = s->lease_ms / 1000;
    out->beat_ms = heartbeat_ms(s);
    out->starter_bytes = s->starter_bytes;
    out->quota_percent = (unsigned)s->quota_percent;
}

static enum err open_registry(struct program *p)
{
    char path[DAEMON_PATH_SIZE];
    struct registry_options options = {
        .path = daemon_path(&p->d, REGISTRY_FILE, path),
        .key = p->d.key,
        .swarm = &p->swarm,
        .certificate = buf_slice(&p->certificate),
        .incarnation = p->cert.incarnation,
        .random = uvio_random(p->io),
        .log = &p->d.log,
    };
    take_timers(&p->settings, &options);
    return registry_open(&options, &p->registry, &p->msg);
}

static enum err open_coordinator(struct program *p)
{
    const struct uvio_net_options net = {.seed = p->d.seed, .listen = p->settings.listen};
    enum err e = uvio_net_open(p->io, &net, &p->net, &p->msg);
    if (e != ERR_OK)
        return e;
    const struct coordinator_options options = {
        .net = p->net,
        .clock = uvio_clock(p->io),
        .work = uvio_work(p->io),
        .log = &p->d.log,
        .registry = p->registry,
        .lane = p->lane,
        .key = p->d.key,
        .swarm = &p->swarm,
        .certificate = buf_slice(&p->certificate),
        .redundancy = p->settings.redundancy,
        .heartbeat_ms = heartbeat_ms(&p->settings),
        .gathered = gathered,
        .gathered_user = p,
    };
    return coordinator_new(&options, &p->coordinator, &p->msg);
}

/* --- subcommands that ask the running process --- */

static void asked(void *user, struct uvio_control_request *request, struct slice bytes)
{
    struct program *p = user;
    if (slice_equal(bytes, slice_text("stop"))) {
        daemon_control_answer(request, 0, slice_text("stopping\n"));
        stop(p, 0);
        return;
    }
    coordinatord_status_answer(p->coordinator, request, bytes);
}

/* --- events --- */

static void net_closed(void *user)
{
    struct program *p = user;
    p->net = NULL;
    uvio_stop(p->io);
}

static void coordinator_stopped(void *user)
{
    struct program *p = user;
    uvio_net_close(p->net, 1000, net_closed, p);
}

static void stop(void *user, int signal_number)
{
    struct program *p = user;
    (void)signal_number;
    if (p->exit_code == -1) {
        p->exit_code = 0;
        log_say(&p->d.log, LOG_INFO, "stopping");
        uvio_control_close(p->control);
        p->control = NULL;
        coordinator_stop(p->coordinator, coordinator_stopped, p);
    }
}

/* SIGHUP: what can change while it runs are the timers and limits. */
static void reload(void *user, int signal_number)
{
    struct program *p = user;
    struct settings settings;
    struct registry_options timers = {0};
    struct errmsg msg;
    (void)signal_number;
    if (daemon_settings(&p->d, &p->flags, keys, ARRAY_COUNT(keys), &settings, &msg) != ERR_OK) {
        log_say(&p->d.log, LOG_ERROR, "the settings stay as they were: %s", msg.text);
        return;
    }
    log_say(&p->d.log, LOG_INFO, "settings read again");
    take_timers(&settings, &timers);
    coordinator_set_timers(p->coordinator, &timers, heartbeat_ms(&settings));
}

static enum err check_settings(struct program *p)
{
    struct placement_level level;
    if (!p->settings.redundancy[0])
        return ERR_OK;
    return placement_level_parse(p->settings.redundancy, &level, &p->msg) == ERR_OK
               ? ERR_OK
               : err_wrap(&p->msg, ERR_USAGE, "--redundancy");
}

static enum err start(struct program *p)
{
    enum err e = check_settings(p);
    if (e == ERR_OK)
        e = uvio_new(&(struct uvio_options){.log = &p->d.log}, &p->io, &p->msg);
    if (e == ERR_OK)
        e = open_registry(p);
    if (e == ERR_OK && p->old_list)
        e = keep_successor(p);
    if (e == ERR_OK && !(p->lane = work_lane_new(uvio_work(p->io), "registry")))
        e = err_say(&p->msg, ERR_NOMEM, "out of memory for a thread");
    if (e == ERR_OK)
        e = open_coordinator(p);
    if (e == ERR_OK)
        e = uvio_on_signal(p->io, SIGTERM, stop, p, &p->msg);
    if (e == ERR_OK)
        e = uvio_on_signal(p->io, SIGINT, stop, p, &p->msg);
    if (e == ERR_OK)
        e = uvio_on_signal(p->io, SIGHUP, reload, p, &p->msg);
    if (e == ERR_OK)
        e = daemon_control_listen(&p->d, p->io, asked, p, &p->control, &p->msg);
    if (e == ERR_OK && !p->settings.advertise.count &&
        uvio_reach_is_any(uvio_net_listen_address(p->net)))
        log_say(&p->d.log, LOG_WARN,
                "nobody can be told where this coordinator is: set --advertise HOST:PORT");
    if (e == ERR_OK)
        e = daemon_say_address(&p->d,
                               p->settings.advertise.count ? p->settings.advertise.items[0]
                                                           : uvio_net_listen_address(p->net),
                               &p->msg);
    return e;
}

static void finish(void *program)
{
    struct program *p = program;
    uvio_control_close(p->control);
    if (p->net)
        uvio_net_close(p->net, 0, NULL, NULL);
    if (p->lane)
        work_lane_free(uvio_work(p->io), p->lane);
    uvio_free(p->io);
    coordinator_free(p->coordinator);
    registry_close(p->registry);
    member_list_free(p->old_list);
    buf_free(&p->certificate);
    daemon_close(&p->d);
}

/* --- main --- */

/* A subcommand reads what is there and changes nothing: no lock, no first start. */
static enum err open_beside(struct program *p)
{
    enum err e =
        daemon_open_beside(&p->flags, keys, ARRAY_COUNT(keys), &p->settings, &p->d, &p->msg);
    p->certificate = BUF_INIT(COORDINATOR_CERT_BYTES_MAX);
    if (e == ERR_OK)
        e = load_swarm(p);
    if (e == ERR_OK)
        e = coordinator_cert_open(buf_slice(&p->certificate), &p->swarm, &p->cert, &p->msg);
    return e == ERR_NOT_FOUND
               ? err_say(&p->msg, ERR_STATE, "there is no coordinator in %s yet", p->flags.data)
               : e;
}

static int run_invite(void *program)
{
    struct program *p = program;
    enum err e = open_beside(p);
    if (e == ERR_OK)
        e = print_invite(p);
    if (e != ERR_OK)
        fprintf(stderr, "coordinatord: no invite: %s\n", p->msg.text);
    buf_free(&p->certificate);
    daemon_close(&p->d);
    return e == ERR_OK ? 0 : e == ERR_USAGE ? 2 : 1;
}

/* Asks the running process, and prints what it says. */
static int run_status(void *program)
{
    struct program *p = program;
    struct buf text = BUF_INIT(UVIO_CONTROL_BYTES);
    int code = 1;
    enum err e = open_beside(p);
    if (e == ERR_OK)
        e = daemon_control_ask(&p->d, daemon_flag(&p->flags, "json") ? "status --json" : "status",
                               &code, &text, &p->msg);
    if (e == ERR_OK)
        fwrite(text.data, 1, text.size, code == 0 ? stdout : stderr);
    else
        fprintf(stderr, "coordinatord: no status: %s\n", p->msg.text);
    buf_free(&text);
    buf_free(&p->certificate);
    daemon_close(&p->d);
    return e == ERR_OK ? code : e == ERR_USAGE ? 2 : 1;
}

/* --- move --- */

enum { STOP_SECONDS = 20 };

/* A server that runs is asked to stop, and waited for. */
static enum err open_stopped(struct program *p)
{
    struct buf text = BUF_INIT(UVIO_CONTROL_BYTES);
    int code = 0;
    enum err e = daemon_open(&p->flags, keys, ARRAY_COUNT(keys), &p->settings, &p->d, &p->msg);
    for (int i = 0; e == ERR_LOCKED && i < STOP_SECONDS * 10; i++) {
        if (i == 0) {
            e = open_beside(p);
            if (e == ERR_OK)
                e = daemon_control_ask(&p->d, "stop", &code, &text, &p->msg);
            buf_free(&p->certificate);
            daemon_close(&p->d);
            if (e != ERR_OK)
                break;
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        e = daemon_open(&p->flags, keys, ARRAY_COUNT(keys), &p->settings, &p->d, &p->msg);
    }
    buf_free(&text);
    return e;
}

/* One file, without a write-ahead log. */
static enum err copy_registry(struct program *p)
{
    char path[DAEMON_PATH_SIZE];
    enum err e = uvio_new(&(struct uvio_options){.log = &p->d.log}, &p->io, &p->msg);
    if (e == ERR_OK)
        e = open_registry(p);
    if (e == ERR_OK && mkdir(daemon_path(&p->d, "moving", path), 0700) != 0 && errno != EEXIST)
        e = err_say_errno(&p->msg, errno, "cannot make %s", path);
    if (e == ERR_OK && unlink(daemon_path(&p->d, "moving/" REGISTRY_FILE, path)) != 0 &&
        errno != ENOENT)
        e = err_say_errno(&p->msg, errno, "cannot remove %s", path);
    if (e == ERR_OK)
        e = db_copy(registry_db(p->registry), path, &p->msg);
    return e;
}

static enum err move_it(struct program *p, const char *to)
{
    struct sign_key *root = NULL;
    struct swarm_root swarm;
    struct buf settings = BUF_INIT(65536), note = BUF_INIT(8192);
    const char *rsh = daemon_flag(&p->flags, "rsh"), *sheet = daemon_flag(&p->flags, "swarm-root");
    char path[DAEMON_PATH_SIZE];
    enum err e = coordinatord_sheet(sheet, &root, &swarm, &p->msg);
    if (e == ERR_OK && !id_equal(&swarm.hash, &p->swarm.hash))
        e = err_say(&p->msg, ERR_USAGE, "%s is the sheet of another swarm", sheet);
    if (e == ERR_OK)
        e = certify(p, root, p->cert.incarnation);
    if (e == ERR_OK)
        e = config_write_text(keys, ARRAY_COUNT(keys), &p->settings, &settings);
    if (e == ERR_OK)
        e = copy_registry(p);
    const struct coordinatord_move move = {.data = p->d.data,
                                           .to = to,
                                           .rsh = rsh ? rsh : "ssh",
                                           .certificate = buf_slice(&p->certificate),
                                           .settings = buf_slice(&settings)};
    if (e == ERR_OK)
        e = coordinatord_move(&move, &p->msg);
    /* two with one key would be worse than none */
    if (e == ERR_OK)
        e = buf_append_format(&note, "%s\n", to);
    if (e == ERR_OK)
        e = file_write(daemon_path(&p->d, "moved", path), 0600, buf_slice(&note), &p->msg);
    sign_key_free(root);
    buf_free(&settings);
    buf_free(&note);
    return e;
}

static int run_move(void *program)
{
    struct program *p = program;
    const char *to = daemon_flag(&p->flags, "to");
    enum err e =
        !to ? err_say(&p->msg, ERR_USAGE, "say where to: --to DIR or --to HOST:DIR") : ERR_OK;
    if (e == ERR_OK && !daemon_flag(&p->flags, "swarm-root"))
        e = err_say(&p->msg, ERR_USAGE,
                    "the new address is certified by the swarm's root: say --swarm-root SHEET");
    if (e == ERR_OK && !daemon_flag(&p->flags, "advertise"))
        e = err_say(&p->msg, ERR_USAGE, "say where it will be reached: --advertise HOST:PORT");
    if (e == ERR_OK)
        e = open_stopped(p);
    if (e == ERR_OK)
        e = refuse_moved(p);
    if (e == ERR_OK)
        e = open_swarm(p);
    if (e == ERR_OK)
        e = move_it(p, to);
    if (e == ERR_OK)
        printf("The coordinator is in %s now and no longer here. Start it there: its cells and "
               "devices follow.\n",
               to);
    else
        fprintf(stderr, "coordinatord: not moved: %s\n", p->msg.text);
    finish(p);
    return e == ERR_OK ? 0 : e == ERR_USAGE ? 2 : 1;
}

/* Subcommands take flags that are no settings. */

static enum err begin(void *program)
{
    struct program *p = program;
    p->rebuild = p->flags.word_count > 0; /* the only word that comes here */
    enum err e = refuse_moved(p);
    if (e == ERR_OK)
        e = open_swarm(p);
    return e == ERR_OK ? start(p) : e;
}

int main(int argc, char **argv)
{
    static const char *const start_flags[] = {"swarm-root=", "from=", NULL};
    static const char *const invite_flags[] = {"cell",  "account",  "stranger",
                                               "uses=", "expires=", NULL};
    static const char *const status_flags[] = {"json", NULL};
    static const char *const move_flags[] = {"to=", "swarm-root=", "rsh=", NULL};
    static const struct daemon_command commands[] = {
        {.name = "invite", .flags = invite_flags, .run = run_invite},
        {.name = "status", .flags = status_flags, .run = run_status},
        {.name = "move", .flags = move_flags, .run = run_move},
        {.name = "rebuild", .flags = start_flags},
    };
    static struct program program = {.exit_code = -1};
    const struct daemon_main m = {
        .name = "coordinatord",
        .usage = usage,
        .flags = start_flags,
        .commands = commands,
        .command_count = ARRAY_COUNT(commands),
        .keys = keys,
        .key_count = ARRAY_COUNT(keys),
        .settings = &program.settings,
        .given = &program.flags,
        .daemon = &program.d,
        .msg = &program.msg,
        .start = begin,
        .io = &program.io,
        .finish = finish,
        .exit_code = &program.exit_code,
        .program = &program,
    };
    return daemon_main(&m, argc, argv);
}
