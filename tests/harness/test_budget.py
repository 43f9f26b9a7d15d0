"""tools/test: a command that passes its budget is ended with all that it has started, daemons in sessions of their own
too, and nothing else is."""
import importlib.machinery
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

PATH = pathlib.Path(__file__).resolve().parents[2] / "tools" / "test"


def load():
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("tools_test", str(PATH))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("tools_test", loader))
    loader.exec_module(module)
    return module


def lives(pid):
    try:
        return " Z " not in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


class Budget(unittest.TestCase):
    def setUp(self):
        self.tools_test = load()
        self.folder = tempfile.TemporaryDirectory()
        self.log = pathlib.Path(self.folder.name) / "log"
        self.addCleanup(self.folder.cleanup)

    def test_daemons_end_with_the_command_that_started_them(self):
        stranger = subprocess.Popen(["sleep", "300"])
        self.addCleanup(stranger.wait)
        self.addCleanup(stranger.kill)
        began = time.monotonic()
        code = self.tools_test.shell(["sh", "-c", "setsid sh -c 'echo pid $$; exec sleep 300' & echo pid $$; sleep 300"],
                                     1, self.log)
        self.assertIsNone(code)
        self.assertLess(time.monotonic() - began, 30)
        pids = [line.split()[1] for line in self.log.read_text().splitlines() if line.startswith("pid ")]
        self.assertEqual(len(pids), 2)
        self.assertEqual([pid for pid in pids if lives(pid)], [])
        self.assertIsNone(stranger.poll())

    def test_within_the_budget_the_exit_code_is_the_commands(self):
        self.assertEqual(self.tools_test.shell(["sh", "-c", "exit 7"], 30, self.log), 7)


if __name__ == "__main__":
    unittest.main()
