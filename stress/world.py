"""What the operations share: checks, locks that are checked, and threads that are."""

import collections
import faulthandler
import os
import random
import time
import traceback

import lowthread

#: How long something that must happen may take on a busy machine, in seconds.
LONG = 60


def fail(what):
    """Say what is wrong and where all threads are; end the process."""
    os.write(2, f"FAILED: {what}\n".encode())
    faulthandler.dump_traceback(all_threads=True)
    os._exit(1)


def check(condition, what):
    if not condition:
        fail(what)


def wait_until(condition, what):
    deadline = time.monotonic() + LONG
    while not condition():
        check(time.monotonic() < deadline, f"still not: {what}")
        time.sleep(0.001)


class Guarded:
    """A lock, and a counter and an owner that nothing but the lock guards."""

    def __init__(self, lock):
        self.lock = lock
        self.owner = None
        self.value = 0

    def work(self, rng):
        """Change what is guarded; the lock must be held."""
        me = object()
        check(self.owner is None, "mutual exclusion: two threads have one lock")
        self.owner = me
        value = self.value
        if rng.random() < 0.05:
            time.sleep(0)  # others come to wait
        for _ in range(rng.randrange(30)):
            pass
        check(self.owner is me and self.value == value, "mutual exclusion: a lock was not kept")
        self.value = value + 1
        self.owner = None


class World:
    """What all threads of a run use."""

    def __init__(self, seed, locks=3):
        self.seed = seed
        # What stress/broken.py breaks is the type; locks of one's own are from allocate_lock.
        self.locks = [Guarded(lowthread.LockType()) for _ in range(locks)]
        self.rlocks = [Guarded(lowthread.RLock()) for _ in range(2)]
        self.for_handlers = Guarded(lowthread.LockType())
        # The main thread's exceptions leave a `with` of it: not for a lock with methods in Python.
        self.tug = lowthread.allocate_lock()
        self.living = {}  # ident: what tells the thread from others
        self.latest = collections.deque(maxlen=1000)  # what the latest threads have reported
        self.is_over = False
        self.workers = []

    def figures(self):
        """Return how often each operation was done."""
        total = collections.Counter()
        for worker in list(self.workers):
            for name, count in list(worker.figures.items()):
                total[name] += count
        return total

    def check_sums(self):
        """Check, when no worker runs, that no work under a lock was lost."""
        done = collections.Counter()
        for worker in self.workers:
            done.update(worker.worked)
        for guarded in [*self.locks, *self.rlocks, self.for_handlers]:
            check(guarded.value == done[guarded], "mutual exclusion: work was lost")
            check(not guarded.lock.locked(), "a lock is held at the end")
        for report in self.latest:
            check(len(report) == 1, f"a thread has run {len(report)} times")


class Worker:
    """A thread that does operations, chosen by the seed and its name."""

    def __init__(self, world, name):
        self.world = world
        self.name = name
        self.rng = random.Random(f"{world.seed} {name}")
        self.figures = collections.Counter()
        self.worked = collections.Counter()
        self.is_due = None  # for the monitor: whether what is waited for has come
        world.workers.append(self)

    def run(self, operations):
        """Do operations until the world's end. operations: [(function, weight)]"""
        functions, weights = zip(*operations)
        try:
            while not self.world.is_over:
                for function in self.rng.choices(functions, weights, k=20):
                    function(self)
                    self.figures[function.__name__] += 1
        except BaseException:
            fail(f"in the thread {self.name}:\n{traceback.format_exc()}")

    def wait(self, lock):
        """Acquire a lock, without a timeout."""
        self.wait_for(lambda: not lock.locked(), lock.acquire)

    def wait_for(self, is_due, wait, *args):
        """Call what waits; when `is_due()` stays true, it has been forgotten."""
        self.is_due = is_due
        try:
            return wait(*args)
        finally:
            self.is_due = None

    def work(self, guarded):
        """Do something under a lock that is held."""
        guarded.work(self.rng)
        self.worked[guarded] += 1

    def new_report(self):
        """Return what a new thread is to give to `report_in`."""
        report = []
        self.world.latest.append(report)
        return report

    def report_in(self, report):
        """Note, in a new thread, that it runs. `check_report` is for who has started it."""
        me = lowthread.get_ident()
        other = self.world.living.setdefault(me, report)
        check(other is report, "two threads that live have one ident")
        report.append(me)
        check(self.world.living.pop(me) is report, "two threads that live have one ident")

    def check_report(self, report, ident):
        check(len(report) == 1, f"a thread has run {len(report)} times")
        check(report[0] == ident, "a thread's ident is not what the start has returned")


def watch(world, patience):
    """Print how it goes, every second, and see that nobody waits for what has come.

    The lock of a long wait may have been had by others meanwhile; but not each time.
    """
    waits = {}  # worker: what it waits for, since when, how often that had come
    printed = 0
    while not world.is_over:
        now = time.monotonic()
        for worker in list(world.workers):
            is_due = worker.is_due
            wait = waits.get(worker)
            if wait is None or wait[0] is not is_due:
                wait = waits[worker] = [is_due, now, 0]
            if is_due is None or not is_due():
                continue
            wait[2] += 1
            if wait[2] > 15 and now - wait[1] > patience:
                fail(f"lost wake-up: what {worker.name} waits for has long come")
        if now - printed > 1:
            printed = now
            print(sum(world.figures().values()), flush=True)
        time.sleep(0.1)


def memory():
    """Return how many bytes the process has in memory, or None."""
    try:
        with open("/proc/self/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def check_memory(before, after):
    if before is not None:
        what = f"memory grows: {before >> 20} MB, then {after >> 20} MB"
        check(after < 1.5 * before + (64 << 20), what)


def unraisable(args):
    """Say what was given to `sys.unraisablehook`: no thread here ends with an exception."""
    lines = traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback)
    fail(f"{args.err_msg} {args.object!r}\n{''.join(lines)}")
