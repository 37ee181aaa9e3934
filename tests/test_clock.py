"""Timeouts are on the monotonic clock: to set the wall clock meanwhile changes nothing.

No machine's clock is set: a library that is preloaded does as if, and sees who waits on what.
"""

import subprocess

import pytest
from conftest import (
    CFFI,
    COMPILER,
    LONG,
    PYPY,
    ROOT,
    SCRIPTS,
    preloading,
    preloads,
    run_script,
)

import lowthread

pytestmark = preloads

HOUR = 3600


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return preloading("clock_jumps.c", tmp_path_factory.mktemp("preload"))


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
@pytest.mark.parametrize("where", ["main thread", "another thread"])
def test_every_wait(environment, jump, where):
    result = run_script(
        f"""
        import ctypes, sys, time
        import lowthread
        lowthread.install()
        import threading
        clock = ctypes.CDLL(None)
        LENGTH = 0.2
        def waits():
            return clock.waits_on_the_monotonic_clock() + clock.waits_on_the_wall_clock()
        held, rlock = lowthread.allocate_lock(), lowthread.RLock()
        held.acquire()
        has_it = lowthread.allocate_lock()
        has_it.acquire()
        def keep():
            rlock.acquire()
            has_it.release()
            held.acquire()
        thread = lowthread.start(keep)
        joinable = lowthread.start_joinable_thread(held.acquire)
        of_threading = threading.Thread(target=held.acquire, daemon=True)
        of_threading.start()
        has_it.acquire()
        condition = threading.Condition()
        def wait_for_condition():
            with condition:
                condition.wait(LENGTH)
        WAITS = [
            lambda: held.acquire(timeout=LENGTH),
            lambda: held.acquire(True, LENGTH),
            lambda: rlock.acquire(timeout=LENGTH),
            lambda: thread.join(LENGTH),
            lambda: joinable.join(LENGTH),
            lambda: of_threading.join(LENGTH),
            lambda: threading.Event().wait(LENGTH),
            wait_for_condition,
            lambda: threading.Semaphore(0).acquire(timeout=LENGTH),
        ]
        def jumps(before):
            while waits() == before:
                time.sleep(0.001)
            time.sleep(0.02)  # it is in the middle of that
            clock.shift_clock({jump})
        def measure():
            for number, wait in enumerate(WAITS):
                clock.shift_clock(0)
                jumper = lowthread.start(jumps, waits())
                begin, wall = time.monotonic(), time.time()
                wait()
                waited = time.monotonic() - begin
                jumper.join()
                assert LENGTH <= waited < {LONG / 2}, (number, waited)
                assert abs(time.time() - wall - {jump}) < {HOUR / 2}, "the clock was not set"
        if {where!r} == "main thread":
            measure()
        else:
            other = lowthread.start(measure)
            while not other.join(0.01):
                pass
        print(clock.waits_on_the_wall_clock())
        """,
        env={**environment, "CLOCK_WATCHED": "/_ffi."},
    )
    assert result.ok() == "0\n"


CORE = ["handle", "lock", "park", "record", "rlock", "thread"]


def waits_in_c(wait, jump, folder, environment, replace=()):
    """Run clock_waits.c; return {name: (timed out, ms)}, and the waits by clock."""
    text = (ROOT / "csrc" / f"lt_wait_{wait}.c").read_text()
    for old, new in replace:
        assert old in text
        text = text.replace(old, new)
    source, program = folder / "wait.c", folder / "clock_waits"
    source.write_text(text)
    core = [ROOT / "csrc" / f"lt_{name}.c" for name in CORE]
    flags = ["-std=gnu11", "-pthread", f"-I{ROOT / 'csrc'}"]
    flags += [f"-I{lowthread.get_include()}", "-o", program]
    command = [*COMPILER, *flags, SCRIPTS / "clock_waits.c", *core, source, "-ldl"]
    subprocess.run(command, check=True)
    run = subprocess.run(
        [program, str(jump)],
        env={**environment, "CLOCK_WATCHED": "clock_waits"},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=True,
    )
    lock, thread, clocks = (line.split() for line in run.stdout.splitlines())
    waited = {name: (out == "1", int(ms)) for name, out, ms in (lock, thread)}
    return waited, {"wall": int(clocks[1]), "monotonic": int(clocks[3])}


WAITS = ["futex", "pthread"]


@pytest.mark.slow
@pytest.mark.parametrize("jump", [HOUR, -HOUR])
@pytest.mark.parametrize("wait", WAITS)
def test_both_ways_to_wait(wait, jump, tmp_path, environment):
    waited, clocks = waits_in_c(wait, jump, tmp_path, environment)
    for timed_out, ms in waited.values():
        assert timed_out
        assert 200 <= ms < LONG * 1000 / 2
    assert clocks["wall"] == 0
    assert clocks["monotonic"] > 0


ON_THE_WALL_CLOCK = {
    "futex": [
        ("clock_gettime(CLOCK_MONOTONIC", "clock_gettime(CLOCK_REALTIME"),
        ("FUTEX_WAIT_BITSET |", "FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME |"),
    ],
    "pthread": [
        ("clock_gettime(CLOCK_MONOTONIC", "clock_gettime(CLOCK_REALTIME"),
        ("setclock(&attr, CLOCK_MONOTONIC)", "setclock(&attr, CLOCK_REALTIME)"),
    ],
}


@pytest.mark.slow
@pytest.mark.skipif(CFFI and not PYPY, reason="it is all in C: native runs this")
@pytest.mark.parametrize("wait", WAITS)
def test_a_wait_on_the_wall_clock_would_be_seen(wait, tmp_path, environment):
    """The tests above can fail."""
    replace = ON_THE_WALL_CLOCK[wait]
    waited, clocks = waits_in_c(wait, HOUR, tmp_path, environment, replace)
    assert all(timed_out and ms < 200 for timed_out, ms in waited.values()), waited
    assert clocks["wall"] > 0
    waited, clocks = waits_in_c(wait, -1, tmp_path, environment, replace)
    assert all(timed_out and ms >= 1000 for timed_out, ms in waited.values()), waited
    # A condition that is made on the wrong clock is seen even where no time is told by it.
    _, clocks = waits_in_c(wait, 0, tmp_path, environment, replace[1:])
    assert clocks["wall"] > 0
