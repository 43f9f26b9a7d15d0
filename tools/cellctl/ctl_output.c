#include "ctl_output.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

void ctl_output_init(struct ctl_output *out, bool json, bool quiet, bool verbose)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    const bool dumb = term && !strcmp(term, "dumb");
    const bool colour = !json && !dumb && !(no_colour && no_colour[0]); /* https://no-color.org */
    const bool terminal = isatty(STDOUT_FILENO) && !dumb;
    *out = (struct ctl_output){
        .json = json,
        .quiet = quiet,
        .verbose = verbose,
        .live = terminal && !json && !quiet,
        .colour = colour && terminal,
        .colour_errors = colour && isatty(STDERR_FILENO),
    };
}

/* Takes the live line away, so that something else can be printed. */
static void live_clear(struct ctl_output *out)
{
    if (!out->line_shown)
        return;
    fputs("\r\x1b[K", stdout);
    fflush(stdout);
    out->line_shown = false;
}

static void print_line(struct ctl_output *out, FILE *to, const char *format, va_list arguments)
{
    assert(format);
    live_clear(out);
    vfprintf(to, format, arguments);
    fputc('\n', to);
    fflush(to);
}

void ctl_say(struct ctl_output *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!out->json && !out->quiet)
        print_line(out, stdout, format, arguments);
    va_end(arguments);
}

void ctl_say_more(struct ctl_output *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!out->json && out->verbose)
        print_line(out, stdout, format, arguments);
    va_end(arguments);
}

void ctl_print(struct ctl_output *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!out->json)
        print_line(out, stdout, format, arguments);
    va_end(arguments);
}

bool ctl_reader_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return ferror(stdout) && poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

const char *ctl_tint(const struct ctl_output *out, enum ctl_tint tint)
{
    static const char *const codes[] = {"\x1b[0m", "\x1b[32m", "\x1b[31m"};
    return out->colour ? codes[tint] : "";
}

/* `code`: of the prefix' colour. */
static void say_to_errors(struct ctl_output *out, const char *code, const char *prefix,
                          const char *sentence)
{
    char text[CTL_TEXT_SIZE];
    const bool colour = out->colour_errors && prefix[0];
    live_clear(out);
    fprintf(stderr, "%s%s%s%s\n", colour ? code : "", prefix, colour ? "\x1b[0m" : "",
            ctl_text(slice_text(sentence), text));
    fflush(stderr);
}

static void json_to(FILE *to, struct json_line *line)
{
    struct buf bytes = BUF_INIT(1u << 26);
    if (json_line_finish(line, &bytes) == ERR_OK)
        fwrite(bytes.data, 1, bytes.size, to);
    fflush(to);
    buf_free(&bytes);
}

void ctl_json(struct ctl_output *out, struct json_line *line)
{
    (void)out;
    json_to(stdout, line);
}

void ctl_problem(struct ctl_output *out, const char *during, struct slice item,
                 const char *sentence)
{
    struct json_line *line;
    if (!out->json) {
        say_to_errors(out, "", "", sentence);
        return;
    }
    if (json_line_new("error", &line) != ERR_OK)
        return;
    json_line_open_object(line, "error");
    json_line_text(line, "message", sentence);
    json_line_close(line);
    json_line_text(line, "during", during);
    json_line_path(line, "item", item);
    json_to(stderr, line);
}

static void note(struct ctl_output *out, const char *type, const char *colour, const char *prefix,
                 const char *sentence)
{
    struct json_line *line;
    if (!out->json) {
        say_to_errors(out, colour, prefix, sentence);
        return;
    }
    if (json_line_new(type, &line) != ERR_OK)
        return;
    json_line_text(line, "message", sentence);
    json_to(stderr, line);
}

void ctl_warn(struct ctl_output *out, const char *sentence)
{
    note(out, "warning", "\x1b[33m", "warning: ", sentence);
}

void ctl_tell(struct ctl_output *out, const char *sentence)
{
    note(out, "info", "", "", sentence);
}

int ctl_fail(struct ctl_output *out, int code, const char *sentence)
{
    struct json_line *line;
    if (!out->json) {
        say_to_errors(out, "\x1b[31m", "cellctl: ", sentence);
        return code;
    }
    if (json_line_new("exit_error", &line) == ERR_OK) {
        json_line_i64(line, "code", code);
        json_line_text(line, "message", sentence);
        json_to(stderr, line);
    }
    return code;
}

static int columns(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        return size.ws_col;
    return 80;
}

void ctl_live(struct ctl_output *out, const char *text)
{
    if (!out->live)
        return;
    if (!text[0]) {
        live_clear(out);
        return;
    }
    printf("\r%.*s\x1b[K", columns() - 1, text);
    fflush(stdout);
    out->line_shown = true;
}

/* Bytes of the UTF-8 character at `at`, 0 when it is none or a control character. */
static size_t character_size(const uint8_t *at, size_t left)
{
    const uint8_t first = at[0];
    size_t size = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0x20 || first == 0x7f || (first >= 0x80 && first < 0xc2) || first > 0xf4)
        return 0;
    if (size > left || (first == 0xc2 && at[1] < 0xa0)) /* C1 control characters */
        return 0;
    if ((first == 0xe0 && at[1] < 0xa0) || (first == 0xed && at[1] > 0x9f) ||
        (first == 0xf0 && at[1] < 0x90) || (first == 0xf4 && at[1] > 0x8f))
        return 0;
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    return size;
}

const char *ctl_text(struct slice bytes, char out[CTL_TEXT_SIZE])
{
    size_t at = 0, used = 0;
    while (at < bytes.size && used + 5 < CTL_TEXT_SIZE) {
        const size_t size = character_size(bytes.data + at, bytes.size - at);
        if (size == 0) {
            used += (size_t)snprintf(out + used, 5, "\\x%02x", bytes.data[at]);
            at++;
            continue;
        }
        memcpy(out + used, bytes.data + at, size);
        used += size;
        at += size;
    }
    out[used] = 0;
    return out;
}

const char *ctl_time(int64_t wall_ns, char out[CTL_TIME_SIZE])
{
    const time_t seconds = (time_t)(wall_ns / 1000000000);
    struct tm parts;
    if (!localtime_r(&seconds, &parts) ||
        strftime(out, CTL_TIME_SIZE, "%Y-%m-%d %H:%M:%S %z", &parts) == 0)
        snprintf(out, CTL_TIME_SIZE, "%lld s", (long long)seconds);
    return out;
}
