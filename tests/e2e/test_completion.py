"""Shell completion: each shell itself is asked what it would offer."""
import os
import pty
import select
import shutil
import subprocess
import time

import pytest

from conftest import CELLCTL, run


def script(shell, directory):
    path = directory / f"completion.{shell}"
    path.write_bytes(run([CELLCTL, "completion", shell]).stdout)
    return path


def commands():
    """The names in the list of commands that --help prints."""
    listed = run([CELLCTL, "--help"]).stdout.decode().split("commands:\n")[1].split("\n\n")[0]
    return {line.split()[0] for line in listed.splitlines()}


def has(shell):
    return pytest.mark.skipif(not shutil.which(shell), reason=f"SKIPPED, NOT TESTED: {shell} is not installed")


def bash_offers(path, *words):
    quoted = " ".join(f"'{word}'" for word in words)
    code = f"source {path}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _cellctl; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    return set(run(["bash", "--norc", "-c", code]).stdout.decode().split())


def test_bash(tmp_path):
    path = script("bash", tmp_path)
    assert bash_offers(path, "cellctl", "") == commands()
    assert bash_offers(path, "cellctl", "mou") == {"mount"}
    assert {"--allow-other", "--host", "--json"} <= bash_offers(path, "cellctl", "mount", "-")


@has("fish")
def test_fish(tmp_path):
    path = script("fish", tmp_path)

    def offers(line):
        home = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
        done = run(["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"], env=home)
        assert done.stderr == b""
        return {text.split("\t")[0]: text.split("\t")[-1] for text in done.stdout.decode().splitlines()}
    assert set(offers("cellctl ")) == commands()
    assert offers("cellctl dif")["diff"] == "tell what is different between two snapshots"
    assert {"--metadata", "--host", "--json"} <= set(offers("cellctl diff --"))
    assert "--metadata" not in offers("cellctl mount --")


@has("zsh")
def test_zsh(tmp_path):
    path = script("zsh", tmp_path)
    assert subprocess.run(["zsh", "-n", path], check=True, capture_output=True).stderr == b""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execvpe("zsh", ["zsh", "-f", "-i"], {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(tmp_path),
                                                  "PS1": "% "})

    def said(text, wanted, seconds=20):
        """Types `text`; what is shown until `wanted` is."""
        os.write(terminal, text.encode())
        shown, end = b"", time.monotonic() + seconds
        while wanted.encode() not in shown and time.monotonic() < end:
            if select.select([terminal], [], [], 0.2)[0]:
                shown += os.read(terminal, 65536)
        return shown.decode(errors="replace")
    try:
        assert "ready" in said(f"autoload -U compinit; compinit -u -D; source {path}; print rea''dy\n", "ready\r\n")
        assert "mount " in said("cellctl mou\t", "mount ")
        offered = said("--al\t", "--allow-other")
        assert "--allow-other" in offered
        assert "tell what is different" in said("\x15cellctl d\t\t", "tell what is different")
    finally:
        os.write(terminal, b"\x15exit\n")
        os.close(terminal)
        os.waitpid(child, 0)


def test_another_shell_is_refused():
    assert b"bash, zsh and fish" in run([CELLCTL, "completion", "tcsh"], expect=2).stderr
