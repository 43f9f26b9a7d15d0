"""Pruning beside other devices of the account, without the right to, killed on the way, and without a vault."""
import fcntl
import subprocess
import time

from conftest import CELLCTL, Vault, differences, restored, run
from household import joined
from test_retention import bytes_on_cells, grow, snapshots, summary, wait_until, write


def test_a_prune_waits_for_the_other_devices_and_never_costs_them_a_chunk(new_swarm, tmp_path):
    swarm = new_swarm(6)
    first = Vault(tmp_path / "first", swarm, options=("--hold", "1s", "--name", "first"))
    tree, other = tmp_path / "tree", tmp_path / "other"
    grow(tree, 1)
    run(["cp", "-a", tree, tmp_path / "copy"])
    old = first.backup(tree)["snapshot_id"]
    grow(tree, 2)
    first.backup(tree)
    second = joined(first, tmp_path / "second", "second")
    other.mkdir()
    write(other / "own", 77, 1 << 20)
    second.backup(other)
    before = bytes_on_cells(swarm)
    first.ctl("forget", old)
    waiting = summary(first.json("prune"), "prune_summary")
    assert waiting["segments_condemned"] > 0 and waiting["segments_deleted"] == 0
    assert waiting["devices_waited_for"] == 1 and waiting["segments_waiting"] >= waiting["segments_condemned"]

    # the second device backs up what only the forgotten snapshot had: it knows that it is condemned
    run(["cp", "-a", tmp_path / "copy", other / "again"])
    again = second.backup(other)
    assert again["data_blobs"] > 0
    done = summary(first.json("prune"), "prune_summary")
    assert done["segments_deleted"] >= waiting["segments_condemned"]
    assert done["segments_waiting"] == done["segments_condemned"], "only what is new waits"
    time.sleep(2)
    second.restore(tmp_path / "out", again["snapshot_id"])
    assert differences(other, restored(tmp_path / "out", other)) == []
    first.restore(tmp_path / "out-first", again["snapshot_id"])
    assert differences(other, restored(tmp_path / "out-first", other)) == []
    assert bytes_on_cells(swarm) > 0 < before

    # one that makes no backups is not waited for when it is excluded by name
    third = joined(first, tmp_path / "third", "third")
    assert third.directory.exists()
    grow(tree, 3)
    first.backup(tree)
    first.ctl("forget", "--keep-last", "1", "--path", tree)
    assert summary(first.json("prune"), "prune_summary")["devices_waited_for"] == 2
    # status and prune say which ones, since when, until when at the latest, and what to do
    waits = {w["device"]: w for w in first.json("status", expect=(0, 4))[-1]["deletions_wait_for"]}
    assert set(waits) == {"second", "third"} and waits["third"]["last_backup"] is None
    assert waits["second"]["segments"] > 0 and waits["second"]["last_backup"] < waits["second"]["until"]
    assert waits["third"]["since"] < waits["third"]["until"]
    words = first.ctl("status", expect=(0, 4)).stdout.decode()
    assert '"third"' in words and f"device revoke {waits['third']['id'][:10]}" in words
    second.backup(other)
    assert summary(first.json("prune"), "prune_summary")["segments_deleted"] == 0
    last = summary(first.json("prune", "--exclude-device", "third"), "prune_summary")
    assert last["segments_deleted"] > 0 and last["devices_waited_for"] <= 1
    first.restore(tmp_path / "out-last")
    assert differences(tree, restored(tmp_path / "out-last", tree)) == []


def test_a_device_without_the_right_forgets_nothing(new_swarm, tmp_path):
    swarm = new_swarm(6)
    first = Vault(tmp_path / "first", swarm, options=("--name", "first"))
    tree = tmp_path / "tree"
    grow(tree, 1)
    made = first.backup(tree)["snapshot_id"]
    second = joined(first, tmp_path / "second", "second")  # put and read
    for command in (["forget", made], ["prune"], ["tag", "--add", "x", made]):
        assert b"may not" in second.ctl(*command, expect=1).stderr
    assert [s["id"] for s in snapshots(second)] == [made]


def test_a_prune_that_is_killed_at_any_moment_is_ended_by_the_next(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm, options=("--hold", "1s"))
    tree = tmp_path / "tree"
    kept = []
    for number in range(1, 7):
        grow(tree, number)
        kept.append(vault.backup(tree)["snapshot_id"])
    run(["cp", "-a", tree, tmp_path / "copy"])
    before = bytes_on_cells(swarm)
    killed = 0
    for number, delay in enumerate((0.05, 0.1, 0.15, 0.2, 0.3)):
        running = subprocess.Popen([str(a) for a in (CELLCTL, "--vault", vault.directory, "forget", kept[number],
                                                     "--prune")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        time.sleep(delay)
        killed += running.poll() is None
        running.kill()
        running.communicate()
        assert kept[-1] in {s["id"] for s in snapshots(vault)}
    assert killed > 0
    vault.ctl("forget", "--keep-last", "1")
    assert summary(vault.json("prune"), "prune_summary")["orders_waiting"] == 0
    wait_until("space is freed", lambda: bytes_on_cells(swarm) < before - 4 * (1 << 20))
    vault.restore(tmp_path / "out")
    assert differences(tmp_path / "copy", restored(tmp_path / "out", tree)) == []
    vault.ctl("check", "--read-data")
    fresh = Vault(tmp_path / "fresh", phrase=vault.phrase)
    fresh.ctl("recover", "--phrase-file", vault.phrase, "--no-passphrase")
    assert [s["id"] for s in snapshots(fresh)] == kept[-1:]


def test_without_a_vault_and_with_a_locked_one(tmp_path, shared):
    nobody = Vault(tmp_path / "nothing")
    for command in (["forget", "--keep-last", "1"], ["prune"], ["tag", "--add", "x"], ["undelete"], ["hold"]):
        assert nobody.ctl(*command, expect=10).stderr
    vault = Vault(tmp_path / "vault", shared.swarm)
    with open(vault.directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["forget", "--keep-last", "1"], ["prune"], ["tag", "--add", "x"], ["hold", "60d"]):
            assert vault.ctl(*command, expect=11).stderr


def test_a_coordinator_that_is_away_stops_no_prune_and_learns_later(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm, options=("--hold", "1s"))
    tree = tmp_path / "tree"
    for number in (1, 2):
        grow(tree, number)
        vault.backup(tree)
    before = bytes_on_cells(swarm)
    swarm.do("kill", "coordinator")
    done = summary(vault.json("forget", "--keep-last", "1", "--prune"), "prune_summary")
    assert done["segments_deleted"] > 0 and done["orders_waiting"] == 1, "the coordinator's own"
    wait_until("space is freed all the same", lambda: bytes_on_cells(swarm) < before - (1 << 20))
    swarm.do("start", "coordinator")
    assert summary(vault.json("prune"), "prune_summary")["orders_waiting"] == 0
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    vault.ctl("check", "--read-data")
