/* The list of words, shared by phrase.c and phrase_words.c. */
#pragma once

#include "identity/phrase.h"

enum { PHRASE_WORD_COUNT = 2048, PHRASE_WORD_LENGTH_MAX = 8 };

extern const char *const phrase_words[PHRASE_WORD_COUNT];
