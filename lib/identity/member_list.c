#include "identity/member_list_internal.h"

#include <assert.h>
#include <stdlib.h>

/* A member's least encoding: map, key 0 and 32 bytes, key 1 and an empty array, keys 3 and 5. */
enum { MEMBER_BYTES_MIN = 1 + 35 + 2 + 2 + 2 };

static int by_id(const void *a, const void *b)
{
    return id_compare(&((const struct member *)a)->id, &((const struct member *)b)->id);
}

void member_list_write_member(struct cbor_writer *w, const struct member *m)
{
    cbor_write_map(w);
    cbor_write_key(w, 0), cbor_write_bytes(w, slice_of(m->key, SIGN_PUBLIC_SIZE));
    cbor_write_key(w, 1), cbor_write_any(w, m->addresses);
    if (m->claimed)
        cbor_write_key(w, 2), cbor_write_id(w, &m->household);
    cbor_write_key(w, 3), cbor_write_u64(w, m->weight);
    if (m->site.size != 0)
        cbor_write_key(w, 4), cbor_write_text(w, m->site);
    cbor_write_key(w, 5), cbor_write_bool(w, m->eligible);
    cbor_write_end(w);
}

static void write_fields(struct cbor_writer *w, const struct member_list *list)
{
    cbor_write_key(w, 0), cbor_write_bytes(w, list->coordinator_doc);
    cbor_write_key(w, 1), cbor_write_u64(w, list->number);
    if (!id_is_zero(&list->previous))
        cbor_write_key(w, 2), cbor_write_id(w, &list->previous);
    cbor_write_key(w, 3), cbor_write_i64(w, list->time_s);
    cbor_write_key(w, 4), cbor_write_array(w);
    for (size_t i = 0; i < list->count; i++) {
        assert(i == 0 || by_id(&list->members[i - 1], &list->members[i]) < 0);
        member_list_write_member(w, &list->members[i]);
    }
    cbor_write_end(w);
}

void member_list_write_payload(struct cbor_writer *w, const struct member_list *list)
{
    cbor_write_map(w);
    write_fields(w, list);
    cbor_write_end(w);
}

enum err member_list_make(struct member_list *list, const struct swarm_root *swarm,
                          const struct sign_key *coordinator, struct buf *out)
{
    struct document_writer d;
    for (size_t i = 0; i < list->count; i++)
        sign_id(list->members[i].key, &list->members[i].id);
    if (list->count > 1)
        qsort(list->members, list->count, sizeof(*list->members), by_id);
    write_fields(document_begin(&d, LIMIT_MEMBER_LIST_BYTES), list);
    return document_end(&d, "members", swarm, coordinator, out);
}

void member_list_read_member(struct cbor_reader *r, struct member *m)
{
    struct address_list addresses;
    cbor_read_map(r);
    cbor_read_key(r, 0), cbor_read_fixed(r, m->key, SIGN_PUBLIC_SIZE);
    sign_id(m->key, &m->id);
    cbor_read_key(r, 1), m->addresses = cbor_read_any(r);
    if (r->e == ERR_OK && address_list_decode(m->addresses, &addresses) != ERR_OK)
        cbor_read_refuse(r, ERR_FORMAT);
    m->household = m->id;
    m->claimed = cbor_read_key_optional(r, 2);
    if (m->claimed)
        cbor_read_id(r, &m->household);
    cbor_read_key(r, 3), m->weight = (uint16_t)cbor_read_u32(r, UINT16_MAX);
    if (cbor_read_key_optional(r, 4)) {
        m->site = cbor_read_text(r, LIMIT_NAME_BYTES);
        if (m->site.size == 0)
            cbor_read_refuse(r, ERR_FORMAT);
    }
    cbor_read_key(r, 5), m->eligible = cbor_read_bool(r);
    cbor_read_end(r);
}

static int by_site(const void *a, const void *b)
{
    const struct member *x = *(const struct member *const *)a;
    const struct member *y = *(const struct member *const *)b;
    if (x->site.size != y->site.size)
        return x->site.size < y->site.size ? -1 : 1;
    return x->site.size == 0 ? 0 : memcmp(x->site.data, y->site.data, x->site.size);
}

