"""The coordinator is disposable: down, lost for good and replaced, moved to another place. Real programs."""
import json
import pathlib
import shutil
import socket
import time

import pytest

from conftest import BUILD, Swarm, Vault, differences, make_tree, restored, run

COORDINATORD = BUILD / "coordinator/coordinatord"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def coordinator(swarm):
    return json.loads(run([COORDINATORD, "--data", swarm.directory / "coordinator", "status", "--json"]).stdout)


def wait_for(what, seconds=40, told=None):
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, f"still {told() if told else got!r} after {seconds} s"
        time.sleep(0.2)


def is_repaired(status):
    return status["repairs_done"] > 0 and status["repairs_ready"] + status["repairs_under_way"] == 0


@pytest.fixture()
def swarm(tmp_path):
    swarm = Swarm(tmp_path / "swarm", 6, "2+2", ("--asleep-after", "2s", "--gone-after", "5s", "--repair-delay", "0s",
                                                 "--ticket-lease", "5s", "--proof-period", "1s"))
    yield swarm
    swarm.down()


def lose(swarm, tmp_path):
    """The coordinator's machine burns; its sheet lies elsewhere."""
    sheet = tmp_path / "sheet.txt"
    shutil.copy(swarm.directory / "coordinator/swarm-root.txt", sheet)
    swarm.do("kill", "coordinator")
    (swarm.directory / "coordinator").rename(tmp_path / "ashes")
    return sheet


def rebuild(swarm, sheet, *more):
    port = free_port()
    return run([COORDINATORD, "--data", swarm.directory / "coordinator", "rebuild", "--swarm-root", sheet,
                "--from", swarm.cell(0)["address"], "--listen", f"127.0.0.1:{port}", "--advertise",
                f"127.0.0.1:{port}", "--redundancy", "2+2", "--asleep-after", "2s", "--gone-after", "5s",
                "--repair-delay", "0s", "--proof-period", "1s", *more]).stdout.decode()


def ledger(vault):
    line = vault.json("status", expect=(0, 4))[0]
    return line["bytes_used"], line["bytes_given"]


def test_a_coordinator_that_is_down_stops_no_restore_and_no_backup(swarm, tmp_path):
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=40, big=1)
    vault.backup(tree)
    swarm.do("stop", "coordinator")
    (tree / "new.txt").write_text("written while nobody coordinates")
    vault.backup(tree)  # under the grants that were issued ahead
    vault.ctl("check")
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    swarm.do("start", "coordinator")
    wait_for(lambda: coordinator(swarm)["up"] == 6)
    segments = vault.json("status")[0]["segments"]
    vault.backup(tree)  # what was owed to the directory is registered now
    wait_for(lambda: coordinator(swarm)["segments"] >= segments)


def cell(swarm, number):
    return json.loads(run([BUILD / "cell/celld", "--data", swarm.cell_dir(number), "status", "--json"]).stdout)


def test_while_it_is_down_cells_prove_to_each_other_and_who_lost_data_is_found(tmp_path):
    swarm = Swarm(tmp_path / "swarm", 6, "2+2", ("--asleep-after", "2s", "--gone-after", "1h", "--proof-period", "0s",
                                                 "--audit-period", "1s"))
    try:
        wait_for(lambda: coordinator(swarm)["up"] == 6)
        time.sleep(3)  # all have the list with all
        swarm.do("stop", 0)
        shutil.copytree(swarm.cell_dir(0), tmp_path / "image")
        swarm.do("start", 0)
        vault, tree = Vault(tmp_path / "vault", swarm), make_tree(tmp_path / "tree", files=30, big=1)
        vault.backup(tree)
        lost = len(swarm.shard_files(0))
        assert lost > 0 and sum(cell(swarm, i)["proofs"] for i in range(6)) == 0
        swarm.do("stop", "coordinator")
        swarm.do("stop", 0)  # its machine is put back to an old image of its disk
        shutil.rmtree(swarm.cell_dir(0))
        shutil.copytree(tmp_path / "image", swarm.cell_dir(0))
        swarm.do("start", 0)
        assert len(swarm.shard_files(0)) == 0
        # the others ask it, and each other, by the lot of the day
        others = range(1, 6)
        wait_for(lambda: sum(cell(swarm, i)["proofs"] for i in others) > 5 and
                 any("lacks a shard" in (swarm.directory / f"cell-{i}.log").read_text() for i in others))
        swarm.do("start", "coordinator")
        wait_for(lambda: coordinator(swarm)["proofs_passed"] > 0 and coordinator(swarm)["proofs_failed"] > 0)
        assert all(cell(swarm, i)["faults"] == 0 for i in others)
        vault.restore(tmp_path / "out")
        assert differences(tree, restored(tmp_path / "out", tree)) == []
    finally:
        swarm.down()


