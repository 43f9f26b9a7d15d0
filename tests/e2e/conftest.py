"""What the end-to-end tests stand on: the built programs, a swarm on loopback, trees, and a comparison.

Every test talks to the real programs, as a person would. CELLAR_BUILD names another build folder.
"""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CELLAR_BUILD", ROOT / "build"))
CELLCTL = BUILD / "tools/cellctl/cellctl"
SWARM = ROOT / "tools/swarm"
TIMEOUT = 240


def run(arguments, expect=0, timeout=TIMEOUT, **options):
    """Runs a command; `expect` is the exit code wanted, a tuple of them, or None for any."""
    done = subprocess.run([str(a) for a in arguments], capture_output=True, timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL, **options)
    wanted = expect if isinstance(expect, tuple) else (expect,)
    if expect is not None and done.returncode not in wanted:
        raise AssertionError(
            f"{' '.join(str(a) for a in arguments)}\nended with {done.returncode}, wanted {expect}\n"
            f"--- stdout\n{done.stdout.decode(errors='replace')[-4000:]}\n"
            f"--- stderr\n{done.stderr.decode(errors='replace')[-4000:]}")
    return done


def json_lines(raw):
    return [json.loads(line) for line in raw.decode(errors="replace").splitlines() if line.strip()]


class Swarm:
    """A swarm of real programs under `directory`; see tools/swarm."""

    def __init__(self, directory, cells, redundancy="4+2", extra=()):
        self.directory, self.cells = pathlib.Path(directory), cells
        run([SWARM, "up", "--cells", cells, "--dir", directory, "--redundancy", redundancy, *extra])

    def invite(self):
        return run([SWARM, "invite", self.directory]).stdout.decode().strip()

    def do(self, verb, *which):
        run([SWARM, verb, self.directory, *which])

    def status(self):
        return json_lines(run([SWARM, "status", self.directory, "--json"]).stdout)

    def cell(self, index):
        return next(row for row in self.status() if row["role"] == "cell" and row["index"] == index)

    def cell_dir(self, index):
        return self.directory / f"cell-{index}"

    def indexes(self):
        return sorted(row["index"] for row in self.status() if row["role"] == "cell")

    def shard_files(self, index):
        """Stored shards of a cell: regular files of at least a leaf below its directory."""
        shards = self.cell_dir(index) / "shards"
        return sorted(p for p in shards.rglob("*") if p.is_file() and p.stat().st_size > 4096)

    def down(self):
        run([SWARM, "down", self.directory], expect=None)


class Vault:
    """One account's vault; calls cellctl with it."""

    def __init__(self, directory, swarm=None, options=(), phrase=None, prefix=(), program=CELLCTL):
        self.directory = pathlib.Path(directory)
        self.phrase = pathlib.Path(phrase or str(directory) + ".phrase")
        self.prefix, self.program = list(prefix), program
        if swarm is not None:
            self.ctl("init", "--invite", swarm.invite(), "--phrase-file", self.phrase, "--no-passphrase", *options)

    def ctl(self, *arguments, expect=0, timeout=TIMEOUT, **options):
        return run([*self.prefix, self.program, "--vault", self.directory, *arguments], expect, timeout, **options)

    def json(self, *arguments, expect=0, **options):
        return json_lines(self.ctl(*arguments, "--json", expect=expect, **options).stdout)

    def backup(self, *arguments, expect=0):
        return next(o for o in self.json("backup", *arguments, expect=expect) if o["message_type"] == "summary")

    def restore(self, target, snapshot="latest", *arguments, expect=0):
        return self.json("restore", snapshot, "--target", target, *arguments, expect=expect)


def differences(source, copy):
    """What rsync would change to make `copy` like `source`: content, modes, owners, times, links, xattrs."""
    done = run(["rsync", "-aHAXni", "--checksum", "--delete", f"{source}/", f"{copy}/"], timeout=900)
    return [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]


def restored(target, source):
    """Where `source` (absolute) lies under a restore's target."""
    return pathlib.Path(str(target) + str(source))


def make_tree(root, seed=1, files=150, big=3):
    """A small tree with text, random data, empty files, links, odd names, sparse files and old times."""
    rng = random.Random(seed)
    root = pathlib.Path(root)
    (root / "docs/deep/er").mkdir(parents=True)
    (root / "empty").mkdir()
    for i in range(files):
        path = root / "docs" / f"d{i % 7}" / f"note-{i}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(f"line {rng.randrange(1000)} of {i}" for _ in range(rng.randrange(400))))
    for i in range(big):
        (root / f"photo-{i}.bin").write_bytes(rng.randbytes(rng.randrange(1 << 20, 9 << 20)))
    (root / "nothing").touch()
    os.symlink("docs/deep", root / "link-to-dir")
    os.symlink("missing/target", root / "dangling")
    os.link(root / "photo-0.bin", root / "docs/photo-hard")
    os.link(root / "photo-0.bin", root / "docs/deep/photo-hard-too")
    with open(os.fsencode(root) + b"/name-\xff\xfe-not-utf8", "wb") as out:
        out.write(b"bytes")
    (root / "new\nline and 'quotes'").write_text("odd name")
    with open(root / "sparse.img", "wb") as out:
        out.seek(40 << 20)
        out.write(b"tail")
        out.truncate(64 << 20)
    (root / "docs/deep/er/secret").write_text("mode 0600")
    os.chmod(root / "docs/deep/er/secret", 0o600)
    os.chmod(root / "empty", 0o1777)
    if os.getuid() == 0:
        os.chown(root / "docs/deep/er/secret", 12345, 54321)
        os.lchown(root / "dangling", 1234, 4321)
    for number, path in enumerate(sorted(root.rglob("*"))):
        os.utime(path, ns=(0, 1_000_000_000_000_000_000 + number * 1_000_003_017), follow_symlinks=False)
    os.utime(root, ns=(0, 1_234_567_890_123_456_789))
    return root


@pytest.fixture(scope="session", autouse=True)
def programs():
    for program in (CELLCTL, BUILD / "cell/celld", BUILD / "coordinator/coordinatord"):
        if not program.exists():
            pytest.exit(f"{program} is not built: run tools/test, or ninja -C build", returncode=3)


@pytest.fixture
def new_swarm(tmp_path):
    """A factory of swarms that are taken down at the end, with their logs shown when the test failed."""
    made = []

    def make(cells, redundancy="4+2", extra=()):
        directory = tmp_path / f"swarm-{len(made)}"
        swarm = Swarm(directory, cells, redundancy, extra)
        made.append(swarm)
        return swarm

    yield make
    for swarm in made:
        swarm.down()
        shutil.rmtree(swarm.directory, ignore_errors=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One swarm of nine with a vault and a backed-up tree, for tests that only read or add."""
    base = tmp_path_factory.mktemp("shared")
    swarm = Swarm(base / "swarm", 9)
    vault = Vault(base / "vault", swarm)
    tree = make_tree(base / "tree")
    summary = vault.backup(tree)
    yield type("Shared", (), {"base": base, "swarm": swarm, "vault": vault, "tree": tree, "summary": summary})
    swarm.down()
    shutil.rmtree(base, ignore_errors=True)


def pytest_configure(config):
    config.option.markexpr = config.option.markexpr or "not full"
    print(f"programs from {BUILD}", file=sys.stderr)