static enum err number_sites(struct member_list *list)
{
    if (list->count == 0)
        return ERR_OK;
    struct member **order = calloc(list->count, sizeof(struct member *));
    if (order == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < list->count; i++)
        order[i] = &list->members[i];
    qsort(order, list->count, sizeof(struct member *), by_site);
    uint32_t number = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (order[i]->site.size != 0 && (i == 0 || by_site(&order[i - 1], &order[i]) != 0))
            number++;
        order[i]->site_number = order[i]->site.size != 0 ? number : 0;
    }
    free(order);
    return ERR_OK;
}

static void read_members(struct cbor_reader *r, struct member_list *list)
{
    size_t count = cbor_read_array(r, list->bytes.size / MEMBER_BYTES_MIN);
    if (count == 0) {
        cbor_read_end(r);
        return;
    }
    list->members = calloc(count, sizeof(*list->members));
    if (list->members == NULL) {
        cbor_read_refuse(r, ERR_NOMEM);
        return;
    }
    for (size_t i = 0; i < count && r->e == ERR_OK; i++) {
        member_list_read_member(r, &list->members[i]);
        if (i > 0 && by_id(&list->members[i - 1], &list->members[i]) >= 0)
            cbor_read_refuse(r, ERR_FORMAT);
    }
    cbor_read_end(r);
    list->count = count;
}

/* The certificate stands inside what its key signs, so it is looked up first. */
static enum err read_list(struct member_list *list, const struct swarm_root *swarm,
                          struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r =
        document_read(&d, "members", swarm, NULL, list->bytes, LIMIT_MEMBER_LIST_BYTES);
    cbor_read_key(r, 0), list->coordinator_doc = cbor_read_bytes(r, COORDINATOR_CERT_BYTES_MAX);
    if (r->e == ERR_OK) {
        enum err e = coordinator_cert_open(list->coordinator_doc, swarm, &list->coordinator, msg);
        if (e != ERR_OK)
            return err_wrap(msg, e, "the member list is refused");
        if (!id_equal(&list->coordinator.id, &d.signer))
            return err_say(msg, ERR_AUTH,
                           "the member list is refused: it is signed by another key "
                           "than that of its coordinator's certificate");
    }
    list->incarnation = list->coordinator.incarnation;
    cbor_read_key(r, 1), list->number = cbor_read_u64(r, UINT64_MAX);
    if (cbor_read_key_optional(r, 2))
        cbor_read_id(r, &list->previous);
    cbor_read_key(r, 3), list->time_s = cbor_read_i64(r);
    cbor_read_key(r, 4), read_members(r, list);
    return document_read_end(&d, msg, "the member list");
}

enum err member_list_open(struct slice bytes, const struct swarm_root *swarm,
                          struct member_list **out, struct errmsg *msg)
{
    enum err e = ERR_NOMEM;
    struct member_list *list = calloc(1, sizeof(*list));
    uint8_t *copy = malloc(bytes.size + 1);
    if (list == NULL || copy == NULL) {
        free(copy);
        goto failed;
    }
    if (bytes.size != 0)
        memcpy(copy, bytes.data, bytes.size);
    list->bytes = slice_of(copy, bytes.size);
    if ((e = read_list(list, swarm, msg)) != ERR_OK || (e = number_sites(list)) != ERR_OK)
        goto failed;
    document_hash(list->bytes, &list->hash);
    *out = list;
    return ERR_OK;
failed:
    member_list_free(list);
    return e == ERR_NOMEM ? err_say(msg, e, "no memory for the member list") : e;
}

void member_list_free(struct member_list *list)
{
    if (list == NULL)
        return;
    free(list->members);
    free((void *)(uintptr_t)list->bytes.data);
    free(list);
}

const struct member *member_list_find(const struct member_list *list, const struct id *cell)
{
    struct member wanted = {.id = *cell};
    if (list->count == 0)
        return NULL;
    return bsearch(&wanted, list->members, list->count, sizeof(*list->members), by_id);
}

int member_list_compare(const struct member_list *a, const struct member_list *b)
{
    if (a->incarnation != b->incarnation)
        return a->incarnation < b->incarnation ? -1 : 1;
    return a->number == b->number ? 0 : a->number < b->number ? -1 : 1;
}
