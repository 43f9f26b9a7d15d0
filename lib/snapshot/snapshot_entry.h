/*
 * Tree nodes: a directory's entries, each with everything that a restore needs
 * (docs/format-snapshot.md).
 *
 * A node is a run of deterministic CBOR items: the number 1 (the version), then one map an entry,
 * in the byte order of their names. An entry's bytes depend on nothing but the entry, so they can
 * be kept and copied into the next node as they are. A directory of many entries has several nodes,
 * cut where snapshot_node_full() says; its content (snapshot_list.h) names them in order.
 *
 *     snapshot_node_start(&node);
 *     for each entry in the order of names
 *         snapshot_entry_encode(&entry, &bytes)        // or what is kept from the last time
 *         buf_append(&node, bytes)
 *         if (snapshot_node_full(node.size, entry.name)) ... store the node, start another
 *
 *     struct snapshot_node_reader r;
 *     snapshot_node_open(&r, bytes);
 *     while ((e = snapshot_node_next(&r, &entry)) == ERR_OK) ...    // then ERR_END
 *
 * Decoding allocates nothing; slices point into the bytes given.
 */
#pragma once

#include "cbor/cbor_read.h"
#include "snapshot/snapshot_list.h"

enum {
    SNAPSHOT_NODE_VERSION = 1,
    SNAPSHOT_ENTRY_BYTES_MAX = 1 << 20,
    SNAPSHOT_NODE_CUT_MIN_BYTES = 256 << 10,
    SNAPSHOT_NODE_CUT_MAX_BYTES = 1 << 20,
    SNAPSHOT_NODE_BYTES_MAX = SNAPSHOT_NODE_CUT_MAX_BYTES + SNAPSHOT_ENTRY_BYTES_MAX,
    SNAPSHOT_INLINE_RUNS = 128,
    SNAPSHOT_RUN_SIZE = 16,
    SNAPSHOT_RUNS_MAX = 65536,
    SNAPSHOT_XATTRS_MAX = 1024,
};

/* Types have the numbers of fs/fs_entry.h: 1 file, 2 directory, 3 symbolic link, 4 FIFO, 6 block
   device, 7 character device. */
enum { SNAPSHOT_TYPE_FILE = 1, SNAPSHOT_TYPE_DIRECTORY = 2, SNAPSHOT_TYPE_SYMLINK = 3 };

struct snapshot_entry {
    struct slice name; /* empty for the root directory alone; no '/', no NUL */
    uint8_t type;
    uint32_t mode, uid, gid;
    struct slice user, group; /* names, bytes; may be empty */
    uint64_t size;            /* of a file's content, holes included; of a link's target */
    int64_t mtime_s, ctime_s;
    uint32_t mtime_ns, ctime_ns;
    uint64_t inode;
    uint64_t device;                 /* 0 when links is 1: only to know hard links by */
    uint32_t links;                  /* 1 and more */
    uint32_t rdev_major, rdev_minor; /* of devices */
    uint32_t inode_flags;
    struct slice target; /* of a symbolic link */
    struct slice xattrs; /* encoded: snapshot_xattrs_encode(); empty when there are none */
    struct snapshot_content
        content; /* of a file: its data runs joined; of a directory: its nodes */
    /* of a file with holes, where its data lies: le64 offset ‖ le64 size a run, in order. More than
       SNAPSHOT_INLINE_RUNS are a chunk of their own (type list), named by runs_ref. */
    bool sparse;
    struct slice runs;
    struct snapshot_ref runs_ref; /* bytes 0: they stand in `runs` */
};

/* Appends. TOO_LARGE when it has more than SNAPSHOT_ENTRY_BYTES_MAX bytes (then its attributes have
   to go); NOMEM. */
MUST_CHECK enum err snapshot_entry_encode(const struct snapshot_entry *entry, struct buf *out);

/* One entry by itself, as it was kept. */
MUST_CHECK enum err snapshot_entry_decode(struct slice bytes, struct snapshot_entry *out,
                                          struct errmsg *msg);

struct snapshot_xattr {
    struct slice name, value;
};

/* Replaces what is in `out`. `list` is sorted by name. */
MUST_CHECK enum err snapshot_xattrs_encode(const struct snapshot_xattr *list, size_t count,
                                           struct buf *out);
/* Walks entry.xattrs; false at the end. They were checked when the entry was decoded. */
struct snapshot_xattrs {
    struct cbor_reader reader;
    size_t left;
};
void snapshot_xattrs_open(struct snapshot_xattrs *xattrs, struct slice bytes);
MUST_CHECK bool snapshot_xattrs_next(struct snapshot_xattrs *xattrs, struct snapshot_xattr *out);

/* Runs as bytes: of inline ones, and of the chunk that runs_ref names. ERR_FORMAT when they are not
   in order, touch or overlap, or reach beyond `size`. */
MUST_CHECK enum err snapshot_runs_check(struct slice runs, uint64_t size, uint64_t *out_data_bytes);
MUST_CHECK enum err snapshot_run_append(struct buf *runs, uint64_t offset, uint64_t size);
void snapshot_run_at(struct slice runs, size_t index, uint64_t *offset, uint64_t *size);

/* --- nodes --- */

MUST_CHECK enum err snapshot_node_start(struct buf *node); /* replaces what is in it */

/* Is a node of so many bytes, whose newest entry has this name, to be ended here? */
bool snapshot_node_full(size_t node_bytes, struct slice last_name);

struct snapshot_node_reader {
    struct slice bytes; /* borrowed */
    size_t at;
    struct slice last_name;
};

/* ERR_VERSION, ERR_FORMAT. */
MUST_CHECK enum err snapshot_node_open(struct snapshot_node_reader *reader, struct slice bytes);

/* ERR_OK and an entry, whose own bytes are *out_bytes (may be NULL); ERR_END; ERR_FORMAT when it is
   no entry, or its name does not come behind the one before. */
MUST_CHECK enum err snapshot_node_next(struct snapshot_node_reader *reader,
                                       struct snapshot_entry *out, struct slice *out_bytes,
                                       struct errmsg *msg);
