/* `coordinatord status`: the registry's counts, for a person or as one JSON object. */
#pragma once

#include "registry.h"

MUST_CHECK enum err coordinatord_status_text(const struct registry_counts *counts, struct buf *out);
MUST_CHECK enum err coordinatord_status_json(const struct registry_counts *counts, struct buf *out);
