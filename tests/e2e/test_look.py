"""`cellctl ls`, `find` and `stats`: restic's lines, fields and counts."""
import os
import re
import stat

import pytest

from conftest import make_tree


@pytest.fixture(scope="module")
def looked(shared):
    """A tree with one thing of each kind, backed up twice; its second snapshot has one file more."""
    tree = make_tree(shared.base / "looked", seed=51, files=14, big=1)
    os.mkfifo(tree / "fifo")
    os.chmod(tree / "docs/d1", 0o3755)
    (tree / "docs/Upper.TXT").write_text("upper")
    os.utime(tree / "docs/Upper.TXT", (1_000_000_000, 1_700_000_000))
    first = shared.vault.backup(tree, "--tag", "looked", "--host", "looker")["snapshot_id"]
    (tree / "docs/d1/note-second.txt").write_text("second")
    second = shared.vault.backup(tree, "--tag", "looked", "--host", "looker")["snapshot_id"]
    return type("Looked", (), {"vault": shared.vault, "tree": tree, "first": first, "second": second})


def lines(done):
    return done.stdout.decode().splitlines()


def test_ls_lists_paths_below_a_heading(looked):
    out = lines(looked.vault.ctl("ls", looked.first))
    assert out[0].startswith(f"snapshot {looked.first[:10]} of [{looked.tree}] filtered by [] at ")
    everything = {str(p) for p in looked.tree.rglob("*")} - {str(looked.tree / "docs/d1/note-second.txt")}
    shown = {line for line in out[1:] if line.startswith(f"{looked.tree}/")}
    assert len(shown) == len(everything)
    assert {p for p in everything if p.isprintable()} <= shown
    assert f"{looked.tree}/new\\x0aline and 'quotes'" in shown and f"{looked.tree}/name-\\xff\\xfe-not-utf8" in shown
    quiet = lines(looked.vault.ctl("ls", "-q", looked.first))
    assert quiet == out[1:]


def test_ls_of_a_path_shows_what_stands_in_it(looked):
    docs = looked.tree / "docs"
    flat = lines(looked.vault.ctl("ls", "-q", looked.second, docs))
    assert set(flat) == {str(docs)} | {str(p) for p in docs.iterdir()}
    deep = lines(looked.vault.ctl("ls", "-q", "--recursive", looked.second, f"{docs}/"))
    assert set(deep) == {str(docs)} | {str(p) for p in docs.rglob("*")}
    assert lines(looked.vault.ctl("ls", "-q", looked.second, docs / "Upper.TXT")) == [str(docs / "Upper.TXT")]
    assert b"there is no" in looked.vault.ctl("ls", looked.second, "/not/there", expect=1).stderr


def test_ls_long_has_modes_owners_and_sizes(looked):
    out = lines(looked.vault.ctl("ls", "-lq", "--recursive", looked.second, looked.tree))
    rows = {line[line.index(str(looked.tree)):]: line for line in out}
    assert re.match(r"dgtrwxr-xr-x +0 +0 +0  20", rows[str(looked.tree / "docs/d1")])
    assert rows[str(looked.tree / "fifo")].startswith("prw")
    assert re.match(r"-rw-r--r-- +0 +0 +5  2023-11-14 ", rows[str(looked.tree / "docs/Upper.TXT")])
    assert rows[f"{looked.tree}/dangling -> missing/target"].startswith("Lrwxrwxrwx  1234  4321 ") or os.getuid()


def test_ls_json_is_a_snapshot_and_its_nodes(looked):
    rows = looked.vault.json("ls", looked.second)
    assert rows[0]["message_type"] == rows[0]["struct_type"] == "snapshot"
    assert rows[0]["id"] == looked.second and rows[0]["hostname"] == "looker" and rows[0]["tags"] == ["looked"]
    assert all(row["message_type"] == row["struct_type"] == "node" for row in rows[1:])
    nodes = {row["path"]: row for row in rows[1:]}
    upper = nodes[str(looked.tree / "docs/Upper.TXT")]
    there = (looked.tree / "docs/Upper.TXT").stat()
    assert (upper["name"], upper["type"], upper["size"], upper["mode"]) == ("Upper.TXT", "file", 5, 0o644)
    assert (upper["permissions"], upper["inode"], upper["mtime"][:19]) == ("-rw-r--r--", there.st_ino, "2023-11-14T22:13:20")
    directory = nodes[str(looked.tree / "docs/d1")]
    assert directory["mode"] == 1 << 31 | 1 << 22 | 1 << 20 | 0o755 and directory["permissions"] == "dgtrwxr-xr-x"
    assert nodes[str(looked.tree / "link-to-dir")]["linktarget"] == "docs/deep"
    odd = [row for row in rows if "path_b64" in row]
    assert len(odd) == 1 and odd[0]["type"] == "file"


