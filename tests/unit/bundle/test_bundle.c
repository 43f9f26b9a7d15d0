/* Protects what stands in an archive: pax records of the things that a tar header cannot hold,
   bytes in their places, errors of whoever takes the stream. tests/e2e/test_dump.py has GNU tar
   read it. */
#include "base/buf.h"
#include "bundle/bundle.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

struct sink {
    struct buf bytes;
    size_t full_at; /* 0: takes everything */
};

static enum err take(void *user, struct slice bytes)
{
    struct sink *sink = user;
    if (sink->full_at && sink->bytes.size + bytes.size > sink->full_at)
        return ERR_FULL;
    return buf_append(&sink->bytes, bytes.data, bytes.size);
}

static bool holds(const struct sink *sink, const char *text)
{
    return memmem(sink->bytes.data, sink->bytes.size, text, strlen(text)) != NULL;
}

static struct bundle_entry file_entry(const char *path, uint64_t size)
{
    return (struct bundle_entry){
        .path = path, .mode = S_IFREG | 0640, .size = size, .mtime_s = 1000000000};
}

static void must(enum err e, const struct errmsg *msg)
{
    if (e != ERR_OK)
        fail_msg("%s", msg->text);
}

static void test_tar_has_pax_records_for_what_headers_cannot_hold(void **state)
{
    struct sink sink = {.bytes = BUF_INIT(1 << 20)};
    struct bundle *bundle;
    struct errmsg msg;
    char path[400];
    const struct bundle_xattr xattr = {"user.note", slice_text("v\n=1")};
    (void)state;
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = 0;
    must(bundle_new(BUNDLE_TAR, take, &sink, &bundle, &msg), &msg);
    struct bundle_entry entry = file_entry(path, 3);
    entry.mtime_ns = 123456789;
    entry.uid = 3000000000u;
    entry.xattrs = &xattr;
    entry.xattr_count = 1;
    must(bundle_entry(bundle, &entry, &msg), &msg);
    must(bundle_bytes(bundle, slice_text("abc"), &msg), &msg);
    must(bundle_finish(bundle, &msg), &msg);
    bundle_free(bundle);
    assert_int_equal(sink.bytes.size % 10240, 0);
    assert_true(holds(&sink, path));
    assert_true(holds(&sink, "mtime=1000000000.123456789\n"));
    assert_true(holds(&sink, "uid=3000000000\n"));
    assert_true(holds(&sink, "SCHILY.xattr.user.note=v\n=1\n"));
    assert_false(holds(&sink, "LIBARCHIVE.xattr"));
    assert_false(holds(&sink, "hdrcharset"));
    buf_free(&sink.bytes);
}

static void test_a_name_that_is_not_utf8_is_kept_as_it_is(void **state)
{
    struct sink sink = {.bytes = BUF_INIT(1 << 20)};
    struct bundle *bundle;
    struct errmsg msg;
    (void)state;
    must(bundle_new(BUNDLE_TAR, take, &sink, &bundle, &msg), &msg);
    const struct bundle_entry entry = file_entry("odd-\xff\xfe-name", 0);
    must(bundle_entry(bundle, &entry, &msg), &msg);
    must(bundle_finish(bundle, &msg), &msg);
    bundle_free(bundle);
    assert_true(holds(&sink, "hdrcharset=BINARY\n"));
    assert_true(holds(&sink, "path=odd-\xff\xfe-name\n"));
    buf_free(&sink.bytes);
}

