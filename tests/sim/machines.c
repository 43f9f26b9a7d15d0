#include "machines.h"

#include "devices/devices_recover.h"
#include "heads/heads_sync.h"
#include "identity/invite_text.h"
#include "index/index_removal.h"
#include "restore/restore.h"
#include "store/store.h"
#include "vault/vault_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* --- machines --- */

static bool is_done(void *user)
{
    return ((struct machine *)user)->done;
}

void machines_wait(struct machine *m)
{
    if (sim_world_run_until(m->all->sim, is_done, m, 3 * MACHINES_DAY_MS) != ERR_OK)
        fail_msg("nothing happens any more");
    m->done = false;
}

void machines_ok(const struct machine *m)
{
    if (m->e != ERR_OK)
        fail_msg("%s: %s", err_name(m->e), m->msg.text);
}

void machines_done(void *user, enum err e, const struct errmsg *msg)
{
    struct machine *m = user;
    m->done = true;
    m->e = e;
    m->msg = *msg;
}

static void set_up_machine(struct machines *w, struct machine *m, const char *name)
{
    char tools[64];
    snprintf(tools, sizeof(tools), "%s-tools", name);
    *m = (struct machine){.all = w};
    snprintf(m->vault_dir, sizeof(m->vault_dir), "%s/%s", w->dir, name);
    m->tools = sim_node_new(w->sim, &(struct sim_identity){.name = tools});
    m->ports = (struct vault_ports){
        .clock = &m->tools->clock, .random = &m->tools->random, .work = &m->tools->work};
}

static void make_node(struct machine *m, const uint8_t *seed)
{
    struct sign_key *key;
    assert_int_equal(sign_key_new(seed, &key), ERR_OK);
    if (!m->node) {
        struct sim_identity identity = {.name = "device", .id = *sign_key_id(key)};
        memcpy(identity.key, sign_key_public(key), 32);
        m->node = sim_node_new(m->all->sim, &identity);
    }
    sign_key_free(key);
}

void machines_refresh(struct machine *m)
{
    assert_int_equal(vault_refresh(m->vault, machines_done, m, &m->msg), ERR_OK);
    machines_wait(m);
    machines_ok(m);
}

void machines_open(struct machine *m)
{
    const struct vault_open_options options = {.dir = m->vault_dir, .access = VAULT_WRITE};
    if (vault_open(&options, &m->ports, &m->vault, &m->msg) != ERR_OK)
        fail_msg("%s", m->msg.text);
    make_node(m, vault_seed(m->vault));
    if (vault_connect(m->vault, m->node->net, &m->msg) != ERR_OK)
        fail_msg("%s", m->msg.text);
    machines_refresh(m);
}

static void create_vault(struct machines *w)
{
    struct machine *m = &w->a;
    struct invite_text invite = {.swarm = w->swarm->root,
                                 .coordinator = buf_slice(&w->swarm->certificate)};
    struct buf document = BUF_INIT(INVITE_BYTES_MAX), text = BUF_INIT(INVITE_TEXT_MAX);
    sim_swarm_invite(w->swarm, INVITE_ACCOUNT, 1, &document);
    invite.invite = buf_slice(&document);
    assert_int_equal(address_list_add(&invite.addresses, "coordinator:1"), ERR_OK);
    assert_int_equal(invite_text_make(&invite, &text), ERR_OK);
    assert_int_equal(buf_append_u8(&text, 0), ERR_OK);
    const struct vault_create_options options = {
        .dir = m->vault_dir,
        .invite = (const char *)text.data,
        .phrase_file = w->phrase,
        .redundancy = "2+2",
        .hold_s = MACHINES_HOLD_S,
        .device_name = "first",
    };
    if (vault_create(&options, &m->ports, &m->vault, &m->msg) != ERR_OK)
        fail_msg("%s", m->msg.text);
    make_node(m, vault_seed(m->vault));
    assert_int_equal(vault_join(m->vault, m->node->net, machines_done, m, &m->msg), ERR_OK);
    machines_wait(m);
    machines_ok(m);
    vault_close(m->vault);
    m->vault = NULL;
    buf_free(&document);
    buf_free(&text);
}

static void on_recovery_problem(void *user, enum err e, const char *sentence)
{
    (void)e, (void)sentence;
    ((struct machine *)user)->problems++;
}

static void on_recovered(void *user, enum err e, const struct devices_recovery_summary *summary,
                         const struct errmsg *msg)
{
    (void)summary;
    machines_done(user, e, msg);
}

void machines_words(struct machines *w, char words[1024])
{
    FILE *file = fopen(w->phrase, "r");
    assert_non_null(file);
    assert_non_null(fgets(words, 1024, file));
    fclose(file);
    words[strcspn(words, "\n")] = 0;
}

