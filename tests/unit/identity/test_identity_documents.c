/* identity/: every document in all its truncations, changed bits and hostile payloads; the bytes of
 * the page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "harness/hostile.h"
#include "identity/document.h"
#include "identity_examples.h"

#include <stdio.h>
#include <stdlib.h>

enum { OUT_MAX = 8 << 20 };

/* Everything but a `signer` may stay the same when bits of the document change: nothing may. */
static void must_be_refused(void *user, struct slice bytes, const char *how)
{
    const struct identity_example *example = user;
    struct buf out = BUF_INIT(OUT_MAX);
    if (example->again(identity_world(), bytes, &out) == ERR_OK)
        fail_msg("%s is accepted %s", example->name, how);
    buf_free(&out);
}

/* A hostile payload under a good signature: refused, or there is no other form of it. */
static void try_payload(void *user, struct slice payload, const char *how)
{
    const struct identity_example *example = user;
    struct buf in = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
    assert_int_equal(identity_resign(example, payload, &in), ERR_OK);
    if (example->again(identity_world(), buf_slice(&in), &out) == ERR_OK &&
        !slice_equal(buf_slice(&in), buf_slice(&out)))
        fail_msg("%s has another form: %s", example->name, how);
    buf_free(&in);
    buf_free(&out);
}

static void must_be_refused_payload(void *user, struct slice payload, const char *how)
{
    const struct identity_example *example = user;
    struct buf in = BUF_INIT(OUT_MAX);
    assert_int_equal(identity_resign(example, payload, &in), ERR_OK);
    must_be_refused(user, buf_slice(&in), how);
    buf_free(&in);
}

static struct buf example_bytes(const struct identity_example *example)
{
    struct buf out = BUF_INIT(OUT_MAX);
    assert_int_equal(example->build(identity_world(), &out), ERR_OK);
    return out;
}

static void test_documents_come_back_as_they_were(void **state)
{
    (void)state;
    for (size_t i = 0; i < identity_example_count; i++) {
        struct buf bytes = example_bytes(&identity_examples[i]), again = BUF_INIT(OUT_MAX);
        enum err e = identity_examples[i].again(identity_world(), buf_slice(&bytes), &again);
        if (e != ERR_OK || !slice_equal(buf_slice(&bytes), buf_slice(&again)))
            fail_msg("%s: %s", identity_examples[i].name, err_words(e));
        buf_free(&bytes);
        buf_free(&again);
    }
}

static void test_documents_changed_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < identity_example_count; i++) {
        const struct identity_example *example = &identity_examples[i];
        struct buf bytes = example_bytes(example);
        hostile_truncations(buf_slice(&bytes), must_be_refused, (void *)(uintptr_t)example);
        hostile_trailing(buf_slice(&bytes), must_be_refused, (void *)(uintptr_t)example);
        hostile_flips(buf_slice(&bytes), 600, must_be_refused, (void *)(uintptr_t)example);
        buf_free(&bytes);
    }
}

/* The signature is good, the signer hostile. */
static void test_documents_with_hostile_payloads(void **state)
{
    (void)state;
    uint64_t tries = getenv("CELLAR_TEST_FULL") != NULL ? 3000 : 300;
    for (size_t i = 0; i < identity_example_count; i++) {
        const struct identity_example *example = &identity_examples[i];
        void *user = (void *)(uintptr_t)example;
        struct buf bytes = example_bytes(example);
        struct slice payload = identity_payload(buf_slice(&bytes));
        hostile_truncations(payload, must_be_refused_payload, user);
        hostile_flips(payload, tries, try_payload, user);
        hostile_extremes(payload, tries, try_payload, user);
        hostile_mutations(payload, 11, tries, try_payload, user);
        hostile_noise(11, tries, 200, try_payload, user);
        buf_free(&bytes);
    }
}

/* A document of one type, or of one swarm, is none of another. */
static void test_documents_are_bound_to_type_and_swarm(void **state)
{
    (void)state;
    const struct identity_world *w = identity_world();
    struct identity_world other = *w;
    other.swarm.hash.bytes[0] ^= 1;
    for (size_t i = 0; i < identity_example_count; i++) {
        const struct identity_example *example = &identity_examples[i];
        struct buf bytes = example_bytes(example), out = BUF_INIT(OUT_MAX);
        for (size_t j = 0; j < identity_example_count; j++)
            if (strcmp(identity_examples[j].type, example->type) != 0 &&
                identity_examples[j].again(w, buf_slice(&bytes), &out) == ERR_OK)
                fail_msg("%s is taken for %s", example->name, identity_examples[j].name);
        assert_int_equal(example->again(&other, buf_slice(&bytes), &out), ERR_AUTH);
        /* the type is what keeps them apart, not the shape alone */
        struct identity_example renamed = *example;
        renamed.type = "other";
        buf_clear(&out);
        assert_int_equal(identity_resign(&renamed, identity_payload(buf_slice(&bytes)), &out),
                         ERR_OK);
        must_be_refused(&renamed, buf_slice(&out), "under another type");
        buf_free(&bytes);
        buf_free(&out);
    }
}

/* docs/format-identity.md shows these bytes: the format is frozen by them. */
static void test_documents_are_the_ones_of_the_page(void **state)
{
    (void)state;
    FILE *file = fopen(IDENTITY_PAGE, "rb");
    assert_non_null(file);
    static char page[1 << 20];
    page[fread(page, 1, sizeof(page) - 1, file)] = 0;
    fclose(file);
    for (size_t i = 0; i < identity_example_count; i++) {
        struct buf bytes = example_bytes(&identity_examples[i]);
        char hex[8192], line[8300];
        assert_true(bytes.size * 2 < sizeof(hex));
        text_hex(buf_slice(&bytes), hex);
        snprintf(line, sizeof(line), "%s: %s\n", identity_examples[i].name, hex);
        if (!strstr(page, line))
            fail_msg("docs/format-identity.md does not show  %s", line);
        buf_free(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents_come_back_as_they_were),
        cmocka_unit_test(test_documents_changed_are_refused),
        cmocka_unit_test(test_documents_with_hostile_payloads),
        cmocka_unit_test(test_documents_are_bound_to_type_and_swarm),
        cmocka_unit_test(test_documents_are_the_ones_of_the_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
