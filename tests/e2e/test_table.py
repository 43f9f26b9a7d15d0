"""Issue 4, a row a line: what the vault's commands promise, shown on the real programs.

A row is a function with the line that it shows; `elsewhere` names the tests of other files that show a line."""
import json
import os
import pathlib
import re
import signal
import shutil
import subprocess
import time

import pytest

from conftest import CELLCTL, ROOT, Swarm, Vault, differences, json_lines, make_tree, restored, run

ROWS, ELSEWHERE = [], []
MIB = 1 << 20
AS_ROOT = os.getuid() == 0


def row(line, words):
    def register(function):
        ROWS.append(pytest.param(function, id=f"{line}: {words}"))
        return function

    return register


def elsewhere(line, words, file, *tests):
    ELSEWHERE.append(pytest.param(file, tests, id=f"{line}: {words}"))


class Place:
    """One swarm for all rows; each row has a folder, and the vault is one account's."""

    def __init__(self, base):
        self.base = base
        self.swarm = Swarm(base / "swarm", 6, "2+2")
        self.vault = Vault(base / "vault", self.swarm)
        self.library = base / "meddle.so"
        run(["cc", "-shared", "-fPIC", "-D_FILE_OFFSET_BITS=64", "-o", self.library, ROOT / "tests/harness/meddle.c", "-ldl"])
        self.count = 0

    def folder(self):
        self.count += 1
        made = self.base / f"row-{self.count}"
        made.mkdir()
        return made

    def names_after(self, folder, *arguments):
        """What a backup of `folder` with these flags keeps, below it."""
        summary = self.vault.backup(folder, *arguments)
        nodes = self.vault.json("ls", summary["snapshot_id"])
        return {str(pathlib.Path(node["path"]).relative_to(folder)) for node in nodes
                if node["message_type"] == "node" and str(node["path"]).startswith(f"{folder}/")}

    def snapshots(self):
        return [o for o in self.vault.json("snapshots") if "id" in o]

    def restore(self, target, snapshot="latest", *arguments, expect=0):
        return self.vault.restore(target, snapshot, *arguments, expect=expect)[-1]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    made = Place(tmp_path_factory.mktemp("table"))
    yield made
    made.swarm.down()


@pytest.mark.parametrize("shows", ROWS)
def test_row(shows, place):
    shows(place)


@pytest.mark.parametrize("file,tests", ELSEWHERE)
def test_elsewhere(file, tests):
    text = (ROOT / "tests/e2e" / file).read_text()
    for name in tests:
        assert f"def {name}(" in text, f"{file} has no {name}"


# --- 1 fidelity ---

elsewhere(1, "every oddity of a file system, as root and as an ordinary user", "test_oddtree.py",
          "test_everything_comes_back_as_root", "test_everything_comes_back_as_an_ordinary_user")
elsewhere(1, "files that change, shrink, vanish or become something else", "test_changing.py",
          "test_a_file_that_changes_once_is_kept_as_it_was_or_as_it_became", "test_a_file_that_shrinks_is_kept_at_its_new_size",
          "test_a_file_that_never_stands_still_is_said_each_time", "test_a_file_that_is_none_any_more_is_left_out_and_said",
          "test_a_directory_that_becomes_a_link_is_not_followed")


@row(1, "sockets are skipped and said, once each")
def sockets(place):
    folder = place.folder()
    run(["/usr/bin/python3", "-c", f"import os, socket; os.chdir('{folder}'); socket.socket(socket.AF_UNIX).bind('s')"])
    done = place.vault.ctl("backup", folder, "--json")
    assert [o["message"] for o in json_lines(done.stderr)] == [f"{folder}/s is a socket and is left out"]


@row(1, "owners by name, or by number with --numeric-owners")
def owners(place):
    if not AS_ROOT:
        pytest.skip("owners need root")
    folder = place.folder()
    (folder / "f").touch()
    os.chown(folder / "f", 1, 8)
    place.vault.backup(folder)
    place.restore(place.base / "owners", "latest", "--numeric-owners")
    st = restored(place.base / "owners", folder / "f").stat()
    assert (st.st_uid, st.st_gid) == (1, 8)
    node = next(o for o in place.vault.json("ls", "latest", folder / "f") if o["message_type"] == "node")
    assert (node["uid"], node["gid"]) == (1, 8)


