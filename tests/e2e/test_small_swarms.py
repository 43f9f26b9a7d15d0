"""Two to six boxes, each of an owner who backs up to the others: nothing waits for itself."""
import subprocess

import pytest

from conftest import Vault, differences, make_tree, restored, run
from life import CELLD, COORDINATORD, QUICK, says, wait_for

# with so many others: k+m of docs/placement.md
LEVELS = {1: (1, 0), 2: (1, 1), 3: (1, 2), 4: (2, 2), 5: (2, 3)}


def another_cell(swarm, folder):
    """A box more, which belongs to nobody yet; its process."""
    invite = run([COORDINATORD, "--data", swarm.directory / "coordinator", "invite", "--cell"]).stdout.decode().strip()
    process = subprocess.Popen([CELLD, "--data", folder, "--invite", invite, "--listen", "127.0.0.1:0", "--repair-rate",
                                "1G"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert b"@" in process.stdout.readline()
    return process


@pytest.mark.parametrize("boxes", [2, 3, 4, 5, 6])
def test_every_owner_is_backed_up_by_the_others(boxes, new_swarm, tmp_path):
    swarm = new_swarm(boxes, "", (*QUICK[:2], "--gone-after", "1h", *QUICK[4:], "--proof-period", "500ms"))
    k, m = LEVELS[boxes - 1]
    vaults, trees = [], []
    for i in range(boxes):
        vault = Vault(tmp_path / f"vault-{i}", swarm)
        vault.ctl("cells", "claim", swarm.cell(i)["id"])
        vaults.append(vault)
        trees.append(make_tree(tmp_path / f"tree-{i}", seed=i, files=8, big=1))
    for vault, tree in zip(vaults, trees):
        summary = vault.backup(tree)
        assert summary["cells_used"] == k + m and summary["margin_min"] == m
    for i in range(boxes):
        assert swarm.shard_files(i), f"box {i} keeps something for the others"
    # proofs go on, and cost nobody anything
    wait_for(lambda: says(swarm)["proofs_passed"] > 0)
    # one leaves: it waits for a new box, nobody else does, and then it can go
    done = run([CELLD, "--data", swarm.cell_dir(0), "leave", "--no-wait"])
    assert b"notice until" in done.stdout
    wait_for(lambda: says(swarm)["repairs_waiting"] > 0)
    vaults[-1].ctl("backup", trees[0], expect=1 if boxes == 2 else 0)  # of two, nobody else is left
    process = another_cell(swarm, tmp_path / "newcomer")
    try:
        wait_for(lambda: says(swarm, 0)["drained"] and says(swarm, 0)["shards"] == 0)
        swarm.do("kill", 0)
        for i in (0, boxes - 1):
            vaults[i].restore(tmp_path / f"out-{i}", "latest", expect=0)
        assert differences(trees[0], restored(tmp_path / "out-0", trees[0])) == []
    finally:
        process.terminate()
        process.wait()
    state = says(swarm)
    assert state["untrusted"] == 0 and state["proofs_failed"] == 0


def test_old_segments_are_coded_anew_when_the_swarm_has_grown(new_swarm, tmp_path):
    swarm = new_swarm(3, "", QUICK)
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=20, big=1)
    assert vault.backup(tree)["margin_min"] == 2  # 1+2
    newcomers = [another_cell(swarm, tmp_path / f"newcomer-{i}") for i in range(3)]
    try:
        wait_for(lambda: says(swarm)["up"] == 6)
        pruned = [o for o in vault.json("prune") if o["message_type"] == "prune_summary"][0]
        assert pruned["segments_reencoded"] > 0
        wait_for(lambda: vault.json("status", expect=(0, 4))[-1]["margin_min"] == 4, seconds=20)  # 2+4
        assert [o for o in vault.json("prune") if o["message_type"] == "prune_summary"][0]["segments_reencoded"] == 0
        swarm.do("kill", 0, 1, 2)  # all that had it before
        vault.restore(tmp_path / "out")
        assert differences(tree, restored(tmp_path / "out", tree)) == []
    finally:
        for process in newcomers:
            process.terminate()
            process.wait()


def test_nothing_is_safe_on_a_cell_of_ones_own(new_swarm, tmp_path):
    """A friend's only cell becomes one's own: status says that nothing is safe, by words and exit code, and what to do."""
    swarm = new_swarm(1, "")
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=5, big=1)
    vault.ctl("backup", tree, expect=(0, 4))
    assert b"nothing is safe" not in vault.ctl("status", expect=(0, 4)).stdout
    vault.ctl("cells", "claim", vault.json("cells")[0]["id"])
    assert b"nothing is safe" in vault.ctl("status", expect=4).stdout
    assert b"coordinatord invite --cell" in vault.ctl("backup", tree, expect=1).stderr
    told = vault.ctl("restore", "latest", "--target", tmp_path / "out", "-v").stderr
    assert b"warning" not in told
