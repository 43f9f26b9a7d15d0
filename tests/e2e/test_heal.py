"""cellctl repair and drill: what is lost is made again, and a recovery can be rehearsed at any time."""
import json
import os
import shutil

import pytest

from conftest import Swarm, Vault, differences, make_tree, restored


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    base = tmp_path_factory.mktemp("heal")
    swarm = Swarm(base / "swarm", 9, "4+2")
    yield base, swarm
    swarm.down()


@pytest.fixture(scope="module")
def backed_up(world):
    base, swarm = world
    vault = Vault(base / "vault", swarm)
    tree = make_tree(base / "tree", seed=11, files=60, big=2)
    vault.backup(tree)
    return base, swarm, vault, tree


def summary(lines):
    return next(o for o in lines if o["message_type"] == "summary")


def wipe_and_return(swarm, index):
    """The cell's shards are gone, and it knows: a disk that was replaced."""
    for path in swarm.shard_files(index):
        path.unlink()
    swarm.do("stop", index)
    swarm.do("start", index)


def test_drill_restores_compares_and_records(backed_up):
    """The drill needs neither vault nor index; status shows what came of it."""
    base, swarm, vault, tree = backed_up
    assert next(iter(vault.json("status")))["last_drill"] is None
    result = summary(vault.json("drill", "--phrase-file", vault.phrase))
    assert result["passed"] and result["recorded"]
    assert result["files_compared"] >= 60 and result["files_different"] == 0 and result["files_failed"] == 0
    status = next(iter(vault.json("status")))
    assert status["last_drill"] and status["last_drill_passed"] is True
    assert "passed" in vault.ctl("status").stdout.decode()


def test_drill_leaves_no_device_and_no_scratch(backed_up, tmp_path):
    """A rehearsal changes nothing: no device is added to the account, no file is left, no secret stays."""
    base, swarm, vault, tree = backed_up
    before = [o["id"] for o in vault.json("device", "list") if "id" in o]
    vault.ctl("drill", "--phrase-file", vault.phrase, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert [o["id"] for o in vault.json("device", "list") if "id" in o] == before
    assert list(tmp_path.iterdir()) == []


def test_drill_sample_is_a_part(backed_up):
    base, swarm, vault, tree = backed_up
    whole = summary(vault.json("drill", "--phrase-file", vault.phrase))["files_restored"]
    part = summary(vault.json("drill", "--phrase-file", vault.phrase, "--sample", "20%"))
    assert part["passed"] and part["sample_percent"] == 20
    assert 0 < part["files_restored"] < whole
    for wrong in ("0", "101", "x", "5%%"):
        vault.ctl("drill", "--phrase-file", vault.phrase, "--sample", wrong, expect=2)


def test_drill_notices_other_bytes(backed_up):
    """A file with the size and time of the backup but other bytes (a bad disk here) is named: exit 1."""
    base, swarm, vault, tree = backed_up
    victim = tree / "photo-1.bin"
    st, good = victim.stat(), victim.read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    try:
        victim.write_bytes(bytes(bad))
        os.utime(victim, ns=(st.st_atime_ns, st.st_mtime_ns))
        done = vault.ctl("drill", "--phrase-file", vault.phrase, "--json", expect=1)
        result = summary([json.loads(line) for line in done.stdout.splitlines()])
        assert not result["passed"] and result["files_different"] == 1
        assert b"photo-1.bin" in done.stderr
    finally:
        victim.write_bytes(good)
        os.utime(victim, ns=(st.st_atime_ns, st.st_mtime_ns))


def test_drill_with_coordinator_and_two_cells_dead(backed_up, tmp_path):
    """The drill of the issue: coordinator dead, m cells dead, one address: everything back."""
    base, swarm, vault, tree = backed_up
    swarm.do("kill", "coordinator")
    swarm.do("kill", 2, 5)
    try:
        result = summary(vault.json("drill", "--phrase-file", vault.phrase, "--target", tmp_path / "kept"))
        assert result["passed"]
        assert differences(tree, restored(tmp_path / "kept", tree)) == []
    finally:
        swarm.do("start", "coordinator")
        swarm.do("start", 2, 5)


def test_drill_of_another_account(backed_up, world):
    base, swarm, vault, tree = backed_up
    other = Vault(base / "other", swarm)
    done = vault.ctl("drill", "--phrase-file", other.phrase, expect=12)
    assert b"another account" in done.stderr


def test_drill_on_a_machine_without_a_vault(backed_up, tmp_path):
    base, swarm, vault, tree = backed_up
    bare = Vault(tmp_path / "none", phrase=vault.phrase)
    result = summary(bare.json("drill", "--phrase-file", vault.phrase))
    assert result["passed"] and not result["recorded"]
    assert not (tmp_path / "none").exists()


def test_repair_makes_missing_shards_again(world):
    """Two of nine cells lose their disks: repair stores what is missing, and the margin is whole again."""
    base, swarm = world
    vault = Vault(base / "vault-repair", swarm)
    tree = make_tree(base / "tree-repair", seed=12, files=40, big=2)
    vault.backup(tree)
    assert summary(vault.json("repair"))["shards_missing"] == 0
    for index in (1, 6):
        wipe_and_return(swarm, index)
    result = summary(vault.json("repair", "--read-data", expect=(0, 4)))
    assert result["shards_missing"] > 0
    assert result["shards_stored"] == result["shards_missing"] and result["shards_owed"] == 0
    after = summary(vault.json("check", "--read-data"))
    assert after["shards_missing"] == 0 and after["shards_damaged"] == 0 and after["margin_min"] == 2


def test_repair_reencodes_from_local_files(world, tmp_path):
    """More cells than m lose their disks: what this machine still has is stored again, and restores whole."""
    base, swarm = world
    vault = Vault(base / "vault-files", swarm)
    tree = make_tree(base / "tree-files", seed=13, files=40, big=2)
    gone = base / "gone"
    gone.mkdir()
    (gone / "only-in-the-first.bin").write_bytes(os.urandom(3 << 20))
    vault.backup(tree, gone)
    shutil.rmtree(gone)
    vault.backup(tree)
    for index in (1, 3, 5, 7, 8):
        wipe_and_return(swarm, index)
    vault.ctl("restore", "latest", "--target", tmp_path / "before", expect=13)
    result = summary(vault.json("repair", "--read-data", expect=13))
    assert result["segments_given_up"] > 0 and result["snapshot_id"]
    assert result["chunks_lost"] > 0, "the file that is gone here cannot be stored again"
    vault.restore(tmp_path / "back")
    assert differences(tree, restored(tmp_path / "back", tree)) == []
    again = summary(vault.json("repair", "--read-data", expect=13))
    assert again["shards_owed"] == 0 and again["chunks_lost"] <= result["chunks_lost"]
