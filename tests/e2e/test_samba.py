"""Samba's "previous versions" over `cellctl mount`: Debian's smbd on loopback, asked by smbclient."""
import os
import pwd
import shutil
import socket
import subprocess
import time

import pytest

from conftest import Vault, make_tree, run
from mounting import Mount, needs_fuse, wait_for

SMBD = shutil.which("smbd") or ("/usr/sbin/smbd" if os.path.exists("/usr/sbin/smbd") else None)

pytestmark = [
    needs_fuse,
    pytest.mark.skipif(not SMBD or not shutil.which("smbclient"),
                       reason="SKIPPED, NOT TESTED: smbd or smbclient is not installed (tools/setup installs them)"),
    pytest.mark.skipif(os.getuid() != 0, reason="SKIPPED, NOT TESTED: smbd wants root to act as a share's user"),
]

SETTINGS = """
[global]
    server role = standalone server
    smb ports = {port}
    interfaces = lo
    bind interfaces only = yes
    disable netbios = yes
    load printers = no
    printcap name = /dev/null
    disable spoolss = yes
    map to guest = Bad User
    private dir = {base}/private
    lock directory = {base}/lock
    state directory = {base}/state
    cache directory = {base}/cache
    pid directory = {base}/pid
    ncalrpc dir = {base}/ncalrpc
    log file = {base}/smbd.log

[share]
    path = {tree}
    guest ok = yes
    force user = {user}
    read only = yes
    # docs/mount.md, as it stands there
    vfs objects = shadow_copy2
    shadow:snapdir = {mount}
    shadow:snapsharepath = {relative}
    shadow:format = @GMT-%Y.%m.%d-%H.%M.%S
    shadow:sort = desc
    shadow:localtime = no
"""


class Samba:
    """smbd with settings of its own, below `base`, on a free port of loopback."""

    def __init__(self, base, tree, mount):
        self.base = base
        for name in ("private", "lock", "state", "cache", "pid", "ncalrpc"):
            (base / name).mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.settings = base / "smb.conf"
        self.settings.write_text(SETTINGS.format(port=self.port, base=base, tree=tree, mount=mount,
                                                 relative=str(tree)[1:], user=pwd.getpwuid(os.getuid()).pw_name))
        with open(base / "out", "wb") as out:
            # a session of its own: smbd ends its whole process group with itself
            self.process = subprocess.Popen([SMBD, "--foreground", "--no-process-group", f"--configfile={self.settings}"],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        wait_for(self.answers, "smbd")

    def answers(self):
        assert self.process.poll() is None, (self.base / "out").read_text(errors="replace")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def client(self, commands, expect=0):
        return run(["smbclient", "-N", "-p", self.port, "//127.0.0.1/share", f"--configfile={self.settings}",
                    "-c", commands], expect, timeout=60).stdout.decode(errors="replace")

    def down(self):
        self.process.terminate()
        self.process.wait(timeout=20)


def versions(text):
    return [line.strip() for line in text.splitlines() if line.startswith("@GMT-")]


def test_smbclient_lists_and_reads_previous_versions(new_swarm, tmp_path):
    swarm = new_swarm(7)
    vault = Vault(tmp_path / "vault", swarm)
    tree = make_tree(tmp_path / "tree", seed=21, files=20, big=2)
    file = tree / "docs/report.txt"
    contents = ["the first version\n", "the second, longer version\n" * 1000, "now\n"]
    for content in contents[:2]:
        file.write_text(content)
        vault.backup(tree)
        time.sleep(1.1)  # @GMT names tell seconds apart
    file.write_text(contents[2])
    (tree / "photo-1.bin").rename(tree / "gone-to-somewhere-else")
    with Mount(vault, tmp_path / "mnt", "--allow-other") as m:
        samba = Samba(tmp_path / "samba", tree, m.path)
        try:
            listed = versions(samba.client("allinfo docs/report.txt"))
            on_mount = sorted((n for n in os.listdir(m.path) if n.startswith("@GMT-")), reverse=True)
            assert listed == on_mount and len(listed) == 2
            for name, content in zip(reversed(listed), contents):
                samba.client(f"get {name}\\docs\\report.txt {tmp_path}/got")
                assert (tmp_path / "got").read_text() == content
            samba.client(f"get docs\\report.txt {tmp_path}/got")
            assert (tmp_path / "got").read_text() == contents[2]
            # what is not there any more is still in the old versions, bit by bit
            assert "photo-1.bin" not in samba.client("ls")
            assert "photo-1.bin" in samba.client(f"ls {listed[0]}\\*")
            samba.client(f"get {listed[0]}\\photo-1.bin {tmp_path}/got")
            assert (tmp_path / "got").read_bytes() == (tree / "gone-to-somewhere-else").read_bytes()
            # a backup that is made meanwhile is a version too
            vault.backup(tree)
            wait_for(lambda: len(versions(samba.client("allinfo docs/report.txt"))) == 3, "the third version")
        finally:
            samba.down()
