/*
 * What an admin may change. A stolen admin key must not be able to take anything away for good: not
 * the data keys (nothing could be read any more), not the hold (what it deletes would be gone at
 * once), not another admin or a revocation (nobody could stop it).
 */
#include "identity/manifest.h"

static enum err deny(struct errmsg *msg, const char *what)
{
    return err_say(msg, ERR_DENIED,
                   "the new manifest is refused: an admin device signed it, and only "
                   "the recovery phrase may %s",
                   what);
}

/* `sealed_anew`: the reading key has changed, so the bytes have. */
static bool keeps_epochs(const struct manifest_device *old, const struct manifest_device *next,
                         bool sealed_anew)
{
    for (size_t i = 0; i < old->epoch_count; i++) {
        const struct manifest_epoch *kept = manifest_epoch_find(next, old->epochs[i].epoch);
        if (kept == NULL || (!sealed_anew && memcmp(kept->sealed, old->epochs[i].sealed,
                                                    MANIFEST_DATA_KEY_SEALED_SIZE) != 0))
            return false;
    }
    return true;
}

static enum err device_follows(const struct manifest_device *old,
                               const struct manifest_device *next, bool new_row, bool sealed_anew,
                               struct errmsg *msg)
{
    if (next == NULL)
        return deny(msg, "take a device out");
    if (memcmp(old->seal_key, next->seal_key, SEAL_PUBLIC_SIZE) != 0 ||
        !keeps_epochs(old, next, sealed_anew))
        return deny(msg, "take a sealed key away or change it");
    if (old->revoked && (!next->revoked || next->last_sequence > old->last_sequence))
        return deny(msg, "take a revocation back");
    if (old->invited && (!next->invited || memcmp(old->invite, next->invite, INVITE_ID_SIZE) != 0))
        return deny(msg, "take back that an invite was used");
    if (new_row)
        return ERR_OK;
    if ((old->capabilities & MANIFEST_ADMIN) != (next->capabilities & MANIFEST_ADMIN) ||
        ((old->capabilities & MANIFEST_ADMIN) != 0 && old->revoked != next->revoked))
        return deny(msg, "make a device admin, or an admin none");
    return ERR_OK;
}

/* Slots stand in segment headers: one that changes hands would point at the wrong key. */
static bool keeps_slots(const struct manifest *old, const struct manifest *next)
{
    for (size_t i = 0; i < old->device_count; i++) {
        const struct manifest_device *d = manifest_device_at(next, old->devices[i].slot);
        if (d != NULL && !id_equal(&d->id, &old->devices[i].id))
            return false;
    }
    return true;
}

static enum err admin_follows(const struct manifest *old, const struct manifest *next,
                              struct errmsg *msg)
{
    const struct manifest_device *signer = manifest_device_find(old, &next->signer);
    /* the root began a row that is not known here; it certified each admin for it, this one too */
    const bool new_row = next->number >> 32 > old->number >> 32;
    if (!new_row && (signer == NULL || !manifest_may(signer, MANIFEST_ADMIN)))
        return deny(msg, "make a device admin");
    /* likewise a root that was replaced meanwhile has signed the next reading key */
    const bool replaced = next->root_count > old->root_count;
    if (replaced && !new_row)
        return deny(msg, "be replaced");
    if (!replaced && memcmp(old->reading_key, next->reading_key, SEAL_PUBLIC_SIZE) != 0)
        return deny(msg, "change the reading key");
    if (next->hold_s < old->hold_s)
        return deny(msg, "shorten the time for which deleted data is kept");
    for (size_t i = 0; i < old->device_count; i++) {
        enum err e =
            device_follows(&old->devices[i], manifest_device_at(next, old->devices[i].slot),
                           new_row, replaced, msg);
        if (e != ERR_OK)
            return e;
    }
    for (size_t i = 0; !new_row && i < next->device_count; i++)
        if (manifest_device_at(old, next->devices[i].slot) == NULL &&
            (next->devices[i].capabilities & MANIFEST_ADMIN) != 0)
            return deny(msg, "make a device admin");
    return ERR_OK;
}

/* A root that was replaced counts for nothing any more: the newer one may name further ones only.
 */
static bool keeps_roots(const struct manifest *old, const struct manifest *next)
{
    if (next->root_count < old->root_count)
        return false;
    for (size_t i = 0; i < old->root_count; i++)
        if (memcmp(old->roots[i].key, next->roots[i].key, SIGN_PUBLIC_SIZE) != 0)
            return false;
    return true;
}

enum err manifest_follows(const struct manifest *old, const struct manifest *next,
                          struct errmsg *msg)
{
    if (!id_equal(&old->account, &next->account))
        return err_say(msg, ERR_INCONSISTENT, "the new manifest is another account's");
    if (next->number == old->number && !id_equal(&next->hash, &old->hash))
        return err_say(msg, ERR_INCONSISTENT,
                       "there are two different manifests number %llu of this account",
                       (unsigned long long)old->number);
    if (next->number <= old->number)
        return err_say(msg, ERR_STALE, "manifest %llu is known already, this one is number %llu",
                       (unsigned long long)old->number, (unsigned long long)next->number);
    if (!keeps_slots(old, next))
        return err_say(msg, ERR_INCONSISTENT,
                       "the new manifest gives a device's slot to another device");
    if (!keeps_roots(old, next))
        return err_say(
            msg, ERR_DENIED,
            "the new manifest is refused: the recovery phrase by which it was signed has "
            "been replaced");
    return next->by_root ? ERR_OK : admin_follows(old, next, msg);
}
