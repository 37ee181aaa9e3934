"""Waits that could never end raise instead: at the interpreter's end, and in a forked child."""

import signal
import sys

import pytest
from conftest import FORKING, PYPY, run_script

import lowthread

# Since 3.12, forking with threads is warned of; it is what is tested here.
QUIET = (sys.executable, "-W", "ignore::DeprecationWarning")


def test_the_exceptions_are_runtime_errors():
    for error in [lowthread.PythonFinalizationError, lowthread.AbandonedLockError]:
        assert issubclass(error, RuntimeError)
    if sys.version_info >= (3, 13):
        assert lowthread.PythonFinalizationError is PythonFinalizationError  # noqa: F821


# ---- when the interpreter is being finalized, and all threads but one have been stopped ----

finalizes = pytest.mark.skipif(
    PYPY, reason="PyPy exits without calling destructors, and does not stop threads before"
)

LAST = """
import gc, os, sys, threading, time
import lowthread

gate = lowthread.allocate_lock()
gate.acquire()

def started(function, *args):
    "Start a thread that calls function(), and is then blocked."
    ready = lowthread.allocate_lock()
    ready.acquire()
    def run():
        function(*args)
        ready.release()
        gate.acquire()
    thread = lowthread.start(run)
    ready.acquire()
    return thread

class Last:
    "What is gone when the interpreter is being finalized, and modules have been cleared."
    def __init__(self, do):
        self.do, self.write = do, os.write
    @classmethod
    def garbage(cls, do):
        "That is collected earlier, when modules are what they were."
        gc.set_threshold(0)
        self = cls(do)
        self.myself = self
    def __del__(self):
        try:
            result = self.do()
        except RuntimeError as error:
            result = f"{type(error).__name__}: {error}"
        self.write(1, f"{result}\\n".encode())
"""
ACQUIRE = (
    "PythonFinalizationError: can't acquire lock at interpreter shutdown: "
    "no thread is left that could end the wait\n"
)
JOIN = ACQUIRE.replace("acquire lock", "join thread")


def last(script, settle=0.2):
    # Time, in the end, for those that are to be blocked to be so: they have said it just before.
    result = run_script(f"{LAST}{script}\ntime.sleep({settle})\n")
    assert (result.code, result.err) == (0, ""), result.err
    return result.out


@finalizes
@pytest.mark.parametrize("make", ["allocate_lock", "RLock"])
@pytest.mark.parametrize(
    "wait",
    ["lock.acquire", "lock.__enter__", "lock._acquire_restore", "with"],
)
def test_a_lock_that_a_stopped_thread_has(make, wait):
    if make == "allocate_lock" and wait == "lock._acquire_restore":
        pytest.skip("only an RLock has that")
    do = {
        "with": "use",
        "lock._acquire_restore": "lambda lock=lock: lock._acquire_restore((1, 1))",
    }.get(wait, wait)
    out = last(
        f"""
lock = lowthread.{make}()
def use(lock=lock):
    with lock:
        return "entered"
started(lock.acquire)
sys.last = Last({do})
"""
    )
    assert out == ACQUIRE


@finalizes
def test_every_lock_that_a_stopped_thread_has():
    """At once: there may be thousands."""
    out = last(
        """
locks = [lowthread.allocate_lock() for _ in range(2000)]
started(lambda: [lock.acquire() for lock in locks])
def acquire_all(locks=locks):
    errors = set()
    for lock in locks:
        try:
            lock.acquire()
        except RuntimeError as error:
            errors.add(type(error).__name__)
    return sorted(errors)
sys.last = Last(acquire_all)
""".replace("range(2000)", "range(20)" if lowthread.backend == "cffi" else "range(2000)")
    )
    assert out == "['PythonFinalizationError']\n"


@pytest.mark.slow
@finalizes
def test_threads_that_take_the_lock_all_the_time():
    """The standard library's locks hang here, nearly always."""
    for _ in range(12):
        out = last(
            """
lock = lowthread.allocate_lock()
def loop():
    while True:
        lock.acquire()
        lock.release()
for _ in range(2):
    lowthread.start(loop)
sys.last = Last(lock.acquire)
""",
            settle=0.02,
        )
        assert out in (ACQUIRE, "True\n")


@finalizes
def test_the_standard_library_on_these_locks():
    out = last(
        """
lowthread.install()
condition = threading.Condition()
def wait(condition=condition):
    with condition:
        condition.wait()
started(int)
Last.garbage(wait)
"""
    )
    assert out == ACQUIRE


@finalizes
def test_timeouts_and_tries_are_what_they_were():
    out = last(
        """
lock = lowthread.allocate_lock()
thread = started(lock.acquire)
def wait(lock=lock, thread=thread, now=time.monotonic):
    begin = now()
    results = lock.acquire(False), lock.acquire(timeout=0.1), thread.join(0.1), thread.is_alive()
    return *results, now() - begin >= 0.2
sys.last = Last(wait)
"""
    )
    assert out == "(False, False, False, True, True)\n"


