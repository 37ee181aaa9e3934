"""Locks and threads in a forked child."""

import sys

import pytest
from conftest import FORKING, PYPY, run_script

# Since 3.12, forking with threads is warned of; it is what is tested here.
PYTHON = (sys.executable, "-W", "ignore::DeprecationWarning")

FORK = (
    FORKING
    + """
import lowthread
lock = lowthread.allocate_lock()

def started(function):
    lowthread.start_new_thread(function, ())
    time.sleep(0.05)
"""
)


def fork(script, first=""):
    run_script(first + FORK + script, python=PYTHON).ok()


def test_a_lock_that_a_lost_thread_held_stays_held():
    fork(
        """
gate = lowthread.allocate_lock()
gate.acquire()
def holds():
    with lock, gate:
        pass
started(holds)
wait_until(lock.locked)
def child():
    assert lock.locked()
    assert lock.acquire(timeout=0.01) is False
    lock._at_fork_reinit()
    assert lock.acquire(False)
in_child(child)
gate.release()
"""
    )


def test_the_waiters_are_not_there():
    fork(
        """
lock.acquire()
for _ in range(5):
    started(lock.acquire)
def child():
    lock.release()
    assert lock.acquire(timeout=1) is True
    lock.release()
    assert not lock.locked()
in_child(child)
for _ in range(5):
    lock.release()
    while not lock.locked():
        time.sleep(0.001)
"""
    )


def test_the_child_can_start_threads():
    fork(
        """
def child():
    done = lowthread.allocate_lock()
    done.acquire()
    lowthread.start_new_thread(done.release, ())
    assert done.acquire(timeout=30)
lock.acquire()
started(lock.acquire)
in_child(child)
lock.release()
"""
    )


def test_the_child_counts_its_own():
    fork(
        """
lock.acquire()
for _ in range(3):
    started(lock.acquire)
wait_until(lambda: lowthread._count() == 3)
def child():
    assert lowthread._count() == 0
    started(lock.acquire)
    wait_until(lambda: lowthread._count() == 1)
in_child(child)
def forks():
    def child():
        assert lowthread._count() == 1
    in_child(child)
    done.release()
done = lowthread.allocate_lock()
done.acquire()
lowthread.start_new_thread(forks, ())
assert done.acquire(timeout=30)
"""
    )


BUSINESS = """
stop = []
locks = [lowthread.allocate_lock() for _ in range(3)]
def business():
    n = 0
    while not stop:
        n += 1
        if locks[n % 3].acquire(timeout=0.001):
            locks[n % 3].release()
"""


def test_forks_amid_business():
    fork(
        BUSINESS
        + """
def child():
    own = lowthread.allocate_lock()
    with own:
        assert own.acquire(timeout=0.001) is False
    done = lowthread.allocate_lock()
    done.acquire()
    lowthread.start_new_thread(done.release, ())
    assert done.acquire(timeout=30)
for _ in range(4):
    lowthread.start_new_thread(business, ())
for _ in range(30):
    in_child(child)
stop.append(True)
"""
    )


@pytest.mark.slow
def test_forks_beside_compiled_code():
    """PyPy's sys._current_frames() takes such frames apart, and the threads crash."""
    fork(
        BUSINESS
        + """
for _ in range(6):
    lowthread.start_new_thread(business, ())
time.sleep(1)  # until the loop is compiled
for _ in range(200):
    in_child(int)
stop.append(True)
wait_until(lambda: lowthread._count() == 0)
"""
    )


@pytest.mark.parametrize("install", [False, True])
def test_forks_while_a_thread_looks_at_the_list_of_threads(install):
    """Since 3.13, what threads that `threading` did not start leave behind takes its lock."""
    fork(
        f"install = {install}"
        """
if install:
    lowthread.install()
import threading
stop = False
gate = lowthread.allocate_lock()
gate.acquire()
def visitor():
    threading.current_thread()
    gate.acquire()
def list_them():
    while not stop:
        with threading._active_limbo_lock:
            time.sleep(0.002)
for function in (visitor, list_them):
    started(function)
for _ in range(30):
    in_child(int)
with threading._active_limbo_lock:
    in_child(int)
    assert threading._active_limbo_lock._is_owned()
stop = True
gate.release()
wait_until(lambda: lowthread._count() == 0)
assert not threading._active_limbo_lock._is_owned()
assert threading._active_limbo_lock.acquire(timeout=30)
"""
    )


def test_a_fork_does_not_wait_for_who_has_the_list_of_threads():
    fork(
        """
import threading
gate = lowthread.allocate_lock()
gate.acquire()
def has_it():
    with threading._active_limbo_lock:
        gate.acquire()
started(has_it)
in_child(int)
assert lowthread._count() == 1
gate.release()
wait_until(lambda: lowthread._count() == 0)
assert threading._active_limbo_lock.acquire(timeout=30)
"""
    )


