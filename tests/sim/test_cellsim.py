"""cellsim's own promises: one seed is one trace, in every process; what is over is not lived again."""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1)


def run(*arguments, expect=0):
    done = subprocess.run([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=100)
    assert done.returncode == expect, done.stdout
    return done.stdout


def last_hash(text):
    return re.search(r"hash ([0-9a-f]{16})$", text.strip().splitlines()[-1]).group(1)


class Cellsim(unittest.TestCase):
    def test_the_same_seed_gives_the_same_trace_in_another_process(self):
        small = ("--cells", "12", "--days", "4")
        first = run("--seed", "9", *small)
        self.assertEqual(last_hash(first), last_hash(run("--seed", "9", *small)))
        self.assertEqual(last_hash(first), last_hash(run("--seed", "9", *small, "--verbose")))
        self.assertNotEqual(last_hash(first), last_hash(run("--seed", "10", *small)))
        self.assertNotEqual(last_hash(first), last_hash(run("--seed", "9", "--cells", "13", "--days", "4")))

    def test_a_batch_that_was_cut_off_goes_on(self):
        small = ("--cells", "10", "--days", "2")
        with tempfile.TemporaryDirectory() as folder:
            lives = pathlib.Path(folder) / "lives"
            whole = run("--seeds", "21-24", *small)
            run("--seeds", "21-22", *small, "--resume", str(lives))
            self.assertEqual(len(lives.read_text().splitlines()), 2)
            lives.write_text(lives.read_text() + "23 ok 0.1")  # the machine went down while it wrote
            rest = run("--seeds", "21-24", *small, "--jobs", "2", "--resume", str(lives))
            self.assertEqual(last_hash(whole), last_hash(rest))
            self.assertIn("4 seeds, 0 broken", rest)
            before = lives.read_text()
            self.assertEqual(last_hash(whole), last_hash(run("--seeds", "21-24", *small, "--resume", str(lives))))
            self.assertEqual(lives.read_text(), before)

    def test_what_it_does_not_understand_it_says(self):
        for arguments in (["--seeds", "5"], ["--cells", "3"], ["--days", "x"], ["extra"], ["--nothing"],
                          ["--planted", "NO_SUCH_BUG"]):
            self.assertIn("cellsim", run(*arguments, expect=2))


if __name__ == "__main__":
    unittest.main()
