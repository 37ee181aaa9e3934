"""A thousand signals a second, with handlers that raise, and that use locks themselves."""

import sys

import pytest
from conftest import PYPY, run_script

pytestmark = pytest.mark.slow

#: The interpreter itself may run a handler when the body of a `with` has been left and
#: `__exit__` has not been called yet.
LEAKY = PYPY or sys.version_info < (3, 10)

STORM = """
import gc, signal, sys, time
import lowthread

class Raised(Exception):
    pass

armed = False

def raises(*args):
    "Raise, but once only: what deals with that is not to be disturbed."
    global armed
    if armed:
        armed = False
        raise Raised

def storm(handler):
    gc.collect()  # no callback of a weak reference is to swallow what is raised
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.00101)

def calm():
    signal.setitimer(signal.ITIMER_REAL, 0)

def until(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
"""


def storm(script, *args):
    return run_script(STORM + script, *args).ok()


makes = pytest.mark.parametrize("make", ["allocate_lock", "RLock"])


@makes
@pytest.mark.parametrize("is_profiled", ["", "in a profile"])
def test_a_with_statement_that_has_to_wait(make, is_profiled):
    """Whatever the exception ends: if the body is not left, the lock is not held."""
    left, entered = storm(
        """
lock = getattr(lowthread, sys.argv[1])()
stop = False
counter = 0

def compete():
    global counter
    while not stop:
        with lock:
            seen = counter
            time.sleep(0.0003)
            counter = seen + 1

profile = lowthread.profile()
if sys.argv[3]:  # which is told of the waits that are over, and notes others
    profile.start()
threads = [lowthread.start(compete) for _ in range(2)]
storm(raises)
left = entered = 0
for _ in until(2):
    try:
        armed = True
        while True:
            with lock:
                entered += 1
    except Raised:
        pass
    # Nobody keeps it for longer than a moment.
    if not lock.acquire(timeout=float(sys.argv[2])):
        left += 1
        lock._at_fork_reinit()
    elif getattr(lock, "_recursion_count", lambda: 1)() > 1:
        left += 1
        lock.release()
        lock.release()
    else:
        lock.release()
calm()
stop = True
for thread in threads:
    assert thread.join(30)
profile.stop()
print(left, entered)
""",
        make,
        1 if LEAKY else 10,
        is_profiled,
    ).split()
    assert int(entered) > 0
    assert int(left) <= (60 if LEAKY else 0)


@makes
def test_a_wait_that_cannot_succeed(make):
    raised = storm(
        """
lock = getattr(lowthread, sys.argv[1])()
gate = lowthread.allocate_lock()
gate.acquire()

def hold():
    with lock:
        gate.acquire()

holder = lowthread.start(hold)
while not lock.locked():
    time.sleep(0.001)
storm(raises)
raised = 0
for _ in until(1):
    for wait in [lock.acquire, lambda: lock.acquire(timeout=30), lock.__enter__, holder.join]:
        try:
            armed = True
            wait()
        except Raised:
            raised += 1
        else:
            raise AssertionError("cannot be")
calm()
assert lock.locked()
gate.release()
holder.join()
assert not lock.locked()
assert lock.acquire(False)
print(raised)
""",
        make,
    )
    assert int(raised) > 20


def test_threads_that_are_started_and_joined():
    """Each start that returns has started one thread; one that raises, one or none."""
    started, raised, ran = storm(
        """
ran = lowthread.allocate_lock()
runs = []
started = raised = 0
storm(raises)
for _ in until(1.5):
    thread = None
    try:
        armed = True
        while True:
            n = len(runs)
            thread = lowthread.start(runs.append, 1)
            started += 1
            thread.join()
            assert not thread.is_alive()
    except Raised:
        raised += 1
    if thread is not None:
        assert thread.join(30)
        assert not thread.is_alive()
calm()
end = time.monotonic() + 30
while lowthread._count():
    assert time.monotonic() < end
    time.sleep(0.001)
print(started, raised, len(runs))
"""
    ).split()
    started, raised, ran = int(started), int(raised), int(ran)
    assert raised > 0
    assert started <= ran <= started + raised


def test_handlers_that_use_locks():
    """While the code that they interrupt uses others, and those that it cannot wait for."""
    storm(
        """
lock, handlers, recursive = lowthread.allocate_lock(), lowthread.allocate_lock(), lowthread.RLock()
calls = taken = entered = 0

def uses(*args):
    try:
        use()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.001)  # the next one, when this is done

def use():
    global calls, taken, entered
    calls += 1
    with recursive:
        entered += 1
    if handlers.acquire(False):
        try:
            assert not handlers.acquire(timeout=0)
            if lock.acquire(timeout=0.0002):
                taken += 1
                lock.release()
        finally:
            handlers.release()

stop = False

def compete():
    while not stop:
        with lock:
            pass
        if lock.acquire(timeout=0.0005):
            lock.release()
        with recursive, recursive:
            time.sleep(0.0001)

threads = [lowthread.start(compete) for _ in range(3)]
signal.signal(signal.SIGALRM, uses)
signal.setitimer(signal.ITIMER_REAL, 0.001)
passes = 0
for _ in until(2):
    with lock:
        passes += 1
    with recursive:
        passes += 1
        time.sleep(0.0001)
    if lock.acquire(timeout=0.001):
        lock.release()
    lowthread.start(int).join()
signal.signal(signal.SIGALRM, signal.SIG_IGN)
calm()
stop = True
for thread in threads:
    assert thread.join(30)
assert not lock.locked() and not handlers.locked() and not recursive.locked()
assert passes and calls > 20 and taken and entered == calls, (passes, calls, taken, entered)
"""
    )


def test_no_timeout_is_short_and_none_is_long():
    """The wait is taken up again after each signal."""
    longest = storm(
        """
lock = lowthread.allocate_lock()
lock.acquire()
calls = 0
def count(*args):
    global calls
    calls += 1
storm(count)
longest = 0
for _ in range(10):
    begin = time.monotonic()
    assert lock.acquire(timeout=0.1) is False
    waited = time.monotonic() - begin
    assert waited >= 0.1
    longest = max(longest, waited)
calm()
assert calls > 20
print(longest)
"""
    )
    assert float(longest) < 30


def test_the_signal_that_comes_just_before_the_wait():
    """It is not lost: the main thread looks again by itself."""
    late = storm(
        """
lock = lowthread.allocate_lock()
lock.acquire()
late = 0
for n in range(300):
    try:
        armed = True
        signal.signal(signal.SIGALRM, raises)
        begin = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + n % 60))
        lock.acquire()
    except Raised:
        pass
    late += time.monotonic() - begin > 5
print(late)
"""
    )
    assert int(late) == 0
