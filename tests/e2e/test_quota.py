"""Give and take, with the real programs: what an account may use, when it is told, when it is refused, and that
what is stored stays readable whatever the ledger says."""
import pathlib
import random

import pytest

from conftest import Swarm, Vault, differences, restored

MIB = 1 << 20


def bytes_at(path, size, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(seed).randbytes(size))


@pytest.fixture(scope="module")
def swarm(tmp_path_factory):
    swarm = Swarm(tmp_path_factory.mktemp("quota") / "swarm", 5, "2+1", ("--starter", "200M"))
    yield swarm
    swarm.down()


@pytest.fixture()
def vault(swarm, tmp_path):
    return Vault(tmp_path / "vault", swarm)


def stored_bytes(swarm):
    return sum(p.stat().st_size for i in swarm.indexes() for p in swarm.shard_files(i))


def status(vault):
    return vault.json("status", expect=(0, 4))[0]


def test_over_quota_is_refused_before_anything_is_sent(swarm, vault, tmp_path):
    source = tmp_path / "source"
    bytes_at(source / "small.bin", 4 * MIB, 1)
    vault.backup(source)
    before = status(vault)
    assert before["bytes_allowed"] == 200 * MIB and before["bytes_given"] == 0
    assert 6 * MIB <= before["bytes_used"] <= 14 * MIB  # 2+1: half as much again, segments are padded
    held = stored_bytes(swarm)
    bytes_at(source / "big.bin", 160 * MIB, 2)  # 240 MiB of shards
    refused = vault.ctl("backup", source, expect=5)
    assert b"over quota" in refused.stderr
    assert stored_bytes(swarm) == held and status(vault)["bytes_used"] == before["bytes_used"]
    # the snapshot that was there restores, and so does a smaller backup after it
    (source / "big.bin").unlink()
    vault.backup(source)
    vault.restore(tmp_path / "out")
    assert not differences(source, restored(tmp_path / "out", source))


def test_tells_early_and_counts_what_is_given(swarm, vault, tmp_path):
    source = tmp_path / "source"
    bytes_at(source / "most.bin", 108 * MIB, 3)  # 162 MiB and what is padded
    assert b"warning" not in vault.ctl("backup", source).stderr
    (source / "more.txt").write_text("a little more")
    assert b"may use are used" in vault.ctl("backup", source).stderr
    # who does not hear the refusal is stopped by the coordinator: no grants, no snapshot, exit 5
    bytes_at(source / "big.bin", 80 * MIB, 4)
    vault.ctl("backup", source, "--accept-risk", expect=5)
    assert status(vault)["bytes_used"] <= 200 * MIB
    vault.restore(tmp_path / "out", "latest", "--include", "*.txt")
    # a cell that holds others' shards gives them to its owner's account
    other = Vault(tmp_path / "other", swarm)
    assert status(other)["bytes_given"] == 0
    other.ctl("cells", "claim", swarm.cell(0)["id"])
    given = status(other)
    assert given["bytes_given"] > 10 * MIB and given["bytes_allowed"] == 200 * MIB + given["bytes_given"]
    assert given["bytes_used"] == 0


def test_restores_work_without_the_coordinators_word(swarm, vault, tmp_path):
    source = tmp_path / "source"
    bytes_at(source / "file.bin", 2 * MIB, 5)
    vault.backup(source)
    swarm.do("stop", "coordinator")
    try:
        out = status(vault)
        assert out["bytes_allowed"] is None and out["bytes_given"] is None and out["bytes_used"] > 0
        vault.restore(tmp_path / "out")
        assert not differences(source, restored(tmp_path / "out", source))
        # and a backup goes on under the grants that are here
        (source / "new.txt").write_text("written while the coordinator was away")
        vault.backup(source)
    finally:
        swarm.do("start", "coordinator")
    assert pathlib.Path(source).exists()
