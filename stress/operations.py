"""What any thread may do at any time. Each function takes a `Worker`."""

import gc
import os
import random
import signal
import sys
import time
import traceback
import weakref

import lowthread
from stress.world import LONG, Guarded, check, fail, wait_until

CPYTHON = sys.implementation.name == "cpython"

#: [(function, weight)]
operations = []


def operation(weight):
    def register(function):
        operations.append((function, weight))
        return function

    return register


def refuses(function, *args):
    """Return whether the call raises RuntimeError."""
    try:
        function(*args)
    except RuntimeError:
        return True
    return False


def timed(rng, function):
    """Call function(timeout) with a short one; return what it does, and if that was too early."""
    ns = rng.choice([0, 1, 1000, 10**6, rng.randrange(5 * 10**6)])
    begin = time.monotonic_ns()
    result = function(ns / 1e9)
    return result, time.monotonic_ns() - begin < ns


# ---- locks ----


@operation(100)
def acquire(w):
    guarded = w.rng.choice(w.world.locks)
    w.wait(guarded.lock)
    w.work(guarded)
    guarded.lock.release()


@operation(100)
def with_lock(w):
    guarded = w.rng.choice(w.world.locks)
    w.is_due = lambda: not guarded.lock.locked()
    with guarded.lock:
        w.is_due = None
        w.work(guarded)


@operation(50)
def try_lock(w):
    guarded = w.rng.choice(w.world.locks)
    if guarded.lock.acquire(False):
        w.work(guarded)
        guarded.lock.release()


@operation(50)
def acquire_with_timeout(w):
    guarded = w.rng.choice(w.world.locks)
    taken, was_short = timed(w.rng, lambda timeout: guarded.lock.acquire(timeout=timeout))
    if taken:
        w.work(guarded)
        guarded.lock.release()
    else:
        check(not was_short, "a timeout was too short")


@operation(20)
def nested_locks(w):
    first, *_, last = w.world.locks  # all in one order
    with first.lock:
        w.wait(last.lock)
        w.work(last)
        last.lock.release()
        w.work(first)


@operation(10)
def time_out(w):
    lock = lowthread.allocate_lock()
    lock.acquire()
    taken, was_short = timed(w.rng, lambda timeout: lock.acquire(True, timeout))
    check(not taken, "a lock that is held was taken")
    check(not was_short, "a timeout was too short")


@operation(30)
def handlers_lock(w):
    if lowthread.get_ident() == lowthread._get_main_thread_ident():
        return  # whose handlers would wait for itself
    guarded = w.world.for_handlers
    with guarded.lock:
        guarded.work(w.rng)
    w.worked[guarded] += 1


@operation(30)
def tug(w):
    with w.world.tug:
        pass


@operation(20)
def look(w):
    guarded = w.rng.choice(w.world.locks + w.world.rlocks)
    check("locked" in repr(guarded.lock), "the repr of a lock")
    check(guarded.lock.locked() in (True, False), "locked()")
    check(weakref.ref(guarded.lock)() is guarded.lock, "a weak reference to a lock that lives")


@operation(20)
def private_lock(w):
    lock = w.rng.choice([lowthread.allocate_lock, lowthread.RLock])()
    check(refuses(lock.release), "a free lock was released")
    check(lock.acquire(), "a free lock was not taken")
    lock.release()
    check(refuses(lock.__exit__), "a free lock was left")
    if w.rng.random() < 0.5:
        lock.acquire()  # a held lock can go
    if w.rng.random() < 0.5:
        lock._at_fork_reinit()
        check(not lock.locked(), "a lock that was made anew is held")
    reference = weakref.ref(lock)
    del lock
    if CPYTHON:
        # Not at once: who forks looks at the frames of all threads, and with them the
        # interpreter keeps for a moment what was in them.
        deadline = time.monotonic() + 10
        while reference() is not None:
            check(time.monotonic() < deadline, "a lock outlives its last reference")
            time.sleep(0.001)


# ---- re-entrant locks ----


