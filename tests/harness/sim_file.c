#include "harness/sim_file.h"

#include "harness/sim_disk.h"
#include "harness/sim_internal.h"

#include <stdlib.h>

struct sim_sector {
    struct sim_sector *next_spare;
    bool dirty; /* else a failed fsync has marked it clean: it never gets to the platter */
    uint8_t platter[SIM_SECTOR_BYTES];
};

static void drop_sector(struct sim_file *file, size_t index)
{
    struct sim_sector *sector = file->sectors[index];
    file->sectors[index] = NULL;
    sector->next_spare = file->spare;
    file->spare = sector;
}

static struct sim_sector *new_sector(struct sim_file *file)
{
    struct sim_sector *sector = file->spare;
    if (!sector)
        return sim_world_alloc(sizeof(*sector));
    file->spare = sector->next_spare;
    return sector;
}

void sim_file_free(struct sim_file *file)
{
    for (size_t i = file->low; i < file->high; i++)
        free(file->sectors[i]);
    while (file->spare) {
        struct sim_sector *sector = file->spare;
        file->spare = sector->next_spare;
        free(sector);
    }
    free(file->sectors);
    free(file->data);
    *file = (struct sim_file){0};
}

size_t sim_file_read(const struct sim_file *file, uint64_t offset, void *out, size_t size)
{
    if (offset >= file->size)
        return 0;
    if (size > file->size - offset)
        size = (size_t)(file->size - offset);
    if (size)
        memcpy(out, file->data + offset, size);
    return size;
}

static void reserve(struct sim_file *file, uint64_t size)
{
    if (size <= file->capacity)
        return;
    uint64_t capacity = file->capacity ? 2 * file->capacity : SIM_SECTOR_BYTES;
    while (capacity < size)
        capacity *= 2;
    file->data = sim_world_grow(file->data, (size_t)file->capacity, (size_t)capacity);
    file->capacity = capacity;
    size_t count = (size_t)(capacity / SIM_SECTOR_BYTES);
    file->sectors = sim_world_grow(file->sectors, file->sector_count * sizeof(*file->sectors),
                                   count * sizeof(*file->sectors));
    file->sector_count = count;
}

/* Before bytes of this range change: remembers how the platter reads. */
static void touch(struct sim_file *file, uint64_t offset, uint64_t size)
{
    if (size == 0)
        return;
    size_t first = (size_t)(offset / SIM_SECTOR_BYTES);
    size_t end = (size_t)((offset + size - 1) / SIM_SECTOR_BYTES) + 1;
    bool none = file->low == file->high;
    file->low = none || first < file->low ? first : file->low;
    file->high = none || end > file->high ? end : file->high;
    for (size_t i = first; i < end; i++) {
        if (!file->sectors[i]) {
            file->sectors[i] = new_sector(file);
            memcpy(file->sectors[i]->platter, file->data + i * SIM_SECTOR_BYTES, SIM_SECTOR_BYTES);
        }
        file->sectors[i]->dirty = true;
    }
}

void sim_file_write(struct sim_file *file, uint64_t offset, const void *data, size_t size)
{
    if (size == 0)
        return;
    reserve(file, offset + size);
    touch(file, offset, size);
    memcpy(file->data + offset, data, size);
    if (offset + size > file->size)
        file->size = offset + size;
}

void sim_file_resize(struct sim_file *file, uint64_t size)
{
    if (size > file->size)
        reserve(file, size);
    else {
        touch(file, size, file->size - size);
        if (file->size > size)
            memset(file->data + size, 0, (size_t)(file->size - size));
    }
    file->size = size;
}

void sim_file_sync(struct sim_file *file)
{
    size_t left = 0;
    for (size_t i = file->low; i < file->high; i++)
        if (file->sectors[i] && file->sectors[i]->dirty)
            drop_sector(file, i);
        else
            left += file->sectors[i] != NULL;
    if (left == 0)
        file->low = file->high = 0;
    file->durable_size = file->size;
}

void sim_file_lose(struct sim_file *file)
{
    for (size_t i = file->low; i < file->high; i++)
        if (file->sectors[i])
            file->sectors[i]->dirty = false;
}

bool sim_file_is_durable(const struct sim_file *file)
{
    for (size_t i = file->low; i < file->high; i++)
        if (file->sectors[i])
            return false;
    return file->size == file->durable_size;
}

/* How much of a dirty sector got to the platter. */
static size_t bytes_kept(unsigned mood, uint64_t draw)
{
    if (mood == 0)
        return 0;
    if (mood == 1)
        return SIM_SECTOR_BYTES;
    unsigned fate = (unsigned)(draw % 4);
    if (fate < 2)
        return fate ? SIM_SECTOR_BYTES : 0;
    return (size_t)(draw / 4 % (SIM_SECTOR_BYTES / 512 + 1)) * 512;
}

void sim_file_crash(struct sim_file *file, uint64_t random_state[4])
{
    unsigned mood = (unsigned)(sim_world_next(random_state) % 4); /* lost, kept, else a mix */
    for (size_t i = file->low; i < file->high; i++) {
        struct sim_sector *sector = file->sectors[i];
        if (!sector)
            continue;
        size_t kept = sector->dirty ? bytes_kept(mood, sim_world_next(random_state)) : 0;
        memcpy(file->data + i * SIM_SECTOR_BYTES + kept, sector->platter + kept,
               SIM_SECTOR_BYTES - kept);
        drop_sector(file, i);
    }
    file->low = file->high = 0;
    if (file->size != file->durable_size) {
        uint64_t low = file->size < file->durable_size ? file->size : file->durable_size;
        uint64_t high = file->size > file->durable_size ? file->size : file->durable_size;
        uint64_t size = low + sim_world_next(random_state) % (high - low + 1);
        uint64_t draw = sim_world_next(random_state);
        if (mood == 0)
            size = file->durable_size;
        else if (mood == 1)
            size = file->size;
        else if (draw % 2 == 0)
            size = draw % 4 ? low : high;
        file->size = size;
    }
    if (file->capacity > file->size)
        memset(file->data + file->size, 0, (size_t)(file->capacity - file->size));
    file->durable_size = file->size;
    file->reserved = 0;
}

void sim_file_rot(struct sim_file *file, uint64_t offset, uint8_t flip)
{
    file->data[offset] ^= flip;
    struct sim_sector *sector = file->sectors[offset / SIM_SECTOR_BYTES];
    if (sector)
        sector->platter[offset % SIM_SECTOR_BYTES] ^= flip;
}

void sim_file_copy(const struct sim_file *from, struct sim_file *to)
{
    if (from->size) {
        reserve(to, from->size);
        memcpy(to->data, from->data, (size_t)from->size);
    }
    to->size = to->durable_size = from->size;
    to->reserved = from->reserved;
}

uint64_t sim_file_blocks_bytes(const struct sim_file *file)
{
    uint64_t size = file->size > file->reserved ? file->size : file->reserved;
    return (size + SIM_SECTOR_BYTES - 1) / SIM_SECTOR_BYTES * SIM_SECTOR_BYTES;
}
