#include "vault/vault_members.h"

#include <stdlib.h>

/* One more hour of downtime than was seen: nobody is up for ever because nothing has happened yet.
 */
enum { WATCHED_MIN_S = 86400, MORE_DOWN_S = 3600 };

static double uptime(uint64_t up_s, uint64_t observed_s)
{
    return (double)up_s / (double)(observed_s + MORE_DOWN_S);
}

static void take_uptimes(const struct vault *vault, struct vault_members *out)
{
    uint64_t observed_s = 0, up_s = 0;
    struct swarm_member member;
    for (size_t i = 0; i < out->count; i++) {
        swarm_member(vault->swarm, i, &member);
        observed_s += member.observed_s;
        up_s += member.up_s;
    }
    out->watched = observed_s >= WATCHED_MIN_S;
    for (size_t i = 0; i < out->count; i++) {
        swarm_member(vault->swarm, i, &member);
        out->list[i].up = member.observed_s >= WATCHED_MIN_S
                              ? uptime(member.up_s, member.observed_s)
                              : uptime(up_s, observed_s);
    }
}

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
        *to = (struct vault_member){member.id, member.household, member.state == WIRE_CELL_GONE, 0};
        out->count++;
        if (idmap_set(&out->by_id, &to->id, to) != ERR_OK) {
            vault_members_free(out);
            return ERR_NOMEM;
        }
    }
    take_uptimes(vault, out);
    return ERR_OK;
}

double vault_members_up(const struct vault_members *members, const struct id *cell)
{
    const struct vault_member *member = idmap_get(&members->by_id, cell);
    return member && !member->gone ? member->up : 0;
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
