/*
 * The vault in a life of the simulator: when the weather of the seed is over, an account is made,
 * backs a tree up while cells crash and lines break, and its machine is lost. Then m cells and the
 * coordinator are gone too, and a bare machine with the phrase and one living cell brings the
 * newest snapshot that was committed back, bit for bit. Where the weather has left too few domains
 * for k + m shards, as many cells go as the vault itself says that it can lose.
 *
 * The vault reads and writes the real file system, whose times and inode numbers stand in the tree:
 * so it comes after the trace's hash has been taken.
 */
#include "sim_life_internal.h"

#include "backup/backup.h"
#include "devices/devices_recover.h"
#include "harness/temp_dir.h"
#include "health/health_status.h"
#include "identity/invite_text.h"
#include "restore/restore.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FILES = 12, VERSIONS = 3, PATH_SIZE = 256, FILE_BYTES_MAX = 300000, K = 4, M = 2 };

struct box {
    struct sim_life *l;
    struct sim_node *tools, *node; /* clock and work; net */
    struct vault_ports ports;
    struct vault *vault;
    char dir[TEMP_DIR_SIZE], phrase_words[512];
    unsigned margin;
    unsigned committed; /* the version of the tree that the newest snapshot has; 0: none */
    bool done;
    enum err e;
    struct errmsg msg;
};

static void must(const struct box *b, enum err e, const char *what)
{
    if (e == ERR_OK)
        return;
    fprintf(stderr, "%s: %s (%s)\n", what, err_name(e), b->msg.text);
    abort();
}

static void on_done(void *user, enum err e, const struct errmsg *msg)
{
    struct box *b = user;
    b->done = true;
    b->e = e;
    b->msg = *msg;
}

static bool is_done(void *user)
{
    return ((const struct box *)user)->done;
}

static enum err wait_done(struct box *b)
{
    must(b, sim_world_run_until(b->l->world, is_done, b, 4 * DAY_MS), "waiting for the vault");
    b->done = false;
    return b->e;
}

/* --- the tree: every version of every file is made from its name --- */

static size_t file_bytes(unsigned file, unsigned version, uint8_t *out)
{
    /* one in four changes with each version */
    const uint64_t seed = file * 1000 + (file % 4 == 0 ? version : 0) + 7;
    const size_t size = file == 0 ? FILE_BYTES_MAX : (size_t)(seed * 2654435761u % 30000);
    uint64_t x = seed * 88172645463325252u + 1;
    for (size_t i = 0; i < size; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        out[i] = (uint8_t)x;
    }
    return size;
}

static void write_tree(const struct box *b, unsigned version)
{
    char path[PATH_SIZE];
    uint8_t *bytes = malloc(FILE_BYTES_MAX);
    if (!bytes)
        abort();
    snprintf(path, sizeof(path), "%s/tree", b->dir);
    (void)mkdir(path, 0755);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(path, sizeof(path), "%s/tree/file-%u", b->dir, i);
        FILE *file = fopen(path, "w");
        const size_t size = file_bytes(i, version, bytes);
        if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
            abort();
    }
    free(bytes);
}

/* -1, or the first file that is not as it was. */
static int compare_tree(const struct box *b, unsigned version)
{
    char path[PATH_SIZE];
    uint8_t *bytes = malloc(2 * FILE_BYTES_MAX + 1), *got = bytes + FILE_BYTES_MAX;
    int wrong = -1;
    if (!bytes)
        abort();
    for (unsigned i = 0; i < FILES && wrong < 0; i++) {
        snprintf(path, sizeof(path), "%s/back%s/tree/file-%u", b->dir, b->dir, i);
        FILE *file = fopen(path, "r");
        const size_t size = file_bytes(i, version, bytes);
        if (!file || fread(got, 1, FILE_BYTES_MAX + 1, file) != size ||
            memcmp(bytes, got, size) != 0)
            wrong = (int)i;
        if (file)
            fclose(file);
    }
    free(bytes);
    return wrong;
}

/* --- the account --- */

static void connect_node(struct box *b, const uint8_t *seed, const char *name)
{
    struct sign_key *key;
    must(b, sign_key_new(seed, &key), "making a key");
    b->node = sim_swarm_node(b->l->swarm, name, key, NULL);
    sign_key_free(key);
}

