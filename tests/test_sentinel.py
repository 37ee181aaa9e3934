"""_set_sentinel: a lock that the end of a thread releases, for `threading` up to 3.12."""

import _thread as host
import gc
import sys
import threading
import weakref

import pytest
from conftest import LONG, PYPY, Raised, run_script, run_threads, wait_until

import lowthread

# Whose threads: lowthread's, the interpreter's, and those of a class of that.
STARTS = {
    "start_new_thread": lambda function: lowthread.start_new_thread(function, ()),
    "start_joinable_thread": lowthread.start_joinable_thread,
    "start": lowthread.start,
    "_thread": lambda function: host.start_new_thread(function, ()),
    "threading": lambda function: threading.Thread(target=function).start(),
}

# Since 3.12, forking with threads is warned of; it is what is tested here.
PYTHON = (sys.executable, "-W", "ignore::DeprecationWarning")

started_by = pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)


class Sentinel:
    """The sentinel of a thread, held, and the gate that the thread waits at."""

    def __init__(self, start, then=lambda: None):
        self.gate = lowthread.allocate_lock()
        self.gate.acquire()
        self.locks = []
        self.then = then
        self.ran = False
        start(self._run)
        wait_until(lambda: self.locks)

    def _run(self):
        sentinel = lowthread._set_sentinel()
        sentinel.acquire()
        self.locks.append(sentinel)
        del sentinel
        self.gate.acquire()
        self.ran = True
        self.then()

    @property
    def lock(self):
        return self.locks[0]


def test_it_is_a_new_lock_that_is_free():
    def function():
        one, other = lowthread._set_sentinel(), lowthread._set_sentinel()
        assert type(one) is lowthread.LockType
        assert one is not other
        assert not one.locked()
        assert not other.locked()
        weakref.ref(one)

    run_threads(function)


@pytest.mark.parametrize("wrong", [{"args": (1,)}, {"kwargs": {"anything": 1}}])
def test_it_takes_no_arguments(wrong):
    with pytest.raises(TypeError, match=r"^lowthread._set_sentinel\(\) takes no "):
        lowthread._set_sentinel(*wrong.get("args", ()), **wrong.get("kwargs", {}))


@started_by
def test_the_end_releases_it(start):
    sentinel = Sentinel(start)
    assert sentinel.lock.acquire(timeout=0.02) is False
    sentinel.gate.release()
    assert sentinel.lock.acquire(timeout=LONG)
    assert sentinel.ran
    sentinel.lock.release()  # a lock like any other from then on
    assert not sentinel.lock.locked()


def raises(error):
    raise error


@started_by
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [Raised(), SystemExit(), SystemExit(3), KeyboardInterrupt()])
def test_however_the_thread_ends(start, error, unraisable, monkeypatch):
    monkeypatch.setattr(
        threading,
        "excepthook",
        lambda args: args.exc_type is SystemExit or unraisable.append(args),
    )
    sentinel = Sentinel(start, lambda: raises(error))
    assert sentinel.lock.acquire(timeout=0.01) is False
    sentinel.gate.release()
    assert sentinel.lock.acquire(timeout=LONG)
    assert [args.exc_type for args in unraisable] == (
        [] if isinstance(error, SystemExit) else [type(error)]
    )
    unraisable.clear()


@started_by
def test_all_who_wait_get_it(start):
    sentinel = Sentinel(start)
    got = []

    def waits():
        with sentinel.lock:
            got.append(sentinel.ran)

    waiters = [lowthread.start_joinable_thread(waits) for _ in range(5)]
    waiters[0].join(0.02)
    assert got == []
    sentinel.gate.release()
    for waiter in waiters:
        waiter.join()
    assert got == [True] * 5


@pytest.mark.skipif(PYPY, reason="on PyPy nothing is gone at once")
@started_by
@pytest.mark.parametrize("local_type", [threading.local, lowthread._local])
def test_it_is_released_after_the_locals_are_gone(start, local_type):
    local = local_type()
    events = []
    gate = lowthread.allocate_lock()
    gate.acquire()

    class Value:
        def __del__(self):
            events.append("begun")
            gate.acquire()
            events.append("gone")

    def then():
        local.value = Value()

    sentinel = Sentinel(start, then)
    sentinel.gate.release()
    wait_until(lambda: events)
    assert sentinel.lock.acquire(timeout=0.02) is False
    gate.release()
    assert sentinel.lock.acquire(timeout=LONG)
    assert events == ["begun", "gone"]


@pytest.mark.skipif(PYPY, reason="PyPy has no thread states to count")
@pytest.mark.parametrize("start", ["lowthread", "_thread"])
def test_it_is_released_after_the_state_is_gone(start):
    run_script(
        f"""
        import sys, lowthread, {start} as thread
        locks = []
        def function():
            sentinel = lowthread._set_sentinel()
            sentinel.acquire()
            locks.append(sentinel)
            del sentinel
            begun.release()
        begun = lowthread.allocate_lock()
        for n in range(300):
            begun.acquire()
            thread.start_new_thread(function, ())
            with begun:
                assert locks[0].acquire(timeout=60)
            locks.clear()
            assert len(sys._current_frames()) == 1
        """
    ).ok()


