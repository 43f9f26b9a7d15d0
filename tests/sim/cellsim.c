/*
 * cellsim: a swarm of the real code lives through weeks of bad weather, from one seed.
 *
 *     cellsim --seed 7 --cells 20 --days 30 [--verbose]     one life; the last line ends in its
 * hash cellsim --seeds 1-10000 --jobs 2 --resume FILE        many; each in a process of its own
 *
 * Exit code 0: every promise was held; 1: one was broken, or a life ended in a crash; 2: usage.
 */
#include "sim_life.h"

#include "base/planted.h"

#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 64, HEAP_BYTES = 1 << 30 };

struct plan {
    struct sim_life_options life;
    uint64_t first, last;
    bool many, until_broken;
    unsigned jobs;
    const char *resume;
};

static const char usage[] =
    "usage: cellsim --seed S [--cells N] [--days D] [--verbose]\n"
    "       cellsim --seeds A-B [--cells N] [--days D] [--jobs J] [--resume FILE]\n"
    "               [--until-broken]\n"
    "\n"
    "  --seed S        one life from this seed\n"
    "  --seeds A-B     one life from each of these\n"
    "  --cells N       so many cells, 20 unless told (at least 10, at most 64)\n"
    "  --days D        so many virtual days, 30 unless told\n"
    "  --jobs J        so many lives at once\n"
    "  --resume FILE   a line for each life that is over; those in it are not lived again\n"
    "  --until-broken  ends with the first broken promise\n"
    "  --planted NAME  with one of the bugs of lib/base/planted.h (a build with -Dplanted=true)\n"
    "  --verbose       tells what happens\n";

static void print_result(const struct sim_life_options *options, const struct sim_life_result *r,
                         FILE *out)
{
    if (r->broken)
        fprintf(out, "seed %" PRIu64 " BROKEN %s: %s\n", options->seed, r->invariant, r->words);
    fprintf(out,
            "seed %" PRIu64 ": %s, %u segments, %u restored, %u faults, %u attacks, %" PRIu64
            " refused, %" PRIu64 " proofs, %" PRIu64 " bytes repaired, %" PRIu64
            " events, %.2f s, hash %016" PRIx64 "\n",
            options->seed, r->broken ? "BROKEN" : "ok", r->segments, r->restored, r->faults,
            r->attacks, r->refused, r->proofs, r->repair_bytes, r->steps, r->cpu_s, r->hash);
}

/* --- many --- */

struct job {
    pid_t pid; /* 0: free */
    uint64_t seed;
    int from; /* its words */
};

struct tally {
    uint64_t lives, broken;
    double cpu_s;
    uint64_t hash; /* over the lives' hashes, in the order of seeds when nothing fails */
};

static bool is_done(const uint8_t *done, uint64_t first, uint64_t seed)
{
    return done[(seed - first) / 8] >> ((seed - first) % 8) & 1;
}

static void append(const char *path, const char *line)
{
    FILE *file = fopen(path, "a");
    if (!file) {
        perror(path);
        exit(2);
    }
    fputs(line, file);
    fclose(file);
}

/* The lines of the lives that are over. */
static void read_resume(const struct plan *plan, uint8_t *done, struct tally *tally)
{
    FILE *file = plan->resume ? fopen(plan->resume, "r") : NULL;
    char line[1024] = "\n", word[16];
    while (file && fgets(line, sizeof(line), file)) {
        uint64_t seed, hash;
        double cpu_s;
        if (!strchr(line, '\n') ||
            sscanf(line, "%" SCNu64 " %15s %lf %" SCNx64, &seed, word, &cpu_s, &hash) != 4 ||
            seed < plan->first || seed > plan->last || is_done(done, plan->first, seed))
            continue;
        done[(seed - plan->first) / 8] |= (uint8_t)(1 << ((seed - plan->first) % 8));
        tally->lives++;
        tally->broken += strcmp(word, "ok") != 0;
        tally->cpu_s += cpu_s;
        tally->hash ^= hash * (2 * seed + 1);
    }
    if (file)
        fclose(file);
    if (!strchr(line, '\n')) /* it was being written when the machine went down */
        append(plan->resume, "\n");
}

static void live_in_child(const struct plan *plan, uint64_t seed, int to)
{
    struct sim_life_options options = plan->life;
    struct sim_life_result result;
    options.seed = seed;
    sim_life_run(&options, &result);
    FILE *out = fdopen(to, "w");
    fprintf(out, "%" PRIu64 " %s %.3f %016" PRIx64 " %s %s\n", seed,
            result.broken ? "BROKEN" : "ok", result.cpu_s, result.hash, result.invariant,
            result.words);
    fclose(out);
    _exit(0);
}

static void start_job(const struct plan *plan, struct job *job, uint64_t seed)
{
    int ends[2];
    fflush(NULL);
    if (pipe(ends) != 0)
        abort();
    job->seed = seed;
    job->from = ends[0];
    job->pid = fork();
    if (job->pid < 0)
        abort();
    if (job->pid == 0) {
        close(ends[0]);
        live_in_child(plan, seed, ends[1]);
    }
    close(ends[1]);
}