def test_a_lost_coordinator_is_rebuilt_from_the_cells(swarm, tmp_path):
    owner, other = Vault(tmp_path / "vault", swarm), Vault(tmp_path / "other", swarm)
    tree = make_tree(tmp_path / "tree", files=40, big=1)
    owner.backup(tree)
    other.backup(make_tree(tmp_path / "more", seed=2, files=20, big=1))
    other.ctl("cells", "claim", swarm.cell(1)["id"])
    wait_for(lambda: ledger(other)[1] > 0)
    before, segments = [ledger(v) for v in (owner, other)], coordinator(swarm)["segments"]
    old_invite = swarm.invite()
    sheet = lose(swarm, tmp_path)
    said = rebuild(swarm, sheet)
    assert "6 of 6 cells" in said and f"{segments} segments of 2 accounts" in said
    swarm.do("start", "coordinator")
    assert coordinator(swarm)["segments"] == segments
    wait_for(lambda: coordinator(swarm)["up"] == 6)
    # the ledger comes out the same: what is used at once, what is given when it has been proven
    wait_for(lambda: coordinator(swarm)["unproven"] == 0)
    # (a vault finds the new coordinator in the list of a few cells, which have it moments after they came up)
    wait_for(lambda: [ledger(v) for v in (owner, other)] == before, told=lambda: [ledger(v) for v in (owner, other)])
    # older invites are void
    refused = run([BUILD / "tools/cellctl/cellctl", "--vault", tmp_path / "late", "init", "--invite", old_invite,
                   "--phrase-file", tmp_path / "late.phrase", "--no-passphrase"], expect=1)
    assert b"invite" in refused.stderr or b"reach" in refused.stderr
    # all goes on: backup, restore, a new account, repair, forgetting
    (tree / "after.txt").write_text("after the fire")
    owner.backup(tree)
    owner.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    Vault(tmp_path / "new", swarm).backup(tree)
    swarm.do("kill", 0)
    shutil.rmtree(swarm.cell_dir(0) / "shards")
    wait_for(lambda: coordinator(swarm)["gone"] == 1)
    wait_for(lambda: is_repaired(coordinator(swarm)), told=lambda: coordinator(swarm))
    owner.restore(tmp_path / "again")
    assert differences(tree, restored(tmp_path / "again", tree)) == []
    owner.ctl("forget", "--keep-last", "1", "--prune")


def test_a_cell_that_was_away_is_heard_when_it_comes_back(swarm, tmp_path):
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=30, big=1)
    vault.backup(tree)
    swarm.do("stop", 5)
    said = rebuild(swarm, lose(swarm, tmp_path))
    assert "5 of 6 cells" in said
    swarm.do("start", "coordinator")
    swarm.do("start", 5)  # it knows only the old one, and asks the others
    wait_for(lambda: coordinator(swarm)["ungathered"] == 0 and coordinator(swarm)["up"] == 6)
    vault.ctl("check")


def test_a_coordinator_moves_to_another_place_in_one_command(swarm, tmp_path):
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=30, big=1)
    vault.backup(tree)
    sheet, port = tmp_path / "sheet.txt", free_port()
    old, new = swarm.directory / "coordinator", tmp_path / "new box"
    shutil.copy(old / "swarm-root.txt", sheet)
    rsh = tmp_path / "rsh"  # stands for ssh: HOST COMMAND
    rsh.write_text('#!/bin/sh\n[ "$1" = box ] || exit 9\nexec sh -c "$2"\n')
    rsh.chmod(0o755)
    done = run([COORDINATORD, "--data", old, "move", "--to", f"box:{new}", "--rsh", rsh, "--swarm-root", sheet,
                "--listen", f"127.0.0.1:{port}", "--advertise", f"127.0.0.1:{port}"])  # stops it, too
    assert "cells and devices follow" in " ".join(done.stdout.decode().split())
    assert "moved" in run([COORDINATORD, "--data", old], expect=1).stderr.decode()
    old.rename(tmp_path / "old box")
    new.rename(old)
    swarm.do("start", "coordinator")
    wait_for(lambda: coordinator(swarm)["up"] == 6)
    (tree / "after.txt").write_text("after the move")
    vault.backup(tree)
    assert vault.json("status")[0]["coordinator_up"]
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    assert pathlib.Path(old / "certificate").exists()
