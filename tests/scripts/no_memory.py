"""Run an operation with each of its allocations failing; used by test_out_of_memory.py.

Arguments: the name of an operation below, and whose allocations fail: `python`, the
interpreter's, or `system`, what lowthread's own library asks of the C library.
"""

import _thread as host
import gc
import sys
import threading  # noqa: F401  -- CPython 3.13 prints what goes wrong when this is imported
import time
import weakref

import lowthread

operation, whose = sys.argv[1:]
LONG = 30  # seconds

if whose == "python":
    import _testcapi

    # More than any operation has; after that many, it must go well.
    LAST = 150
    fail_at = _testcapi.set_nomemory
    stop_failing = _testcapi.remove_mem_hooks
    # One fails, or two in succession. Not all from then on: to handle an exception without any
    # memory, CPython 3.12 tries for ever.
    PLANS = [(n, n + more) for more in (1, 2) for n in range(LAST)]
else:
    import ctypes

    _library = ctypes.CDLL(None)
    LAST = 20
    fail_at = _library.fail_at

    def stop_failing():
        fail_at(0)

    PLANS = [(n + 1,) for n in range(LAST)]


def wait_until(condition):
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def outcome_of(attempt, plan):
    """Return what `attempt()` returns, or the exception that it raises."""
    try:
        fail_at(*plan)
        try:
            return attempt()
        finally:
            stop_failing()
    except (MemoryError, RuntimeError) as error:
        return error


def failed(outcome):
    return isinstance(outcome, (MemoryError, RuntimeError))


class Operation:
    """Something to try; `check` is told how that went, and may not leave anything behind."""

    may_raise = MemoryError

    def prepare(self):
        pass

    def attempt(self):
        raise NotImplementedError

    def check(self, outcome):
        pass


class Make(Operation):
    def __init__(self, make):
        self.attempt = make

    def check(self, lock):
        if not failed(lock):
            assert lock.acquire() and lock.locked()
            lock.release()
            assert not lock.locked()


class Free(Operation):
    """What is called with an argument that is a lock that nobody has."""

    make = staticmethod(lowthread.allocate_lock)
    value = True

    def __init__(self, call):
        self.call = call

    def prepare(self):
        self.lock = self.make()
        lock, call = self.lock, self.call
        self.attempt = lambda: call(lock)

    def check(self, outcome):
        if not failed(outcome):
            assert outcome is self.value, outcome
        assert self.lock.locked() is (not failed(outcome) and self.value)
        if self.lock.locked():
            self.lock.release()


class FreeRLock(Free):
    make = staticmethod(lowthread.RLock)


class Held(Free):
    """The same with one that another thread has, or the caller."""

    value = False

    def prepare(self):
        super().prepare()
        self.lock.acquire()

    def check(self, outcome):
        assert failed(outcome) or outcome is self.value, outcome
        assert self.lock.locked()
        self.lock.release()


class HandedOver(Free):
    """It waits until the interpreter's own thread releases it."""

    def prepare(self):
        super().prepare()
        self.lock.acquire()
        self.gate, self.over = host.allocate_lock(), host.allocate_lock()
        self.gate.acquire()
        self.over.acquire()
        lock, gate, over, call = self.lock, self.gate, self.over, self.call

        def release():
            gate.acquire()
            time.sleep(0.001)
            while True:  # it is not this release that is looked at
                try:
                    lock.release()
                    break
                except MemoryError:  # then it has not released it (`Release` sees to that)
                    pass
            over.release()

        def wait():
            gate.release()
            return call(lock)

        host.start_new_thread(release, ())
        self.attempt = wait

    def check(self, outcome):
        if self.gate.locked():
            self.gate.release()
        self.over.acquire()
        super().check(outcome)


class Release(Free):
    value = None

    def prepare(self):
        super().prepare()
        self.lock.acquire()

    def check(self, outcome):
        assert failed(outcome) or outcome is None
        assert self.lock.locked() is failed(outcome)


class Look(Free):
    """What changes nothing."""

    def check(self, outcome):
        assert not self.lock.locked()
        assert self.lock.acquire(False)
        self.lock.release()


class LookAtRLock(Look):
    make = staticmethod(lowthread.RLock)


class Sentinel(Operation):
    """In a thread of its own, whose end releases it."""

    def prepare(self):
        self.ended = host.allocate_lock()
        self.ended.acquire()

    def attempt(self):
        return lowthread._set_sentinel()

    def check(self, outcome):
        if not failed(outcome):
            assert not outcome.locked()


