#include "bench_transport_peers.h"

#include "base/buf.h"
#include "tls/tls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* --- time */

static double wall_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double usage_s(int who)
{
    struct rusage u;
    (void)getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double process_s(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return 0;
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct bench_watch bench_watch_start(pid_t server)
{
    return (struct bench_watch){
        .wall_s = wall_s(), .cpu_s = usage_s(RUSAGE_SELF) + process_s(server), .server = server};
}

struct bench_rate bench_watch_end(const struct bench_watch *watch, uint64_t bytes)
{
    double wall = wall_s() - watch->wall_s;
    double cpu = usage_s(RUSAGE_SELF) + process_s(watch->server) - watch->cpu_s;
    return (struct bench_rate){.mb_s = (double)bytes / 1e6 / wall,
                               .cpu_s_gb = cpu / ((double)bytes / 1e9)};
}

/* --- raw TLS */

enum { SOCKET_BUFFER = 256 << 10 };

struct side {
    struct tls_context *context;
    struct tls_session *session;
    struct buf out;
    int fd;
    uint8_t *wire, *plain;
};

static bool send_out(struct side *s)
{
    for (size_t at = 0; at < s->out.size;) {
        ssize_t n = send(s->fd, s->out.data + at, s->out.size - at, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    buf_clear(&s->out);
    return true;
}

/* Reads once from the socket; *plain counts payload. */
static bool receive(struct side *s, uint64_t *plain)
{
    struct tls_event event;
    ssize_t n = recv(s->fd, s->wire, SOCKET_BUFFER, 0);
    if (n <= 0)
        return false;
    tls_session_input(s->session, slice_of(s->wire, (size_t)n));
    do {
        if (tls_session_step(s->session, s->plain, 65536, &event, NULL) != ERR_OK)
            return false;
        if (event.kind == TLS_PLAIN)
            *plain += event.plain.size;
    } while (event.kind == TLS_OPENED || event.kind == TLS_PLAIN);
    return send_out(s);
}

static bool side_open(struct side *s, enum tls_role role, int fd, uint8_t seed, const struct id *to,
                      uint64_t *plain)
{
    uint8_t seed_bytes[TLS_SEED_SIZE] = {seed};
    *s = (struct side){.fd = fd, .out = BUF_INIT(16 << 20)};
    s->wire = malloc(SOCKET_BUFFER);
    s->plain = malloc(65536);
    if (!s->wire || !s->plain || tls_context_new(seed_bytes, &s->context, NULL) != ERR_OK ||
        tls_session_new(s->context, role, to, &s->out, &s->session, NULL) != ERR_OK || !send_out(s))
        return false;
    while (!tls_session_is_open(s->session))
        if (!receive(s, plain))
            return false;
    return true;
}

static void side_close(struct side *s)
{
    tls_session_free(s->session);
    tls_context_free(s->context);
    buf_free(&s->out);
    free(s->wire);
    free(s->plain);
    (void)close(s->fd);
}

/* Swallows `total` bytes, then says one. */
static int raw_server(int fd, uint64_t total)
{
    struct side s;
    uint64_t got = 0;
    if (!side_open(&s, TLS_SERVER, fd, 1, NULL, &got))
        return 1;
    while (got < total)
        if (!receive(&s, &got))
            return 1;
    if (tls_session_write(s.session, slice_of("x", 1), NULL) != ERR_OK ||
        tls_session_flush(s.session, NULL) != ERR_OK || !send_out(&s))
        return 1;
    side_close(&s);
    return 0;
}

static bool raw_client(struct side *s, const uint8_t *data, size_t size, uint64_t total)
{
    uint64_t answer = 0;
    for (uint64_t at = 0; at < total;) {
        size_t take = SOCKET_BUFFER;
        if (tls_session_write(s->session, slice_of(data + at % (size - take + 1), take), NULL) !=
                ERR_OK ||
            !send_out(s))
            return false;
        at += take;
    }
    if (tls_session_flush(s->session, NULL) != ERR_OK || !send_out(s))
        return false;
    while (answer == 0)
        if (!receive(s, &answer))
            return false;
    return true;
}

/* Two connected TCP sockets on loopback. */
static bool socket_pair(int *client, int *server)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(where);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = listener >= 0 && *client >= 0 &&
                bind(listener, (struct sockaddr *)&where, size) == 0 && listen(listener, 1) == 0 &&
                getsockname(listener, (struct sockaddr *)&where, &size) == 0 &&
                connect(*client, (struct sockaddr *)&where, size) == 0;
    *server = good ? accept(listener, NULL, NULL) : -1;
    (void)close(listener);
    return *server >= 0;
}

bool bench_raw_tls(const uint8_t *data, size_t size, uint64_t total_bytes, struct bench_rate *out)
{
    int client, server;
    struct side s;
    struct id to;
    uint64_t unexpected = 0;
    uint8_t key[TLS_KEY_SIZE], seed[TLS_SEED_SIZE] = {1};
    struct tls_context *context;
    uint64_t total = total_bytes - total_bytes % SOCKET_BUFFER;
    if (!socket_pair(&client, &server) || tls_context_new(seed, &context, NULL) != ERR_OK)
        return false;
    tls_context_identity(context, &to, key);
    tls_context_free(context);
    pid_t child = fork();
    if (child == 0)
        _exit(raw_server(server, total));
    (void)close(server);
    bool good = child > 0 && side_open(&s, TLS_CLIENT, client, 2, &to, &unexpected);
    if (good) {
        struct bench_watch watch = bench_watch_start(child);
        good = raw_client(&s, data, size, total);
        *out = bench_watch_end(&watch, total);
        side_close(&s);
    }
    (void)waitpid(child, NULL, 0);
    return good;
}

/* --- h2load and nghttpd */

static bool run(const char *command)
{
    return system(command) == 0;
}

static bool write_file(const char *path, const uint8_t *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    bool good = file && fwrite(data, 1, size, file) == size;
    return file && fclose(file) == 0 && good;
}

/* The number behind "finished in ... s" of h2load's output, in seconds; 0 when it is not there. */
static double finished_s(const char *path)
{
    char line[512], unit[8];
    double value = 0, seconds = 0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        unsigned failed = 0;
        if (sscanf(line, "finished in %lf%7[a-z]", &value, unit) == 2)
            seconds = strcmp(unit, "ms") == 0 ? value / 1e3 : strcmp(unit, "s") == 0 ? value : 0;
        char *at = strstr(line, " failed,");
        if (at &&
            sscanf(line, "requests: %*u total, %*u started, %*u done, %*u succeeded, %u",
                   &failed) == 1 &&
            failed > 0)
            seconds = 0;
    }
    if (file)
        (void)fclose(file);
    return seconds;
}

static pid_t start_nghttpd(const char *dir, int port)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    char number[16], key[96], certificate[96];
    (void)snprintf(number, sizeof(number), "%d", port);
    (void)snprintf(key, sizeof(key), "%s/key.pem", dir);
    (void)snprintf(certificate, sizeof(certificate), "%s/cert.pem", dir);
    int null = open("/dev/null", O_WRONLY);
    (void)dup2(null, 1);
    (void)dup2(null, 2);
    execlp("nghttpd", "nghttpd", "-d", dir, "-a", "127.0.0.1", "--max-concurrent-streams=256", "-w",
           "20", "-W", "26", number, key, certificate, (char *)NULL);
    _exit(127);
}

static int free_port(void)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(where);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&where, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&where, &size) != 0)
        where.sin_port = 0;
    (void)close(fd);
    return ntohs(where.sin_port);
}

