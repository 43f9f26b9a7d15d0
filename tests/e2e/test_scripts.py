"""What scripts rely on: one JSON object or more for whatever a command did, silence with -q when all went well, what is
not known is null, snapshots by any unique beginning of their IDs, and paths that are not there cost only themselves."""
import getpass

import pytest

from conftest import Swarm, Vault, json_lines, make_tree


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    base = tmp_path_factory.mktemp("scripts")
    swarm = Swarm(base / "swarm", 4, "2+2")
    vault = Vault(base / "vault", swarm)
    tree = make_tree(base / "tree", files=10, big=1)
    vault.backup(tree)
    yield type("Place", (), {"base": base, "swarm": swarm, "vault": vault, "tree": tree})
    swarm.down()


def test_a_path_that_is_not_there_is_listed_and_the_rest_is_backed_up(place):
    missing = place.base / "no-such-folder"
    done = place.vault.ctl("backup", place.tree, missing, "--json", expect=3)
    problem, = json_lines(done.stderr)
    assert problem["message_type"] == "error" and problem["item"] == str(missing)
    newest = place.vault.json("snapshots")[-1]
    assert newest["paths"] == [str(place.tree)]
    assert json_lines(done.stdout)[-1]["snapshot_id"] == newest["id"]


def test_a_snapshot_has_the_name_of_who_made_it_without_an_environment(place):
    place.vault.ctl("backup", place.tree, env={"PATH": "/usr/bin:/bin"})
    assert place.vault.json("snapshots")[-1]["username"] == getpass.getuser()


def test_any_unique_beginning_names_a_snapshot(place):
    ids = [row["id"] for row in place.vault.json("snapshots")]
    wanted = ids[0]
    size = next(n for n in range(1, 56) if sum(one.startswith(wanted[:n]) for one in ids) == 1)
    listed = place.vault.json("ls", wanted[:size])
    assert listed[0]["id"] == wanted
    place.vault.ctl("ls", "", expect=(1, 2))


def test_tags_are_cut_at_commas_and_chosen_alike_everywhere(place):
    made = place.vault.backup(place.tree, "--tag", "red,green", "--tag", "blue")["snapshot_id"]
    ids = lambda *arguments: [row["id"] for row in place.vault.json("snapshots", *arguments)]
    shown, = place.vault.json("snapshots", "latest")
    assert shown["id"] == made and sorted(shown["tags"]) == ["blue", "green", "red"]
    assert ids("--tag", "red,blue") == ids("--tag", "none", "--tag", "green") == [made]
    assert ids("--tag", "red,none") == []
    place.vault.ctl("snapshots", "zzzzzzzz", expect=1)
    found = [row["snapshot"] for row in place.vault.json("find", "nothing", "--tag", "red,blue", "--tag", "none")
             if row["message_type"] == "match"]
    assert found == [made]


def test_bad_usage_is_an_object_too(place):
    for words in (["--bogus", "backup", "--json"], ["no-such-command", "--json"], ["ls", "--json"]):
        done = place.vault.ctl(*words, expect=2)
        error, = json_lines(done.stderr)
        assert error["message_type"] == "exit_error" and error["code"] == 2 and done.stdout == b""


QUIET = [["backup", "{tree}"], ["restore", "latest", "--target", "{base}/quiet"], ["check"], ["repair"],
         ["tag", "latest", "--add", "x"], ["forget", "--keep-last", "99"], ["prune"], ["unlock"],
         ["drill", "--phrase-file", "{phrase}"]]


@pytest.mark.parametrize("arguments", QUIET, ids=[row[0] for row in QUIET])
def test_quiet_says_nothing_when_all_is_well(place, arguments):
    words = [a.format(tree=place.tree, base=place.base, phrase=place.vault.phrase) for a in arguments]
    done = place.vault.ctl(*words, "-q")
    assert done.stdout == b"" and done.stderr == b""


