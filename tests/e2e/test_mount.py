"""`cellctl mount`: what is seen through it is what was backed up, whatever happens to the cells meanwhile."""
import concurrent.futures
import hashlib
import os
import random
import re
import signal
import stat
import subprocess
import threading
import time

import pytest

from conftest import Vault, differences, make_tree, run
from household import joined
from mounting import Mount, is_mounted, needs_fuse, wait_for

pytestmark = needs_fuse


def facts(root):
    """Everything that lstat tells of each path below `root` that a backup keeps, and its attributes."""
    found = {}
    for directory, names, files in os.walk(os.fsencode(root)):
        for name in [b".", *names, *files]:
            path = os.path.join(directory, name)
            s = os.lstat(path)
            size = 0 if stat.S_ISDIR(s.st_mode) else s.st_size
            links = 1 if stat.S_ISDIR(s.st_mode) else s.st_nlink
            target = os.readlink(path) if stat.S_ISLNK(s.st_mode) else None
            xattrs = {n: os.getxattr(path, n, follow_symlinks=False)
                      for n in os.listxattr(path, follow_symlinks=False)}
            found[os.path.relpath(path, os.fsencode(root))] = (
                s.st_mode, s.st_uid, s.st_gid, size, links, s.st_rdev, s.st_mtime_ns, target, xattrs)
    return found


def link_groups(root):
    """Which names are one file: sets of paths with the same device and inode number."""
    groups = {}
    for directory, _, files in os.walk(os.fsencode(root)):
        for name in files:
            s = os.lstat(os.path.join(directory, name))
            if s.st_nlink > 1:
                path = os.path.relpath(os.path.join(directory, name), os.fsencode(root))
                groups.setdefault((s.st_dev, s.st_ino), set()).add(path)
    return sorted(sorted(group) for group in groups.values())


def acls(root):
    return sorted(run(["getfacl", "-nR", "--absolute-names", "."], cwd=root).stdout.split(b"\n\n"))


def add_oddities(tree):
    """Attributes, ACLs, FIFOs and (as root) devices and capabilities."""
    os.mkfifo(tree / "fifo", 0o640)
    (tree / "tagged").write_text("with attributes")
    os.setxattr(tree / "tagged", "user.note", b"binary \x00\xff value")
    os.setxattr(tree / "tagged", "user.empty", b"")
    os.setxattr(tree / "docs", "user.big", b"x" * 2000)
    run(["setfacl", "-m", "u:12345:r", tree / "tagged"])
    if os.getuid() == 0:
        os.mknod(tree / "block", stat.S_IFBLK | 0o600, os.makedev(8, 300))
        os.mknod(tree / "character", stat.S_IFCHR | 0o660, os.makedev(1, 3))
        (tree / "capable").write_bytes(b"#!")
        run(["setfattr", "-n", "security.capability", "-v", "0x0000000200040000000000000000000000000000",
             tree / "capable"])
        os.chmod(tree / "capable", 0o4755)


def test_the_mount_shows_exactly_what_was_backed_up(shared, tmp_path):
    tree = make_tree(tmp_path / "tree", seed=11, files=60)
    add_oddities(tree)
    shared.vault.backup(tree)
    with Mount(shared.vault, tmp_path / "mnt") as m:
        seen = m.latest(tree)
        assert differences(tree, seen) == []
        assert facts(seen) == facts(tree)
        assert link_groups(seen) == link_groups(tree) != []
        assert acls(seen) == acls(tree)
        assert (seen / "sparse.img").stat().st_blocks * 512 < 2 << 20, "holes count as holes"
        with open(seen / "sparse.img", "rb") as file:
            assert file.seek(0, os.SEEK_DATA) > 39 << 20
            assert file.seek(0, os.SEEK_HOLE) == 0
        with pytest.raises(OSError) as missing:
            os.getxattr(seen / "nothing", "user.not-there")
        assert missing.value.errno == 61  # ENODATA: Samba depends on it
        for change in (lambda: (seen / "nothing").write_text("x"), lambda: (seen / "new").mkdir(),
                       lambda: (seen / "nothing").unlink()):
            with pytest.raises(OSError) as denied:
                change()
            assert denied.value.errno == 30  # EROFS
        room = os.statvfs(m.path)
        assert room.f_bfree == room.f_bavail == 0 and room.f_blocks * room.f_frsize > 64 << 20
        assert room.f_namemax == 255 and room.f_flag & os.ST_RDONLY
    assert not is_mounted(m.path) and list(m.path.iterdir()) == []


