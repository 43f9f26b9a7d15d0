"""Several devices of one account on one swarm of real programs: joining, backing up side by side, rights, revoking."""
import os
import signal
import re
import subprocess
import time

from conftest import CELLCTL, Vault, differences, json_lines, restored, run
from household import devices, house, invite, joined, snapshot_ids, start_join, tree_with, wait_for  # pylint: disable=unused-import


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
    done = second.ctl("join", "--invite", string, "--name", "second", "--no-passphrase", "--no-wait")
    assert b"cellctl join" in done.stdout and not done.stderr
    (waiting,) = second.json("join", "--no-wait")
    assert waiting["message_type"] == "waiting" and len(waiting["device"]) == 56
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


def test_an_interrupted_join_goes_on_with_its_passphrase(house, tmp_path):
    secret, wrong = tmp_path / "secret", tmp_path / "wrong"
    secret.write_text("open sesame\n")
    wrong.write_text("open rye\n")
    vault = Vault(tmp_path / "vault")
    string = invite(house.admin)
    join = subprocess.Popen([str(a) for a in (CELLCTL, "--vault", vault.directory, "join", "--invite", string, "--name", "slow",
                                              "--passphrase-file", secret)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert b"Waiting" in join.stdout.readline()
    vault.ctl("join", "--passphrase-file", secret, expect=11)
    join.send_signal(signal.SIGINT)
    assert join.wait(timeout=60) == 130
    vault.ctl("join", "--passphrase-file", wrong, expect=12)
    other = invite(house.admin)
    assert b"unfinished" in vault.ctl("join", "--invite", other, "--passphrase-file", secret, expect=1).stderr
    assert "slow" in devices(house.admin)
    vault.ctl("join", "--passphrase-file", secret)
    assert not (vault.directory / "joining").exists()
    vault.ctl("snapshots", "--passphrase-file", secret)
    vault.ctl("snapshots", "--passphrase-file", wrong, expect=12)


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
    second.ctl("join", "--invite", string, "--name", "second", "--no-passphrase", "--no-wait")
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


def test_joining_without_a_coordinator(new_swarm, tmp_path):
    swarm = new_swarm(4, "1+1")
    admin = Vault(tmp_path / "admin", swarm, options=("--name", "desk"))
    tree = tree_with(tmp_path / "tree", 91, files=5, big=1)
    made = admin.backup(tree)["snapshot_id"]
    string = invite(admin)
    swarm.do("stop", "coordinator")
    cell = swarm.cell(swarm.indexes()[1])["address"]
    second = Vault(tmp_path / "second")
    done = second.ctl("join", "--invite", string, "--no-passphrase", "--no-wait", expect=1)
    assert b"--from" in done.stderr
    second.ctl("join", "--from", cell, "--no-wait", "--name", "second")
    assert set(devices(admin)) == {"desk", "second"}
    second.ctl("join", "--from", cell)
    text = second.ctl("status", expect=(0, 4)).stdout.decode()
    assert re.search(r"Last backup: 20.*, by device desk; by this one: never\.", text), text
    status, = second.json("status", expect=(0, 4))
    assert (status["last_backup"], status["newest_snapshot_device"]) == (None, "desk") and status["newest_snapshot"]
    second.restore(tmp_path / "out", made)
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    swarm.do("start", "coordinator")
    assert second.backup(tree)["data_blobs"] == 0
    status, = second.json("status", expect=(0, 4))
    assert status["newest_snapshot_device"] is None and status["newest_snapshot"] and status["last_backup"]


def test_a_vault_in_use_is_locked_and_a_dead_process_holds_nothing(house, tmp_path):
    house.admin.ctl("unlock")
    holder = subprocess.Popen([str(CELLCTL), "--vault", str(house.admin.directory), "device", "invite", "--wait"],
                              stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    holder.stdout.readline()
    done = house.admin.ctl("backup", tmp_path, expect=11)
    assert str(holder.pid).encode() in done.stderr
    house.admin.ctl("unlock", expect=11)
    house.admin.ctl("snapshots")  # readers do not mind
    assert "attic" in devices(house.admin)
    holder.kill()
    holder.wait()
    house.admin.ctl("unlock")
    (tmp_path / "tree").mkdir()
    house.admin.backup(tmp_path / "tree")


def test_the_help_names_the_commands():
    for command in ("device", "join", "key", "phrase", "unlock"):
        assert b"cellctl " + command.encode() in run([CELLCTL, command, "--help"]).stdout
