#include "harness/sim_vfs.h"

#include "harness/sim_internal.h"

#include <sqlite3.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct sim_vfs {
    sqlite3_vfs base; /* first */
    struct sim_node *node;
    struct list files;
    unsigned open_files;
};

struct vfs_file {
    sqlite3_file base; /* first; SQLite's memory */
    struct list link;
    struct sim_vfs *vfs;
    struct disk_file *file; /* owned */
    char *path;             /* owned */
    int lock;
    bool delete_on_close, sync_name;
};

/* The disk's error in SQLite's words; `otherwise` for the rest. */
static int code_of(enum err e, int otherwise)
{
    switch (e) {
    case ERR_OK:
        return SQLITE_OK;
    case ERR_FULL:
        return SQLITE_FULL;
    case ERR_NOMEM:
        return SQLITE_NOMEM;
    case ERR_READ_ONLY:
        return SQLITE_READONLY;
    default:
        return otherwise;
    }
}

static int close_file(sqlite3_file *base)
{
    struct vfs_file *f = (struct vfs_file *)base;
    list_remove(&f->link);
    f->vfs->open_files--;
    disk_close(f->file);
    if (f->delete_on_close && disk_remove(&f->vfs->node->disk, f->path, NULL) != ERR_OK)
        sim_world_note(f->vfs->node->world, f->vfs->node, "a temporary file stays");
    free(f->path);
    return SQLITE_OK;
}

static int read_file(sqlite3_file *base, void *out, int size, sqlite3_int64 offset)
{
    struct vfs_file *f = (struct vfs_file *)base;
    size_t got = 0;
    enum err e = disk_read_at(f->file, (uint64_t)offset, out, (size_t)size, &got, NULL);
    if (e != ERR_OK)
        return code_of(e, SQLITE_IOERR_READ);
    if (got == (size_t)size)
        return SQLITE_OK;
    memset((char *)out + got, 0, (size_t)size - got); /* as the VFS contract asks */
    return SQLITE_IOERR_SHORT_READ;
}

static int write_file(sqlite3_file *base, const void *data, int size, sqlite3_int64 offset)
{
    struct vfs_file *f = (struct vfs_file *)base;
    return code_of(disk_write_at(f->file, (uint64_t)offset, data, (size_t)size, NULL),
                   SQLITE_IOERR_WRITE);
}

static int truncate_file(sqlite3_file *base, sqlite3_int64 size)
{
    struct vfs_file *f = (struct vfs_file *)base;
    return code_of(disk_truncate(f->file, (uint64_t)size, NULL), SQLITE_IOERR_TRUNCATE);
}

static enum err sync_directory_of(struct sim_vfs *vfs, const char *path)
{
    char *directory = sim_world_copy_text(path);
    char *slash = strrchr(directory, '/');
    *(slash ? slash : directory) = 0;
    enum err e = disk_sync_dir(&vfs->node->disk, directory, NULL);
    free(directory);
    return e;
}

static int sync_file(sqlite3_file *base, int flags)
{
    (void)flags;
    struct vfs_file *f = (struct vfs_file *)base;
    enum err e = disk_sync(f->file, NULL);
    if (e != ERR_OK)
        return code_of(e, SQLITE_IOERR_FSYNC);
    if (f->sync_name && sync_directory_of(f->vfs, f->path) != ERR_OK)
        return SQLITE_IOERR_DIR_FSYNC;
    f->sync_name = false;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *out)
{
    struct vfs_file *f = (struct vfs_file *)base;
    uint64_t size = 0;
    enum err e = disk_size(f->file, &size, NULL);
    *out = (sqlite3_int64)size;
    return code_of(e, SQLITE_IOERR_FSTAT);
}

/* The highest lock that somebody else holds on the same file. */
static int lock_of_others(const struct vfs_file *f)
{
    int highest = SQLITE_LOCK_NONE;
    list_for_each(link, &f->vfs->files)
    {
        const struct vfs_file *other = container_of(link, struct vfs_file, link);
        if (other != f && strcmp(other->path, f->path) == 0 && other->lock > highest)
            highest = other->lock;
    }
    return highest;
}

static int lock_file(sqlite3_file *base, int lock)
{
    struct vfs_file *f = (struct vfs_file *)base;
    if (f->lock >= lock)
        return SQLITE_OK;
    int others = lock_of_others(f);
    if ((lock == SQLITE_LOCK_SHARED && others >= SQLITE_LOCK_PENDING) ||
        (lock == SQLITE_LOCK_RESERVED && others >= SQLITE_LOCK_RESERVED) ||
        (lock == SQLITE_LOCK_EXCLUSIVE && others >= SQLITE_LOCK_SHARED)) {
        if (lock == SQLITE_LOCK_EXCLUSIVE && others < SQLITE_LOCK_PENDING)
            f->lock = SQLITE_LOCK_PENDING; /* no new readers */
        return SQLITE_BUSY;
    }
    f->lock = lock;
    return SQLITE_OK;
}

static int unlock_file(sqlite3_file *base, int lock)
{
    struct vfs_file *f = (struct vfs_file *)base;
    if (f->lock > lock)
        f->lock = lock;
    return SQLITE_OK;
}

static int check_reserved(sqlite3_file *base, int *out)
{
    struct vfs_file *f = (struct vfs_file *)base;
    *out = f->lock >= SQLITE_LOCK_RESERVED || lock_of_others(f) >= SQLITE_LOCK_RESERVED;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int operation, void *argument)
{
    (void)base, (void)operation, (void)argument;
    return SQLITE_NOTFOUND;
}

static int sector_size(sqlite3_file *base)
{
    (void)base;
    return 4096;
}

static int device_characteristics(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* a torn sector mixes old and new bytes, no others */
}