def test_the_directories_above_the_snapshots(shared, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("first")
    first = shared.vault.backup(tree, "--tag", "one/two", "--tag", "plain", "--host", "elsewhere")
    with Mount(shared.vault, tmp_path / "mnt") as m:
        top = os.listdir(m.path)
        assert {"ids", "snapshots", "hosts", "tags"} <= set(top)
        versions = [name for name in top if name.startswith("@GMT")]
        assert versions and all(re.fullmatch(r"@GMT-\d{4}\.\d\d\.\d\d-\d\d\.\d\d\.\d\d", v) for v in versions)
        assert m.latest(tree / "file").read_text() == "first"
        for where in (f"ids/{first['snapshot_id'][:10]}", "hosts/elsewhere/latest", "tags/one_two/latest",
                      "tags/plain/latest", sorted(versions)[-1]):
            assert (m.path / where / str(tree)[1:] / "file").read_text() == "first", where
        name = os.readlink(m.path / "snapshots/latest")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)(-\d+)?", name)
        alone = re.sub(r"(Z|[+-]\d\d:\d\d)-\d+$", r"\1", name)  # others of its second are of other hosts
        assert set(os.listdir(m.path / "hosts/elsewhere")) == {alone, "latest"}
        assert not (m.path / "tags/unknown").exists() and not (m.path / "@GMT-1999.01.01-00.00.00").exists()
    with Mount(shared.vault, tmp_path / "mnt", "--host", "elsewhere") as m:
        assert os.listdir(m.path / "hosts") == ["elsewhere"]
        assert len(os.listdir(m.path / "ids")) == 1


def test_a_new_snapshot_appears_while_it_is_mounted(shared, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("first")
    shared.vault.backup(tree)
    with Mount(shared.vault, tmp_path / "mnt") as m:
        assert m.latest(tree / "file").read_text() == "first"
        old, versions = os.readlink(m.path / "snapshots/latest"), set(os.listdir(m.path))
        time.sleep(1.1)  # @GMT names tell seconds apart
        (tree / "file").write_text("second")
        shared.vault.backup(tree)
        wait_for(lambda: os.readlink(m.path / "snapshots/latest") != old, "the new snapshot")
        wait_for(lambda: len(os.listdir(m.path)) == len(versions) + 1, "its @GMT name")
        assert m.latest(tree / "file").read_text() == "second"
        (new,) = set(os.listdir(m.path)) - versions
        assert (m.path / new / str(tree)[1:] / "file").read_text() == "second"
        assert (m.path / "snapshots" / old / str(tree)[1:] / "file").read_text() == "first"


def test_a_device_that_joins_while_it_is_mounted(shared, tmp_path):
    admin = Vault(tmp_path / "admin", shared.swarm)
    tree = make_tree(tmp_path / "first", seed=12, files=10, big=1)
    admin.backup(tree)
    with Mount(admin, tmp_path / "mnt") as m:
        assert differences(tree, m.latest(tree)) == []
        second = joined(admin, tmp_path / "second", "second")
        other = make_tree(tmp_path / "other", seed=13, files=10, big=1)
        made = second.backup(other)
        admin.ctl("snapshots")  # catches up with the other device
        seen = m.path / "ids" / made["snapshot_id"][:10]
        wait_for(seen.exists, "the other device's snapshot")
        assert differences(other, str(seen) + str(other)) == []


def test_random_reads_of_large_files_while_cells_die(new_swarm, tmp_path):
    swarm = new_swarm(9)
    vault = Vault(tmp_path / "vault", swarm)
    rng = random.Random(5)
    tree = tmp_path / "tree"
    tree.mkdir()
    dense = rng.randbytes(40 << 20)
    (tree / "dense").write_bytes(dense)
    places = [0, (1 << 32) - 70000, (1 << 32) + (1 << 30), 6 << 30]
    pieces = {at: rng.randbytes(200000) for at in places}
    with open(tree / "huge", "wb") as file:
        for at, piece in pieces.items():
            file.seek(at)
            file.write(piece)
        file.truncate((6 << 30) + (1 << 20))
    vault.backup(tree)
    with Mount(vault, tmp_path / "mnt") as m:
        seen = m.latest(tree)
        assert (seen / "huge").stat().st_size == (6 << 30) + (1 << 20)
        swarm.do("kill", *swarm.indexes()[1:3])
        with open(seen / "huge", "rb") as huge:
            for at, piece in pieces.items():
                assert os.pread(huge.fileno(), len(piece), at) == piece, f"at {at}"
                near = os.pread(huge.fileno(), 5000, at + len(piece) - 2500)
                assert near == piece[-2500:] + bytes(2500)
            assert os.pread(huge.fileno(), 100, (6 << 30) + (1 << 20) - 50) == bytes(50)
        with open(seen / "dense", "rb") as file:
            slowest = 0.0
            for _ in range(150):
                at, size = rng.randrange(len(dense)), rng.randrange(1, 200000)
                began = time.monotonic()
                assert os.pread(file.fileno(), size, at) == dense[at:at + size], (at, size)
                slowest = max(slowest, time.monotonic() - began)
        assert slowest < 15, f"a read took {slowest:.1f} s with two cells dead"
        whole = hashlib.sha256((seen / "dense").read_bytes()).digest()
        assert whole == hashlib.sha256(dense).digest()


def test_too_few_shards_are_an_error_with_a_sentence_and_not_for_ever(new_swarm, tmp_path):
    swarm = new_swarm(7)
    vault = Vault(tmp_path / "vault", swarm)
    tree = tmp_path / "tree"
    tree.mkdir()
    data = random.Random(6).randbytes(3 << 20)
    (tree / "file").write_bytes(data)
    vault.backup(tree)
    with Mount(vault, tmp_path / "mnt") as m:
        seen = m.latest(tree) / "file"
        assert seen.stat().st_size == len(data)
        lost = swarm.indexes()[:4]
        swarm.do("kill", *lost)
        with pytest.raises(OSError) as error:
            seen.read_bytes()
        assert error.value.errno == 5  # EIO
        wait_for(lambda: "file: " in m.said(), "a sentence about it")
        swarm.do("start", *lost)

        def comes_back():
            try:
                return seen.read_bytes() == data
            except OSError:
                return False
        wait_for(comes_back, "the file, with its cells there again", 60)


def test_a_directory_of_many_files(shared, tmp_path):
    tree = tmp_path / "many"
    tree.mkdir()
    names = {f"file-{number:05}-{'x' * (number % 60)}" for number in range(12000)}
    for name in names:
        (tree / name).touch()
    shared.vault.backup(tree)
    with Mount(shared.vault, tmp_path / "mnt") as m:
        seen = m.latest(tree)
        listed = os.listdir(seen)
        assert len(listed) == len(names) and set(listed) == names
        some = random.Random(7).sample(sorted(names), 50)
        assert all((seen / name).is_file() for name in some)
        assert not (seen / "file-00000-y").exists() and not (seen / "a").exists() and not (seen / "z").exists()
        assert len(run(["find", seen, "-type", "f", "-size", "0"]).stdout.splitlines()) == len(names)


def test_many_readers_at_once(shared, tmp_path):
    with Mount(shared.vault, tmp_path / "mnt") as m:
        ids = sorted(os.listdir(m.path / "ids"))
        root = m.path / "ids" / shared.summary["snapshot_id"][:10] / str(shared.tree)[1:]
        assert shared.summary["snapshot_id"][:10] in ids
        paths = [p for p in sorted(shared.tree.rglob("*")) if p.is_file() and not p.is_symlink()]

        def same(path):
            return (root / path.relative_to(shared.tree)).read_bytes() == path.read_bytes()
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            assert all(pool.map(same, paths * 2, timeout=120))


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "fusermount3", "SIGKILL"])
def test_nothing_is_left_mounted(shared, tmp_path, how):
    m = Mount(shared.vault, tmp_path / "mnt")
    assert m.latest(shared.tree).exists() or os.listdir(m.path / "ids")
    if how == "fusermount3":
        run(["fusermount3", "-u", m.path])
        assert m.process.wait(timeout=20) == 0, m.said()
        m.end()
    else:
        code = m.end(getattr(signal, how))
        assert code == (-signal.SIGKILL if how == "SIGKILL" else 0), m.said()
    assert os.listdir(m.path) == []


