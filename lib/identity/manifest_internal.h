/* Shared by the manifest's files. */
#pragma once

#include "identity/manifest.h"

/* "admin" over account ‖ device key ‖ le32(upper half of the number): the root's word for an admin.
 */
enum { ADMIN_MESSAGE_SIZE = ID_SIZE + SIGN_PUBLIC_SIZE + 4 };
void manifest_admin_message(const struct manifest *m, const struct manifest_device *device,
                            uint8_t out[ADMIN_MESSAGE_SIZE]);
