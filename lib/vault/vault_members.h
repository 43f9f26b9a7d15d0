/*
 * How safe the account's segments are, by what the index says of their shards
 * and by who is a member.
 */
#pragma once

#include "base/idmap.h"
#include "placement/placement_margin.h"
#include "vault/vault_parts.h"

/* The members as they were when it was made, for jobs off the loop. */
struct vault_members {
    struct vault_member {
        struct id id, household;
        bool gone;
        double up; /* measured; of all of them together where this one was watched too shortly */
    } * list;
    size_t count;
    bool watched; /* long enough for `up` to mean something */
    struct idmap by_id;
};

MUST_CHECK enum err vault_members_copy(const struct vault *vault, struct vault_members *out);
void vault_members_free(struct vault_members *members);

/* The uptime of a cell; 0 when it is no member. */
double vault_members_up(const struct vault_members *members, const struct id *cell);
/* The household of a cell: its own ID when it is no member (any more). */
struct id vault_members_household(const struct vault_members *members, const struct id *cell);
/* Is the cell a member that is not known to be gone? */
bool vault_members_alive(const struct vault_members *members, const struct id *cell);
