#include "restore/restore_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- problems --- */

static void add_note(struct restore *restore, struct slice path, enum err e, bool minor,
                     const char *sentence)
{
    struct restore_note *note = malloc(sizeof(*note) + path.size + 1);
    if (!note)
        return;
    *note = (struct restore_note){.e = e, .minor = minor, .size = path.size};
    if (path.size > 0)
        memcpy(note->path, path.data, path.size);
    note->path[path.size] = 0;
    snprintf(note->msg.text, sizeof(note->msg.text), "%s",
             sentence && sentence[0] ? sentence : err_words(e));
    pthread_mutex_lock(&restore->lock);
    *restore->notes_end = note;
    restore->notes_end = &note->next;
    pthread_mutex_unlock(&restore->lock);
}

void restore_note_path(struct restore *restore, struct slice path, enum err e, const char *sentence)
{
    add_note(restore, path, e, false, sentence);
}

void restore_on_note(void *restore, enum err e, const char *sentence)
{
    add_note(restore, slice_of(NULL, 0), e, true, sentence);
}

static struct slice dir_name(const struct restore_dir *dir)
{
    struct snapshot_entry entry;
    return snapshot_entry_decode(dir->bytes, &entry, NULL) == ERR_OK ? entry.name
                                                                     : slice_of(NULL, 0);
}

static enum err dir_path(const struct restore *restore, const struct restore_dir *dir,
                         struct buf *out)
{
    if (!dir->parent)
        return buf_append(out, restore->root_path.data, restore->root_path.size);
    enum err e = dir_path(restore, dir->parent, out);
    const struct slice name = dir_name(dir);
    if (e == ERR_OK && (out->size == 0 || out->data[out->size - 1] != '/'))
        e = buf_append_u8(out, '/');
    return e == ERR_OK ? buf_append(out, name.data, name.size) : e;
}

void restore_note(struct restore *restore, const struct restore_dir *dir, struct slice name,
                  enum err e, const char *sentence)
{
    struct buf path = BUF_INIT(TRANSFER_TREE_PATH_MAX);
    enum err built = dir_path(restore, dir, &path);
    if (built == ERR_OK && name.size > 0 && path.data[path.size - 1] != '/')
        built = buf_append_u8(&path, '/');
    if (built == ERR_OK)
        built = buf_append(&path, name.data, name.size);
    restore_note_path(restore, built == ERR_OK ? buf_slice(&path) : name, e, sentence);
    buf_free(&path);
}

/* A target that takes nothing more ends the restore. */
static void note_fatal(struct restore *restore, enum err e, const char *sentence)
{
    if (e != ERR_FULL && e != ERR_READ_ONLY && e != ERR_NOMEM)
        return;
    pthread_mutex_lock(&restore->lock);
    if (atomic_load(&restore->fatal) == ERR_OK) {
        err_ignore(err_say(&restore->fatal_msg, e, "%s", sentence));
        atomic_store(&restore->fatal, (int)e);
    }
    pthread_mutex_unlock(&restore->lock);
}

static void failed(struct restore *restore, const struct restore_dir *dir, struct slice name,
                   enum err e, const char *sentence)
{
    atomic_fetch_add(&restore->failed, 1);
    if (e == ERR_NOT_ENOUGH || e == ERR_UNREACHABLE || e == ERR_NOT_FOUND)
        atomic_fetch_add(&restore->lost, 1);
    note_fatal(restore, e, sentence);
    restore_note(restore, dir, name, e, sentence);
}

/* --- directories --- */

enum err restore_make_dir(struct restore *restore, struct restore_dir *dir, struct errmsg *msg)
{
    struct snapshot_entry entry;
    struct restore_meta meta;
    enum fs_want want = FS_WANT_CREATE;
    if (dir->fs || (restore->options.dry_run && (!dir->parent || dir->made)))
        return ERR_OK;
    if (dir->failed || (dir->parent && dir->parent->failed))
        return err_say(msg, ERR_STATE, "its directory could not be made");
    enum err e = dir->parent ? restore_make_dir(restore, dir->parent, msg) : ERR_OK;
    if (e == ERR_OK && !dir->parent->fs) { /* a dry run, in which it was not made */
        dir->made = true;
        return ERR_OK;
    }
    if (e == ERR_OK)
        e = snapshot_entry_decode(dir->bytes, &entry, msg);
    if (e == ERR_OK)
        e = restore_meta(&entry, &meta);
    if (e != ERR_OK)
        return e;
    if (dir->parent && !dir->parent->made)
        e = fs_target_wants(restore->target, dir->parent->fs, &meta.entry, &want, msg);
    if (e == ERR_OK)
        e = fs_target_dir(restore->target, dir->parent->fs, &meta.entry, &dir->fs, msg);
    dir->made = e == ERR_OK && want == FS_WANT_CREATE;
    dir->failed = e != ERR_OK;
    restore_meta_free(&meta);
    return e;
}

