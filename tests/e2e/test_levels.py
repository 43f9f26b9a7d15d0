"""The level that was chosen is broken: said (exit 4), not refused; refused only where not one copy can be had."""
import pytest

from conftest import Swarm, Vault, differences, make_tree, restored


@pytest.fixture()
def swarm(tmp_path):
    swarm = Swarm(tmp_path / "swarm", 3, "4+2")
    yield swarm
    swarm.down()


def test_too_few_households_lower_the_level_and_say_so(swarm, tmp_path):
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=20, big=1)
    summary = vault.backup(tree, expect=4)
    assert summary["below_level"] and summary["margin_min"] == 2  # 1+2 on three cells
    status = vault.json("status", expect=(0, 4))[0]
    assert status["margin_target"] == 2 and status["margin_min"] == 2
    swarm.do("kill", 0, 1)  # any two of the three
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []


def test_without_any_other_household_it_is_refused(swarm, tmp_path):
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=5, big=1)
    for index in swarm.indexes():
        vault.ctl("cells", "claim", swarm.cell(index)["id"])
    refused = vault.ctl("backup", tree, expect=(1, 13))
    assert b"household" in refused.stderr
    assert all(not swarm.shard_files(i) for i in swarm.indexes())
