/* Is it UTF-8 (RFC 3629: no surrogates, nothing overlong, at most U+10FFFF)? */
#pragma once

#include "base/bytes.h"

bool cbor_utf8_valid(struct slice text);
