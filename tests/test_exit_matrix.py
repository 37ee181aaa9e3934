"""Each way to end, beside threads in each state: all is as if there were no threads.

What is expected is what the interpreter does by itself: the same program runs on its own
`_thread` for comparison.
"""

import functools
import os
import re
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import LONG, ROOT, SCRIPTS, preloads, run_script

pytestmark = pytest.mark.slow

ENDINGS = [
    *("return", "sys.exit", "sys.exit with a text", "os._exit", "exception"),
    *("SIGTERM", "SIGINT", "atexit", "atexit before the import"),
]
STATES = [
    *("starting", "entering", "running", "in acquire", "in acquire with a timeout"),
    *("in join", "starting more", "ending"),
]


def outcome(*args, env=None):
    env = dict(env or {**os.environ, "PYTHONPATH": str(ROOT)})
    env.pop("PYTHONUNBUFFERED", None)
    result = run_script(*args, timeout=3 * LONG, env=env)
    err = re.sub("0x[0-9a-f]+", "0x...", result.err)
    # Where in its loop a signal meets the program differs, and with it the marks of 3.11.
    lines = [line for line in err.splitlines() if line.strip(" ~^") or not line]
    if "KeyboardInterrupt" in err:
        lines = [lines[0], lines[1], lines[-1]]
    return result.code, result.out, lines


def all_of(function, cases):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda case: function(*case), cases))


@functools.lru_cache(None)
def by_itself(ending):
    """What the interpreter does without other threads."""
    return outcome(SCRIPTS / "exit_matrix.py", "host", "none", ending)


@pytest.fixture(scope="module", autouse=True)
def expected():
    for ending, (code, out, err) in zip(ENDINGS, all_of(by_itself, [(e,) for e in ENDINGS])):
        assert err[0] == "begins"
        assert out == ("" if ending in ("os._exit", "SIGTERM") else "not flushed\n")
        codes = {"return": 0, "sys.exit": 7, "os._exit": 8, "SIGTERM": -15}
        assert code == codes.get(ending, code)


def check(states, rounds, **options):
    cases = [(state, ending) for state in states for ending in ENDINGS] * rounds

    def run(state, ending):
        return outcome(SCRIPTS / "exit_matrix.py", "lowthread", state, ending, **options)

    wrong = [
        (case, got, by_itself(case[1]))
        for case, got in zip(cases, all_of(run, cases))
        if got != by_itself(case[1])
    ]
    assert not wrong, f"{len(wrong)} of {len(cases)}: {wrong[:3]}"


def test_each_ending_in_each_state():
    check(STATES, rounds=2)


@preloads
def test_each_ending_with_threads_that_are_slow_to_begin(slow_threads):
    """So slow that they are in the middle of it when the interpreter ends, or later."""
    check(["starting", "ending"], rounds=1, env=slow_threads)


# ---- what runs at the end and takes locks, or starts threads ----

LAST_ONES = """
        if hasattr(gc, "set_threshold"):
            gc.set_threshold(0)  # so that a cycle goes at the end, too
        class Last:
            def __init__(self, name):
                self.name, self.lock = name, lock
            def __del__(self, write=os.write, held=held):
                with self.lock:
                    write(1, b"%s %d\\n" % (self.name, held.acquire(timeout=0.001)))
        class Knot(Last):
            pass
"""

#: Each is a program for `_thread` or lowthread under the name `low`.
AT_THE_END = {
    "destructors": LAST_ONES
    + """
        of_module = Last(b"of the module")
        cycle = Knot(b"in a cycle")
        cycle.itself = cycle
        del cycle
        """,
    "destructors when modules have been cleared": LAST_ONES
    + """
        sys.of_sys = Last(b"of sys")
        """,
    "a local value of the main thread": """
        class Last:
            def __del__(self, write=os.write, lock=lock):
                with lock:
                    write(1, b"of the main thread\\n")
        local = low._local()
        local.value = Last()
        """,
    "a local value of a thread that is cut off": """
        class Last:
            def __del__(self, write=os.write, lock=lock):
                with lock:
                    write(1, b"of a thread\\n")
        local = low._local()
        def keep():
            local.value = Last()
            has_value.release()
            held.acquire()
        has_value = low.allocate_lock()
        has_value.acquire()
        low.start_new_thread(keep, ())
        has_value.acquire()
        """,
    "functions of atexit": """
        def take():
            with lock:
                print("took a lock")
            print(held.acquire(timeout=0.001), held.acquire(False))
            low.start_new_thread(held.release, ())
            print(held.acquire())
        for _ in range(3):
            atexit.register(take)
        """,
    "a function of atexit that was registered in a thread": """
        def register():
            atexit.register(print, "registered in a thread")
            atexit.register(chain, 3)
            held.release()
        low.start_new_thread(register, ())
        held.acquire()
        """,
    "threads that atexit starts": """
        atexit.register(chain, 10)
        """,
    "a thread of atexit that goes on": """
        def go_on():
            held.release()
            while True:
                with lock:
                    pass
        def start():
            low.start_new_thread(go_on, ())
            held.acquire()
            print("it runs")
        atexit.register(start)
        """,
}