static void test_holes_are_not_in_the_tar(void **state)
{
    static const uint8_t zeros[1 << 16];
    struct sink sink = {.bytes = BUF_INIT(1 << 20)};
    struct bundle *bundle;
    struct errmsg msg;
    const struct bundle_run run = {.offset = 8 << 20, .size = 4};
    (void)state;
    must(bundle_new(BUNDLE_TAR, take, &sink, &bundle, &msg), &msg);
    struct bundle_entry entry = file_entry("sparse", (8 << 20) + 4);
    entry.runs = &run;
    entry.run_count = 1;
    must(bundle_entry(bundle, &entry, &msg), &msg);
    for (unsigned i = 0; i < 128; i++)
        must(bundle_bytes(bundle, slice_of(zeros, sizeof(zeros)), &msg), &msg);
    must(bundle_bytes(bundle, slice_text("data"), &msg), &msg);
    must(bundle_finish(bundle, &msg), &msg);
    bundle_free(bundle);
    assert_true(sink.bytes.size < 64 << 10);
    assert_true(holds(&sink, "GNU.sparse.realsize=8388612\n"));
    assert_true(holds(&sink, "data"));
    buf_free(&sink.bytes);
}

static void test_too_many_bytes_are_refused(void **state)
{
    struct sink sink = {.bytes = BUF_INIT(1 << 20)};
    struct bundle *bundle;
    struct errmsg msg;
    (void)state;
    must(bundle_new(BUNDLE_TAR, take, &sink, &bundle, &msg), &msg);
    const struct bundle_entry entry = file_entry("file", 3);
    must(bundle_entry(bundle, &entry, &msg), &msg);
    assert_int_equal(bundle_bytes(bundle, slice_text("abcd"), &msg), ERR_STATE);
    bundle_free(bundle);
    buf_free(&sink.bytes);
}

/* The error that the taker gave is what comes out, wherever in the stream it strikes. */
static void test_an_error_of_the_taker_comes_through(void **state)
{
    static uint8_t bytes[300 << 10];
    (void)state;
    for (size_t full_at = 1; full_at < 1 << 20; full_at += 200 << 10) {
        struct sink sink = {.bytes = BUF_INIT(2 << 20), .full_at = full_at};
        struct bundle *bundle;
        struct errmsg msg = {0};
        must(bundle_new(BUNDLE_TAR, take, &sink, &bundle, &msg), &msg);
        const struct bundle_entry entry = file_entry("file", 4 * sizeof(bytes));
        enum err e = bundle_entry(bundle, &entry, &msg);
        for (unsigned i = 0; e == ERR_OK && i < 4; i++)
            e = bundle_bytes(bundle, slice_of(bytes, sizeof(bytes)), &msg);
        if (e == ERR_OK)
            e = bundle_finish(bundle, &msg);
        assert_int_equal(e, ERR_FULL);
        assert_non_null(strstr(msg.text, "cannot write"));
        bundle_free(bundle);
        buf_free(&sink.bytes);
    }
}

static void test_zip_refuses_devices_and_goes_on(void **state)
{
    struct sink sink = {.bytes = BUF_INIT(1 << 20)};
    struct bundle *bundle;
    struct errmsg msg;
    (void)state;
    must(bundle_new(BUNDLE_ZIP, take, &sink, &bundle, &msg), &msg);
    struct bundle_entry device = file_entry("device", 0);
    device.mode = S_IFBLK | 0600;
    assert_int_equal(bundle_entry(bundle, &device, &msg), ERR_UNSUPPORTED);
    const struct bundle_entry entry = file_entry("file", 3);
    must(bundle_entry(bundle, &entry, &msg), &msg);
    must(bundle_bytes(bundle, slice_text("abc"), &msg), &msg);
    must(bundle_finish(bundle, &msg), &msg);
    bundle_free(bundle);
    assert_true(holds(&sink, "file"));
    assert_false(holds(&sink, "device"));
    buf_free(&sink.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tar_has_pax_records_for_what_headers_cannot_hold),
        cmocka_unit_test(test_a_name_that_is_not_utf8_is_kept_as_it_is),
        cmocka_unit_test(test_holes_are_not_in_the_tar),
        cmocka_unit_test(test_too_many_bytes_are_refused),
        cmocka_unit_test(test_an_error_of_the_taker_comes_through),
        cmocka_unit_test(test_zip_refuses_devices_and_goes_on),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
