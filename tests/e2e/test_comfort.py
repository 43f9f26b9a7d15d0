"""What makes the programs pleasant: help with examples, manual pages that know every flag, colours and live
lines on terminals only, local times with their zone, human units, and an end without words when nobody reads any more."""
import os
import pty
import re
import subprocess

import pytest

from conftest import BUILD, CELLCTL, ROOT, Swarm, Vault, make_tree, run

CONTROL = rb"[\x00-\x08\x0b-\x1f\x7f]"
PROGRAMS = {"celld": BUILD / "cell/celld", "coordinatord": BUILD / "coordinator/coordinatord",
            "cellbench": BUILD / "tools/cellbench/cellbench", "cellsim": BUILD / "tests/sim/cellsim"}
SOURCES = {"celld": ["cell/celld.c"], "coordinatord": ["coordinator/coordinatord.c"]}


def commands():
    """Their names, as --help lists them."""
    listed = run([CELLCTL, "--help"]).stdout.decode().split("commands:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in listed.splitlines()]


def flags(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def page(name):
    """The manual page as words, roff's escapes taken out."""
    text = re.sub(r"\\f[BIR]", "", (BUILD / f"docs/man/{name}.1").read_text())
    return text.replace("\\-", "-").replace("\\&", "").replace("\\(aq", "'")


@pytest.mark.parametrize("command", commands())
def test_help_has_a_usage_line_a_sentence_and_an_example(command):
    text = run([CELLCTL, command, "--help"]).stdout.decode()
    assert text.startswith(f"usage: cellctl {command}")
    example = text.split("example:\n")[1]
    assert f"cellctl {command}" in example
    unknown = flags(example.split(" -- ")[0]) - flags(text.split("example:\n")[0])
    assert not unknown, f"the example uses flags that the help does not know: {unknown}"


def test_the_page_of_cellctl_has_every_command_and_flag():
    text = page("cellctl")
    assert "cellctl backup PATH" in text and ".SH EXIT STATUS" in text
    for command in commands():
        part = text.split(f'.SS {command}\n')[1].split(".SS ")[0]
        help_text = run([CELLCTL, command, "--help"]).stdout.decode()
        own = flags(help_text.split("flags of every command:")[0].split("example:")[0])
        for flag in own:
            assert f"{flag}" in part, f"{command} {flag} is not in the page"
        for line in help_text.split("example:\n")[1].strip().splitlines():
            assert line.strip().replace("\\", "\\\\") in part.replace("\\e", "\\\\"), f"{command}: its example"
    for flag in flags(run([CELLCTL, "--help"]).stdout.decode()):
        assert flag in text


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_other_pages_have_every_flag(program):
    done = run([PROGRAMS[program], "--help"], expect=(0, 2))
    wanted = flags((done.stdout + done.stderr).decode())
    for source in SOURCES.get(program, []):  # settings that --help leaves out
        wanted |= {"--" + key for key in
                   re.findall(r'CONFIG_\w+\(\s*struct settings,\s*\w+,\s*"([a-z-]+)"', (ROOT / source).read_text())}
    assert len(wanted) > 3 or program == "cellbench"
    missing = wanted - flags(page(program))
    assert not missing
    assert (ROOT / f"docs/man/{program}.1.scd").read_text().count("# EXAMPLE") == 1


def test_the_pages_render_without_a_complaint():
    for name in ("cellctl", *PROGRAMS):
        source = BUILD / "docs/man/cellctl.1.scd" if name == "cellctl" else ROOT / f"docs/man/{name}.1.scd"
        done = subprocess.run(["scdoc"], stdin=open(source, "rb"), capture_output=True, check=False)
        assert done.returncode == 0 and not done.stderr, done.stderr


# --- with a swarm ---


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    base = tmp_path_factory.mktemp("comfort")
    swarm = Swarm(base / "swarm", 3, "1+1")
    vault = Vault(base / "vault", swarm)
    tree = make_tree(base / "tree", files=60, big=1)
    for i in range(3000):
        (tree / "docs/deep" / f"one-of-many-{i}").touch()
    vault.backup(tree)
    yield type("Place", (), {"base": base, "swarm": swarm, "vault": vault, "tree": tree})
    swarm.down()


def on_a_terminal(vault, *arguments, **environment):
    """What the command writes to a terminal, standard output and errors; and its exit code."""
    master, slave = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    child = subprocess.Popen([CELLCTL, "--vault", vault.directory, *map(str, arguments)], stdin=slave, stdout=slave,
                             stderr=slave, env={**env, "TERM": "xterm", **environment})
    os.close(slave)
    seen = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    return seen, child.wait()


def test_colours_on_a_terminal_and_not_with_no_color(place):
    good, _ = on_a_terminal(place.vault, "backup", place.tree)
    assert b"\x1b[32mSnapshot" in good
    bad, code = on_a_terminal(place.vault, "ls", "zzzzzz")
    assert code == 1 and b"\x1b[31mcellctl:" in bad
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        good, _ = on_a_terminal(place.vault, "backup", place.tree, **environment)
        bad, code = on_a_terminal(place.vault, "ls", "zzzzzz", **environment)
        assert code == 1 and not re.search(rb"\x1b\[\d+m", good + bad)
    on, _ = on_a_terminal(place.vault, "ls", "zzzzzz", NO_COLOR="")
    assert b"\x1b[31m" in on, "an empty NO_COLOR does not count"


PIPED = [["backup", "{tree}"], ["backup", "{tree}", "--dry-run", "-v"], ["snapshots"], ["ls", "latest"],
         ["find", "*not-utf8*"], ["stats"], ["status"], ["check"], ["cells"], ["diff", "latest", "latest"],
         ["restore", "latest", "--target", "{base}/piped", "-v"], ["restore", "no-such", "--target", "{base}/piped"]]


@pytest.mark.parametrize("arguments", PIPED, ids=[" ".join(a) for a in PIPED])
def test_a_pipe_gets_no_control_characters(place, arguments):
    words = [a.format(tree=place.tree, base=place.base) for a in arguments]
    done = place.vault.ctl(*words, expect=None)
    assert done.stdout + done.stderr
    assert not re.search(CONTROL, done.stdout + done.stderr)


def test_times_are_local_and_have_their_zone(place):
    for zone, offset in (("Europe/Rome", rb"\+0[12]00"), ("America/St_Johns", rb"-0[23]30"), ("UTC", rb"\+0000")):
        done = place.vault.ctl("snapshots", env={**os.environ, "TZ": zone})
        assert re.search(rb"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d " + offset, done.stdout), (zone, done.stdout)


def test_sizes_are_in_human_units(place):
    assert re.search(rb"\d (KiB|MiB|GiB)", place.vault.ctl("stats").stdout)
    assert re.search(rb"\d (KiB|MiB|GiB)", place.vault.ctl("status", expect=(0, 4)).stdout)


@pytest.mark.parametrize("arguments", [["ls", "latest"], ["ls", "latest", "--json"], ["find", "*"], ["find", "*", "--json"],
                                       ["dump", "latest", "{tree}"], ["dump", "latest", "{tree}/photo-0.bin"]],
                         ids=" ".join)
def test_nobody_reads_any_more_and_it_ends_without_a_word(place, arguments):
    words = [a.format(tree=place.tree) for a in arguments]
    child = subprocess.Popen([CELLCTL, "--vault", place.vault.directory, *words], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    assert child.stdout.read(1)
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait(timeout=60) == 0


def test_a_backup_goes_on_when_nobody_reads_what_it_says(place):
    (place.tree / "for the pipe").write_text("x")
    child = subprocess.Popen([CELLCTL, "--vault", place.vault.directory, "backup", place.tree, "--json", "-v"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    errors = child.stderr.read()
    assert child.wait(timeout=120) == 0 and errors == b""
    assert place.vault.ctl("find", "for the pipe").stdout


@pytest.mark.parametrize("arguments", [["ls", "latest"], ["snapshots", "--json"], ["dump", "latest", "{tree}"],
                                       ["--help"], ["completion", "bash"]], ids=" ".join)
def test_a_full_standard_output_is_an_error_with_words(place, arguments):
    words = [a.format(tree=place.tree) for a in arguments]
    with open("/dev/full", "wb") as full:
        done = subprocess.run([CELLCTL, "--vault", place.vault.directory, *words], stdout=full, stderr=subprocess.PIPE,
                              check=False)
    assert done.returncode == 1 and b"write" in done.stderr
