/*
 * The member list and what has changed since another one: whoever applies the changes has the list
 * that others fetched whole, before and after the coordinator starts again.
 */
#include "registry_fixture.h"

#include "identity/member_changes.h"

enum { CELLS = 12 };

static int setup(void **state)
{
    struct fixture *f = fixture_new(5);
    fixture_open(f);
    for (size_t i = 0; i < CELLS; i++) {
        join_cell(f, i);
        beat(f, i, GIB(100));
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static struct member_list *newest(struct fixture *f)
{
    struct slice doc;
    uint64_t number;
    struct member_list *list;
    OK(registry_members(f->registry, f->now_s, &doc, &number, &f->msg));
    OK(member_list_open(doc, &f->root, &list, &f->msg));
    return list;
}

/* What a holder of `base` makes of the answer; `whole`: it must be the whole list. */
static void check_changes(struct fixture *f, const struct member_list *base, bool whole)
{
    struct slice answer;
    struct member_list *made, *list;
    OK(registry_changes(f->registry, base->number, f->now_s, &answer, &f->msg));
    OK(member_changes_apply(answer, base, &f->root, &made, &f->msg));
    list = newest(f);
    assert_true(slice_equal(made->bytes, list->bytes));
    assert_int_equal(slice_equal(answer, list->bytes), whole);
    if (!whole)
        assert_true(answer.size < list->bytes.size);
    member_list_free(made);
    member_list_free(list);
}

static void leave(struct fixture *f, size_t cell, bool leaving)
{
    const struct wire_heartbeat beat_ = {.free_bytes = GIB(100), .leaving = leaving};
    OK(registry_heartbeat(f->registry, cell_id(f, cell), &beat_, f->now_s, &f->msg));
}

static void test_changes_lead_from_every_list_to_the_newest(void **state)
{
    struct fixture *f = *state;
    struct member_list *lists[8];
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        lists[i] = newest(f);
        if (i == 3)
            join_cell(f, CELLS); /* a new one */
        else if (i == 5)
            leave(f, 0, false); /* back again */
        else
            leave(f, i, true);
        f->now_s += 60;
    }
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        check_changes(f, lists[i], false);
        check_changes(f, lists[i], false); /* from memory */
    }
    struct member_list *last = newest(f);
    check_changes(f, last, true); /* who has it already gets it all the same */
    member_list_free(last);
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++)
        member_list_free(lists[i]);
}

static void test_after_a_start_changes_are_known_from_the_last_list_on(void **state)
{
    struct fixture *f = *state;
    struct member_list *old = newest(f);
    leave(f, 1, true);
    struct member_list *last = newest(f);
    registry_close(f->registry);
    fixture_open(f);
    leave(f, 2, true);
    check_changes(f, last, false);
    check_changes(f, old, true); /* from before: not known any more */
    member_list_free(old);
    member_list_free(last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_changes_lead_from_every_list_to_the_newest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_after_a_start_changes_are_known_from_the_last_list_on,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