static void count_deleted(void *user, struct fs_dir *dir, struct slice name, enum fs_type type)
{
    struct restore *restore = user;
    (void)dir;
    (void)name;
    (void)type;
    atomic_fetch_add(&restore->deleted, 1);
}

static enum err delete_others(struct restore *restore, struct restore_dir *dir, struct errmsg *msg)
{
    dir->names = malloc((dir->name_count + 1) * sizeof(*dir->names));
    if (!dir->names)
        return ERR_NOMEM;
    size_t at = 0;
    for (size_t i = 0; i < dir->name_count; i++) {
        const uint16_t size = get_le16(dir->name_text.data + at);
        dir->names[i] = slice_of(dir->name_text.data + at + 2, size);
        at += 2u + size;
    }
    return fs_target_delete_others(restore->target, dir->fs, dir->names, dir->name_count,
                                   count_deleted, restore, msg);
}

static void finish_dir(struct restore *restore, struct restore_dir *dir)
{
    struct errmsg msg = {0};
    struct snapshot_entry entry;
    struct restore_meta meta = {0};
    if (!dir->fs || dir->failed)
        return;
    enum err e = ERR_OK;
    if (restore->options.delete_others && dir->names_known && !dir->made)
        e = delete_others(restore, dir, &msg);
    if (e == ERR_OK)
        e = snapshot_entry_decode(dir->bytes, &entry, &msg);
    if (e == ERR_OK)
        e = restore_meta(&entry, &meta);
    /* the target itself gets the source's metadata only when it is our own doing */
    if (e == ERR_OK && !restore->options.dry_run && (dir->parent || dir->made))
        e = fs_target_dir_finish(restore->target, dir->fs, &meta.entry, &meta.details, &msg);
    if (e != ERR_OK)
        failed(restore, dir, slice_of(NULL, 0), e, msg.text);
    restore_meta_free(&meta);
}

void restore_dir_free(struct restore_dir *dir)
{
    if (!dir)
        return;
    fs_dir_release(dir->fs);
    free((void *)(uintptr_t)dir->bytes.data);
    free(dir->names);
    buf_free(&dir->name_text);
    free(dir);
}

/* --- files --- */

void restore_file_free(struct restore_file *file)
{
    if (!file)
        return;
    fs_target_file_abandon(file->file);
    pthread_mutex_destroy(&file->lock);
    free(file->runs);
    free(file);
}

static enum err file_meta(const struct restore_file *file, struct restore_meta *out,
                          struct errmsg *msg)
{
    struct snapshot_entry entry;
    const enum err e = snapshot_entry_decode(slice_of(file->bytes, file->size), &entry, msg);
    return e == ERR_OK ? restore_meta(&entry, out) : e;
}

static void file_failed(struct restore_file *file, enum err e, const char *sentence)
{
    struct snapshot_entry entry;
    struct slice name = slice_of(NULL, 0);
    if (file->failed)
        return;
    file->failed = true;
    if (file->source)
        file->source->failed = true;
    if (snapshot_entry_decode(slice_of(file->bytes, file->size), &entry, NULL) == ERR_OK)
        name = entry.name;
    failed(file->restore, file->dir, name, e, sentence);
}

void restore_fail(struct restore_file *file, enum err e, const char *sentence)
{
    pthread_mutex_lock(&file->lock);
    file_failed(file, e, sentence);
    pthread_mutex_unlock(&file->lock);
}

