"""Which snapshots a policy keeps, by the calendar, and that several devices of an account prune safely side by side."""
import fcntl
import os
import subprocess
import time

import pytest

from conftest import CELLCTL, Vault, differences, restored, run
from household import house, joined  # pylint: disable=unused-import
from test_retention import bytes_on_cells, grow, snapshots, summary, wait_until, write

BERLIN = {**os.environ, "TZ": "Europe/Berlin"}
UTC = {**os.environ, "TZ": "UTC"}

# Moments in UTC.
TIMES = [
    "2023-12-31 23:30:00",  # in Berlin 2024-01-01 00:30: another day, month and year
    "2024-02-28 12:00:00",
    "2024-02-29 12:00:00",  # a leap day
    "2024-03-01 12:00:00",
    "2024-03-31 00:30:00",  # Berlin 01:30; at 02:00 the clock goes to 03:00
    "2024-03-31 01:30:00",  # Berlin 03:30
    "2024-10-27 00:30:00",  # Berlin 02:30, summer time
    "2024-10-27 01:30:00",  # Berlin 02:30 once more
    "2024-12-30 12:00:00",  # Monday of the year 2025's first ISO week
    "2025-01-01 12:00:00",
]


@pytest.fixture(scope="module")
def diary(shared, tmp_path_factory):
    """A vault with a snapshot of each moment, oldest first: their IDs by moment."""
    base = tmp_path_factory.mktemp("diary")
    vault = Vault(base / "vault", shared.swarm)
    (base / "tree").mkdir()
    (base / "tree/file").write_text("dear diary")
    made = {moment: vault.json("backup", base / "tree", "--time", moment, "--host", "box", env=UTC)[-1]["snapshot_id"]
            for moment in TIMES}
    return vault, made


def kept(diary, *rules, env=BERLIN):
    vault, made = diary
    group = summary(vault.json("forget", *rules, "--dry-run", env=env), "forget_group")
    ids = {s["id"] for s in group["keep"]}
    assert ids | {s["id"] for s in group["remove"]} == set(made.values())
    assert {r["snapshot"]["id"] for r in group["reasons"]} == ids and all(r["matches"] for r in group["reasons"])
    return [moment for moment in TIMES if made[moment] in ids]


def test_snapshots_have_the_time_that_was_asked_for(diary):
    vault, made = diary
    rows = {s["id"]: s for s in snapshots(vault)}
    for moment, snapshot in made.items():
        assert rows[snapshot]["time"].startswith(moment.replace(" ", "T"))
    vault.ctl("backup", "/nonexistent", "--time", "yesterday", expect=2)


@pytest.mark.parametrize("rules, moments", [
    (["--keep-last", "2"], TIMES[-2:]),
    (["--keep-last", "unlimited"], TIMES),
    # an hour that the clock goes through twice is two hours; 01:30 and 03:30 in spring are two as well
    (["--keep-hourly", "4"], TIMES[6:]),
    (["--keep-hourly", "6"], TIMES[4:]),
    # the newest of each day; the oldest one of all fills a place that is left
    (["--keep-daily", "4"], [TIMES[5], TIMES[7], TIMES[8], TIMES[9]]),
    (["--keep-daily", "7"], [TIMES[1], TIMES[2], TIMES[3], TIMES[5], TIMES[7], TIMES[8], TIMES[9]]),
    # 30 December and 1 January lie in one ISO week; Wednesday to Friday in February and March as well
    (["--keep-weekly", "3"], [TIMES[5], TIMES[7], TIMES[9]]),
    (["--keep-monthly", "3"], [TIMES[7], TIMES[8], TIMES[9]]),
    (["--keep-monthly", "5"], [TIMES[2], TIMES[5], TIMES[7], TIMES[8], TIMES[9]]),
    (["--keep-yearly", "1"], [TIMES[9]]),
    (["--keep-yearly", "2"], [TIMES[8], TIMES[9]]),
    (["--keep-yearly", "3"], [TIMES[0], TIMES[8], TIMES[9]]),  # in Berlin the first one is of 2024: the oldest
    # back from the newest snapshot, by the calendar
    (["--keep-within", "2d"], TIMES[9:]),  # what lies exactly so far back is outside
    (["--keep-within", "2d1h"], TIMES[8:]),
    (["--keep-within", "3m"], TIMES[6:]),
    (["--keep-within", "10m1d"], TIMES[3:]),
    (["--keep-within-monthly", "1y"], [TIMES[2], TIMES[5], TIMES[7], TIMES[8], TIMES[9]]),
    (["--keep-last", "1", "--keep-yearly", "2"], TIMES[8:]),
])
def test_periods_are_those_of_the_calendar(diary, rules, moments):
    assert kept(diary, *rules) == moments


def test_groups_are_by_host_and_paths_unless_it_is_said_otherwise(shared, tmp_path):
    vault = Vault(tmp_path / "vault", shared.swarm)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    made = [vault.backup(tmp_path / path, "--host", host)["snapshot_id"]
            for host, path in (("a", "one"), ("a", "one"), ("a", "two"), ("b", "one"))]

    def groups(*options):
        lines = vault.json("forget", "--keep-last", "1", "--dry-run", *options)
        return [g for g in lines if g["message_type"] == "forget_group"], summary(lines)["snapshots_removed"]

    by_default, removed = groups()
    assert removed == 1 and sorted((g["host"], g["paths"]) for g in by_default) == [
        ("a", [str(tmp_path / "one")]), ("a", [str(tmp_path / "two")]), ("b", [str(tmp_path / "one")])]
    by_host, removed = groups("--group-by", "host")
    assert removed == 2 and {g["host"] for g in by_host} == {"a", "b"} and by_host[0]["paths"] is None
    assert groups("--group-by", "")[1] == 3
    assert groups("--host", "b")[1] == 0
    assert groups("--path", str(tmp_path / "two"))[1] == 0
    assert [s["id"] for s in snapshots(vault)] == made