def test_it_ends_although_somebody_waits_for_cells_that_hang(new_swarm, tmp_path):
    swarm = new_swarm(7)
    vault = Vault(tmp_path / "vault", swarm)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(random.Random(8).randbytes(4 << 20))
    vault.backup(tree)
    cells = [int((swarm.directory / f"cell-{i}.pid").read_text()) for i in swarm.indexes()]
    m = Mount(vault, tmp_path / "mnt")
    outcome = []
    try:
        path = m.latest(tree) / "file"
        assert path.exists()
        for pid in cells:
            os.kill(pid, signal.SIGSTOP)

        def reader():
            try:
                outcome.append(len(path.read_bytes()))
            except OSError as error:
                outcome.append(error)
        thread = threading.Thread(target=reader)
        thread.start()
        time.sleep(1)
        assert not outcome, "it waits"
        began = time.monotonic()
        assert m.end() == 0
        thread.join(10)
        assert outcome and isinstance(outcome[0], OSError)
        assert time.monotonic() - began < 10
    finally:
        for pid in cells:
            os.kill(pid, signal.SIGCONT)
        m.end(signal.SIGKILL)


def test_what_cannot_be_mounted_is_said(shared, tmp_path):
    (tmp_path / "file").touch()
    for where in (tmp_path / "missing", tmp_path / "file"):
        done = shared.vault.ctl("mount", where, expect=1)
        assert f"cannot mount on {where}".encode() in done.stderr
    assert subprocess.run(["mountpoint", "-q", tmp_path], check=False).returncode != 0
