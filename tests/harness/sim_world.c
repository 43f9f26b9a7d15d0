#include "harness/sim_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A place in the heap: what it is sorted by stands in it, so that few events are touched. */
struct place {
    uint64_t at_ns, tie;
    struct sim_event *event;
};

struct sim_world {
    uint64_t seed;
    uint64_t random_state[4]; /* order of events, and all that the world itself decides */
    uint64_t test_state[4];   /* what tests draw, so that a new draw does not move the world's */
    uint64_t now_ns;
    uint64_t steps, step_max;
    uint64_t numbers; /* of events */
    uint64_t hash;
    bool print;
    struct place *heap; /* owned array, borrowed events */
    size_t count, capacity;
    struct sim_node *nodes[SIM_NODES_MAX];
    unsigned node_count;
    struct list plans;
};

struct plan {
    struct sim_event event;
    struct list link;
    void (*act)(void *user);
    void *user;
};

static void *allocate(size_t size)
{
    size_t rounded = (size + 15) / 16 * 16;
    void *memory = aligned_alloc(16, rounded ? rounded : 16);
    if (!memory)
        abort();
    return memory;
}

void *sim_world_alloc(size_t size)
{
    return memset(allocate(size), 0, size);
}

void *sim_world_grow(void *old, size_t old_size, size_t size)
{
    uint8_t *memory = allocate(size);
    size_t kept = !old ? 0 : old_size < size ? old_size : size;
    if (kept)
        memcpy(memory, old, kept);
    memset(memory + kept, 0, size - kept);
    free(old);
    return memory;
}

char *sim_world_copy_text(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(sim_world_alloc(size), text, size);
}

static uint64_t rotate(uint64_t value, int by)
{
    return value << by | value >> (64 - by);
}

void sim_world_seed_stream(uint64_t state[4], uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        state[i] = z ^ z >> 31;
    }
}

uint64_t sim_world_next(uint64_t state[4])
{
    uint64_t result = rotate(state[1] * 5, 7) * 9;
    uint64_t t = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= t;
    state[3] = rotate(state[3], 45);
    return result;
}

struct sim_world *sim_world_new(uint64_t seed)
{
    struct sim_world *world = sim_world_alloc(sizeof(*world));
    world->seed = seed;
    sim_world_seed_stream(world->random_state, seed);
    sim_world_seed_stream(world->test_state, seed ^ 0x7465737473u);
    world->step_max = SIM_STEP_MAX_DEFAULT;
    world->hash = 0xcbf29ce484222325u;
    const char *trace = getenv("CELLAR_SIM_TRACE");
    world->print = trace && *trace && *trace != '0';
    list_init(&world->plans);
    return world;
}

static void free_node(struct sim_node *node)
{
    sim_vfs_free(node->sim_vfs);
    sim_net_free(node->sim_net);
    sim_disk_free(node->sim_disk);
    sim_work_free(node->sim_work);
    free(node->sim_clock);
    free(node);
}

void sim_world_free(struct sim_world *world)
{
    if (!world)
        return;
    for (unsigned i = 0; i < world->node_count; i++)
        sim_node_stop(world->nodes[i]);
    for (unsigned i = 0; i < world->node_count; i++)
        sim_net_forget(world->nodes[i]->sim_net);
    for (unsigned i = 0; i < world->node_count; i++)
        free_node(world->nodes[i]);
    struct list *node;
    while ((node = list_pop(&world->plans)) != NULL)
        free(container_of(node, struct plan, link));
    free(world->heap);
    free(world);
}

uint64_t sim_world_seed(const struct sim_world *world)
{
    return world->seed;
}

uint64_t sim_world_now_ns(const struct sim_world *world)
{
    return world->now_ns;
}

uint64_t sim_world_now_ms(const struct sim_world *world)
{
    return world->now_ns / 1000000;
}

uint64_t sim_world_random(struct sim_world *world)
{
    return sim_world_next(world->test_state);
}

uint64_t sim_world_below(struct sim_world *world, uint64_t bound)
{
    assert(bound > 0);
    return sim_world_next(world->test_state) % bound;
}

bool sim_world_chance(struct sim_world *world, uint64_t per_million)
{
    return per_million > 0 && sim_world_below(world, 1000000) < per_million;
}

unsigned sim_world_node_count(const struct sim_world *world)
{
    return world->node_count;
}

struct sim_node *sim_world_node(const struct sim_world *world, unsigned index)
{
    assert(index < world->node_count);
    return world->nodes[index];
}

unsigned sim_world_add_node(struct sim_world *world, struct sim_node *node)
{
    assert(world->node_count < SIM_NODES_MAX);
    world->nodes[world->node_count] = node;
    return world->node_count++;
}

/* --- the heap of events --- */

static bool before(const struct place *a, const struct place *b)
{
    if (a->at_ns != b->at_ns)
        return a->at_ns < b->at_ns;
    if (a->tie != b->tie)
        return a->tie < b->tie;
    return a->event->number < b->event->number;
}

static void put(struct sim_world *world, size_t place, const struct place *what)
{
    world->heap[place] = *what;
    what->event->place = place + 1;
}

static void sift_up(struct sim_world *world, size_t place, struct place what)
{
    while (place > 0 && before(&what, &world->heap[(place - 1) / 2])) {
        put(world, place, &world->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(world, place, &what);
}

static void sift_down(struct sim_world *world, size_t place, struct place what)
{
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= world->count)
            break;
        if (child + 1 < world->count && before(&world->heap[child + 1], &world->heap[child]))
            child++;
        if (!before(&world->heap[child], &what))
            break;
        put(world, place, &world->heap[child]);
        place = child;
    }
    put(world, place, &what);
}

