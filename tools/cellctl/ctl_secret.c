#include "crypto/secret.h"
#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

void ctl_secret_clear(struct buf *secret)
{
    if (secret->data)
        secret_wipe(secret->data, secret->capacity);
    buf_free(secret);
}

static void trim_line_end(struct buf *text)
{
    if (text->size > 0 && text->data[text->size - 1] == '\n')
        text->size--;
    if (text->size > 0 && text->data[text->size - 1] == '\r')
        text->size--;
}

static enum err read_all(FILE *file, struct buf *out)
{
    /* no growth by copying: what is left behind in freed memory cannot be wiped */
    enum err e = buf_reserve(out, out->size_max);
    if (e != ERR_OK)
        return e;
    char extra;
    out->size = fread(out->data, 1, out->size_max, file);
    if (ferror(file))
        return ERR_IO;
    return fread(&extra, 1, 1, file) == 1 ? ERR_TOO_LARGE : ERR_OK;
}

static enum err from_file(const char *path, struct buf *out, struct errmsg *msg)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        (void)err_say_errno(msg, errno, "cannot read the passphrase from %s", path);
        return ERR_SECRET;
    }
    const enum err e = read_all(file, out);
    fclose(file);
    if (e != ERR_OK)
        return err_say(msg, e, "cannot read the passphrase from %s: %s", path, err_words(e));
    trim_line_end(out);
    return ERR_OK;
}

static enum err from_command(const char *command, struct buf *out, struct errmsg *msg)
{
    FILE *pipe = popen(command, "re");
    if (!pipe)
        return err_say_errno(msg, errno, "cannot run $CELLAR_PASSPHRASE_COMMAND");
    enum err e = read_all(pipe, out);
    const int status = pclose(pipe);
    if (e == ERR_OK && status != 0)
        e = ERR_SECRET;
    if (e != ERR_OK)
        return err_say(msg, e, "$CELLAR_PASSPHRASE_COMMAND gave no passphrase: %s",
                       status != 0 ? "it failed" : err_words(e));
    trim_line_end(out);
    return ERR_OK;
}

static enum err read_without_echo(int terminal, const char *prompt, struct buf *out)
{
    struct termios old, quiet;
    if (tcgetattr(terminal, &old) != 0)
        return ERR_NOT_FOUND;
    quiet = old;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    dprintf(terminal, "%s", prompt);
    tcsetattr(terminal, TCSAFLUSH, &quiet);
    enum err e = buf_reserve(out, out->size_max);
    while (e == ERR_OK && out->size < out->size_max) {
        const ssize_t got = read(terminal, out->data + out->size, 1);
        if (got != 1 || out->data[out->size++] == '\n')
            break;
    }
    tcsetattr(terminal, TCSAFLUSH, &old);
    dprintf(terminal, "\n");
    trim_line_end(out);
    return e;
}

enum err ctl_secret_ask(const char *prompt, struct buf *out, struct errmsg *msg)
{
    const int terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0)
        return err_say(msg, ERR_NOT_FOUND, "there is no terminal to ask at");
    const enum err e = read_without_echo(terminal, prompt, out);
    close(terminal);
    return e;
}

static enum err ask(bool anew, struct buf *out, struct errmsg *msg)
{
    struct buf again = BUF_INIT(CTL_PASSPHRASE_MAX);
    enum err e =
        ctl_secret_ask(anew ? "New passphrase for this vault: " : "Passphrase: ", out, NULL);
    if (e == ERR_OK && anew)
        e = ctl_secret_ask("The same again: ", &again, NULL);
    const bool differ = anew && !slice_equal(buf_slice(out), buf_slice(&again));
    ctl_secret_clear(&again);
    if (e == ERR_OK && differ)
        return err_say(msg, ERR_SECRET, "the two passphrases are not the same");
    if (e != ERR_OK)
        return err_say(msg, ERR_SECRET,
                       "a passphrase is needed and there is no terminal to ask at: give one by "
                       "--passphrase-file, $CELLAR_PASSPHRASE_FILE or $CELLAR_PASSPHRASE_COMMAND%s",
                       anew ? ", or use --no-passphrase" : "");
    return ERR_OK;
}

enum err ctl_passphrase(const struct ctl_options *options, bool anew, struct buf *out,
                        struct errmsg *msg)
{
    const char *file = options->passphrase_file, *command = getenv("CELLAR_PASSPHRASE_COMMAND");
    if (!file)
        file = getenv("CELLAR_PASSPHRASE_FILE");
    enum err e;
    if (file && file[0])
        e = from_file(file, out, msg);
    else if (command && command[0])
        e = from_command(command, out, msg);
    else
        e = ask(anew, out, msg);
    if (e == ERR_OK && out->size == 0)
        e = err_say(msg, ERR_SECRET, "the passphrase is empty");
    return e;
}

enum err ctl_new_passphrase(const struct ctl_options *options, struct buf *out, struct errmsg *msg)
{
    const char *file = options->new_passphrase_file;
    enum err e = file ? from_file(file, out, msg) : ask(true, out, msg);
    if (!file && e != ERR_OK)
        return err_say(msg, e,
                       "a new passphrase is needed: give one by --new-passphrase-file, or at a "
                       "terminal");
    if (e == ERR_OK && out->size == 0)
        e = err_say(msg, ERR_SECRET, "the new passphrase is empty");
    return e;
}

enum err ctl_phrase_text(const struct ctl_options *options, struct buf *out, struct errmsg *msg)
{
    const char *path = options->phrase_file;
    enum err e = buf_reserve(out, CTL_PHRASE_FILE_MAX);
    if (e != ERR_OK)
        return err_say(msg, e, "out of memory");
    if (!path) {
        if (ctl_secret_ask("The 24 words: ", out, NULL) != ERR_OK)
            return err_say(msg, ERR_USAGE,
                           "the recovery phrase is needed: give --phrase-file FILE, or type the "
                           "words at a terminal");
    } else {
        FILE *file = fopen(path, "re");
        if (!file)
            return err_say_errno(msg, errno, "cannot read the phrase from %s", path);
        out->size = fread(out->data, 1, CTL_PHRASE_FILE_MAX - 1, file);
        fclose(file);
    }
    if (out->size == CTL_PHRASE_FILE_MAX)
        out->size--;
    out->data[out->size] = 0;
    return ERR_OK;
}

enum err ctl_phrase(const struct ctl_options *options, struct buf *out, struct errmsg *msg)
{
    const enum err e = ctl_phrase_text(options, out, msg);
    if (e == ERR_OK)
        out->data[strcspn((const char *)out->data, "\r\n")] = 0;
    return e;
}
