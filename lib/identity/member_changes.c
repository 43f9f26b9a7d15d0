#include "identity/member_changes.h"

#include "crypto/sha256.h"
#include "identity/member_list_internal.h"

#include <stdlib.h>

uint64_t member_changes_digest(const struct member *member)
{
    uint8_t hash[SHA256_SIZE] = {0};
    struct buf bytes = BUF_INIT(64 << 10);
    struct cbor_writer w = cbor_write_into(&bytes);
    member_list_write_member(&w, member);
    if (cbor_write_finish(&w) == ERR_OK)
        sha256(buf_slice(&bytes), hash);
    buf_free(&bytes);
    return get_le64(hash);
}

/* --- making --- */

/* The envelope's key and signature, of a document that was opened. */
static enum err read_envelope(struct slice bytes, uint8_t key[SIGN_PUBLIC_SIZE],
                              uint8_t signature[SIGN_SIZE])
{
    struct cbor_reader r = cbor_read_over(bytes);
    if (cbor_read_array(&r, 3) != 3)
        cbor_read_refuse(&r, ERR_FORMAT);
    const struct slice payload = cbor_read_bytes(&r, bytes.size);
    (void)payload;
    cbor_read_fixed(&r, key, SIGN_PUBLIC_SIZE);
    cbor_read_fixed(&r, signature, SIGN_SIZE);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the member list");
}

enum err member_changes_make(const struct member_list *list, uint64_t since,
                             member_changes_fn *differs, void *user, const struct id *gone,
                             size_t gone_count, struct buf *out)
{
    uint8_t key[SIGN_PUBLIC_SIZE], signature[SIGN_SIZE];
    const enum err e = read_envelope(list->bytes, key, signature);
    if (e != ERR_OK)
        return e;
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0), cbor_write_u64(&w, since);
    cbor_write_key(&w, 1), cbor_write_bytes(&w, list->coordinator_doc);
    cbor_write_key(&w, 2), cbor_write_u64(&w, list->number);
    if (!id_is_zero(&list->previous))
        cbor_write_key(&w, 3), cbor_write_id(&w, &list->previous);
    cbor_write_key(&w, 4), cbor_write_i64(&w, list->time_s);
    cbor_write_key(&w, 5), cbor_write_array(&w);
    for (size_t i = 0; i < list->count; i++)
        if (differs(user, &list->members[i]))
            member_list_write_member(&w, &list->members[i]);
    cbor_write_end(&w);
    cbor_write_key(&w, 6), cbor_write_array(&w);
    for (size_t i = 0; i < gone_count; i++)
        cbor_write_id(&w, &gone[i]);
    cbor_write_end(&w);
    cbor_write_key(&w, 7), cbor_write_bytes(&w, slice_of(key, sizeof(key)));
    cbor_write_key(&w, 8), cbor_write_bytes(&w, slice_of(signature, sizeof(signature)));
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

/* --- applying --- */

struct changes {
    uint64_t since;
    struct member_list head; /* what the later list has beside its members; borrows the answer */
    struct member *changed;  /* owned; ascending */
    size_t changed_count;
    struct id *gone; /* owned; ascending */
    size_t gone_count;
    uint8_t key[SIGN_PUBLIC_SIZE], signature[SIGN_SIZE];
};

enum { MEMBER_BYTES_MIN = 40, ID_BYTES = 2 + ID_SIZE };

static void read_changed(struct cbor_reader *r, size_t bytes, struct changes *c)
{
    c->changed_count = cbor_read_array(r, bytes / MEMBER_BYTES_MIN);
    c->changed = calloc(c->changed_count + 1, sizeof(*c->changed));
    if (!c->changed)
        cbor_read_refuse(r, ERR_NOMEM);
    for (size_t i = 0; i < c->changed_count && r->e == ERR_OK; i++) {
        member_list_read_member(r, &c->changed[i]);
        if (i > 0 && id_compare(&c->changed[i - 1].id, &c->changed[i].id) >= 0)
            cbor_read_refuse(r, ERR_FORMAT);
    }
    cbor_read_end(r);
}

static void read_gone(struct cbor_reader *r, size_t bytes, struct changes *c)
{
    c->gone_count = cbor_read_array(r, bytes / ID_BYTES);
    c->gone = calloc(c->gone_count + 1, sizeof(*c->gone));
    if (!c->gone)
        cbor_read_refuse(r, ERR_NOMEM);
    for (size_t i = 0; i < c->gone_count && r->e == ERR_OK; i++) {
        cbor_read_id(r, &c->gone[i]);
        if (i > 0 && id_compare(&c->gone[i - 1], &c->gone[i]) >= 0)
            cbor_read_refuse(r, ERR_FORMAT);
    }
    cbor_read_end(r);
}

