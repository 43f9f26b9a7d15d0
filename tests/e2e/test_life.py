"""The life of a swarm on the real programs, with short timers: cells leave, die, reboot, lose their disks."""
import os
import signal
import subprocess
import time

import pytest

from conftest import BUILD, Vault, differences, json_lines, make_tree, restored, run

CELLD, COORDINATORD = BUILD / "cell/celld", BUILD / "coordinator/coordinatord"
# asleep after 2 s, gone after 6: heartbeats come every 500 ms, the coordinator looks as often
QUICK = ("--asleep-after", "2s", "--gone-after", "6s", "--repair-delay", "0s", "--ticket-lease", "5s",
         "--repair-threshold", "100", "--repair-rate", "1G")


def says(swarm, which="coordinator"):
    """What a daemon says of itself."""
    name = which if which == "coordinator" else f"cell-{which}"
    program = COORDINATORD if which == "coordinator" else CELLD
    return json_lines(run([program, "--data", swarm.directory / name, "status", "--json"]).stdout)[0]


def wait_for(what, seconds=40, every=0.2):
    """Until `what()` is true; the last thing that it gave is in the failure."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, f"still {got!r} after {seconds} s"
        time.sleep(every)


def moved_bytes(swarm, cells):
    """Bytes that cells have moved for repairs, of those that run."""
    return sum(says(swarm, i)["repair_bytes"] for i in cells)


def small_tree(path, seed=5):
    return make_tree(path, seed=seed, files=30, big=1)


def calm(swarm):
    """Nothing to be repaired, and the directory was gone through."""
    state = says(swarm)
    return state["repairs_ready"] + state["repairs_under_way"] + state["repairs_waiting"] == 0


def test_a_cell_that_leaves_is_drained_and_says_when_it_can_go(new_swarm, tmp_path):
    swarm = new_swarm(8, "2+2", QUICK)
    vault = Vault(tmp_path / "vault", swarm)
    tree = small_tree(tmp_path / "tree")
    vault.backup(tree)
    leaver = max(swarm.indexes(), key=lambda i: len(swarm.shard_files(i)))
    assert says(swarm, leaver)["shards"] > 0
    done = run([CELLD, "--data", swarm.cell_dir(leaver), "leave"], timeout=60)
    words = done.stdout.decode()
    assert "shards to go" in words and "can be stopped" in words, words
    state = says(swarm, leaver)
    assert state["leaving"] and state["drained"] and state["shards_left"] == 0
    wait_for(lambda: says(swarm, leaver)["shards"] == 0)  # what has moved was dropped here
    # it keeps the wish over a restart, gets nothing new, and is not needed any more
    swarm.do("stop", leaver)
    swarm.do("start", leaver)
    wait_for(lambda: says(swarm, leaver)["drained"])
    swarm.do("wipe", leaver)
    vault.ctl("check", "--read-data", expect=(0, 4))
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []


def test_leaving_is_taken_back(new_swarm):
    swarm = new_swarm(2, "1+1", QUICK)
    run([CELLD, "--data", swarm.cell_dir(0), "leave", "--no-wait"])
    wait_for(lambda: says(swarm)["leaving"] == 1)
    run([CELLD, "--data", swarm.cell_dir(0), "leave", "--stay"])
    wait_for(lambda: says(swarm)["leaving"] == 0)
    assert not says(swarm, 0)["leaving"]


def test_a_killed_cell_is_gone_and_its_shards_are_made_elsewhere(new_swarm, tmp_path):
    swarm = new_swarm(8, "2+2", QUICK)
    vault = Vault(tmp_path / "vault", swarm)
    tree = small_tree(tmp_path / "tree")
    vault.backup(tree)
    dead = max(swarm.indexes(), key=lambda i: len(swarm.shard_files(i)))
    alive = [i for i in swarm.indexes() if i != dead]
    swarm.do("kill", dead)
    wait_for(lambda: says(swarm)["gone"] == 1)
    wait_for(lambda: moved_bytes(swarm, alive) > 0 and calm(swarm))
    # who comes back after all drops what the others have now, and nothing stays twice
    swarm.do("start", dead)
    wait_for(lambda: says(swarm)["up"] == 8 and says(swarm, dead)["shards"] == 0)
    # two more may die now, which would have been one too many before
    for victim in alive[:2]:
        swarm.do("kill", victim)
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []


def test_the_owners_device_repairs_first_when_it_runs(new_swarm, tmp_path):
    swarm = new_swarm(8, "2+2", (*QUICK[:4], "--repair-delay", "1h", *QUICK[6:]))
    vault = Vault(tmp_path / "vault", swarm)
    tree = small_tree(tmp_path / "tree")
    vault.backup(tree)
    dead = max(swarm.indexes(), key=lambda i: len(swarm.shard_files(i)))
    alive = [i for i in swarm.indexes() if i != dead]
    swarm.do("kill", dead)
    waiting = wait_for(lambda: says(swarm)["gone"] == 1 and says(swarm)["repairs_ready"])
    time.sleep(3)
    assert says(swarm)["repairs_ready"] == waiting and moved_bytes(swarm, alive) == 0
    summary = vault.backup(tree)
    assert summary["shards_repaired"] == waiting and summary["debts"] == 0
    wait_for(lambda: calm(swarm))
    assert moved_bytes(swarm, alive) == 0
    assert vault.json("status")[-1]["margin_min"] == 2
    for victim in alive[:2]:
        swarm.do("kill", victim)
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []


def test_a_reboot_of_half_the_swarm_repairs_nothing(new_swarm, tmp_path):
    swarm = new_swarm(8, "2+2", (*QUICK[:2], "--gone-after", "1h", *QUICK[4:]))
    vault = Vault(tmp_path / "vault", swarm)
    tree = small_tree(tmp_path / "tree")
    vault.backup(tree)
    half = swarm.indexes()[::2]
    swarm.do("kill", *half)
    wait_for(lambda: says(swarm)["asleep"] == len(half))
    time.sleep(2)
    swarm.do("start", *half)
    wait_for(lambda: says(swarm)["up"] == 8)
    time.sleep(2)
    assert moved_bytes(swarm, swarm.indexes()) == 0
    state = says(swarm)
    assert state["repairs_ready"] == state["repairs_done"] == 0
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []


def test_a_disk_that_is_not_mounted_is_sleep_and_no_loss(new_swarm, tmp_path):
    swarm = new_swarm(6, "2+2", (*QUICK[:2], "--gone-after", "1h", *QUICK[4:]))
    vault = Vault(tmp_path / "vault", swarm)
    tree = small_tree(tmp_path / "tree")
    vault.backup(tree)
    cell = max(swarm.indexes(), key=lambda i: len(swarm.shard_files(i)))
    shards, away = swarm.cell_dir(cell) / "shards", tmp_path / "the-other-disk"
    swarm.do("stop", cell)
    shards.rename(away)
    shards.mkdir()  # the empty mount point
    done = run([CELLD, "--data", swarm.cell_dir(cell)], expect=1)
    assert "mounted" in done.stderr.decode()
    wait_for(lambda: says(swarm)["asleep"] == 1)
    assert says(swarm)["repairs_ready"] == 0
    shards.rmdir()
    away.rename(shards)
    swarm.do("start", cell)
    wait_for(lambda: says(swarm)["up"] == 6)
    state = says(swarm, cell)
    assert state["shards_damaged"] == 0 and state["faults"] == 0
    assert moved_bytes(swarm, swarm.indexes()) == 0


def test_a_disk_that_goes_away_under_a_running_cell_is_no_loss(new_swarm, tmp_path):
    swarm = new_swarm(6, "2+2", (*QUICK[:2], "--gone-after", "1h", *QUICK[4:], "--proof-period", "500ms",
                                 "--scrub-period", "2s"))
    vault = Vault(tmp_path / "vault", swarm)
    tree = small_tree(tmp_path / "tree")
    vault.backup(tree)
    cell = max(swarm.indexes(), key=lambda i: len(swarm.shard_files(i)))
    shards, away = swarm.cell_dir(cell) / "shards", tmp_path / "the-other-disk"
    shards.rename(away)
    shards.mkdir()
    wait_for(lambda: says(swarm)["asleep"] == 1)
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    shards.rmdir()
    away.rename(shards)
    wait_for(lambda: says(swarm)["up"] == 6)
    proofs = says(swarm)["proofs_passed"]
    wait_for(lambda: says(swarm)["proofs_passed"] > proofs + 10)
    state = says(swarm)
    assert state["proofs_failed"] == 0 and state["repairs_done"] == 0
    assert says(swarm, cell)["shards_damaged"] == 0 and says(swarm, cell)["faults"] == 0


def test_a_cell_that_lost_its_shards_is_told_and_gets_no_new_ones(new_swarm, tmp_path):
    swarm = new_swarm(8, "2+2", (*QUICK, "--proof-period", "1s"))
    vault = Vault(tmp_path / "vault", swarm)
    tree = small_tree(tmp_path / "tree")
    vault.backup(tree)
    loser = max(swarm.indexes(), key=lambda i: len(swarm.shard_files(i)))
    swarm.do("stop", loser)
    for file in swarm.shard_files(loser):
        file.write_bytes(b"\0" * file.stat().st_size)
    swarm.do("start", loser)
    told = wait_for(lambda: [s for s in [says(swarm, loser)] if s["faults"] > 0 or s["shards_damaged"] > 0])
    assert told
    wait_for(lambda: says(swarm, loser)["trust"] < 500)
    assert "are missing or wrong" in (swarm.directory / f"cell-{loser}.log").read_text()
    wait_for(lambda: says(swarm)["untrusted"] == 1 and calm(swarm))
    before = len(swarm.shard_files(loser))
    second = small_tree(tmp_path / "second", seed=6)
    vault.backup(second)
    assert len(swarm.shard_files(loser)) <= before
    vault.restore(tmp_path / "out")
    assert differences(second, restored(tmp_path / "out", second)) == []


def test_the_scrub_finds_rot_and_says_when_it_was_through(new_swarm, tmp_path):
    swarm = new_swarm(6, "2+2", (*QUICK, "--scrub-period", "2s"))
    vault = Vault(tmp_path / "vault", swarm)
    vault.backup(small_tree(tmp_path / "tree"))
    cell = max(swarm.indexes(), key=lambda i: len(swarm.shard_files(i)))
    file = swarm.shard_files(cell)[0]
    with open(file, "r+b") as out:
        out.seek(file.stat().st_size - 100)
        out.write(b"rot")
    wait_for(lambda: says(swarm, cell)["scrub_last"])
    wait_for(lambda: not file.exists() or file.read_bytes()[-100:-97] != b"rot")
    wait_for(lambda: calm(swarm))
    status = run([swarm_tool(), "status", swarm.directory]).stdout.decode()
    assert "scrub: last 20" in status and "next 20" in status


def swarm_tool():
    return BUILD.parent / "tools/swarm" if (BUILD.parent / "tools/swarm").exists() else "tools/swarm"


def test_timers_are_read_again_on_sighup(new_swarm):
    swarm = new_swarm(2, "1+1", ("--asleep-after", "1h", "--gone-after", "2h"))
    swarm.do("stop", "coordinator")
    swarm.do("start", "coordinator")  # the first start's flags, which would win, are in the file now
    settings = swarm.directory / "coordinator/settings.ini"
    pid = int((swarm.directory / "coordinator.pid").read_text())
    swarm.do("kill", 1)
    time.sleep(2)
    assert says(swarm)["asleep"] == 0
    text = settings.read_text().splitlines()
    settings.write_text("\n".join("asleep-after = 1s" if line.startswith("asleep-after") else line for line in text))
    os.kill(pid, signal.SIGHUP)
    wait_for(lambda: says(swarm)["asleep"] >= 1)


def test_subcommands_say_when_nothing_runs(new_swarm):
    swarm = new_swarm(1, "1+0")
    swarm.do("stop", 0)
    done = subprocess.run([CELLD, "--data", swarm.cell_dir(0), "leave"], capture_output=True, check=False)
    assert done.returncode == 1 and b"start it first" in done.stderr


if __name__ == "__main__":
    pytest.main([__file__])
