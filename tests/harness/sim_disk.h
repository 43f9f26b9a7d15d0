/*
 * The disk of a simulated node (port/disk.h): files in memory that a power cut treats as a real
 * disk would.
 *
 * Durability. A file's bytes and size are durable after disk_sync() of that file; names (create,
 * rename, remove, make_dir) after disk_sync_dir() of the directory they stand in. A rename from one
 * directory to another is durable, as a whole, after a sync of either one. Syncing a new file does
 * not make its name durable, and syncing a directory does not make its own name durable.
 *
 * At a power cut (sim_node_crash(SIM_POWER) or sim_disk_crash) everything else is drawn from the
 * seed, for each crash and each file anew:
 *     bytes   of each 4 KiB sector: the old ones, the new ones, or new ones up to a multiple of 512
 *             and old ones after it (torn)
 *     size    old, new, or between; sectors that were lost read as zeros
 *     names   none of the changes, all, those up to some moment (a journal), or any subset; one
 *             change happens wholly or not at all
 *
 * A failed sync (injected) does what Linux does: it says ERR_IO once and marks the pages clean.
 * They read back as written, the next sync says ERR_OK, and they are gone after the power cut.
 *
 * Space is counted in blocks of 4 KiB, of the larger of a file's size and what disk_allocate()
 * reserved; allocate grows the file's size, as fallocate(2) does.
 */
#pragma once

#include "harness/fault.h"
#include "harness/sim_node.h"

enum { SIM_SECTOR_BYTES = 4096 };

/* Kinds of operations, for faults. Opening for reading, info, size, list and space are LOOKs. */
enum sim_disk_operation {
    SIM_DISK_LOOK = 1,
    SIM_DISK_READ = 2,
    SIM_DISK_WRITE = 4, /* also allocate and truncate */
    SIM_DISK_SYNC = 8,  /* also of directories */
    SIM_DISK_NAME = 16, /* create, rename, remove, make_dir */
    SIM_DISK_ANY = 31,
};

/* Power cut as far as the disk goes: all open files become unusable (ERR_IO). The node may live. */
void sim_disk_crash(struct sim_node *node);

/* Makes everything durable, as `sync` does. */
void sim_disk_sync_all(struct sim_node *node);

void sim_disk_set_capacity(struct sim_node *node, uint64_t bytes); /* 0: no limit (1 TiB shown) */
void sim_disk_set_read_only(struct sim_node *node, bool read_only);

/* Operations of these kinds ask `fault` (borrowed; NULL: none) and fail with `e`. A write that
   fails may have written a part; a sync that fails loses what it should have synced. */
void sim_disk_fail(struct sim_node *node, unsigned operations, struct fault *fault, enum err e);

/* The disk is not mounted: an empty directory stands where the files were, and back again. Open
   files become unusable. */
void sim_disk_hide(struct sim_node *node, bool hide);

/* Bit rot: changes each of these bytes. ERR_NOT_FOUND; ERR_USAGE when they are not in the file. */
MUST_CHECK enum err sim_disk_rot(struct sim_node *node, const char *path, uint64_t offset,
                                 uint64_t size);
/* Rots one byte of one file of `size_min` bytes or more, drawn from the world's test stream; writes
   its path ("" when there is none). */
void sim_disk_rot_any(struct sim_node *node, uint64_t size_min, char *out_path, size_t path_size);

/* A copy of the whole disk as it is now, and going back to it (an old image). All of it is durable
   then; open files become unusable. */
struct sim_disk_image;
struct sim_disk_image *sim_disk_save(struct sim_node *node);
void sim_disk_load(struct sim_node *node, const struct sim_disk_image *image);
void sim_disk_image_free(struct sim_disk_image *image); /* NULL does nothing */

struct sim_disk_counters {
    uint64_t reads, writes, syncs, names;
    uint64_t read_bytes, written_bytes;
    uint64_t used_bytes;     /* now */
    uint64_t unsynced_files; /* files with bytes that a power cut could take, now */
    uint64_t unsynced_names; /* changes of names that it could take, now */
    uint32_t open_files;
};

void sim_disk_counters(const struct sim_node *node, struct sim_disk_counters *out);
