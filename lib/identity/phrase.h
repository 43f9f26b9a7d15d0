/*
 * The recovery phrase: 256 random bits as 24 words (BIP-39: 11 bits a word, the last 8 bits are the
 * first byte of the bits' SHA-256). The bits are used directly; BIP-39's own key stretching is not.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

/* The longest: 24 words of 8 letters, 23 blanks, a NUL. */
enum { PHRASE_ENTROPY_SIZE = 32, PHRASE_WORDS = 24, PHRASE_TEXT_SIZE = 24 * 8 + 23 + 1 };

/* Words with single blanks between them. A secret: keep `out` in secret_new() memory, or wipe it.
 */
void phrase_encode(const uint8_t entropy[PHRASE_ENTROPY_SIZE], char out[PHRASE_TEXT_SIZE]);

/* Takes words in either case with any white space between, before and behind them. ERR_SECRET, and
   the sentence names the word that is not in the list with those that it may have been, or says
   that words are missing, or that each is in the list but one of them or their order is wrong (1 of
   256 such mistakes goes unseen). */
MUST_CHECK enum err phrase_decode(const char *text, uint8_t out[PHRASE_ENTROPY_SIZE],
                                  struct errmsg *msg);
