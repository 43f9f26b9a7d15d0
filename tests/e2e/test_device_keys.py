"""Keys of an account's devices: data keys, passphrases, the phrase; copies of a vault; cells that are claimed."""
import os
import shutil
import sqlite3
import subprocess
import time

from conftest import CELLCTL, Vault, differences, restored
from household import (Household, devices, epochs_of, house, invite, joined, snapshot_ids,  # pylint: disable=unused-import
                       tree_with)


def test_data_keys_are_rotated_and_old_data_stays_readable(house, tmp_path):
    old, new = tree_with(tmp_path / "old", 61, files=5, big=1), tree_with(tmp_path / "new", 62, files=5, big=1)
    for vault, by_itself in ((house.admin, True), (house.reader, False), (house.putter, False)):
        before = vault.backup(old)["snapshot_id"]
        done = next(o for o in vault.json("key", "rotate") if o["message_type"] == "rotated")
        assert done["in_force"] == by_itself
        again = next(o for o in vault.json("key", "rotate") if o["message_type"] == "rotated")
        assert again["epoch"] == done["epoch"] + by_itself, "one that waits is not made twice"
        epochs = {name: d["epochs"] for name, d in devices(house.admin).items()}
        assert epochs[{house.admin: "desk", house.reader: "attic", house.putter: "camera"}[vault]] == again["epoch"]
        after = vault.backup(new)["snapshot_id"]
        for number, (tree, made) in enumerate(((old, before), (new, after))):
            out = tmp_path / f"{vault.directory.name}-{number}"
            vault.restore(out, made)
            assert differences(tree, restored(out, tree)) == []
            house.reader.restore(out / "by-reader", made, "--verify")
            assert differences(tree, restored(out / "by-reader", tree)) == []


def test_old_data_is_stored_again_under_the_new_key(shared, tmp_path):
    admin = Vault(tmp_path / "admin", shared.swarm, options=("--name", "desk"))
    tree = tree_with(tmp_path / "tree", 63, files=10, big=2)
    made = admin.backup(tree)["snapshot_id"]
    lines = admin.json("key", "rotate", "--rewrite")
    summary = next(o for o in lines if o["message_type"] == "prune_summary")
    assert summary["segments_repacked"] > 0
    assert epochs_of(admin) == {2}
    admin.restore(tmp_path / "out", made, "--verify")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    admin.ctl("check", "--read-data")
    again = next(o for o in admin.json("key", "rewrite") if o["message_type"] == "prune_summary")
    assert again["segments_repacked"] == 0
    assert admin.backup(tree)["data_blobs"] == 0
    second = joined(admin, tmp_path / "second", "second")
    assert b"delete" in second.ctl("key", "rewrite", expect=1).stderr
    second.restore(tmp_path / "by-second", made)
    assert differences(tree, restored(tmp_path / "by-second", tree)) == []


def test_passphrases_and_key_slots(shared, tmp_path):
    def secret(name, text):
        (tmp_path / name).write_text(text + "\n")
        return tmp_path / name

    old, new, wrong = secret("old", "first one"), secret("new", "another"), secret("wrong", "no")
    vault = Vault(tmp_path / "vault")
    vault.ctl("init", "--invite", shared.swarm.invite(), "--phrase-file", vault.phrase, "--passphrase-file", old)
    (tmp_path / "tree").mkdir()
    vault.ctl("backup", tmp_path / "tree", "--passphrase-file", wrong, expect=12)
    vault.ctl("key", "passwd", "--passphrase-file", wrong, "--new-passphrase-file", new, expect=12)
    vault.ctl("key", "passwd", "--passphrase-file", old, "--new-passphrase-file", new)
    vault.ctl("snapshots", "--passphrase-file", old, expect=12)
    vault.ctl("backup", tmp_path / "tree", "--passphrase-file", new)
    vault.ctl("key", "remove", "1", "--passphrase-file", new, expect=1)
    vault.ctl("key", "add", "--passphrase-file", new, "--new-passphrase-file", old)
    slots = vault.json("key", "list", "--passphrase-file", old)
    assert [(s["number"], s["kind"], s["current"]) for s in slots] == [(1, "passphrase", False), (2, "passphrase", True)]
    vault.ctl("key", "add", "--passphrase-file", new, "--no-passphrase")
    vault.ctl("snapshots")  # by the key file
    assert (vault.directory / "key").stat().st_mode & 0o777 == 0o600
    vault.ctl("key", "remove", "3")
    assert not (vault.directory / "key").exists()
    vault.ctl("key", "remove", "1", "--passphrase-file", old)
    vault.ctl("snapshots", "--passphrase-file", new, expect=12)
    vault.ctl("snapshots", "--passphrase-file", old)
    vault.ctl("key", "remove", "7", "--passphrase-file", old, expect=1)
    vault.ctl("key", "remove", "x", "--passphrase-file", old, expect=2)


