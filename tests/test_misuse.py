"""What no program should do, or not there: nothing hangs or crashes, and all is right after."""

import pytest
from conftest import PYPY, run_script

import lowthread

BEGIN = """
import gc, os, signal, sys, threading, time, weakref
import lowthread

def wait_until(condition):
    deadline = time.monotonic() + 50
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)

def ends():
    wait_until(lambda: lowthread._count() == 0)

def all_is_right(*locks):
    # Nothing is counted, locks are free and work, and threads start and can be joined.
    ends()
    for lock in locks:
        assert lock.acquire(False)
        other = []
        thread = lowthread.start(lambda: other.append(lock.acquire(timeout=0.001)))
        assert thread.join(50)
        assert other == [False], other
        lock.release()
    done = lowthread.allocate_lock()
    done.acquire()
    lowthread.start_new_thread(done.release, ())
    assert done.acquire(timeout=50)
    ends()
"""


def check(script, **options):
    assert run_script(BEGIN + script, **options).ok() == "end\n"


def test_two_threads_release_at_once():
    """One of them has released it, and the other is told that it was free."""
    check(
        """
lock = lowthread.allocate_lock()
ROUNDS = 2000
verdicts = [[], []]
there, ended, taken = [0, 0], [0, 0], [0]
def release(who):
    for round in range(1, ROUNDS + 1):
        there[who] = round
        while there[1 - who] < round:
            time.sleep(0)
        if who == 0:
            lock.acquire()
            taken[0] = round
        while taken[0] < round:
            time.sleep(0)
        try:
            lock.release()
        except RuntimeError as error:
            assert str(error) == "release unlocked lock", error
            verdicts[who].append(False)
        else:
            verdicts[who].append(True)
        ended[who] = round
        while ended[1 - who] < round:
            time.sleep(0)
threads = [lowthread.start(release, who) for who in (0, 1)]
for thread in threads:
    thread.join()
assert len(verdicts[0]) == len(verdicts[1]) == ROUNDS
assert all(a != b for a, b in zip(*verdicts))
all_is_right(lock)
print("end")
""",
        timeout=300,
    )


@pytest.mark.parametrize("make", ["allocate_lock", "RLock"])
@pytest.mark.parametrize("way", ["acquire({})", "acquire({}, 50)", "__enter__({})"])
def test_a_waiter_keeps_its_lock_alive(make, way):
    check(
        f"""
lock = lowthread.{make}()
alive = weakref.ref(lock)
has_it, go_on = lowthread.allocate_lock(), lowthread.allocate_lock()
has_it.acquire()
go_on.acquire()
begun, got = [], []
class Blocking:
    def __bool__(self):
        begun.append(1)  # the call has its lock by now
        return True
def keep():
    alive().acquire()
    has_it.release()
    go_on.acquire()
    alive().release()
def wait():
    got.append(alive().{way.format("Blocking()")})
keeper = lowthread.start(keep)
has_it.acquire()
waiter = lowthread.start(wait)
wait_until(lambda: begun)
time.sleep(0.05)  # for the wait to have begun; before that it is kept as well
del lock
for _ in range(3):
    gc.collect()
assert alive() is not None
go_on.release()
keeper.join()
waiter.join()
assert got == [True], got
wait_until(lambda: gc.collect() is None or alive() is None)
all_is_right()
print("end")
"""
    )


# ---- re-entrant use ----

#: use() does all that can be done with locks and threads, and counts that it has.
USE = """
lock, rlock = lowthread.allocate_lock(), lowthread.RLock()
uses, depth = [], [0]
def use():
    # Not while it is in use already: what it does is what calls it.
    if depth[0]:
        return
    depth[0] += 1
    try:
        inner = lowthread.allocate_lock()
        with inner:
            assert not inner.acquire(timeout=0.0001)
        if rlock.acquire(timeout=50):
            rlock.release()
        thread = lowthread.start(inner.acquire)
        assert thread.join(50)
        assert inner.locked()
        lowthread.start_joinable_thread(inner.release).join()
        assert not inner.locked()
        inner.acquire()
        lowthread.start_new_thread(inner.release, ())
        assert inner.acquire(timeout=50)
        uses.append(1)
    finally:
        depth[0] -= 1
"""

