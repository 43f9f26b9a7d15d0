/*
 * An array inside a decoded message.
 *
 * Every wire_*_decode() checks the whole message, the items of its arrays too, and then gives such
 * an array as a list that is walked with the message's own wire_*_next(): nothing is allocated,
 * nothing can fail any more, and the items borrow from the message's bytes.
 *
 *     while (wire_ids_next(&ids, &id))
 *         ...
 *
 * A copy of the struct is a second walk from where the first one stands.
 */
#pragma once

#include "cbor/cbor_read.h"

struct wire_list {
    struct cbor_reader reader; /* private: stands in front of the next item */
    uint32_t count;            /* items in the array, however many were taken */
    uint32_t taken;            /* private */
};

/* --- for this room's own files --- */

/* Reads one item; with `out` NULL it is only checked. */
typedef void wire_item_fn(struct cbor_reader *r, void *out);

/* Takes the array that is next in `r`, at most `count_max` items, and checks each with `item`. */
void wire_list_read(struct cbor_reader *r, size_t count_max, wire_item_fn *item,
                    struct wire_list *out);

/* The next item into `out`; false at the end. */
bool wire_list_next(struct wire_list *list, wire_item_fn *item, void *out);
