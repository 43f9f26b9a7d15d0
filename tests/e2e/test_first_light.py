"""The whole main job on the real programs: back up to a swarm, lose some of it, get everything back."""
import itertools
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

from conftest import (BUILD, CELLCTL, Vault, differences, json_lines, make_tree, restored, run)


def flip_a_byte(path, at):
    """Changes one byte of a file and keeps its times."""
    stat = path.stat()
    with open(path, "r+b") as file:
        file.seek(at)
        old = file.read(1)
        file.seek(at)
        file.write(bytes([old[0] ^ 0x40]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_the_comparison_notices_one_changed_byte(tmp_path):
    tree = make_tree(tmp_path / "tree", files=10, big=1)
    copy = tmp_path / "copy"
    run(["cp", "-a", tree, copy])
    assert differences(tree, copy) == []
    flip_a_byte(copy / "photo-0.bin", 1000)
    assert len(differences(tree, copy)) == 1


def test_backup_and_restore_bring_back_everything(shared, tmp_path):
    summary = shared.summary
    assert summary["files_new"] > 150 and summary["margin_min"] == 2 and summary["cells_used"] >= 6
    end = [o for o in shared.vault.restore(tmp_path / "out") if o["message_type"] == "summary"][0]
    assert end["files_failed"] == 0 and end["files_restored"] >= summary["files_new"]
    assert differences(shared.tree, restored(tmp_path / "out", shared.tree)) == []
    sparse = restored(tmp_path / "out", shared.tree) / "sparse.img"
    assert sparse.stat().st_blocks * 512 < 2 << 20, "holes came back as holes"


def test_a_second_backup_of_an_unchanged_tree_sends_only_the_snapshot(shared):
    again = shared.vault.backup(shared.tree)
    assert again["files_new"] == 0 and again["files_changed"] == 0
    assert again["files_unmodified"] == shared.summary["files_new"]
    assert again["data_blobs"] == 0
    assert again["bytes_sent"] < 2 << 20 < shared.summary["bytes_sent"]


def test_only_what_changed_is_sent(shared, tmp_path):
    tree = make_tree(tmp_path / "tree", seed=3, files=20, big=2)
    first = shared.vault.backup(tree)
    (tree / "docs/d1/note-1.txt").write_text("changed")
    (tree / "brand-new").write_text("new")
    second = shared.vault.backup(tree)
    assert (second["files_new"], second["files_changed"]) == (1, 1)
    assert second["files_unmodified"] == first["files_new"] - 1
    shared.vault.restore(tmp_path / "out", second["snapshot_id"])
    assert differences(tree, restored(tmp_path / "out", tree)) == []


def test_snapshots_ls_and_tags_show_what_is_there(shared, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("hello")
    made = shared.vault.backup(tmp_path / "tree", "--tag", "first", "--tag", "second")
    rows = [o for o in shared.vault.json("snapshots") if o.get("id", o.get("snapshot_id")) == made["snapshot_id"]]
    assert len(rows) == 1 and sorted(rows[0]["tags"]) == ["first", "second"]
    assert rows[0]["paths"] == [str(tmp_path / "tree")]
    nodes = {o["path"]: o for o in shared.vault.json("ls", made["snapshot_id"][:12]) if "path" in o}
    file = nodes[str(tmp_path / "tree/file")]
    assert file["type"] == "file" and file["size"] == 5


def test_exclude_and_include(shared, tmp_path):
    tree = tmp_path / "tree"
    (tree / "keep").mkdir(parents=True)
    (tree / "cache").mkdir()
    (tree / "keep/a.txt").write_text("a")
    (tree / "keep/b.o").write_text("b")
    (tree / "cache/c").write_text("c")
    made = shared.vault.backup(tree, "--exclude", "*.o", "--exclude", "cache")
    assert made["files_new"] == 1
    shared.vault.restore(tmp_path / "all", made["snapshot_id"])
    names = {p.name for p in restored(tmp_path / "all", tree).rglob("*")}
    assert names == {"keep", "a.txt"}
    full = shared.vault.backup(tree)
    shared.vault.restore(tmp_path / "some", full["snapshot_id"], "--include", "*.o")
    files = {p.name for p in (tmp_path / "some").rglob("*") if p.is_file()}
    assert files == {"b.o"}


def test_dry_run_stores_nothing(shared, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(os.urandom(100000))
    before = len([o for o in shared.vault.json("snapshots") if "id" in o or "snapshot_id" in o])
    summary = shared.vault.backup(tmp_path / "tree", "--dry-run")
    assert summary["files_new"] == 1 and summary["bytes_sent"] == 0
    after = len([o for o in shared.vault.json("snapshots") if "id" in o or "snapshot_id" in o])
    assert before == after


def test_check_reads_every_byte(shared):
    shared.vault.ctl("check")
    shared.vault.ctl("check", "--read-data")


def test_status_says_what_is_known_and_null_for_the_rest(shared):
    status = shared.vault.json("status")[-1]
    assert status["margin_min"] == 2 and status["margin_target"] == 2
    assert status["segments"] > 0 and status["segments_below_target"] == 0
    for field in ("p_loss_year", "p_unavailable", "bytes_given", "bytes_used", "bytes_allowed", "last_backup",
                  "last_drill"):
        assert field in status
    assert status["last_drill"] is None and status["last_backup"] is not None
    words = shared.vault.ctl("status").stdout.decode()
    assert re.search(r"survives", words)


def test_restore_with_one_cell_killed_and_another_wiped(new_swarm, tmp_path):
    swarm = new_swarm(9)
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=60, big=2)
    vault.backup(tree)
    first, second = swarm.indexes()[2], swarm.indexes()[5]
    swarm.do("kill", first)
    swarm.do("wipe", second)
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    assert vault.ctl("check", expect=None).returncode in (0, 4)


@pytest.mark.full
def test_every_pair_of_nine_cells_may_die(new_swarm, tmp_path):
    swarm = new_swarm(9)
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=40, big=2)
    vault.backup(tree)
    for pair in itertools.combinations(swarm.indexes(), 2):
        swarm.do("kill", *pair)
        out = tmp_path / f"out-{pair[0]}-{pair[1]}"
        vault.restore(out)
        assert differences(tree, restored(out, tree)) == [], pair
        shutil.rmtree(out)
        swarm.do("start", *pair)


def file_of(line):
    """The name in a line of rsync's: "name => what it is linked to", odd bytes as \\#ooo."""
    name = os.fsencode(line.split(maxsplit=1)[1].split(" => ")[0])
    name = re.sub(rb"\\#([0-7]{3})", lambda m: bytes([int(m[1], 8)]), name)
    return name.decode(errors="replace")


def test_more_than_m_dead_cells_are_said_and_the_rest_comes_back(new_swarm, tmp_path):
    """Two snapshots on six cells of nine each; after four cells died, what is restored is right and what is
    missing is listed, path by path."""
    swarm = new_swarm(9)
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=30, big=6)
    vault.backup(tree)
    swarm.do("kill", *swarm.indexes()[:4])
    done = vault.ctl("restore", "latest", "--target", tmp_path / "out", "--json", expect=(0, 13))
    copy = restored(tmp_path / "out", tree)
    errors = [o for o in json_lines(done.stderr) if o["message_type"] == "error"]
    if not copy.exists():
        assert done.returncode == 13 and errors
        return
    missing = [file_of(line) for line in differences(tree, copy) if line.startswith((">f", "cL", "hf"))]
    said = "\n".join(str(error.get("item", "")) + str(error) for error in errors)
    if done.returncode == 0:
        assert not missing
    for file in missing:
        assert file in said, file


def test_fewer_than_k_living_cells_restore_nothing_wrong(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=5, big=1)
    vault.backup(tree)
    swarm.do("kill", *swarm.indexes()[:3])
    done = vault.ctl("restore", "latest", "--target", tmp_path / "out", expect=13)
    assert b"shards" in done.stderr
    copy = restored(tmp_path / "out", tree)
    for path in copy.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size:
            assert path.read_bytes() == (tree / path.relative_to(copy)).read_bytes()
    swarm.do("start", *swarm.indexes()[:3])
    vault.restore(tmp_path / "again")
    assert differences(tree, restored(tmp_path / "again", tree)) == []


def test_a_claimed_cell_never_gets_its_owners_shards(new_swarm, tmp_path):
    swarm = new_swarm(7)
    owner = Vault(tmp_path / "owner", swarm)
    own = swarm.indexes()[3]
    owner.ctl("cells", "claim", swarm.cell(own)["id"])
    tree = make_tree(tmp_path / "tree", files=20, big=4)
    owner.backup(tree)
    assert swarm.shard_files(own) == []
    assert all(swarm.shard_files(i) for i in swarm.indexes() if i != own)
    other = Vault(tmp_path / "other", swarm)
    other.backup(make_tree(tmp_path / "tree2", seed=9, files=5, big=6))
    assert swarm.shard_files(own), "another account's shards do go there"
    refused = other.ctl("cells", "claim", swarm.cell(own)["id"], expect=1)
    assert refused.stderr


def test_a_flipped_byte_in_a_stored_shard_is_found_and_routed_around(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=10, big=3)
    vault.backup(tree)
    hurt = 0
    for index in swarm.indexes()[:2]:
        for shard in swarm.shard_files(index):
            flip_a_byte(shard, shard.stat().st_size - 1000)
            hurt += 1
    assert hurt >= 2
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    done = vault.ctl("check", "--read-data", expect=4)
    assert re.search(rb"damaged|corrupt|does not match", done.stdout + done.stderr)


def test_kill_9_in_mid_backup_and_a_clean_next_run(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=100, big=12)
    killed = 0
    for delay in (0.05, 0.15, 0.3, 0.5, 0.8):
        child = subprocess.Popen([CELLCTL, "--vault", vault.directory, "backup", tree], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            child.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            killed += 1
    assert killed >= 2
    vault.backup(tree)
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    vault.ctl("check", "--read-data")


def test_an_interrupted_backup_ends_cleanly_and_the_next_run_goes_on(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=100, big=2)
    (tree / "huge").write_bytes(os.urandom(200 << 20))
    codes = []
    for delay in (0.1, 0.3, 0.6):
        child = subprocess.Popen([CELLCTL, "--vault", vault.directory, "backup", tree], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(delay)
        child.send_signal(signal.SIGINT)
        words = child.communicate(timeout=60)[1]
        codes.append(child.returncode)
        assert child.returncode in (0, 130, -signal.SIGINT), words
    assert 130 in codes
    vault.backup(tree)
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []


def test_one_cell_asleep_out_of_exactly_n_is_a_debt_and_is_paid(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=10, big=2)
    asleep = swarm.indexes()[1]
    swarm.do("stop", asleep)
    done = vault.ctl("backup", tree, expect=4)
    assert re.search(rb"debt|missing|short", done.stdout + done.stderr)
    assert vault.json("status", expect=4)[-1]["margin_min"] == 1
    swarm.do("start", asleep)
    vault.ctl("backup", tree, expect=0)
    status = vault.json("status")[-1]
    assert status["margin_min"] == 2 and status["segments_below_target"] == 0
    assert swarm.shard_files(asleep)


def test_backup_with_too_few_cells_says_how_many_it_needs(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=5, big=1)
    swarm.do("stop", *swarm.indexes()[:2])
    done = vault.ctl("backup", tree, expect=1)
    words = done.stderr.decode()
    assert "4" in words and "5" in words, words
    assert [o for o in vault.json("snapshots") if "id" in o or "snapshot_id" in o] == []
    swarm.do("start", *swarm.indexes()[:2])
    vault.backup(tree)


def test_unreadable_files_are_listed_and_the_rest_is_backed_up(new_swarm, tmp_path):
    if os.getuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv to become a user who may not read a file")
    swarm = new_swarm(6)
    home = tmp_path / "home"
    home.mkdir()
    for folder in [tmp_path, *tmp_path.parents][:4]:
        if str(folder).startswith("/tmp/"):  # not the shared directory itself
            os.chmod(folder, 0o755)
    tree = home / "tree"
    tree.mkdir()
    (tree / "mine").write_text("mine")
    (tree / "locked").write_text("not yours")
    os.chmod(tree / "locked", 0o600)
    os.chown(home, 65534, 65534)
    if subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", CELLCTL, "--help"], capture_output=True,
                      check=False).returncode != 0:
        pytest.skip("an ordinary user cannot reach the built programs here")
    vault = Vault(home / "vault", swarm, prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    done = vault.ctl("backup", tree, expect=3)
    assert str(tree / "locked").encode() in done.stderr
    vault.restore(home / "out", expect=0)
    names = {p.name for p in restored(home / "out", tree).rglob("*")}
    assert names == {"mine"}


def test_recover_with_the_coordinator_and_the_vault_gone(new_swarm, tmp_path):
    swarm = new_swarm(9)
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=50, big=2)
    vault.backup(tree)
    swarm.do("kill", "coordinator", swarm.indexes()[0])
    shutil.rmtree(vault.directory)
    fresh = Vault(tmp_path / "fresh", phrase=vault.phrase)
    cell = swarm.cell(swarm.indexes()[4])["address"]
    fresh.ctl("recover", "--phrase-file", vault.phrase, "--no-passphrase", "--from", cell)
    fresh.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    assert len([o for o in fresh.json("snapshots") if "id" in o or "snapshot_id" in o]) == 1


def test_recover_needs_nothing_but_the_phrase_file(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=5, big=1)
    vault.backup(tree)
    fresh = Vault(tmp_path / "fresh", phrase=vault.phrase)
    fresh.ctl("recover", "--phrase-file", vault.phrase, "--no-passphrase")
    fresh.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    (tree / "later").write_text("after the recovery")
    fresh.backup(tree)


def test_a_second_person_cannot_join_with_a_used_invite(new_swarm, tmp_path):
    swarm = new_swarm(3, "1+1")
    invite = swarm.invite()
    first = Vault(tmp_path / "one")
    first.ctl("init", "--invite", invite, "--phrase-file", first.phrase, "--no-passphrase")
    second = Vault(tmp_path / "two")
    done = second.ctl("init", "--invite", invite, "--phrase-file", second.phrase, "--no-passphrase", expect=1)
    assert b"invite" in done.stderr
    assert not (second.directory / "settings.ini").exists()


@pytest.mark.parametrize("damage", ["short", "typo", "foreign", "empty"])
def test_a_damaged_invite_is_a_clear_error(shared, tmp_path, damage):
    good = shared.swarm.invite()
    middle = len(good) // 2
    bad = {"short": good[:-5], "typo": good[:middle] + ("a" if good[middle] != "a" else "b") + good[middle + 1:],
           "foreign": "https://example.org/x", "empty": ""}[damage]
    vault = Vault(tmp_path / "vault")
    done = vault.ctl("init", "--invite", bad, "--phrase-file", vault.phrase, "--no-passphrase", expect=(1, 2))
    assert b"invite" in done.stderr and not vault.phrase.exists()


def test_a_damaged_phrase_names_the_wrong_word(shared, tmp_path):
    words = shared.vault.phrase.read_text().splitlines()
    first = words[0].split()
    first[7] = "abandonn"
    broken = tmp_path / "phrase"
    broken.write_text("\n".join([" ".join(first), *words[1:]]) + "\n")
    fresh = Vault(tmp_path / "fresh", phrase=broken)
    done = fresh.ctl("recover", "--phrase-file", broken, "--no-passphrase", expect=12)
    assert b"abandonn" in done.stderr


def test_the_phrase_file_is_private_and_never_overwritten(shared, tmp_path):
    assert shared.vault.phrase.stat().st_mode & 0o777 == 0o600
    lines = shared.vault.phrase.read_text().splitlines()
    assert len(lines[0].split()) == 24 and lines[1].startswith("at ")
    there = tmp_path / "phrase"
    there.write_text("keep me")
    vault = Vault(tmp_path / "vault", phrase=there)
    vault.ctl("init", "--invite", shared.swarm.invite(), "--phrase-file", there, "--no-passphrase", expect=(1, 2))
    assert there.read_text() == "keep me"


def test_no_vault_and_bad_usage_have_their_exit_codes(tmp_path):
    vault = Vault(tmp_path / "none")
    assert b"vault" in vault.ctl("backup", tmp_path, expect=10).stderr
    vault.ctl("snapshots", expect=10)
    vault.ctl("backup", expect=2)
    vault.ctl("no-such-command", expect=2)
    vault.ctl("backup", "--no-such-flag", tmp_path, expect=2)
    run([CELLCTL, "--help"])
    for command in ("init", "backup", "snapshots", "ls", "restore", "check", "status", "cells", "recover"):
        assert b"cellctl " + command.encode() in run([CELLCTL, command, "--help"]).stdout


def test_a_passphrase_opens_the_vault_and_a_wrong_one_does_not(new_swarm, tmp_path):
    swarm = new_swarm(3, "1+1")
    secret = tmp_path / "pass"
    secret.write_text("correct horse battery\n")
    wrong = tmp_path / "wrong"
    wrong.write_text("incorrect horse\n")
    vault = Vault(tmp_path / "vault")
    vault.ctl("init", "--invite", swarm.invite(), "--phrase-file", vault.phrase, "--passphrase-file", secret)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_text("a")
    vault.ctl("backup", tmp_path / "tree", "--passphrase-file", secret)
    vault.ctl("backup", tmp_path / "tree", "--passphrase-file", wrong, expect=12)
    vault.ctl("backup", tmp_path / "tree", expect=0, env={**os.environ, "CELLAR_PASSPHRASE_COMMAND": f"cat {secret}"})


def test_a_snapshot_that_is_not_there_or_ambiguous(shared, tmp_path):
    done = shared.vault.ctl("restore", "zzzzzzzz", "--target", tmp_path / "out", expect=(1, 2))
    assert b"zzzzzzzz" in done.stderr
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_a_pipe_gets_no_control_characters_and_a_terminal_one_live_line(shared, tmp_path):
    tree = make_tree(tmp_path / "tree", seed=77, files=50, big=6)
    done = shared.vault.ctl("backup", tree)
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", done.stdout + done.stderr)
    (tree / "more").write_bytes(os.urandom(60 << 20))
    master, slave = pty.openpty()
    child = subprocess.Popen([CELLCTL, "--vault", shared.vault.directory, "backup", tree], stdin=slave, stdout=slave,
                             stderr=slave, close_fds=True)
    os.close(slave)
    seen, end = b"", time.monotonic() + 120
    while time.monotonic() < end:
        ready, _, _ = select.select([master], [], [], 0.2)
        if ready:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        elif child.poll() is not None:
            break
    assert child.wait() == 0
    os.close(master)
    assert b"%" in seen and (b"\r" in seen or b"\x1b[" in seen)
    assert re.search(rb"B/s|iB/s", seen)


def test_a_damaged_settings_file_is_a_clear_error(new_swarm, tmp_path):
    swarm = new_swarm(3, "1+1")
    index = swarm.indexes()[0]
    swarm.do("stop", index)
    settings = swarm.cell_dir(index) / "settings.ini"
    good = settings.read_bytes()
    settings.write_bytes(b"\x00\xff[[[garbage\ngive = a lot\n" + good)
    done = run([BUILD / "cell/celld", "--data", swarm.cell_dir(index)], expect=None, timeout=30)
    assert done.returncode not in (0, -11, -6) and b"settings.ini" in done.stderr
    settings.write_bytes(good)
    swarm.do("start", index)