class Start(Operation):
    """It runs as often as it was started, and counts until it has ended."""

    may_raise = (MemoryError, RuntimeError)
    # As with the interpreter's own, what returns the ident has to make it, in the end.
    may_have_run = True

    def __init__(self, start):
        self.start = start

    def prepare(self):
        # The interpreter's own lock: to release it takes no memory.
        self.ran = host.allocate_lock()
        self.ran.acquire()
        start, release = self.start, self.ran.release
        self.attempt = lambda: start(release)

    def check(self, outcome):
        if failed(outcome):
            wait_until(lambda: lowthread._count() == 0)
            if self.may_have_run:
                return
            assert not self.ran.acquire(True, 0.002), "it raised, and has run"
        else:
            assert self.ran.acquire(True, LONG), "the thread is lost"
            self.join(outcome)
        wait_until(lambda: lowthread._count() == 0)

    def join(self, outcome):
        assert type(outcome) is int


class StartJoinable(Start):
    may_have_run = False

    def join(self, outcome):
        outcome.join(LONG)
        assert outcome.is_done() if hasattr(outcome, "is_done") else not outcome.is_alive()


class StartWithHandle(StartJoinable):
    def prepare(self):
        super().prepare()
        self.handle = handle = lowthread._ThreadHandle()
        release = self.ran.release
        self.attempt = lambda: lowthread.start_joinable_thread(release, handle)

    def check(self, outcome):
        if failed(outcome) and not self.handle.is_done():
            # It has not come so far that the handle is used.
            assert self.handle.ident == 0
        super().check(outcome)


class Join(Operation):
    def __init__(self, join):
        self.join = join

    def prepare(self):
        self.handle = handle = lowthread.start(int)
        join = self.join
        self.attempt = lambda: join(handle)

    def check(self, outcome):
        assert failed(outcome) or outcome is True
        assert self.handle.join()
        assert not self.handle.is_alive()


class Local(Operation):
    def prepare(self):
        self.local = local = lowthread._local()

        def attempt():
            local.value = object()
            return local.value

        self.attempt = attempt

    def check(self, outcome):
        self.local.value = 1
        assert self.local.value == 1 and vars(self.local) == {"value": 1}


class Call(Operation):
    def __init__(self, call):
        self.attempt = call


OPERATIONS = {
    "allocate_lock": Make(lowthread.allocate_lock),
    "lock": Make(lowthread.lock),
    "RLock": Make(lowthread.RLock),
    "acquire": Free(lambda lock: lock.acquire()),
    "acquire_timeout": Free(lambda lock: lock.acquire(timeout=1.5)),
    "acquire_held": Held(lambda lock: lock.acquire(False)),
    "acquire_times_out": Held(lambda lock: lock.acquire(True, 0.001)),
    "acquire_handed_over": HandedOver(lambda lock: lock.acquire()),
    "acquire_handed_over_timeout": HandedOver(lambda lock: lock.acquire(timeout=LONG)),
    "enter": Free(lambda lock: lock.__enter__()),
    "release": Release(lambda lock: lock.release()),
    "repr": Look(repr),
    "weakref": Look(lambda lock: weakref.ref(lock)() is lock),
    "rlock_acquire": FreeRLock(lambda lock: lock.acquire()),
    "rlock_timeout": FreeRLock(lambda lock: lock.acquire(timeout=1.5)),
    "rlock_repr": LookAtRLock(repr),
    "rlock_weakref": LookAtRLock(lambda lock: weakref.ref(lock)() is lock),
    "sentinel": Sentinel(),
    "start_new_thread": Start(lambda f: lowthread.start_new_thread(f, ())),
    "start_new_thread_kwargs": Start(lambda f: lowthread.start_new_thread(f, (), {})),
    "start": StartJoinable(lambda f: lowthread.start(f)),
    "start_named": StartJoinable(lambda f: lowthread.start(f, name="a name")),
    "start_stack_size": StartJoinable(lambda f: lowthread.start(f, stack_size=1 << 20)),
    "start_awaited": StartJoinable(lambda f: lowthread.start(f, daemon=False)),
    "start_joinable_thread": StartJoinable(lambda f: lowthread.start_joinable_thread(f)),
    "start_joinable_handle": StartWithHandle(None),
    "join": Join(lambda handle: handle.join()),
    "join_timeout": Join(lambda handle: handle.join(LONG)),
    "handle": Call(lowthread._ThreadHandle),
    "make_handle": Call(lambda: lowthread._make_thread_handle(12345)._set_done()),
    "local": Local(),
    "count": Call(lowthread._count),
    "ident": Call(lowthread.get_ident),
    "native_id": Call(lowthread.get_native_id),
    "stack_size": Call(lambda: lowthread.stack_size(0)),
    "name": Call(lambda: lowthread.set_name("a name")),
}


def main():
    try_it = OPERATIONS[operation]
    failures = 0
    last = None
    for plan in PLANS:
        try_it.prepare()
        last = outcome_of(try_it.attempt, plan)
        if failed(last):
            failures += 1
            assert isinstance(last, try_it.may_raise), repr(last)
        try_it.check(last)
    assert not failed(last), f"still failing: {last!r}"
    last = None
    gc.collect()
    assert lowthread._count() == 0
    print(failures)


if __name__ == "__main__":
    main()
