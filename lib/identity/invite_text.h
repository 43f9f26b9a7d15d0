/*
 * An invite as people send and scan it, one string:
 *
 *     "cellar-" ‖ base32(CBOR ‖ first 4 bytes of SHA-256(CBOR))
 *     CBOR = array [swarm root key, coordinator's certificate, invite, addresses]
 *
 * base32 in lower case without padding (upper case is taken too: QR codes hold it in fewer dots).
 * White space and hyphens behind the prefix are passed over, as mail programs break lines.
 * Everything in it but the addresses is signed under the root, which is thereby pinned.
 */
#pragma once

#include "identity/coordinator_cert.h"
#include "identity/invite.h"

enum { INVITE_TEXT_MAX = 16384 };

/* What is in the string. Slices are borrowed: from the arguments (encode) or the struct's own
 * bytes. */
struct invite_text {
    struct swarm_root swarm;
    struct slice coordinator;      /* certificate, document */
    struct slice invite;           /* document; of kind DEVICE it is a "device-invite" */
    struct address_list addresses; /* where the coordinator is now */
    /* filled in by _open */
    struct coordinator_cert certificate;
    enum invite_kind kind;
    struct buf bytes; /* owned */
};

/* Appends the string, without a NUL. `swarm`, `coordinator`, `invite` and `addresses` are read. */
MUST_CHECK enum err invite_text_make(const struct invite_text *in, struct buf *out);

/* ERR_FORMAT when it is no invite or a letter is wrong, ERR_AUTH when the certificate or the invite
   does not verify; the sentence says which. Of a device's invite, the account's part (its signer)
   is not checked here: the manifest is. */
MUST_CHECK enum err invite_text_open(const char *text, struct invite_text *out, struct errmsg *msg);
void invite_text_free(struct invite_text *invite);
