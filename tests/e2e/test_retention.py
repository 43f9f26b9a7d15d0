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
    total = 0
    for path in (p for i in swarm.indexes() for p in (swarm.cell_dir(i) / "shards").rglob("*")):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:  # it was freed just now
            pass
    return total


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
    idle = summary(vault.json("prune"), "prune_summary")
    assert idle["segments_condemned"] == idle["segments_repacked"] == 0, "there is nothing left to do"

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


def test_undelete_brings_back_what_was_forgotten_and_pruned(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm)  # held for 30 days
    tree = tmp_path / "tree"
    made = []
    for number in range(1, 4):
        grow(tree, number)
        made.append(vault.backup(tree)["snapshot_id"])
        run(["cp", "-a", tree, tmp_path / f"copy-{number}"])
    first = {p.name for i in swarm.indexes() for p in swarm.shard_files(i)}
    done = summary(vault.json("forget", "--keep-last", "1", "--prune"), "prune_summary")
    assert done["segments_deleted"] > 0
    assert [s["id"] for s in snapshots(vault)] == made[-1:]
    assert first <= {p.name for i in swarm.indexes() for p in swarm.shard_files(i)}, "the hold is not over"

    words = vault.phrase.read_text()
    wrong = tmp_path / "wrong"
    wrong.write_text("abandon " * 23 + "art\n")
    vault.ctl("undelete", "--phrase-file", wrong, expect=12)
    assert [s["id"] for s in snapshots(vault)] == made[-1:]
    back = summary(vault.json("undelete", "--phrase-file", vault.phrase))
    assert back["snapshots_returned"] == 2 and back["segments_gone"] == 0 and back["orders_waiting"] == 0
    assert [s["id"] for s in snapshots(vault)] == made and words == vault.phrase.read_text()
    for number, snapshot in enumerate(made, 1):
        vault.restore(tmp_path / f"out-{number}", snapshot)
        assert differences(tmp_path / f"copy-{number}", restored(tmp_path / f"out-{number}", tree)) == []
    vault.ctl("check", "--read-data")

    # one alone, by name; and from a machine that has nothing but the phrase
    vault.ctl("forget", made[0][:10], made[1][:10], "--prune")
    fresh = Vault(tmp_path / "fresh", phrase=vault.phrase)
    fresh.ctl("recover", "--phrase-file", vault.phrase, "--no-passphrase")
    assert [s["id"] for s in snapshots(fresh)] == made[2:]
    assert summary(fresh.json("undelete", made[1][:12], "--phrase-file", vault.phrase))["snapshots_returned"] == 1
    assert [s["id"] for s in snapshots(fresh)] == made[1:]
    fresh.restore(tmp_path / "out-fresh", made[1])
    assert differences(tmp_path / "copy-2", restored(tmp_path / "out-fresh", tree)) == []
    vault.ctl("prune", "--dry-run")  # whatever writes looks at what the other devices did
    assert [s["id"] for s in snapshots(vault)] == made[1:], "the other device learns of it"


def test_after_the_hold_nothing_comes_back_and_undelete_says_so(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm, options=("--hold", "1s"))
    tree = tmp_path / "tree"
    grow(tree, 1)
    vault.backup(tree)
    grow(tree, 2)
    kept = vault.backup(tree)["snapshot_id"]
    before = bytes_on_cells(swarm)
    vault.ctl("forget", "--keep-last", "1", "--prune")
    wait_until("space is freed", lambda: bytes_on_cells(swarm) < before - (1 << 20))
    end = summary(vault.json("undelete", "--phrase-file", vault.phrase, expect=13))
    assert end["snapshots_returned"] == 0 and end["snapshots_gone"] == 1 and end["segments_gone"] > 0
    assert [s["id"] for s in snapshots(vault)] == [kept]
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []


def test_a_cell_that_was_away_while_pruning_learns_what_to_free(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm, options=("--hold", "1s"))
    tree = tmp_path / "tree"
    for number in (1, 2):
        grow(tree, number)
        vault.backup(tree)
    away = swarm.indexes()[2]
    swarm.do("stop", away)
    before = {p.name for p in swarm.shard_files(away)}
    # 4+2 commits with five
    done = summary(vault.json("forget", "--keep-last", "1", "--prune"), "prune_summary")
    assert done["segments_deleted"] > 0 and done["orders_waiting"] > 0
    swarm.do("start", away)
    assert {p.name for p in swarm.shard_files(away)} == before
    again = vault.backup(tree, expect=(0, 4))
    assert again["data_blobs"] == 0
    wait_until("the cell frees what it held", lambda: before - {p.name for p in swarm.shard_files(away)})
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    assert summary(vault.json("prune"), "prune_summary")["orders_waiting"] == 0