static const sqlite3_io_methods methods = {
    .iVersion = 1, /* no shared memory */
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = file_size,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_reserved,
    .xFileControl = file_control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = device_characteristics,
};

static int open_file(sqlite3_vfs *base, const char *path, sqlite3_file *out, int flags,
                     int *out_flags)
{
    struct sim_vfs *vfs = (struct sim_vfs *)base;
    struct vfs_file *f = (struct vfs_file *)out;
    memset(f, 0, sizeof(*f));
    char made[48];
    if (!path) {
        (void)snprintf(made, sizeof(made), "sqlite-temporary-%016" PRIx64,
                       random_u64(&vfs->node->random));
        path = made;
    }
    struct disk_info info;
    bool there = disk_info(&vfs->node->disk, path, &info, NULL) == ERR_OK;
    unsigned mode = DISK_READ;
    mode |= flags & SQLITE_OPEN_READWRITE ? DISK_WRITE : 0;
    mode |= flags & SQLITE_OPEN_CREATE ? DISK_CREATE : 0;
    mode |= flags & SQLITE_OPEN_EXCLUSIVE ? DISK_EXCLUSIVE : 0;
    enum err e = disk_open(&vfs->node->disk, path, mode, &f->file, NULL);
    if (e == ERR_READ_ONLY && there) {
        e = disk_open(&vfs->node->disk, path, DISK_READ, &f->file, NULL);
        flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
    }
    if (e != ERR_OK)
        return code_of(e, SQLITE_CANTOPEN);
    f->base.pMethods = &methods;
    f->vfs = vfs;
    f->path = sim_world_copy_text(path);
    f->delete_on_close = flags & SQLITE_OPEN_DELETEONCLOSE;
    f->sync_name =
        !there && flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL);
    list_append(&vfs->files, &f->link);
    vfs->open_files++;
    if (out_flags)
        *out_flags = flags;
    return SQLITE_OK;
}

static int delete_file(sqlite3_vfs *base, const char *path, int sync_directory)
{
    struct sim_vfs *vfs = (struct sim_vfs *)base;
    enum err e = disk_remove(&vfs->node->disk, path, NULL);
    if (e == ERR_NOT_FOUND)
        return SQLITE_IOERR_DELETE_NOENT;
    if (e != ERR_OK)
        return code_of(e, SQLITE_IOERR_DELETE);
    if (sync_directory && sync_directory_of(vfs, path) != ERR_OK)
        return SQLITE_IOERR_DIR_FSYNC;
    return SQLITE_OK;
}

static int access_file(sqlite3_vfs *base, const char *path, int flags, int *out)
{
    struct sim_vfs *vfs = (struct sim_vfs *)base;
    (void)flags;
    struct disk_info info = {0};
    enum err e = disk_info(&vfs->node->disk, path, &info, NULL);
    *out = e == ERR_OK && (flags != SQLITE_ACCESS_EXISTS || info.size_bytes > 0);
    return e == ERR_OK || e == ERR_NOT_FOUND ? SQLITE_OK : SQLITE_IOERR_ACCESS;
}

static int full_path(sqlite3_vfs *base, const char *path, int size, char *out)
{
    (void)base;
    size_t length = strlen(path);
    if (length >= (size_t)size)
        return SQLITE_CANTOPEN;
    memcpy(out, path, length + 1);
    return SQLITE_OK;
}

static int randomness(sqlite3_vfs *base, int size, char *out)
{
    random_fill(&((struct sim_vfs *)base)->node->random, out, (size_t)size);
    return size;
}

static int no_sleep(sqlite3_vfs *base, int microseconds)
{
    (void)base;
    return microseconds;
}

static int now_ms(sqlite3_vfs *base, sqlite3_int64 *out)
{
    int64_t wall_ms = clock_wall_ns(&((struct sim_vfs *)base)->node->clock) / 1000000;
    *out = wall_ms + 210866760000000; /* Julian day 0 to 1970, in ms */
    return SQLITE_OK;
}

static int now_days(sqlite3_vfs *base, double *out)
{
    sqlite3_int64 ms = 0;
    int code = now_ms(base, &ms);
    *out = (double)ms / 86400000.0;
    return code;
}

static int last_error(sqlite3_vfs *base, int size, char *out)
{
    (void)base, (void)size, (void)out;
    return 0;
}

struct sim_vfs *sim_vfs_new(struct sim_node *node)
{
    struct sim_vfs *vfs = sim_world_alloc(sizeof(*vfs));
    vfs->node = node;
    list_init(&vfs->files);
    /* worlds may live side by side: the address tells them apart and is shown nowhere */
    (void)snprintf(node->vfs, sizeof(node->vfs), "sim-%p-%u", (void *)vfs, node->index);
    vfs->base = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = sizeof(struct vfs_file),
        .mxPathname = 512,
        .zName = node->vfs,
        .pAppData = vfs,
        .xOpen = open_file,
        .xDelete = delete_file,
        .xAccess = access_file,
        .xFullPathname = full_path,
        .xRandomness = randomness,
        .xSleep = no_sleep,
        .xCurrentTime = now_days,
        .xGetLastError = last_error,
        .xCurrentTimeInt64 = now_ms,
    };
    if (sqlite3_vfs_register(&vfs->base, 0) != SQLITE_OK)
        abort();
    return vfs;
}

void sim_vfs_free(struct sim_vfs *vfs)
{
    assert(vfs->open_files == 0); /* the code under test has left a database open */
    (void)sqlite3_vfs_unregister(&vfs->base);
    free(vfs);
}

unsigned sim_vfs_open_files(const struct sim_node *node)
{
    return node->sim_vfs->open_files;
}
