"""`cellctl diff`: restic's words, fields and modifiers; what has changed and nothing else."""
import os
import random
import shutil

from conftest import make_tree


def changes(rows):
    return {row["path"]: row["modifier"] for row in rows if row["message_type"] == "change"}


def statistics(rows):
    (row,) = [row for row in rows if row["message_type"] == "statistics"]
    return row


def test_every_kind_of_change(shared, tmp_path):
    tree = make_tree(tmp_path / "tree", seed=41, files=40, big=2)
    rng = random.Random(41)
    first = shared.vault.backup(tree)["snapshot_id"]
    (tree / "docs/d1/note-1.txt").write_text("changed")
    (tree / "docs/added").write_bytes(rng.randbytes(100_000))
    (tree / "docs/d2/note-2.txt").unlink()
    shutil.rmtree(tree / "docs/d3")
    (tree / "new-dir/below").mkdir(parents=True)
    (tree / "new-dir/below/file").write_text("deep")
    os.symlink("x", tree / "new-dir/link")
    (tree / "nothing").unlink()
    (tree / "nothing").mkdir()
    (tree / "link-to-dir").unlink()
    os.symlink("docs/d1", tree / "link-to-dir")
    os.chmod(tree / "photo-0.bin", 0o600)
    (tree / "photo-1.bin").rename(tree / "photo-renamed.bin")
    second = shared.vault.backup(tree)["snapshot_id"]
    rows = shared.vault.json("diff", first, second)
    at = str(tree)
    removed = {f"{at}/docs/d3/note-{i}.txt": "-" for i in range(3, 40, 7)}
    assert changes(rows) == {
        f"{at}/docs/d1/note-1.txt": "M", f"{at}/docs/added": "+", f"{at}/docs/d2/note-2.txt": "-",
        f"{at}/docs/d3/": "-", **removed, f"{at}/new-dir/": "+", f"{at}/new-dir/below/": "+",
        f"{at}/new-dir/below/file": "+", f"{at}/new-dir/link": "+", f"{at}/nothing/": "T", f"{at}/link-to-dir": "M",
        f"{at}/photo-1.bin": "-", f"{at}/photo-renamed.bin": "+"}
    paths = [row["path"] for row in rows if row["message_type"] == "change"]
    assert paths == sorted(paths, key=lambda p: [part.encode() for part in p.rstrip("/").split("/")])
    end = statistics(rows)
    assert (end["source_snapshot"], end["target_snapshot"]) == (first, second)
    assert end["changed_files"] == 2
    assert {k: end["added"][k] for k in ("files", "dirs", "others")} == {"files": 3, "dirs": 2, "others": 1}
    assert {k: end["removed"][k] for k in ("files", "dirs", "others")} == {"files": 2 + len(removed), "dirs": 1, "others": 0}
    # three new pieces of data: what was renamed is the same pieces
    assert end["added"]["data_blobs"] == 3
    assert end["removed"]["data_blobs"] == 2 + len(removed)
    assert 100_000 < end["added"]["bytes"] < 200_000
    with_metadata = changes(shared.vault.json("diff", first, second, "--metadata"))
    assert with_metadata[f"{at}/photo-0.bin"] == "U" and with_metadata[f"{at}/docs/d1/note-1.txt"] == "M"
    # the other way round
    back = shared.vault.json("diff", second, first)
    swap = {"+": "-", "-": "+", "M": "M", "T": "T"}
    assert changes(back) == {p.rstrip("/") if m == "T" else p: swap[m] for p, m in changes(rows).items()}
    assert statistics(back)["removed"] == end["added"]


def test_words(shared, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("a")
    first = shared.vault.backup(tmp_path / "tree")["snapshot_id"][:8]
    (tmp_path / "tree/file").write_text("b")
    (tmp_path / "tree/new\nline").write_text("c")
    second = shared.vault.backup(tmp_path / "tree")["snapshot_id"][:8]
    lines = shared.vault.ctl("diff", first, second).stdout.decode().splitlines()
    assert lines[0] == f"comparing snapshot {first} to {second}:"
    assert f"M    {tmp_path}/tree/file" in lines and f"+    {tmp_path}/tree/new\\x0aline" in lines
    assert "Files:           1 new,     0 removed,     1 changed" in lines
    assert any(line.startswith("Data Blobs:      2 new,     1 removed") for line in lines)
    same = shared.vault.json("diff", second, second)
    assert changes(same) == {} and statistics(same)["added"]["tree_blobs"] == 0
    shared.vault.ctl("diff", first, expect=2)
    assert b"no snapshot" in shared.vault.ctl("diff", first, "zzzzzzzz", expect=1).stderr


def test_unchanged_directories_are_not_fetched(shared, tmp_path):
    """Two snapshots of a large tree cost what has changed: with a directory of 3000 files that is the same in both."""
    tree = tmp_path / "tree"
    for number in range(3000):
        path = tree / f"d{number % 100}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    first = shared.vault.backup(tree)["snapshot_id"]
    (tree / "d7/one-more").touch()
    second = shared.vault.backup(tree)["snapshot_id"]
    rows = shared.vault.json("diff", first, second)
    assert changes(rows) == {f"{tree}/d7/one-more": "+"}
    # the nodes from the root down to d7, nothing of the 99 others
    depth = len(tree.parts) + 1
    assert statistics(rows)["added"]["tree_blobs"] == statistics(rows)["removed"]["tree_blobs"] == depth
