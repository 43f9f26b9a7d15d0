#!/usr/bin/env python3
"""A tree with every oddity that a backup has to keep, and a judge of whether a copy kept them.

    oddtree.py make DIR            makes it in DIR (which must not exist) and asserts that each oddity is there
    oddtree.py check DIR [ODDITY]  asserts it of a restored tree, which has no socket; names of oddities behind DIR are
                                   not asked about
    oddtree.py compare DIR DIR     rsync, getfacl, lsattr, du and a walk of our own agree on both
    oddtree.py ext4 IMAGE DIR      as root: a fresh loop-mounted ext4 of 256 MiB at DIR, so that flags, ACLs and all
                                   attributes can be had; `oddtree.py unmount DIR` ends it

As an ordinary user, what needs root is left out; what the file system cannot do is left out too. Both are printed
with the reason, one "left out: ..." a line. From Python: make(path) and check(path) return the oddities left out as
{name: reason}; compare(a, b) returns a list of differences. Exit code 1 when something is not as it should be.
"""
import fcntl
import grp
import hashlib
import os
import pathlib
import pwd
import socket
import stat
import struct
import subprocess
import sys

GETFLAGS, SETFLAGS = 0x80086601, 0x40086602
IMMUTABLE, APPEND, NODUMP, NOATIME = 0x10, 0x20, 0x40, 0x80
# what chattr sets of a file and of a directory: s secure deletion, u undeletable, c compressed, S synchronous, d no dump,
# A no atime, t no tail, j journalled data (root), D synchronous directory, T top of a hierarchy
FILE_FLAGS = {"s": 0x1, "u": 0x2, "c": 0x4, "S": 0x8, "d": 0x40, "A": 0x80, "t": 0x8000}
FOLDER_FLAGS = {"S": 0x8, "d": 0x40, "A": 0x80, "D": 0x10000, "T": 0x20000}
SETTABLE = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x4000 | 0x8000 | 0x10000 | 0x20000
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service, effective
OWNER, GROUP = 12345, 54321  # numbers without a name here
DEEP_NAME, DEEP_COUNT = b"deep-" + b"d" * 195, 25  # 5 kB of path
ROOT = os.geteuid() == 0


class LeftOut(Exception):
    """This oddity cannot be had here; the text says why."""


def need_root():
    if not ROOT:
        raise LeftOut("needs root")


def path_of(top, name):
    return os.path.join(os.fsencode(top), name)


def write(path, data=b"content\n"):
    with open(path, "xb") as file:
        file.write(data)


def expect(truth, words):
    if not truth:
        raise AssertionError(words)


def set_times(path, seconds, nanoseconds):
    whole = seconds * 10**9 + nanoseconds
    os.utime(path, ns=(whole, whole), follow_symlinks=False)


def attribute(path, name, value, follow=True):
    try:
        os.setxattr(path, name, value, follow_symlinks=follow)
    except OSError as problem:
        raise LeftOut(f"{name}: {problem.strerror}") from problem


def data_runs(path):
    """[(offset, end)] of what is not a hole, as SEEK_DATA and SEEK_HOLE tell."""
    fd, runs, at = os.open(path, os.O_RDONLY), [], 0
    try:
        while True:
            try:
                data = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:
                return runs
            at = os.lseek(fd, data, os.SEEK_HOLE)
            runs.append((data, at))
    finally:
        os.close(fd)


def flags_of(path):
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return struct.unpack("i", fcntl.ioctl(fd, GETFLAGS, struct.pack("i", 0)))[0]
    except OSError as problem:
        raise LeftOut(f"inode flags: {problem.strerror}") from problem
    finally:
        os.close(fd)


def set_flags(path, flags):
    kept = flags_of(path)
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, SETFLAGS, struct.pack("i", kept | flags))
    except OSError as problem:
        raise LeftOut(f"inode flags: {problem.strerror}") from problem
    finally:
        os.close(fd)


# --- the oddities: name -> (make, check); both take the tree's top, as bytes; their order is that of making ---

ODDITIES = {}


