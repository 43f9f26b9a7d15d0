/* Which snapshot a person means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vault/vault_snapshots.h"

enum { COUNT = 5 };

static struct vault_snapshot list[COUNT];
static const struct vault_snapshots snapshots = {.list = list, .count = COUNT};
static struct id ours, others, nobodys;

/* 0 and 1 begin alike; 0, 2 are ours, of host "a" and "b"; 4 is the newest, another device's. */
static int set_up(void **state)
{
    static const char *const hosts[COUNT] = {"a", "a", "b", "a", "c"};
    (void)state;
    ours.bytes[0] = 1;
    others.bytes[0] = 2;
    nobodys.bytes[0] = 3;
    for (size_t i = 0; i < COUNT; i++) {
        list[i].id.bytes[0] = i < 2 ? 0x55 : (uint8_t)(i * 16);
        list[i].id.bytes[20] = (uint8_t)i;
        list[i].device = i == 0 || i == 2 ? ours : others;
        list[i].snapshot.host = slice_text(hosts[i]);
    }
    return 0;
}

static size_t pick(const char *text, const char *host, const struct id *device, enum err want)
{
    size_t index = SIZE_MAX;
    struct errmsg msg = {0};
    assert_int_equal(vault_snapshots_pick(&snapshots, text, host, device, &index, &msg), want);
    if (want != ERR_OK)
        assert_non_null(strstr(msg.text, text));
    return index;
}

static void test_an_id_or_its_beginning(void **state)
{
    char text[ID_TEXT_SIZE];
    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(pick(id_format(&list[i].id, text), NULL, &ours, ERR_OK), i);
    id_format(&list[3].id, text);
    text[6] = 0;
    assert_int_equal(pick(text, NULL, &ours, ERR_OK), 3);
    for (char *at = text; *at; at++)
        *at = (char)(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
    assert_int_equal(pick(text, NULL, &ours, ERR_OK), 3);
    text[1] = 0; /* no other begins with it */
    assert_int_equal(pick(text, NULL, &ours, ERR_OK), 3);
}

static void test_ambiguous_short_or_unknown_is_refused(void **state)
{
    char text[ID_TEXT_SIZE + 2];
    (void)state;
    id_format(&list[0].id, text);
    text[10] = 0;
    pick(text, NULL, &ours, ERR_NOT_FOUND);
    text[3] = 0;
    pick(text, NULL, &ours, ERR_NOT_FOUND);
    pick("", NULL, &ours, ERR_USAGE);
    pick("zzzzzzzz", NULL, &ours, ERR_NOT_FOUND);
    id_format(&list[0].id, text);
    text[ID_TEXT_LENGTH] = 'a';
    text[ID_TEXT_LENGTH + 1] = 0;
    pick(text, NULL, &ours, ERR_NOT_FOUND);
}

/* This device's own; of a host when it is named; after a recovery, when this device has none yet,
   the newest of all. */
static void test_latest(void **state)
{
    size_t index;
    const struct vault_snapshots none = {0};
    (void)state;
    assert_int_equal(pick("latest", NULL, &ours, ERR_OK), 2);
    assert_int_equal(pick("latest", "a", &ours, ERR_OK), 3);
    assert_int_equal(pick("latest", NULL, &nobodys, ERR_OK), 4);
    assert_int_equal(vault_snapshots_pick(&snapshots, "latest", "d", &ours, &index, NULL),
                     ERR_NOT_FOUND);
    assert_int_equal(vault_snapshots_pick(&none, "latest", NULL, &ours, &index, NULL),
                     ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_id_or_its_beginning),
        cmocka_unit_test(test_ambiguous_short_or_unknown_is_refused),
        cmocka_unit_test(test_latest),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
