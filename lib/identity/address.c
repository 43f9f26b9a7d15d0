#include "identity/address.h"

#include "base/text.h"

bool address_valid(const char *text)
{
    uint64_t port;
    size_t size = strlen(text);
    if (size > LIMIT_ADDRESS_BYTES)
        return false;
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '/')
            return false;
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || colon[1] == '0')
        return false;
    if (text[0] == '[' ? colon[-1] != ']' : memchr(text, ':', (size_t)(colon - text)) != NULL)
        return false;
    return text_parse_u64(colon + 1, 65535, &port) == ERR_OK;
}

enum err address_list_add(struct address_list *list, const char *text)
{
    if (!address_valid(text))
        return ERR_FORMAT;
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->text[i], text) == 0)
            return ERR_OK;
    if (list->count == LIMIT_ADDRESSES)
        return ERR_TOO_LARGE;
    memcpy(list->text[list->count++], text, strlen(text) + 1);
    return ERR_OK;
}

size_t address_list_pointers(const struct address_list *list, const char *out[LIMIT_ADDRESSES])
{
    for (size_t i = 0; i < list->count; i++)
        out[i] = list->text[i];
    return list->count;
}

void address_list_write(struct cbor_writer *w, const struct address_list *list)
{
    cbor_write_array(w);
    for (size_t i = 0; i < list->count; i++)
        cbor_write_string(w, list->text[i]);
    cbor_write_end(w);
}

void address_list_read(struct cbor_reader *r, struct address_list *out)
{
    size_t count = cbor_read_array(r, LIMIT_ADDRESSES);
    out->count = 0;
    for (size_t i = 0; i < count; i++) {
        char text[LIMIT_ADDRESS_BYTES + 1];
        cbor_read_string(r, text, sizeof(text));
        if (r->e != ERR_OK)
            return;
        enum err e = address_list_add(out, text);
        if (e != ERR_OK || out->count != i + 1)
            cbor_read_refuse(r, ERR_FORMAT);
    }
    cbor_read_end(r);
}

enum err address_list_encode(const struct address_list *list, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    address_list_write(&w, list);
    return cbor_write_finish(&w);
}

enum err address_list_decode(struct slice item, struct address_list *out)
{
    struct cbor_reader r = cbor_read_over(item);
    address_list_read(&r, out);
    return cbor_read_finish(&r, NULL, "an address list");
}
