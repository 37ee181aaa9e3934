"""What the main thread does besides: signals come all the time, and some handlers raise.

A handler raises only while it is allowed, which is around what is in a defined state after
that: a `with`, which must have released its lock; an `acquire` that cannot succeed; a join.
"""

import os
import random
import signal
import sys

import lowthread
from stress.world import LONG, Worker, check, unraisable

INTERVAL = 0.001


class Raised(Exception):
    """What a handler raises."""


class Main(Worker):
    """The worker that is the main thread."""

    def __init__(self, world):
        super().__init__(world, "main")
        self.may_raise = False
        self.is_handling = False
        self.process = os.getpid()
        self.handlers_rng = random.Random(f"{world.seed} handlers")
        for signum in [signal.SIGALRM, signal.SIGINT, signal.SIGUSR1]:
            signal.signal(signum, self.handle)
        sys.unraisablehook = self.ignore_raised

    def run(self, operations):
        signal.setitimer(signal.ITIMER_REAL, INTERVAL, INTERVAL)
        super().run(operations)
        signal.setitimer(signal.ITIMER_REAL, 0)

    def handle(self, signum, frame):
        if self.is_handling or os.getpid() != self.process:
            return  # in a forked child, the locks may be those of threads that are gone
        self.is_handling = True
        self.figures["signal"] += 1
        try:
            if self.may_raise and self.handlers_rng.random() < 0.5:
                self.may_raise = False
                self.figures["signal_that_raises"] += 1
                raise Raised
            self.use_locks(self.handlers_rng)
        finally:
            self.is_handling = False

    def ignore_raised(self, args):
        """Be `sys.unraisablehook`: if a handler raised in a `__del__`, it is to raise again."""
        if args.exc_type is Raised:
            self.may_raise = True
        else:
            unraisable(args)

    def use_locks(self, rng):
        dice = rng.random()
        if dice < 0.02:  # not more: most of the time is others'
            guarded = self.world.for_handlers  # which the main thread has only here
            with guarded.lock:
                guarded.work(rng)
            self.worked[guarded] += 1
        elif dice < 0.2:
            lock = rng.choice(self.world.locks).lock
            if lock.acquire(False):  # the main thread may have it
                lock.release()

    def until_raised(self, function, *args):
        """Call the function, of which a handler may raise; return whether one did."""
        try:
            self.may_raise = True
            function(*args)
            self.may_raise = False
        except Raised:
            return True
        return False


def spin(lock, times):
    with lock:
        for _ in range(times):
            pass


def raise_in_with(w):
    lock = lowthread.allocate_lock()
    times = w.rng.randrange(50)
    for _ in range(100):
        if w.until_raised(spin, lock, times):
            break
    check(not lock.locked(), "a `with` was left by an exception and has not released its lock")


def raise_in_with_rlock(w):
    lock = w.rng.choice(w.world.rlocks).lock
    times = w.rng.randrange(50)
    for _ in range(20):
        if w.until_raised(spin, lock, times):
            break
    check(not lock._is_owned(), "a `with` was left by an exception and has not released its RLock")


def raise_in_with_contended(w):
    times = w.rng.randrange(50)
    for _ in range(20):
        if w.until_raised(spin, w.world.tug, times):
            break
    # The others give it back at once.
    what = "a `with` was left by an exception and nobody can have its lock"
    check(w.world.tug.acquire(timeout=LONG), what)
    w.world.tug.release()


def raise_in_acquire(w):
    lock = lowthread.allocate_lock()
    lock.acquire()
    timeout = w.rng.choice([-1, LONG])
    check(w.until_raised(lock.acquire, True, timeout), "a wait has ended by itself")
    check(lock.locked(), "a lock that is held was released")
    lock.release()


def raise_in_join(w):
    lock = lowthread.allocate_lock()
    lock.acquire()
    thread = lowthread.start(lock.acquire)
    check(w.until_raised(thread.join), "a join has ended by itself")
    check(thread.is_alive(), "a thread has ended by itself")
    lock.release()
    check(w.wait_for(lambda: not thread.is_alive(), thread.join), "a thread was not joined")


#: [(function, weight)], for the main thread only
raising = [(raise_in_acquire, 10), (raise_in_join, 10)]

# In CPython 3.9 and PyPy 3.9 an exception may come between the block and the call of __exit__:
# their own locks stay held too.
if sys.version_info >= (3, 10):
    raising += [(raise_in_with, 20), (raise_in_with_rlock, 20), (raise_in_with_contended, 20)]
