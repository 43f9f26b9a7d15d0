"""`cellctl dump`: a file's bytes, and a directory as an archive that other programs unpack."""
import hashlib
import os
import pty
import random
import stat
import subprocess
import tarfile
import zipfile

import pytest

from conftest import CELLCTL, Vault, differences, make_tree, run


def unpack(archive, target):
    """With GNU tar, as docs and --help say."""
    target.mkdir()
    options = ["--acls", "--same-owner", "-p"] if os.getuid() == 0 else ["--acls"]
    return run(["tar", "-x", "--xattrs", "--xattrs-include=*", *options, "-C", target, "-f", archive])


def add_oddities(tree):
    """What a tar does not hold by nature: long names, attributes, ACLs, devices, large numbers."""
    deep = tree / ("directory-" + "d" * 200) / ("e" * 200)
    deep.mkdir(parents=True)
    (deep / ("file-" + "f" * 200)).write_text("a path of more than 600 bytes")
    (tree / "grüße-日本").write_text("UTF-8")
    os.symlink("t" * 300, tree / "long-target")
    os.mkfifo(tree / "fifo", 0o640)
    (tree / "tagged").write_text("with attributes")
    os.setxattr(tree / "tagged", "user.note", b"binary \x00\xff\n=value")
    run(["setfacl", "-m", "u:12345:rw,g:54321:r", tree / "tagged"])
    run(["setfacl", "-d", "-m", "u:12345:rwx", tree / "docs"])
    if os.getuid() == 0:
        os.mknod(tree / "block", stat.S_IFBLK | 0o600, os.makedev(8, 300))
        os.mknod(tree / "character", stat.S_IFCHR | 0o660, os.makedev(1, 3))
        os.chown(tree / "nothing", 3_000_000_000, 3_000_000_001)  # more than a tar header's octal field holds
        os.chmod(tree / "docs/d1", 0o2775)


def holes_of(path):
    """Where its data lies."""
    runs, at = [], 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            runs.append((start, at))
    return runs


def test_a_directory_as_tar_comes_back_identical(shared, tmp_path):
    tree = make_tree(tmp_path / "tree", seed=31, files=60)
    add_oddities(tree)
    with open(tree / "holey", "wb") as file:
        for at in (0, 3 << 20, 9 << 20):
            file.seek(at)
            file.write(b"data" * 5000)
        file.truncate(20 << 20)
    made = shared.vault.backup(tree)
    shared.vault.ctl("dump", made["snapshot_id"], tree, "--target", tmp_path / "out.tar")
    said = unpack(tmp_path / "out.tar", tmp_path / "unpacked").stderr.decode()
    assert all("hdrcharset" in line for line in said.splitlines()), said
    copy = tmp_path / "unpacked" / str(tree)[1:]
    assert differences(tree, copy) == []
    assert (copy / "sparse.img").stat().st_blocks * 512 < 2 << 20, "holes stay holes"
    assert holes_of(copy / "holey") == holes_of(tree / "holey")
    assert (tmp_path / "out.tar").stat().st_size < 40 << 20, "and are not in the tar"
    assert (copy / "nothing").stat().st_mtime_ns == (tree / "nothing").stat().st_mtime_ns
    names = subprocess.run(["tar", "-tvf", tmp_path / "out.tar"], capture_output=True, check=True).stdout
    if os.getuid() == 0:
        assert b"root/root" in names