static bool load(const char *dir, int port, bool put, size_t size, unsigned connections,
                 unsigned streams, uint64_t count)
{
    char command[512];
    const char *upload = put ? "-H ':method: PUT' -d " : "";
    (void)snprintf(command, sizeof(command),
                   "h2load --tls13-ciphers=TLS_AES_128_GCM_SHA256 -n %llu -c %u -m %u -w 20 -W 26 "
                   "%s%s%s"
                   " https://127.0.0.1:%d/body-%zu >%s/log 2>&1",
                   (unsigned long long)count, connections, streams, upload, put ? dir : "",
                   put ? "/upload" : "", port, put ? (size_t)0 : size, dir);
    return run(command);
}

bool bench_h2load(bool put, const uint8_t *data, size_t size, unsigned connections,
                  unsigned streams, uint64_t total_bytes, struct bench_rate *out)
{
    char dir[] = "/tmp/cellbench-XXXXXX", command[256], path[64];
    if (!run("command -v h2load nghttpd openssl >/dev/null") || !mkdtemp(dir))
        return false;
    (void)snprintf(command, sizeof(command),
                   "openssl req -x509 -newkey ed25519 -nodes -subj /CN=x -keyout %s/key.pem"
                   " -out %s/cert.pem >/dev/null 2>&1",
                   dir, dir);
    bool good = run(command);
    (void)snprintf(path, sizeof(path), "%s/body-%zu", dir, size);
    good = good && write_file(path, data, size);
    (void)snprintf(path, sizeof(path), "%s/upload", dir);
    good = good && write_file(path, data, size);
    (void)snprintf(path, sizeof(path), "%s/body-0", dir);
    good = good && write_file(path, data, 0);
    int port = free_port();
    pid_t server = good ? start_nghttpd(dir, port) : -1;
    (void)snprintf(path, sizeof(path), "%s/log", dir);
    for (int i = 0;
         good && i < 50 && !(load(dir, port, put, size, 1, 1, 1) && finished_s(path) > 0); i++)
        (void)usleep(100000);
    uint64_t count = total_bytes / size;
    double server_s = process_s(server), client_s = usage_s(RUSAGE_CHILDREN);
    good = good && load(dir, port, put, size, connections, streams, count);
    double took = finished_s(path);
    double cpu = process_s(server) - server_s + usage_s(RUSAGE_CHILDREN) - client_s;
    good = good && took > 0;
    if (good)
        *out = (struct bench_rate){.mb_s = (double)(count * size) / 1e6 / took,
                                   .cpu_s_gb = cpu / ((double)(count * size) / 1e9)};
    if (server > 0) {
        (void)kill(server, SIGTERM);
        (void)waitpid(server, NULL, 0);
    }
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    (void)run(command);
    return good;
}
