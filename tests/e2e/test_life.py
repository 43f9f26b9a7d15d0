"""The life of a swarm on the real programs, with short timers: cells leave, die, reboot."""
import time

from conftest import Vault, differences, restored, run
from life import CELLD, QUICK, moved_bytes, says, small_tree, wait_calm, wait_for


def test_a_cell_that_leaves_is_drained_and_says_when_it_can_go(new_swarm, tmp_path):
    swarm = new_swarm(8, "2+2", QUICK)
    vault = Vault(tmp_path / "vault", swarm)
    tree = small_tree(tmp_path / "tree")
    vault.backup(tree)
    leaver = max(swarm.indexes(), key=lambda i: len(swarm.shard_files(i)))
    assert says(swarm, leaver)["shards"] > 0
    done = run([CELLD, "--data", swarm.cell_dir(leaver), "leave"], timeout=60)
    words = done.stdout.decode()
    assert "leaving since" in words and "can be stopped" in words, words
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
    wait_for(lambda: moved_bytes(swarm, alive) > 0)
    wait_calm(swarm)
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
    wait_calm(swarm)
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
