/* Shared by the manifest's files. */
#pragma once

#include "identity/manifest.h"

/* "admin" over account ‖ device key ‖ le32(upper half of the number): the root's word for an admin.
 */
enum { ADMIN_MESSAGE_SIZE = ID_SIZE + SIGN_PUBLIC_SIZE + 4 };
void manifest_admin_message(const struct manifest *m, const struct manifest_device *device,
                            uint8_t out[ADMIN_MESSAGE_SIZE]);

/* "root" over account ‖ the next root's key ‖ reading key before ‖ after ‖ le32(how many came
   before): the word of the root before for the next one, and of the next one ("root-next") for
   being it, so that nobody takes a stranger's root for his account's. */
enum { ROOT_MESSAGE_SIZE = ID_SIZE + SIGN_PUBLIC_SIZE + 2 * SEAL_PUBLIC_SIZE + 4 };
void manifest_root_message(const struct manifest *m, size_t number, uint8_t out[ROOT_MESSAGE_SIZE]);
