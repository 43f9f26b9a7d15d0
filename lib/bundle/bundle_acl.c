#include "base/cursor.h"
#include "bundle/bundle.h"

enum { ACL_VERSION = 2, ACL_ENTRY_SIZE = 8 };

enum err bundle_acl_decode(struct slice value, struct bundle_acl *out, size_t max, size_t *count)
{
    struct cursor c = cursor_over(value);
    uint32_t version;
    *count = 0;
    if (cursor_le32(&c, &version) != ERR_OK)
        return ERR_FORMAT;
    if (version != ACL_VERSION)
        return ERR_VERSION;
    if (cursor_left(&c) % ACL_ENTRY_SIZE != 0)
        return ERR_FORMAT;
    while (cursor_left(&c) > 0) {
        struct bundle_acl one;
        if (*count == max)
            return ERR_TOO_LARGE;
        if (cursor_le16(&c, &one.tag) != ERR_OK || cursor_le16(&c, &one.perm) != ERR_OK ||
            cursor_le32(&c, &one.id) != ERR_OK)
            return ERR_FORMAT;
        if ((one.tag & (one.tag - 1)) != 0 || one.tag == 0 || one.tag > 32 || one.perm > 7)
            return ERR_FORMAT;
        out[(*count)++] = one;
    }
    return ERR_OK;
}
