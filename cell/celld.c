/*
 * celld: a storage node as a process. Parses, wires the ports, runs.
 */
#include "base/file.h"
#include "base/text.h"
#include "cell.h"
#include "celld_control.h"
#include "crypto/crypto.h"
#include "daemon/daemon_main.h"
#include "identity/invite_text.h"
#include "uvio/uvio_disk.h"
#include "uvio/uvio_net.h"
#include "uvio/uvio_reach.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settings {
    uint64_t give_bytes;
    char listen[CONFIG_TEXT_SIZE];
    struct config_list advertise;
    char site[CONFIG_TEXT_SIZE];
    uint64_t scrub_period_ms, repair_bytes_s, lease_ms, moved_hold_ms, audit_period_ms;
};

static const struct config_key keys[] = {
    CONFIG_SIZE(struct settings, give_bytes, "give", "100G", 0, UINT64_C(1) << 60,
                "disk space lent to others"),
    CONFIG_TEXT(struct settings, listen, "listen", "[::]:7401", "address and port to serve at"),
    CONFIG_LIST(
        struct settings, advertise, "advertise",
        "address and port at which others reach this cell, when it is not the one listened at"),
    CONFIG_TEXT(struct settings, site, "site", "",
                "what cells of one place call their place, so that they count as one"),
    CONFIG_DURATION(struct settings, scrub_period_ms, "scrub-period", "30d", 0, UINT64_MAX,
                    "how long one check of every stored shard may take; 0: no check"),
    CONFIG_SIZE(struct settings, repair_bytes_s, "repair-rate", "3M", 1024, UINT64_C(1) << 40,
                "repairs for others use so many bytes a second of the line"),
    CONFIG_DURATION(struct settings, lease_ms, "lease", "1y", 1000, UINT64_MAX,
                    "an account that is not heard of for so long, and a twelfth more, is let go"),
    CONFIG_DURATION(struct settings, moved_hold_ms, "moved-hold", "7d", 0, UINT64_MAX,
                    "shards that the coordinator had made anew elsewhere are kept for so long"),
    CONFIG_DURATION(struct settings, audit_period_ms, "audit-period", "6h", 0, UINT64_MAX,
                    "how often another cell is asked for a proof while the coordinator is away; "
                    "0: never"),
};

/* The invite is taken on the first start only (DATA/swarm keeps it); the others are the
   subcommands'. */
static const char *const extra_flags[] = {"invite=", "new-disk", NULL};
static const char *const status_flags[] = {"json", NULL};
static const char *const leave_flags[] = {"stay", "no-wait", NULL};

static const char usage[] =
    "usage: celld --data DIR --invite STRING [--give SIZE] [--listen ADDR:PORT]\n"
    "             [--advertise ADDR:PORT]... [--site NAME] [--scrub-period T]\n"
    "             [--repair-rate BYTES] [--audit-period T]                        first start\n"
    "       celld --data DIR                                                      later starts\n"
    "       celld --data DIR --new-disk                the old disk with the shards is lost for "
    "good\n"
    "       celld --data DIR status [--json]\n"
    "       celld --data DIR leave [--no-wait] | leave --stay\n"
    "\n"
    "Stores shards for the members of a swarm. It can read none of them.\n"
    "\n"
    "  celld --data /srv/cellar/cell --invite 'cellar-...' --give 500G --listen 0.0.0.0:7401\n"
    "\n"
    "Subcommands ask the running process. `leave` has its shards made anew on other cells, shows\n"
    "how far that is, and ends when the cell can go; --stay takes it back.\n";

struct program {
    struct daemon d;
    struct daemon_flags flags;
    struct settings settings;
    struct uvio *io;
    struct net *net;
    struct disk *disk;
    struct work_lane *lane;
    struct store *store;
    struct cell *cell;
    struct uvio_control *control;
    struct timer tidy_timer;
    struct invite_text invite;
    struct buf kept;         /* the file "swarm" */
    struct swarm_root swarm; /* whose cell this is */
    struct id coordinator;
    struct address_list coordinator_addresses, addresses;
    const char *coordinator_pointers[LIMIT_ADDRESSES], *pointers[LIMIT_ADDRESSES];
    char claim_code[32];
    struct errmsg msg;
    int exit_code;
};

/* --- whom this cell belongs to: DATA/swarm holds the invite that it joined with --- */

static enum err load_swarm(struct program *p, const char *invite)
{
    char path[DAEMON_PATH_SIZE];
    daemon_path(&p->d, "swarm", path);
    p->kept = BUF_INIT(INVITE_TEXT_MAX + 1);
    enum err e = file_read(path, &p->kept, &p->msg);
    if (e == ERR_NOT_FOUND && !invite)
        return err_say(&p->msg, ERR_USAGE,
                       "%s belongs to no swarm yet: start it once with --invite STRING", p->d.data);
    if (e == ERR_NOT_FOUND) {
        e = invite_text_open(invite, &p->invite, &p->msg);
        if (e == ERR_OK && p->invite.kind != INVITE_CELL)
            e = err_say(&p->msg, ERR_USAGE, "the invite is not one for a cell");
        if (e == ERR_OK)
            e = file_write(path, 0600, slice_text(invite), &p->msg);
    } else if (e == ERR_OK) {
        e = buf_append_u8(&p->kept, 0);
        if (e == ERR_OK)
            e = invite_text_open((const char *)p->kept.data, &p->invite, &p->msg);
    }
    if (e != ERR_OK)
        return e;
    p->swarm = p->invite.swarm;
    p->coordinator = p->invite.certificate.id;
    p->coordinator_addresses = p->invite.addresses;
    return ERR_OK;
}

