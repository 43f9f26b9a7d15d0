#include "identity/phrase_internal.h"

#include "crypto/secret.h"
#include "crypto/sha256.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    BITS_SIZE = PHRASE_ENTROPY_SIZE + 1,
    TYPED_LENGTH_MAX = 20, /* of a word as a person types it */
    SUGGESTIONS_MAX = 4,
    DISTANCE_MAX = 2,
};

void phrase_encode(const uint8_t entropy[PHRASE_ENTROPY_SIZE], char out[PHRASE_TEXT_SIZE])
{
    uint8_t bits[BITS_SIZE], digest[SHA256_SIZE];
    memcpy(bits, entropy, PHRASE_ENTROPY_SIZE);
    sha256(slice_of(entropy, PHRASE_ENTROPY_SIZE), digest);
    bits[PHRASE_ENTROPY_SIZE] = digest[0];
    char *at = out;
    for (unsigned word = 0; word < PHRASE_WORDS; word++) {
        unsigned number = 0;
        for (unsigned bit = 11 * word; bit < 11 * (word + 1); bit++)
            number = number << 1 | ((unsigned)bits[bit / 8] >> (7 - bit % 8) & 1u);
        if (word > 0)
            *at++ = ' ';
        size_t length = strlen(phrase_words[number]);
        memcpy(at, phrase_words[number], length);
        at += length;
    }
    *at = 0;
    secret_wipe(bits, sizeof(bits));
    secret_wipe(digest, sizeof(digest));
}

/* Letters to insert, take out or change to get from one word to the other (Levenshtein). */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[TYPED_LENGTH_MAX + 1];
    size_t length = strlen(b);
    for (size_t j = 0; j <= length; j++)
        row[j] = (unsigned)j;
    for (size_t i = 0; a[i] != 0; i++) {
        unsigned before = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < length; j++) {
            unsigned change = before + (a[i] != b[j]);
            before = row[j + 1];
            unsigned other = (before < row[j] ? before : row[j]) + 1;
            row[j + 1] = change < other ? change : other;
        }
    }
    return row[length];
}

/* "; did you mean …?" with the nearest words of the list; empty when none is near. */
static void suggest(const char *typed, char *out, size_t size)
{
    size_t count = 0, used = 0;
    out[0] = 0;
    for (unsigned far = 1; far <= DISTANCE_MAX && count == 0; far++)
        for (size_t i = 0; i < PHRASE_WORD_COUNT && count < SUGGESTIONS_MAX; i++)
            if (distance(phrase_words[i], typed) == far) {
                int length = snprintf(out + used, size - used, "%s%s",
                                      count == 0 ? "; did you mean " : " or ", phrase_words[i]);
                used += (size_t)length < size - used ? (size_t)length : 0;
                count++;
            }
    if (count != 0 && used + 2 <= size)
        memcpy(out + used, "?", 2);
}

static int by_word(const void *key, const void *item)
{
    return strcmp(key, *(const char *const *)item);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The next word in lower case; false at the end. A word that is too long keeps its first letters.
 */
static bool next_word(const char **text, char out[TYPED_LENGTH_MAX + 1])
{
    size_t length = 0;
    while (is_blank(**text))
        (*text)++;
    for (; **text != 0 && !is_blank(**text); (*text)++)
        if (length < TYPED_LENGTH_MAX)
            out[length++] = **text >= 'A' && **text <= 'Z' ? (char)(**text + 32) : **text;
    out[length] = 0;
    return length != 0;
}

static unsigned count_words(const char *text)
{
    char word[TYPED_LENGTH_MAX + 1];
    unsigned count = 0;
    while (next_word(&text, word))
        count++;
    secret_wipe(word, sizeof(word));
    return count;
}

enum err phrase_decode(const char *text, uint8_t out[PHRASE_ENTROPY_SIZE], struct errmsg *msg)
{
    uint8_t bits[BITS_SIZE] = {0}, digest[SHA256_SIZE];
    char typed[TYPED_LENGTH_MAX + 1], near[128];
    enum err e = ERR_OK;
    unsigned count = count_words(text);
    for (unsigned word = 0; e == ERR_OK && word < PHRASE_WORDS && next_word(&text, typed); word++) {
        const char *const *found =
            bsearch(typed, phrase_words, PHRASE_WORD_COUNT, sizeof(phrase_words[0]), by_word);
        if (found == NULL) {
            suggest(typed, near, sizeof(near));
            e = err_say(msg, ERR_SECRET, "word %u of the phrase, \"%s\", is not in the list%s",
                        word + 1, typed, near);
            break;
        }
        unsigned number = (unsigned)(found - phrase_words);
        for (unsigned i = 0; i < 11; i++)
            if (number >> (10 - i) & 1u)
                bits[(11 * word + i) / 8] |= (uint8_t)(0x80u >> (11 * word + i) % 8);
    }
    if (e == ERR_OK && count != PHRASE_WORDS)
        e = err_say(msg, ERR_SECRET, "the phrase has %d words and these are %u", PHRASE_WORDS,
                    count);
    sha256(slice_of(bits, PHRASE_ENTROPY_SIZE), digest);
    if (e == ERR_OK && digest[0] != bits[PHRASE_ENTROPY_SIZE])
        e = err_say(msg, ERR_SECRET,
                    "each word is in the list, but together they are no phrase: one "
                    "of them is another one than on the sheet, or their order is");
    if (e == ERR_OK)
        memcpy(out, bits, PHRASE_ENTROPY_SIZE);
    secret_wipe(bits, sizeof(bits));
    secret_wipe(digest, sizeof(digest));
    secret_wipe(typed, sizeof(typed));
    return e;
}