@row(1, "names that are not UTF-8 are also there as path_b64")
def odd_names(place):
    folder = place.folder()
    name = os.fsencode(folder) + b"/\xff\xfe"
    with open(name, "wb") as file:
        file.write(b"x")
    place.vault.backup(folder)
    nodes = [o for o in place.vault.json("ls", "latest") if "path_b64" in o]
    assert len(nodes) == 1
    import base64
    assert base64.b64decode(nodes[0]["path_b64"]) == name


# --- 2 incremental ---


def changes(place, change, *flags):
    folder = place.folder()
    (folder / "file").write_bytes(b"a" * 1000)
    os.utime(folder / "file", ns=(0, 10**18))
    place.vault.backup(folder)
    change(folder / "file")
    summary = place.vault.backup(folder, *flags)
    return summary["files_changed"], summary["files_unmodified"]


def new_size(path):
    path.write_bytes(b"a" * 1001)
    os.utime(path, ns=(0, 10**18))


def new_mtime(path):
    os.utime(path, ns=(0, 10**18 + 1))


def new_ctime(path):
    path.write_bytes(b"b" * 1000)
    os.utime(path, ns=(0, 10**18))


def new_inode(path):
    shutil.copy2(path, path.with_name("other"))
    os.rename(path.with_name("other"), path)
    os.utime(path, ns=(0, 10**18))


for number, (change, flags, wanted) in enumerate([
        (new_size, [], (1, 0)), (new_mtime, [], (1, 0)), (new_ctime, [], (1, 0)), (new_inode, [], (1, 0)),
        (new_size, ["--ignore-ctime", "--ignore-inode"], (1, 0)), (new_mtime, ["--ignore-ctime", "--ignore-inode"], (1, 0)),
        (new_ctime, ["--ignore-ctime"], (0, 1)), (new_inode, ["--ignore-ctime"], (1, 0)),
        (new_inode, ["--ignore-inode"], (1, 0)), (new_inode, ["--ignore-inode", "--ignore-ctime"], (0, 1)),
        (lambda path: None, [], (0, 1))]):
    @row(2, f"change detection: {getattr(change, '__name__', '')} {' '.join(flags)}: {'changed' if wanted[0] else 'as it was'}"
         .replace("<lambda>", "nothing"))
    def detection(place, change=change, flags=flags, wanted=wanted):
        assert changes(place, change, *flags) == wanted


elsewhere(2, "a killed backup goes on and reads only what had no receipt", "test_resume.py",
          "test_files_of_one_directory_are_not_read_again", "test_a_large_file_goes_on_where_it_was",
          "test_a_change_that_only_the_killed_run_saw_is_in_the_next_snapshot")


@row(2, "--dry-run looks and counts, sends and keeps nothing")
def dry_run(place):
    folder = place.folder()
    (folder / "new").write_bytes(os.urandom(100000))
    before = len(place.snapshots())
    summary = place.vault.backup(folder, "--dry-run")
    assert summary["dry_run"] and summary["files_new"] == 1 and summary["bytes_sent"] == 0
    assert summary["snapshot_id"] is None and len(place.snapshots()) == before
    assert place.vault.backup(folder)["files_new"] == 1, "the dry run did not count as a backup"


def piped(place, data, *flags, expect=0):
    return subprocess.run([CELLCTL, "--vault", place.vault.directory, "backup", *map(str, flags), "--json"], input=data,
                          capture_output=True, check=False)


for size in (0, 1, 100_000, 9 * MIB):
    @row(2, f"--stdin-filename: {size} bytes from a pipe")
    def stdin(place, size=size):
        data = os.urandom(size)
        done = piped(place, data, "--stdin-filename", "folder/piped.bin")
        assert done.returncode == 0, done.stderr
        summary = json_lines(done.stdout)[-1]
        assert summary["total_bytes_processed"] == size
        assert place.vault.ctl("dump", summary["snapshot_id"], "/folder/piped.bin").stdout == data
        assert next(o for o in place.snapshots() if o["id"] == summary["snapshot_id"])["paths"] == ["/folder/piped.bin"]