void sim_world_unschedule(struct sim_world *world, struct sim_event *event)
{
    if (event->place == 0)
        return;
    size_t place = event->place - 1;
    event->place = 0;
    const struct place last = world->heap[--world->count];
    if (last.event == event)
        return;
    if (place > 0 && before(&last, &world->heap[(place - 1) / 2]))
        sift_up(world, place, last);
    else
        sift_down(world, place, last);
}

void sim_world_schedule_at(struct sim_world *world, struct sim_event *event, uint64_t at_ns)
{
    sim_world_unschedule(world, event);
    if (world->count == world->capacity) {
        size_t capacity = world->capacity ? 2 * world->capacity : 64;
        world->heap = sim_world_grow(world->heap, world->capacity * sizeof(*world->heap),
                                     capacity * sizeof(*world->heap));
        world->capacity = capacity;
    }
    event->at_ns = at_ns < world->now_ns ? world->now_ns : at_ns;
    event->tie = sim_world_next(world->random_state);
    event->number = world->numbers++;
    world->count++;
    sift_up(world, world->count - 1, (struct place){event->at_ns, event->tie, event});
}

void sim_world_schedule(struct sim_world *world, struct sim_event *event, uint64_t delay_ns)
{
    uint64_t at = world->now_ns + delay_ns;
    sim_world_schedule_at(world, event, at < world->now_ns ? UINT64_MAX : at);
}

/* --- the trace --- */

/* FNV-1a, but by words of eight bytes: it is a tenth of the simulator's work otherwise. */
static void mix(struct sim_world *world, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + at, size - at < 8 ? size - at : 8);
        world->hash = rotate((world->hash ^ word) * 0x100000001b3u, 29);
    }
}

static void trace(struct sim_world *world, const struct sim_node *node, const char *what)
{
    const uint64_t head[2] = {world->now_ns, node ? node->index : UINT32_MAX};
    mix(world, head, sizeof(head));
    mix(world, what, strlen(what) + 1);
    if (world->print)
        (void)fprintf(stderr, "%12" PRIu64 ".%06" PRIu64 " ms  %-12s %s\n", world->now_ns / 1000000,
                      world->now_ns % 1000000, node ? node->name : "-", what);
}

void sim_world_note(struct sim_world *world, const struct sim_node *node, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    trace(world, node, line);
}

uint64_t sim_world_hash(const struct sim_world *world)
{
    return world->hash;
}

uint64_t sim_world_steps(const struct sim_world *world)
{
    return world->steps;
}

void sim_world_set_step_max(struct sim_world *world, uint64_t step_max)
{
    world->step_max = world->steps + step_max;
}

/* --- running --- */

void sim_world_run_now(struct sim_world *world, struct sim_event *event)
{
    sim_world_unschedule(world, event);
    world->steps++;
    trace(world, event->node, event->kind);
    event->run(event);
}

enum err sim_world_step(struct sim_world *world)
{
    if (world->count == 0)
        return ERR_END;
    if (world->steps >= world->step_max)
        return ERR_TOO_LARGE;
    struct sim_event *event = world->heap[0].event;
    assert(event->at_ns >= world->now_ns);
    world->now_ns = event->at_ns;
    sim_world_run_now(world, event);
    return ERR_OK;
}

static uint64_t later(const struct sim_world *world, uint64_t ms)
{
    uint64_t left = (UINT64_MAX - world->now_ns) / 1000000;
    return ms > left ? UINT64_MAX : world->now_ns + ms * 1000000;
}

enum err sim_world_run(struct sim_world *world, uint64_t duration_ms)
{
    uint64_t until = later(world, duration_ms);
    while (world->count > 0 && world->heap[0].at_ns <= until) {
        enum err e = sim_world_step(world);
        if (e != ERR_OK)
            return e;
    }
    world->now_ns = until;
    return ERR_OK;
}

enum err sim_world_run_until(struct sim_world *world, sim_condition_fn *met, void *user,
                             uint64_t max_ms)
{
    uint64_t until = later(world, max_ms);
    while (!met(user)) {
        if (world->count > 0 && world->heap[0].at_ns > until) {
            world->now_ns = until;
            return ERR_TIMEOUT;
        }
        enum err e = sim_world_step(world);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

static void run_plan(struct sim_event *event)
{
    struct plan *plan = container_of(event, struct plan, event);
    list_remove(&plan->link);
    plan->act(plan->user);
    free(plan);
}

void sim_world_plan(struct sim_world *world, uint64_t delay_ms, void (*act)(void *user), void *user)
{
    struct plan *plan = sim_world_alloc(sizeof(*plan));
    plan->act = act;
    plan->user = user;
    plan->event.run = run_plan;
    plan->event.kind = "plan";
    list_append(&world->plans, &plan->link);
    sim_world_schedule_at(world, &plan->event, later(world, delay_ms));
}

uint64_t sim_world_test_seed(uint64_t fallback)
{
    const char *text = getenv("CELLAR_SEED");
    uint64_t seed = text && *text ? strtoull(text, NULL, 0) : fallback;
    (void)printf("seed %" PRIu64 " (repeat with CELLAR_SEED=%" PRIu64 ")\n", seed, seed);
    return seed;
}