def test_a_prune_waits_for_the_other_devices_and_never_costs_them_a_chunk(new_swarm, tmp_path):
    swarm = new_swarm(6)
    first = Vault(tmp_path / "first", swarm, options=("--hold", "1s", "--name", "first"))
    tree, other = tmp_path / "tree", tmp_path / "other"
    grow(tree, 1)
    run(["cp", "-a", tree, tmp_path / "copy"])
    old = first.backup(tree)["snapshot_id"]
    grow(tree, 2)
    first.backup(tree)
    second = joined(first, tmp_path / "second", "second")
    other.mkdir()
    write(other / "own", 77, 1 << 20)
    second.backup(other)
    before = bytes_on_cells(swarm)
    first.ctl("forget", old)
    waiting = summary(first.json("prune"), "prune_summary")
    assert waiting["segments_condemned"] > 0 and waiting["segments_deleted"] == 0
    assert waiting["devices_waited_for"] == 1 and waiting["segments_waiting"] >= waiting["segments_condemned"]

    # the second device backs up what only the forgotten snapshot had: it knows that it is condemned
    run(["cp", "-a", tmp_path / "copy", other / "again"])
    again = second.backup(other)
    assert again["data_blobs"] > 0
    done = summary(first.json("prune"), "prune_summary")
    assert done["segments_deleted"] >= waiting["segments_condemned"]
    assert done["segments_waiting"] == done["segments_condemned"], "only what is new waits"
    time.sleep(2)
    second.restore(tmp_path / "out", again["snapshot_id"])
    assert differences(other, restored(tmp_path / "out", other)) == []
    first.restore(tmp_path / "out-first", again["snapshot_id"])
    assert differences(other, restored(tmp_path / "out-first", other)) == []
    assert bytes_on_cells(swarm) > 0 < before

    # one that makes no backups is not waited for when it is excluded by name
    third = joined(first, tmp_path / "third", "third")
    assert third.directory.exists()
    grow(tree, 3)
    first.backup(tree)
    first.ctl("forget", "--keep-last", "1", "--path", tree)
    assert summary(first.json("prune"), "prune_summary")["devices_waited_for"] == 2
    second.backup(other)
    assert summary(first.json("prune"), "prune_summary")["segments_deleted"] == 0
    last = summary(first.json("prune", "--exclude-device", "third"), "prune_summary")
    assert last["segments_deleted"] > 0 and last["devices_waited_for"] <= 1
    first.restore(tmp_path / "out-last")
    assert differences(tree, restored(tmp_path / "out-last", tree)) == []


def test_a_device_without_the_right_forgets_nothing(new_swarm, tmp_path):
    swarm = new_swarm(6)
    first = Vault(tmp_path / "first", swarm, options=("--name", "first"))
    tree = tmp_path / "tree"
    grow(tree, 1)
    made = first.backup(tree)["snapshot_id"]
    second = joined(first, tmp_path / "second", "second")  # put and read
    for command in (["forget", made], ["prune"], ["tag", "--add", "x", made]):
        assert b"may not" in second.ctl(*command, expect=1).stderr
    assert [s["id"] for s in snapshots(second)] == [made]


def test_a_prune_that_is_killed_at_any_moment_is_ended_by_the_next(new_swarm, tmp_path):
    swarm = new_swarm(6)
    vault = Vault(tmp_path / "vault", swarm, options=("--hold", "1s"))
    tree = tmp_path / "tree"
    kept = []
    for number in range(1, 7):
        grow(tree, number)
        kept.append(vault.backup(tree)["snapshot_id"])
    run(["cp", "-a", tree, tmp_path / "copy"])
    before = bytes_on_cells(swarm)
    killed = 0
    for number, delay in enumerate((0.05, 0.1, 0.15, 0.2, 0.3)):
        running = subprocess.Popen([str(a) for a in (CELLCTL, "--vault", vault.directory, "forget", kept[number],
                                                     "--prune")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        time.sleep(delay)
        killed += running.poll() is None
        running.kill()
        running.communicate()
        assert kept[-1] in {s["id"] for s in snapshots(vault)}
    assert killed > 0
    vault.ctl("forget", "--keep-last", "1")
    assert summary(vault.json("prune"), "prune_summary")["orders_waiting"] == 0
    wait_until("space is freed", lambda: bytes_on_cells(swarm) < before - 4 * (1 << 20))
    vault.restore(tmp_path / "out")
    assert differences(tmp_path / "copy", restored(tmp_path / "out", tree)) == []
    vault.ctl("check", "--read-data")
    fresh = Vault(tmp_path / "fresh", phrase=vault.phrase)
    fresh.ctl("recover", "--phrase-file", vault.phrase, "--no-passphrase")
    assert [s["id"] for s in snapshots(fresh)] == kept[-1:]


def test_without_a_vault_and_with_a_locked_one(tmp_path, shared):
    nobody = Vault(tmp_path / "nothing")
    for command in (["forget", "--keep-last", "1"], ["prune"], ["tag", "--add", "x"], ["undelete"], ["hold"]):
        assert nobody.ctl(*command, expect=10).stderr
    vault = Vault(tmp_path / "vault", shared.swarm)
    with open(vault.directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["forget", "--keep-last", "1"], ["prune"], ["tag", "--add", "x"], ["hold", "60d"]):
            assert vault.ctl(*command, expect=11).stderr
