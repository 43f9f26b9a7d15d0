/* Shared by member_list.c and member_changes.c only. */
#pragma once

#include "identity/member_list.h"

void member_list_write_member(struct cbor_writer *w, const struct member *member);
/* The payload's map, whole: what is signed. Members must be in order. */
void member_list_write_payload(struct cbor_writer *w, const struct member_list *list);
void member_list_read_member(struct cbor_reader *r, struct member *out);
