#include "snapshot/snapshot_cells.h"

void snapshot_cells_init(struct snapshot_cells *cells)
{
    *cells = (struct snapshot_cells){.table = BUF_INIT((size_t)SNAPSHOT_CELLS_MAX * ID_SIZE)};
}

void snapshot_cells_free(struct snapshot_cells *cells)
{
    buf_free(&cells->table);
    idmap_free(&cells->places);
}

static enum err number_of(struct snapshot_cells *cells, const struct id *cell, uint16_t *out)
{
    *out = SNAPSHOT_NO_CELL;
    if (id_is_zero(cell))
        return ERR_OK;
    uintptr_t place = (uintptr_t)idmap_get(&cells->places, cell);
    if (place == 0) {
        place = cells->table.size / ID_SIZE + 1;
        enum err e = buf_append(&cells->table, cell->bytes, ID_SIZE);
        if (e == ERR_OK && (e = idmap_set(&cells->places, cell, (void *)place)) != ERR_OK)
            cells->table.size -= ID_SIZE;
        if (e != ERR_OK)
            return e;
    }
    *out = (uint16_t)(place - 1);
    return ERR_OK;
}

enum err snapshot_cells_add(struct snapshot_cells *cells, const struct id *shards, size_t count,
                            struct buf *out_holders)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t number;
        enum err e = number_of(cells, &shards[i], &number);
        if (e == ERR_OK)
            e = buf_append_le16(out_holders, number);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

bool snapshot_cells_valid(struct slice table, struct slice holders)
{
    if (table.size % ID_SIZE != 0 || holders.size % 2 != 0 || holders.size > 2 * LIMIT_SHARDS)
        return false;
    for (size_t i = 0; i < holders.size; i += 2) {
        const uint16_t number = get_le16(holders.data + i);
        if (number != SNAPSHOT_NO_CELL && number >= table.size / ID_SIZE)
            return false;
    }
    return true;
}

struct id snapshot_cells_at(struct slice table, struct slice holders, size_t index)
{
    struct id cell = {{0}};
    const uint16_t number = get_le16(holders.data + 2 * index);
    if (number != SNAPSHOT_NO_CELL)
        memcpy(cell.bytes, table.data + (size_t)number * ID_SIZE, ID_SIZE);
    return cell;
}
