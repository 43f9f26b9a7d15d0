/* What the tests of fs/ share: a scratch directory, a small copier of trees made of the room's own
   parts (walk, read, target), and a comparison that uses plain system calls only. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/fs_read.h"
#include "fs/fs_target.h"
#include "fs/fs_walk.h"

#define OK(expression)                                                         \
    do {                                                                       \
        enum err result_ = (expression);                                       \
        if (result_ != ERR_OK)                                                 \
            fail_msg("%s: %s: %s", #expression, err_words(result_), msg.text); \
    } while (0)

static struct errmsg msg;
static char scratch[64];

/* Shell commands are for making things, never for what is tested. */
__attribute__((format(printf, 1, 2))) static inline int run(const char *format, ...)
{
    char *command = NULL;
    va_list args;
    va_start(args, format);
    int size = vasprintf(&command, format, args);
    va_end(args);
    assert_true(size > 0);
    int status = system(command);
    free(command);
    return status;
}

static inline int scratch_make(void **state)
{
    (void)state;
    strcpy(scratch, "/tmp/cellar-fs-XXXXXX");
    if (!mkdtemp(scratch))
        return -1;
    return chdir(scratch);
}

static inline int scratch_remove(void **state)
{
    (void)state;
    return chdir("/") || run("umount -q %s/* 2>/dev/null; chattr -R -ia %s 2>/dev/null; rm -rf %s",
                             scratch, scratch, scratch) != 0
               ? -1
               : 0;
}

static inline void write_file(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), (ssize_t)size);
    close(fd);
}

static inline void write_text(const char *path, const char *text)
{
    write_file(path, text, strlen(text));
}

/* --- a copier --- */

struct copier {
    struct fs_target *target;
    size_t strip; /* levels of directories above the copied root */
    size_t depth;
    struct fs_dir *to[4096];
    struct fs_entry entries[4096];
    char *names[4096];
    size_t pieces; /* 0: small files whole, else bytes a write */
    size_t problems, files;
    struct hard {
        uint64_t device, inode;
        struct fs_dir *dir;
        char *name;
    } hard[256];
    size_t hard_count;
};

static inline void copy_content(struct copier *c, struct fs_dir *from, const struct fs_entry *entry)
{
    struct fs_reader reader;
    struct fs_details details;
    const struct fs_run *runs;
    size_t run_count, got, total = 0;
    bool changed;
    OK(fs_reader_open(&reader, from, entry, &msg));
    OK(fs_reader_details(&reader, &details, &msg));
    OK(fs_reader_runs(&reader, &runs, &run_count, &msg));
    for (size_t i = 0; i < run_count; i++)
        total += (size_t)runs[i].size;
    uint8_t *data = malloc(total + 1);
    assert_non_null(data);
    OK(fs_reader_next(&reader, data, total + 1, &got, &msg));
    assert_int_equal(got, total);
    struct fs_dir *dir = c->to[c->depth];
    if (c->pieces == 0) {
        OK(fs_target_file(c->target, dir, &reader.entry, &details, runs, run_count,
                          slice_of(data, total), &msg));
    } else {
        struct fs_file *file;
        size_t at = 0;
        OK(fs_target_file_begin(c->target, dir, entry, &file, &msg));
        for (size_t i = 0; i < run_count; i++)
            for (uint64_t done = 0; done < runs[i].size;) {
                uint64_t part = runs[i].size - done < c->pieces ? runs[i].size - done : c->pieces;
                OK(fs_target_file_write(file, runs[i].offset + done,
                                        slice_of(data + at, (size_t)part), &msg));
                done += part;
                at += (size_t)part;
            }
        OK(fs_target_file_finish(file, &reader.entry, &details, &msg));
    }
    free(data);
    OK(fs_reader_finish(&reader, &changed, &msg));
    assert_false(changed);
    fs_details_free(&details);
    fs_reader_close(&reader);
    c->files++;
}

static inline bool copy_hard(struct copier *c, const struct fs_entry *entry)
{
    if (entry->links < 2)
        return false;
    for (size_t i = 0; i < c->hard_count; i++) {
        struct hard *h = &c->hard[i];
        if (h->device == entry->device && h->inode == entry->inode) {
            OK(fs_target_link(c->target, c->to[c->depth], entry, h->dir, slice_text(h->name),
                              &msg));
            return true;
        }
    }
    if (c->hard_count < ARRAY_COUNT(c->hard))
        c->hard[c->hard_count++] =
            (struct hard){entry->device, entry->inode, fs_dir_ref(c->to[c->depth]),
                          strdup((const char *)entry->name.data)};
    return false;
}

static inline void copy_event(struct copier *c, const struct fs_event *event)
{
    struct fs_details details = FS_DETAILS_INIT;
    const struct fs_entry *entry = &event->entry;
    if (event->kind == FS_EVENT_PROBLEM) {
        c->problems++;
        return;
    }
    if (event->kind == FS_EVENT_LEAVE) {
        if (c->depth >= c->strip) {
            OK(fs_details_read(event->dir, &c->entries[c->depth], &details, &msg));
            OK(fs_target_dir_finish(c->target, c->to[c->depth], &c->entries[c->depth], &details,
                                    &msg));
            fs_dir_release(c->to[c->depth]);
            free(c->names[c->depth]);
        }
        c->depth--;
    } else if (event->kind == FS_EVENT_ENTER) {
        c->depth++;
        if (c->depth < c->strip)
            return;
        assert_true(c->depth < ARRAY_COUNT(c->to));
        c->entries[c->depth] = *entry;
        c->names[c->depth] = strdup((const char *)entry->name.data);
        c->entries[c->depth].name = slice_text(c->names[c->depth]);
        if (c->depth == c->strip)
            c->to[c->depth] = fs_target_root(c->target);
        else
            OK(fs_target_dir(c->target, c->to[c->depth - 1], entry, &c->to[c->depth], &msg));
    } else if (c->depth >= c->strip && !copy_hard(c, entry)) {
        if (entry->type == FS_FILE) {
            copy_content(c, event->dir, entry);
        } else if (entry->type != FS_SOCKET) {
            OK(fs_details_read(event->dir, entry, &details, &msg));
            if (entry->type == FS_SYMLINK)
                OK(fs_target_symlink(c->target, c->to[c->depth], entry, &details, &msg));
            else
                OK(fs_target_node(c->target, c->to[c->depth], entry, &details, &msg));
        }
    }
    fs_details_free(&details);
}

/* Copies what is below `from` (absolute) to what is below options->path. */
static inline void copy_tree(const char *from, const struct fs_target_options *options,
                             size_t pieces, struct copier *c)
{
    const char *roots[] = {from};
    struct fs_walk_options walk_options = {.roots = roots, .root_count = 1};
    struct fs_walk *walk;
    memset(c, 0, sizeof(*c));
    c->pieces = pieces;
    for (const char *at = from; *at; at++)
        c->strip += *at == '/';
    c->strip++;
    OK(fs_target_open(options, &c->target, &msg));
    OK(fs_walk_open(&walk_options, &walk, &msg));
    for (bool last = false; !last;) {
        struct fs_batch *batch;
        OK(fs_walk_next(walk, &batch, &msg));
        for (size_t i = 0; i < batch->count; i++)
            copy_event(c, &batch->events[i]);
        last = batch->last;
        fs_batch_free(batch);
    }
    for (size_t i = 0; i < c->hard_count; i++) {
        fs_dir_release(c->hard[i].dir);
        free(c->hard[i].name);
    }
    fs_walk_close(walk);
    fs_target_close(c->target);
}