@row(2, "--stdin-from-command: what the command writes")
def from_command(place):
    place.vault.ctl("backup", "--stdin-filename", "numbers", "--stdin-from-command", "--", "seq", "1", "100000")
    numbers = "".join(f"{n}\n" for n in range(1, 100001)).encode()
    assert place.vault.ctl("dump", "latest", "/numbers").stdout == numbers


for what, command, words in [("exits with 7 at its end", "seq 100000; exit 7", "exit code 7"),
                             ("is killed", "seq 100000; kill -9 $$", "signal 9"),
                             ("writes much, then fails", "head -c 30000000 /dev/urandom; false", "exit code 1")]:
    @row(2, f"--stdin-from-command: a command that {what} fails the snapshot")
    def failing_command(place, command=command, words=words):
        before = len(place.snapshots())
        done = place.vault.ctl("backup", "--stdin-from-command", "--", "sh", "-c", command, expect=1)
        assert words.encode() in done.stderr and b"nothing was saved" in done.stderr
        assert len(place.snapshots()) == before


@row(2, "--stdin-from-command: a command that cannot be run")
def no_command(place):
    done = place.vault.ctl("backup", "--stdin-from-command", "--", "no-such-command-here", expect=1)
    assert b"no-such-command-here" in done.stderr


@row(2, "an interrupted pipe ends at once, and no snapshot is made")
def interrupted_pipe(place):
    before = len(place.snapshots())
    child = subprocess.Popen([CELLCTL, "--vault", place.vault.directory, "backup", "--stdin"], stdin=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    child.stdin.write(b"x" * 65536)
    child.stdin.flush()
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=20) == 130
    child.stdin.close()
    assert len(place.snapshots()) == before


# --- the other flags of backup ---