static enum err open_vault(struct box *b, const char *folder)
{
    char dir[PATH_SIZE];
    snprintf(dir, sizeof(dir), "%s/%s", b->dir, folder);
    const struct vault_open_options options = {.dir = dir, .access = VAULT_WRITE};
    must(b, vault_open(&options, &b->ports, &b->vault, &b->msg), "opening a vault");
    must(b, vault_connect(b->vault, b->node->net, &b->msg), "connecting a vault");
    must(b, vault_refresh(b->vault, on_done, b, &b->msg), "refreshing a vault");
    return wait_done(b);
}

static void create(struct box *b)
{
    struct invite_text invite = {.swarm = b->l->swarm->root,
                                 .coordinator = buf_slice(&b->l->swarm->certificate)};
    struct buf document = BUF_INIT(INVITE_BYTES_MAX), text = BUF_INIT(INVITE_TEXT_MAX);
    char dir[PATH_SIZE];
    sim_swarm_invite(b->l->swarm, INVITE_ACCOUNT, 1, &document);
    invite.invite = buf_slice(&document);
    must(b, address_list_add(&invite.addresses, "coordinator:1"), "an address");
    must(b, invite_text_make(&invite, &text), "making an invite");
    must(b, buf_append_u8(&text, 0), "making an invite");
    snprintf(dir, sizeof(dir), "%s/vault", b->dir);
    const struct vault_create_options options = {
        .dir = dir, .invite = (const char *)text.data, .redundancy = "4+2"};
    must(b, vault_create(&options, &b->ports, &b->vault, &b->msg), "creating a vault");
    snprintf(b->phrase_words, sizeof(b->phrase_words), "%s", vault_phrase(b->vault));
    connect_node(b, vault_seed(b->vault), "vault");
    must(b, vault_join(b->vault, b->node->net, on_done, b, &b->msg), "joining with a vault");
    must(b, wait_done(b), "joining with a vault");
    vault_close(b->vault);
    b->vault = NULL;
    buf_free(&document);
    buf_free(&text);
}

/* --- backups --- */

static void on_problem(void *user, enum err e, struct slice path, const char *sentence)
{
    (void)user, (void)e, (void)path, (void)sentence;
}

static void on_backup(void *user, enum err e, const struct backup_summary *summary,
                      const struct errmsg *msg)
{
    (void)summary;
    on_done(user, e, msg);
}

static void back_up(struct box *b, unsigned version)
{
    char tree[PATH_SIZE];
    const char *paths[] = {tree};
    const struct backup_options options = {.paths = paths, .path_count = 1, .program = "cellsim"};
    const struct backup_events events = {.problem = on_problem, .done = on_backup};
    struct backup *backup;
    snprintf(tree, sizeof(tree), "%s/tree", b->dir);
    write_tree(b, version);
    enum err e = open_vault(b, "vault");
    if (e == ERR_OK)
        e = backup_start(b->vault, &options, &events, b, &backup, &b->msg);
    if (e == ERR_OK)
        e = wait_done(b);
    life_say(b->l, "the vault backs up version %u: %s %s", version, err_name(e),
             e == ERR_OK ? "" : b->msg.text);
    if (e == ERR_OK)
        b->committed = version;
    vault_close(b->vault);
    b->vault = NULL;
}

/* --- the bare machine --- */

static void on_recovery_problem(void *user, enum err e, const char *sentence)
{
    (void)e;
    life_say(((const struct box *)user)->l, "recovery: %s", sentence);
}

static void on_recovered(void *user, enum err e, const struct devices_recovery_summary *summary,
                         const struct errmsg *msg)
{
    (void)summary;
    on_done(user, e, msg);
}

static enum err recover(struct box *b, unsigned cell)
{
    char dir[PATH_SIZE], from[PATH_SIZE], id[ID_TEXT_SIZE];
    const char *addresses[] = {from};
    struct devices_recovery *recovery;
    const struct devices_recovery_events events = {.problem = on_recovery_problem,
                                                   .done = on_recovered};
    snprintf(dir, sizeof(dir), "%s/bare", b->dir);
    snprintf(from, sizeof(from), "%s@%s", id_format(&b->l->swarm->cells[cell].node->id, id),
             b->l->swarm->cells[cell].address);
    const struct devices_recovery_options options = {
        .dir = dir, .words = b->phrase_words, .from = addresses, .from_count = 1};
    must(b, devices_recovery_new(&options, &b->ports, &recovery, &b->msg), "a recovery");
    connect_node(b, devices_recovery_seed(recovery), "bare");
    enum err e = devices_recovery_start(recovery, b->node->net, &events, b, &b->msg);
    if (e == ERR_OK)
        e = wait_done(b);
    devices_recovery_free(recovery);
    return e;
}