void machines_recover_partly(struct machines *w, struct machine *m)
{
    static const struct devices_recovery_events events = {.problem = on_recovery_problem,
                                                          .done = on_recovered};
    char words[1024] = "", id[ID_TEXT_SIZE], from[ID_TEXT_SIZE + 32];
    const char *all[1] = {from};
    machines_words(w, words);
    snprintf(from, sizeof(from), "%s@coordinator:1",
             id_format(&w->swarm->coordinator_node->id, id));
    const struct devices_recovery_options options = {
        .dir = m->vault_dir, .words = words, .from = all, .from_count = 1, .device_name = "second"};
    struct devices_recovery *recovery;
    if (devices_recovery_new(&options, &m->ports, &recovery, &m->msg) != ERR_OK)
        fail_msg("%s", m->msg.text);
    make_node(m, devices_recovery_seed(recovery));
    assert_int_equal(devices_recovery_start(recovery, m->node->net, &events, m, &m->msg), ERR_OK);
    machines_wait(m);
    machines_ok(m);
    devices_recovery_free(recovery);
}

void machines_recover(struct machines *w, struct machine *m)
{
    machines_recover_partly(w, m);
    assert_int_equal(m->problems, 0);
    machines_open(m);
}

void machines_set_up(struct machines *w, uint64_t seed)
{
    *w = (struct machines){.sim = sim_world_new(seed)};
    w->swarm = sim_swarm_new(w->sim, &(struct sim_swarm_options){.cells = MACHINES_CELLS});
    temp_dir_make(w->dir);
    snprintf(w->tree, sizeof(w->tree), "%s/tree", w->dir);
    snprintf(w->phrase, sizeof(w->phrase), "%s/phrase", w->dir);
    set_up_machine(w, &w->a, "a");
    set_up_machine(w, &w->b, "b");
    set_up_machine(w, &w->c, "c");
    create_vault(w);
    machines_open(&w->a);
}

static void tear_down_machine(struct machine *m)
{
    vault_close(m->vault);
    m->vault = NULL;
    if (m->node)
        sim_node_stop(m->node);
    sim_node_stop(m->tools);
}

void machines_tear_down(struct machines *w)
{
    tear_down_machine(&w->a);
    tear_down_machine(&w->b);
    tear_down_machine(&w->c);
    sim_swarm_free(w->swarm);
    sim_world_free(w->sim);
    temp_dir_remove(w->dir);
}

/* --- trees --- */

static void fill(const char *dir, const char *name, unsigned seed, size_t size)
{
    char path[2 * MACHINES_PATH_SIZE];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    uint64_t x = seed * 2654435761u + 88172645463325252u;
    for (size_t i = 0; i < size; i += 8) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        assert_int_equal(fwrite(&x, 1, 8, file), 8);
    }
    fclose(file);
}

static void fill_state(const char *dir, unsigned n)
{
    char name[64];
    fill(dir, "common", 1, 40000);
    fill(dir, "changes", 100 + n, 20000);
    snprintf(name, sizeof(name), "own-%u", n);
    fill(dir, name, 200 + n, 60000);
    snprintf(name, sizeof(name), "pair-%u", n / 2); /* two states share it */
    fill(dir, name, 300 + n / 2, 30000);
}

void machines_state(struct machines *w, unsigned n)
{
    if (access(w->tree, F_OK) == 0)
        temp_dir_remove(w->tree);
    assert_int_equal(mkdir(w->tree, 0755), 0);
    fill_state(w->tree, n);
}

static bool same_file(const char *one, const char *two)
{
    static uint8_t bytes[2][1 << 17];
    FILE *a = fopen(one, "r"), *b = fopen(two, "r");
    const size_t first = a ? fread(bytes[0], 1, sizeof(bytes[0]), a) : 0;
    const size_t second = b ? fread(bytes[1], 1, sizeof(bytes[1]), b) : 1;
    if (a)
        fclose(a);
    if (b)
        fclose(b);
    return first == second && memcmp(bytes[0], bytes[1], first) == 0;
}

/* --- operations --- */

static void on_path_problem(void *user, enum err e, struct slice path, const char *sentence)
{
    (void)e, (void)path, (void)sentence;
    ((struct machine *)user)->problems++;
}

static void on_backup(void *user, enum err e, const struct backup_summary *summary,
                      const struct errmsg *msg)
{
    struct machine *m = user;
    m->snapshot = summary->snapshot_id;
    machines_done(user, e, msg);
}

void machines_start_backup(struct machine *m)
{
    static const struct backup_events events = {.problem = on_path_problem, .done = on_backup};
    struct backup *backup;
    m->backup_path = m->all->tree;
    m->backup_options =
        (struct backup_options){.paths = &m->backup_path, .path_count = 1, .program = "test"};
    if (backup_start(m->vault, &m->backup_options, &events, m, &backup, &m->msg) != ERR_OK)
        fail_msg("%s", m->msg.text);
}

struct id machines_back_up(struct machine *m, unsigned state)
{
    machines_state(m->all, state);
    machines_start_backup(m);
    machines_wait(m);
    machines_ok(m);
    return m->snapshot;
}

static void on_forgotten(void *user, enum err e, const struct removal_forget_summary *summary,
                         const struct errmsg *msg)
{
    struct machine *m = user;
    m->removed = summary->removed;
    machines_done(user, e, msg);
}

