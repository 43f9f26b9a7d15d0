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
    struct sim_sector *sector = file->pages[index].old;
    file->pages[index].old = NULL;
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
    for (size_t i = 0; i < file->page_count; i++) {
        free(file->pages[i].old);
        free(file->pages[i].now);
    }
    while (file->spare) {
        struct sim_sector *sector = file->spare;
        file->spare = sector->next_spare;
        free(sector);
    }
    free(file->pages);
    *file = (struct sim_file){0};
}

/* A range, page by page: the part of it that lies in page `index`. */
struct part {
    size_t index, from, size;
};

static struct part part_of(uint64_t offset, uint64_t left)
{
    struct part part = {.index = (size_t)(offset / SIM_SECTOR_BYTES),
                        .from = (size_t)(offset % SIM_SECTOR_BYTES)};
    part.size = SIM_SECTOR_BYTES - part.from;
    if (part.size > left)
        part.size = (size_t)left;
    return part;
}

size_t sim_file_read(const struct sim_file *file, uint64_t offset, void *out, size_t size)
{
    if (offset >= file->size)
        return 0;
    if (size > file->size - offset)
        size = (size_t)(file->size - offset);
    for (size_t done = 0; done < size;) {
        const struct part part = part_of(offset + done, size - done);
        const uint8_t *now = file->pages[part.index].now;
        if (now)
            memcpy((uint8_t *)out + done, now + part.from, part.size);
        else
            memset((uint8_t *)out + done, 0, part.size);
        done += part.size;
    }
    return size;
}

static void reserve(struct sim_file *file, uint64_t size)
{
    const size_t needed = (size_t)((size + SIM_SECTOR_BYTES - 1) / SIM_SECTOR_BYTES);
    if (needed <= file->page_count)
        return;
    size_t count = file->page_count ? 2 * file->page_count : 1;
    while (count < needed)
        count *= 2;
    file->pages = sim_world_grow(file->pages, file->page_count * sizeof(*file->pages),
                                 count * sizeof(*file->pages));
    file->page_count = count;
}

static uint8_t *page_of(struct sim_file *file, size_t index)
{
    if (!file->pages[index].now)
        file->pages[index].now = sim_world_alloc(SIM_SECTOR_BYTES);
    return file->pages[index].now;
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
        struct sim_page *page = &file->pages[i];
        if (!page->old) {
            page->old = new_sector(file);
            if (page->now)
                memcpy(page->old->platter, page->now, SIM_SECTOR_BYTES);
            else
                memset(page->old->platter, 0, SIM_SECTOR_BYTES);
        }
        page->old->dirty = true;
    }
}

void sim_file_write(struct sim_file *file, uint64_t offset, const void *data, size_t size)
{
    if (size == 0)
        return;
    reserve(file, offset + size);
    touch(file, offset, size);
    for (size_t done = 0; done < size;) {
        const struct part part = part_of(offset + done, size - done);
        memcpy(page_of(file, part.index) + part.from, (const uint8_t *)data + done, part.size);
        done += part.size;
    }
    if (offset + size > file->size)
        file->size = offset + size;
}

/* From here to the end of what is kept all bytes are zeros. */
static void clear_from(struct sim_file *file, uint64_t offset)
{
    const struct part part = part_of(offset, SIM_SECTOR_BYTES);
    for (size_t i = part.index; i < file->page_count; i++) {
        if (!file->pages[i].now)
            continue;
        if (i == part.index && part.from > 0) {
            memset(file->pages[i].now + part.from, 0, part.size);
            continue;
        }
        free(file->pages[i].now);
        file->pages[i].now = NULL;
    }
}

void sim_file_resize(struct sim_file *file, uint64_t size)
{
    if (size > file->size)
        reserve(file, size);
    else if (size < file->size) {
        touch(file, size, file->size - size);
        clear_from(file, size);
    }
    file->size = size;
}

void sim_file_sync(struct sim_file *file)
{
    size_t left = 0;
    for (size_t i = file->low; i < file->high; i++)
        if (file->pages[i].old && file->pages[i].old->dirty)
            drop_sector(file, i);
        else
            left += file->pages[i].old != NULL;
    if (left == 0)
        file->low = file->high = 0;
    file->durable_size = file->size;
}

void sim_file_lose(struct sim_file *file)
{
    for (size_t i = file->low; i < file->high; i++)
        if (file->pages[i].old)
            file->pages[i].old->dirty = false;
}

bool sim_file_is_durable(const struct sim_file *file)
{
    for (size_t i = file->low; i < file->high; i++)
        if (file->pages[i].old)
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
        struct sim_sector *sector = file->pages[i].old;
        if (!sector)
            continue;
        size_t kept = sector->dirty ? bytes_kept(mood, sim_world_next(random_state)) : 0;
        memcpy(page_of(file, i) + kept, sector->platter + kept, SIM_SECTOR_BYTES - kept);
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
    clear_from(file, file->size);
    file->durable_size = file->size;
    file->reserved = 0;
}

void sim_file_rot(struct sim_file *file, uint64_t offset, uint8_t flip)
{
    const struct part part = part_of(offset, 1);
    page_of(file, part.index)[part.from] ^= flip;
    struct sim_sector *sector = file->pages[part.index].old;
    if (sector)
        sector->platter[part.from] ^= flip;
}

void sim_file_copy(const struct sim_file *from, struct sim_file *to)
{
    reserve(to, from->size);
    for (size_t i = 0; i < to->page_count && i < from->page_count; i++)
        if (from->pages[i].now)
            memcpy(page_of(to, i), from->pages[i].now, SIM_SECTOR_BYTES);
    to->size = to->durable_size = from->size;
    to->reserved = from->reserved;
}

uint64_t sim_file_blocks_bytes(const struct sim_file *file)
{
    uint64_t size = file->size > file->reserved ? file->size : file->reserved;
    return (size + SIM_SECTOR_BYTES - 1) / SIM_SECTOR_BYTES * SIM_SECTOR_BYTES;
}