static void on_restored(void *user, enum err e, const struct restore_summary *summary,
                        const struct errmsg *msg)
{
    struct box *b = user;
    on_done(user, e, msg);
    if (e == ERR_OK && summary->files_failed)
        b->e = ERR_NOT_ENOUGH;
}

static enum err restore(struct box *b)
{
    char target[PATH_SIZE];
    struct restore *running;
    const struct restore_options options = {.snapshot = "latest", .target = target};
    const struct restore_events events = {.problem = on_problem, .done = on_restored};
    snprintf(target, sizeof(target), "%s/back", b->dir);
    enum err e = open_vault(b, "bare");
    if (e == ERR_OK)
        e = restore_start(b->vault, &options, &events, b, &running, &b->msg);
    if (e == ERR_OK)
        e = wait_done(b);
    vault_close(b->vault);
    b->vault = NULL;
    return e;
}

/* --- all of it --- */

/* Crashes that lose nothing for good. */
static void storm(struct sim_life *l)
{
    static const enum sim_fault faults[] = {FAULT_POWER, FAULT_KILL,      FAULT_RESTART,
                                            FAULT_LOSS,  FAULT_PARTITION, FAULT_SLOW};
    for (size_t i = 0; i < ARRAY_COUNT(faults); i++)
        l->has[faults[i]] = true;
    for (unsigned i = 0; i < 12; i++)
        weather_blow(l);
}

static void on_status(void *user, enum err e, const struct health_status *status,
                      const struct errmsg *msg)
{
    struct box *b = user;
    on_done(user, e, msg);
    b->margin = e == ERR_OK && status->margin_min > 0 ? (unsigned)status->margin_min : 0;
}

/* With a domain to spare all shards have a place by now; else it is what the vault tells its owner.
 */
static unsigned cells_to_lose(struct box *b)
{
    if (promise_domains(b->l) > K + M)
        return M;
    if (open_vault(b, "vault") == ERR_OK) {
        must(b, health_status_ask(b->vault, on_status, b, &b->msg), "asking how safe it is");
        must(b, wait_done(b), "asking how safe it is");
    }
    vault_close(b->vault);
    b->vault = NULL;
    const unsigned lost = b->margin < M ? b->margin : M;
    life_say(b->l, "by what the vault says, %u cells may be lost", lost);
    return lost;
}

static void lose_cells(struct sim_life *l, unsigned count)
{
    for (unsigned c = 0; c < l->options.cells && count > 0; c++)
        if (life_runs(l, c)) {
            weather_stop(l, c, SIM_POWER, 0);
            l->cells[c].fate = CELL_DESTROYED;
            count--;
        }
}

static unsigned first_running(const struct sim_life *l)
{
    unsigned c = 0;
    while (c < l->options.cells && !life_runs(l, c))
        c++;
    return c;
}

static void bring_back(struct box *b)
{
    struct sim_life *l = b->l;
    const unsigned cell = first_running(l);
    if (cell == l->options.cells || b->committed == 0)
        return;
    enum err e = recover(b, cell);
    if (e == ERR_OK)
        e = restore(b);
    const int wrong = e == ERR_OK ? compare_tree(b, b->committed) : -1;
    life_say(l, "from the phrase and one cell: %s", err_name(e));
    if (e != ERR_OK)
        life_break(l, "PHRASE", "version %u does not come back from the phrase: %s", b->committed,
                   b->msg.text);
    else if (wrong >= 0)
        life_break(l, "PHRASE", "file %d of version %u came back otherwise", wrong, b->committed);
    l->result->restored++;
}

void vault_live(struct sim_life *l)
{
    struct box b = {.l = l};
    weather_clear(l);
    life_run(l, DAY_MS);
    b.tools = sim_node_new(l->world, &(struct sim_identity){.name = "tools"});
    b.ports = (struct vault_ports){
        .clock = &b.tools->clock, .random = &b.tools->random, .work = &b.tools->work};
    temp_dir_make(b.dir);
    create(&b);
    for (unsigned version = 1; version <= VERSIONS && !life_over(l); version++) {
        if (version > 1)
            storm(l);
        back_up(&b, version);
        weather_clear(l);
        life_run(l, DAY_MS);
    }
    const unsigned lost = life_over(l) ? 0 : cells_to_lose(&b);
    sim_node_stop(b.node); /* the machine and the coordinator go as well */
    lose_cells(l, lost);
    sim_swarm_stop_coordinator(l->swarm, SIM_KILL);
    if (!life_over(l))
        bring_back(&b);
    sim_node_stop(b.node);
    sim_node_stop(b.tools);
    temp_dir_remove(b.dir);
}