def oddity(name, make):
    def register(check):
        ODDITIES[name] = (make, check)
        return check

    return register


def make_files(top):
    write(path_of(top, b"plain"))
    write(path_of(top, b"empty"), b"")
    write(path_of(top, b"large"), bytes(range(256)) * 20000)


@oddity("files", make_files)
def check_files(top):
    expect(open(path_of(top, b"plain"), "rb").read() == b"content\n", "content")
    expect(os.path.getsize(path_of(top, b"empty")) == 0, "empty")
    expect(open(path_of(top, b"large"), "rb").read() == bytes(range(256)) * 20000, "large content")


NAMES = [b"\xff\xfe not utf-8", b"new\nline", b"\x1b[31mred", b" blanks ", b"-rf", b"*", b"back\\slash", b"n" * 255,
         "e\u0301 combined".encode(), b"\x01\x7f", b"..."]


@oddity("names of any bytes", lambda top: [write(path_of(path_of(top, b"names"), name), name) for name in
                                           (os.mkdir(path_of(top, b"names")) or NAMES)])
def check_names(top):
    folder = path_of(top, b"names")
    expect(sorted(os.listdir(folder)) == sorted(NAMES), "names")
    expect(all(open(path_of(folder, name), "rb").read() == name for name in NAMES), "contents under odd names")