/* Holding the lock. */
static void file_finish(struct restore_file *file)
{
    struct restore *restore = file->restore;
    struct restore_meta meta = {0};
    struct errmsg msg = {0};
    enum err e = ERR_OK;
    file->finished = true;
    if (atomic_load(&restore->fatal) != ERR_OK && !file->failed) { /* why was said already */
        file->failed = true;
        if (file->source)
            file->source->failed = true;
        atomic_fetch_add(&restore->failed, 1);
    }
    if (!file->failed && !restore->options.dry_run) {
        e = file_meta(file, &meta, &msg);
        if (e == ERR_OK && file->file) {
            e = fs_target_file_finish(file->file, &meta.entry, &meta.details, &msg);
            file->file = NULL;
        } else if (e == ERR_OK) { /* nothing but holes, or empty */
            e = fs_target_file(restore->target, file->dir->fs, &meta.entry, &meta.details,
                               file->runs, file->run_count, slice_of(NULL, 0), &msg);
        }
        if (e != ERR_OK)
            file_failed(file, e, msg.text);
        restore_meta_free(&meta);
    }
    if (!file->failed)
        atomic_fetch_add(&restore->files_done, 1);
    fs_target_file_abandon(file->file);
    file->file = NULL;
}

void restore_release(struct restore_file *file)
{
    pthread_mutex_lock(&file->lock);
    if (--file->pieces == 0 && !file->finished)
        file_finish(file);
    pthread_mutex_unlock(&file->lock);
}

/* `whole` was set before the jobs began. */
static enum err write_whole(struct restore_file *file, struct slice plain, struct errmsg *msg)
{
    struct restore_meta meta = {0};
    enum err e = file_meta(file, &meta, msg);
    if (e == ERR_OK)
        e = fs_target_file(file->restore->target, file->dir->fs, &meta.entry, &meta.details,
                           file->runs, file->run_count, plain, msg);
    restore_meta_free(&meta);
    return e;
}

static enum err file_begin(struct restore_file *file, struct errmsg *msg)
{
    struct restore_meta meta = {0};
    enum err e = ERR_OK;
    pthread_mutex_lock(&file->lock);
    if (!file->file) {
        e = file_meta(file, &meta, msg);
        if (e == ERR_OK)
            e = fs_target_file_begin(file->restore->target, file->dir->fs, &meta.entry, &file->file,
                                     msg);
        restore_meta_free(&meta);
    }
    pthread_mutex_unlock(&file->lock);
    return e;
}

/* A run of the file's data as runs of the file: calls `each` with offset and bytes of each. */
typedef enum err piece_fn(void *user, uint64_t offset, size_t from, size_t size,
                          struct errmsg *msg);

static enum err each_piece(const struct restore_file *file, uint64_t at, size_t size,
                           piece_fn *each, void *user, struct errmsg *msg)
{
    if (!file->runs)
        return each(user, at, 0, size, msg);
    uint64_t run_start = 0; /* in the data */
    size_t done = 0;
    for (size_t i = 0; i < file->run_count && done < size; i++) {
        const struct fs_run *run = &file->runs[i];
        if (at + done < run_start + run->size) {
            const uint64_t skip = at + done - run_start;
            const size_t left = size - done;
            const size_t part = run->size - skip < left ? (size_t)(run->size - skip) : left;
            const enum err e = each(user, run->offset + skip, done, part, msg);
            if (e != ERR_OK)
                return e;
            done += part;
        }
        run_start += run->size;
    }
    return done == size ? ERR_OK
                        : err_say(msg, ERR_CORRUPT, "it has more data than its holes leave");
}

struct piece_write {
    struct fs_file *file;
    struct slice plain;
};

static enum err write_piece(void *user, uint64_t offset, size_t from, size_t size,
                            struct errmsg *msg)
{
    const struct piece_write *w = user;
    return fs_target_file_write(w->file, offset, slice_of(w->plain.data + from, size), msg);
}

void restore_write(struct restore_file *file, const struct restore_use *use, struct slice plain)
{
    struct errmsg msg = {0};
    pthread_mutex_lock(&file->lock);
    const bool gone = file->failed || atomic_load(&file->restore->fatal) != ERR_OK;
    pthread_mutex_unlock(&file->lock);
    if (gone)
        return;
    enum err e;
    if (file->whole) {
        e = write_whole(file, plain, &msg);
        pthread_mutex_lock(&file->lock);
        file->finished = true;
        pthread_mutex_unlock(&file->lock);
        if (e == ERR_OK)
            atomic_fetch_add(&file->restore->files_done, 1);
    } else {
        e = file_begin(file, &msg);
        if (e == ERR_OK) {
            struct piece_write w = {.file = file->file, .plain = plain};
            e = each_piece(file, use->at, plain.size, write_piece, &w, &msg);
        }
    }
    if (e != ERR_OK)
        restore_fail(file, e, msg.text);
    else
        atomic_fetch_add(&file->restore->bytes_done, plain.size);
}