/* Takes the words of a life that is over. */
static void end_job(const struct plan *plan, struct job *job, int status, struct tally *tally)
{
    char line[1024], word[16] = "";
    uint64_t seed = job->seed, hash = 0;
    double cpu_s = 0;
    FILE *in = fdopen(job->from, "r");
    if (!in || !fgets(line, sizeof(line), in) ||
        sscanf(line, "%" SCNu64 " %15s %lf %" SCNx64, &seed, word, &cpu_s, &hash) != 4)
        snprintf(line, sizeof(line), "%" PRIu64 " CRASHED 0 0 CRASH %s %d\n", job->seed,
                 WIFSIGNALED(status) ? "signal" : "exit code",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (in)
        fclose(in);
    job->pid = 0;
    tally->lives++;
    tally->cpu_s += cpu_s;
    tally->hash ^= hash * (2 * seed + 1);
    if (strcmp(word, "ok") != 0) {
        tally->broken++;
        printf("%s", line);
        fflush(stdout);
    }
    if (plan->resume)
        append(plan->resume, line);
}

static void wait_for_one(const struct plan *plan, struct job *jobs, struct tally *tally)
{
    int status;
    const pid_t pid = wait(&status);
    for (unsigned i = 0; i < plan->jobs; i++)
        if (pid > 0 && jobs[i].pid == pid)
            end_job(plan, &jobs[i], status, tally);
}

static int live_many(const struct plan *plan)
{
    struct job jobs[JOBS_MAX] = {{0}};
    struct tally tally = {0};
    const time_t began = time(NULL);
    unsigned busy = 0;
    uint8_t *done = calloc((plan->last - plan->first) / 8 + 1, 1);
    if (!done)
        abort();
    read_resume(plan, done, &tally);
    for (uint64_t seed = plan->first; seed <= plan->last; seed++) {
        if (is_done(done, plan->first, seed))
            continue;
        if (plan->until_broken && tally.broken)
            break;
        if (busy == plan->jobs)
            wait_for_one(plan, jobs, &tally);
        else
            busy++;
        for (unsigned i = 0; i < plan->jobs; i++)
            if (jobs[i].pid == 0) {
                start_job(plan, &jobs[i], seed);
                break;
            }
    }
    while (busy-- > 0)
        wait_for_one(plan, jobs, &tally);
    free(done);
    printf("%" PRIu64 " seeds, %" PRIu64 " broken, %.2f CPU-seconds a seed, %.0f s, hash "
           "%016" PRIx64 "\n",
           tally.lives, tally.broken, tally.lives ? tally.cpu_s / (double)tally.lives : 0,
           difftime(time(NULL), began), tally.hash);
    return tally.broken ? 1 : 0;
}

/* --- the command line --- */

static bool take_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *rest;
    *out = strtoull(text, &rest, 0);
    return *text && !*rest && *out >= least && *out <= most;
}

static bool take_range(const char *text, struct plan *plan)
{
    char *rest;
    plan->many = true;
    plan->first = strtoull(text, &rest, 0);
    if (*rest != '-')
        return false;
    plan->last = strtoull(rest + 1, &rest, 0);
    return !*rest && plan->first <= plan->last;
}

static bool take_bug(const char *name)
{
#ifdef CELLAR_PLANTED
    return planted_choose(name);
#else
    (void)name;
    fprintf(stderr, "cellsim: this build has no planted bugs; set one up with -Dplanted=true\n");
    return false;
#endif
}

static bool take_flag(struct plan *plan, int flag, const char *value)
{
    uint64_t number = 0;
    bool good = true;
    switch (flag) {
    case 's':
        return take_number(value, 0, UINT64_MAX, &plan->life.seed);
    case 'r':
        return take_range(value, plan);
    case 'c':
        good = take_number(value, 10, SIM_SWARM_CELLS_MAX, &number);
        plan->life.cells = (unsigned)number;
        return good;
    case 'd':
        good = take_number(value, 1, 3650, &number);
        plan->life.days = (unsigned)number;
        return good;
    case 'j':
        good = take_number(value, 1, JOBS_MAX, &number);
        plan->jobs = (unsigned)number;
        return good;
    case 'f':
        plan->resume = value;
        return true;
    case 'p':
        return take_bug(value);
    case 'u':
        return plan->until_broken = true;
    case 'v':
        return plan->life.verbose = true;
    default:
        return false;
    }
}

/* One thread, and memory that is kept: neither locks nor the kernel are asked all the time. */
static void set_up_memory(void)
{
    if (sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) != SQLITE_OK ||
        sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) != SQLITE_OK)
        abort();
    (void)mallopt(M_MMAP_THRESHOLD, HEAP_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_BYTES);
}

int main(int argc, char **argv)
{
    static const struct option flags[] = {
        {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'r'},
        {"cells", required_argument, NULL, 'c'},
        {"days", required_argument, NULL, 'd'},
        {"jobs", required_argument, NULL, 'j'},
        {"resume", required_argument, NULL, 'f'},
        {"planted", required_argument, NULL, 'p'},
        {"until-broken", no_argument, NULL, 'u'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct plan plan = {.life = {.seed = 1, .cells = 20, .days = 30}, .jobs = 1};
    struct sim_life_result result;
    int flag;
    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        if (flag == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (!take_flag(&plan, flag, optarg)) {
            fputs(usage, stderr);
            return 2;
        }
    }
    if (optind != argc) {
        fputs(usage, stderr);
        return 2;
    }
    set_up_memory();
    if (plan.many)
        return live_many(&plan);
    sim_life_run(&plan.life, &result);
    print_result(&plan.life, &result, stdout);
    return result.broken ? 1 : 0;
}
