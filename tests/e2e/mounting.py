"""A mounted vault for the tests of `cellctl mount` and of what stands on it."""
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from conftest import CELLCTL


def fuse_missing():
    """Why nothing can be mounted here; None when it can."""
    if not os.path.exists("/dev/fuse"):
        return "SKIPPED, NOT TESTED: this machine has no /dev/fuse, so nothing can be mounted"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"SKIPPED, NOT TESTED: /dev/fuse cannot be opened here ({error.strerror})"
    if not shutil.which("fusermount3"):
        return "SKIPPED, NOT TESTED: fusermount3 is not installed (tools/setup installs it)"
    # a container may show /dev/fuse and still forbid mounting: only trying tells
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if os.getuid() == 0 and probe.returncode != 0:
        return "SKIPPED, NOT TESTED: this machine does not allow mounting"
    return None


needs_fuse = pytest.mark.skipif(fuse_missing() is not None, reason=str(fuse_missing()))


def wait_for(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s in vain: {what}")


def is_mounted(directory):
    """By the kernel's own list: a dead mount counts too, and is not touched."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        return any(line.split()[4] == str(directory) for line in table)


class Mount:
    """`with Mount(vault, directory) as m:` m.path is mounted; at the end it is not."""

    def __init__(self, vault, directory, *options):
        self.path = pathlib.Path(directory)
        self.path.mkdir(parents=True, exist_ok=True)
        self.log = self.path.parent / (self.path.name + ".log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [str(CELLCTL), "--vault", str(vault.directory), "mount", str(self.path), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(lambda: b"Mounted on" in self.log.read_bytes() or self.process.poll() is not None, "the mount")
            assert self.process.poll() is None, self.said()
        except AssertionError:
            self.end(signal.SIGKILL)
            raise

    def said(self):
        return self.log.read_text(errors="replace")

    def end(self, number=signal.SIGTERM):
        """Ends the process with a signal; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=20)
        wait_for(lambda: not is_mounted(self.path), "the unmount")
        return code

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.end()

    def latest(self, source=""):
        return pathlib.Path(str(self.path / "snapshots/latest") + str(source))