bool restore_make_other(struct restore *restore, struct restore_dir *dir,
                        const struct snapshot_entry *entry)
{
    struct restore_meta meta = {0};
    struct errmsg msg = {0};
    enum err e = restore_meta(entry, &meta);
    if (e == ERR_OK && !restore->options.dry_run) {
        if (entry->type == SNAPSHOT_TYPE_SYMLINK)
            e = fs_target_symlink(restore->target, dir->fs, &meta.entry, &meta.details, &msg);
        else
            e = fs_target_node(restore->target, dir->fs, &meta.entry, &meta.details, &msg);
    }
    if (e == ERR_OK)
        atomic_fetch_add(&restore->files_done, 1);
    else
        failed(restore, dir, entry->name, e, msg.text);
    restore_meta_free(&meta);
    return e == ERR_OK;
}

/* --- the end of a batch --- */

static void make_link(struct restore *restore, const struct restore_link *link)
{
    struct snapshot_entry entry;
    struct restore_meta meta = {0};
    struct errmsg msg = {0};
    if (atomic_load(&restore->fatal) != ERR_OK)
        return;
    enum err e = snapshot_entry_decode(link->bytes, &entry, &msg);
    if (e == ERR_OK)
        e = restore_meta(&entry, &meta);
    if (e == ERR_OK && link->source->failed)
        e = err_say(&msg, ERR_NOT_ENOUGH,
                    "the file of which it is another name could not be restored");
    if (e == ERR_OK && !restore->options.dry_run)
        e = fs_target_link(restore->target, link->dir->fs, &meta.entry, link->source->fs,
                           buf_slice(&link->source->name), &msg);
    if (e == ERR_OK)
        atomic_fetch_add(&restore->files_done, 1);
    else
        failed(restore, link->dir, meta.memory ? meta.entry.name : slice_of(NULL, 0), e, msg.text);
    restore_meta_free(&meta);
}

struct piece_read {
    int fd;
    uint8_t *out;
};

