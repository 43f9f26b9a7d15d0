/* Manifests, heads and facts: the newest counts, a fork is noticed, and they outlive the process.
 */
#include "documents/documents.h"
#include "harness/sim_vfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sim_world *world;
static struct sim_node *node;

static struct db *open_db(void)
{
    static const char *const migrations[] = {DOCUMENTS_SCHEMA, DOCUMENTS_SCHEMA_REQUESTS};
    const struct db_options options = {
        .path = "documents.db",
        .vfs = node->vfs,
        .what = "the test's documents",
        .migrations = migrations,
        .migration_count = ARRAY_COUNT(migrations),
        .create = true,
        .exclusive = true,
    };
    struct db *db;
    assert_int_equal(db_open(&options, &db, NULL), ERR_OK);
    return db;
}

static int setup(void **state)
{
    world = sim_world_new(1);
    node = sim_node_new(world, &(struct sim_identity){.name = "node"});
    *state = open_db();
    return 0;
}

static int teardown(void **state)
{
    db_close(*state);
    sim_world_free(world);
    return 0;
}

static void test_documents_keep_the_newest_documents(void **state)
{
    struct db *db = *state;
    const struct id account = {{1}}, device = {{2}};
    struct buf doc = BUF_INIT(100);
    uint64_t number;
    assert_int_equal(documents_manifest_get(db, &account, &number, &doc, NULL), ERR_NOT_FOUND);
    assert_int_equal(documents_manifest_put(db, &account, 2, slice_text("two"), NULL), ERR_OK);
    assert_int_equal(documents_manifest_put(db, &account, 2, slice_text("two"), NULL), ERR_OK);
    assert_int_equal(documents_manifest_put(db, &account, 2, slice_text("2"), NULL), ERR_STALE);
    assert_int_equal(documents_manifest_put(db, &account, 1, slice_text("one"), NULL), ERR_STALE);
    assert_int_equal(documents_manifest_get(db, &account, &number, &doc, NULL), ERR_OK);
    assert_int_equal(number, 2);
    assert_true(slice_equal(buf_slice(&doc), slice_text("two")));
    assert_int_equal(documents_head_put(db, &account, &device, 5, slice_text("a"), NULL), ERR_OK);
    assert_int_equal(documents_head_put(db, &account, &device, 5, slice_text("a"), NULL), ERR_OK);
    assert_int_equal(documents_head_put(db, &account, &device, 5, slice_text("b"), NULL),
                     ERR_EXISTS);
    assert_int_equal(documents_head_put(db, &account, &device, 4, slice_text("c"), NULL),
                     ERR_STALE);
    buf_free(&doc);
}

static enum err count_head(void *user, const struct id *device, uint64_t sequence, struct slice doc)
{
    (void)device;
    (void)doc;
    *(uint64_t *)user += sequence;
    return ERR_OK;
}

static void test_documents_are_there_after_a_power_cut(void **state)
{
    const struct id account = {{1}}, one = {{2}}, two = {{3}};
    struct buf value = BUF_INIT(10);
    uint64_t sum = 0;
    assert_int_equal(documents_head_put(*state, &account, &one, 3, slice_text("a"), NULL), ERR_OK);
    assert_int_equal(documents_head_put(*state, &account, &two, 4, slice_text("b"), NULL), ERR_OK);
    assert_int_equal(documents_fact_put(*state, "name", slice_text("value"), NULL), ERR_OK);
    sim_node_crash(node, SIM_POWER);
    db_close(*state);
    sim_node_start(node);
    *state = open_db();
    assert_int_equal(documents_heads(*state, &account, count_head, &sum, NULL), ERR_OK);
    assert_int_equal(sum, 7);
    assert_int_equal(documents_fact_get(*state, "name", &value, NULL), ERR_OK);
    assert_true(slice_equal(buf_slice(&value), slice_text("value")));
    assert_int_equal(documents_fact_put(*state, "name", slice_of(NULL, 0), NULL), ERR_OK);
    assert_int_equal(documents_fact_get(*state, "name", &value, NULL), ERR_NOT_FOUND);
    buf_free(&value);
}

