/* Protects how two walks are merged, and which modifier a change gets. The whole of it, on real
   snapshots, is in tests/e2e/test_diff.py. */
#include "browse/browse_diff_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A walk as a word an event: "d:" enters, "<" leaves, "!" a problem, anything else an entry. */
struct walk {
    const char *const *words;
    struct transfer_tree_event event;
};

static const struct transfer_tree_event *event_of(struct walk *walk)
{
    const char *word = *walk->words;
    if (!word)
        return NULL;
    const size_t size = strlen(word);
    walk->event = (struct transfer_tree_event){.kind = TRANSFER_TREE_ENTRY};
    walk->event.entry.name = slice_of(word, size);
    if (!strcmp(word, "<")) {
        walk->event.kind = TRANSFER_TREE_LEAVE;
    } else if (!strcmp(word, "!")) {
        walk->event.kind = TRANSFER_TREE_PROBLEM;
    } else if (word[size - 1] == ':') {
        walk->event.kind = TRANSFER_TREE_ENTER;
        walk->event.entry.name.size--;
    }
    return &walk->event;
}

/* The turns for two walks through one flat directory, a letter each: - + = for old, new, both. */
static const char *turns(const char *const *old_words, const char *const *new_words)
{
    static char text[64];
    size_t size = 0;
    struct walk a = {.words = old_words}, b = {.words = new_words};
    for (;;) {
        const enum browse_diff_turn turn = browse_diff_turn(event_of(&a), event_of(&b));
        if (turn == BROWSE_DIFF_END)
            break;
        text[size++] = "-+="[turn];
        a.words += turn != BROWSE_DIFF_NEW;
        b.words += turn != BROWSE_DIFF_OLD;
    }
    text[size] = 0;
    return text;
}

#define WALK(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void test_turns_follow_the_order_of_names(void **state)
{
    (void)state;
    assert_string_equal(turns(WALK(), WALK()), "");
    assert_string_equal(turns(WALK("a", "b"), WALK("a", "b")), "==");
    assert_string_equal(turns(WALK("a"), WALK("b")), "-+");
    assert_string_equal(turns(WALK("b"), WALK("a")), "+-");
    assert_string_equal(turns(WALK("a", "c"), WALK("b")), "-+-");
    assert_string_equal(turns(WALK("a", "ab"), WALK("a", "aa", "b")), "=+-+");
    assert_string_equal(turns(WALK("a", "b"), WALK()), "--");
    assert_string_equal(turns(WALK(), WALK("a")), "+");
    assert_string_equal(turns(WALK("a\xff"), WALK("ab")), "+-"); /* bytes are unsigned */
}

static void test_leaving_a_directory_waits_for_the_other(void **state)
{
    (void)state;
    assert_string_equal(turns(WALK("<"), WALK("x", "y", "<")), "++=");
    assert_string_equal(turns(WALK("x", "<"), WALK("<")), "-=");
    assert_string_equal(turns(WALK("a:"), WALK("a")), "=");
}

static void test_a_problem_is_passed_by_itself(void **state)
{
    (void)state;
    assert_string_equal(turns(WALK("!", "a"), WALK("a")), "-=");
    assert_string_equal(turns(WALK("a"), WALK("!", "a")), "+=");
    assert_string_equal(turns(WALK("a", "!", "<"), WALK("a", "!", "<")), "=-+=");
}

static struct snapshot_entry file(void)
{
    static uint8_t ref[SNAPSHOT_REF_SIZE];
    return (struct snapshot_entry){
        .name = slice_text("name"),
        .type = SNAPSHOT_TYPE_FILE,
        .mode = 0644,
        .size = 5,
        .mtime_s = 1,
        .inode = 7,
        .links = 1,
        .content = {.depth = 0, .refs = slice_of(ref, sizeof(ref))},
    };
}

static const char *modifier(const struct snapshot_entry *a, const struct snapshot_entry *b,
                            bool metadata)
{
    static char out[BROWSE_DIFF_MODIFIER_SIZE];
    assert_int_equal(browse_diff_modifier(a, b, metadata, out), ERR_OK);
    return out;
}

static void test_modifier_is_restics(void **state)
{
    static const uint8_t other[SNAPSHOT_REF_SIZE] = {1};
    struct snapshot_entry a = file(), b = file();
    (void)state;
    assert_string_equal(modifier(&a, &b, false), "");
    assert_string_equal(modifier(&a, &b, true), "");
    b.mtime_s = 2;
    assert_string_equal(modifier(&a, &b, false), "");
    assert_string_equal(modifier(&a, &b, true), "U");
    b.content.refs = slice_of(other, sizeof(other));
    assert_string_equal(modifier(&a, &b, false), "M");
    assert_string_equal(modifier(&a, &b, true), "M");
    b.mtime_s = a.mtime_s; /* nothing but the content: nobody wrote to it */
    assert_string_equal(modifier(&a, &b, false), "M?");
    b = file();
    b.type = SNAPSHOT_TYPE_SYMLINK;
    b.content.refs = slice_of(NULL, 0);
    b.target = slice_text("there");
    assert_string_equal(modifier(&a, &b, false), "T");
}

static void test_modifier_sees_a_links_target_and_holes(void **state)
{
    struct snapshot_entry a = file(), b;
    struct buf runs = BUF_INIT(64);
    (void)state;
    a.type = SNAPSHOT_TYPE_SYMLINK;
    a.content.refs = slice_of(NULL, 0);
    a.target = slice_text("here");
    b = a;
    b.target = slice_text("there");
    b.mtime_s = 9;
    assert_string_equal(modifier(&a, &b, false), "M");
    a = b = file();
    assert_int_equal(snapshot_run_append(&runs, 0, 5), ERR_OK);
    b.sparse = true;
    b.runs = buf_slice(&runs);
    b.size = 9;
    assert_string_equal(modifier(&a, &b, false), "M");
    buf_free(&runs);
}

/* A directory is M by what is in it, which is told by itself. */
static void test_modifier_of_directories(void **state)
{
    static const uint8_t other[SNAPSHOT_REF_SIZE] = {1};
    struct snapshot_entry a = file(), b;
    (void)state;
    a.type = SNAPSHOT_TYPE_DIRECTORY;
    b = a;
    b.content.refs = slice_of(other, sizeof(other));
    assert_string_equal(modifier(&a, &b, false), "");
    assert_string_equal(modifier(&a, &b, true), "");
    b.mode = 0700;
    assert_string_equal(modifier(&a, &b, true), "U");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns_follow_the_order_of_names),
        cmocka_unit_test(test_leaving_a_directory_waits_for_the_other),
        cmocka_unit_test(test_a_problem_is_passed_by_itself),
        cmocka_unit_test(test_modifier_is_restics),
        cmocka_unit_test(test_modifier_sees_a_links_target_and_holes),
        cmocka_unit_test(test_modifier_of_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
