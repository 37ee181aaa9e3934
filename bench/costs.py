"""The rows of what it costs to have waits told of: a program with that on, and with it off.

Both in one process, in turn. It is promised that a pair of a thread alone takes at most 1.10
times as long with the dump on a signal and the search for deadlocks on; with a profile, a program
that has no contention at most 1.05 times, and one that has a lot at most 1.2 times. That all of it
costs nothing while it is off is not seen here but in the other rows, of two builds. Who has a lock
is known all the time, so it is in both.
"""

import contextlib
import itertools
import os
import signal
import sys
import time
from statistics import median

from cffi import FFI

import lowthread
from bench.subjects import LOWTHREAD, maker
from bench.threaded import clock, fitting_scale, hand_over, ratio, run_together, take_turns

OFF, ON = "off", "on"


@contextlib.contextmanager
def dump_and_deadlocks():
    """Have both on. The thread that would print stays, and sleeps, when they are off again."""
    lowthread.dump_on_signal(signal.SIGUSR1)
    lowthread.detect_deadlocks(1)
    try:
        yield
    finally:
        lowthread.detect_deadlocks(None)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def pair(make, scale):
    """A thread alone: ns per acquire and release."""
    lock, count = make(), int(scale * 1_000_000)
    acquire, release = lock.acquire, lock.release
    begin = clock()
    for _ in itertools.repeat(None, count):  # four, so that the loop counts less
        acquire()
        release()
        acquire()
        release()
        acquire()
        release()
        acquire()
        release()
    return (clock() - begin) / (4 * count) * 1e9


def contending(section, most):
    """Return a measure of four threads that do little but this with the lock: ns for each time."""

    def measure(make, scale):
        lock, count = make(), int(scale * most) // 4

        def work():
            for _ in itertools.repeat(None, count):
                with lock:
                    section()

        return run_together([work] * 4) / (4 * count) * 1e9

    return measure


def compute():
    """Take some microseconds, or much less where it is compiled."""
    n = 0
    for i in range(100):
        n += i * i
    return n


def sleep():
    time.sleep(0.0002)


MASK = 128  # bytes, one bit for each processor


@contextlib.contextmanager
def one_processor():
    """Have the threads that are begun here run on one, on Linux. (PyPy's `os` cannot.)"""
    if sys.platform != "linux":
        yield
        return
    ffi = FFI()
    ffi.cdef("int sched_getaffinity(int, size_t, char *);")
    ffi.cdef("int sched_setaffinity(int, size_t, const char *);")
    libc, before, one = ffi.dlopen(None), ffi.new("char[]", MASK), bytearray(MASK)

    def ask(function, mask):
        if function(0, MASK, mask) < 0:
            raise OSError(ffi.errno, os.strerror(ffi.errno))

    ask(libc.sched_getaffinity, before)
    byte, bits = next((i, b) for i, b in enumerate(ffi.buffer(before)[:]) if b)
    one[byte] = bits & -bits
    ask(libc.sched_setaffinity, bytes(one))
    try:
        yield
    finally:
        ask(libc.sched_setaffinity, before)


def to_and_fro(make, scale):
    """As of two threads that wake each other in turn, and always sleep until then.

    Two processors fall into one rhythm or another, of which one takes many times as long.
    """
    with one_processor():
        return hand_over(make, 4 * scale)


#: (row, at most so many times as long is promised, what is on, what is measured)
ROWS = [
    ("acquire + release, profile", 1.05, lowthread.profile, pair),
    (
        "4 threads, with lock: compute, profile",
        1.2,
        lowthread.profile,
        contending(compute, 4_000_000 if lowthread._load.PYPY else 400_000),
    ),
    (
        "4 threads, with lock: sleep 0.2 ms, profile",
        1.2,
        lowthread.profile,
        contending(sleep, 4000),
    ),
    ("hand-over on one processor, profile", 1.2, lowthread.profile, to_and_fro),
    # Last, as it leaves a thread.
    ("acquire + release, dump and deadlocks", 1.1, dump_and_deadlocks, pair),
]


def measure(subjects, rounds, seconds):
    """Yield (row, what is promised, subject, ns when off, ns when on, their ratio)."""
    for row, promised, switch, work in ROWS:
        for subject in (LOWTHREAD, "lowthread (cffi)"):
            if subject not in subjects:
                continue
            make = maker(subject)

            def off(scale, work=work, make=make):
                return work(make, scale)

            def on(scale, work=work, make=make, switch=switch):
                with switch():
                    return work(make, scale)

            scale = fitting_scale(off, seconds)
            on(scale)  # warms up, too
            values = take_turns({OFF: off, ON: on}, {OFF: scale, ON: scale}, rounds)
            mine, other = values[ON], values[OFF]
            yield row, promised, subject, median(other), median(mine), ratio(mine, other)
