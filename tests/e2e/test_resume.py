"""A run that was killed goes on where it was: what was receipted is neither sent nor read again, and what the killed run
left behind never gets into a snapshot as something that it was not."""
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import time

import pytest

from conftest import CELLCTL, ROOT, Swarm, Vault, differences, json_lines, restored, run

MIB = 1 << 20


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    base = tmp_path_factory.mktemp("resume")
    library = base / "meddle.so"
    run(["cc", "-shared", "-fPIC", "-D_FILE_OFFSET_BITS=64", "-o", library, ROOT / "tests/harness/meddle.c", "-ldl"])
    swarm = Swarm(base / "swarm", 3, "1+1")
    yield type("Place", (), {"base": base, "library": library, "vault": Vault(base / "vault", swarm)})
    swarm.down()


def backup(place, tree, *arguments):
    """A backup that tells its summary and how many bytes of the tree it read."""
    count = place.base / "count"
    environment = {**os.environ, "LD_PRELOAD": str(place.library), "MEDDLE_PATH": str(tree), "MEDDLE_COUNT": str(count)}
    done = run([CELLCTL, "--vault", place.vault.directory, "backup", tree, "--json", *arguments], env=environment)
    return json_lines(done.stdout)[-1], int(count.read_text())


def kept(place, path):
    """What the index has of it, which is being written meanwhile: entries of a directory, MiB of a large file."""
    with contextlib.closing(sqlite3.connect(f"file:{place.vault.directory}/index.db?mode=ro", uri=True)) as index:
        if path.is_dir():  # docs/index.md: version, tree, le32 count
            found = index.execute("SELECT body FROM dir WHERE path = ?", (os.fsencode(path),)).fetchone()
            return int.from_bytes(found[0][33:37], "little") if found else 0
        found = index.execute("SELECT offset FROM progress WHERE path = ?", (os.fsencode(path),)).fetchone()
        return found[0] // MIB if found else 0


def killed(place, tree, path, how=signal.SIGKILL):
    """A slow backup, killed as soon as a part of `path`, at least 6 of its 72 entries or MiB, is kept."""
    child = subprocess.Popen([CELLCTL, "--vault", place.vault.directory, "backup", tree, "--limit-upload", "12000"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not 6 <= kept(place, path) < 72:
        assert child.poll() is None, "it was done before it could be killed"
        time.sleep(0.05)
    child.send_signal(how)
    assert child.wait() in (-how, 130)


def random_files(folder, count, size, seed):
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    for i in range(count):
        (folder / f"{i:03}").write_bytes(rng.randbytes(size))


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.full)])
def test_files_of_one_directory_are_not_read_again(place, how):
    tree = place.base / f"files-{how}"
    random_files(tree / "photos", 72, MIB, how)
    killed(place, tree, tree / "photos", how)
    summary, read = backup(place, tree)
    assert summary["total_files_processed"] == 72 and summary["files_unmodified"] >= 6
    assert read <= (72 - summary["files_unmodified"]) * MIB and summary["data_added"] <= 66 * MIB
    place.vault.restore(place.base / f"files-{how}-out")
    assert differences(tree, restored(place.base / f"files-{how}-out", tree)) == []


@pytest.mark.parametrize("holes", [False, pytest.param(True, marks=pytest.mark.full)])
def test_a_large_file_goes_on_where_it_was(place, holes):
    tree = place.base / f"large-{holes}"
    random_files(tree, 1, MIB, 3)
    with open(tree / "000", "wb") as file:
        for i in range(72):
            file.seek(i * (2 if holes else 1) * MIB)
            file.write(random.Random(i + 1000 * holes).randbytes(MIB))
    killed(place, tree, tree / "000")
    summary, read = backup(place, tree)
    assert read <= 66 * MIB and summary["data_added"] <= 66 * MIB
    assert kept(place, tree / "000") == 0, "nothing of it is left behind"
    place.vault.restore(place.base / f"large-{holes}-out")
    assert differences(tree, restored(place.base / f"large-{holes}-out", tree)) == []


@pytest.mark.full
def test_a_large_file_that_changed_after_the_kill_is_read_from_its_beginning(place):
    tree = place.base / "changed"
    random_files(tree, 1, 72 * MIB, 4)
    killed(place, tree, tree / "000")
    with open(tree / "000", "r+b") as file:
        file.write(b"a new beginning")
    _, read = backup(place, tree)
    assert read >= 72 * MIB
    place.vault.restore(place.base / "changed-out")
    assert differences(tree, restored(place.base / "changed-out", tree)) == []