@finalizes
def test_a_lock_of_ones_own_can_be_had():
    out = last(
        """
lock, other = lowthread.allocate_lock(), lowthread.RLock()
started(lock.locked)
def use(lock=lock, other=other):
    with lock, other, other:
        pass
    return lock.acquire(), other.acquire(), other.acquire(timeout=1)
sys.last = Last(use)
"""
    )
    assert out == "(True, True, True)\n"


@finalizes
@pytest.mark.parametrize(
    "join", ["thread.join", "handle.join", "sentinel.acquire", "threads_own.join"]
)
def test_joining_a_thread_that_is_blocked_for_ever(join):
    out = last(
        f"""
lowthread.install()
thread = started(int)
handle = lowthread.start_joinable_thread(gate.acquire)
made = []
started(lambda: made.append(lowthread._set_sentinel()) or made[0].acquire())
sentinel = made[0]
threads_own = threading.Thread(target=gate.acquire, daemon=True)
threads_own.start()
Last.garbage({join})
"""
    )
    # Up to 3.12, threading joins by a lock.
    by_lock = join.startswith("sentinel") or (
        join.startswith("threads_own") and sys.version_info < (3, 13)
    )
    assert out == (ACQUIRE if by_lock else JOIN)


@finalizes
def test_joining_a_thread_that_has_done_its_work():
    """It may still be on its way out, for which it needs no Python."""
    for _ in range(5):
        out = last(
            """
threads = [lowthread.start(int) for _ in range(50)]
sys.last = Last(lambda threads=threads: {thread.join() for thread in threads})
"""
        )
        assert out == "{True}\n"


@finalizes
@pytest.mark.parametrize("patience", [0, 0.02])
def test_a_lock_that_was_promised_to_a_stopped_thread(patience):
    """Nobody takes a lock that never gets the GIL back: the lock comes after the GIL.

    Each release in the destructor wakes a waiter, and later ones promise it the lock; that
    thread is stopped when it asks for the GIL, and must not have the lock by then.
    """
    out = last(
        """
lock = lowthread.allocate_lock()
lock.acquire()
for _ in range(5):
    lowthread.start(lock.acquire)
def use(lock=lock, sleep=time.sleep):
    results = set()
    for _ in range(8):
        lock.release()
        sleep(0.01)
        results.add(lock.acquire())
    return results
sys.last = Last(use)
""",
        settle=patience,
    )
    assert out == "{True}\n"


# ---- in the child of a fork ----

CHILD = (
    FORKING
    + """
import signal, sys, threading
import lowthread

gate = lowthread.allocate_lock()
gate.acquire()
lock = getattr(lowthread, sys.argv[1])()

def holds():
    lock.acquire()
    gate.acquire()
    lock.release()

def started(function):
    thread = threading.Thread(target=function, name="the holder", daemon=True)
    thread.start()
    return thread

def raises(wait, *parts):
    try:
        wait()
    except lowthread.AbandonedLockError as error:
        for part in (repr(lock), *parts):
            assert part in str(error), error
    else:
        raise AssertionError("no error")

def use():
    with lock:
        pass

def waits():
    "Wait for the lock, and be ended by the system after a while; no handler is involved."
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    lock.acquire()

def child_waits(prepare=int):
    pid = os.fork()
    if pid == 0:
        try:
            prepare()
            waits()
        except BaseException as error:
            print(repr(error), flush=True)
        os._exit(1)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM, status
"""
)

makes = pytest.mark.parametrize("make", ["allocate_lock", "RLock"])


def fork(script, make="allocate_lock"):
    run_script(CHILD + script, make, python=QUIET).ok()


@makes
@pytest.mark.parametrize("install", [False, True])
def test_a_lost_thread_had_the_lock(make, install):
    fork(
        f"""
if {install}:
    lowthread.install()
holder = started(holds)
wait_until(lock.locked)
def child():
    for wait in [lock.acquire, lock.__enter__, use, lambda: lock.acquire(True, -1)]:
        raises(wait, "(the holder)", str(holder_ident))
        assert lock.locked()
    assert lock.acquire(False) is False
    assert lock.acquire(timeout=0.01) is False
    if hasattr(lock, "_acquire_restore"):
        raises(lambda: lock._acquire_restore((1, lowthread.get_ident())))
    lock._at_fork_reinit()
    use()
    assert lock.acquire()
    lock.release()
holder_ident = holder.ident
in_child(child)
gate.release()
holder.join()
use()
""",
        make,
    )


def test_its_own_repr_is_not_asked():
    fork(
        """
class Shown(lowthread.RLock):
    def __repr__(self):
        with self:
            return "shown"
lock = Shown()
holder = started(holds)
wait_until(lambda: lowthread.RLock.__repr__(lock).startswith("<locked"))
def child():
    try:
        lock.acquire()
    except lowthread.AbandonedLockError as error:
        assert "Shown object" in str(error), error
    else:
        raise AssertionError("no error")
in_child(child)
gate.release()
holder.join()
"""
    )


@makes
def test_any_thread_may_fork(make):
    fork(
        """
holder = started(holds)
wait_until(lock.locked)
forker = started(lambda: in_child(lambda: raises(lock.acquire, "(the holder)")))
forker.join()
gate.release()
holder.join()
""",
        make,
    )