static enum err read_changes(struct slice bytes, struct changes *c, struct errmsg *msg)
{
    struct cbor_reader r = cbor_read_over(bytes);
    cbor_read_map(&r);
    cbor_read_key(&r, 0), c->since = cbor_read_u64(&r, UINT64_MAX);
    cbor_read_key(&r, 1), c->head.coordinator_doc = cbor_read_bytes(&r, COORDINATOR_CERT_BYTES_MAX);
    cbor_read_key(&r, 2), c->head.number = cbor_read_u64(&r, UINT64_MAX);
    if (cbor_read_key_optional(&r, 3))
        cbor_read_id(&r, &c->head.previous);
    cbor_read_key(&r, 4), c->head.time_s = cbor_read_i64(&r);
    cbor_read_key(&r, 5), read_changed(&r, bytes.size, c);
    cbor_read_key(&r, 6), read_gone(&r, bytes.size, c);
    cbor_read_key(&r, 7), cbor_read_fixed(&r, c->key, sizeof(c->key));
    cbor_read_key(&r, 8), cbor_read_fixed(&r, c->signature, sizeof(c->signature));
    cbor_read_end(&r);
    return cbor_read_finish(&r, msg, "what has changed in the member list");
}

static bool is_gone(const struct changes *c, const struct id *id)
{
    size_t low = 0, high = c->gone_count;
    while (low < high) {
        const size_t at = low + (high - low) / 2;
        const int order = id_compare(&c->gone[at], id);
        if (order == 0)
            return true;
        if (order < 0)
            low = at + 1;
        else
            high = at;
    }
    return false;
}

/* Both in ascending order of IDs: the changed one stands for the old one. */
static void merge(const struct member_list *base, const struct changes *c, struct member_list *out)
{
    size_t i = 0, j = 0;
    while (i < base->count || j < c->changed_count) {
        const int order = i == base->count ? 1
                          : j == c->changed_count
                              ? -1
                              : id_compare(&base->members[i].id, &c->changed[j].id);
        if (order >= 0) {
            out->members[out->count++] = c->changed[j++];
            i += order == 0;
        } else {
            if (!is_gone(c, &base->members[i].id))
                out->members[out->count++] = base->members[i];
            i++;
        }
    }
}

/* The document as its signer wrote it, if the changes are true. */
static enum err write_document(const struct member_list *list, const struct changes *c,
                               struct buf *out)
{
    struct buf payload = BUF_INIT(LIMIT_MEMBER_LIST_BYTES - DOCUMENT_OVERHEAD);
    struct cbor_writer w = cbor_write_into(&payload);
    member_list_write_payload(&w, list);
    enum err e = cbor_write_finish(&w);
    if (e == ERR_OK) {
        w = cbor_write_into(out);
        cbor_write_array(&w);
        cbor_write_bytes(&w, buf_slice(&payload));
        cbor_write_bytes(&w, slice_of(c->key, sizeof(c->key)));
        cbor_write_bytes(&w, slice_of(c->signature, sizeof(c->signature)));
        cbor_write_end(&w);
        e = cbor_write_finish(&w);
    }
    buf_free(&payload);
    return e;
}

static enum err rebuild(const struct member_list *base, struct changes *c,
                        const struct swarm_root *swarm, struct member_list **out,
                        struct errmsg *msg)
{
    struct buf document = BUF_INIT(LIMIT_MEMBER_LIST_BYTES);
    c->head.members = calloc(base->count + c->changed_count + 1, sizeof(*c->head.members));
    enum err e = c->head.members ? ERR_OK : ERR_NOMEM;
    if (e == ERR_OK) {
        merge(base, c, &c->head);
        e = write_document(&c->head, c, &document);
    }
    free(c->head.members);
    if (e != ERR_OK)
        err_say(msg, e, "the member list cannot be put together from what has changed");
    else
        e = member_list_open(buf_slice(&document), swarm, out, msg);
    buf_free(&document);
    return e;
}

enum err member_changes_apply(struct slice answer, const struct member_list *base,
                              const struct swarm_root *swarm, struct member_list **out,
                              struct errmsg *msg)
{
    enum { CBOR_MAP = 5 };
    struct changes c = {0};
    if (answer.size == 0 || answer.data[0] >> 5 != CBOR_MAP)
        return member_list_open(answer, swarm, out, msg);
    enum err e = read_changes(answer, &c, msg);
    if (e == ERR_OK && (!base || c.since != base->number))
        e = err_say(msg, ERR_STATE,
                    "what has changed in the member list is told since another one");
    if (e == ERR_OK)
        e = rebuild(base, &c, swarm, out, msg);
    free(c.changed);
    free(c.gone);
    return e;
}
