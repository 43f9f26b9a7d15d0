"""Disks in the life of a swarm: away, emptied, rotten; and settings and questions to running daemons."""
import os
import shutil
import signal
import subprocess
import time

from conftest import SWARM, Vault, differences, restored, run
from life import CELLD, QUICK, moved_bytes, says, small_tree, wait_calm, wait_for


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
    # the auditors come before the repair: what was made elsewhere is not asked for here any more
    swarm = new_swarm(8, "2+2", (*QUICK, "--proof-period", "300ms", "--repair-delay", "15s"))
    vault = Vault(tmp_path / "vault", swarm)
    tree = small_tree(tmp_path / "tree")
    vault.backup(tree)
    for number in range(10):  # each shard that is found lost takes a part of the trust
        (tree / f"more-{number}").write_bytes(os.urandom(20_000))
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
    wait_for(lambda: says(swarm)["untrusted"] == 1)
    wait_calm(swarm, 90)  # two dozen shards, found one by one as the proofs' draw falls on them
    before = len(swarm.shard_files(loser))
    second = small_tree(tmp_path / "second", seed=6)
    vault.backup(second)
    assert len(swarm.shard_files(loser)) <= before
    vault.restore(tmp_path / "out")
    assert differences(second, restored(tmp_path / "out", second)) == []


def test_an_emptied_cell_is_found_out_and_its_shards_are_made_elsewhere(new_swarm, tmp_path):
    swarm = new_swarm(8, "2+2", (*QUICK, "--proof-period", "1s"))
    vault = Vault(tmp_path / "vault", swarm)
    tree = small_tree(tmp_path / "tree")
    vault.backup(tree)
    cell = max(swarm.indexes(), key=lambda i: len(swarm.shard_files(i)))
    folder = swarm.cell_dir(cell)
    swarm.do("stop", cell)
    shutil.rmtree(folder / "shards")
    for file in folder.glob("catalogue.db*"):
        file.unlink()
    # it keeps its name and knows of nothing; without the owner's word it does not even start
    assert b"mounted" in run([CELLD, "--data", folder], expect=1).stderr
    with open(swarm.directory / "new-disk.log", "wb") as log:
        process = subprocess.Popen([CELLD, "--data", folder, "--new-disk"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=log)
    try:
        assert b"@" in process.stdout.readline()
        wait_for(lambda: says(swarm, cell)["faults"] > 0)
        assert says(swarm, cell)["trust"] < 500
        wait_for(lambda: says(swarm)["untrusted"] == 1)
        wait_calm(swarm)
        assert "are missing or wrong" in (swarm.directory / "new-disk.log").read_text()
        others = [i for i in swarm.indexes() if i != cell]
        wait_for(lambda: len({f.name for i in others for f in swarm.shard_files(i)}) >= 4)
    finally:
        process.terminate()
        process.wait()
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []


def test_what_the_owner_finds_damaged_is_made_anew_and_is_there_once(new_swarm, tmp_path):
    swarm = new_swarm(8, "2+2", (*QUICK[:4], "--repair-delay", "1h", *QUICK[6:]))
    vault = Vault(tmp_path / "vault", swarm)
    tree = small_tree(tmp_path / "tree")
    vault.backup(tree)
    before = sum(len(swarm.shard_files(i)) for i in swarm.indexes())
    cell = max(swarm.indexes(), key=lambda i: len(swarm.shard_files(i)))
    file = swarm.shard_files(cell)[0]
    with open(file, "r+b") as out:
        out.seek(file.stat().st_size - 100)
        out.write(b"rot")
    vault.ctl("check", "--read-data", expect=4)
    vault.ctl("repair", "--read-data", expect=(0, 4))
    vault.ctl("check", "--read-data")
    wait_for(lambda: says(swarm, cell)["shards_damaged"] == 0)
    wait_for(lambda: not list((swarm.cell_dir(cell) / "quarantine").iterdir()))
    def names():
        return [f.name for i in swarm.indexes() for f in swarm.shard_files(i)]

    wait_for(lambda: len(names()) == len(set(names())))  # the old holder's hold of a second is over
    assert len(names()) >= before


def test_an_announced_absence_is_sleep(new_swarm, tmp_path):
    swarm = new_swarm(5, "2+2", QUICK)
    vault = Vault(tmp_path / "vault", swarm)
    vault.ctl("cells", "claim", swarm.cell(4)["id"])
    vault.backup(small_tree(tmp_path / "tree"))
    vault.ctl("cells", "away", swarm.cell(4)["id"], "--until", "1h")
    vault.ctl("cells", "away", swarm.cell(0)["id"], "--until", "1h", expect=1)  # somebody else's
    swarm.do("kill", 4)
    swarm.do("kill", 0)
    wait_for(lambda: says(swarm)["gone"] == 1)
    time.sleep(3)
    state = says(swarm)
    assert (state["gone"], state["asleep"]) == (1, 1)


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
    wait_calm(swarm)
    status = run([SWARM, "status", swarm.directory]).stdout.decode()
    assert "scrub: last 20" in status and "next 20" in status


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
