#include "identity/invite_text.h"

#include "base/text.h"
#include "crypto/sha256.h"

#include <stdlib.h>

static const char prefix[] = "cellar-";
enum { PREFIX_LENGTH = sizeof(prefix) - 1, CHECK_SIZE = 4 };

enum err invite_text_make(const struct invite_text *in, struct buf *out)
{
    struct buf bytes = BUF_INIT(INVITE_TEXT_MAX / 2);
    uint8_t digest[SHA256_SIZE];
    struct cbor_writer w = cbor_write_into(&bytes);
    cbor_write_array(&w);
    cbor_write_bytes(&w, slice_of(in->swarm.key, SIGN_PUBLIC_SIZE));
    cbor_write_bytes(&w, in->coordinator);
    cbor_write_bytes(&w, in->invite);
    address_list_write(&w, &in->addresses);
    cbor_write_end(&w);
    enum err e = cbor_write_finish(&w);
    if (e != ERR_OK)
        goto done;
    sha256(buf_slice(&bytes), digest);
    if ((e = buf_append(&bytes, digest, CHECK_SIZE)) != ERR_OK ||
        (e = buf_append_text(out, prefix)) != ERR_OK)
        goto done;
    size_t length = text_base32_length(bytes.size);
    if ((e = buf_reserve(out, length + 1)) != ERR_OK)
        goto done;
    text_base32(buf_slice(&bytes), (char *)out->data + out->size);
    out->size += length;
done:
    buf_free(&bytes);
    return e;
}

/* The bytes behind the prefix, checked and without the check. */
static enum err decode(const char *text, struct buf *out, struct errmsg *msg)
{
    char letters[INVITE_TEXT_MAX];
    uint8_t digest[SHA256_SIZE];
    size_t count = 0;
    while (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n')
        text++;
    for (size_t i = 0; i < PREFIX_LENGTH; i++, text++)
        if ((*text | (*text >= 'A' && *text <= 'Z' ? 32 : 0)) != prefix[i])
            return err_say(msg, ERR_FORMAT, "this is no invite: an invite begins with \"%s\"",
                           prefix);
    for (; *text != 0; text++) {
        if (strchr(" \t\r\n-", *text) != NULL)
            continue;
        if (count == sizeof(letters))
            return err_say(msg, ERR_TOO_LARGE, "this is no invite: it is too long");
        letters[count++] = *text;
    }
    enum err e = buf_reserve(out, count);
    if (e == ERR_OK)
        e = text_from_base32(letters, count, out->data, out->capacity, &out->size);
    if (e == ERR_OK && out->size <= CHECK_SIZE)
        e = ERR_FORMAT;
    if (e == ERR_OK) {
        out->size -= CHECK_SIZE;
        sha256(buf_slice(out), digest);
        if (memcmp(out->data + out->size, digest, CHECK_SIZE) != 0)
            e = ERR_FORMAT;
    }
    if (e == ERR_FORMAT)
        return err_say(msg, e, "the invite has a wrong letter or is not all there: copy it whole");
    return e;
}

/* Which of the two documents it is, by trying: their signatures are of different types. */
static enum err open_invite(struct invite_text *out, struct errmsg *msg)
{
    struct invite invite;
    struct invite_device device;
    enum err e = invite_device_open(out->invite, &out->swarm, NULL, &device, NULL);
    if (e == ERR_OK)
        out->kind = INVITE_DEVICE;
    if (e == ERR_OK || e == ERR_NOMEM)
        return e;
    e = invite_open(out->invite, &out->swarm, &out->certificate.id, &invite, msg);
    if (e == ERR_OK)
        out->kind = invite.kind;
    return e;
}

enum err invite_text_open(const char *text, struct invite_text *out, struct errmsg *msg)
{
    uint8_t key[SIGN_PUBLIC_SIZE];
    *out = (struct invite_text){.bytes = BUF_INIT(INVITE_TEXT_MAX)};
    enum err e = decode(text, &out->bytes, msg);
    if (e != ERR_OK)
        goto failed;
    struct cbor_reader r = cbor_read_over(buf_slice(&out->bytes));
    if (cbor_read_array(&r, 4) != 4)
        cbor_read_refuse(&r, ERR_FORMAT);
    cbor_read_fixed(&r, key, SIGN_PUBLIC_SIZE);
    out->coordinator = cbor_read_bytes(&r, COORDINATOR_CERT_BYTES_MAX);
    out->invite = cbor_read_bytes(&r, INVITE_BYTES_MAX);
    address_list_read(&r, &out->addresses);
    cbor_read_end(&r);
    if ((e = cbor_read_finish(&r, msg, "the invite")) != ERR_OK)
        goto failed;
    swarm_root_of(key, &out->swarm);
    e = coordinator_cert_open(out->coordinator, &out->swarm, &out->certificate, msg);
    if (e == ERR_OK)
        e = open_invite(out, msg);
    if (e != ERR_OK)
        goto failed;
    return ERR_OK;
failed:
    invite_text_free(out);
    return e;
}

void invite_text_free(struct invite_text *invite)
{
    buf_free(&invite->bytes);
}
