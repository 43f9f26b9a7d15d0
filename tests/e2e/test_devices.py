"""Several devices of one account on one swarm of real programs: joining, backing up side by side, rights, revoking."""
import os
import shutil
import sqlite3
import subprocess
import time

import pytest

from conftest import CELLCTL, Vault, differences, json_lines, make_tree, restored, run


def invite(vault, *arguments):
    return next(o for o in vault.json("device", "invite", *arguments) if o["message_type"] == "invite")["invite"]


def start_join(directory, string, name, *arguments):
    """`cellctl join` in the background: it waits until an admin device takes it in."""
    return subprocess.Popen([str(a) for a in (CELLCTL, "--vault", directory, "join", "--invite", string, "--name", name,
                                              "--no-passphrase", "--json", *arguments)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(join):
    out, err = join.communicate(timeout=120)
    assert join.returncode == 0, (out, err)
    return next(o for o in json_lines(out) if o["message_type"] == "joined")


def joined(vault, directory, name, capabilities="put,read"):
    """One more device: invited, its request left behind, taken in, finished."""
    device = Vault(directory)
    device.ctl("join", "--invite", invite(vault, "--capabilities", capabilities), "--name", name, "--no-passphrase",
               "--no-wait", expect=1)
    devices(vault)
    device.ctl("join")
    return device


def devices(vault):
    return {o["name"]: o for o in vault.json("device", "list") if o["message_type"] == "device"}


def snapshot_ids(vault):
    return {o["id"] for o in vault.json("snapshots") if o["message_type"] == "snapshot"}


def epochs_of(vault):
    """Of the vault's segments that count."""
    with sqlite3.connect(f"file:{vault.directory}/index.db?mode=ro", uri=True) as db:
        return {row[0] for row in db.execute("SELECT DISTINCT epoch FROM segment WHERE state = 2")}


def tree_with(path, seed, files=20, big=1):
    return make_tree(path, seed=seed, files=files, big=big)


class Household:
    """An account with an admin's vault, a second reading device and one that may only put."""

    def __init__(self, base, swarm):
        self.base, self.swarm = base, swarm
        self.admin = Vault(base / "admin", swarm, options=("--name", "desk"))
        self.reader = joined(self.admin, base / "reader", "attic")
        self.putter = joined(self.admin, base / "putter", "camera", "put")


@pytest.fixture(scope="module")
def house(shared, tmp_path_factory):
    return Household(tmp_path_factory.mktemp("house"), shared.swarm)


def test_a_device_joins_while_the_inviter_waits(shared, tmp_path):
    admin = Vault(tmp_path / "admin", shared.swarm, options=("--name", "desk"))
    waiting = subprocess.Popen([str(a) for a in (CELLCTL, "--vault", admin.directory, "device", "invite", "--wait",
                                                 "--json")], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    string = json_lines(waiting.stdout.readline())[0]["invite"]
    join = start_join(tmp_path / "second", string, "second")
    done = wait_for(join)
    assert done["capabilities"] == "put,read"
    assert waiting.wait(timeout=60) == 0
    assert b"device_admitted" in waiting.stdout.read()
    listed = devices(admin)
    assert listed["second"]["id"] == done["device"] and listed["second"]["capabilities"] == ["put", "read"]
    assert listed["desk"]["this"] and not listed["second"]["this"]


def test_both_need_not_be_on_at_once_and_an_invite_counts_once(shared, tmp_path):
    admin = Vault(tmp_path / "admin", shared.swarm, options=("--name", "desk"))
    string = invite(admin)
    second = Vault(tmp_path / "second")
    done = second.ctl("join", "--invite", string, "--name", "second", "--no-passphrase", "--no-wait", expect=1)
    assert b"goes on" in done.stderr
    second.ctl("snapshots", expect=10)
    other = Vault(tmp_path / "other")
    refused = other.ctl("join", "--invite", string, "--name", "other", "--no-passphrase", "--no-wait", expect=1)
    assert b"same invite" in refused.stderr
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_text("a")
    admin.backup(tmp_path / "tree")  # takes it in by the way
    second.ctl("join")
    assert set(devices(admin)) == {"desk", "second"}
    late = Vault(tmp_path / "late").ctl("join", "--invite", string, "--no-passphrase", "--no-wait", expect=1)
    assert b"invite" in late.stderr
    again = second.ctl("join", "--invite", string, "--no-passphrase", expect=1)
    assert b"already" in again.stderr


def test_bad_invites_and_bad_usage(shared, tmp_path, house):
    vault = Vault(tmp_path / "v")
    assert b"not for a device" in vault.ctl("join", "--invite", shared.swarm.invite(), "--no-passphrase", expect=1).stderr
    vault.ctl("join", "--no-passphrase", expect=2)
    vault.ctl("join", "--invite", "cellar-xyz", "--no-passphrase", expect=1)
    assert not (vault.directory / "settings.ini").exists()
    house.admin.ctl("device", "invite", "--capabilities", "put,fly", expect=2)
    house.admin.ctl("device", "invite", "--expires", "soon", expect=2)
    assert b"phrase" in house.admin.ctl("device", "invite", "--capabilities", "put,admin", expect=1).stderr
    assert b"no admin" in house.reader.ctl("device", "invite", expect=1).stderr
    house.admin.ctl("device", "revoke", "nobody", expect=1)
    house.admin.ctl("device", "fly", expect=2)
    string = invite(house.admin, "--expires", "1s")
    time.sleep(2.1)
    late = Vault(tmp_path / "late").ctl("join", "--invite", string, "--no-passphrase", "--no-wait", expect=1)
    assert b"over" in late.stderr


def test_two_devices_back_up_at_once_and_see_the_union(house, tmp_path):
    one, two = tree_with(tmp_path / "one", 11), tree_with(tmp_path / "two", 12)
    runs = [subprocess.Popen([str(a) for a in (CELLCTL, "--vault", v.directory, "backup", t, "--host", h, "--json")],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
            for v, t, h in ((house.admin, one, "desk"), (house.reader, two, "attic"))]
    ends = [r.communicate(timeout=120) for r in runs]
    assert [r.returncode for r in runs] == [0, 0], ends
    made = [next(o for o in json_lines(out) if o["message_type"] == "summary")["snapshot_id"] for out, _ in ends]
    assert set(made) <= snapshot_ids(house.admin) and set(made) <= snapshot_ids(house.reader)
    # "latest" is this device's own, unless a host is named
    house.admin.restore(tmp_path / "a1")
    assert differences(one, restored(tmp_path / "a1", one)) == []
    house.admin.restore(tmp_path / "a2", "latest", "--host", "attic")
    assert differences(two, restored(tmp_path / "a2", two)) == []
    house.reader.restore(tmp_path / "r1")
    assert differences(two, restored(tmp_path / "r1", two)) == []
    house.reader.restore(tmp_path / "r2", made[0], "--verify")
    assert differences(one, restored(tmp_path / "r2", one)) == []


def test_a_reading_device_does_not_send_again_what_another_has_stored(house, tmp_path):
    tree = tree_with(tmp_path / "tree", 21, files=10, big=2)
    first = house.admin.backup(tree)
    assert first["data_blobs"] > 0
    second = house.reader.backup(tree)
    assert second["data_blobs"] == 0 and second["bytes_sent"] < first["bytes_sent"] / 4


def test_a_device_that_may_only_put_reads_nothing_but_its_own(house, tmp_path):
    tree = tree_with(tmp_path / "tree", 31, files=10, big=1)
    other = house.admin.backup(tree, "--host", "desk-private")
    mine = house.putter.backup(tree, "--host", "camera")
    assert mine["data_blobs"] > 0, "it must not profit from what others stored, nor know of it"
    assert snapshot_ids(house.putter) == {mine["snapshot_id"]}
    house.putter.ctl("restore", other["snapshot_id"], "--target", tmp_path / "no", expect=1)
    house.putter.restore(tmp_path / "own")
    assert differences(tree, restored(tmp_path / "own", tree)) == []
    # those that may read see it, and can verify it
    assert mine["snapshot_id"] in snapshot_ids(house.reader)
    house.reader.restore(tmp_path / "by-reader", mine["snapshot_id"], "--verify")
    assert differences(tree, restored(tmp_path / "by-reader", tree)) == []
    assert b"no admin" in house.putter.ctl("device", "revoke", "attic", expect=1).stderr


def test_a_revoked_device_is_refused_and_what_it_stored_stays(shared, tmp_path):
    admin = Vault(tmp_path / "admin", shared.swarm, options=("--name", "desk"))
    second = joined(admin, tmp_path / "second", "second")
    tree = tree_with(tmp_path / "tree", 41, files=5, big=1)
    made = second.backup(tree)
    assert made["snapshot_id"] in snapshot_ids(admin)
    admin.ctl("device", "revoke", "second")
    assert devices(admin)["second"]["revoked"]
    (tree / "new").write_bytes(os.urandom(100000))
    refused = second.ctl("backup", tree, expect=1)
    assert b"revoked" in refused.stderr
    admin.restore(tmp_path / "out", made["snapshot_id"])
    (tree / "new").unlink()
    assert [d for d in differences(tree, restored(tmp_path / "out", tree)) if not d.startswith(".d..t")] == []
    assert b"already" in admin.ctl("device", "revoke", "second", expect=1).stderr
    assert b"itself" in admin.ctl("device", "revoke", "desk", expect=1).stderr


def test_admins_are_made_and_revoked_by_the_phrase(shared, tmp_path):
    admin = Vault(tmp_path / "admin", shared.swarm, options=("--name", "desk"))
    string = invite(admin, "--capabilities", "put,read,delete,admin", "--phrase-file", admin.phrase)
    second = Vault(tmp_path / "second")
    second.ctl("join", "--invite", string, "--name", "second", "--no-passphrase", "--no-wait", expect=1)
    assert b"phrase-file" in admin.ctl("device", "list").stderr
    admin.ctl("device", "admit", "--phrase-file", admin.phrase)
    second.ctl("join")
    third = joined(second, tmp_path / "third", "third")
    assert set(devices(third)) == {"desk", "second", "third"}
    assert b"phrase" in admin.ctl("device", "revoke", "second", expect=1).stderr
    admin.ctl("device", "revoke", "second", "--phrase-file", admin.phrase)
    assert b"revoked" in second.ctl("device", "list", expect=1).stderr
    assert devices(third)["second"]["revoked"]


def test_recovery_sees_the_snapshots_of_all_devices(house, tmp_path):
    tree = tree_with(tmp_path / "tree", 51, files=5, big=1)
    made = {v.backup(tree, "--host", h)["snapshot_id"]
            for v, h in ((house.admin, "desk"), (house.reader, "attic"), (house.putter, "camera"))}
    fresh = Vault(tmp_path / "fresh", phrase=house.admin.phrase)
    fresh.ctl("recover", "--phrase-file", house.admin.phrase, "--no-passphrase", "--name", "fresh")
    assert made <= snapshot_ids(fresh)
    fresh.restore(tmp_path / "out", "latest", "--host", "camera", "--verify")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    # the others go on beside it
    later = house.reader.backup(tree)
    assert later["snapshot_id"] in snapshot_ids(fresh)
    assert fresh.backup(tree)["data_blobs"] == 0
    fourth = joined(fresh, tmp_path / "fourth", "fourth")
    assert made <= snapshot_ids(fourth)
    assert "fourth" in devices(house.admin)


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


def test_a_vault_in_use_is_locked_and_a_dead_process_holds_nothing(house, tmp_path):
    house.admin.ctl("unlock")
    holder = subprocess.Popen([str(CELLCTL), "--vault", str(house.admin.directory), "device", "invite", "--wait"],
                              stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    holder.stdout.readline()
    done = house.admin.ctl("backup", tmp_path, expect=11)
    assert str(holder.pid).encode() in done.stderr
    house.admin.ctl("unlock", expect=11)
    house.admin.ctl("snapshots")  # readers do not mind
    holder.kill()
    holder.wait()
    house.admin.ctl("unlock")
    (tmp_path / "tree").mkdir()
    house.admin.backup(tmp_path / "tree")


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
    end = time.monotonic() + 60
    while True:
        states = {o["id"]: o["state"] for o in admin.json("cells") if o["message_type"] == "cell"}
        if states[other] == "gone" or time.monotonic() > end:
            break
        time.sleep(0.5)
    assert states[other] == "gone" and states[cell] == "asleep"
    admin.ctl("cells", "away", cell, "--until", "2020-01-01")
    states = {o["id"]: o["state"] for o in admin.json("cells") if o["message_type"] == "cell"}
    assert states[cell] == "gone"


def test_the_help_names_the_commands():
    for command in ("device", "join", "key", "phrase", "unlock"):
        assert b"cellctl " + command.encode() in run([CELLCTL, command, "--help"]).stdout
