/* The bytes of one simulated file, now and as they are on the platter; for sim_disk only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_sector; /* what differs from the platter, and how the platter reads */

/* A file grows page by page, so that nothing is copied when it does. */
struct sim_page {
    uint8_t *now;           /* owned; NULL: zeros */
    struct sim_sector *old; /* owned; NULL: as on the platter */
};

struct sim_file {
    struct sim_page *pages; /* owned, of SIM_SECTOR_BYTES each; zeros from `size` on */
    size_t page_count;      /* of the array */
    uint64_t size;
    uint64_t reserved; /* by allocate */
    uint64_t durable_size;
    size_t low, high;         /* all that differ lie in [low, high) */
    struct sim_sector *spare; /* owned, a chain: to be used again */
};

void sim_file_free(struct sim_file *file); /* what it owns */

size_t sim_file_read(const struct sim_file *file, uint64_t offset, void *out, size_t size);
void sim_file_write(struct sim_file *file, uint64_t offset, const void *data, size_t size);
void sim_file_resize(struct sim_file *file, uint64_t size);

void sim_file_sync(struct sim_file *file);
/* What a failed fsync leaves: clean pages that are not on the platter. */
void sim_file_lose(struct sim_file *file);
bool sim_file_is_durable(const struct sim_file *file);

/* The power is cut; `random_state` decides. */
void sim_file_crash(struct sim_file *file, uint64_t random_state[4]);

/* Changes a byte on the platter and in the cache. */
void sim_file_rot(struct sim_file *file, uint64_t offset, uint8_t flip);

/* A durable copy into a zeroed file. */
void sim_file_copy(const struct sim_file *from, struct sim_file *to);

uint64_t sim_file_blocks_bytes(const struct sim_file *file);
