"""What the tests of several devices of one account share."""
import sqlite3
import subprocess

import pytest

from conftest import CELLCTL, Vault, json_lines, make_tree


def invite(vault, *arguments):
    return next(o for o in vault.json("device", "invite", *arguments) if o["message_type"] == "invite")["invite"]


def start_join(directory, string, name, *arguments):
    """`cellctl join` in the background: it waits until an admin device takes it in."""
    return subprocess.Popen([str(a) for a in (CELLCTL, "--vault", directory, "join", "--invite", string, "--name", name,
                                              "--no-passphrase", "--json", *arguments)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(join):
    out, err = join.communicate(timeout=120)
    assert join.returncode == 0, (out, err)
    return next(o for o in json_lines(out) if o["message_type"] == "joined")


def joined(vault, directory, name, capabilities="put,read"):
    """One more device: invited, its request left behind, taken in, finished."""
    device = Vault(directory)
    device.ctl("join", "--invite", invite(vault, "--capabilities", capabilities), "--name", name, "--no-passphrase",
               "--no-wait")
    devices(vault)
    device.ctl("join")
    return device


def devices(vault):
    return {o["name"]: o for o in vault.json("device", "list") if o["message_type"] == "device"}


def snapshot_ids(vault):
    return {o["id"] for o in vault.json("snapshots") if o["message_type"] == "snapshot"}


def epochs_of(vault):
    """Of the vault's segments that count."""
    with sqlite3.connect(f"file:{vault.directory}/index.db?mode=ro", uri=True) as db:
        return {row[0] for row in db.execute("SELECT DISTINCT epoch FROM segment WHERE state = 2")}


def tree_with(path, seed, files=20, big=1):
    return make_tree(path, seed=seed, files=files, big=big)


class Household:
    """An account with an admin's vault, a second reading device and one that may only put."""

    def __init__(self, base, swarm):
        self.base, self.swarm = base, swarm
        self.admin = Vault(base / "admin", swarm, options=("--name", "desk"))
        self.reader = joined(self.admin, base / "reader", "attic")
        self.putter = joined(self.admin, base / "putter", "camera", "put")


@pytest.fixture(scope="module")
def house(shared, tmp_path_factory):
    return Household(tmp_path_factory.mktemp("house"), shared.swarm)
