/*
 * Addresses of cells and coordinators: "host:port", host being a name, an IPv4 address or an IPv6
 * address in brackets. At most LIMIT_ADDRESSES of them, in the order in which they are to be tried.
 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "cbor/cbor_read.h"
#include "cbor/cbor_write.h"

struct address_list {
    size_t count;
    char text[LIMIT_ADDRESSES][LIMIT_ADDRESS_BYTES + 1];
};

/* Printable ASCII without blanks, a host, a colon, a port of 1..65535 without leading zeros. */
MUST_CHECK bool address_valid(const char *text);

/* An address that is there already is not added again. ERR_FORMAT, ERR_TOO_LARGE when full. */
MUST_CHECK enum err address_list_add(struct address_list *list, const char *text);

/* Pointers to the texts, for struct net_target; returns their count. Valid as long as the list. */
size_t address_list_pointers(const struct address_list *list, const char *out[LIMIT_ADDRESSES]);

/* As a field of a message: a CBOR array of texts. */
void address_list_write(struct cbor_writer *w, const struct address_list *list);
void address_list_read(struct cbor_reader *r, struct address_list *out);

/* The same as a CBOR item on its own (struct member, a registry's column). Appends; ERR_NOMEM. */
MUST_CHECK enum err address_list_encode(const struct address_list *list, struct buf *out);
MUST_CHECK enum err address_list_decode(struct slice item, struct address_list *out);
