"""Thousands of threads at once, and one after the other; very many locks."""

import pytest
from conftest import LONG, PYPY, ROOT, run_script

pytestmark = pytest.mark.slow

TOOL = ROOT / "tools" / "scale.py"


def measure(what, number):
    result = run_script(TOOL, "--one", "lowthread", what, number, timeout=10 * LONG)
    if result.code == 77:
        pytest.skip(result.err.strip())
    return dict(line.split() for line in result.ok().splitlines())


def test_ten_thousand_threads_at_once():
    got = measure("alive", 10_000)
    assert got["counted"] == "10000"
    assert got["left"] == "0"


def test_threads_one_after_the_other():
    got = measure("series", 20_000)
    assert got["ran"] == "20000"
    assert got["left"] == "0"
    # PyPy compiles meanwhile.
    assert int(got["growth"]) < (8_000_000 if PYPY else 1_000_000), got


def test_a_million_locks():
    got = measure("locks", 1_000_000)
    assert got["work"] == "1000000"
    assert float(got["bytes"]) < 500, got
    assert int(got["growth"]) < 50_000_000, got