def test_the_archive_streams_and_python_reads_it_too(shared, tmp_path):
    with subprocess.Popen([CELLCTL, "--vault", shared.vault.directory, "dump", shared.summary["snapshot_id"],
                           shared.tree / "docs"],
                          stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            seen = {}
            for member in archive:
                content = archive.extractfile(member).read() if member.isreg() else None
                seen[member.name] = (member.type, content)
    assert process.returncode == 0
    prefix = str(shared.tree)[1:] + "/docs"
    assert seen[prefix][0] == tarfile.DIRTYPE
    for path in (shared.tree / "docs").rglob("*.txt"):
        assert seen[prefix + "/" + str(path.relative_to(shared.tree / "docs"))] == (tarfile.REGTYPE, path.read_bytes())
    links = [s for n, s in seen.items() if "photo-hard" in n]
    assert sorted(kind for kind, _ in links) == [tarfile.REGTYPE, tarfile.LNKTYPE]


def test_subpath_and_zip(shared, tmp_path):
    source, snapshot = shared.tree / "docs/d1", shared.summary["snapshot_id"][:8]
    shared.vault.ctl("dump", f"{snapshot}:{shared.tree}", "/docs/d1", "--archive", "zip", "-t", tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {"docs/d1/"} | {f"docs/d1/{p.name}" for p in source.iterdir()}
        for path in source.iterdir():
            assert archive.read(f"docs/d1/{path.name}") == path.read_bytes()
    shared.vault.ctl("dump", f"{snapshot}:{source}", "/", "-t", tmp_path / "out.tar")
    unpack(tmp_path / "out.tar", tmp_path / "unpacked")
    assert differences(source, tmp_path / "unpacked") == []


def test_single_files_byte_for_byte(new_swarm, tmp_path):
    swarm = new_swarm(8)
    vault = Vault(tmp_path / "vault", swarm)
    rng = random.Random(32)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "empty").touch()
    (tree / "small").write_bytes(b"x")
    (tree / "large").write_bytes(rng.randbytes(25_000_001))
    with open(tree / "sparse", "wb") as file:
        for at in (5 << 20, (20 << 20) + 123):
            file.seek(at)
            file.write(rng.randbytes(777_777))
        file.truncate(64 << 20)
    (tree / "all-hole").touch()
    os.truncate(tree / "all-hole", 3 << 20)
    vault.backup(tree)
    swarm.do("kill", *swarm.indexes()[:2])
    for name in ("empty", "small", "large", "sparse", "all-hole"):
        out = vault.ctl("dump", "latest", tree / name).stdout
        assert hashlib.sha256(out).digest() == hashlib.sha256((tree / name).read_bytes()).digest(), name
    # with too few cells: 13 and a sentence, and no wrong byte
    swarm.do("kill", *swarm.indexes()[2:5])
    done = vault.ctl("dump", "latest", tree / "large", expect=13)
    assert (tree / "large").read_bytes().startswith(done.stdout) and done.stderr


def test_what_cannot_be_dumped_is_said(shared, tmp_path):
    missing = shared.vault.ctl("dump", "latest", "/not/there", expect=1)
    assert b"there is no /not/there" in missing.stderr and missing.stdout == b""
    snapshot = shared.summary["snapshot_id"]
    wrong = shared.vault.ctl("dump", snapshot, shared.tree / "link-to-dir", expect=1)
    assert b"neither a file nor a directory" in wrong.stderr
    assert b"tar or zip" in shared.vault.ctl("dump", "latest", "/", "--archive", "rar", expect=2).stderr
    assert b"cannot write" in shared.vault.ctl("dump", "latest", "/", "-t", tmp_path / "no/where", expect=1).stderr
    full = shared.vault.ctl("dump", snapshot, shared.tree / "photo-0.bin", "-t", "/dev/full", expect=1)
    assert b"cannot write" in full.stderr
    master, slave = pty.openpty()
    try:
        done = subprocess.run([CELLCTL, "--vault", shared.vault.directory, "dump", "latest", "/"], stdout=slave,
                              stderr=subprocess.PIPE, check=False, timeout=60)
    finally:
        os.close(master)
        os.close(slave)
    assert done.returncode == 1 and b"terminal" in done.stderr


@pytest.mark.full
def test_a_tree_of_many_small_files_as_tar(shared, tmp_path):
    tree = make_tree(tmp_path / "tree", seed=33, files=5000, big=0)
    shared.vault.backup(tree)
    shared.vault.ctl("dump", f"latest:{tree}", "/", "-t", tmp_path / "out.tar")
    unpack(tmp_path / "out.tar", tmp_path / "unpacked")
    assert differences(tree, tmp_path / "unpacked") == []
