#!/usr/bin/env python3
"""A tree with every oddity that a backup has to keep, and a judge of whether a copy kept them.

    oddtree.py make DIR            makes it in DIR (which must not exist) and asserts that each oddity is there
    oddtree.py check DIR [ODDITY]  asserts it of a restored tree, which has no socket; names of oddities behind DIR are
                                   not asked about
    oddtree.py compare DIR DIR     rsync, getfacl, lsattr and du agree on both
    oddtree.py ext4 IMAGE DIR      as root: a fresh loop-mounted ext4 of 256 MiB at DIR, so that flags, ACLs and all
                                   attributes can be had; `oddtree.py unmount DIR` ends it

As an ordinary user, what needs root is left out; what the file system cannot do is left out too. Both are printed
with the reason, one "left out: ..." a line. From Python: make(path) and check(path) return the oddities left out as
{name: reason}; compare(a, b) returns a list of differences. Exit code 1 when something is not as it should be.
"""
import fcntl
import os
import pathlib
import socket
import stat
import struct
import subprocess
import sys

GETFLAGS, SETFLAGS = 0x80086601, 0x40086602
IMMUTABLE, APPEND, NODUMP, NOATIME = 0x10, 0x20, 0x40, 0x80
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


def make_sparse(top):
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


def make_links(top):
    os.mkdir(path_of(top, b"links"))
    write(path_of(top, b"links/first"))
    os.link(path_of(top, b"links/first"), path_of(top, b"links/second"))
    os.link(path_of(top, b"links/first"), path_of(top, b"third name"))


@oddity("hard links", make_links)
def check_links(top):
    all_of = [os.stat(path_of(top, name)) for name in (b"links/first", b"links/second", b"third name")]
    expect(len({st.st_ino for st in all_of}) == 1 and all_of[0].st_nlink == 3, "three names of one file")


SYMLINKS = {b"to file": b"plain", b"dangling": b"nowhere/at all", b"absolute": b"/etc/hostname",
            b"odd target": b"\xff\n", b"long target": b"t" * 3000, b"to folder": b"links"}


@oddity("symbolic links", lambda top: [os.symlink(to, path_of(top, name)) for name, to in SYMLINKS.items()])
def check_symlinks(top):
    for name, to in SYMLINKS.items():
        expect(os.readlink(path_of(top, name)) == to, f"target of {name}")


@oddity("a FIFO", lambda top: os.mkfifo(path_of(top, b"fifo"), 0o620))
def check_fifo(top):
    expect(stat.S_ISFIFO(os.lstat(path_of(top, b"fifo")).st_mode), "FIFO")


MODES = {b"setuid": 0o4755, b"setgid": 0o2755, b"unreadable by others": 0o600, b"odd mode": 0o1642}


def make_modes(top):
    for name, mode in MODES.items():
        write(path_of(top, name))
        os.chmod(path_of(top, name), mode)
    os.mkdir(path_of(top, b"sticky folder"))
    os.chmod(path_of(top, b"sticky folder"), 0o3777)


@oddity("modes", make_modes)
def check_modes(top):
    for name, mode in {**MODES, b"sticky folder": 0o3777}.items():
        expect(stat.S_IMODE(os.lstat(path_of(top, name)).st_mode) == mode, f"mode of {name}")


def make_times(top):
    for name, seconds, ns in ((b"before 1970", -1, 999999999), (b"nanoseconds", 1234567890, 123456789)):
        write(path_of(top, name))
        set_times(path_of(top, name), seconds, ns)
    set_times(path_of(top, b"dangling"), 1000000000, 1)
    set_times(path_of(top, b"fifo"), 1000000000, 2)


@oddity("nanosecond times", make_times)
def check_times(top):
    for name, ns in ((b"before 1970", -1), (b"nanoseconds", 1234567890123456789), (b"dangling", 10**18 + 1),
                     (b"fifo", 10**18 + 2)):
        expect(os.lstat(path_of(top, name)).st_mtime_ns == ns, f"mtime of {name}")


def make_user_attributes(top):
    write(path_of(top, b"attributes"))
    for name, value in ((b"user.text", b"value"), (b"user.bytes", bytes(range(256)) * 4), (b"user.empty", b"")):
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
    for args, name in ((["-m", f"u:{OWNER}:rw,g:{GROUP}:r,m:rw"], b"acl"), (["-d", "-m", f"u:{OWNER}:rwx"], b"acl folder")):
        done = subprocess.run(["setfacl", *args, path_of(top, name)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise LeftOut(f"ACLs: {done.stderr.strip().rsplit(': ', 1)[-1]}")


@oddity("POSIX ACLs", make_acl)
def check_acl(top):
    expect("system.posix_acl_access" in os.listxattr(path_of(top, b"acl")), "ACL")
    expect("system.posix_acl_default" in os.listxattr(path_of(top, b"acl folder")), "default ACL")


def make_flags(top):
    write(path_of(top, b"nodump"))
    set_flags(path_of(top, b"nodump"), NODUMP | NOATIME)


@oddity("inode flags", make_flags)
def check_flags(top):
    expect(flags_of(path_of(top, b"nodump")) & (NODUMP | NOATIME) == NODUMP | NOATIME, "nodump, noatime")


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


@oddity("owners", make_owners)
def check_owners(top):
    for name in (b"owned", b"dangling"):
        st = os.lstat(path_of(top, name))
        expect((st.st_uid, st.st_gid) == (OWNER, GROUP), f"owner of {name}")
    expect(stat.S_IMODE(os.lstat(path_of(top, b"owned")).st_mode) == 0o6755, "setuid of another owner")


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
    attribute(path_of(top, b"absolute"), b"trusted.of a link", b"l", follow=False)


@oddity("security.* and trusted.* attributes", make_root_attributes)
def check_root_attributes(top):
    expect(os.getxattr(path_of(top, b"capable"), "security.capability") == CAPABILITY, "security.capability")
    expect(os.getxattr(path_of(top, b"absolute"), "trusted.of a link", follow_symlinks=False) == b"l", "of a link")


def make_locked(top):
    need_root()
    for name, flags in ((b"immutable", IMMUTABLE), (b"append only", APPEND)):
        write(path_of(top, name))
        set_flags(path_of(top, name), flags)


@oddity("immutable and append-only files", make_locked)
def check_locked(top):
    expect(flags_of(path_of(top, b"immutable")) & IMMUTABLE, "immutable")
    expect(flags_of(path_of(top, b"append only")) & APPEND, "append-only")


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


def compare(source, copy):
    """Without the path beyond PATH_MAX, which none of them can follow (check() does). What rsync, getfacl, lsattr and du say of both; differences as lines, none when all is the same."""
    differences = []
    done = subprocess.run(["rsync", "-aHAXni", "--checksum", "--delete", "--exclude=/socket",
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
