#include "cbor/cbor_utf8.h"

/* Length of the sequence that begins with `first`, and the bounds of its second byte (RFC 3629
   section 4's grammar); 0 when no sequence begins so. */
static size_t sequence(uint8_t first, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if (first >= 0xe0 && first <= 0xef) {
        if (first == 0xe0)
            *low = 0xa0;
        if (first == 0xed)
            *high = 0x9f;
        return 3;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        if (first == 0xf0)
            *low = 0x90;
        if (first == 0xf4)
            *high = 0x8f;
        return 4;
    }
    return 0;
}

bool cbor_utf8_valid(struct slice text)
{
    for (size_t at = 0; at < text.size;) {
        uint8_t low, high;
        size_t length = sequence(text.data[at], &low, &high);
        if (length == 0 || length > text.size - at)
            return false;
        if (length > 1 && (text.data[at + 1] < low || text.data[at + 1] > high))
            return false;
        for (size_t i = 2; i < length; i++)
            if ((text.data[at + i] & 0xc0) != 0x80)
                return false;
        at += length;
    }
    return true;
}
