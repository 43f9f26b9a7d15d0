/* identity/phrase: BIP-39's own vectors, and what a person mistypes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/text.h"
#include "crypto/sha256.h"
#include "identity/phrase_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* The list's own well-known hash: no word is wrong or out of its place. */
static void test_phrase_words_are_the_list(void **state)
{
    (void)state;
    struct buf all = BUF_INIT(100000);
    uint8_t digest[32];
    char hex[65];
    for (size_t i = 0; i < PHRASE_WORD_COUNT; i++) {
        assert_true(i == 0 || strcmp(phrase_words[i - 1], phrase_words[i]) < 0);
        assert_true(strlen(phrase_words[i]) <= PHRASE_WORD_LENGTH_MAX);
        assert_int_equal(buf_append_text(&all, phrase_words[i]), ERR_OK);
        assert_int_equal(buf_append_text(&all, "\n"), ERR_OK);
    }
    sha256(buf_slice(&all), digest);
    text_hex(slice_of(digest, 32), hex);
    assert_string_equal(hex, "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda");
    buf_free(&all);
}

/* From BIP-39's test vectors (256 bits). */
static void test_phrase_vectors(void **state)
{
    (void)state;
    static const struct {
        uint8_t byte;
        const char *phrase;
    } vectors[] = {
        {0x00, "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon "
               "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon "
               "abandon abandon abandon art"},
        {0x7f, "legal winner thank year wave sausage worth useful legal winner thank year wave "
               "sausage worth useful legal winner thank year wave sausage worth title"},
        {0x80, "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd "
               "amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic "
               "bless"},
        {0xff, "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo "
               "zoo zoo zoo vote"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
        uint8_t entropy[32], out[32];
        char text[PHRASE_TEXT_SIZE];
        memset(entropy, vectors[i].byte, 32);
        phrase_encode(entropy, text);
        assert_string_equal(text, vectors[i].phrase);
        assert_int_equal(phrase_decode(vectors[i].phrase, out, NULL), ERR_OK);
        assert_memory_equal(out, entropy, 32);
    }
}

static void test_phrase_round_trips(void **state)
{
    (void)state;
    unsigned seed = 5;
    for (int round = 0; round < 2000; round++) {
        uint8_t entropy[32], out[32];
        char text[PHRASE_TEXT_SIZE];
        for (size_t i = 0; i < 32; i++)
            entropy[i] = (uint8_t)((seed = seed * 1103515245u + 12345u) >> 16);
        phrase_encode(entropy, text);
        assert_true(strlen(text) < PHRASE_TEXT_SIZE);
        assert_int_equal(phrase_decode(text, out, NULL), ERR_OK);
        assert_memory_equal(out, entropy, 32);
    }
}

static const char good[] =
    "legal winner thank year wave sausage worth useful legal winner thank year wave "
    "sausage worth useful legal winner thank year wave sausage worth title";

static void test_phrase_as_people_type_it(void **state)
{
    (void)state;
    uint8_t out[32];
    char text[1000] = "\n  ";
    size_t at = strlen(text);
    for (const char *c = good; *c != 0; c++) {
        text[at++] = *c >= 'a' && *c <= 'm' ? (char)(*c - 32) : *c;
        if (*c == ' ')
            text[at++] = '\t', text[at++] = '\r', text[at++] = '\n';
    }
    text[at++] = ' ';
    text[at] = 0;
    assert_int_equal(phrase_decode(text, out, NULL), ERR_OK);
    assert_int_equal(out[31], 0x7f);
}

static void expect_refused(const char *text, const char *sentence)
{
    uint8_t out[32];
    struct errmsg msg;
    assert_int_equal(phrase_decode(text, out, &msg), ERR_SECRET);
    assert_string_equal(msg.text, sentence);
}

static void test_phrase_says_what_is_wrong(void **state)
{
    (void)state;
    expect_refused("legal winnr thank year wave sausage worth useful legal winner thank year wave "
                   "sausage worth useful legal winner thank year wave sausage worth title",
                   "word 2 of the phrase, \"winnr\", is not in the list; did you mean "
                   "winner?");
    expect_refused("legal qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq thank",
                   "word 2 of the phrase, \"qqqqqqqqqqqqqqqqqqqq\", is not in the list");
    expect_refused("legal winner thank", "the phrase has 24 words and these are 3");
    expect_refused("", "the phrase has 24 words and these are 0");
    static const char wrong[] =
        "each word is in the list, but together they are no phrase: one of them is another one "
        "than on the sheet, or their order is";
    expect_refused("winner legal thank year wave sausage worth useful legal winner thank year wave "
                   "sausage worth useful legal winner thank year wave sausage worth title",
                   wrong);
    char longer[400];
    snprintf(longer, sizeof(longer), "%s art", good);
    expect_refused(longer, "the phrase has 24 words and these are 25");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phrase_words_are_the_list),
        cmocka_unit_test(test_phrase_vectors),
        cmocka_unit_test(test_phrase_round_trips),
        cmocka_unit_test(test_phrase_as_people_type_it),
        cmocka_unit_test(test_phrase_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