def test_two_threads_fork_at_once():
    """The hooks of one are called amid those of the other."""
    run_script(
        """
import os
others = [lambda: in_child(int)]
def fork_as_well():
    if others:
        started(others.pop()).join()
os.register_at_fork(before=fork_as_well)  # the last of them, as it is the first here
"""
        + CHILD
        + """
holder = started(holds)
wait_until(lock.locked)
in_child(lambda: raises(lock.acquire, "(the holder)"))
gate.release()
holder.join()
""",
        "allocate_lock",
        python=QUIET,
    ).ok()


@makes
def test_what_the_forking_thread_has_is_its_own(make):
    """Nobody could release it, if it is a plain lock, but it is no lost thread's: it waits."""
    fork(
        """
def child():
    assert lock.acquire()
    lock.release()
    lock.release()
lock.acquire()
if sys.argv[1] == "RLock":
    in_child(child)
    in_child(lambda: in_child(child))
else:
    child_waits()
    in_child(child_waits)
lock.release()
""",
        make,
    )


@makes
def test_a_handler_may_release_what_a_lost_thread_had(make):
    fork(
        """
holder = started(holds)
wait_until(lock.locked)
def child():
    signal.signal(signal.SIGALRM, lambda *args: lock._at_fork_reinit())
    if hasattr(lock, "_acquire_restore"):
        # It runs no handlers.
        raises(lambda: lock._acquire_restore((1, lowthread.get_ident())), "(the holder)")
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    assert getattr(lock, wait)()
for wait in ["acquire", "__enter__"]:
    in_child(child)
gate.release()
holder.join()
""",
        make,
    )


def test_another_thread_of_the_child_may_release_it():
    fork(
        """
holder = started(holds)
wait_until(lock.locked)
def child():
    def release():
        time.sleep(0.2)
        lock.release()
    started(release)
    assert lock.acquire()
in_child(child)
gate.release()
holder.join()
"""
    )


def test_the_last_other_thread_of_the_child_ends():
    fork(
        """
holder = started(holds)
wait_until(lock.locked)
def child():
    started(lambda: time.sleep(0.3))
    raises(lock.acquire, "(the holder)")
in_child(child)
gate.release()
holder.join()
"""
    )


@makes
def test_what_a_thread_of_the_child_has_left_is_no_lost_threads(make):
    """Its ident is likely to be one that a lost thread had."""
    fork(
        """
holder = started(holds)
wait_until(lock.locked)
def prepare():
    lock._at_fork_reinit()
    started(lock.acquire).join()
child_waits(prepare)
gate.release()
holder.join()
""",
        make,
    )


def test_a_thread_that_got_lost_in_an_earlier_fork():
    fork(
        """
holder = started(holds)
wait_until(lock.locked)
def grandchild():
    raises(lock.acquire, "(the holder)")
def child():
    in_child(grandchild)
    forker = started(lambda: in_child(grandchild))
    forker.join()
    raises(lock.acquire, "(the holder)")
in_child(child)
gate.release()
holder.join()
"""
    )


def test_no_error_where_there_was_no_fork():
    """A thread has ended with the lock: that is another's to release, who may yet come."""
    script = "lowthread.start(lock.acquire).join()\nwaits()"
    result = run_script(CHILD + script, "allocate_lock", python=QUIET)
    assert (result.code, result.err) == (-signal.SIGALRM, "")


def test_threads_that_threading_does_not_know_have_an_ident():
    fork(
        """
ident = lowthread.start_new_thread(holds, ())
wait_until(lock.locked)
in_child(lambda: raises(lock.acquire, f"thread {ident}, which"))
gate.release()
wait_until(lambda: not lowthread._count())
"""
    )


def test_a_thread_that_had_ended_before_the_fork():
    """It did not get lost, but nobody can release what it took."""
    fork(
        """
lowthread.start(lock.acquire).join()
in_child(lambda: raises(lock.acquire, "was taken by a thread that", "does not have, and no other"))
"""
    )


def test_who_has_it_is_not_known_where_that_may_not_be_asked():
    """An audit hook refuses; the fork is none of its business."""
    fork(
        """
def refuses(event, args):
    if event == "sys._current_frames":
        raise RuntimeError("no")
sys.addaudithook(refuses)
ident = lowthread.start_new_thread(holds, ())
wait_until(lock.locked)
holder = f"thread {ident}, which" if sys.implementation.name == "pypy" else "a thread that"
in_child(lambda: raises(lock.acquire, f"was taken by {holder}"))
gate.release()
wait_until(lambda: not lowthread._count())
"""
    )


def test_the_condition_of_a_lost_thread():
    """What is waited for need not be the lock itself."""
    fork(
        """
lowthread.install()
queue_lock = threading.Lock()
def holds():
    with queue_lock:
        gate.acquire()
holder = started(holds)
wait_until(queue_lock.locked)
def child():
    global lock
    lock = queue_lock
    condition = threading.Condition(queue_lock)
    raises(lambda: condition.__enter__(), "(the holder)")
in_child(child)
gate.release()
holder.join()
"""
    )
