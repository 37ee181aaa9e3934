"""The rows of several threads, and the bytes per lock.

Each round measures every subject once, in turn, so that what else the machine does hits all
alike; of the rounds the median counts. How much a subject does in a round is set so that it
takes about as long as the others.
"""

import _thread
import itertools
import os
import statistics
import subprocess
import sys
import threading
import time

from bench.subjects import LOWTHREAD, OWN, maker

clock = time.perf_counter


def run_together(functions):
    """Run each function in a thread, from a common start; return the seconds it took."""
    barrier = threading.Barrier(len(functions) + 1)

    def run(function):
        barrier.wait()
        function()

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    barrier.wait()
    begin = clock()
    for thread in threads:
        thread.join()
    return clock() - begin


def sections(threads, make, scale):
    """Threads on one lock: ns per acquire and release."""
    lock = make()
    count = int(scale * 400_000) // threads

    def work():
        acquire, release = lock.acquire, lock.release
        for _ in itertools.repeat(None, count):
            acquire()
            release()

    return run_together([work] * threads) / (threads * count) * 1e9


def counting(threads, make, scale):
    """Threads on one lock that guards a counter: ns per `with lock: count += 1`."""
    lock = make()
    count = int(scale * 200_000) // threads
    total = 0

    def work():
        nonlocal total
        for _ in itertools.repeat(None, count):
            with lock:
                total += 1

    seconds = run_together([work] * threads)
    assert total == threads * count
    return seconds / total * 1e9


def beside_a_busy_thread(make, scale):
    """An uncontended pair while another thread computes: ns."""
    lock, count, stop = make(), int(scale * 600_000), False

    def burn():
        n = 0
        while not stop:
            n += 1

    thread = threading.Thread(target=burn)
    thread.start()
    acquire, release = lock.acquire, lock.release
    begin = clock()
    for _ in itertools.repeat(None, count):
        acquire()
        release()
    seconds = clock() - begin
    stop = True
    thread.join()
    return seconds / count * 1e9


def hand_over(make, scale):
    """Two threads that wake each other in turn: ns for one to go to the other."""
    ping, pong, count = make(), make(), int(scale * 5000)
    ping.acquire()
    pong.acquire()

    def answer():
        for _ in itertools.repeat(None, count):
            ping.acquire()
            pong.release()

    def ask():
        for _ in itertools.repeat(None, count):
            ping.release()
            pong.acquire()

    return run_together([answer, ask]) / (2 * count) * 1e9


def worst_wait(make, scale):
    """Four threads that hold one lock for 1 ms at a time: the longest wait, in ns."""
    lock, worst, end = make(), [], clock() + 5 * scale

    def work():
        longest = 0
        while clock() < end:
            begin = clock()
            lock.acquire()
            longest = max(longest, clock() - begin)
            time.sleep(0.001)
            lock.release()
        worst.append(longest)

    run_together([work] * 4)
    return max(worst) * 1e9


def start(module, scale):
    """From start_new_thread to the first instruction of a Python function: ns."""
    waits = []
    for _ in range(int(scale * 400)):
        begun = 0
        done = _thread.allocate_lock()  # for all alike: it is the start that is measured
        done.acquire()

        def work(done=done):
            nonlocal begun
            begun = clock()
            done.release()

        begin = clock()
        module.start_new_thread(work, ())
        done.acquire()
        waits.append(begun - begin)
    return statistics.median(waits) * 1e9


def start_many(module, scale):
    """500 threads started at once, until all have run: ns for each."""
    left, done, lock = 500, _thread.allocate_lock(), _thread.allocate_lock()
    done.acquire()

    def work():
        nonlocal left
        with lock:
            left -= 1
            if left == 0:
                done.release()

    begin = clock()
    for _ in range(500):
        module.start_new_thread(work, ())
    done.acquire()
    seconds = clock() - begin
    while module._count():
        time.sleep(0.001)
    return seconds / 500 * 1e9


MEMORY = """
import gc, resource, sys
from bench.subjects import maker
make = maker(sys.argv[1])
def resident():
    gc.collect()
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()
count = 300_000
locks = [None] * count
make()
before = resident()
for i in range(count):
    locks[i] = make()
print((resident() - before) / count)
"""


def bytes_per_lock(subject):
    """What 300,000 locks add to the resident memory of a process, per lock; None if unknown."""
    if not os.path.exists("/proc/self/statm"):
        return None
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, subject], capture_output=True, text=True, check=True
    )
    return float(run.stdout)


# Locks whose owner alone may release them cannot be handed over; gevent's make greenlets
# wait, not threads.
THREADED = (OWN, LOWTHREAD, "lowthread (cffi)", "fastrlock", "aiologic")
NOT_OWNED = (OWN, LOWTHREAD, "lowthread (cffi)")
WITH = (OWN, LOWTHREAD, "lowthread (cffi)", "fastrlock")


def modules():
    import lowthread

    return {OWN: _thread, LOWTHREAD: lowthread}


def rows(present):
    """Yield (row, {subject: function of the scale})."""

    def of(subjects, measure):
        return {s: lambda scale, s=s: measure(maker(s), scale) for s in subjects if s in present}

    for n in (2, 4, 16):
        yield (
            f"{n} threads, acquire + release",
            of(THREADED, lambda make, scale, n=n: sections(n, make, scale)),
        )
    for n in (2, 4, 16):
        yield (
            f"{n} threads, with lock: count += 1",
            of(WITH, lambda make, scale, n=n: counting(n, make, scale)),
        )
    yield "acquire + release beside a busy thread", of(THREADED, beside_a_busy_thread)
    yield "hand-over between two threads", of(NOT_OWNED, hand_over)
    yield "4 threads holding it for 1 ms, worst wait", of(THREADED, worst_wait)
    for row, measure in (
        ("start to first instruction", start),
        ("500 threads started at once, each", start_many),
    ):
        yield (
            row,
            {
                name: lambda scale, module=module, measure=measure: measure(module, scale)
                for name, module in modules().items()
            },
        )


def fitting_scale(function, seconds):
    """Return a scale at which a call takes about that long, at most 1; warms up, too."""
    trial = 0.05
    begin = clock()
    function(trial)
    return min(1, max(trial, trial * seconds / (clock() - begin)))


def take_turns(functions, scales, rounds):
    """Return {name: its values in all rounds}; in each round all have their turn."""
    values = {name: [] for name in functions}
    for n in range(rounds):
        order = list(functions)
        if n % 2:
            order.reverse()
        for name in order:
            values[name].append(functions[name](scales[name]))
    return values


def ratio(values, others):
    """Return the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(values, others))


def measure(subjects, rounds, seconds):
    """Yield (row, subject, its value in ns, its ratio to the interpreter's own)."""
    for row, functions in rows(subjects):
        scales = {s: fitting_scale(function, seconds) for s, function in functions.items()}
        values = take_turns(functions, scales, rounds)
        for subject, mine in values.items():
            yield row, subject, statistics.median(mine), ratio(mine, values[OWN])
