"""Every command with everything that can be wrong around it: a clear sentence, the right exit code, nothing lost.

The commands come from `cellctl --help`, so that a new one is in the table as soon as it is there. A row of the table is
one thing that is wrong; each of its cells runs one command."""
import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import time

import pytest

from conftest import CELLCTL, Swarm, Vault, differences, make_tree, restored, run

ROOT = os.getuid() == 0


def commands():
    listed = run([CELLCTL, "--help"]).stdout.decode().split("commands:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in listed.splitlines()]


# what a command is given so that nothing is wrong with its arguments; {} is filled in below. A command that is not here
# gets what its usage line asks for (arguments_of).
ARGUMENTS = {
    "backup": ["{tree}"],
    "restore": ["latest", "--target", "{base}/restored"],
    "dump": ["latest", "{tree}/nothing"],
    "forget": ["latest", "--dry-run"],
    "tag": ["latest", "--add", "x"],
    "prune": ["--dry-run"],
    "undelete": ["--phrase-file", "{phrase}"],
    "drill": ["--phrase-file", "{phrase}"],
    "cells": [],
    "stats": [],
    "device": ["list"],
    "key": ["list"],
    "phrase": ["check", "--phrase-file", "{phrase}"],
    "completion": ["bash"],
    "mount": ["{base}/mountpoint"],
}
NO_VAULT_NEEDED = {"init", "recover", "join", "version", "completion", "drill"}
NEEDS_VAULT = [command for command in commands() if command not in NO_VAULT_NEEDED]
OPENS_VAULT = [command for command in NEEDS_VAULT if command != "unlock"]  # which looks at the lock alone
# of those, the ones that change something must say who has the lock; the others must not mind
WRITERS = {"backup", "forget", "prune", "tag", "undelete", "repair", "unlock"}
READERS = {"snapshots", "ls", "find", "diff", "dump", "restore", "check", "status", "cells", "stats", "drill"}
SNAPSHOT_TAKERS = [name for name in ("ls", "diff", "dump", "restore", "forget", "tag", "stats", "drill")
                   if name in commands()]


def arguments_of(command, place):
    words = ARGUMENTS.get(command)
    if words is None:
        usage = run([CELLCTL, command, "--help"]).stdout.decode().splitlines()[0]
        asked = usage.split(command, 1)[1].replace("[flags]", "")
        asked = re.sub(r"\[[^]]*\]", "", asked).split()
        known = {"SNAP": "latest", "PATH": "{tree}", "PATH...": "{tree}", "DIR": "{base}/dir", "PATTERN...": "nothing"}
        words = [known[word] for word in asked]
    return [word.format(tree=place.tree, base=place.base, phrase=place.vault.phrase) for word in words]


def clear(done, *words):
    """One sentence on standard error that says what is wrong, and no more noise."""
    text = done.stderr.decode()
    assert 1 <= len(text.strip().splitlines()) <= 4, text
    assert "cellctl: " in text
    for word in words:
        assert re.search(word, text, re.I), f"'{word}' is not in: {text}"
    return text


class Place:
    def __init__(self, base):
        self.base = base
        self.swarm = Swarm(base / "swarm", 3, "1+1")
        self.vault = Vault(base / "vault", self.swarm)
        self.invite = self.swarm.invite()  # nobody gets as far as to redeem it
        self.tree = make_tree(base / "tree", files=20, big=1)
        (base / "mountpoint").mkdir()
        self.vault.backup(self.tree)
        self.vault.backup(self.tree, "--tag", "second")

    def copy(self, name):
        """The vault once more, to be spoiled."""
        directory = self.base / name
        shutil.copytree(self.vault.directory, directory)
        return Vault(directory, phrase=self.vault.phrase)

    def is_whole(self, vault, name):
        """Nothing was lost: all snapshots are known, and the newest comes back."""
        assert len(vault.json("snapshots")) >= 2
        vault.ctl("restore", "latest", "--target", self.base / name)
        assert differences(self.tree, restored(self.base / name, self.tree)) == []
        shutil.rmtree(self.base / name)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    made = Place(tmp_path_factory.mktemp("bad"))
    yield made
    made.swarm.down()


# --- usage comes first, before anything is opened ---


@pytest.mark.parametrize("command", commands())
def test_an_unknown_flag_is_bad_usage(command, tmp_path):
    done = run([CELLCTL, "--vault", tmp_path / "none", command, "--no-such-flag"], expect=2)
    clear(done, "no-such-flag", f"cellctl {command} --help")


@pytest.mark.parametrize("command", commands())
def test_a_flag_without_its_value_is_bad_usage(command, tmp_path):
    done = run([CELLCTL, "--vault", tmp_path / "none", command, "--passphrase-file"], expect=2)
    clear(done, "passphrase-file", "value")


@pytest.mark.parametrize("command", ["init", "join", "backup", "ls", "find", "diff", "dump", "mount", "restore", "device",
                                     "phrase", "completion", "no-such-command"])
def test_a_missing_argument_is_bad_usage(command, tmp_path):
    done = run([CELLCTL, "--vault", tmp_path / "none", command], expect=2)
    clear(done, "needs|no command|one of|takes|invite")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("command", [name for name in commands() if name not in
                                     ("backup", "find", "forget", "snapshots", "tag", "undelete", "stats")])
def test_too_many_arguments_are_bad_usage(command, tmp_path):
    done = run([CELLCTL, "--vault", tmp_path / "none", command, *["superfluous"] * 5], expect=2)
    clear(done, "superfluous")


BAD_VALUES = [["restore", "latest", "--target", "x", "--overwrite", "sometimes"],
              ["restore", "latest"],
              ["restore", "latest", "--target", "/", "--delete"],
              ["restore", "latest", "--target", "x", "--delete", "--include", "y"],
              ["restore", "latest", "--target", "x", "--include", "[a"],
              ["backup", "/", "--exclude", "[a"],
              ["backup", "--stdin-from-command"],
              ["backup", "--stdin", "/etc"],
              ["backup", "--json=yes", "/etc"],
              ["find", "[a"],
              ["forget", "--keep-last", "many"],
              ["check", "--read-data-subset", "half"],
              ["prune", "--max-unused", "x"]]


@pytest.mark.parametrize("arguments", BAD_VALUES, ids=" ".join)
def test_a_value_that_is_none_is_bad_usage(arguments, place, tmp_path):
    done = place.vault.ctl(*arguments, expect=2, cwd=tmp_path)
    clear(done)
    assert not list(tmp_path.iterdir())


# --- the vault ---


@pytest.mark.parametrize("command", NEEDS_VAULT)
def test_no_vault(command, place):
    done = run([CELLCTL, "--vault", place.base / "none", command, *arguments_of(command, place)], expect=10)
    clear(done, "no vault", str(place.base / "none"))
    assert not (place.base / "none").exists()


@pytest.fixture(scope="module")
def locked(place):
    """A vault that a living process is writing to: a backup that waits for its input."""
    vault = place.copy("locked")
    holder = subprocess.Popen([CELLCTL, "--vault", vault.directory, "backup", "--stdin"], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while run([CELLCTL, "--vault", vault.directory, "unlock"], expect=(0, 11)).returncode == 0:
        assert holder.poll() is None, holder.stderr.read()
        time.sleep(0.02)
    yield type("Locked", (), {"vault": vault, "holder": holder})
    holder.stdin.close()
    holder.wait()


@pytest.mark.parametrize("command", [name for name in NEEDS_VAULT if name != "mount"])
def test_a_vault_locked_by_a_living_process(command, place, locked):
    done = locked.vault.ctl(command, *arguments_of(command, place), expect=(0, 4, 11))
    if done.returncode == 11:
        assert command not in READERS, "who only reads does not mind who writes"
        clear(done, "in use", str(locked.holder.pid))
    else:
        assert command not in WRITERS
    assert locked.holder.poll() is None


def test_a_dead_process_locks_nothing(place):
    vault = place.copy("dead")
    holder = subprocess.Popen([CELLCTL, "--vault", vault.directory, "backup", "--stdin"], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while run([CELLCTL, "--vault", vault.directory, "unlock"], expect=(0, 11)).returncode == 0:
        assert holder.poll() is None, holder.stderr.read()
        time.sleep(0.02)
    holder.kill()
    holder.wait()
    vault.ctl("unlock")
    vault.ctl("tag", "latest", "--add", "after-the-death")


@pytest.fixture(scope="module")
def newer(place):
    vault = place.copy("newer")
    with contextlib.closing(sqlite3.connect(vault.directory / "index.db")) as index:
        index.execute("PRAGMA user_version = 99")
    return vault


@pytest.mark.parametrize("command", [*OPENS_VAULT, "recover"])
def test_a_vault_of_a_newer_version(command, place, newer):
    before = hashlib.sha256((newer.directory / "index.db").read_bytes()).digest()
    done = newer.ctl(command, *arguments_of(command, place), expect=1)
    clear(done, "newer version", "nothing was changed")
    assert hashlib.sha256((newer.directory / "index.db").read_bytes()).digest() == before
    assert not (newer.directory / "index.damaged").exists()


@pytest.fixture(scope="module")
def secret(place):
    (place.base / "right").write_text("correct horse battery\n")
    (place.base / "wrong").write_text("incorrect horse\n")
    vault = Vault(place.base / "secret")
    vault.ctl("init", "--invite", place.swarm.invite(), "--phrase-file", vault.phrase, "--passphrase-file",
              place.base / "right")
    return vault


@pytest.mark.parametrize("command", [*OPENS_VAULT, "recover"])
def test_a_wrong_passphrase(command, place, secret):
    done = secret.ctl(command, *arguments_of(command, place), "--passphrase-file", place.base / "wrong", expect=12)
    clear(done, "passphrase")


@pytest.mark.parametrize("command", ["backup", "ls", "status"])
def test_no_passphrase_and_no_terminal(command, place, secret):
    done = secret.ctl(command, *arguments_of(command, place), expect=12, start_new_session=True)
    clear(done, "--passphrase-file", "CELLAR_PASSPHRASE_COMMAND")
    done = secret.ctl(command, *arguments_of(command, place), "--passphrase-file", place.base / "not-there", expect=(1, 12))
    clear(done, "not-there")


DAMAGES = {"foreign bytes": lambda raw: b"this is no database " * 1000,
           "cut in half": lambda raw: raw[:len(raw) // 2],
           "one page of two overwritten": lambda raw: b"".join(
               raw[at:at + 4096] if at // 4096 % 2 == 0 else b"\xa5" * 4096 for at in range(0, len(raw), 4096)),
           "empty": lambda raw: b""}


@pytest.fixture(scope="module")
def damaged(place):
    vault = place.copy("damaged")
    index = vault.directory / "index.db"
    for beside in vault.directory.glob("index.db-*"):
        beside.unlink()
    index.write_bytes(DAMAGES["one page of two overwritten"](index.read_bytes()))
    return vault


@pytest.mark.parametrize("command", OPENS_VAULT)
def test_a_damaged_index(command, place, damaged):
    before = (damaged.directory / "index.db").read_bytes()
    done = damaged.ctl(command, *arguments_of(command, place), expect=1)
    clear(done, "index", "cellctl recover")
    assert (damaged.directory / "index.db").read_bytes() == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_made_anew_and_nothing_is_lost(damage, place):
    vault = place.copy(damage.replace(" ", "-"))
    index = vault.directory / "index.db"
    for beside in vault.directory.glob("index.db-*"):
        beside.unlink()
    index.write_bytes(DAMAGES[damage](index.read_bytes()))
    vault.ctl("ls", "latest", expect=1)
    said = vault.ctl("recover").stdout.decode()
    assert "2 snapshots" in said or "3 snapshots" in said
    place.is_whole(vault, "anew")
    vault.ctl("check", "--read-data")


def test_an_index_that_is_gone_is_made_anew_by_whatever_comes_next(place):
    vault = place.copy("gone")
    for part in vault.directory.glob("index.db*"):
        part.unlink()
    done = vault.ctl("ls", "latest")
    assert b"made anew" in done.stderr and b"photo-0.bin" in done.stdout
    place.is_whole(vault, "gone-back")


@pytest.mark.parametrize("file,code,words", [("keys", 1, ["key", "damaged", "phrase"]), ("settings.ini", 1, ["settings.ini"]),
                                             ("key", (1, 12), ["key"]), ("members", 0, [])])
def test_other_files_of_the_vault_are_damaged(file, code, words, place):
    vault = place.copy(f"damaged-{file}")
    raw = bytearray((vault.directory / file).read_bytes())
    raw[len(raw) // 3:] = b"\xff" * (len(raw) - len(raw) // 3)
    (vault.directory / file).write_bytes(raw)
    done = vault.ctl("ls", "latest", expect=code)
    if code != 0:
        clear(done, *words)


# --- disks ---


@contextlib.contextmanager
def small_disk(folder, size="8m", options=""):
    if not ROOT:
        pytest.skip("mounting a small disk needs root")
    folder.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "tmpfs", folder])
    try:
        yield folder
    finally:
        run(["umount", "-l", folder])


def fill(folder):
    with open(folder / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        for piece in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\xff" * piece)


@pytest.fixture(scope="module")
def full(place):
    with small_disk(place.base / "full", size="24m") as disk:
        shutil.copytree(place.vault.directory, disk / "vault")
        vault = Vault(disk / "vault", phrase=place.vault.phrase)
        vault.ctl("status")  # whatever it wants to have on its disk is there
        fill(disk)
        yield type("Full", (), {"vault": vault, "disk": disk})


@pytest.mark.parametrize("command", [name for name in NEEDS_VAULT if name != "mount"])
def test_the_vault_is_on_a_full_disk(command, place, full):
    done = full.vault.ctl(command, *arguments_of(command, place), expect=(0, 1, 4))
    if done.returncode == 1:
        clear(done, "full|no space")
    else:
        assert command not in ("backup", "tag")


def test_a_full_disk_has_cost_nothing(place, full):
    (full.disk / "filler").unlink()
    full.vault.backup(place.tree)
    place.is_whole(full.vault, "full-back")
    fill(full.disk)


def test_a_restore_onto_a_full_disk(place):
    with small_disk(place.base / "small", size="2m") as disk:
        (disk / "theirs").write_text("was here before")
        done = place.vault.ctl("restore", "latest", "--target", disk / "out", expect=1)
        said = clear(done, "full|no space")
        assert "holes" not in said and "another name" not in said, "one reason, said once"
        for path in restored(disk / "out", place.tree).rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert path.read_bytes() == (place.tree / path.relative_to(restored(disk / "out", place.tree))).read_bytes()
        run(["mount", "-o", "remount,size=64m", disk])
        place.vault.ctl("restore", "latest", "--target", disk / "out")
        assert differences(place.tree, restored(disk / "out", place.tree)) == []
        assert (disk / "theirs").read_text() == "was here before"


@pytest.fixture(scope="module")
def read_only(place):
    with small_disk(place.base / "read-only", size="24m") as disk:
        shutil.copytree(place.vault.directory, disk / "vault")
        run(["mount", "-o", "remount,ro", disk])
        yield type("ReadOnly", (), {"vault": Vault(disk / "vault", phrase=place.vault.phrase), "disk": disk})


@pytest.mark.parametrize("command", [name for name in NEEDS_VAULT if name != "mount"])
def test_the_vault_is_on_a_read_only_disk(command, place, read_only):
    done = read_only.vault.ctl(command, *arguments_of(command, place), expect=(0, 1, 4))
    if done.returncode == 1:
        clear(done, "read.only")
        assert command not in READERS, "reading needs no writing"
    else:
        assert command not in WRITERS


READ_ONLY_TARGETS = [["restore", "latest", "--target", "{disk}/out"],
                     ["init", "--invite", "{invite}", "--no-passphrase", "--phrase-file", "{base}/ro-words"],
                     ["init", "--invite", "{invite}", "--no-passphrase", "--phrase-file", "{disk}/ro-words"],
                     ["recover", "--no-passphrase", "--phrase-file", "{phrase}"]]


@pytest.mark.parametrize("arguments", READ_ONLY_TARGETS, ids=lambda words: " ".join(words[:2]))
def test_a_read_only_target(arguments, place, read_only):
    words = [word.format(disk=read_only.disk, base=place.base, phrase=place.vault.phrase, invite=place.invite)
             for word in arguments]
    vault = place.vault.directory if words[0] == "restore" else read_only.disk / "new-vault"
    if words[0] == "init" and str(read_only.disk) in words[-1]:
        vault = place.base / "vault-with-words-elsewhere"
    done = run([CELLCTL, "--vault", vault, *words], expect=1)
    clear(done, "read.only")
    assert not (place.base / "ro-words").exists(), "words that open nothing are not left behind"
    assert words[0] == "restore" or not pathlib.Path(vault).exists()


# --- targets that have files already ---


def test_a_restore_leaves_alone_what_it_does_not_know(place, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/theirs").write_text("was here before")
    place.vault.ctl("restore", "latest", "--target", tmp_path / "out")
    assert (tmp_path / "out/theirs").read_text() == "was here before"


@pytest.mark.parametrize("arguments", [["init", "--invite", "{invite}", "--no-passphrase", "--phrase-file", "{words}"],
                                       ["join", "--invite", "{invite}", "--no-passphrase"],
                                       ["recover", "--no-passphrase", "--phrase-file", "{phrase}"]],
                         ids=lambda words: words[0])
def test_where_a_vault_is_no_other_is_made(arguments, place, tmp_path):
    words = [word.format(invite=place.invite, words=tmp_path / "words", phrase=place.vault.phrase)
             for word in arguments]
    before = (place.vault.directory / "keys").read_bytes()
    done = place.vault.ctl(*words, expect=1)
    clear(done, "vault|invite")
    assert (place.vault.directory / "keys").read_bytes() == before and not (tmp_path / "words").exists()


@pytest.mark.parametrize("target", ["a file", "below a file", "a dangling link"])
def test_a_target_that_is_no_directory(target, place, tmp_path):
    (tmp_path / "file").write_text("mine")
    os.symlink("nowhere", tmp_path / "link")
    path = {"a file": "file", "below a file": "file/below", "a dangling link": "link"}[target]
    done = place.vault.ctl("restore", "latest", "--target", tmp_path / path, expect=(0, 1))
    if done.returncode:
        clear(done, re.escape(str(tmp_path / path)) + "|director")
    assert (tmp_path / "file").read_text() == "mine"
    done = place.vault.ctl("mount", tmp_path / "file", expect=1)
    clear(done)


def test_a_source_that_does_not_exist(place):
    done = place.vault.ctl("backup", place.base / "no-such-folder", expect=1)
    clear(done, "no-such-folder", "No such file")
    done = place.vault.ctl("backup", place.tree, "--exclude-file", place.base / "no-such-file", expect=1)
    clear(done, "no-such-file")


# --- snapshots ---


@pytest.fixture(scope="module")
def twins(place):
    """A vault with two snapshots whose IDs begin alike."""
    vault = place.copy("twins")
    with contextlib.closing(sqlite3.connect(vault.directory / "index.db")) as index:
        number, time_ns, device, identity, body = index.execute(
            "SELECT number, time_ns, device, id, body FROM snapshot ORDER BY number LIMIT 1").fetchone()
        index.execute("INSERT INTO snapshot (time_ns, device, forgotten, id, body) VALUES (?, ?, 0, ?, ?)",
                      (time_ns + 1, device, identity[:-1] + bytes([identity[-1] ^ 1]), body))
        index.commit()
    prefix = os.path.commonprefix(sorted(o["id"] for o in vault.json("snapshots"))[:2])
    ids = [o["id"] for o in vault.json("snapshots")]
    prefix = next(one[:12] for one in ids if sum(other.startswith(one[:12]) for other in ids) == 2)
    return type("Twins", (), {"vault": vault, "prefix": prefix})


def with_snapshot(command, place, snapshot):
    words = arguments_of(command, place)
    if "latest" not in words:
        words = [snapshot, *words]
    return [snapshot if word == "latest" else word for word in words]


@pytest.mark.parametrize("snapshot", ["zzzzzzzz", "latestt", "2026-01-01"])
@pytest.mark.parametrize("command", SNAPSHOT_TAKERS)
def test_a_snapshot_that_does_not_exist(command, snapshot, place):
    done = place.vault.ctl(command, *with_snapshot(command, place, snapshot), expect=1)
    clear(done, snapshot)


@pytest.mark.parametrize("command", [name for name in SNAPSHOT_TAKERS if name != "drill"])
def test_a_snapshot_that_is_ambiguous(command, place, twins):
    done = twins.vault.ctl(command, *with_snapshot(command, place, twins.prefix), expect=1)
    clear(done, twins.prefix, "several|more than one|ambiguous|begin")


@pytest.mark.parametrize("command,path", [("restore", "latest:/no/such/path"), ("restore", "latest:{tree}/nothing"),
                                          ("ls", "/no/such/path"), ("dump", "/no/such/path")])
def test_a_path_that_is_not_in_the_snapshot(command, path, place, tmp_path):
    path = path.format(tree=place.tree)
    words = [path, "--target", tmp_path / "out"] if command == "restore" else ["latest", path]
    done = place.vault.ctl(command, *words, expect=(1, 2))
    clear(done, re.escape(path.split(":")[-1]))
    assert not (tmp_path / "out").exists()


def test_after_all_that_nothing_is_lost(place):
    place.is_whole(place.vault, "at-last")
    place.vault.ctl("check", "--read-data")