def deep(top, action):
    """Calls action(fd) in the deepest directory; makes what is not there when the action says so."""
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(DEEP_COUNT):
        if action.__name__ == "make_deep_file":
            os.mkdir(DEEP_NAME, dir_fd=fd)
        below = os.open(DEEP_NAME, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        os.close(fd)
        fd = below
    try:
        action(fd)
    finally:
        os.close(fd)


def make_deep_file(fd):
    file = os.open(b"bottom", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=fd)
    os.write(file, b"bottom\n")
    os.close(file)


@oddity("a path beyond PATH_MAX", lambda top: deep(top, make_deep_file))
def check_deep(top):
    def look(fd):
        file = os.open(b"bottom", os.O_RDONLY, dir_fd=fd)
        expect(os.read(file, 100) == b"bottom\n", "bottom of the deep path")
        os.close(file)

    deep(top, look)


LARGE_ISLANDS = {0: b"first", (4 << 30) - 3: b"across 4 GiB", (5 << 30) + 12345: b"last"}  # of a file of 6 GiB and a byte
BEYOND = (100 << 30) + 1


def make_large(top):
    with open(path_of(top, b"beyond 4 GiB"), "xb") as file:
        for offset, words in LARGE_ISLANDS.items():
            file.seek(offset)
            file.write(words)
        file.truncate((6 << 30) + 1)
    with open(path_of(top, b"beyond 100 GB"), "xb") as file:
        file.truncate(BEYOND)
        file.seek(BEYOND - 4)
        file.write(b"tail")


@oddity("files beyond 4 GiB and 100 GB", make_large)
def check_large(top):
    with open(path_of(top, b"beyond 4 GiB"), "rb") as file:
        for offset, words in LARGE_ISLANDS.items():
            file.seek(offset)
            expect(file.read(len(words)) == words, f"what lies at {offset}")
        expect(os.fstat(file.fileno()).st_size == (6 << 30) + 1, "size beyond 4 GiB")
    st = os.stat(path_of(top, b"beyond 100 GB"))
    expect(st.st_size == BEYOND and st.st_blocks * 512 < 1 << 20, "size beyond 100 GB")
    with open(path_of(top, b"beyond 100 GB"), "rb") as file:
        file.seek(BEYOND - 6)
        expect(file.read() == b"\0\0tail", "tail beyond 100 GB")


def make_sparse(top):
    with open(path_of(top, b"comb"), "xb") as file:  # more holes than an entry keeps inline
        for tooth in range(200):
            file.seek(tooth * 65536 + 4096 * (tooth % 2))
            file.write(b"tooth %d" % tooth)
    with open(path_of(top, b"sparse"), "xb") as file:
        file.seek(3 << 20)
        file.write(b"island")
        file.truncate(64 << 20)
    with open(path_of(top, b"all hole"), "xb") as file:
        file.truncate(5 << 20)


@oddity("holes", make_sparse)
def check_sparse(top):
    for name, size in ((b"sparse", 64 << 20), (b"all hole", 5 << 20)):
        st = os.stat(path_of(top, name))
        expect(st.st_size == size and st.st_blocks * 512 < 1 << 20, f"holes of {name}")
    with open(path_of(top, b"sparse"), "rb") as file:
        file.seek(3 << 20)
        expect(file.read(7) == b"island\0", "what lies between the holes")
    runs = data_runs(path_of(top, b"comb"))
    expect(len(runs) == 200, f"the comb has {len(runs)} teeth of 200")


def make_links(top):
    os.mkdir(path_of(top, b"links"))
    write(path_of(top, b"links/first"))
    os.link(path_of(top, b"links/first"), path_of(top, b"links/second"))
    os.link(path_of(top, b"links/first"), path_of(top, b"third name"))
    os.symlink("first", path_of(top, b"links/soft"))
    os.link(path_of(top, b"links/soft"), path_of(top, b"links/soft again"), follow_symlinks=False)
    os.mkfifo(path_of(top, b"links/pipe"))
    os.link(path_of(top, b"links/pipe"), path_of(top, b"links/pipe again"))


@oddity("hard links", make_links)
def check_links(top):
    all_of = [os.stat(path_of(top, name)) for name in (b"links/first", b"links/second", b"third name")]
    expect(len({st.st_ino for st in all_of}) == 1 and all_of[0].st_nlink == 3, "three names of one file")
    for name in (b"links/soft", b"links/pipe"):
        one, two = os.lstat(path_of(top, name)), os.lstat(path_of(top, name + b" again"))
        expect(one.st_ino == two.st_ino and one.st_nlink == 2, f"two names of {name}")


SYMLINKS = {b"to file": b"plain", b"dangling": b"nowhere/at all", b"absolute": b"/etc/hostname",
            b"odd target": b"\xff\n", b"long target": b"t" * 3000, b"to folder": b"links"}


@oddity("symbolic links", lambda top: [os.symlink(to, path_of(top, name)) for name, to in SYMLINKS.items()])
def check_symlinks(top):
    for name, to in SYMLINKS.items():
        expect(os.readlink(path_of(top, name)) == to, f"target of {name}")


@oddity("a FIFO", lambda top: os.mkfifo(path_of(top, b"fifo"), 0o620))
def check_fifo(top):
    expect(stat.S_ISFIFO(os.lstat(path_of(top, b"fifo")).st_mode), "FIFO")


MODES = {b"setuid": 0o4755, b"setgid": 0o2755, b"unreadable by others": 0o600, b"odd mode": 0o1642,
         b"write only for others": 0o402, b"setuid and no x": 0o4644}
FOLDER_MODES = {b"sticky folder": 0o3777, b"private folder": 0o700, b"setgid folder": 0o2750, b"odd folder": 0o4571}


def make_modes(top):
    for name, mode in MODES.items():
        write(path_of(top, name))
        os.chmod(path_of(top, name), mode)
    for name, mode in FOLDER_MODES.items():
        os.mkdir(path_of(top, name))
        os.chmod(path_of(top, name), mode)


@oddity("modes", make_modes)
def check_modes(top):
    for name, mode in {**MODES, **FOLDER_MODES}.items():
        expect(stat.S_IMODE(os.lstat(path_of(top, name)).st_mode) == mode, f"mode of {name}")


TIMES = {b"before 1970": (-1, 999999999), b"long before 1970": (-2000000000, 1), b"nanoseconds": (1234567890, 123456789),
         b"after 2038": (2**31 + 5, 6), b"in the year 2400": (13569465600, 999999999), b"at zero": (0, 0)}


def make_times(top):
    for name, (seconds, ns) in TIMES.items():
        write(path_of(top, name))
        set_times(path_of(top, name), seconds, ns)
    set_times(path_of(top, b"dangling"), 1000000000, 1)
    set_times(path_of(top, b"fifo"), 1000000000, 2)


@oddity("nanosecond times", make_times)
def check_times(top):
    for name, ns in (*((name, s * 10**9 + ns) for name, (s, ns) in TIMES.items()), (b"dangling", 10**18 + 1),
                     (b"fifo", 10**18 + 2)):
        expect(os.lstat(path_of(top, name)).st_mtime_ns == ns, f"mtime of {name}")


def make_user_attributes(top):
    write(path_of(top, b"attributes"))
    for name, value in ((b"user.text", b"value"), (b"user.bytes", bytes(range(256)) * 4), (b"user.empty", b""),
                        (b"user.\xff" + b"n" * 200, b"a name of any bytes")):
        attribute(path_of(top, b"attributes"), name, value)
    attribute(path_of(top, b"links"), b"user.of a folder", b"x")


@oddity("user.* attributes", make_user_attributes)
def check_user_attributes(top):
    expect(os.getxattr(path_of(top, b"attributes"), "user.bytes") == bytes(range(256)) * 4, "user.bytes")
    expect(os.getxattr(path_of(top, b"attributes"), "user.empty") == b"", "user.empty")
    expect(os.getxattr(path_of(top, b"links"), "user.of a folder") == b"x", "an attribute of a folder")


def make_acl(top):
    write(path_of(top, b"acl"))
    os.mkdir(path_of(top, b"acl folder"))
    os.mkdir(path_of(top, b"acl both"))
    for args, name in ((["-m", f"u:{OWNER}:rw,g:{GROUP}:r,m:rw"], b"acl"), (["-d", "-m", f"u:{OWNER}:rwx"], b"acl folder"),
                       (["-m", f"u:{OWNER}:---,m:r"], b"acl both"), (["-d", "-m", f"g:{GROUP}:r-x,o:---"], b"acl both")):
        done = subprocess.run(["setfacl", *args, path_of(top, name)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise LeftOut(f"ACLs: {done.stderr.strip().rsplit(': ', 1)[-1]}")


@oddity("POSIX ACLs", make_acl)
def check_acl(top):
    expect("system.posix_acl_access" in os.listxattr(path_of(top, b"acl")), "ACL")
    expect("system.posix_acl_default" in os.listxattr(path_of(top, b"acl folder")), "default ACL")
    expect({"system.posix_acl_access", "system.posix_acl_default"} <= set(os.listxattr(path_of(top, b"acl both"))),
           "a default and an access ACL")


def make_flags(top):
    write(path_of(top, b"nodump"))
    set_flags(path_of(top, b"nodump"), NODUMP | NOATIME)
    os.mkdir(path_of(top, b"flags"))
    for letter, flag in FILE_FLAGS.items():
        write(path_of(top, b"flags/" + letter.encode()))
        set_flags(path_of(top, b"flags/" + letter.encode()), flag)
    for letter, flag in FOLDER_FLAGS.items():
        os.mkdir(path_of(top, b"flags/folder " + letter.encode()))
        set_flags(path_of(top, b"flags/folder " + letter.encode()), flag)


@oddity("inode flags", make_flags)
def check_flags(top):
    expect(flags_of(path_of(top, b"nodump")) & (NODUMP | NOATIME) == NODUMP | NOATIME, "nodump, noatime")
    for prefix, flags in ((b"flags/", FILE_FLAGS), (b"flags/folder ", FOLDER_FLAGS)):
        for letter, flag in flags.items():
            expect(flags_of(path_of(top, prefix + letter.encode())) & flag, f"chattr +{letter} of {prefix}")


def make_socket(top):
    here = os.getcwd()
    os.chdir(top)  # its path may be longer than a socket's may
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    os.chdir(here)


# a socket is in the source and not in what comes back: check() looks for it in the source only
@oddity("a socket", make_socket)
def check_socket(top):
    expect(stat.S_ISSOCK(os.lstat(path_of(top, b"socket")).st_mode), "socket")


def make_owners(top):
    need_root()
    write(path_of(top, b"owned"))
    os.chown(path_of(top, b"owned"), OWNER, GROUP)
    os.chmod(path_of(top, b"owned"), 0o6755)
    os.chown(path_of(top, b"dangling"), OWNER, GROUP, follow_symlinks=False)
    set_times(path_of(top, b"dangling"), 1000000000, 1)
    write(path_of(top, b"no mode at all"))  # nobody else could read it back
    os.chmod(path_of(top, b"no mode at all"), 0)
    write(path_of(top, b"owned by a name"))
    os.chown(path_of(top, b"owned by a name"), pwd.getpwnam("daemon").pw_uid, grp.getgrnam("mail").gr_gid)
    write(path_of(top, b"owned by the highest"))
    os.chown(path_of(top, b"owned by the highest"), 2**32 - 2, 2**32 - 2)
    os.mkdir(path_of(top, b"owned folder"), 0o750)
    os.chown(path_of(top, b"owned folder"), OWNER, GROUP)
    write(path_of(top, b"owned folder/of root"))


@oddity("owners", make_owners)
def check_owners(top):
    for name in (b"owned", b"dangling"):
        st = os.lstat(path_of(top, name))
        expect((st.st_uid, st.st_gid) == (OWNER, GROUP), f"owner of {name}")
    expect(stat.S_IMODE(os.lstat(path_of(top, b"owned")).st_mode) == 0o6755, "setuid of another owner")
    expect(stat.S_IMODE(os.lstat(path_of(top, b"no mode at all")).st_mode) == 0, "no mode at all")
    expect(os.lstat(path_of(top, b"owned by a name")).st_uid == pwd.getpwnam("daemon").pw_uid, "owner with a name")
    expect(os.lstat(path_of(top, b"owned by the highest")).st_uid == 2**32 - 2, "the highest number")
    expect(os.lstat(path_of(top, b"owned folder")).st_gid == GROUP, "owner of a folder")


def make_devices(top):
    need_root()
    try:
        os.mknod(path_of(top, b"null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(path_of(top, b"block"), stat.S_IFBLK | 0o640, os.makedev(259, 1000))
    except PermissionError as problem:
        raise LeftOut(f"devices: {problem.strerror}") from problem


@oddity("devices", make_devices)
def check_devices(top):
    st = os.lstat(path_of(top, b"null")), os.lstat(path_of(top, b"block"))
    expect(stat.S_ISCHR(st[0].st_mode) and st[0].st_rdev == os.makedev(1, 3), "character device")
    expect(stat.S_ISBLK(st[1].st_mode) and st[1].st_rdev == os.makedev(259, 1000), "block device")


def make_root_attributes(top):
    need_root()
    write(path_of(top, b"capable"))
    os.chmod(path_of(top, b"capable"), 0o755)
    attribute(path_of(top, b"capable"), b"security.capability", CAPABILITY)
    attribute(path_of(top, b"capable"), b"trusted.note", b"t")
    attribute(path_of(top, b"capable"), b"security.anything", b"s")
    attribute(path_of(top, b"absolute"), b"trusted.of a link", b"l", follow=False)
    attribute(path_of(top, b"fifo"), b"trusted.of a pipe", b"p", follow=False)
    set_times(path_of(top, b"fifo"), 1000000000, 2)


@oddity("security.* and trusted.* attributes", make_root_attributes)
def check_root_attributes(top):
    expect(os.getxattr(path_of(top, b"capable"), "security.capability") == CAPABILITY, "security.capability")
    expect(os.getxattr(path_of(top, b"absolute"), "trusted.of a link", follow_symlinks=False) == b"l", "of a link")
    expect(os.getxattr(path_of(top, b"fifo"), "trusted.of a pipe", follow_symlinks=False) == b"p", "of a FIFO")
    expect(os.getxattr(path_of(top, b"capable"), "security.anything") == b"s", "security.anything")


def make_locked(top):
    need_root()
    for name, flags in ((b"immutable", IMMUTABLE), (b"append only", APPEND)):
        write(path_of(top, name))
        set_flags(path_of(top, name), flags)
    for name, flags in ((b"immutable folder", IMMUTABLE), (b"append only folder", APPEND)):
        os.mkdir(path_of(top, name))
        write(path_of(top, name + b"/inside"))
        set_flags(path_of(top, name), flags)


@oddity("immutable and append-only files and folders", make_locked)
def check_locked(top):
    expect(flags_of(path_of(top, b"immutable")) & IMMUTABLE, "immutable")
    expect(flags_of(path_of(top, b"append only")) & APPEND, "append-only")
    expect(flags_of(path_of(top, b"immutable folder")) & IMMUTABLE, "immutable folder")
    expect(flags_of(path_of(top, b"append only folder")) & APPEND, "append-only folder")


def unlock(top):
    """Takes the flags off that are in the way of changing and removing the tree (root)."""
    locked = [path_of(top, name) for name in (b"immutable", b"append only", b"immutable folder", b"append only folder")]
    subprocess.run(["chattr", "-ia", *locked], check=True)


# --- making, checking, comparing ---


def make(path):
    """Makes the tree and asserts that everything is in it. Returns {oddity: why it was left out}."""
    os.mkdir(path)
    left_out = {}
    for name, (make_it, _) in ODDITIES.items():
        try:
            make_it(os.fsencode(path))
        except LeftOut as reason:
            left_out[name] = str(reason)
    os.mkdir(path_of(path, b"closed folder"))
    write(path_of(path, b"closed folder/inside"))
    os.chmod(path_of(path, b"closed folder"), 0o555)
    set_times(path_of(path, b"closed folder"), 1111111111, 222)
    check(path, left_out)
    return left_out


def check(path, left_out=(), socket_expected=True):
    """Asserts that every oddity but those in `left_out` is in the tree."""
    for name, (_, check_it) in ODDITIES.items():
        if name in left_out or (name == "a socket" and not socket_expected):
            continue
        try:
            check_it(os.fsencode(path))
        except (OSError, LeftOut) as problem:
            raise AssertionError(f"{name}: {problem}") from problem
    st = os.lstat(path_of(path, b"closed folder"))
    expect(stat.S_IMODE(st.st_mode) == 0o555 and st.st_mtime_ns == 1111111111000000222, "closed folder")


def output(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, check=False)
    return done.stdout


def content_of(fd):
    """A hash of the data of an open file and where it lies; holes are not read."""
    total, at, size = hashlib.sha256(), 0, os.fstat(fd).st_size
    while at < size:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        end = os.lseek(fd, data, os.SEEK_HOLE)
        while data < end:
            piece = os.pread(fd, min(1 << 20, end - data), data)
            if piece.strip(b"\0"):  # a hole and zeros read the same
                total.update(b"%d:" % data + piece)
            data += len(piece)
        at = end
    return total.hexdigest()


def attributes_of(name, fd):
    """Of a name in an open directory, links and devices included."""
    path = b"/proc/self/fd/%d/" % fd + name
    try:
        return {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)}
    except OSError as problem:
        return {"": str(problem)}


def facts_of(fd, name, st):
    """What there is to know of one name, but for what no system can restore."""
    kind = stat.S_IFMT(st.st_mode)
    facts = {"mode": oct(st.st_mode), "owner": (st.st_uid, st.st_gid), "mtime": st.st_mtime_ns,
             "attributes": attributes_of(name, fd)}
    if kind != stat.S_IFDIR:
        facts["links"] = st.st_nlink
    if kind in (stat.S_IFREG, stat.S_IFLNK):
        facts["size"] = st.st_size
    if kind in (stat.S_IFBLK, stat.S_IFCHR):
        facts["device"] = st.st_rdev
    if kind == stat.S_IFLNK:
        facts["target"] = os.readlink(name, dir_fd=fd)
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        below = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
        try:
            if kind == stat.S_IFREG:
                facts["content"] = content_of(below)
            flags = fcntl.ioctl(below, GETFLAGS, struct.pack("i", 0))
            facts["flags"] = oct(struct.unpack("i", flags)[0] & SETTABLE)
        except OSError:
            pass  # no flags on this file system
        finally:
            os.close(below)
    return facts


def everything(top):
    """{path: facts} of a whole tree, however deep, and which paths are one file; sockets are left out."""
    found, same = {}, {}

    def enter(fd, path):
        for name in sorted(os.listdir(b"/proc/self/fd/%d" % fd)):
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
            whole = path + b"/" + name
            if stat.S_ISSOCK(st.st_mode):
                continue
            found[whole] = facts_of(fd, name, st)
            if stat.S_ISDIR(st.st_mode):
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                enter(below, whole)
                os.close(below)
            else:
                same.setdefault((st.st_dev, st.st_ino), []).append(whole)

    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        enter(fd, b"")
    finally:
        os.close(fd)
    return found, sorted(names for names in same.values() if len(names) > 1)


def differences_walked(source, copy):
    """Our own walk: it goes beyond PATH_MAX, knows nanoseconds, flags and attributes of everything."""
    (one, linked), (two, linked_too) = everything(source), everything(copy)
    differences = [f"walk: {path!r} is in one of them only" for path in sorted(set(one) ^ set(two))]
    for path in sorted(set(one) & set(two)):
        for fact in sorted(set(one[path]) | set(two[path])):
            was, now = one[path].get(fact), two[path].get(fact)
            if was != now:
                differences.append(f"walk: {fact} of {path[-300:]!r}: {was} and {now}")
    if linked != linked_too:
        differences.append(f"walk: hard links: {linked} and {linked_too}")
    return differences


def compare(source, copy):
    """What rsync, getfacl, lsattr, du and our own walk say of both; differences as lines, none when all is the same.

    None of the tools can follow a path beyond PATH_MAX, only our walk does. What rsync would have to read through holes
    of 100 GB to compare is left to it as well."""
    differences = differences_walked(source, copy)
    done = subprocess.run(["rsync", "-aHAXni", "--checksum", "--delete", "--exclude=/socket", "--exclude=/beyond*",
                           f"--exclude=/{DEEP_NAME.decode()}", f"{source}/", f"{copy}/"], capture_output=True, check=False)
    differences += ["rsync: " + line.decode(errors="replace")[:300] for line in (done.stdout + done.stderr).splitlines()]
    tools = (("getfacl", "-RPn", "--absolute-names", "."), ("lsattr", "-Rp", "."),
             ("find", ".", "-type", "p", "-printf", "%P %m %T@\n"))
    for command in tools:
        between = b"\n\n" if command[0] == "getfacl" else b"\n"
        one, two = (sorted(output(*command, cwd=folder).split(between)) for folder in (source, copy))
        one, two = ([part for part in parts if b"./socket" not in part] for parts in (one, two))
        if one != two:
            differences.append(f"{command[0]}: {sorted(set(one) ^ set(two))[:6]}")
    used = [int(output("du", "-sk", ".", cwd=folder).split()[0]) for folder in (source, copy)]
    if abs(used[0] - used[1]) > 256:
        differences.append(f"du: {used[0]} KiB and {used[1]} KiB")
    return differences


def ext4(image, folder):
    if not ROOT:
        raise LeftOut("mounting needs root")
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    with open(image, "wb") as file:
        file.truncate(256 << 20)
    for command in (["mkfs.ext4", "-q", "-b", "4096", image], ["mount", "-o", "loop", image, folder]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LeftOut(f"{command[0]}: {done.stderr.strip()}")


def main():
    command, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 2 else ("", [])
    try:
        if command == "make":
            for name, reason in make(arguments[0]).items():
                print(f"left out: {name} ({reason})")
        elif command == "check":
            check(arguments[0], arguments[1:], socket_expected=False)
        elif command == "compare":
            differences = compare(*arguments)
            print("\n".join(differences) if differences else "the same")
            return 1 if differences else 0
        elif command == "ext4":
            ext4(*arguments)
        elif command == "unmount":
            subprocess.run(["umount", arguments[0]], check=True)
        else:
            print(__doc__)
            return 2
    except (AssertionError, LeftOut) as problem:
        print(f"oddtree: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
