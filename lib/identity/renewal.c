#include "identity/renewal.h"

enum err renewal_make(const struct deed *deed, const struct swarm_root *swarm,
                      const struct sign_key *device, struct buf *out)
{
    struct document_writer d;
    deed_write(document_begin(&d, RENEWAL_BYTES_MAX), deed);
    return document_end(&d, "renewal", swarm, device, out);
}

enum err renewal_open(struct slice bytes, const struct swarm_root *swarm, const struct id *device,
                      struct deed *out, struct errmsg *msg)
{
    struct document_reader d;
    (void)document_read(&d, "renewal", swarm, device, bytes, RENEWAL_BYTES_MAX);
    deed_read(&d, swarm, out);
    return document_read_end(&d, msg, "the renewal");
}