def test_a_fork_that_waits_for_who_starts_a_thread():
    """As with concurrent.futures, whose lock is taken before a fork and for a thread's start."""
    fork(
        """
def start_one():
    with theirs:
        ready.release()
        time.sleep(0.3)
        threading.Thread(target=int).start()
ready = lowthread.allocate_lock()
ready.acquire()
thread = lowthread.start(start_one)
ready.acquire()
in_child(int)
assert thread.join(30) is True
""",
        # The last before the fork is what was registered first.
        first="""
import os, threading
theirs = threading.Lock()
os.register_at_fork(before=theirs.acquire, after_in_parent=theirs.release)
""",
    )


@pytest.mark.skipif(PYPY, reason="there a hook is Python, in which signal handlers run")
@pytest.mark.parametrize("when", ["before", "after_in_parent"])
@pytest.mark.parametrize("importing", ["import lowthread", "import threading, lowthread"])
def test_ctrl_c_in_the_middle_of_a_fork(when, importing):
    """What a hook raises is printed and forgotten: so no handler may run in one."""
    out = run_script(
        f"""
import ctypes, os
def hook():
    os.register_at_fork({when}=ctypes.pythonapi.PyErr_SetInterrupt)
hook()
{importing}
hook()
def fork():
    if os.fork() == 0:
        os._exit(0)
    os.wait()
    for _ in range(1000):
        pass
for _ in range(3):
    try:
        fork()
    except KeyboardInterrupt:
        print("raised")
""",
        python=PYTHON,
    ).ok()
    # Some may come earlier, and then so does the next.
    assert out == "raised\n" * 3


def test_a_fork_keeps_no_thread_in_the_parent():
    """What it notes for the child is gone when it has been done."""
    fork(
        """
import gc, threading, weakref
gate = lowthread.allocate_lock()
gate.acquire()
thread = threading.Thread(target=gate.acquire)
thread.start()
in_child(int)
gate.release()
thread.join()
gone = weakref.ref(thread)
del thread
gc.collect()
assert gone() is None
"""
    )


def test_a_hook_that_forks():
    fork(
        "in_child(int)",
        first="""
import os
first = [True]
def fork_as_well():
    if first and first.pop():
        pid = os.fork()
        if pid != 0:
            os.waitpid(pid, 0)
        # Both go on to what this was called for.
os.register_at_fork(before=fork_as_well)
""",
    )


@pytest.mark.parametrize("collects", [True, False])
def test_a_fork_leaves_the_garbage_collector_as_it_is(collects):
    fork(
        f"collects = {collects}"
        """
import gc
if not collects:
    gc.disable()
def check():
    assert gc.isenabled() is collects
in_child(check)
check()
"""
    )


def test_values_of_lost_threads():
    fork(
        """
local = lowthread._local()
local.value = "main"
lock.acquire()
def sets():
    local.value = "thread"
    lock.acquire()
started(sets)
def child():
    assert local.value == "main"
    seen = []
    for n in range(10):
        started(lambda: seen.append(vars(local).copy()))
        wait_until(lambda: len(seen) == n + 1)
    assert seen == [{}] * 10, seen
in_child(child)
lock.release()
"""
    )


@pytest.mark.slow
def test_fork_while_threads_are_born():
    """A newborn becomes known to Python without the GIL; no fork finds it half done."""
    run_script(
        FORK
        + """
import sys
end = time.monotonic() + 8
forks = 0

def start_many():
    while time.monotonic() < end:
        for _ in range(3):
            lowthread.start_new_thread(time.sleep, (0.0005,))
        time.sleep(0.0007)

def fork_many():
    global forks
    while time.monotonic() < end:
        in_child(int)
        forks += 1

threads = [lowthread.start(start_many) for _ in range(3)] + [lowthread.start(fork_many)]
fork_many()
for thread in threads:
    thread.join()
assert forks > 20, forks
wait_until(lambda: lowthread._count() == 0)
""",
        python=PYTHON,
    ).ok()


@pytest.mark.slow
@pytest.mark.skipif(PYPY, reason="it is CPython's way to count references that lets it happen")
def test_forks_while_destructors_run_and_threads_end():
    """What is done before a fork may not run the garbage collector with a lock of threads."""
    run_script(
        FORK
        + """
import gc, sys
gate = lowthread.allocate_lock()
gate.acquire()
class Garbage:
    def __init__(self):
        self.itself = self
    def __del__(self):
        for _ in range(3000):  # takes a while, so that another thread gets the GIL
            pass
def short():
    end = time.monotonic() + 0.002
    while time.monotonic() < end:
        pass
def start_some():
    while not gate.acquire(timeout=0.001):
        lowthread.start_new_thread(short, ())
for _ in range(60):
    lowthread.start_new_thread(gate.acquire, (True, 40))
starter = lowthread.start(start_some)
time.sleep(0.2)
sys.setswitchinterval(1e-4)
gc.collect()
gc.freeze()
gc.set_threshold(60)
end = time.monotonic() + 5
while time.monotonic() < end:
    made = Garbage(), Garbage(), Garbage()
    del made
    in_child(int)
os._exit(0)
""",
        python=PYTHON,
    ).ok()