#: Lines in which something else is called, and so does use().
CALLS = """
def work():
    for _ in range(20):
        with lock:
            pass
        assert lock.acquire(True, 50)
        assert not lock.acquire(timeout=0.0001)
        lock.release()
        with rlock, rlock:
            rlock.acquire(timeout=0.01)
            rlock.release()
        lowthread.start(int).join()
        lowthread.start_joinable_thread(int).join()
        lowthread.start_new_thread(int, ())
"""

FINISH = """
assert uses
all_is_right(lock, rlock)
print("end")
"""

REENTRANT = {
    "destructors": """
class Last:
    def __del__(self):
        use()
for _ in range(20):
    Last()
    thread = lowthread.start(lambda last: None, Last())
    thread.join()
    local = lowthread._local()
    def keep():
        local.value = Last()
    lowthread.start(keep).join()
    del local
work()
gc.collect()
wait_until(lambda: gc.collect() is None or uses)
""",
    "destructors of what the collector finds": """
class Last:
    def __init__(self):
        self.itself = self
    def __del__(self):
        use()
gc.set_threshold(1, 1, 1) if hasattr(gc, "set_threshold") else None
for _ in range(10):
    Last()
    work()
if hasattr(gc, "set_threshold"):
    gc.set_threshold(700, 10, 10)
wait_until(lambda: gc.collect() is None or uses)
""",
    "callbacks of weak references": """
class Thing:
    pass
kept = []
def watched():
    thing = Thing()
    kept.append(weakref.ref(thing, lambda ref: use()))
    return thing
for _ in range(20):
    watched()
    lowthread.start(lambda thing: None, watched()).join()
    with lock:
        watched()
    work()
wait_until(lambda: gc.collect() is None or uses)
""",
    "audit hooks": """
tried, nested = [], []
def hook(event, args):
    if on and event.startswith("_thread.start"):
        if len(tried) < 5:  # starts inside of the start that is announced
            tried.append(1)
            lowthread.start(nested.append, 1)
        use()
on = True
sys.addaudithook(hook)
work()
on = False
wait_until(lambda: lowthread._count() == 0)
assert len(nested) == 5
""",
    "a trace function": """
def trace(frame, event, arg):
    if "lowthread" not in frame.f_code.co_filename:
        use()
    return trace
threading.settrace(trace)
sys.settrace(trace)
work()
sys.settrace(None)
threading.settrace(None)
""",
    "a trace function inside of lowthread": """
def trace(frame, event, arg):
    use()
    return trace
sys.settrace(trace)
work()
sys.settrace(None)
""",
    "a profile function": """
def profile(frame, event, arg):
    use()
threading.setprofile(profile)
sys.setprofile(profile)
work()
sys.setprofile(None)
threading.setprofile(None)
""",
    "a trace function in threads of threading": """
lowthread.install()
def trace(frame, event, arg):
    use()
    return trace
threading.settrace(trace)
threading.setprofile(trace)
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
threading.settrace(None)
threading.setprofile(None)
""",
    "the hook for what a thread raises": """
def fails():
    raise ValueError
def hook(args):
    assert args.exc_type is ValueError
    use()
sys.unraisablehook = hook
for _ in range(20):
    lowthread.start(fails).join()
    work()
""",
    "a signal handler": """
signal.signal(signal.SIGALRM, lambda *args: use())
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
deadline = time.monotonic() + 50
while len(uses) < 50:
    assert time.monotonic() < deadline
    work()
signal.setitimer(signal.ITIMER_REAL, 0)
""",
    "methods of arguments": """
class Argument:
    def __bool__(self):
        use()
        return True
    def __index__(self):
        use()
        return 1
    def __eq__(self, other):
        use()
        return True
    def __hash__(self):
        use()
        return 1
    def __call__(self, *args, **kwargs):
        use()
class Name(str):
    def __str__(self):
        use()
        return "name"
    def encode(self, *args):
        use()
        return b"name"
argument = Argument()
for _ in range(20):
    assert lock.acquire(argument, argument)
    assert not lock.acquire(argument, timeout=0.0001)
    lock.release()
    assert rlock.acquire(argument, argument)
    rlock.release()
    handle = lowthread.start(argument, argument, argument, a=argument, name=Name("x"))
    assert handle.join(argument)
    lowthread.start(argument, daemon=argument).join()
    lowthread.start_joinable_thread(argument, None, argument).join()
    lowthread.start_new_thread(argument, (argument,), {"a": argument})
    ends()
    for function in [lowthread.stack_size, lowthread.interrupt_main]:
        try:
            function(argument)  # 1: too little for a stack; a signal that is not handled
        except ValueError:
            pass
    try:
        lock._at_fork_reinit(argument)
    except TypeError:
        pass
    local = lowthread._local()
    setattr(local, Name("value"), argument)
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REENTRANT)
def test_what_is_called_in_the_middle_may_use_it_too(name):
    check(USE + CALLS + REENTRANT[name] + FINISH, timeout=240)


def test_a_destructor_that_takes_the_lock_which_its_thread_waits_for():
    """By a timeout: to wait without one would be to wait for oneself."""
    check(
        USE
        + CALLS
        + """
class Last:
    def __init__(self):
        self.itself = self
    def __del__(self):
        uses.append(lock.acquire(timeout=0.0005))
        if uses[-1]:
            lock.release()
        with rlock:
            pass
for _ in range(200):
    Last()
    with lock:
        gc.collect()
        Last()
    with rlock:
        gc.collect()
wait_until(lambda: gc.collect() is None or len(uses) >= 100)
assert False in uses
"""
        + FINISH
    )


@pytest.mark.skipif(PYPY, reason="PyPy does not run the collector in a place that can be chosen")
def test_a_handler_in_the_middle_of_a_release():
    """A signal handler takes and releases the lock that the main thread has just released."""
    check(
        USE
        + """
def handler(*args):
    if lock.acquire(False):
        lock.release()
    with rlock:
        uses.append(1)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
deadline = time.monotonic() + 50
while len(uses) < 500:
    assert time.monotonic() < deadline
    for _ in range(1000):
        lock.acquire()
        lock.release()
        with rlock:
            pass
signal.setitimer(signal.ITIMER_REAL, 0)
"""
        + FINISH
    )


@pytest.mark.parametrize("make", ["allocate_lock", "RLock"])
def test_an_exception_whose_truth_raises_leaves_a_with_statement(make):
    if PYPY:
        pytest.skip("what asks for no truth there is Python, and a signal handler could run in it")

    class Falls(Exception):
        def __bool__(self):
            raise AssertionError

    lock = getattr(lowthread, make)()
    try:
        with lock:
            raise Falls
    except BaseException as error:  # pytest.raises() asks for the truth, too
        kind = type(error)
    assert kind is Falls
    assert lock.acquire(False)


def test_an_audit_hook_that_refuses_signals():
    """Neither waits nor the end of the program send any."""
    run_script(
        """
import sys, time
import lowthread
def hook(event, args):
    if event.startswith("signal."):
        raise PermissionError(event)
sys.addaudithook(hook)
lowthread.install()
import threading
thread = threading.Thread(target=time.sleep, args=(0.3,))
thread.start()
thread.join()
lock = lowthread.allocate_lock()
with lock:
    assert not lock.acquire(timeout=0.3)
threading.Thread(target=time.sleep, args=(0.3,)).start()
"""
    ).ok()
