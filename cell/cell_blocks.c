#include "cell_internal.h"

#include <stdlib.h>

enum { SPARE_MAX = 8 };

struct spare {
    struct spare *next;
};

uint8_t *cell_block_take(struct cell *cell)
{
    struct spare *spare = cell->blocks.spare;
    if (!spare)
        return aligned_alloc(DISK_UNCACHED_ALIGN, CELL_BLOCK_BYTES);
    cell->blocks.spare = spare->next;
    cell->blocks.spare_count--;
    return (uint8_t *)spare;
}

void cell_block_give(struct cell *cell, uint8_t *block)
{
    struct spare *spare = (struct spare *)(void *)block;
    if (!block || cell->blocks.spare_count == SPARE_MAX) {
        free(block);
        return;
    }
    spare->next = cell->blocks.spare;
    cell->blocks.spare = spare;
    cell->blocks.spare_count++;
}

void cell_blocks_trim(struct cell *cell)
{
    for (struct spare *spare; (spare = cell->blocks.spare);) {
        cell->blocks.spare = spare->next;
        free(spare);
    }
    cell->blocks.spare_count = 0;
}
