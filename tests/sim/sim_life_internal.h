/* Shared by the files of one simulated life only. */
#pragma once

#include "sim_life.h"

enum {
    MINUTE_MS = 60000,
    HOUR_MS = 60 * MINUTE_MS,
    LIFE_SEGMENTS_MAX = 50,
    LIFE_LIST_BYTES = 16384,
    LIFE_TICKETS = 64,
};
#define DAY_MS ((uint64_t)24 * HOUR_MS)

/* Kinds of weather; a climate has some of them. */
enum sim_fault {
    FAULT_POWER,     /* a power cut: what was not synced may be lost */
    FAULT_KILL,      /* kill -9 */
    FAULT_RESTART,   /* a quiet restart */
    FAULT_AWAY,      /* off for longer than the grace time, then back */
    FAULT_DESTROY,   /* machine and disk are gone for good */
    FAULT_ROT,       /* a byte of a shard changes on the disk */
    FAULT_PARTITION, /* some cells are cut off from all others */
    FAULT_SLOW,      /* a thin, slow line */
    FAULT_LOSS,      /* connections break */
    FAULT_CLOCK,     /* a cell's wall clock jumps, by up to a year */
    FAULT_FULL,      /* the disk is full */
    FAULT_SYNC,      /* an fsync fails */
    FAULT_LIAR,      /* a cell answers with wrong bytes */
    FAULT_UNMOUNTED, /* the disk is not mounted after a restart */
    FAULT_OLD_IMAGE, /* the cell comes back with an old copy of its disk */
    FAULT_OUTAGE,    /* the coordinator is away, up to days */
    FAULT_JOIN,      /* a new cell */
    FAULT_LEAVE,     /* a cell leaves, drained before */
    FAULT_HALF,      /* half of the swarm reboots */
    FAULT_COUNT,
};

enum sim_place { PLACE_NONE, PLACE_KEPT, PLACE_ROTTEN, PLACE_LOST };

/* What the swarm owes for one segment. */
struct sim_promise {
    uint8_t at[SIM_BACKUP_SHARDS_MAX][SIM_SWARM_CELLS_MAX]; /* enum sim_place, by receipts */
    uint64_t since_ms[SIM_BACKUP_SHARDS_MAX][SIM_SWARM_CELLS_MAX];
    bool named[SIM_BACKUP_SHARDS_MAX][SIM_SWARM_CELLS_MAX]; /* by the directory, at the last look */
    bool entered;     /* the directory has said that it has it */
    bool deleted;     /* the owner has ordered it */
    bool threatened;  /* the order was a thief's: where his revocation is known it is never freed */
    bool forgiven;    /* whoever obeyed the thief, not knowing better */
    uint64_t ends_ms; /* not freed before */
};

enum sim_cell_fate {
    CELL_HERE,
    CELL_UNBORN,    /* has not joined yet */
    CELL_DESTROYED, /* never comes back */
    CELL_GONE,      /* has left for good, drained */
};

struct sim_fortune {
    enum sim_cell_fate fate;
    uint64_t back_ms;     /* when it is started again; 0: it runs, or never */
    uint64_t started_ms;  /* when it was started last */
    uint64_t silence_ms;  /* for so long the coordinator has listened and not heard it */
    bool excused;         /* for this silence */
    uint64_t calm_ms;     /* when its line, clock or disk is mended; 0: nothing to mend */
    bool was_gone;        /* away beyond the grace time, once */
    bool blamed;          /* its disk, or its word, was not what it should be */
    bool liar, unmounted; /* just now */
    bool leaving;
    bool knows_revocation; /* of the thief, before the hold of what he deleted was over */
    uint8_t household;     /* the account that has claimed it: 0 none, 1 the owner, 2 a stranger */
    bool check;            /* its files are to be read: it was started after a crash */
    uint64_t list_number;  /* of the member list that it had at the last look */
    struct sim_disk_image *image;
    uint64_t image_ms;
};

/* A ticket that was seen on its way to a repairer. */
struct sim_ticket {
    uint8_t id[16];
    struct id segment, repairer;
    uint64_t until_ms;
    bool repairer_died; /* so that it cannot have reported */
};

struct sim_life {
    struct sim_life_options options;
    struct sim_life_result *result;
    struct sim_world *world;
    struct sim_swarm *swarm;
    struct sim_swarm_options swarm_options;
    struct sim_cell_shape shapes[SIM_SWARM_CELLS_MAX];
    struct log log;
    struct sim_device *owner, *thief, *stranger;
    struct sim_backup *backup;
    struct sim_fortune cells[SIM_SWARM_CELLS_MAX];
    struct sim_watcher {
        struct sim_life *l;
        unsigned cell;
    } watchers[SIM_SWARM_CELLS_MAX]; /* what sees a cell's replies go by */
    struct sim_promise promises[LIFE_SEGMENTS_MAX];

    /* the climate */
    bool has[FAULT_COUNT];
    bool has_intruders;
    unsigned k, m, segments_wanted;
    uint32_t shard_bytes;
    uint64_t pause_ms; /* between two events, at most twice this */
    unsigned cut_after_receipt_per_mille;

