/* alloc_fault: every allocation of base/ fails once and for good, and nothing is leaked or half
   done. It also keeps the wrapping itself alive: a build without it meets no fault and aborts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/alloc_fault.h"
#include "harness/fault.h"

#include "base/buf.h"
#include "base/idmap.h"

static bool grow_a_buffer(void *user, uint64_t at, bool for_good)
{
    (void)user;
    struct buf b = BUF_INIT(100000);
    enum err e = ERR_OK;
    size_t appended = 0;
    alloc_fault_arm(at, for_good);
    while (e == ERR_OK && appended < 5000) {
        e = buf_append(&b, "0123456789", 10);
        appended += e == ERR_OK ? 10 : 0;
    }
    bool met = alloc_fault_disarm();
    assert_int_equal(e, met ? ERR_NOMEM : ERR_OK);
    assert_int_equal(b.size, appended); /* unchanged by what failed */
    buf_free(&b);
    return met;
}

static bool fill_a_map(void *user, uint64_t at, bool for_good)
{
    (void)user;
    struct idmap map = IDMAP_INIT;
    enum err e = ERR_OK;
    struct id ids[200];
    size_t set = 0;
    alloc_fault_arm(at, for_good);
    for (; e == ERR_OK && set < 200; set += e == ERR_OK) {
        memset(ids[set].bytes, (int)set, ID_SIZE);
        e = idmap_set(&map, &ids[set], &ids[set]);
    }
    bool met = alloc_fault_disarm();
    assert_int_equal(e, met ? ERR_NOMEM : ERR_OK);
    assert_int_equal(map.count, set);
    for (size_t i = 0; i < set; i++)
        assert_ptr_equal(idmap_get(&map, &ids[i]), &ids[i]);
    idmap_free(&map);
    return met;
}

static void test_alloc_fault_base_survives_every_one(void **state)
{
    (void)state;
    assert_true(fault_loop(grow_a_buffer, NULL, 100) >= 3);
    assert_true(fault_loop(fill_a_map, NULL, 100) >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc_fault_base_survives_every_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
