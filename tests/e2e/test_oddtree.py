"""A tree with every oddity that a file system has, on an ext4 of its own: made, asserted, backed up, restored, compared by
rsync, getfacl, lsattr, du and our own walk; as root and as an ordinary user."""
import os
import shutil
import subprocess
import sys

import pytest

from conftest import CELLCTL, ROOT, Swarm, Vault, restored, run

sys.path.insert(0, str(ROOT / "tests/harness"))
import oddtree  # noqa: E402

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
NEED_ROOT = {"owners", "devices", "security.* and trusted.* attributes", "immutable and append-only files and folders"}


@pytest.fixture(scope="module")
def swarm(tmp_path_factory):
    made = Swarm(tmp_path_factory.mktemp("odd") / "swarm", 3, "1+1")
    yield made
    made.down()


@pytest.fixture(scope="module")
def ext4(tmp_path_factory):
    """A fresh ext4 with a program and a judge on it that every user can reach."""
    if os.getuid() != 0:
        pytest.skip("mounting an ext4 image needs root")
    base = tmp_path_factory.mktemp("ext4")
    folder = base / "mnt"
    try:
        oddtree.ext4(base / "image", folder)
    except oddtree.LeftOut as reason:
        pytest.skip(f"no loop device here: {reason}")
    for path in (folder, *folder.parents):
        if str(path) != "/tmp" and str(path).startswith("/tmp/"):
            os.chmod(path, path.stat().st_mode | 0o711)
    (folder / "programs").mkdir()
    shutil.copy(CELLCTL, folder / "programs/cellctl")
    shutil.copy(oddtree.__file__, folder / "programs/oddtree.py")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def odd(ext4, prefix, *arguments, expect=0):
    return run([*prefix, "/usr/bin/python3", ext4 / "programs/oddtree.py", *arguments], expect=expect)


def there_and_back(ext4, swarm, name, prefix, left_out):
    """Makes the tree below ext4/name, backs it up, restores it; returns (vault, tree, copy)."""
    home = ext4 / name
    home.mkdir()
    if prefix:
        os.chown(home, NOBODY, NOBODY)
    made = odd(ext4, prefix, "make", home / "tree").stdout.decode()
    reasons = {line.split(": ", 1)[1].rsplit(" (", 1)[0] for line in made.splitlines() if line.startswith("left out")}
    assert reasons == left_out, made
    vault = Vault(home / "vault", swarm, prefix=prefix, program=ext4 / "programs/cellctl")
    said = vault.ctl("backup", home / "tree").stderr.decode()
    assert "socket is a socket and is left out" in said
    vault.ctl("restore", "latest", "--target", home / "out", "--verify")
    return vault, home / "tree", restored(home / "out", home / "tree")


def judge(ext4, tree, copy, left_out=()):
    odd(ext4, [], "check", copy, *left_out)
    same = odd(ext4, [], "compare", tree, copy, expect=(0, 1))
    assert same.returncode == 0, same.stdout.decode(errors="replace")


@pytest.fixture(scope="module")
def as_root(ext4, swarm):
    return there_and_back(ext4, swarm, "root", [], set())


def test_everything_comes_back_as_root(ext4, as_root):
    _, tree, copy = as_root
    judge(ext4, tree, copy)
    assert not os.path.lexists(copy / "socket")


def test_everything_comes_back_as_an_ordinary_user(ext4, swarm):
    _, tree, copy = there_and_back(ext4, swarm, "user", AS_NOBODY, NEED_ROOT)
    judge(ext4, tree, copy, NEED_ROOT)


def test_restoring_over_it_again_changes_and_fetches_nothing(ext4, as_root):
    """Immutable files and folders, append-only ones and all."""
    vault, tree, copy = as_root
    end = [o for o in vault.restore(tree.parent / "out") if o["message_type"] == "summary"][0]
    assert end["files_failed"] == 0 and end["files_skipped"] > 20
    judge(ext4, tree, copy)


def test_what_was_changed_and_added_is_put_right_with_delete(ext4, as_root):
    vault, tree, copy = as_root
    oddtree.unlock(copy)
    (copy / "plain").write_text("spoiled")
    (copy / "attributes").unlink()
    (copy / "to file").unlink()
    (copy / "to file").mkdir()
    (copy / "to file" / "in the way").write_text("x")
    (copy / "stranger").mkdir()
    (copy / "stranger" / "file").write_text("x")
    os.chmod(copy / "odd mode", 0o600)
    os.setxattr(copy / "acl", "user.extra", b"x")
    subprocess.run(["setfacl", "-b", copy / "acl both"], check=True)
    vault.ctl("restore", "latest", "--target", tree.parent / "out", "--delete")
    judge(ext4, tree, copy)


def test_in_place_after_it_was_lost(ext4, as_root):
    """The restored copy is the measure; then the original goes and comes back to where it was."""
    vault, tree, copy = as_root
    judge(ext4, tree, copy)
    oddtree.unlock(tree)
    subprocess.run(["rm", "-rf", tree], check=True)
    vault.ctl("restore", "latest", "--target", "/")
    judge(ext4, copy, tree)


def test_an_unchanged_tree_is_not_read_again(ext4, as_root):
    vault, tree, _ = as_root
    vault.backup(tree)
    again = vault.backup(tree)
    assert again["files_new"] == 0 and again["files_changed"] == 0
    assert again["data_blobs"] == 0