def test_a_second_one_replaces_the_first():
    locks = []

    def function():
        for _ in range(3):
            sentinel = lowthread._set_sentinel()
            sentinel.acquire()
            locks.append(sentinel)

    lowthread.start_joinable_thread(function).join()
    assert [lock.locked() for lock in locks] == [True, True, False]


def test_a_second_one_is_released_although_the_first_is_gone():
    locks = []

    def function():
        for _ in range(3):
            locks.append(lowthread._set_sentinel())
            locks[-1].acquire()
        del locks[:2]
        gc.collect()

    lowthread.start_joinable_thread(function).join()
    assert [lock.locked() for lock in locks] == [False]


def test_one_that_is_free_stays_free():
    locks = []

    def function():
        locks.append(lowthread._set_sentinel())
        locks.append(lowthread.allocate_lock())
        locks[1].acquire()

    lowthread.start_joinable_thread(function).join()
    assert [lock.locked() for lock in locks] == [False, True]
    assert locks[0].acquire(False)
    assert not locks[0].acquire(False)


@started_by
def test_one_that_is_dropped_early(start):
    """Before, during and after the end of its thread."""
    for when in ["before", "any time", "after"]:
        for _ in range(20):
            sentinel = Sentinel(start)
            reference = weakref.ref(sentinel.lock)
            if when == "before":
                sentinel.locks.clear()
            sentinel.gate.release()
            if when == "after":
                assert sentinel.lock.acquire(timeout=LONG)
            sentinel.locks.clear()
            del sentinel
            if not PYPY:
                assert reference() is None
    gc.collect()


def test_many_threads_at_once():
    sentinels = [Sentinel(STARTS["start_new_thread"]) for _ in range(60)]
    for n, sentinel in enumerate(sentinels):
        assert sentinel.lock.acquire(timeout=0) is False
        sentinel.gate.release()
        assert sentinel.lock.acquire(timeout=LONG)
        assert all(other.lock.locked() for other in sentinels[n + 1 :])


def test_in_the_main_thread():
    """Which ends with the process; `threading` has one of it."""
    out = run_script(
        """
        import lowthread
        main = lowthread._set_sentinel()
        assert type(main) is lowthread.LockType
        main.acquire()
        assert main.acquire(timeout=0.01) is False
        def function():
            assert main.locked()
            sentinel = lowthread._set_sentinel()
            sentinel.acquire()
        lowthread.start_joinable_thread(function).join()
        assert main.locked()
        again = lowthread._set_sentinel()
        assert again is not main
        again.acquire()
        main.release()
        print("end")
        """
    ).ok()
    assert out == "end\n"


def test_the_interpreter_ends_while_threads_have_them():
    """Their locks go with it; whoever ends later must not touch them."""
    for _ in range(10):
        run_script(
            """
            import lowthread
            gate = lowthread.allocate_lock()
            gate.acquire()
            def wait():
                sentinel = lowthread._set_sentinel()
                sentinel.acquire()
                locks.append(sentinel)
                gate.acquire(timeout=0.01)
                gate.acquire(timeout=0.01 * len(locks))
            locks = []
            for n in range(10):
                lowthread.start_new_thread(wait, ())
            """
        ).ok()


def test_in_a_child():
    """Lost threads release nothing there; who has forked, and new ones, do."""
    run_script(
        """
        import os, sys, lowthread
        def begin(function):
            locks = []
            begun = lowthread.allocate_lock()
            begun.acquire()
            def run():
                sentinel = lowthread._set_sentinel()
                sentinel.acquire()
                locks.append(sentinel)
                begun.release()
                function()
            lowthread.start_new_thread(run, ())
            begun.acquire()
            return locks[0]
        gate = lowthread.allocate_lock()
        gate.acquire()
        lost = begin(gate.acquire)
        def forks():
            pid = os.fork()
            if pid == 0:
                try:
                    assert lost.locked()
                    new = [begin(lambda: None) for _ in range(20)]
                    for sentinel in new:
                        assert sentinel.acquire(timeout=30)
                    assert lost.locked()
                    # A new thread sees the end of this one.
                    lowthread.start_new_thread(watch, ())
                    watching.acquire()
                    return
                except BaseException as error:
                    print(repr(error), flush=True)
                    os._exit(1)
            codes.append(os.waitpid(pid, 0)[1])
        def watch():
            watching.release()
            try:
                os._exit(0 if forking[0].acquire(timeout=30) and lost.locked() else 2)
            finally:
                os._exit(3)
        watching = lowthread.allocate_lock()
        watching.acquire()
        codes = []
        forking = []
        ready = lowthread.allocate_lock()
        ready.acquire()
        forking.append(begin(lambda: (ready.acquire(), forks())))
        ready.release()
        assert forking[0].acquire(timeout=60)
        assert codes == [0], codes
        gate.release()
        assert lost.acquire(timeout=60)
        """,
        python=PYTHON,
    ).ok()