def test_json_says_what_became_of_keys(place):
    one, two, three = (place.base / f"passphrase-{i}" for i in range(3))
    for file in (one, two, three):
        file.write_text(f"{file.name}\n")
    vault = Vault(place.base / "locked")
    vault.ctl("init", "--invite", place.swarm.invite(), "--phrase-file", vault.phrase, "-p", one)
    assert vault.json("key", "add", "-p", one, "--new-passphrase-file", two) == \
        [{"message_type": "key_added", "number": 2}]
    assert vault.json("key", "passwd", "-p", one, "--new-passphrase-file", three) == \
        [{"message_type": "passphrase_changed"}]
    assert vault.json("key", "remove", 2, "-p", three) == [{"message_type": "key_removed", "number": 2}]
    assert len(vault.json("key", "list", "-p", three)) == 1


def test_json_says_what_was_done(place):
    cell = place.vault.json("cells")[0]["id"]
    assert place.vault.json("unlock") == [{"message_type": "unlocked"}]
    assert place.vault.json("cells", "claim", cell) == [{"message_type": "claimed", "id": cell}]
    away, = place.vault.json("cells", "away", cell, "--until", "2d")
    assert away["message_type"] == "away" and away["id"] == cell and away["until"].endswith("Z")
    invite = place.vault.json("device", "invite")[0]["invite"]
    second = Vault(place.base / "second")
    second.ctl("join", "--invite", invite, "--no-passphrase", "--name", "second", "--no-wait")
    assert place.vault.json("device", "admit")[-1] == {"message_type": "summary", "devices_admitted": 1}
    revoked, = place.vault.json("device", "revoke", "second")
    assert revoked["message_type"] == "device_revoked" and revoked["name"] == "second"


def test_who_is_up_is_not_known_without_the_coordinator(place):
    assert place.vault.json("status")[0]["cells_up"] == 4
    place.swarm.do("stop", "coordinator")
    try:
        status, = place.vault.json("status", expect=None)
        assert status["cells_up"] is None and status["coordinator_up"] is False
        assert b"of them up" not in place.vault.ctl("status", expect=None).stdout
    finally:
        place.swarm.do("start", "coordinator")


def test_a_wiped_cell_that_is_started_joins_as_a_new_one(place):
    before = place.swarm.cell(3)
    place.swarm.do("wipe", 3)
    assert list(place.swarm.cell_dir(3).iterdir()) == []
    place.swarm.do("start", 3)
    after = place.swarm.cell(3)
    assert after["state"] == "up" and after["id"] not in (None, before["id"])
    ids = [row["id"] for row in place.vault.json("cells")]
    assert after["id"] in ids


FEW = (0, 4)  # by now one cell of the four is claimed


def test_a_verbose_backup_tells_what_is_new_or_has_changed(place):
    tree = place.base / "verbose"
    tree.mkdir()
    (tree / "stays").write_text("as it is")
    (tree / "grows").write_text("x" * 100)
    first = place.vault.ctl("backup", tree, "-v", expect=FEW).stdout.decode().splitlines()
    assert f"new       {tree}/grows, 100 B" in first and f"new       {tree}/stays, 8 B" in first
    (tree / "grows").write_text("x" * 200)
    (tree / "link").symlink_to("stays")
    told = [f"modified  {tree}/grows, 200 B", f"new       {tree}/link"]
    for arguments in (["--dry-run", "-v"], ["-v"]):
        lines = place.vault.ctl("backup", tree, *arguments, expect=FEW).stdout.decode().splitlines()
        assert sorted(line for line in lines if str(tree) in line) == told
    assert str(tree) not in place.vault.ctl("backup", tree, "-v", expect=FEW).stdout.decode(), "nothing has changed"
    (tree / "grows").write_text("x" * 300)
    assert not [row for row in place.vault.json("backup", tree, "--dry-run", expect=FEW) if row["message_type"] == "verbose_status"]
    row, = [row for row in place.vault.json("backup", tree, "-v", expect=FEW) if row["message_type"] == "verbose_status"]
    assert (row["action"], row["item"], row["data_size"]) == ("modified", f"{tree}/grows", 300)