/* Whoever is not in this cell's own network shows the code to claim it. */
static enum err load_claim_code(struct program *p)
{
    char path[DAEMON_PATH_SIZE];
    uint8_t random[10];
    struct buf file = BUF_INIT(sizeof(p->claim_code) - 1);
    enum err e = file_read(daemon_path(&p->d, "claim-code", path), &file, &p->msg);
    if (e == ERR_OK) {
        size_t size = file.size;
        while (size && (file.data[size - 1] == '\n' || file.data[size - 1] == ' '))
            size--;
        memcpy(p->claim_code, file.data, size);
    } else if (e == ERR_NOT_FOUND) {
        char line[40];
        crypto_random(random, sizeof(random));
        text_base32(slice_of(random, sizeof(random)), p->claim_code);
        snprintf(line, sizeof(line), "%s\n", p->claim_code);
        e = file_write(path, 0600, slice_text(line), &p->msg);
    }
    buf_free(&file);
    return e;
}

/* --- wiring --- */

static enum err open_store(struct program *p)
{
    char path[DAEMON_PATH_SIZE];
    enum err e = uvio_disk_open(p->d.data, 0, &p->disk, &p->msg);
    if (e != ERR_OK)
        return e;
    const struct store_options options = {
        .disk = p->disk,
        .random = uvio_random(p->io),
        .log = &p->d.log,
        .catalogue_path = daemon_path(&p->d, STORE_CATALOGUE_NAME, path),
        .cell = *sign_key_id(p->d.key),
        /* an owner who knows that the old disk is lost says so; else a missing marker is sleep */
        .first_start = p->d.first_start || daemon_flag(&p->flags, "new-disk"),
        .give_bytes = p->settings.give_bytes,
    };
    return store_open(&options, &p->store, &p->msg);
}

static enum err open_net(struct program *p)
{
    const struct uvio_net_options options = {.seed = p->d.seed, .listen = p->settings.listen};
    enum err e = uvio_net_open(p->io, &options, &p->net, &p->msg);
    for (size_t i = 0; i < p->settings.advertise.count && e == ERR_OK; i++)
        e = address_list_add(&p->addresses, p->settings.advertise.items[i]);
    const char *listen = e == ERR_OK ? uvio_net_listen_address(p->net) : "";
    char towards[UVIO_REACH_SIZE];
    if (e == ERR_OK && p->addresses.count == 0 && uvio_reach_is_any(listen) &&
        p->coordinator_addresses.count) {
        e = uvio_reach_towards(p->coordinator_addresses.text[0], listen, towards, &p->msg);
        listen = towards;
    }
    if (e == ERR_OK && p->addresses.count == 0)
        e = address_list_add(&p->addresses, listen);
    address_list_pointers(&p->addresses, p->pointers);
    return e;
}

static enum err open_cell(struct program *p)
{
    struct cell_options options = {
        .net = p->net,
        .clock = uvio_clock(p->io),
        .random = uvio_random(p->io),
        .work = uvio_work(p->io),
        .log = &p->d.log,
        .store = p->store,
        .lane = p->lane,
        .key = p->d.key,
        .coordinator = p->coordinator,
        .coordinator_addresses = p->coordinator_pointers,
        .coordinator_address_count =
            address_list_pointers(&p->coordinator_addresses, p->coordinator_pointers),
        .invite = p->invite.invite,
        .addresses = p->pointers,
        .address_count = p->addresses.count,
        .site = p->settings.site,
        .give_bytes = p->settings.give_bytes,
        .claim_code = p->claim_code,
        .scrub_period_ms = p->settings.scrub_period_ms,
        .repair_bytes_s = p->settings.repair_bytes_s,
        .lease_ms = p->settings.lease_ms,
        .moved_hold_ms = p->settings.moved_hold_ms,
        .audit_period_ms = p->settings.audit_period_ms,
    };
    memcpy(options.swarm_root, p->swarm.key, sizeof(options.swarm_root));
    return cell_new(&options, &p->cell, &p->msg);
}

/* --- events --- */

static void asked(void *user, struct uvio_control_request *request, struct slice words)
{
    struct program *p = user;
    celld_control_answer(p->cell, request, words);
}

/* No more questions; those that are being answered end before the cell does. */
/* --- memory: glibc keeps what a hundred busy peers have freed, for good if nobody asks --- */

enum { TIDY_MS = 30000 };

static void keep_blocks_apart(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 256 << 10); /* fixed: they go back when they are freed */
    (void)mallopt(M_ARENA_MAX, 2);
}