@operation(60)
def rlock(w):
    guarded = w.rng.choice(w.world.rlocks)
    lock, depth = guarded.lock, w.rng.randrange(1, 4)
    w.wait(lock)
    for _ in range(depth - 1):
        check(lock.acquire(w.rng.random() < 0.5), "the owner could not take a lock again")
    check(lock._is_owned() and lock._recursion_count() == depth, "the depth of an RLock")
    w.work(guarded)
    if w.rng.random() < 0.3:
        state = lock._release_save()
        check(not lock._is_owned(), "an RLock was not given up")
        lock._acquire_restore(state)
        check(lock._recursion_count() == depth, "the depth of an RLock, restored")
        w.work(guarded)
    for _ in range(depth):
        lock.release()
    check(lock._recursion_count() == 0, "the depth of an RLock, released")


@operation(30)
def with_rlock(w):
    guarded = w.rng.choice(w.world.rlocks)
    with guarded.lock, guarded.lock:
        w.work(guarded)
    check(not guarded.lock._is_owned(), "an RLock was not released")


@operation(20)
def others_rlock(w):
    lock = w.rng.choice(w.world.rlocks).lock
    check(refuses(lock.release), "an RLock of another thread's was released")
    check(refuses(lock._release_save), "an RLock of another thread's was given up")
    taken, was_short = timed(w.rng, lambda timeout: lock.acquire(timeout=timeout))
    if taken:
        lock.release()
    else:
        check(not was_short, "a timeout was too short")


# ---- threads ----


@operation(8)
def start_new_thread(w):
    report, done = w.new_report(), lowthread.allocate_lock()
    done.acquire()

    def run(*args, **kwargs):
        check((args, kwargs) == ((1, 2), {"three": 3}), "the arguments of a thread")
        w.report_in(report)
        done.release()
        if args[0] and kwargs:
            lowthread.exit()

    ident = lowthread.start_new_thread(run, (1, 2), {"three": 3})
    w.wait(done)
    w.check_report(report, ident)


@operation(8)
def start(w):
    report = w.new_report()
    thread = lowthread.start(
        w.report_in,
        report,
        name=w.rng.choice([None, "stress", "a rather long name \N{SNOWMAN}" * 3]),
        stack_size=w.rng.choice([None, 0, 256 << 10, 1 << 20]),
        daemon=w.rng.random() < 0.5,
    )
    check("ident=" in repr(thread), "the repr of a thread")
    check(w.wait_for(lambda: not thread.is_alive(), thread.join), "a thread was not joined")
    check(not thread.is_alive(), "a thread was joined and lives")
    w.check_report(report, thread.ident)


@operation(4)
def join_from_several(w):
    report, go = w.new_report(), lowthread.allocate_lock()
    go.acquire()

    def run():
        go.acquire()
        w.report_in(report)

    handle = lowthread.start_joinable_thread(run, daemon=w.rng.random() < 0.5)
    others = [w.new_report() for _ in range(3)]

    def join(other):
        handle.join()
        check(len(report) == 1, "a join was too early")
        w.report_in(other)

    threads = [lowthread.start(join, other) for other in others]
    _, was_short = timed(w.rng, handle.join)
    check(not was_short, "a join's timeout was too short")
    check(not handle.is_done(), "a thread is done before its time")
    go.release()
    w.wait_for(handle.is_done, handle.join)
    w.check_report(report, handle.ident)
    for thread, other in zip(threads, others):
        w.wait_for(lambda thread=thread: not thread.is_alive(), thread.join)
        w.check_report(other, thread.ident)
    check(
        refuses(lambda: lowthread.start_joinable_thread(run, handle)),
        "a handle has started a second thread",
    )


@operation(2)
def burst(w):
    reports = [w.new_report() for _ in range(w.rng.randrange(5, 20))]
    threads = [lowthread.start(w.report_in, report) for report in reports]
    while threads:
        number = w.rng.randrange(len(threads))
        thread, report = threads.pop(number), reports.pop(number)
        w.wait_for(lambda thread=thread: not thread.is_alive(), thread.join)
        w.check_report(report, thread.ident)


@operation(5)
def release_by_others(w):
    lock, number = lowthread.allocate_lock(), w.rng.randrange(1, 4)
    lock.acquire()
    refused = []

    def release():
        if refuses(lock.release):
            refused.append(None)

    threads = [lowthread.start(release) for _ in range(number)]
    if number == 1:
        w.wait(lock)
    for thread in threads:
        w.wait_for(lambda thread=thread: not thread.is_alive(), thread.join)
    check(len(refused) == number - 1, f"{len(refused)} of {number} releases were refused")


