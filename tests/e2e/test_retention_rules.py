"""Which snapshots a policy keeps, by the calendar and in which groups."""
import os

import pytest

from conftest import Vault
from test_retention import snapshots, summary

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
    vault.ctl("backup", "/etc/hostname", "--time", "yesterday", expect=2)


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
