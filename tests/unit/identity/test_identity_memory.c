/* identity/: every allocation fails in turn, once and for good: an error, no leak, nothing half
 * done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/alloc_fault.h"
#include "harness/fault.h"
#include "identity/claim.h"
#include "identity/invite_text.h"
#include "identity/manifest.h"
#include "identity/member_list.h"
#include "identity_examples.h"

#include <stdlib.h>

static const struct identity_world *w;

static struct buf example(const char *name)
{
    struct buf out = BUF_INIT(1 << 20);
    for (size_t i = 0; i < identity_example_count; i++)
        if (strcmp(identity_examples[i].name, name) == 0)
            assert_int_equal(identity_examples[i].build(w, &out), ERR_OK);
    assert_true(out.size != 0);
    return out;
}

/* Did the operation end as it should? */
static bool ended(enum err e)
{
    bool met = alloc_fault_disarm();
    assert_int_equal(e, met ? ERR_NOMEM : ERR_OK);
    return met;
}

static bool open_manifest(void *user, uint64_t at, bool for_good)
{
    struct buf *bytes = user;
    struct manifest *m = NULL;
    struct errmsg msg;
    alloc_fault_arm(at, for_good);
    enum err e = manifest_open(buf_slice(bytes), &w->swarm, &m, &msg);
    bool met = ended(e);
    manifest_free(m);
    return met;
}

static bool open_members(void *user, uint64_t at, bool for_good)
{
    struct buf *bytes = user;
    struct member_list *list = NULL;
    alloc_fault_arm(at, for_good);
    enum err e = member_list_open(buf_slice(bytes), &w->swarm, &list, NULL);
    bool met = ended(e);
    member_list_free(list);
    return met;
}

static bool open_claim(void *user, uint64_t at, bool for_good)
{
    struct buf *bytes = user;
    struct claim claim;
    alloc_fault_arm(at, for_good);
    return ended(claim_open(buf_slice(bytes), &w->swarm, &claim, NULL));
}

static bool open_invite_text(void *user, uint64_t at, bool for_good)
{
    struct buf *text = user;
    struct invite_text invite;
    alloc_fault_arm(at, for_good);
    enum err e = invite_text_open((const char *)text->data, &invite, NULL);
    bool met = ended(e);
    if (e == ERR_OK)
        invite_text_free(&invite);
    return met;
}

/* A manifest from nothing: what fails leaves the manifest as it was, and it can go on. */
static bool make_manifest(void *user, uint64_t at, bool for_good)
{
    struct manifest *m = NULL;
    struct buf out = BUF_INIT(LIMIT_MANIFEST_BYTES);
    struct manifest_device device = {.capabilities = MANIFEST_CAPABILITIES, .name = "x"};
    struct manifest_epoch epoch = {.epoch = 1};
    uint32_t slot;
    (void)user;
    memcpy(device.key, sign_key_public(w->admin), SIGN_PUBLIC_SIZE);
    alloc_fault_arm(at, for_good);
    enum err e =
        manifest_new(&w->swarm, sign_key_public(w->account.root), w->account.reading_public, &m);
    if (e == ERR_OK)
        e = manifest_add_device(m, &device, &slot);
    if (e == ERR_OK)
        e = manifest_add_epoch(m, slot, &epoch);
    if (e == ERR_OK)
        e = manifest_add_claim(m, sign_key_id(w->cell));
    if (e == ERR_OK)
        e = manifest_certify_admins(m, &w->swarm, w->account.root);
    if (e == ERR_OK)
        e = manifest_make(m, &w->swarm, w->account.root, &out);
    bool met = ended(e);
    buf_free(&out);
    manifest_free(m);
    return met;
}

static void test_identity_without_memory(void **state)
{
    (void)state;
    struct buf manifest = example("manifest"), members = example("members"),
               claim = example("claim"), certificate = example("coordinator"),
               invite = example("invite"), text = BUF_INIT(1 << 16);
    struct invite_text in = {
        .swarm = w->swarm, .coordinator = buf_slice(&certificate), .invite = buf_slice(&invite)};
    assert_int_equal(invite_text_make(&in, &text), ERR_OK);
    assert_int_equal(buf_append_u8(&text, 0), ERR_OK);
    fault_loop(open_manifest, &manifest, 1000);
    fault_loop(open_members, &members, 1000);
    fault_loop(open_claim, &claim, 1000);
    fault_loop(open_invite_text, &text, 1000);
    fault_loop(make_manifest, NULL, 1000);
    buf_free(&manifest);
    buf_free(&members);
    buf_free(&claim);
    buf_free(&certificate);
    buf_free(&invite);
    buf_free(&text);
}

static int setup(void **state)
{
    (void)state;
    w = identity_world();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity_without_memory),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