    uint64_t coordinator_back_ms; /* 0: it runs */
    uint64_t thief_revoked_ms;    /* 0: not yet */
    uint64_t revoked_number;      /* of the manifest that did it */
    uint64_t head_sequence, order_sequence;
    uint64_t head_seen[SIM_SWARM_CELLS_MAX + 1]; /* what each has stored; the last: coordinator */
    uint64_t losses;                             /* shards that the weather took, or made suspect */
    uint64_t owed_repair_bytes;                  /* an upper bound of what repair may move */
    struct fault sync_fault;                     /* of the disk that fails to sync */
    uint64_t checked_ms;                         /* the last look at everything */
    uint64_t tended_ms;                          /* the last look at who is silent */
    bool listened;                               /* the coordinator ran then */

    struct sim_ticket tickets[LIFE_TICKETS];
    unsigned ticket_at;
    uint8_t list[LIFE_LIST_BYTES], old_list[LIFE_LIST_BYTES]; /* the newest; the one before */
    uint8_t changes[LIFE_LIST_BYTES];                         /* as they went by last */
    size_t list_bytes, old_list_bytes, changes_bytes;
    uint64_t list_number;
    uint64_t device_list_number; /* that the owner's device had at the last look */
    uint64_t replay_until_ms;
    uint8_t proof_ticket[16]; /* that an intruder has taken */
    struct id proof_segment;
};

static inline uint64_t life_now_ms(const struct sim_life *l)
{
    return sim_world_now_ms(l->world);
}

static inline uint64_t life_below(struct sim_life *l, uint64_t bound)
{
    return sim_world_below(l->world, bound);
}

static inline bool life_chance(struct sim_life *l, unsigned per_mille)
{
    return sim_world_chance(l->world, (uint64_t)per_mille * 1000);
}

static inline bool life_runs(const struct sim_life *l, unsigned cell)
{
    return l->swarm->cells[cell].cell != NULL;
}

/* A line of the trace, and of stdout with --verbose. */
void life_say(struct sim_life *l, const char *format, ...) PRINTF_LIKE(2, 3);
/* The first broken invariant ends the seed. */
void life_break(struct sim_life *l, const char *invariant, const char *format, ...)
    PRINTF_LIKE(3, 4);
static inline bool life_over(const struct sim_life *l)
{
    return l->result->broken;
}
void life_run(struct sim_life *l, uint64_t ms);
/* The device whose segments count was asked for something that is no error of ours. */
int64_t life_now_s(const struct sim_life *l);

/* --- sim_weather.c --- */

void weather_draw(struct sim_life *l);
/* One thing happens. */
void weather_blow(struct sim_life *l);
/* What is due: cells start again, lines are mended. */
void weather_tend(struct sim_life *l);
/* Everything is mended; who can come back does. */
void weather_clear(struct sim_life *l);
/* Sees a cell's replies go by (`user`: its struct sim_watcher): now and then its power goes while a
   receipt is on its way; a liar's bytes are changed. */
void weather_watch(void *user, const char *path, uint64_t offset, uint8_t *bytes, size_t size);
/* A process ends; it is started again after `ms` (0: not by the weather). */
void weather_stop(struct sim_life *l, unsigned cell, enum sim_death how, uint64_t back_after_ms);

/* --- sim_promise.c --- */

void promise_receipt(struct sim_life *l, unsigned segment, unsigned index, unsigned cell);
/* May the weather take these places? `taken(cell, segment, index)` in words: all of `cell`'s that
   came after `since_ms`. */
bool promise_bears(struct sim_life *l, unsigned cell, uint64_t since_ms);
bool promise_bears_one(struct sim_life *l, unsigned segment, unsigned index, unsigned cell);
/* They are gone. */
void promise_lose(struct sim_life *l, unsigned cell, uint64_t since_ms);
/* The cell's shards may be made elsewhere, by right: repair of them is no storm. */
void promise_excuse(struct sim_life *l, unsigned cell);
void promise_excuse_one(struct sim_life *l, unsigned segment);
/* What the directory says is taken up; nothing while the coordinator is away. Before it is stopped,
   and before an order that makes it forget. */
void promise_look(struct sim_life *l);
/* The same, and everything that runs is compared with what is owed. */
void promise_check(struct sim_life *l);
/* After the calm: every segment has all its shards again, where there is room for them. */
void promise_check_whole(struct sim_life *l);
/* Domains that could hold a shard of the owner's just now. */
unsigned promise_domains(const struct sim_life *l);
void promise_check_storm(struct sim_life *l);
/* Sees the coordinator's replies go by. */
void promise_watch(void *user, const char *path, uint64_t offset, uint8_t *bytes, size_t size);

/* --- sim_intruder.c --- */

void intruder_try(struct sim_life *l);

/* --- sim_vault.c --- */

/* An account with a vault, and its recovery from the phrase. After the trace's hash was taken. */
void vault_live(struct sim_life *l);