def test_a_longer_hold_is_an_admins_word_and_a_shorter_one_takes_the_phrase(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm, options=("--hold", "2d"))
    assert vault.json("hold")[-1]["hold_seconds"] == 2 * 86400
    assert vault.json("hold", "3d")[-1]["hold_seconds"] == 3 * 86400
    wrong = tmp_path / "wrong"
    wrong.write_text("abandon " * 23 + "art\n")
    vault.ctl("hold", "1s", "--phrase-file", wrong, expect=12)
    assert b"phrase" in vault.ctl("hold", "1s", expect=2).stderr  # no terminal to ask at
    vault.ctl("hold", "soon", expect=2)
    assert vault.json("hold")[-1]["hold_seconds"] == 3 * 86400
    assert vault.json("hold", "1s", "--phrase-file", vault.phrase)[-1]["hold_seconds"] == 1
    tree = tmp_path / "tree"
    for number in (1, 2):
        grow(tree, number)
        vault.backup(tree)
    before = bytes_on_cells(swarm)
    vault.ctl("forget", "--keep-last", "1", "--prune")
    wait_until("space is freed", lambda: bytes_on_cells(swarm) < before - (1 << 20))


def test_partly_needed_segments_are_repacked_beyond_max_unused(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm, options=("--hold", "1s"))
    tree = tmp_path / "tree"
    tree.mkdir()
    for i in range(8):
        write(tree / f"file-{i}", i, 600_000)  # all in one segment
    vault.backup(tree)
    for i in range(1, 8):
        (tree / f"file-{i}").unlink()
    vault.backup(tree)
    vault.ctl("forget", "--keep-last", "1")
    plan = summary(vault.json("prune", "--max-unused", "unlimited", "--dry-run"), "prune_summary")
    assert plan["segments_repacked"] == 0 and plan["bytes_unused"] > 4_000_000
    plan = summary(vault.json("prune", "--max-unused", "10G", "--dry-run"), "prune_summary")
    assert plan["segments_repacked"] == 0
    before = bytes_on_cells(swarm)
    done = summary(vault.json("prune"), "prune_summary")
    assert done["segments_repacked"] >= 1 and done["bytes_unused"] <= done["bytes_needed"] * 5 / 95 + 1
    wait_until("the old segment is freed", lambda: bytes_on_cells(swarm) < before / 2)
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    vault.ctl("check", "--read-data")
    again = vault.backup(tree)
    assert again["files_unmodified"] == 1 and again["data_blobs"] == 0
    assert summary(vault.json("prune", "--dry-run"), "prune_summary")["segments_repacked"] == 0


def test_tags_change_by_a_new_snapshot_that_remembers_the_first(shared, tmp_path):
    vault = shared.vault
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("hello")
    first = vault.backup(tmp_path / "tree", "--tag", "one")["snapshot_id"]
    lines = vault.json("tag", "--add", "two,three", first[:12])
    change = summary(lines, "changed")
    assert change["old_snapshot_id"] == first and summary(lines)["changed_snapshots"] == 1
    now = {s["id"]: s for s in snapshots(vault)}
    assert first not in now
    second = now[change["new_snapshot_id"]]
    assert sorted(second["tags"]) == ["one", "three", "two"] and second["original"] == first
    assert summary(vault.json("tag", "--add", "two", second["id"]))["changed_snapshots"] == 0
    third = summary(vault.json("tag", "--remove", "two", second["id"]), "changed")["new_snapshot_id"]
    fourth = summary(vault.json("tag", "--add", "two", third), "changed")["new_snapshot_id"]
    assert fourth not in (second["id"], third), "what was replaced stays forgotten"
    fifth = summary(vault.json("tag", "--set", "only", fourth), "changed")["new_snapshot_id"]
    last = {s["id"]: s for s in snapshots(vault)}[fifth]
    assert last["tags"] == ["only"] and last["original"] == first and last["time"] == second["time"]
    vault.restore(tmp_path / "out", fifth)
    assert differences(tmp_path / "tree", restored(tmp_path / "out", tmp_path / "tree")) == []
    assert summary(vault.json("forget", "--keep-tag", "only", "--tag", "only"))["snapshots_removed"] == 0


@pytest.mark.parametrize("arguments, code", [
    (["forget"], 2),
    (["forget", "--keep-last", "x"], 2),
    (["forget", "--keep-within", "1q"], 2),
    (["forget", "--keep-last", "1", "--group-by", "colour"], 2),
    (["forget", "--keep-last", "1", "abcd"], 2),
    (["forget", "nosuchsnapshot"], 1),
    (["forget", ""], 2),
    (["prune", "--max-unused", "many"], 2),
    (["tag", "--add", "x", "--set", "y"], 2),
    (["tag", "latest"], 2),
    (["undelete", "--phrase-file", "/nonexistent"], 1),
])
def test_what_cannot_be_meant_is_refused(shared, arguments, code):
    before = snapshots(shared.vault)
    done = shared.vault.ctl(*arguments, expect=code)
    assert done.stderr.decode().strip()
    assert snapshots(shared.vault) == before
