"""The manual: its examples run, and what its drawings say is what the core does."""

import doctest
import importlib
import re
import sys
import time

import pytest
from conftest import LONG, PYPY, ROOT, wait_until

import lowthread
from lowthread._load import ffi, lib

DOCS = ROOT / "docs"
FLAGS = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1  # as in docs/conf.py
EXAMPLES = re.compile(r"^```\{doctest\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)

WITH_EXAMPLES = {
    str(path.relative_to(DOCS)): "\n".join(found)
    for path in sorted(DOCS.rglob("*.md"))
    for found in [EXAMPLES.findall(path.read_text(encoding="utf-8"))]
    if found
}


def test_there_are_examples():
    assert {"quickstart.md", "reference/locks.md", "reference/start.md"} <= WITH_EXAMPLES.keys()


@pytest.mark.parametrize("page", WITH_EXAMPLES)
def test_examples(page, monkeypatch):
    # For those that run a program of their own, as the tests' are found.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    names = {"lowthread": lowthread}
    test = doctest.DocTestParser().get_doctest(WITH_EXAMPLES[page], names, page, page, 0)
    assert test.examples
    said = []
    doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=said.append)
    assert not said, "".join(said)


# ---- drawings ----


def drawing(name):
    """Return a module of docs/drawings."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module(f"drawings.{name}")
    finally:
        sys.path.remove(str(DOCS))


def source(name):
    return (ROOT / "csrc" / name).read_text(encoding="utf-8")


LOCK = drawing("lock_states")
BITS = {
    name: int(value)
    for name, value in re.findall(
        r"LT_(\w+) = (\d+)", re.search(r"enum \{ LT_FREE.*?\}", source("lt_lock.h")).group()
    )
}
STATES = {sum(BITS[bit] for bit in name.split(" | ")): name for name in LOCK.STATES}


def test_the_states_of_a_lock_are_those_that_its_header_has():
    told = re.search(r"These are LT_STATE: (.*?)\.", source("lt_lock.h")).group(1)
    told = re.split(r", | or ", told.replace("|", " | "))
    assert set(LOCK.STATES) == {"FREE" if name == "0" else name for name in told}


def state(cell):
    return STATES[cell.word & BITS["STATE"]]


def take(cell, waiters):
    assert lib.lt_lock_try(cell)


def give_back(cell, waiters):
    assert lib.lt_lock_release(cell) == 0


class Waiter:
    """A thread that waits for a lock, as if it had for a while, and has it until told to go on."""

    def __init__(self, cell, waited_s):
        self.go = lowthread.allocate_lock()
        self.go.acquire()
        since = lib.lt_now() - int(waited_s * 1e9)
        self.thread = lowthread.start(self.run, cell, since, daemon=False)
        wait_until(lambda: state(cell) == "HELD | WAITERS")

    def run(self, cell, since):
        lib.lt_acquire(cell, since, lib.lt_now() + LONG * 10**9)
        self.go.acquire()


def wait_new(cell, waiters):
    waiters.append(Waiter(cell, -LONG))


def wait_long(cell, waiters):
    waiters.append(Waiter(cell, 1))
    time.sleep(0.01)  # so that the last reservation, of whatever lock, was a millisecond ago


def let_run(cell, waiters):
    wait_until(lambda: state(cell) == "HELD")


WALKS = {
    "alone": [(take, "HELD"), (give_back, "FREE")],
    "waited for": [(take, "HELD"), (wait_new, "HELD | WAITERS"), (give_back, "FREE")],
    "taken": [
        (take, "HELD"),
        (wait_long, "HELD | WAITERS"),
        (give_back, "RESERVED"),
        (let_run, "HELD"),
    ],
    "released again": [
        (take, "HELD"),
        (wait_long, "HELD | WAITERS"),
        (give_back, "RESERVED"),
        (give_back, "FREE"),
    ],
}
#: What in the drawing each of these does.
FUNCTIONS = {
    take: "lt_lock_try",
    give_back: "lt_lock_release",
    wait_new: "lt_lock_acquire",
    wait_long: "lt_lock_acquire",
    let_run: "lt_lock_acquire",
}


def test_every_arrow_of_a_lock_is_walked():
    walked = set()
    for steps in WALKS.values():
        begin = "FREE"
        for step, end in steps:
            walked.add((begin, end, FUNCTIONS[step]))
            begin = end
    assert walked == {arrow[:3] for arrow in LOCK.TRANSITIONS}


@pytest.mark.skipif(PYPY, reason="there each call of the core gives way to the other thread")
@pytest.mark.parametrize("walk", WALKS)
def test_the_states_of_a_lock(walk):
    cell = ffi.new("lt_lock *")
    waiters = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(LONG)  # nobody else runs in the middle of a walk but where it sleeps
    try:
        assert state(cell) == "FREE"
        for step, end in WALKS[walk]:
            step(cell, waiters)
            assert state(cell) == end
    finally:
        sys.setswitchinterval(interval)
        lib.lt_lock_reset(cell)
        for waiter in waiters:
            waiter.go.release()
            assert waiter.thread.join(LONG)


def test_the_states_of_a_handle_are_those_that_its_source_has():
    drawn, text = drawing("handle_states"), source("lt_handle.c")
    assert list(drawn.STATES) == re.search(r"enum \{ (NEW.*?) \}", text).group(1).split(", ")
    for begin, end, function, _, _ in drawn.TRANSITIONS:
        body = re.search(rf"\b{function}\([^;{{]*\{{\n(.*?)^\}}", text, re.M | re.S).group(1)
        # finish() is what makes it DONE.
        does = end if end != "DONE" else r"finish\("
        assert re.search(rf"\b{does}", body), (begin, end, function)
