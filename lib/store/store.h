/*
 * What a cell holds for others: shard files below DATA/shards, and a catalogue of them in SQLite.
 *
 * A shard on its way (the order is what a receipt stands for):
 *
 *     store_put_begin()    rights were checked by the caller; space is reserved, a temp file made
 *     store_put_write()    payload in order, hashed leaf by leaf, any thread, one at a time
 *     store_put_seal()     root == the one in the segment's header; file header written; fsync
 *     store_put_commit()   several at once: rename, fsync of directories, one catalogue transaction
 *     (then the caller signs the receipt)
 *
 * begin, commit, abort, and everything that asks the catalogue run on the store's lane (one thread
 * at a time, port/work.h); write, seal and the store_file_*() functions touch the disk alone and
 * may run anywhere.
 *
 * The catalogue is derived: store_open() makes it anew from the shard files when it is missing or
 * damaged, and after an unclean end looks for files that it does not know. After a failed fsync
 * nothing is stored any more until the next start (ERR_READ_ONLY): the kernel may have dropped what
 * it could not write. What is damaged goes to DATA/quarantine and stays in the catalogue as such.
 *
 * A file DATA/shards/marker names the cell. When it is missing, the disk that should be here is not
 * mounted: store_open() says ERR_STATE, and later whatever finds a file missing looks for the
 * marker first and says ERR_BUSY (store_present()): the cell must stay silent rather than report a
 * loss.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/log.h"
#include "port/disk.h"
#include "port/random.h"

struct store;
struct store_put;
struct store_file;
struct db;

enum { STORE_GRANT_ID_SIZE = 16 };
#define STORE_RESERVE_BYTES  MIB(64)        /* kept free on the disk for everything but shards */
#define STORE_CATALOGUE_NAME "catalogue.db" /* below DATA; catalogue_path ends in it */

struct store_options {
    const struct disk *disk; /* DATA; borrowed for the store's life */
    const struct random *random;
    const struct log *log;      /* may be NULL */
    const char *catalogue_path; /* for SQLite, through `vfs` (NULL: the system's) */
    const char *vfs;
    struct id cell;         /* for the marker */
    bool first_start;       /* makes directories and the marker */
    uint64_t give_bytes;    /* most that shard files may use */
    uint64_t reserve_bytes; /* 0: STORE_RESERVE_BYTES */
};

/* Errors besides those of db and disk: STATE when the marker is missing or another cell's. */
MUST_CHECK enum err store_open(const struct store_options *options, struct store **out,
                               struct errmsg *msg);
/* NULL does nothing. Nothing may be under way. */
void store_close(struct store *store);

/* Any thread. BUSY: the marker is not there (any more), so neither is the disk. */
MUST_CHECK enum err store_present(struct store *store, struct errmsg *msg);

struct store_usage {
    uint64_t give_bytes;     /* as set */
    uint64_t used_bytes;     /* shard files, with their headers */
    uint64_t reserved_bytes; /* for shards on their way */
    uint64_t free_bytes;     /* that new shards may still take: by gift and by disk, the smaller */
    uint64_t shard_count;    /* stored and whole */
    uint64_t damaged_count;  /* in quarantine */
    bool read_only;          /* after a failed fsync */
};
MUST_CHECK enum err store_usage(struct store *store, struct store_usage *out, struct errmsg *msg);
/* Takes effect for the next shard; what is stored stays. */
void store_set_give(struct store *store, uint64_t give_bytes);

/* --- storing --- */

struct store_admission {
    struct id segment;
    unsigned index;
    struct slice header; /* the segment's; store_put_begin() checks that `segment` is its hash */
    struct slice record; /* the device-signed segment record */
    uint8_t grant[STORE_GRANT_ID_SIZE];
    uint64_t grant_bytes; /* most that this cell stores under the grant */
    int64_t grant_expires_s;
    int64_t now_s;
};

/* Lane. CORRUPT: header and name do not match, or the index is not below k + m. EXISTS: it is
   stored already, whole (it was read and compared just now). BUSY: another request is storing it
   right now. QUOTA: more than the grant allows. FULL: more than is given, or than the disk has.
   DENIED: the segment was deleted.
 */
MUST_CHECK enum err store_put_begin(struct store *store, const struct store_admission *admission,
                                    struct store_put **out, struct errmsg *msg);

uint32_t store_put_bytes(const struct store_put *put); /* length of the payload */

/* Any thread, one call at a time, in order, any sizes. TOO_LARGE beyond the payload's length. */
MUST_CHECK enum err store_put_write(struct store_put *put, struct slice bytes, struct errmsg *msg);

/* Any thread, after the last byte. CORRUPT: the payload is not what the segment's name says.
   FORMAT: bytes are missing. IO: fsync failed, and the store is read-only from here on. */
MUST_CHECK enum err store_put_seal(struct store_put *put, struct errmsg *msg);