static struct documents_request request_of(uint8_t device, const char *invite, int64_t expires_s)
{
    return (struct documents_request){.device = {{device}},
                                      .invite_id = slice_text(invite),
                                      .invite = slice_text("an invite"),
                                      .doc = slice_text("a request"),
                                      .expires_s = expires_s};
}

static enum err count_request(void *user, const struct documents_request *request)
{
    (void)request;
    ++*(unsigned *)user;
    return ERR_OK;
}

static unsigned requests_of(struct db *db, const struct id *account)
{
    unsigned count = 0;
    assert_int_equal(documents_requests(db, account, count_request, &count, NULL), ERR_OK);
    return count;
}

static enum err check_request(void *user, const struct documents_request *request)
{
    const struct documents_request *wanted = user;
    assert_true(id_equal(&request->device, &wanted->device));
    assert_true(slice_equal(request->invite_id, wanted->invite_id));
    assert_true(slice_equal(request->invite, wanted->invite));
    assert_true(slice_equal(request->doc, wanted->doc));
    assert_int_equal(request->expires_s, wanted->expires_s);
    return ERR_OK;
}

/* Strangers bring them: one a device, one device an invite, so many an account, until then. */
static void test_documents_requests_are_bounded(void **state)
{
    struct db *db = *state;
    const struct id account = {{1}}, other = {{2}};
    struct documents_request r = request_of(1, "a", 100);
    assert_int_equal(documents_request_put(db, &account, &r, NULL), ERR_OK);
    r.doc = slice_text("a newer one");
    assert_int_equal(documents_request_put(db, &account, &r, NULL), ERR_OK);
    assert_int_equal(documents_requests(db, &account, check_request, &r, NULL), ERR_OK);
    assert_int_equal(requests_of(db, &account), 1);
    struct documents_request same = request_of(2, "a", 100);
    assert_int_equal(documents_request_put(db, &account, &same, NULL), ERR_EXISTS);
    assert_int_equal(documents_request_put(db, &other, &same, NULL), ERR_OK);
    /* without an invite (a device's next key) there is nothing to be the same */
    for (uint8_t i = 2; i <= DOCUMENTS_REQUESTS_MAX; i++) {
        const struct documents_request next = request_of(i, "", 200);
        assert_int_equal(documents_request_put(db, &account, &next, NULL), ERR_OK);
    }
    struct documents_request late = request_of(99, "z", 300);
    assert_int_equal(documents_request_put(db, &account, &late, NULL), ERR_TOO_LARGE);
    assert_int_equal(documents_request_put(db, &account, &r, NULL), ERR_OK);
    assert_int_equal(documents_request_drop(db, &account, &r.device, NULL), ERR_OK);
    assert_int_equal(documents_request_drop(db, &account, &r.device, NULL), ERR_OK);
    assert_int_equal(documents_request_put(db, &account, &late, NULL), ERR_OK);
    assert_int_equal(documents_requests_expire(db, 201, NULL), ERR_OK);
    assert_int_equal(requests_of(db, &account), 1);
    assert_int_equal(requests_of(db, &other), 0);
}

static void test_documents_void_heads_go(void **state)
{
    struct db *db = *state;
    const struct id account = {{1}}, device = {{2}};
    bool dropped;
    assert_int_equal(documents_head_put(db, &account, &device, 5, slice_text("a"), NULL), ERR_OK);
    assert_int_equal(documents_head_void(db, &account, &device, 5, &dropped, NULL), ERR_OK);
    assert_false(dropped);
    assert_int_equal(documents_head_void(db, &account, &device, UINT64_MAX, &dropped, NULL),
                     ERR_OK);
    assert_false(dropped);
    assert_int_equal(documents_head_void(db, &account, &device, 4, &dropped, NULL), ERR_OK);
    assert_true(dropped);
    assert_int_equal(documents_head_put(db, &account, &device, 4, slice_text("b"), NULL), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_documents_keep_the_newest_documents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_documents_requests_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_documents_void_heads_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_documents_are_there_after_a_power_cut, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