static enum err read_piece(void *user, uint64_t offset, size_t from, size_t size,
                           struct errmsg *msg)
{
    const struct piece_read *r = user;
    while (size > 0) {
        const ssize_t got = pread(r->fd, r->out + from, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_say_errno(msg, errno, "cannot read it again");
        if (got == 0)
            return err_say(msg, ERR_CORRUPT, "it is shorter than what was written");
        offset += (uint64_t)got;
        from += (size_t)got;
        size -= (size_t)got;
    }
    return ERR_OK;
}

/* The uses of one file, in any order. */
static enum err verify_file(const struct restore_file *file, const struct restore_use *uses,
                            size_t count, struct restore_tools *tools, struct errmsg *msg)
{
    struct restore_meta meta = {0};
    int dir_fd = -1;
    struct piece_read r = {.fd = -1, .out = tools->plain};
    enum err e = file_meta(file, &meta, msg);
    if (e == ERR_OK)
        e = fs_dir_pin(file->dir->fs, &dir_fd, msg);
    if (e == ERR_OK) {
        r.fd = openat(dir_fd, (const char *)meta.entry.name.data,
                      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (r.fd < 0)
            e = err_say_errno(msg, errno, "cannot open it to verify it");
        fs_dir_unpin(file->dir->fs);
    }
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        e = each_piece(file, uses[i].at, uses[i].plain_bytes, read_piece, &r, msg);
        if (e != ERR_OK)
            break;
        if (!restore_names_match(tools->names, slice_of(tools->plain, uses[i].plain_bytes),
                                 &uses[i].chunk))
            e = err_say(msg, ERR_CORRUPT, "what is on the disk now is not what was backed up");
    }
    if (r.fd >= 0)
        close(r.fd);
    restore_meta_free(&meta);
    return e;
}

static bool looks_there(const struct restore_file *file, const struct restore_meta *meta)
{
    int dir_fd;
    struct stat st;
    if (fs_dir_pin(file->dir->fs, &dir_fd, NULL) != ERR_OK)
        return false;
    const int problem =
        fstatat(dir_fd, (const char *)meta->entry.name.data, &st, AT_SYMLINK_NOFOLLOW);
    fs_dir_unpin(file->dir->fs);
    return problem == 0 && S_ISREG(st.st_mode) && st.st_nlink <= meta->entry.links &&
           (uint64_t)st.st_size == meta->entry.size && st.st_mtim.tv_sec == meta->entry.mtime.s &&
           (uint32_t)st.st_mtim.tv_nsec == meta->entry.mtime.ns;
}

bool restore_is_there(const struct restore_file *file, const struct restore_use *uses, size_t count)
{
    struct restore_meta meta = {0};
    struct restore *restore = file->restore;
    struct restore_tools *tools = NULL;
    bool there = !file->runs && file->dir->fs && file_meta(file, &meta, NULL) == ERR_OK &&
                 looks_there(file, &meta);
    if (there)
        there = (tools = restore_tools_take(restore)) != NULL;
    if (there)
        there = verify_file(file, uses, count, tools, NULL) == ERR_OK &&
                fs_target_touch(restore->target, file->dir->fs, &meta.entry, &meta.details, NULL) ==
                    ERR_OK;
    restore_tools_give(restore, tools);
    restore_meta_free(&meta);
    return there;
}

static int by_file(const void *a, const void *b)
{
    const struct restore_use *x = a, *y = b;
    if (x->file != y->file)
        return (uintptr_t)x->file < (uintptr_t)y->file ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static void verify(struct restore *restore, struct restore_batch *batch)
{
    struct restore_tools *tools = restore_tools_take(restore);
    if (!tools || batch->use_count == 0) {
        restore_tools_give(restore, tools);
        return;
    }
    qsort(batch->uses, batch->use_count, sizeof(*batch->uses), by_file);
    size_t next;
    for (size_t at = 0; at < batch->use_count; at = next) {
        struct restore_file *file = batch->uses[at].file;
        struct errmsg msg = {0};
        for (next = at + 1; next < batch->use_count && batch->uses[next].file == file;)
            next++;
        pthread_mutex_lock(&file->lock); /* it may go on in the next batch */
        const bool whole = file->finished && !file->failed;
        pthread_mutex_unlock(&file->lock);
        if (!whole)
            continue;
        const enum err e = verify_file(file, batch->uses + at, next - at, tools, &msg);
        if (e != ERR_OK)
            restore_fail(file, e, msg.text);
    }
    restore_tools_give(restore, tools);
}

void restore_batch_end(struct restore *restore, struct restore_batch *batch)
{
    if (restore->options.verify && !restore->options.dry_run)
        verify(restore, batch);
    for (size_t i = 0; i < batch->link_count; i++)
        make_link(restore, &batch->links[i]);
    for (size_t i = 0; i < batch->closed_count; i++)
        finish_dir(restore, batch->closed[i]);
}

/* --- tools --- */

static void tools_free(struct restore_tools *tools)
{
    transfer_record_free(tools->record);
    restore_names_free(tools->names);
    free(tools->plain);
    free(tools);
}

static struct restore_tools *tools_new(const struct restore *restore)
{
    struct restore_tools *tools = calloc(1, sizeof(*tools));
    if (!tools)
        return NULL;
    tools->plain = malloc(LIMIT_CHUNK_BYTES);
    enum err e = tools->plain ? ERR_OK : ERR_NOMEM;
    if (e == ERR_OK)
        e = transfer_record_new(false, &tools->record);
    if (e == ERR_OK)
        e = restore_names_new(restore->vault, &tools->names);
    if (e == ERR_OK)
        return tools;
    tools_free(tools);
    return NULL;
}

struct restore_tools *restore_tools_take(struct restore *restore)
{
    pthread_mutex_lock(&restore->lock);
    struct restore_tools *tools = restore->tools;
    if (tools)
        restore->tools = tools->next;
    pthread_mutex_unlock(&restore->lock);
    return tools ? tools : tools_new(restore);
}

void restore_tools_give(struct restore *restore, struct restore_tools *tools)
{
    if (!tools)
        return;
    pthread_mutex_lock(&restore->lock);
    tools->next = restore->tools;
    restore->tools = tools;
    pthread_mutex_unlock(&restore->lock);
}

void restore_tools_free(struct restore *restore)
{
    while (restore->tools) {
        struct restore_tools *tools = restore->tools;
        restore->tools = tools->next;
        tools_free(tools);
    }
}