/* Lane. Makes sealed puts durable in one go and frees them; errors[i] is the i-th one's. */
void store_put_commit(struct store *store, struct store_put **puts, size_t count, enum err *errors,
                      struct errmsg *msg);

/* Lane. Removes the temp file, gives the space back and frees it. NULL does nothing. */
void store_put_abort(struct store *store, struct store_put *put);

/* --- reading: the disk alone --- */

/* Any thread. NOT_FOUND; CORRUPT when the file's own header does not hold; BUSY when the disk is
   not there. */
MUST_CHECK enum err store_file_open(struct store *store, const struct id *segment, unsigned index,
                                    struct store_file **out, struct errmsg *msg);
void store_file_close(struct store_file *file);                /* NULL does nothing */
struct slice store_file_header(const struct store_file *file); /* the segment's; borrowed */
struct slice store_file_record(const struct store_file *file);
const uint8_t *store_file_leaves(const struct store_file *file); /* leaf hashes, 32 bytes each */
uint32_t store_file_leaf_count(const struct store_file *file);
uint32_t store_file_bytes(const struct store_file *file); /* length of the payload */
/* Exactly `size` bytes of the payload; CORRUPT when the file ends before. */
MUST_CHECK enum err store_file_read(struct store_file *file, uint64_t offset, void *out,
                                    size_t size, struct errmsg *msg);

/* --- asking the catalogue: lane --- */

enum store_state { STORE_WHOLE = 1, STORE_DAMAGED = 2 };

struct store_shard {
    struct id segment, account;
    unsigned index;
    uint32_t shard_bytes;
    enum store_state state;
    uint8_t grant[STORE_GRANT_ID_SIZE];
    int64_t receipt_s; /* when it was last stored, or found to be here, for a receipt: now_s of the
                          admission; 0: not known (the catalogue was made anew) */
};
/* Return ERR_OK to go on; anything else ends the call and is returned. */
typedef enum err store_shard_fn(void *user, const struct store_shard *shard);

/* Every shard of `segment` that is here; none is no error. */
MUST_CHECK enum err store_segment(struct store *store, const struct id *segment,
                                  store_shard_fn *each, void *user, struct errmsg *msg);
/* In the order of (segment, index), those after `after`/`after_index` (NULL: from the first), at
   most `max`. `account` NULL: everybody's. */
MUST_CHECK enum err store_list(struct store *store, const struct id *account,
                               const struct id *after, unsigned after_index, size_t max,
                               store_shard_fn *each, void *user, struct errmsg *msg);
/* Those in quarantine, at most `max`. Reads the whole catalogue. */
MUST_CHECK enum err store_damaged(struct store *store, size_t max, store_shard_fn *each, void *user,
                                  struct errmsg *msg);
/* What was stored under a grant. */
MUST_CHECK enum err store_grant_spent(struct store *store, const uint8_t grant[STORE_GRANT_ID_SIZE],
                                      uint64_t *out_bytes, struct errmsg *msg);

/* Somebody found a shard to be wrong or missing, or the scrub did: moves it to the quarantine, and
   counts it as damaged. NOT_FOUND: the catalogue has no such shard. BUSY: the disk is not there. */
MUST_CHECK enum err store_quarantine(struct store *store, const struct id *segment, unsigned index,
                                     struct errmsg *msg);

/* --- removal: lane. store_removal.c --- */

/*
 * A segment that its account deletes is *marked* first: its bytes stay, count, and can be read, new
 * shards of it are refused; until the hold is over the mark can be taken back. Then it is *freed*:
 * its name is dead for good, its rows and files are gone. The store keeps no clock: moments are the
 * caller's, of two kinds that both have to pass.
 */
struct store_moment {
    uint64_t run_ms;  /* time for which this cell has run, all its lives together */
    int64_t signed_s; /* by the newest signed member list */
};

struct store_removal {
    struct id segment; /* an argument of its own to store_removal_mark() */
    struct id account;
    struct id signer;  /* of the order */
    bool by_root;      /* the account's root signed it */
    uint64_t sequence; /* of the order, among its signer's */
    struct store_moment ends;
};

/* Marks those of `segments` of which this account has shards here, in one transaction; *marked: how
   many of them are marked now. One that was marked before keeps the earlier end. What was taken
   back is marked again only by an order of a higher sequence (or another signer): an old order that
   is shown once more does nothing. */
MUST_CHECK enum err store_removal_mark(struct store *store, const struct store_removal *removal,
                                       const struct id *segments, size_t count, uint32_t *marked,
                                       struct errmsg *msg);
/* Takes marks back: of `segments`, or of all that wait (NULL). *undone: how many. */
MUST_CHECK enum err store_removal_undo(struct store *store, const struct id *account,
                                       const struct id *segments, size_t count, uint32_t *undone,
                                       struct errmsg *msg);
/* Marked segments whose end has come, up to `max`. */
MUST_CHECK enum err store_removal_due(struct store *store, const struct store_moment *now,
                                      struct store_removal *out, size_t max, size_t *count,
                                      struct errmsg *msg);