def excluded_tree(place):
    folder = place.folder()
    for name in ("a.o", "a.c", "build/x", "cache/CACHEDIR.TAG", "cache/big", "skip/.nobackup", "skip/y", "Mixed.O"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    (folder / "cache/CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    return folder


ALL = {"a.o", "a.c", "build", "build/x", "cache", "cache/CACHEDIR.TAG", "cache/big", "skip", "skip/.nobackup", "skip/y",
       "Mixed.O"}
for flags, gone in [([], set()), (["--exclude", "*.o"], {"a.o"}), (["--exclude", "build"], {"build", "build/x"}),
                    (["--exclude", "*.o", "--exclude", "!a.o"], set()), (["--exclude-caches"], {"cache/big"}),
                    (["--exclude-if-present", ".nobackup"], {"skip/y"}), (["--exclude-file", "{patterns}"], {"a.o", "a.c"}),
                    (["--exclude", "{folder}/build/x"], {"build/x"})]:
    @row("backup", " ".join(flags) or "without excludes")
    def excludes(place, flags=flags, gone=gone):
        folder = excluded_tree(place)
        patterns = place.base / "patterns"
        patterns.write_text("# a comment\n\n*.o\n  a.c  \n")
        assert place.names_after(folder, *[f.format(patterns=patterns, folder=folder) for f in flags]) == ALL - gone


@row("backup", "--one-file-system keeps a mount point, empty")
def one_file_system(place):
    if not AS_ROOT:
        pytest.skip("mounting needs root")
    folder = place.folder()
    (folder / "mnt").mkdir()
    (folder / "here").touch()
    run(["mount", "-t", "tmpfs", "tmpfs", folder / "mnt"])
    try:
        (folder / "mnt/there").touch()
        assert place.names_after(folder) == {"mnt", "mnt/there", "here"}
        assert place.names_after(folder, "--one-file-system") == {"mnt", "here"}
    finally:
        run(["umount", folder / "mnt"])


@row("backup", "--tag and --host are in the snapshot; \"latest\" is of the host that is named")
def tag_and_host(place):
    folder = place.folder()
    (folder / "f").touch()
    made = place.vault.backup(folder, "--tag", "one", "--tag", "two", "--host", "elsewhere")["snapshot_id"]
    newer = place.vault.backup(folder)["snapshot_id"]
    found = next(o for o in place.snapshots() if o["id"] == made)
    assert sorted(found["tags"]) == ["one", "two"] and found["hostname"] == "elsewhere"
    assert place.restore(place.base / "host", "latest", "--host", "elsewhere")["snapshot_id"] == made
    assert place.restore(place.base / "host")["snapshot_id"] == newer


@row("backup", "--limit-upload is kept to")
def limit_upload(place):
    folder = place.folder()
    (folder / "f").write_bytes(os.urandom(4 * MIB))
    started = time.monotonic()
    summary = place.vault.backup(folder, "--limit-upload", "4096")
    took = time.monotonic() - started
    assert summary["bytes_sent"] >= 8 * MIB and took > 0.8 * summary["bytes_sent"] / (4096 * 1024), took


@row("backup", "--accept-risk keeps to the k+m that was asked for with k cells awake; without it that is refused; debts are paid later")
def accept_risk(place):
    swarm = Swarm(place.base / "risky", 4, "2+2")
    try:
        vault = Vault(place.base / "risky-vault", swarm)
        folder = place.folder()
        (folder / "f").write_bytes(os.urandom(100_000))
        swarm.do("stop", 0, 1)
        refused = vault.ctl("backup", folder, expect=1).stderr.decode()
        assert "only 2" in refused and "needs 3" in refused and "--accept-risk" in refused, refused
        summary = vault.backup(folder, "--accept-risk", expect=4)
        assert summary["margin_min"] == 0 and summary["debts"] > 0 and summary["cells_used"] == 2
        vault.restore(place.base / "risky-out")
        assert differences(folder, restored(place.base / "risky-out", folder)) == []
        swarm.do("start", 0, 1)
        vault.backup(folder)
        assert vault.json("status")[-1]["margin_min"] == 2
    finally:
        swarm.down()


BACKUP_SUMMARY = """files_new files_changed files_unmodified dirs_new dirs_changed dirs_unmodified data_blobs tree_blobs
data_added data_added_packed bytes_sent total_files_processed total_bytes_processed total_duration snapshot_id cells_used
margin_min""".split()
RESTORE_SUMMARY = "files_restored files_skipped files_deleted bytes_restored files_failed".split()


@row("backup", "the summary has cli.md's fields, with numbers that are true")
def backup_summary(place):
    folder = place.folder()
    (folder / "zeros").write_bytes(bytes(300_000))
    (folder / "noise").write_bytes(os.urandom(200_000))
    (folder / "sub").mkdir()
    first = place.vault.backup(folder)
    assert [field for field in BACKUP_SUMMARY if field not in first] == []
    assert first["files_new"] == 2 and first["total_files_processed"] == 2 and first["total_bytes_processed"] == 500_000
    assert first["data_blobs"] == 2 and 500_000 <= first["data_added"] < 600_000
    assert 200_000 < first["data_added_packed"] < 300_000, "zeros pack well, noise does not"
    assert first["bytes_sent"] >= 2 * 200_000 and first["cells_used"] >= 4 and first["margin_min"] == 2
    assert re.fullmatch("[a-z2-7]{56}", first["snapshot_id"]) and first["total_duration"] > 0
    again = place.vault.backup(folder)
    assert again["files_unmodified"] == 2 and again["data_blobs"] == 0 and again["files_new"] == again["files_changed"] == 0


@row("json", "one object a line, message_type in each, errors as objects on standard error")
def json_everywhere(place):
    folder = place.folder()
    (folder / "f").touch()
    for words, code in ((["backup", folder], 0), (["backup", folder / "none"], 1), (["ls", "zzzzzzz"], 1),
                        (["restore", "latest", "--target", place.base / "json-out"], 0), (["snapshots"], 0), (["status"], (0, 4)),
                        (["check"], (0, 4)), (["stats"], 0), (["cells"], 0), (["find", "*"], 0), (["version"], 0)):
        done = place.vault.ctl(*words, "--json", expect=code)
        for line in (done.stdout + done.stderr).splitlines():
            assert json.loads(line)["message_type"], line
        if code == 1:
            last = json_lines(done.stderr)[-1]
            assert last["message_type"] == "exit_error" and last["code"] == 1 and last["message"]
            assert done.stdout == b""


# --- 5 restore ---


class Backed:
    """A small tree, backed up, and where to restore it to."""

    def __init__(self, place):
        self.place, self.tree = place, place.folder()
        for name in ("docs/a.txt", "docs/b.txt", "docs/deep/c.txt", "photos/p.jpg", "photos/q.jpg"):
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            (self.tree / name).write_text(name)
        self.snapshot = place.vault.backup(self.tree)["snapshot_id"]
        self.out = place.base / f"out-{place.count}"
        self.copy = restored(self.out, self.tree)

    def restore(self, *arguments, expect=0):
        return self.place.restore(self.out, self.snapshot, *arguments, expect=expect)

    def files(self):
        return {str(path.relative_to(self.copy)) for path in self.copy.rglob("*") if path.is_file()}


EVERY = {"docs/a.txt", "docs/b.txt", "docs/deep/c.txt", "photos/p.jpg", "photos/q.jpg"}
for flags, wanted in [([], EVERY), (["--include", "*.jpg"], {"photos/p.jpg", "photos/q.jpg"}),
                      (["--include", "docs"], {"docs/a.txt", "docs/b.txt", "docs/deep/c.txt"}),
                      (["--exclude", "docs"], {"photos/p.jpg", "photos/q.jpg"}),
                      (["--include", "*.txt", "--exclude", "deep"], {"docs/a.txt", "docs/b.txt"}),
                      (["--include", "p.*", "--include", "a.*"], {"docs/a.txt", "photos/p.jpg"})]:
    @row(5, " ".join(flags) or "aside: below DIR, with the source's whole path")
    def patterns(place, flags=flags, wanted=wanted):
        backed = Backed(place)
        assert backed.restore(*flags)["files_restored"] == len(wanted)
        assert backed.files() == wanted


@row(5, "in place: over what is there")
def in_place(place):
    backed = Backed(place)
    shutil.copytree(backed.tree, place.base / "as-it-was", symlinks=True)
    run(["rsync", "-a", f"{backed.tree}/", f"{place.base}/as-it-was/"])
    (backed.tree / "docs/a.txt").write_text("spoiled")
    shutil.rmtree(backed.tree / "photos")
    place.vault.ctl("restore", backed.snapshot, "--target", "/", "--include", backed.tree)
    assert differences(place.base / "as-it-was", backed.tree) == []


for overwrite, changed, same_looks in [("always", "docs/a.txt", "docs/b.txt"), ("if-changed", "docs/a.txt", "mine"),
                                       ("never", "mine, newer", "mine")]:
    @row(5, f"--overwrite {overwrite}")
    def overwriting(place, overwrite=overwrite, changed=changed, same_looks=same_looks):
        backed = Backed(place)
        backed.restore()
        (backed.copy / "docs/a.txt").write_text("mine, newer")
        st = (backed.copy / "docs/b.txt").stat()
        (backed.copy / "docs/b.txt").write_text("mine".ljust(10))
        os.utime(backed.copy / "docs/b.txt", ns=(st.st_atime_ns, st.st_mtime_ns))
        (backed.copy / "photos/p.jpg").unlink()
        end = backed.restore("--overwrite", overwrite)
        assert (backed.copy / "docs/a.txt").read_text() == changed
        assert (backed.copy / "docs/b.txt").read_text().strip() == same_looks
        assert backed.files() == EVERY and end["files_skipped"] + end["files_restored"] == 5
        assert end["files_skipped"] == {"always": 2, "if-changed": 3, "never": 4}[overwrite]


@row(5, "--delete removes what the snapshot does not have, and only that")
def delete(place):
    backed = Backed(place)
    backed.restore()
    (backed.copy / "docs/extra").write_text("x")
    (backed.copy / "extra/deep").mkdir(parents=True)
    (backed.copy / "extra/deep/file").write_text("x")
    os.symlink("/etc", backed.copy / "extra/link")
    told = backed.restore("--delete", "--dry-run")
    assert told["files_deleted"] >= 3 and (backed.copy / "extra/deep/file").exists(), "told, not done"
    end = backed.restore("--delete")
    assert end["files_deleted"] == told["files_deleted"] and differences(backed.tree, backed.copy) == []
    assert pathlib.Path("/etc/passwd").exists()


@row(5, "--verify notices what the disk did not keep")
def verify(place):
    backed = Backed(place)
    assert backed.restore("--verify")["files_failed"] == 0
    shutil.rmtree(backed.out)
    environment = {**os.environ, "LD_PRELOAD": str(place.library), "MEDDLE_AT": "open",
                   "MEDDLE_PATH": f"{backed.copy}/docs/a.txt", "MEDDLE_COMMAND": f"printf X >> {backed.copy}/docs/a.txt; "
                   f"printf Y | dd of={backed.copy}/docs/a.txt conv=notrunc status=none"}
    done = run([CELLCTL, "--vault", place.vault.directory, "restore", backed.snapshot, "--target", backed.out, "--verify"],
               env=environment, expect=1)
    assert b"docs/a.txt" in done.stderr and b"not what was backed up" in done.stderr


@row(5, "--dry-run says what would be done")
def dry_restore(place):
    backed = Backed(place)
    end = backed.restore("--dry-run")
    assert end["dry_run"] and end["files_restored"] == 5 and not backed.out.exists()


@row(5, "SNAP:SUBPATH restores what is below it, straight into DIR")
def subpath(place):
    backed = Backed(place)
    place.restore(backed.out, f"{backed.snapshot}:{backed.tree}/docs")
    assert {str(path.relative_to(backed.out)) for path in backed.out.rglob("*") if path.is_file()} == {
        "a.txt", "b.txt", "deep/c.txt"}
    assert differences(backed.tree / "docs", backed.out) == []


@row(5, "SNAP is an ID, the beginning of one, or latest")
def snapshot_names(place):
    backed = Backed(place)
    for name in (backed.snapshot, backed.snapshot[:8], backed.snapshot[:4], "latest"):
        assert place.restore(backed.out, name)["snapshot_id"] == backed.snapshot


@row(5, "the summary has cli.md's fields")
def restore_summary(place):
    backed = Backed(place)
    end = backed.restore()
    assert [field for field in RESTORE_SUMMARY if field not in end] == []
    assert (end["files_restored"], end["files_skipped"], end["files_deleted"], end["files_failed"]) == (5, 0, 0, 0)
    assert end["bytes_restored"] == sum(len(name) for name in EVERY)


@row(5, "from the fastest cells, hedged: one that hangs holds nothing up")
def hedged(place):
    backed = Backed(place)
    pids = [int((place.swarm.directory / f"cell-{index}.pid").read_text()) for index in place.swarm.indexes()[:2]]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        backed.restore()
        assert time.monotonic() - started < 30
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert differences(backed.tree, backed.copy) == []


elsewhere(5, "an interrupted restore goes on", "test_resume.py", "test_an_interrupted_restore_goes_on",
          "test_what_looks_restored_and_is_not_is_put_right")
elsewhere(5, "a lost piece never stops the rest: listed with its paths, exit 13", "test_first_light.py",
          "test_more_than_m_dead_cells_are_said_and_the_rest_comes_back", "test_fewer_than_k_living_cells_restore_nothing_wrong",
          "test_a_flipped_byte_in_a_stored_shard_is_found_and_routed_around")

# --- 7, 10 and bad input ---

elsewhere(7, "the index is made anew by recover and after deletion", "test_bad_input.py",
          "test_a_damaged_index_is_made_anew_and_nothing_is_lost",
          "test_an_index_that_is_gone_is_made_anew_by_whatever_comes_next")
elsewhere(10, "help, manual pages, colours, local times, human units, NO_COLOR", "test_comfort.py",
          "test_help_has_a_usage_line_a_sentence_and_an_example", "test_the_page_of_cellctl_has_every_command_and_flag",
          "test_the_other_pages_have_every_flag", "test_colours_on_a_terminal_and_not_with_no_color",
          "test_times_are_local_and_have_their_zone", "test_sizes_are_in_human_units",
          "test_a_pipe_gets_no_control_characters")
elsewhere("bad input", "every command with everything that can be wrong", "test_bad_input.py", "test_no_vault",
          "test_a_vault_locked_by_a_living_process", "test_a_vault_of_a_newer_version", "test_a_wrong_passphrase",
          "test_a_damaged_index", "test_the_vault_is_on_a_full_disk", "test_a_restore_onto_a_full_disk",
          "test_the_vault_is_on_a_read_only_disk", "test_a_read_only_target", "test_where_a_vault_is_no_other_is_made",
          "test_a_snapshot_that_does_not_exist", "test_a_snapshot_that_is_ambiguous", "test_an_unknown_flag_is_bad_usage",
          "test_a_missing_argument_is_bad_usage")
