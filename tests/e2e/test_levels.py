"""Too few households for the level: one that was asked for is refused unless the risk is accepted, then said (exit 4),
down to a single copy; one by the table follows what is there."""
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
    refused = vault.ctl("backup", tree, expect=1).stderr
    assert b"3" in refused and b"5" in refused  # there are three, 4+2 needs five
    summary = vault.backup(tree, "--accept-risk", expect=4)
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


def test_a_level_by_the_table_follows_who_is_awake(tmp_path):
    swarm = Swarm(tmp_path / "six", 6, "2+4", ("--asleep-after", "2s"))
    try:
        # nobody asks for a level: neither the swarm nor the account
        vault = Vault(tmp_path / "vault", swarm)
        settings = vault.directory / "settings.ini"
        settings.write_text("\n".join(line for line in settings.read_text().splitlines()
                                      if not line.lstrip("#; ").startswith("swarm-redundancy")) + "\n")
        tree = make_tree(tmp_path / "tree", files=10, big=1)
        assert vault.backup(tree)["margin_min"] == 4
        swarm.do("kill", 0, 1, 2)
        (tree / "more.txt").write_text("three are left")
        summary = vault.backup(tree, expect=4)
        assert summary["below_level"] and summary["margin_min"] == 2
        vault.restore(tmp_path / "out")
        assert differences(tree, restored(tmp_path / "out", tree)) == []
    finally:
        swarm.down()