def test_a_change_that_only_the_killed_run_saw_is_in_the_next_snapshot(place):
    """The killed run has kept the new row of a directory whose own times are as they were: the next one must not take
    the directory as the snapshot before had it."""
    tree = place.base / "stale"
    random_files(tree / "a", 2, MIB, 5)
    random_files(tree / "z", 72, MIB, 6)
    place.vault.backup(tree)
    for folder in "az":  # in place and of the same length: no directory's mtime changes
        for path in sorted((tree / folder).iterdir()):
            with open(path, "r+b") as file:
                file.write(random.Random(str(path)).randbytes(path.stat().st_size))
    killed(place, tree, tree / "z")
    summary, read = backup(place, tree)
    assert summary["files_unmodified"] >= 6 and read <= 68 * MIB, "the test is about rows that the killed run left"
    place.vault.restore(place.base / "stale-out")
    assert differences(tree, restored(place.base / "stale-out", tree)) == []


def test_an_interrupted_restore_goes_on(place):
    tree = place.base / "back"
    random_files(tree / "x", 40, MIB, 7)
    random_files(tree / "y", 100, 1000, 8)
    place.vault.backup(tree)
    out = place.base / "back-out"
    child = subprocess.Popen([CELLCTL, "--vault", place.vault.directory, "restore", "latest", "--target", out],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = restored(out, tree) / "x"
    wanted = 10 + os.cpu_count()  # of which each thread may have one that is not whole
    while child.poll() is None and (not folder.exists() or len(list(folder.glob("[0-9]*"))) < wanted):
        time.sleep(0.002)
    child.kill()
    child.wait()
    assert wanted <= len(list(folder.glob("[0-9]*")))
    end = place.vault.restore(out)[-1]
    assert end["files_failed"] == 0 and end["files_skipped"] >= 10
    assert end["files_restored"] + end["files_skipped"] == 140
    assert differences(tree, restored(out, tree)) == []
    assert not [p for p in out.rglob(".cellar-part-*")]


def test_a_killed_restore_leaves_no_half_file_that_looks_whole(place):
    """Into directories that the restore makes small files come under their own names: what was not whole shows it by
    its mode, and also a run that leaves alone what is there (--overwrite never) goes on from there."""
    tree = place.base / "small"
    for i in range(20):
        random_files(tree / f"d{i}", 150, 3000 + i, i)
    place.vault.backup(tree)
    out = place.base / "small-out"
    folder = restored(out, tree)
    for least in (1, 600, 1500):
        child = subprocess.Popen([CELLCTL, "--vault", place.vault.directory, "restore", "latest", "--target", out,
                                  "--overwrite", "never"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None and sum(1 for _ in folder.glob("*/*")) < least:
            pass
        child.kill()
        child.wait()
        found = [path for path in folder.glob("*/*") if not path.name.startswith(".cellar-part-")]
        half = [path for path in found if path.stat().st_mode & 0o7777 == 0o1200]
        assert len(half) <= os.cpu_count() and len(found) >= least
        for path in set(found) - set(half):
            assert path.read_bytes() == (tree / path.relative_to(folder)).read_bytes(), path
    end = place.vault.restore(out, "latest", "--overwrite", "never")[-1]
    assert end["files_failed"] == 0 and end["files_skipped"] >= 1500 - os.cpu_count()
    assert differences(tree, folder) == []


def test_a_restore_of_several_batches(place):
    """More entries than a batch has (4,096): hard links and directories that reach from one into the next."""
    tree = place.base / "many"
    for i in range(45):
        random_files(tree / "top" / f"d{i:02}", 100, 40 + i, i)
    random_files(tree / "top" / "d41" / "big", 1, 9 * MIB, 99)  # of many chunks, where the batches meet
    os.link(tree / "top/d00/000", tree / "top/d44/again")
    os.utime(tree / "top", (1000, 1000))
    place.vault.backup(tree)
    out = place.base / "many-out"
    end = place.vault.restore(out, "latest", "--verify")[-1]
    assert end["files_failed"] == 0 and end["files_restored"] == 4502
    assert differences(tree, restored(out, tree)) == []
    assert (restored(out, tree) / "top/d44/again").stat().st_nlink == 2


def test_what_looks_restored_and_is_not_is_put_right(place):
    """Same size and mtime, other bytes: the default does not take their word for it."""
    tree = place.base / "looks"
    random_files(tree, 3, 100_000, 9)
    place.vault.backup(tree)
    out = place.base / "looks-out"
    place.vault.restore(out)
    copy = restored(out, tree) / "001"
    stat = copy.stat()
    copy.write_bytes(b"x" * 100_000)
    os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    end = place.vault.restore(out)[-1]
    assert (end["files_restored"], end["files_skipped"]) == (1, 2)
    assert differences(tree, restored(out, tree)) == []