/* Frees them: durable first (one transaction for all), then the files go. A process that dies in
   between leaves files of dead names, which the next start removes. */
MUST_CHECK enum err store_removal_free(struct store *store, const struct id *segments, size_t count,
                                       struct errmsg *msg);

struct store_removal_state {
    uint64_t waiting_count, waiting_bytes; /* segments that are marked; their files */
    uint64_t dead_count;                   /* names that were freed */
    uint64_t moved_count;                  /* shards that wait for store_drop_due() */
    uint64_t next_run_ms; /* earliest end among what waits, of either kind; 0: nothing does */
};
MUST_CHECK enum err store_removal_state(struct store *store, struct store_removal_state *out,
                                        struct errmsg *msg);

/* Names that were freed, in their order, those after `after` (NULL: from the first), at most `max`.
   `account` is zero where it is not known. */
typedef enum err store_dead_fn(void *user, const struct id *segment, const struct id *account);
MUST_CHECK enum err store_removal_dead(struct store *store, const struct id *after, size_t max,
                                       store_dead_fn *each, void *user, struct errmsg *msg);

enum store_name { STORE_NAME_LIVE, STORE_NAME_WAITING, STORE_NAME_DEAD };
/* What has become of a segment's name here; *account (may be NULL) is that of a dead or waiting
   one. */
MUST_CHECK enum err store_removal_name(struct store *store, const struct id *segment,
                                       enum store_name *out, struct id *account,
                                       struct errmsg *msg);

/* One shard that lives elsewhere now is freed, whole or damaged: its row, then its file. The
   segment lives on, and its shard may come back. NOT_FOUND: there is none. STALE: it came (back) at
   `before_s` or later, so this is about another time. */
MUST_CHECK enum err store_drop(struct store *store, const struct id *segment, unsigned index,
                               int64_t before_s, struct errmsg *msg);

/* The same for a shard that is whole, but after a hold: until `ends` it can be read, and whoever
   gets a new receipt for it keeps it. One that is damaged is freed at once. */
MUST_CHECK enum err store_drop_later(struct store *store, const struct id *segment, unsigned index,
                                     int64_t before_s, const struct store_moment *ends,
                                     struct errmsg *msg);
/* Frees those whose hold is over, a batch of them. *freed: how many. */
MUST_CHECK enum err store_drop_due(struct store *store, const struct store_moment *now,
                                   size_t *freed, struct errmsg *msg);

/* --- leases: lane. store_lease.c --- */

struct store_lease {
    struct id account;
    struct store_moment began;
    uint64_t sequence; /* the highest counter of a renewal that was brought here; 0: none was */
    bool ended;        /* its segments are marked */
};

/* Accounts that have (had) shards here and no lease yet have one from now on. */
MUST_CHECK enum err store_lease_begin(struct store *store, const struct store_moment *now,
                                      struct errmsg *msg);
/* Those that began at `before` or earlier on both clocks, the oldest first. */
MUST_CHECK enum err store_lease_old(struct store *store, const struct store_moment *before,
                                    struct store_lease *out, size_t max, size_t *count,
                                    struct errmsg *msg);
/* A renewal with this counter: if it is higher than the last, the lease begins anew, at `began` or
   where it did if that is later, and what its end had marked is taken back. Counter 0: one of which
   the coordinator says when it came; it counts if `began` is later by the signed clock. *renewed:
   it did. */
MUST_CHECK enum err store_lease_renew(struct store *store, const struct id *account,
                                      const struct store_moment *began, uint64_t sequence,
                                      bool *renewed, struct errmsg *msg);
/* The lease is over: all the account's segments are marked as if its root had said so, with that
   end of the hold. */
MUST_CHECK enum err store_lease_end(struct store *store, const struct id *account,
                                    const struct store_moment *hold_ends, struct errmsg *msg);

/* --- scrub: lane --- */

struct store_scrub {
    uint64_t bytes;           /* read in this step */
    bool found_damage;        /* `shard` was damaged and is in quarantine now */
    bool cycle_done;          /* this step ended a cycle */
    struct store_shard shard; /* the one that was read; index LIMIT_SHARDS when there is none */
};
/* Reads one shard from the disk (not from the page cache), compares it with its leaf hashes and its
   segment's name. Starts at a random place, goes round, and goes on there after a restart. */
MUST_CHECK enum err store_scrub_step(struct store *store, int64_t now_s, struct store_scrub *out,
                                     struct errmsg *msg);
struct store_scrub_state {
    int64_t cycle_began_s;                          /* 0: none is running */
    int64_t last_cycle_began_s, last_cycle_ended_s; /* 0: never */
    uint64_t checked, total;                        /* shards of this cycle */
};
MUST_CHECK enum err store_scrub_state(struct store *store, struct store_scrub_state *out,
                                      struct errmsg *msg);

/* The catalogue's database, for documents/: the cell keeps accounts' documents and its own facts
   there. Lane. */
struct db *store_db(struct store *store);
