"""The table of levels on real cells, each a household of its own, from one other household to thirty-two."""
import collections
import itertools
import sqlite3

import pytest

from conftest import Vault, differences, make_tree, restored
from life import wait_for

# with so many other households: k+m of docs/placement.md
TABLE = {1: (1, 0), 2: (1, 1), 3: (1, 2), 6: (2, 4), 7: (4, 3), 8: (4, 4), 12: (8, 4), 24: (16, 8), 32: (16, 8)}
WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 8: "eight", 6: "six", 7: "seven", 12: "twelve"}
QUICKLY = [7, 12, 24]  # one to five: test_small_swarms.py


def segment_of(path):
    return path.name.split(".")[0]


@pytest.mark.parametrize("others", [n if n in QUICKLY else pytest.param(n, marks=pytest.mark.full) for n in TABLE])
def test_every_level_of_the_table_on_real_cells(others, new_swarm, tmp_path):
    """As many cells as there are others, each a household of its own: the level, and what it promises."""
    k, m = TABLE[others]
    swarm = new_swarm(others, "", ("--asleep-after", "2s", "--gone-after", "1h"))
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", files=12, big=1)
    summary = vault.backup(tree)
    assert summary["margin_min"] == m and not summary["below_level"]
    assert summary["cells_used"] == others if others <= k + m else summary["cells_used"] >= k + m
    with sqlite3.connect(f"file:{vault.directory}/index.db?mode=ro", uri=True) as db:
        assert set(db.execute("SELECT DISTINCT k, m FROM segment WHERE state = 2")) == {(k, m)}
    held = [[segment_of(p) for p in swarm.shard_files(i)] for i in swarm.indexes()]
    assert all(len(set(of_cell)) == len(of_cell) for of_cell in held), "two shards of a segment in one household"
    spread = collections.Counter(itertools.chain(*held))
    assert set(spread.values()) == {k + m}
    status = vault.json("status")[-1]
    assert status["margin_min"] == status["margin_target"] == m and status["segments_below_target"] == 0
    assert status["cells"] == status["cells_up"] == others
    words = vault.ctl("status").stdout.decode()
    if m == 0:
        assert "a single copy" in words
    else:
        lost = f"any {WORDS[m]}" if m > 1 else "any one"
        assert f"survives {lost} of the {WORDS.get(others, others)} other household" in words.replace("loss of ", ""), words
    killed = list(range(0, 2 * m, 2)) if 2 * m <= others else list(range(m))
    if killed:
        swarm.do("kill", *killed)  # as many as it promises
    wait_for(lambda: vault.json("status", expect=(0, 4))[-1]["cells_up"] == others - m)
    vault.restore(tmp_path / "out")
    assert differences(tree, restored(tmp_path / "out", tree)) == []
    # one more than that is too much where every household has a shard, and it is said, not guessed
    if killed and others == k + m:
        swarm.do("kill", next(i for i in range(others) if i not in killed))
        failed = vault.ctl("restore", "latest", "--target", tmp_path / "too-few", expect=13)
        assert b"shard" in failed.stderr
