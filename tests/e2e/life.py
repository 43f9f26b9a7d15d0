"""What the tests of a swarm's life share: short timers, and what the daemons say of themselves."""
import time

from conftest import BUILD, json_lines, make_tree, run

CELLD, COORDINATORD = BUILD / "cell/celld", BUILD / "coordinator/coordinatord"
# asleep after 2 s, gone after 6: heartbeats come every 500 ms, the coordinator looks as often
QUICK = ("--asleep-after", "2s", "--gone-after", "6s", "--repair-delay", "0s", "--ticket-lease", "5s",
         "--repair-threshold", "100", "--repair-rate", "1G", "--moved-hold", "1s")


def says(swarm, which="coordinator"):
    """What a daemon says of itself."""
    name = which if which == "coordinator" else f"cell-{which}"
    program = COORDINATORD if which == "coordinator" else CELLD
    return json_lines(run([program, "--data", swarm.directory / name, "status", "--json"]).stdout)[0]


def wait_for(what, seconds=40, every=0.2):
    """Until `what()` is true; the last thing that it gave is in the failure."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, f"still {got!r} after {seconds} s"
        time.sleep(every)


def moved_bytes(swarm, cells):
    """Bytes that cells have moved for repairs, of those that run."""
    return sum(says(swarm, i)["repair_bytes"] for i in cells)


def small_tree(path, seed=5):
    return make_tree(path, seed=seed, files=30, big=1)


def is_calm(state):
    """Nothing to be repaired."""
    return state["repairs_ready"] + state["repairs_under_way"] + state["repairs_waiting"] == 0


def wait_calm(swarm, seconds=40):
    """Until nothing is to be repaired; else the coordinator's state is in the failure."""
    end = time.monotonic() + seconds
    while not is_calm(says(swarm)):
        assert time.monotonic() < end, f"not calm after {seconds} s: {says(swarm)}"
        time.sleep(0.2)