def test_the_phrase_is_checked(house, shared, tmp_path):
    house.admin.ctl("phrase", "check", "--phrase-file", house.admin.phrase)
    house.putter.ctl("phrase", "check", "--phrase-file", house.admin.phrase)
    done = house.admin.ctl("phrase", "check", "--phrase-file", shared.vault.phrase, expect=12)
    assert b"another account" in done.stderr
    words = house.admin.phrase.read_text().split("\n")[0].split()
    (tmp_path / "short").write_text(" ".join(words[:23]))
    house.admin.ctl("phrase", "check", "--phrase-file", tmp_path / "short", expect=12)


def test_two_admins_change_the_manifest_at_once(shared, tmp_path):
    admin = Vault(tmp_path / "admin", shared.swarm, options=("--name", "desk"))
    string = invite(admin, "--capabilities", "put,read,admin", "--phrase-file", admin.phrase)
    second = Vault(tmp_path / "second")
    second.ctl("join", "--invite", string, "--name", "second", "--no-passphrase", "--no-wait")
    admin.ctl("device", "admit", "--phrase-file", admin.phrase)
    second.ctl("join")
    for _ in range(3):
        runs = [subprocess.Popen([str(CELLCTL), "--vault", str(v.directory), "key", "rotate", "--json"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
                for v in (admin, second)]
        ends = [run.communicate(timeout=120) for run in runs]
        assert [run.returncode for run in runs] == [0, 0], ends
    for vault in (admin, second):
        assert {name: d["epochs"] for name, d in devices(vault).items()} == {"desk": 4, "second": 4}


def test_a_cell_is_claimed_in_the_manifest_and_may_be_away(new_swarm, tmp_path):
    swarm = new_swarm(4, "1+1", ("--asleep-after", "2s", "--gone-after", "4s"))
    admin = Vault(tmp_path / "admin", swarm, options=("--name", "desk"))
    reader = joined(admin, tmp_path / "reader", "attic")
    cell, other = (swarm.cell(i)["id"] for i in swarm.indexes()[:2])
    assert b"not claimed" in admin.ctl("cells", "away", cell, "--until", "1d", expect=1).stderr
    admin.ctl("cells", "claim", cell)
    admin.ctl("cells", "claim", cell)
    admin.ctl("cells", "away", cell, expect=2)
    admin.ctl("cells", "away", cell, "--until", "whenever", expect=2)
    reader.ctl("cells", "away", cell, "--until", "1d", expect=1)
    admin.ctl("cells", "away", cell, "--until", "1d")
    swarm.do("stop", *swarm.indexes()[:2])


    def states_when_gone(which):
        """The coordinator looks around once in a while."""
        end = time.monotonic() + 60
        while True:
            states = {o["id"]: o["state"] for o in admin.json("cells") if o["message_type"] == "cell"}
            if states[which] == "gone":
                return states
            assert time.monotonic() < end, states
            time.sleep(0.5)

    assert states_when_gone(other)[cell] == "asleep"
    admin.ctl("cells", "away", cell, "--until", "2020-01-01")
    states_when_gone(cell)


def test_an_old_copy_of_a_vault_catches_up(shared, tmp_path):
    tree = tree_with(tmp_path / "tree", 71, files=5, big=1)
    admin = Vault(tmp_path / "admin", shared.swarm, options=("--name", "desk"))
    second = joined(admin, tmp_path / "second", "second")
    first = second.backup(tree)["snapshot_id"]
    shutil.copytree(second.directory, tmp_path / "copy")
    later = second.backup(tree)["snapshot_id"]
    copy = Vault(tmp_path / "copy")
    third = copy.backup(tree)["snapshot_id"]
    for vault in (copy, admin, second):
        assert {first, later, third} <= snapshot_ids(vault)
    copy.restore(tmp_path / "out", later)
    assert differences(tree, restored(tmp_path / "out", tree)) == []


def test_a_fork_is_noticed(new_swarm, tmp_path):
    """Two copies of one vault back up to two halves of a swarm that do not see each other, by a coordinator that has
    lost the head of the first."""
    swarm = new_swarm(6, "1+1")
    tree = tree_with(tmp_path / "tree", 72, files=5, big=1)
    admin = Vault(tmp_path / "admin", swarm, options=("--name", "desk"))
    second = joined(admin, tmp_path / "second", "second")
    second.backup(tree)
    shutil.copytree(second.directory, tmp_path / "copy")
    half, other = swarm.indexes()[:3], swarm.indexes()[3:]
    swarm.do("stop", *other)
    (tree / "left").write_text("left")
    second.backup(tree, expect=(0, 4))
    swarm.do("stop", "coordinator", *half)
    with sqlite3.connect(swarm.directory / "coordinator/registry.db") as db:
        assert db.execute("DELETE FROM head").rowcount > 0
    db.close()
    swarm.do("start", "coordinator", *other)
    (tree / "right").write_text("right")
    Vault(tmp_path / "copy").backup(tree, expect=(0, 4))
    swarm.do("start", *half)
    done = admin.ctl("snapshots")
    assert b"forked" in done.stderr and b"second" in done.stderr


def test_the_phrase_is_replaced(shared, tmp_path):
    """The account goes on, for its devices and for who has the new words; the old words open nothing."""
    house = Household(tmp_path, shared.swarm)
    admin, new = house.admin, tmp_path / "new.phrase"
    gone = joined(admin, tmp_path / "gone", "gone")
    tree = tree_with(tmp_path / "tree", 81, files=5, big=1)
    before = {v.backup(tree, "--host", h)["snapshot_id"]
              for v, h in ((admin, "desk"), (house.reader, "attic"), (house.putter, "camera"), (gone, "gone"))}
    admin.ctl("device", "revoke", "gone")
    admin.ctl("phrase", "replace", "--phrase-file", shared.vault.phrase, "--new-phrase-file", new, expect=12)
    assert not new.exists()
    there = tmp_path / "there"
    there.write_text("keep me")
    admin.ctl("phrase", "replace", "--phrase-file", admin.phrase, "--new-phrase-file", there, expect=1)
    assert there.read_text() == "keep me"
    admin.ctl("phrase", "check", "--phrase-file", admin.phrase)
    admin.ctl("phrase", "replace", "--phrase-file", admin.phrase, "--new-phrase-file", new)
    assert new.stat().st_mode & 0o777 == 0o600
    # the words
    for vault in (admin, house.reader, house.putter):
        vault.ctl("device", "list")
        vault.ctl("phrase", "check", "--phrase-file", new)
        assert b"replaced" in vault.ctl("phrase", "check", "--phrase-file", admin.phrase, expect=12).stderr
    # the devices go on, read what was before, and what is new
    (tree / "later").write_bytes(os.urandom(200000))
    after = {v.backup(tree, "--host", h)["snapshot_id"]
             for v, h in ((admin, "desk"), (house.reader, "attic"), (house.putter, "camera"))}
    for vault in (admin, house.reader):
        assert before | after <= snapshot_ids(vault)
        vault.restore(tmp_path / f"{vault.directory.name}-out", "latest", "--host", "camera", "--verify")
        assert differences(tree, restored(tmp_path / f"{vault.directory.name}-out", tree)) == []
    assert b"revoked" in gone.ctl("backup", tree, expect=1).stderr
    # recovery: by the new words only
    stale = Vault(tmp_path / "stale", phrase=admin.phrase)
    refused = stale.ctl("recover", "--phrase-file", admin.phrase, "--no-passphrase", expect=12)
    assert b"replaced" in refused.stderr and not (stale.directory / "settings.ini").exists()
    fresh = Vault(tmp_path / "fresh", phrase=new)
    fresh.ctl("recover", "--phrase-file", new, "--no-passphrase", "--name", "fresh")
    assert before | after <= snapshot_ids(fresh)
    fresh.restore(tmp_path / "fresh-out", "latest", "--host", "attic", "--verify")
    assert differences(tree, restored(tmp_path / "fresh-out", tree)) == []
    assert fresh.backup(tree)["data_blobs"] == 0
    # what only the root may do, by the new words; and once more
    assert b"replaced" in admin.ctl("device", "revoke", "fresh", "--phrase-file", admin.phrase, expect=12).stderr
    # one that asked before the phrase was replaced once more asks again
    late = Vault(tmp_path / "late")
    late.ctl("join", "--invite", invite(admin), "--name", "late", "--no-passphrase", "--no-wait")
    third = tmp_path / "third.phrase"
    house.reader.ctl("phrase", "replace", "--phrase-file", new, "--new-phrase-file", third)
    assert "late" in devices(admin) or b"ask again" in admin.ctl("device", "list").stderr
    late.ctl("join", "--no-wait", expect=(0, 1))
    devices(admin)
    late.ctl("join", "--no-wait")
    assert before | after <= snapshot_ids(late)
    made = late.backup(tree)["snapshot_id"]
    admin.restore(tmp_path / "of-late", made)
    assert differences(tree, restored(tmp_path / "of-late", tree)) == []
    admin.ctl("device", "revoke", "fresh", "--phrase-file", third)
    last = Vault(tmp_path / "last", phrase=third)
    last.ctl("recover", "--phrase-file", third, "--no-passphrase", "--name", "last")
    assert before | after <= snapshot_ids(last)
    last.restore(tmp_path / "last-out", sorted(before)[0], "--verify")