enum err machines_start_forget(struct machine *m, const struct id *snapshot)
{
    static const struct removal_forget_events events = {.done = on_forgotten};
    struct removal_forget *forget;
    m->forget_name = id_format(snapshot, m->forget_text);
    m->forget_options = (struct removal_forget_options){
        .select = {.snapshots = &m->forget_name, .snapshot_count = 1}};
    return removal_forget_start(m->vault, &m->forget_options, &events, m, &forget, &m->msg);
}

static void on_pruned(void *user, enum err e, const struct removal_prune_summary *summary,
                      const struct errmsg *msg)
{
    struct machine *m = user;
    m->pruned = *summary;
    machines_done(user, e, msg);
}

void machines_start_prune(struct machine *m)
{
    static const struct removal_prune_events events = {.done = on_pruned};
    struct removal_prune *prune;
    m->prune_options = (struct removal_prune_options){.unused = REMOVAL_UNUSED_PERCENT,
                                                      .unused_max = 5,
                                                      .excluded = &m->gives_up,
                                                      .excluded_count = m->gives_up ? 1 : 0};
    if (removal_prune_start(m->vault, &m->prune_options, &events, m, &prune, &m->msg) != ERR_OK)
        fail_msg("%s", m->msg.text);
}

void machines_prune(struct machine *m)
{
    machines_start_prune(m);
    machines_wait(m);
    machines_ok(m);
}

void machines_forget(struct machine *m, const struct id *snapshot)
{
    assert_int_equal(machines_start_forget(m, snapshot), ERR_OK);
    machines_wait(m);
    machines_ok(m);
    assert_int_equal(m->removed, 1);
}

static void on_synced(void *user, enum err e, const struct heads_sync_summary *summary,
                      const struct errmsg *msg)
{
    (void)summary;
    machines_done(user, e, msg);
}

void machines_catch_up(struct machine *m)
{
    static const struct heads_sync_events events = {.done = on_synced};
    assert_int_equal(heads_sync_start(m->vault, &events, m, &m->msg), ERR_OK);
    machines_wait(m);
    machines_ok(m);
}

static void on_restored(void *user, enum err e, const struct restore_summary *summary,
                        const struct errmsg *msg)
{
    struct machine *m = user;
    m->problems += (unsigned)summary->files_failed;
    machines_done(user, e, msg);
}

void machines_restores(struct machine *m, const struct id *snapshot, unsigned state)
{
    static const struct restore_events events = {.problem = on_path_problem, .done = on_restored};
    struct machines *w = m->all;
    char target[MACHINES_PATH_SIZE], wanted[MACHINES_PATH_SIZE], text[ID_TEXT_SIZE], name[64];
    char one[2 * MACHINES_PATH_SIZE + 64], two[2 * MACHINES_PATH_SIZE + 64];
    struct restore *restore;
    snprintf(target, sizeof(target), "%s/out-%u", w->dir, w->restores);
    snprintf(wanted, sizeof(wanted), "%s/wanted-%u", w->dir, w->restores++);
    const struct restore_options options = {
        .snapshot = id_format(snapshot, text), .subpath = w->tree, .target = target};
    m->problems = 0;
    assert_int_equal(restore_start(m->vault, &options, &events, m, &restore, &m->msg), ERR_OK);
    machines_wait(m);
    if (m->e != ERR_OK || m->problems > 0)
        fail_msg("state %u cannot be restored: %s, %u problems", state, m->msg.text, m->problems);
    assert_int_equal(mkdir(wanted, 0755), 0);
    fill_state(wanted, state);
    const char *const names[] = {"common", "changes"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), i == 2 ? "own-%u" : "pair-%u", i == 2 ? state : state / 2);
        snprintf(one, sizeof(one), "%s/%s", wanted, i < 2 ? names[i] : name);
        snprintf(two, sizeof(two), "%s/%s", target, i < 2 ? names[i] : name);
        if (!same_file(one, two))
            fail_msg("state %u: %s is not what was backed up", state, two);
    }
    temp_dir_remove(target);
    temp_dir_remove(wanted);
}

uint64_t machines_shards(struct machines *w)
{
    uint64_t count = 0;
    struct errmsg msg;
    for (unsigned i = 0; i < MACHINES_CELLS; i++) {
        struct store_usage usage;
        assert_int_equal(store_usage(w->swarm->cells[i].store, &usage, &msg), ERR_OK);
        count += usage.shard_count;
    }
    return count;
}

void machines_pass(struct machines *w, uint64_t ms)
{
    assert_int_equal(sim_world_run(w->sim, ms), ERR_OK);
}

unsigned machines_tombstones(const struct machine *m)
{
    struct index_record rows[16];
    struct errmsg msg;
    size_t count;
    assert_int_equal(index_records(m->vault->index, INDEX_TOMBSTONE, 0, rows, 16, &count, &msg),
                     ERR_OK);
    return (unsigned)count;
}
