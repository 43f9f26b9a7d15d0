#include "vault/vault_margins.h"

#include <stdlib.h>

enum err vault_members_copy(const struct vault *vault, struct vault_members *out)
{
    const size_t count = swarm_member_count(vault->swarm);
    *out = (struct vault_members){.list = calloc(count + 1, sizeof(*out->list))};
    if (!out->list)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        struct swarm_member member;
        struct vault_member *to = &out->list[i];
        swarm_member(vault->swarm, i, &member);
        *to = (struct vault_member){member.id, member.household, member.state == WIRE_CELL_GONE};
        out->count++;
        if (idmap_set(&out->by_id, &to->id, to) != ERR_OK) {
            vault_members_free(out);
            return ERR_NOMEM;
        }
    }
    return ERR_OK;
}

void vault_members_free(struct vault_members *members)
{
    idmap_free(&members->by_id);
    free(members->list);
    *members = (struct vault_members){0};
}

struct id vault_members_household(const struct vault_members *members, const struct id *cell)
{
    const struct vault_member *member = idmap_get(&members->by_id, cell);
    return member ? member->household : *cell;
}

bool vault_members_alive(const struct vault_members *members, const struct id *cell)
{
    const struct vault_member *member = idmap_get(&members->by_id, cell);
    return member && !member->gone;
}
