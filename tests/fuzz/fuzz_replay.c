/*
 * The main of a fuzz target without libFuzzer:
 *
 *     replay_cbor DIR ...             every file of these folders, the target's own seeds, and for
 *                                     each: truncations, flipped bits, mutations
 *     replay_cbor FILE ...            these files alone, as they are
 *     replay_cbor --write DIR         the seeds as files, for libFuzzer to start from
 *     replay_cbor --tries N DIR ...   at most N flipped bits of each (a slow decoder; default 4096)
 *
 * CELLAR_FUZZ_MUTATIONS: how many mutations of each input (default 500). CELLAR_SEED: of them.
 * When the target breaks, the input is left in fuzz-failed-input.
 */
#include "fuzz.h"

#include "harness/hostile.h"
#include "harness/sim_world.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 16 << 20, HOSTILE_BYTES_MAX = 4096, INPUTS_MAX = 4096 };

struct replay {
    uint64_t seed, mutations, tries_max, runs, inputs;
    uint64_t seen[INPUTS_MAX]; /* hashes: seeds and files may be the same */
};

/* what is running, for the signal handler */
static struct slice running;
static const char *running_how = "none, a seed could not be made";

static void keep_input(int number)
{
    int fd = open("fuzz-failed-input", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    static const char told[] = "\nthe input is in fuzz-failed-input: ";
    if (fd >= 0 && write(fd, running.data, running.size) == (ssize_t)running.size) {
        ssize_t said = write(2, told, sizeof(told) - 1);
        said = said < 0 ? said : write(2, running_how, strlen(running_how));
        said = said < 0 ? said : write(2, "\n", 1);
        (void)said;
    }
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void run(void *user, struct slice bytes, const char *how)
{
    struct replay *replay = user;
    running = bytes;
    running_how = how;
    replay->runs++;
    (void)LLVMFuzzerTestOneInput(bytes.data, bytes.size);
    running = slice_of(NULL, 0);
    running_how = "none, a seed could not be made";
}

/* Was an equal input replayed already? */
static bool is_known(struct replay *replay, struct slice bytes)
{
    uint64_t hash = 0xcbf29ce484222325u ^ bytes.size; /* FNV-1a */
    for (size_t i = 0; i < bytes.size; i++)
        hash = (hash ^ bytes.data[i]) * 0x100000001b3u;
    for (uint64_t i = 0; i < replay->inputs && i < INPUTS_MAX; i++)
        if (replay->seen[i] == hash)
            return true;
    if (replay->inputs < INPUTS_MAX)
        replay->seen[replay->inputs] = hash;
    return false;
}

static void run_and_bend(void *user, const char *name, struct slice bytes)
{
    struct replay *replay = user;
    if (is_known(replay, bytes))
        return;
    replay->inputs++;
    uint8_t *exact = calloc(1, bytes.size ? bytes.size : 1);
    if (!exact)
        abort();
    if (bytes.size)
        memcpy(exact, bytes.data, bytes.size);
    run(replay, slice_of(exact, bytes.size), name);
    free(exact);
    if (bytes.size <= HOSTILE_BYTES_MAX)
        hostile_truncations(bytes, run, replay);
    hostile_flips(bytes, replay->tries_max, run, replay);
    hostile_extremes(bytes, replay->tries_max, run, replay);
    hostile_mutations(bytes, replay->seed + replay->inputs, replay->mutations, run, replay);
}

static void write_seed(void *user, const char *name, struct slice bytes)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", (const char *)user, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes.data, 1, bytes.size, file) != bytes.size || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static int replay_file(struct replay *replay, const char *path, bool bend)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(FILE_BYTES_MAX);
    if (!file || !bytes) {
        perror(path);
        free(bytes);
        return 1;
    }
    size_t size = fread(bytes, 1, FILE_BYTES_MAX, file);
    (void)fclose(file);
    if (bend)
        run_and_bend(replay, path, slice_of(bytes, size));
    else
        run(replay, slice_of(bytes, size), path);
    free(bytes);
    return 0;
}

static int replay_folder(struct replay *replay, const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, NULL, alphasort), failed = count < 0;
    if (failed)
        perror(folder);
    for (int i = 0; i < count; i++) {
        char path[4096];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            failed |= replay_file(replay, path, true);
        free(entries[i]);
    }
    free(entries);
    return failed;
}

int main(int count, char **arguments)
{
    const char *mutations = getenv("CELLAR_FUZZ_MUTATIONS");
    static struct replay replay; /* large */
    replay.mutations = mutations ? strtoull(mutations, NULL, 10) : 500;
    if (count == 3 && strcmp(arguments[1], "--write") == 0) {
        fuzz_seeds(write_seed, arguments[2]);
        return 0;
    }
    static const int fatal[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < ARRAY_COUNT(fatal); i++)
        (void)signal(fatal[i], keep_input);
    replay.seed = sim_world_test_seed(1);
    replay.tries_max = HOSTILE_BYTES_MAX;
    int failed = 0, first = 1;
    if (count >= 3 && strcmp(arguments[1], "--tries") == 0) {
        replay.tries_max = strtoull(arguments[2], NULL, 10);
        first = 3;
    }
    bool folders = count == first;
    for (int i = first; i < count; i++) {
        struct stat status;
        bool folder = stat(arguments[i], &status) == 0 && S_ISDIR(status.st_mode);
        folders = folders || folder;
        failed |= folder ? replay_folder(&replay, arguments[i])
                         : replay_file(&replay, arguments[i], false);
    }
    if (folders) {
        fuzz_seeds(run_and_bend, &replay);
        hostile_noise(replay.seed, 2000, 300, run, &replay);
    }
    (void)printf("%" PRIu64 " inputs, %" PRIu64 " runs\n", replay.inputs, replay.runs);
    return failed;
}
