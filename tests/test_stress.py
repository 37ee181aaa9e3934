"""The stress program (`make stress`): it runs, and notices what is broken."""

import pytest
from conftest import CFFI, PYPY, run_script

import lowthread

pytestmark = pytest.mark.slow

STRESS = """
import runpy, sys
sys.argv[0] = "stress"
runpy.run_module("stress", run_name="__main__", alter_sys=True)
"""


def stress(*options):
    return run_script(STRESS, *options, timeout=240)


def test_it_runs():
    out = stress("--seconds", 4, "--seed", 1).ok()
    assert f"backend {lowthread.backend}, seed 1\n" in out
    figures = dict(line.split() for line in out.splitlines() if line.startswith("  "))
    # What takes no luck.
    for name in ["acquire", "rlock", "start", "signal", "signal_that_raises", "through_queue"]:
        assert int(figures[name]) > 0


@pytest.mark.skipif(CFFI and not PYPY, reason="it notices the same with each: native runs this")
@pytest.mark.parametrize(
    ("way", "verdict", "options"),
    [
        ("exclusion", "FAILED: mutual exclusion", ()),
        ("wake", "FAILED: lost wake-up", ("--patience", 1)),
        ("timeout", "FAILED: a timeout was too short", ()),
        ("start", "FAILED: a thread has run 2 times", ()),
        ("crash", "Fatal Python error: Segmentation fault", ()),
        ("hang", "stress: plain: nothing has gone on for 5 s", ("--stall", 5)),
    ],
)
def test_it_notices_what_is_broken(way, verdict, options):
    process = stress("--break", way, "--seconds", 60, "--seed", "a b", *options)
    assert process.code == 1
    assert verdict in process.err
    assert "most recent call first" in process.err  # where all threads are
    # How to do the same again.
    assert "-m stress --seconds 60.0 --seed 'a b'" in process.err
    assert f"LOWTHREAD_BACKEND={lowthread.backend}" in process.err
