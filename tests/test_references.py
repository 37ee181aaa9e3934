"""Nothing is leaked, and nothing is let go that is not ours: references are counted right."""

import gc
import sys

import pytest
from conftest import PYPY, run_script

import lowthread

pytestmark = pytest.mark.skipif(PYPY, reason="there is no counting of references on PyPy")

N = 1000


def free():
    return lowthread.allocate_lock()


def held():
    lock = lowthread.allocate_lock()
    lock.acquire()
    return lock


def enter_and_exit(lock):
    with lock:
        pass


def acquire_and_release(*args, **kwargs):
    def action(lock):
        lock.acquire(*args, **kwargs)
        lock.release()

    return action


def fails(error, function, *args, **kwargs):
    def action(lock):
        try:
            getattr(lock, function)(*args, **kwargs)
        except error:
            return
        raise AssertionError("did not raise")

    return action


def release_and_acquire(lock):
    lock.release()
    lock.acquire()


TIMEOUT = 1234.5
ACTIONS = {
    "with": (free, enter_and_exit),
    "acquire()": (free, acquire_and_release()),
    "acquire(True)": (free, acquire_and_release(True)),
    "acquire(False)": (free, acquire_and_release(False)),
    "acquire(1)": (free, acquire_and_release(1)),
    "acquire(True, t)": (free, acquire_and_release(True, TIMEOUT)),
    "acquire(timeout=t)": (free, acquire_and_release(timeout=TIMEOUT)),
    "acquire(blocking=, timeout=)": (free, acquire_and_release(blocking=True, timeout=TIMEOUT)),
    "acquire(False) of a held lock": (held, lambda lock: lock.acquire(False)),
    "acquire(timeout=0) of a held lock": (held, lambda lock: lock.acquire(timeout=0)),
    "too many arguments": (free, fails(TypeError, "acquire", TIMEOUT, TIMEOUT, TIMEOUT)),
    "an unknown argument": (free, fails(TypeError, "acquire", wait=TIMEOUT)),
    "a wrong argument": (free, fails(ValueError, "acquire", timeout=-TIMEOUT)),
    "release of a free lock": (free, fails(RuntimeError, "release")),
    "release": (held, release_and_acquire),
    "locked": (free, lambda lock: lock.locked()),
    "repr": (free, repr),
    "reinit": (free, lambda lock: lock._at_fork_reinit()),
    "a new one": (free, lambda lock: lowthread.LockType()),
    "a new one with arguments": (free, fails(TypeError, "__class__", TIMEOUT)),
    "interrupt_main": (free, lambda lock: lowthread.interrupt_main(64)),
    "stack_size": (free, lambda lock: lowthread.stack_size(0)),
    "get_ident": (free, lambda lock: (lowthread.get_ident(), lowthread.get_native_id())),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_references(name):
    make, action = ACTIONS[name]
    lock = make()
    watched = [True, False, None, TIMEOUT, lowthread.LockType, lock]

    def count():
        return [sys.getrefcount(thing) for thing in watched]

    for _ in range(10):
        action(lock)
    gc.collect()  # not meanwhile, when what other tests left behind goes
    gc.disable()
    try:
        before = count()
        for _ in range(N):
            action(lock)
        changes = [now - then for now, then in zip(count(), before)]
    finally:
        gc.enable()
    # The interpreter's own caches come and go; a mistake would show N times.
    assert all(abs(change) < N / 10 for change in changes), changes


def test_a_with_statement_that_waits_leaves_no_garbage():
    """Nor a lock that lives until somebody collects it."""
    run_script(
        """
        import gc, time
        import lowthread
        lock = lowthread.allocate_lock()
        waited = 0
        gc.collect()
        gc.disable()
        for _ in range(10):
            lock.acquire()
            thread = lowthread.start(lambda: (time.sleep(0.02), lock.release()))
            with lock:
                waited += 1
            thread.join()
        del thread
        assert gc.collect() == 0
        """
    ).ok()


@pytest.mark.parametrize("how", ["dump", "locks", "deadlocks", "profile"])
def test_no_frames_of_others_are_kept_until_garbage_is_collected(how):
    """Their variables are let go when the thread ends, though somebody has looked at its calls."""
    script = f"""
import gc, io, lowthread, time, weakref
gc.disable()
class Thing: pass
gone, may_end, lock = [], lowthread.lock(), lowthread.lock()
def holds():
    thing = Thing()
    gone.append(weakref.ref(thing))
    with lock:
        may_end.acquire()
def waits():
    with lock: pass
def look():
    if {how!r} == "dump":
        lowthread.dump(io.StringIO())
    elif {how!r} == "locks":
        lowthread.locks()
    time.sleep(0.1)
profile = lowthread.profile()
may_end.acquire()
if {how!r} == "profile":
    profile.start()
elif {how!r} == "deadlocks":
    lowthread.detect_deadlocks(0.01)
threads = [lowthread.start(holds)]
while not lock.locked(): time.sleep(0.001)
threads.append(lowthread.start(waits))
while not lowthread.locks(): time.sleep(0.001)
look()
may_end.release()
for thread in threads: assert thread.join(60)
profile.stop()
assert gone[0]() is None, gc.get_referrers(gone[0]())
"""
    run_script(script).ok()
