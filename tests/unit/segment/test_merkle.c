/* segment/merkle: RFC 6962's shape and vectors; every run of leaves proves itself and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "crypto/crypto.h"
#include "segment/merkle.h"

enum { LEAVES = 67 };

struct fixture {
    struct sha256 *h;
    struct merkle_hash leaves[LEAVES];
};

static int setup(void **state)
{
    static struct fixture f;
    assert_int_equal(crypto_init(NULL), ERR_OK);
    assert_int_equal(sha256_new(&f.h), ERR_OK);
    for (uint8_t i = 0; i < LEAVES; i++)
        sha256_leaf(f.h, slice_of(&i, 1), f.leaves[i].bytes);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    sha256_free(((struct fixture *)*state)->h);
    return 0;
}

/* The vectors that certificate transparency implementations share: 8 inputs, roots of the first n.
 */
static void test_roots_are_those_of_rfc_6962(void **state)
{
    struct fixture *f = *state;
    static const char *const inputs[8] = {"",
                                          "00",
                                          "10",
                                          "2021",
                                          "3031",
                                          "40414243",
                                          "5051525354555657",
                                          "606162636465666768696a6b6c6d6e6f"};
    static const char *const roots[8] = {
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
    struct merkle_hash leaves[8], root;
    char text[65];
    for (size_t i = 0; i < 8; i++) {
        uint8_t bytes[16];
        size_t size;
        assert_int_equal(text_from_hex(inputs[i], strlen(inputs[i]), bytes, 16, &size), ERR_OK);
        sha256_leaf(f->h, slice_of(bytes, size), leaves[i].bytes);
        merkle_root(f->h, leaves, i + 1, &root);
        text_hex(slice_of(root.bytes, 32), text);
        assert_string_equal(text, roots[i]);
    }
}

static void test_every_run_proves_itself(void **state)
{
    struct fixture *f = *state;
    for (size_t count = 1; count <= LEAVES; count++) {
        struct merkle_hash root, path[MERKLE_PATH_MAX];
        merkle_root(f->h, f->leaves, count, &root);
        for (size_t first = 0; first < count; first++)
            for (size_t run = 1; run <= count - first; run += count > 20 ? 5 : 1) {
                const size_t size = merkle_path_count(count, first, run);
                assert_true(size <= MERKLE_PATH_MAX);
                merkle_path(f->h, f->leaves, count, first, run, path);
                assert_int_equal(
                    merkle_verify(f->h, &root, count, first, run, f->leaves + first, path, size),
                    ERR_OK);
            }
        assert_int_equal(merkle_path_count(count, 0, count), 0);
    }
}

static void test_what_differs_is_refused(void **state)
{
    struct fixture *f = *state;
    struct merkle_hash root, path[MERKLE_PATH_MAX], leaves[5];
    merkle_root(f->h, f->leaves, 13, &root);
    const size_t size = merkle_path_count(13, 3, 5);
    merkle_path(f->h, f->leaves, 13, 3, 5, path);
    memcpy(leaves, f->leaves + 3, sizeof(leaves));
    for (size_t i = 0; i < 5 * 32; i++) {
        leaves[i / 32].bytes[i % 32] ^= 1;
        assert_int_equal(merkle_verify(f->h, &root, 13, 3, 5, leaves, path, size), ERR_CORRUPT);
        leaves[i / 32].bytes[i % 32] ^= 1;
    }
    for (size_t i = 0; i < size * 32; i++) {
        path[i / 32].bytes[i % 32] ^= 1;
        assert_int_equal(merkle_verify(f->h, &root, 13, 3, 5, leaves, path, size), ERR_CORRUPT);
        path[i / 32].bytes[i % 32] ^= 1;
    }
    /* another place, another tree, another number of hashes */
    assert_int_not_equal(merkle_verify(f->h, &root, 13, 2, 5, leaves, path, size), ERR_OK);
    assert_int_equal(merkle_verify(f->h, &root, 13, 3, 5, leaves, path, size - 1), ERR_FORMAT);
    assert_int_equal(merkle_verify(f->h, &root, 13, 3, 5, leaves, path, size + 1), ERR_FORMAT);
    assert_int_equal(merkle_verify(f->h, &root, 13, 13, 1, leaves, path, size), ERR_FORMAT);
    assert_int_equal(merkle_verify(f->h, &root, 13, 9, SIZE_MAX, leaves, path, size), ERR_FORMAT);
    assert_int_equal(merkle_verify(f->h, &root, 0, 0, 0, leaves, path, 0), ERR_FORMAT);
}

/* An inner node shown as a leaf must not verify in a smaller tree: leaves and nodes hash apart. */
static void test_a_node_is_no_leaf(void **state)
{
    struct fixture *f = *state;
    uint8_t node[64], as_leaf[32];
    memcpy(node, f->leaves[0].bytes, 32);
    memcpy(node + 32, f->leaves[1].bytes, 32);
    struct merkle_hash root;
    merkle_root(f->h, f->leaves, 2, &root);
    sha256_leaf(f->h, slice_of(node, 64), as_leaf);
    assert_memory_not_equal(as_leaf, root.bytes, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots_are_those_of_rfc_6962),
        cmocka_unit_test(test_every_run_proves_itself),
        cmocka_unit_test(test_what_differs_is_refused),
        cmocka_unit_test(test_a_node_is_no_leaf),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
