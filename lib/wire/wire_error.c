#include "wire/wire_error.h"

#include "cbor/cbor_utf8.h"
#include "wire/wire_fields.h"

unsigned wire_status(enum err e)
{
    switch (e) {
    case ERR_OK:
        return 200;
    case ERR_FORMAT:
    case ERR_VERSION:
    case ERR_USAGE:
    case ERR_PEER:
        return 400;
    case ERR_DENIED:
    case ERR_AUTH:
    case ERR_SECRET:
    case ERR_WRONG_PEER:
        return 403;
    case ERR_NOT_FOUND:
    case ERR_UNSUPPORTED:
        return 404;
    case ERR_STALE:
    case ERR_EXISTS:
    case ERR_STATE:
        return 409;
    case ERR_TOO_LARGE:
        return 413;
    case ERR_CORRUPT:
    case ERR_INCONSISTENT:
        return 422;
    case ERR_BUSY:
    case ERR_LOCKED:
    case ERR_TIMEOUT:
    case ERR_UNREACHABLE:
    case ERR_CANCELLED:
    case ERR_NOT_ENOUGH:
        return 503;
    case ERR_FULL:
    case ERR_QUOTA:
    case ERR_READ_ONLY:
        return 507;
    default:
        return 500;
    }
}

enum err wire_status_err(unsigned status)
{
    switch (status) {
    case 400:
        return ERR_FORMAT;
    case 401:
    case 403:
        return ERR_DENIED;
    case 404:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_STALE;
    case 413:
        return ERR_TOO_LARGE;
    case 422:
        return ERR_CORRUPT;
    case 429:
    case 503:
        return ERR_BUSY;
    case 507:
        return ERR_FULL;
    case 500:
        return ERR_IO;
    default:
        return wire_status_failed(status) ? ERR_PEER : ERR_OK;
    }
}

/* At most WIRE_SENTENCE_BYTES of it, whole characters only; "?" for each byte when it is not UTF-8
   (a file's name can be anything). */
static struct slice clean(const char *sentence, char scratch[WIRE_SENTENCE_BYTES])
{
    size_t size = strnlen(sentence, WIRE_SENTENCE_BYTES);
    while (size > 0 && ((uint8_t)sentence[size] & 0xc0) == 0x80)
        size--;
    if (cbor_utf8_valid(slice_of(sentence, size)))
        return slice_of(sentence, size);
    for (size_t i = 0; i < size; i++)
        scratch[i] = (uint8_t)sentence[i] < 0x80 ? sentence[i] : '?';
    return slice_of(scratch, size);
}

enum err wire_error_encode(enum err code, const char *sentence, struct slice document,
                           struct buf *out)
{
    char scratch[WIRE_SENTENCE_BYTES];
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_number(&w, 0, (uint64_t)code);
    cbor_write_key(&w, 1);
    cbor_write_text(&w, clean(sentence, scratch));
    wire_put_optional(&w, 2, document);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_error_decode(struct slice body, struct wire_error *out)
{
    struct cbor_reader r = cbor_read_over(body);
    cbor_read_map(&r);
    const uint32_t code = wire_take_u32(&r, 0, UINT16_MAX);
    cbor_read_key(&r, 1);
    out->sentence = cbor_read_text(&r, WIRE_SENTENCE_BYTES);
    out->document = wire_take_optional(&r, 2, LIMIT_MANIFEST_BYTES);
    cbor_read_end(&r);
    if (r.e == ERR_OK && code == ERR_OK)
        cbor_read_refuse(&r, ERR_FORMAT);
    out->code = err_known(code) ? (enum err)code : ERR_PEER;
    return cbor_read_finish(&r, NULL, "an error");
}

enum err wire_error_take(unsigned status, struct slice body, struct slice *document,
                         struct errmsg *msg)
{
    struct wire_error error;
    if (document)
        *document = slice_of(NULL, 0);
    if (wire_error_decode(body, &error) != ERR_OK) {
        enum err e = wire_status_err(status);
        if (e == ERR_OK)
            e = ERR_PEER;
        return err_say(msg, e, "it answered %u (%s)", status, err_words(e));
    }
    char printable[WIRE_SENTENCE_BYTES + 1];
    for (size_t i = 0; i < error.sentence.size; i++) {
        const uint8_t byte = error.sentence.data[i];
        printable[i] = byte < 0x20 || byte == 0x7f ? '?' : (char)byte;
    }
    printable[error.sentence.size] = 0;
    if (document)
        *document = error.document;
    return err_say(msg, error.code, "it says: %s",
                   printable[0] ? printable : err_words(error.code));
}