#: What those print that start threads then, all of it in functions of atexit.
WITH_THREADS = {
    "functions of atexit": "took a lock\nFalse False\nTrue\n" * 3,
    "a function of atexit that was registered in a thread": (
        "link 3\nlink 2\nlink 1\nlink 0\nregistered in a thread\n"
    ),
    "threads that atexit starts": "".join(f"link {n}\n" for n in range(10, -1, -1)),
    "a thread of atexit that goes on": "it runs\n",
}

#: 3.12 alone starts no threads once the main one has ended.
REFUSES_AT_EXIT = sys.version_info[:2] == (3, 12)

BEGIN = """
import atexit, gc, os, sys, time
if {first}:
    atexit.register(print, "the last of atexit")
import {module} as low
lock = low.allocate_lock()
held = low.allocate_lock()
held.acquire()
def chain(n):
    # In a thread, start a thread that starts a thread.
    def link(n):
        print("link", n)
        if n:
            low.start_new_thread(link, (n - 1,))
        else:
            done.release()
    done = low.allocate_lock()
    done.acquire()
    low.start_new_thread(link, (n,))
    done.acquire()
def busy(counts):
    counts.append(1)
    while True:
        held.acquire(timeout=0.001)
"""

BESIDE = """
counts = []
for _ in range(3):
    low.start_new_thread(busy, (counts,))
while len(counts) < 3:
    time.sleep(0.001)
"""


def program(module, name, last, beside="", first=False):
    begin = BEGIN.format(module=module, first=first)
    if module == "_thread" and name in WITH_THREADS and REFUSES_AT_EXIT:
        middle = f"atexit.register(print, {WITH_THREADS[name]!r}, end='')\n"
    else:
        middle = textwrap.dedent(AT_THE_END[name])
    return begin + beside + middle + last


LASTS = {"": 0, "sys.exit(3)": 3, "raise KeyError": 1}


@pytest.mark.parametrize("name", AT_THE_END)
def test_what_runs_at_the_end_takes_locks(name):
    cases = [(last, first) for last in LASTS for first in (False, True)]

    def run(last, first):
        # Beside others too, though these would hang some interpreters' own.
        theirs = outcome(program("_thread", name, last, first=first))
        ours = [outcome(program("lowthread", name, last, first=first)) for _ in range(2)]
        text = program("lowthread", name, last, BESIDE, first)
        ours += [outcome(text) for _ in range(2)] if "held" not in AT_THE_END[name] else []
        return theirs, ours

    for (last, _), (theirs, ours) in zip(cases, all_of(run, cases)):
        assert theirs[0] == LASTS[last]
        assert theirs[1].startswith(WITH_THREADS.get(name, ""))
        assert not any("ignored" in line for line in theirs[2]), theirs
        for one in ours:
            # Where the program ends it has more lines when others run beside it.
            assert without_lines(one) == without_lines(theirs)


def without_lines(result):
    code, out, err = result
    return code, out, [re.sub(r"line \d+", "line", line) for line in err]


# ---- threads that are no daemons ----

THREADING = """
import threading
def start(function):
    threading.Thread(target=function).start()
"""
WHOSE = {
    "lowthread.start": """
import lowthread
def start(function):
    lowthread.start(function, daemon=False)
""",
    "threading": "import lowthread; lowthread.install()" + THREADING,
}

OUTLIVES = """
import atexit, os, signal, sys, time
def outlives(n):
    def run():
        while not main_ends:
            time.sleep(0.001)
        if n:
            start(outlives(n - 1))
        os.write(1, b"outlived\\n")  # whole: print() may have others between text and end
    return run
main_ends = []
start(outlives(3))
print("main ends", flush=True)
"""

WAYS_TO_END = {
    "return": "main_ends.append(1)",
    "sys.exit": "main_ends.append(1); sys.exit(3)",
    "an exception": "main_ends.append(1); raise KeyError('main')",
    "atexit": "main_ends.append(1); atexit.register(sys.exit, 5)",
    "a function of atexit": "main_ends.append(1); atexit.register(print, 'in atexit')",
    "os._exit": "os._exit(4)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
}


@pytest.mark.parametrize("whose", WHOSE)
def test_threads_that_are_no_daemons_outlive_the_main_thread(whose):
    chain = "start(outlives(3))\n"
    assert chain in OUTLIVES
    all_at_once = OUTLIVES.replace(chain, "for _ in range(4): start(outlives(0))\n")

    def run(way):
        end = WAYS_TO_END[way]
        theirs = THREADING + (all_at_once if REFUSES_AT_EXIT else OUTLIVES) + end
        return outcome(theirs), [outcome(WHOSE[whose] + OUTLIVES + end) for _ in range(3)]

    for way, (theirs, ours) in zip(WAYS_TO_END, all_of(run, [(way,) for way in WAYS_TO_END])):
        survives = way not in ("os._exit", "SIGTERM")
        assert theirs[1].count("outlived") == 4 * survives, theirs
        for one in ours:
            assert without_lines(one) == without_lines(theirs), way