static void tidy(struct timer *timer)
{
    struct program *p = container_of(timer, struct program, tidy_timer);
    (void)malloc_trim(0);
    err_ignore(timer_start(uvio_clock(p->io), timer, TIDY_MS));
}

static void stop_cell(struct program *p, cell_stopped_fn *stopped)
{
    timer_stop(uvio_clock(p->io), &p->tidy_timer);
    uvio_control_close(p->control);
    p->control = NULL;
    cell_stop(p->cell, stopped, p);
}

static void net_closed(void *user)
{
    struct program *p = user;
    p->net = NULL;
    uvio_stop(p->io);
}

static void cell_stopped(void *user)
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
        stop_cell(p, cell_stopped);
    }
}

static void joined(void *user, enum err e, const struct errmsg *msg)
{
    struct program *p = user;
    struct errmsg why;
    if (e != ERR_OK) {
        fprintf(stderr, "celld: the swarm does not take this cell: %s\n", msg->text);
        p->exit_code = 1;
        stop_cell(p, cell_stopped);
        return;
    }
    if (daemon_say_address(&p->d, p->addresses.text[0], &why) != ERR_OK)
        log_say(&p->d.log, LOG_WARN, "%s", why.text);
}

static void reload(void *user, int signal_number)
{
    struct program *p = user;
    struct settings settings;
    struct errmsg msg;
    (void)signal_number;
    if (daemon_settings(&p->d, &p->flags, keys, ARRAY_COUNT(keys), &settings, &msg) != ERR_OK) {
        log_say(&p->d.log, LOG_ERROR, "the settings stay as they were: %s", msg.text);
        return;
    }
    log_say(&p->d.log, LOG_INFO, "settings read again");
    p->settings.give_bytes = settings.give_bytes;
    store_set_give(p->store, settings.give_bytes);
    cell_set_give(p->cell, settings.give_bytes);
    cell_set_limits(p->cell, settings.scrub_period_ms, settings.repair_bytes_s);
}

static enum err start(void *program)
{
    struct program *p = program;
    enum err e = load_swarm(p, daemon_flag(&p->flags, "invite"));
    if (e == ERR_OK)
        e = load_claim_code(p);
    if (e == ERR_OK)
        e = uvio_new(&(struct uvio_options){.threads_more = CELL_DISK_THREADS, .log = &p->d.log},
                     &p->io, &p->msg);
    if (e == ERR_OK) {
        p->tidy_timer.fire = tidy;
        e = timer_start(uvio_clock(p->io), &p->tidy_timer, TIDY_MS);
    }
    if (e == ERR_OK)
        e = open_store(p);
    if (e == ERR_OK && !(p->lane = work_lane_new(uvio_work(p->io), "store")))
        e = err_say(&p->msg, ERR_NOMEM, "out of memory for a thread");
    if (e == ERR_OK)
        e = open_net(p);
    if (e == ERR_OK)
        e = open_cell(p);
    if (e == ERR_OK)
        e = uvio_on_signal(p->io, SIGTERM, stop, p, &p->msg);
    if (e == ERR_OK)
        e = uvio_on_signal(p->io, SIGINT, stop, p, &p->msg);
    if (e == ERR_OK)
        e = uvio_on_signal(p->io, SIGHUP, reload, p, &p->msg);
    if (e == ERR_OK)
        e = daemon_control_listen(&p->d, p->io, asked, p, &p->control, &p->msg);
    if (e == ERR_OK)
        e = cell_start(p->cell, joined, p, &p->msg);
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
    cell_free(p->cell);
    store_close(p->store);
    uvio_disk_close(p->disk);
    invite_text_free(&p->invite);
    buf_free(&p->kept);
    daemon_close(&p->d);
}

/* A subcommand asks the process that runs on the data directory. */
static int run_beside(void *program)
{
    struct program *p = program;
    const enum err e =
        daemon_open_beside(&p->flags, keys, ARRAY_COUNT(keys), &p->settings, &p->d, &p->msg);
    int code = e == ERR_USAGE ? 2 : 1;
    if (e == ERR_OK)
        code = celld_control_run(&p->d, &p->flags);
    else
        fprintf(stderr, "celld: %s\n", p->msg.text);
    daemon_close(&p->d);
    return code;
}

int main(int argc, char **argv)
{
    static const struct daemon_command commands[] = {
        {.name = "status", .flags = status_flags, .run = run_beside},
        {.name = "leave", .flags = leave_flags, .run = run_beside},
    };
    static struct program program = {.exit_code = -1};
    const struct daemon_main m = {
        .name = "celld",
        .usage = usage,
        .flags = extra_flags,
        .commands = commands,
        .command_count = ARRAY_COUNT(commands),
        .keys = keys,
        .key_count = ARRAY_COUNT(keys),
        .settings = &program.settings,
        .given = &program.flags,
        .daemon = &program.d,
        .msg = &program.msg,
        .start = start,
        .io = &program.io,
        .finish = finish,
        .exit_code = &program.exit_code,
        .program = &program,
    };
    keep_blocks_apart();
    return daemon_main(&m, argc, argv);
}
