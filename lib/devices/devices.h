/*
 * The account's devices, seen from one of them: listing, inviting, taking in, revoking. What the
 * invited machine does is in devices_joining.h; the whole story in docs/devices.md.
 *
 * Changing needs a device with `admin`, or the account's root (vault_phrase.h). All after
 * vault_refresh(), better after a sync, on a vault that may write.
 */
#pragma once

#include "base/buf.h"
#include "vault/vault.h"
#include "vault/vault_phrase.h"

/* Capabilities, as identity/manifest.h has them. */
enum {
    DEVICES_MAY_PUT = 1,
    DEVICES_MAY_READ = 2,
    DEVICES_MAY_DELETE = 4,
    DEVICES_MAY_ADMIN = 8,
};

struct devices_row {
    struct id id;
    uint32_t slot;
    char name[256];
    unsigned capabilities;
    bool self, revoked;
    uint64_t last_sequence; /* revoked: of what holds */
    uint32_t epochs;
};

size_t devices_count(const struct vault *vault);
void devices_at(const struct vault *vault, size_t number, struct devices_row *out);
/* By the beginning of its ID (4 characters at least) or its name. NOT_FOUND; USAGE: several. */
MUST_CHECK enum err devices_find(const struct vault *vault, const char *text,
                                 struct devices_row *out, struct errmsg *msg);
/* What this device may do by the newest manifest; 0: it is revoked, or none. */
unsigned devices_may(const struct vault *vault);

/* An invite as a string, appended to `out`: for one device, once, until `expires_s`. With
   DEVICES_MAY_ADMIN it is the root that must sign (`root`; else NULL: this device). DENIED: this
   device is no admin. STATE: no coordinator is known whose certificate could be in it. */
MUST_CHECK enum err devices_invite(struct vault *vault, unsigned capabilities, int64_t expires_s,
                                   const struct vault_root *root, struct buf *out,
                                   struct errmsg *msg);

struct devices_events {
    /* A device was taken in, or has another data key from now on. */
    void (*admitted)(void *user, const struct devices_row *device);
    /* A request that is not granted, and why. May be NULL. */
    void (*refused)(void *user, enum err e, const char *sentence);
    /* `count`: how many were taken in. */
    void (*done)(void *user, enum err e, uint32_t count, const struct errmsg *msg);
};

/* Takes in who waits with a good invite. `root` (may be NULL, borrowed until done) is needed for
   admins. DENIED: this device is no admin. */
MUST_CHECK enum err devices_admit(struct vault *vault, const struct vault_root *root,
                                  const struct devices_events *events, void *user,
                                  struct errmsg *msg);

/* What the device signs from now on counts nowhere; what it signed up to the newest head that is
   known of it does. An admin is revoked by the root only. NOT_FOUND; EXISTS: it is revoked; STATE:
   it is this device itself and no root is given. */
MUST_CHECK enum err devices_revoke(struct vault *vault, const struct id *device,
                                   const struct vault_root *root, vault_done_fn *done, void *user,
                                   struct errmsg *msg);
