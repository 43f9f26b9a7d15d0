"""Forgetting, pruning, tags and bringing back, on the real programs."""
import json
import os
import random
import time

import pytest

from conftest import Vault, differences, json_lines, restored, run

HOLD_S = 4


def wait_until(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.2)
    raise AssertionError(f"after {seconds} s still not: {what}")


def bytes_on_cells(swarm):
    return sum(p.stat().st_blocks * 512 for i in swarm.indexes() for p in swarm.shard_files(i))


def snapshots(vault):
    return [o for o in vault.json("snapshots") if o["message_type"] == "snapshot"]


def summary(lines, kind="summary"):
    return next(o for o in lines if o["message_type"] == kind)


def write(path, seed, size):
    path.write_bytes(random.Random(seed).randbytes(size))


def grow(tree, number):
    """One more state of the tree: something stays, something changes, something is new."""
    (tree / "deep").mkdir(parents=True, exist_ok=True)
    write(tree / "always", 0, 3 << 20)
    write(tree / "changes", number, 2 << 20)
    write(tree / "deep" / f"only-{number}", 100 + number, 1 << 20)
    if number > 1:
        (tree / "deep" / f"only-{number - 1}").unlink()


def test_what_is_forgotten_and_pruned_leaves_the_cells_and_the_rest_comes_back(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm, options=("--hold", f"{HOLD_S}s"))
    tree = tmp_path / "tree"
    made = []
    for number in range(1, 5):
        grow(tree, number)
        made.append(vault.backup(tree)["snapshot_id"])
        run(["cp", "-a", tree, tmp_path / f"copy-{number}"])
    before = bytes_on_cells(swarm)

    dry = vault.json("forget", "--keep-last", "1", "--dry-run")
    group = summary(dry, "forget_group")
    assert group["paths"] == [str(tree)] and [s["id"] for s in group["keep"]] == made[-1:]
    assert [s["id"] for s in group["remove"]] == made[:-1]
    assert group["reasons"][0]["matches"] == ["last snapshot"]
    assert [s["id"] for s in snapshots(vault)] == made

    assert summary(vault.json("forget", "--keep-last", "2"))["snapshots_removed"] == 2
    assert [s["id"] for s in snapshots(vault)] == made[2:]
    vault.ctl("restore", made[0], "--target", tmp_path / "gone", expect=1)
    dry = summary(vault.json("prune", "--dry-run"), "prune_summary")
    assert dry["segments_condemned"] > 0 and dry["segments_deleted"] == 0
    done = summary(vault.json("prune"), "prune_summary")
    assert done["segments_deleted"] == done["segments_condemned"] > 0
    assert done["orders_waiting"] == 0 and done["hold_seconds"] == HOLD_S
    wait_until("space is freed", lambda: bytes_on_cells(swarm) < before - 5 * (1 << 20))

    for number, snapshot in zip((3, 4), made[2:]):
        vault.restore(tmp_path / f"out-{number}", snapshot)
        assert differences(tmp_path / f"copy-{number}", restored(tmp_path / f"out-{number}", tree)) == []
    vault.ctl("check", "--read-data")

    # the next backup reuses what is there, and nothing that is gone
    again = vault.backup(tree)
    assert again["files_unmodified"] == 3 and again["data_blobs"] == 0
    grow(tree, 5)
    write(tree / "changes", 1, 2 << 20)  # what only forgotten snapshots had
    last = vault.backup(tree)
    vault.restore(tmp_path / "out-5", last["snapshot_id"])
    assert differences(tree, restored(tmp_path / "out-5", tree)) == []

    # a bare machine does not bring back what was forgotten
    fresh = Vault(tmp_path / "fresh", phrase=vault.phrase)
    fresh.ctl("recover", "--phrase-file", vault.phrase, "--no-passphrase")
    assert {s["id"] for s in snapshots(fresh)} == {*made[2:], again["snapshot_id"], last["snapshot_id"]}
    fresh.restore(tmp_path / "out-fresh", made[2])
    assert differences(tmp_path / "copy-3", restored(tmp_path / "out-fresh", tree)) == []
    fresh.ctl("check", "--read-data")