@operation(4)
def ping_pong(w):
    ping, pong = lowthread.allocate_lock(), lowthread.allocate_lock()
    ping.acquire()
    pong.acquire()
    rounds = w.rng.randrange(1, 50)
    seen = []

    def run():
        for number in range(rounds):
            ping.acquire()
            seen.append(number)
            pong.release()

    thread = lowthread.start(run)
    for number in range(rounds):
        ping.release()
        w.wait(pong)
        check(seen == list(range(number + 1)), "ping-pong: out of turn")
    w.wait_for(lambda: not thread.is_alive(), thread.join)


class Destroyed:
    """Counts in a list how often it has gone."""

    def __init__(self, gone):
        self.gone = gone

    def __del__(self):
        with lowthread.allocate_lock():
            self.gone.append(None)


@operation(4)
def thread_local_and_sentinel(w):
    local, gone, sentinels = lowthread._local(), [], []
    ready = lowthread.allocate_lock()
    ready.acquire()

    def run():
        local.value = Destroyed(gone)
        sentinel = lowthread._set_sentinel()
        sentinel.acquire()
        sentinels.append(sentinel)
        ready.release()

    lowthread.start_new_thread(run, ())
    w.wait(ready)
    w.wait(sentinels[0])
    if CPYTHON:
        check(gone == [None], "a thread has ended and left its values")
    check(not hasattr(local, "value"), "a thread sees another's value")


@operation(5)
def interrupt_main(w):
    lowthread.interrupt_main(w.rng.choice([signal.SIGINT, signal.SIGUSR1]))


# ---- what is around ----


@operation(0.5)
def collect(w):
    gc.collect(w.rng.randrange(2) if CPYTHON else 0)


@operation(2)
def switch_interval(w):
    sys.setswitchinterval(w.rng.choice([1e-6, 1e-5, 1e-4, 1e-3, 5e-3]))


@operation(2)
def stack_size(w):
    lowthread.stack_size(w.rng.choice([0, 256 << 10, 300_001, 1 << 20]))


@operation(0.5)
def fork(w):
    seed = w.rng.random()
    is_main = lowthread.get_ident() == lowthread._get_main_thread_ident()
    pid = os.fork()
    if pid == 0:
        try:
            in_child(w, seed, 0 if is_main else 1)
        except BaseException:
            fail(f"in a forked child:\n{traceback.format_exc()}")
        os._exit(0)
    deadline = time.monotonic() + LONG
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            check(status == 0, f"a forked child has ended with the status {status}")
            return
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGABRT)  # faulthandler's
            time.sleep(1)
            fail("a forked child does not end")
        time.sleep(0.0005)


def in_child(w, seed, running):
    """Be a forked child, in which `running` of lowthread's threads are left."""
    check(lowthread._count() == running, f"{lowthread._count()} threads in a child, not {running}")
    w.is_due = None
    w.world.living.clear()  # the others are gone
    for guarded in [*w.world.locks, *w.world.rlocks]:
        guarded.lock._at_fork_reinit()  # free, or held by a thread that is gone
        check(not guarded.lock.locked(), "a lock that was made anew is held")
        check(guarded.lock.acquire(False), "a lock that was made anew could not be taken")
        guarded.lock.release()
    guarded = Guarded(lowthread.LockType())

    def run(report):
        rng = random.Random(seed)
        for _ in range(20):
            with guarded.lock:
                guarded.work(rng)
        w.report_in(report)

    reports = [w.new_report() for _ in range(3)]
    thread = lowthread.start(run, reports[0])
    handle = lowthread.start_joinable_thread(lambda: run(reports[1]))
    lowthread.start_new_thread(run, (reports[2],))
    check(thread.join(LONG), "a child's thread does not end")
    handle.join(LONG)
    check(handle.is_done(), "a child's thread does not end")
    # Which is not counted before it runs.
    wait_until(lambda: all(reports), "a child's threads have run")
    wait_until(lambda: lowthread._count() == running, "a child's threads have ended")
    check([len(report) for report in reports] == [1, 1, 1], "a child's thread has run twice")
    check(guarded.value == 60, "mutual exclusion: work was lost in a child")
