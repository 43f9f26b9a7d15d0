/*
 * Documents about removal: who may make them, and under which sequence.
 */
#pragma once

#include "identity/deed.h"
#include "vault/vault_parts.h"

/* DENIED: this device has no `delete`, or was revoked. */
MUST_CHECK enum err vault_deed_allowed(const struct vault *vault, struct errmsg *msg);

/* On the lane. The next deed of this device: its sequence is above every one before, and not below
   that of the newest head, by which revocations are bounded. It is used up whatever becomes of it.
 */
MUST_CHECK enum err vault_deed_next(struct vault *vault, struct deed *out, struct errmsg *msg);

/* A deed of the account's root. */
void vault_deed_of_root(const struct vault *vault, struct deed *out);