def test_find_by_pattern_case_and_time(looked):
    ctl = looked.vault.ctl
    one = ["-s", looked.first[:12]]
    assert lines(ctl("find", "-q", *one, "note-3.txt")) == [str(looked.tree / "docs/d3/note-3.txt")]
    assert lines(ctl("find", "-q", *one, "upper.txt")) == []
    assert lines(ctl("find", "-q", "-i", *one, "upper.txt")) == [str(looked.tree / "docs/Upper.TXT")]
    assert set(lines(ctl("find", "-q", *one, f"{looked.tree}/docs/d[12]/*.txt"))) == \
        {str(looked.tree / f"docs/d{i % 7}/note-{i}.txt") for i in (1, 2, 8, 9)}
    in_2023 = ["--oldest", "2023-01-01", "--newest", "2024-01-01 00:00:00"]
    assert lines(ctl("find", "-q", *one, *in_2023, f"{looked.tree}")) == [str(looked.tree / "docs/Upper.TXT")]
    assert lines(ctl("find", "-q", *one, "--newest", "2001-09-09T01:46:41+00:00", looked.tree / "docs/Upper.TXT")) == []
    assert b"is no time" in ctl("find", "--newest", "yesterday", "x", expect=2).stderr
    long = lines(ctl("find", "-lq", *one, "Upper.TXT"))
    assert len(long) == 1 and long[0].startswith("-rw-r--r-- ")


def test_one_of_a_thing_is_not_called_by_its_plural(looked):
    assert lines(looked.vault.ctl("snapshots", looked.first))[-1] == "1 snapshot"
    both = lines(looked.vault.ctl("snapshots", looked.first, looked.second))
    assert both[-1] == "2 snapshots" and re.search(r"looker  \d+ files, ", both[0])


def test_find_in_several_snapshots(looked):
    text = lines(looked.vault.ctl("find", "--tag", "looked", "note-1.txt"))
    assert [line.split(" from ")[0] for line in text if line.startswith("Found")] == [
        f"Found matching entries in snapshot {s[:10]}" for s in (looked.first, looked.second)]
    rows = looked.vault.json("find", "-H", "looker", "note-second.txt", "note-1.txt")
    matches = [row for row in rows if row["message_type"] == "match"]
    hits = [(row["snapshot"], row["hits"]) for row in rows if row["message_type"] == "hits"]
    assert hits == [(looked.first, 1), (looked.second, 2)]
    assert [row["path"].rsplit("/", 1)[1] for row in matches] == ["note-1.txt", "note-1.txt", "note-second.txt"]
    assert all(row["permissions"] == "-rw-r--r--" and row["links"] == 1 and "user" in row for row in matches)


def test_stats_counts_what_a_restore_would_write(looked):
    (stats,) = looked.vault.json("stats", looked.first, looked.second)
    assert stats["message_type"] == "stats" and stats["snapshots_count"] == 2

    def size(without):
        found, seen, count = 0, set(), len(looked.tree.parts) - 1
        for path in looked.tree.rglob("*"):
            s = path.lstat()
            if path.name in without or (s.st_nlink > 1 and not stat.S_ISDIR(s.st_mode) and s.st_ino in seen):
                continue
            seen.add(s.st_ino)
            count += 1
            found += s.st_size if stat.S_ISREG(s.st_mode) else 0
        return found, count
    first, second = size({"note-second.txt"}), size(())
    assert stats["total_size"] == first[0] + second[0]
    assert stats["total_file_count"] == first[1] + second[1]
    (by_tag,) = looked.vault.json("stats", "--tag", "looked")
    assert by_tag["total_size"] == stats["total_size"]
    assert "Total Size:" in looked.vault.ctl("stats", looked.first).stdout.decode()


def test_stats_of_what_is_stored(looked):
    (stats,) = looked.vault.json("stats", "--mode", "raw-data")
    assert stats["total_blob_count"] > 20 and stats["segments"] > 0
    assert 0 < stats["total_size"] < stats["bytes_used"]
    assert stats["compression_ratio"] == pytest.approx(stats["total_uncompressed_size"] / stats["total_size"], rel=1e-3)
    assert b"restore-size, files-by-contents" in looked.vault.ctl("stats", "--mode", "x", expect=2).stderr


def test_stats_by_contents_and_by_pieces(shared):
    """A content counts once however many files have it, a piece once for each path; an empty file has no piece."""
    tree = shared.base / "contents"
    tree.mkdir()
    small, large = os.urandom(1000), os.urandom(5 << 20)
    for name, content in (("a", small), ("copy of a", small), ("b", large), ("empty", b"")):
        (tree / name).write_bytes(content)
    first = shared.vault.backup(tree)["snapshot_id"]
    (tree / "a").write_bytes(small + b"more")
    (tree / "moved b").write_bytes(large)
    second = shared.vault.backup(tree)["snapshot_id"]

    def stats(mode, *snapshots):
        row, = shared.vault.json("stats", "--mode", mode, *snapshots)
        assert row["mode"] == mode and row["snapshots_count"] == len(snapshots)
        return row["total_file_count"], row["total_size"], row.get("total_blob_count")

    assert stats("files-by-contents", first) == (3, 1000 + len(large), None)
    assert stats("files-by-contents", first, second) == (4, 1000 + 1004 + len(large), None)
    files, size, pieces = stats("blobs-per-file", first)
    assert (files, size) == (2, 1000 + len(large)) and 3 <= pieces <= 1 + len(large) // (256 << 10)
    again = stats("blobs-per-file", first, second)
    assert again == (2, 1000 + 1004 + len(large), pieces + 1), "`a` again, with another piece; b's are where they were"
    assert "Stats in blobs-per-file mode:" in shared.vault.ctl("stats", "--mode", "blobs-per-file", first).stdout.decode()
