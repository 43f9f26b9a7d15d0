"""Files that change, shrink, grow, vanish or become something else at the very moment that they are read: what is kept
is one state of the file and never a mix, and whatever could not be had so is said.

meddle.c (LD_PRELOAD) runs a command just before an open or a read of the file, so nothing depends on luck."""
import os
import subprocess

import pytest

from conftest import CELLCTL, ROOT, Swarm, Vault, json_lines, restored, run

SMALL, LARGE = 100_000, 12 << 20  # in one read; in several


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    base = tmp_path_factory.mktemp("changing")
    library = base / "meddle.so"
    run(["cc", "-shared", "-fPIC", "-D_FILE_OFFSET_BITS=64", "-o", library, ROOT / "tests/harness/meddle.c", "-ldl"])
    swarm = Swarm(base / "swarm", 3, "1+1")
    yield type("Place", (), {"base": base, "library": library, "vault": Vault(base / "vault", swarm)})
    swarm.down()


class Case:
    def __init__(self, place, name, size, at, command, **options):
        self.vault, self.folder = place.vault, place.base / name
        self.folder.mkdir()
        self.file = self.folder / "file"
        self.old, self.new = b"a" * size, b"B" * size
        self.file.write_bytes(self.old)
        (self.folder / "other").write_text("stands still")
        (self.folder / "new").write_bytes(self.new)
        self.target = place.base / f"{name}-out"
        environment = {**os.environ, "LD_PRELOAD": str(place.library), "MEDDLE_PATH": str(self.file), "MEDDLE_AT": at,
                       "MEDDLE_COMMAND": command.format(f=self.file, d=self.folder),
                       **{f"MEDDLE_{key.upper()}": str(value) for key, value in options.items()}}
        self.done = run([CELLCTL, "--vault", self.vault.directory, "backup", self.file, self.folder / "other", "--json"],
                        expect=None, env=environment)
        self.said = [o for o in json_lines(self.done.stderr) if str(self.file) in str(o)]
        summary = json_lines(self.done.stdout)[-1]
        assert summary["message_type"] == "summary", self.done.stderr
        self.vault.restore(self.target, summary["snapshot_id"])
        self.copy = restored(self.target, self.file)
        assert restored(self.target, self.folder / "other").read_text() == "stands still"


@pytest.mark.parametrize("size,skip", [(SMALL, 0), (LARGE, 0), (LARGE, 1), (LARGE, 2)])
@pytest.mark.parametrize("what,command", [
    ("rewritten", "cat {d}/new 1<> {f} >&0"),
    ("replaced", "cp {d}/new {d}/n2 && mv {d}/n2 {f}"),
    ("truncated and written anew", "cat {d}/new > {f}"),
])
def test_a_file_that_changes_once_is_kept_as_it_was_or_as_it_became(place, what, command, size, skip):
    command = command.replace("1<> {f} >&0", "| dd of={f} conv=notrunc bs=1M status=none")
    case = Case(place, f"{what}-{size}-{skip}".replace(" ", "-"), size, "read", command, skip=skip)
    assert case.copy.read_bytes() in (case.old, case.new)
    assert case.done.returncode == 0
    if what != "replaced":  # what was opened stood still there
        assert case.copy.read_bytes() == case.new
        assert [o["message_type"] for o in case.said] == ["warning"] and "again" in case.said[0]["message"]


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_file_that_shrinks_is_kept_at_its_new_size(place, size):
    case = Case(place, f"shrinks-{size}", size, "read", "truncate -s 10 {f}")
    assert case.copy.read_bytes() == b"a" * 10
    assert case.done.returncode == 0 and case.said


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_file_that_grows_is_kept_with_what_was_added(place, size):
    case = Case(place, f"grows-{size}", size, "read", "printf tail >> {f}")
    assert case.copy.read_bytes() == case.old + b"tail"
    assert case.done.returncode == 0 and case.said


def test_a_small_file_that_became_large_before_it_was_opened(place):
    case = Case(place, "became-large", SMALL, "open", "head -c 3000000 /dev/zero | tr '\\0' 'C' > {f}")
    assert case.copy.read_bytes() == b"C" * 3000000
    assert case.done.returncode == 0


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_file_that_never_stands_still_is_said_each_time(place, size):
    """Appended to before each read: what is kept has the old beginning, and it counts as not read properly."""
    case = Case(place, f"never-{size}", size, "read", "printf x >> {f}", times=1000)
    assert case.done.returncode == 3
    assert [o["message_type"] for o in case.said] == ["error"] and "while it was read" in str(case.said[0])
    assert case.copy.read_bytes().startswith(case.old)
    assert set(case.copy.read_bytes()[size:]) <= {ord("x")}
    again = case.vault.backup(case.file)
    assert again["files_changed"] == 1, "it is read again by the next run"


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("what,command", [
    ("vanishes", "rm {f}"),
    ("becomes a directory", "rm {f} && mkdir {f} && echo x > {f}/inside"),
    ("becomes a symbolic link", "rm {f} && ln -s /etc/passwd {f}"),
    ("becomes a FIFO", "rm {f} && mkfifo {f}"),
    ("may not be read any more", "rm {f} && ln {d}/other {f} && rm {f} && mkdir -m 0 {f}"),
])
def test_a_file_that_is_none_any_more_is_left_out_and_said(place, what, command, size):
    case = Case(place, f"{what}-{size}".replace(" ", "-"), size, "open", command)
    assert case.done.returncode == 3
    assert not os.path.lexists(case.copy)
    assert [o["message_type"] for o in case.said] == ["error"]
    assert case.said[0]["item"] == str(case.file)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_file_that_vanishes_while_it_is_open_is_kept(place, size):
    case = Case(place, f"gone-{size}", size, "read", "rm {f}")
    assert case.copy.read_bytes() == case.old
    assert case.done.returncode == 0
    assert [o["message_type"] for o in case.said] == ["warning"] and "removed" in case.said[0]["message"]


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_a_directory_that_becomes_a_link_is_not_followed(place, skip):
    """Between the look at a directory and its opening it is exchanged for a link (a run may look more than once)."""
    base = place.base / f"exchanged-{skip}"
    (base / "folder").mkdir(parents=True)
    (base / "elsewhere").mkdir()
    (base / "elsewhere/file").write_text("must not be taken for the other one")
    (base / "folder/file").write_text("right")
    environment = {**os.environ, "LD_PRELOAD": str(place.library), "MEDDLE_AT": "open",
                   "MEDDLE_PATH": f"{base}/folder", "MEDDLE_SKIP": str(skip),
                   "MEDDLE_COMMAND": f"mv {base}/folder {base}/was && ln -s elsewhere {base}/folder"}
    done = subprocess.run([CELLCTL, "--vault", place.vault.directory, "backup", base], env=environment,
                          capture_output=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    if done.returncode == 3:
        assert f"{base}/folder".encode() in done.stderr
    place.vault.restore(place.base / f"exchanged-{skip}-out")
    copy = restored(place.base / f"exchanged-{skip}-out", base)
    if (copy / "folder").is_symlink():
        assert os.readlink(copy / "folder") == "elsewhere"
    elif (copy / "folder/file").exists():
        assert (copy / "folder/file").read_text() == "right"
