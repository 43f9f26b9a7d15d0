/* Protects what diff counts of millions of pieces: nothing is lost or told twice, whether it went
   through the file or not, nothing of the file is left, and a folder that takes none is an error
   that is said. */
#include "browse/browse_ids.h"

#include "harness/temp_dir.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* IDs are hashes; these are spread like them, the same for the same number. */
static struct id id_of(uint64_t number)
{
    struct id id = {{0}};
    uint64_t x = number + 1;
    for (size_t i = 0; i < ID_SIZE; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        id.bytes[i] = (uint8_t)x;
    }
    id.bytes[31] = (uint8_t)number;
    id.bytes[30] = (uint8_t)(number >> 8);
    id.bytes[29] = (uint8_t)(number >> 16);
    return id;
}

static size_t files_in(const char *dir)
{
    size_t count = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(d);
    return count;
}

/* All of 0 .. count - 1, each twice, the second time with another value. */
static void check_round_trip(uint64_t count)
{
    char dir[TEMP_DIR_SIZE];
    struct browse_ids *ids;
    struct errmsg msg;
    temp_dir_make(dir);
    assert_int_equal(browse_ids_new(dir, &ids), ERR_OK);
    for (unsigned turn = 0; turn < 2; turn++)
        for (uint64_t i = 0; i < count; i++) {
            const struct id id = id_of(i);
            assert_int_equal(browse_ids_add(ids, &id, (uintptr_t)(2 * i + 1 + turn), &msg), ERR_OK);
        }
    assert_int_equal(files_in(dir), 0); /* it has no name */
    uint64_t found = 0;
    for (unsigned part = 0; part < BROWSE_IDS_PARTS; part++) {
        struct idmap map = IDMAP_INIT;
        const struct id *key;
        size_t at = 0;
        void *value;
        assert_int_equal(browse_ids_part(ids, part, &map, &msg), ERR_OK);
        while ((value = idmap_next(&map, &at, &key)) != NULL) {
            const uint64_t number = ((uintptr_t)value - 2) / 2;
            const struct id id = id_of(number);
            assert_int_equal((uintptr_t)value % 2, 0); /* the newest */
            assert_true(number < count && id_equal(&id, key));
            assert_int_equal(key->bytes[0], part);
            found++;
        }
        idmap_free(&map);
    }
    assert_int_equal(found, count);
    browse_ids_free(ids);
    temp_dir_remove(dir);
}

static void test_what_is_put_in_comes_out_once(void **state)
{
    (void)state;
    check_round_trip(0);
    check_round_trip(1000);   /* in memory */
    check_round_trip(200000); /* some 1,500 in each part: most of it in the file */
}

static void test_a_small_set_needs_no_folder_and_a_large_one_says_so(void **state)
{
    struct browse_ids *ids;
    struct errmsg msg;
    enum err e = ERR_OK;
    uint64_t i = 0;
    (void)state;
    assert_int_equal(browse_ids_new("/nowhere/at/all", &ids), ERR_OK);
    for (; i < 100; i++) {
        const struct id id = id_of(i);
        assert_int_equal(browse_ids_add(ids, &id, 1, &msg), ERR_OK);
    }
    for (; i < 100000 && e == ERR_OK; i++) {
        const struct id id = id_of(i);
        e = browse_ids_add(ids, &id, 1, &msg);
    }
    assert_int_equal(e, ERR_NOT_FOUND);
    assert_non_null(strstr(msg.text, "/nowhere/at/all"));
    browse_ids_free(ids);
    browse_ids_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_put_in_comes_out_once),
        cmocka_unit_test(test_a_small_set_needs_no_folder_and_a_large_one_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
