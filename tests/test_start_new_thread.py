"""start_new_thread: its arguments, its audit event, and how the function is called."""

import contextvars
import functools
import signal
import sys
import threading
import time

import pytest
from conftest import LONG, PYPY, run_script, wait_until

import lowthread

# https://docs.python.org/3.13/library/_thread.html#thread.start_new_thread


def run(function, *args):
    """Run function(*args) in a new thread and return what it returns."""
    result = []
    done = lowthread.allocate_lock()
    done.acquire()

    def call():
        result.append(function(*args))
        done.release()

    lowthread.start_new_thread(call, ())
    assert done.acquire(timeout=LONG)
    return result[0]


def test_returns_the_identifier():
    idents = []
    ident = lowthread.start_new_thread(lambda: idents.append(lowthread.get_ident()), ())
    wait_until(lambda: idents)
    assert idents == [ident]
    assert isinstance(ident, int)
    assert ident != lowthread.get_ident()


def test_calls_the_function_with_the_arguments():
    calls = []

    def function(*args, **kwargs):
        calls.append((args, kwargs))

    lowthread.start_new_thread(function, ())
    wait_until(lambda: len(calls) == 1)
    lowthread.start_new_thread(function, (1, "two"))
    wait_until(lambda: len(calls) == 2)
    lowthread.start_new_thread(function, (1,), {"b": 2})
    wait_until(lambda: len(calls) == 3)
    lowthread.start_new(function, (), {})
    wait_until(lambda: len(calls) == 4)
    assert calls == [((), {}), ((1, "two"), {}), ((1,), {"b": 2}), ((), {})]


class Tuple(tuple):
    def __iter__(self):
        raise AssertionError("C takes the items, and asks nobody")


class Dict(dict):
    def __iter__(self):
        raise AssertionError

    def keys(self):
        raise AssertionError

    def copy(self):
        raise AssertionError


def test_takes_subclasses():
    calls = []
    lowthread.start_new_thread(
        lambda *args, **kwargs: calls.append((args, kwargs)), Tuple((1, 2)), Dict(a=3)
    )
    wait_until(lambda: calls)
    assert calls == [((1, 2), {"a": 3})]


class Callable:
    def __init__(self):
        self.called = False

    def __call__(self):
        self.called = True

    def method(self):
        self.called = True


@pytest.mark.parametrize("kind", ["object", "method", "partial", "builtin"])
def test_any_callable_will_do(kind):
    target = Callable()
    items = []
    function, args = {
        "object": (target, ()),
        "method": (target.method, ()),
        "partial": (functools.partial(setattr, target, "called"), (True,)),
        "builtin": (items.append, (1,)),
    }[kind]
    lowthread.start_new_thread(function, args)
    wait_until(lambda: target.called or items)


class Liar:
    __class__ = tuple


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((1, (), {}), "first arg must be callable"),
        ((None, None, None), "first arg must be callable"),
        ((print, [], {}), "2nd arg must be a tuple"),
        ((print, None, None), "2nd arg must be a tuple"),
        ((print, Liar()), "2nd arg must be a tuple"),
        ((print, (), None), "optional 3rd arg must be a dictionary"),
        ((print, (), ()), "optional 3rd arg must be a dictionary"),
        ((print, (), [("a", 1)]), "optional 3rd arg must be a dictionary"),
    ],
)
def test_wrong_arguments(args, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        lowthread.start_new_thread(*args)
    assert lowthread._count() == 0


@pytest.mark.parametrize("kind", [dict, type("Derived", (dict,), {})])
def test_the_function_gets_a_copy_of_kwargs(kind):
    given = kind({"a": 1})
    held = lowthread.allocate_lock()
    held.acquire()
    seen = []

    def function(**kwargs):
        seen.append(kwargs)

    def late(a):
        held.acquire()
        function(a=a)

    lowthread.start_new_thread(late, (), given)
    given["b"] = 2
    held.release()
    wait_until(lambda: seen)
    assert seen == [{"a": 1}]


# "Raises an auditing event _thread.start_new_thread with arguments function, args, kwargs."


class Audit:
    """Audit hooks cannot be removed: one is added, which looks here what to do."""

    def __init__(self):
        self.events = None
        self.error = None
        sys.addaudithook(self)

    def __call__(self, event, args):
        if self.events is not None and event == "_thread.start_new_thread":
            self.events.append(args)
            if self.error is not None:
                raise self.error


AUDIT = Audit()


@pytest.fixture
def audit():
    AUDIT.events = []
    yield AUDIT
    AUDIT.events = AUDIT.error = None


def nothing(*args, **kwargs):
    pass


def test_audit_event(audit):
    done = []

    def function(*args, **kwargs):
        done.append(args)

    args, kwargs = (1, 2), {"a": 3}
    lowthread.start_new_thread(function, args, kwargs)
    lowthread.start_new_thread(function, ())
    assert audit.events == [(function, args, kwargs), (function, (), None)]
    wait_until(lambda: len(done) == 2)
    assert audit.events[0][2] is kwargs  # the caller's own, not a copy


def test_an_audit_hook_that_raises_stops_the_start(audit):
    calls = []
    audit.error = PermissionError("no threads")
    with pytest.raises(PermissionError, match="no threads"):
        lowthread.start_new_thread(calls.append, (1,))
    audit.error = None
    time.sleep(0.02)
    assert calls == []
    assert len(audit.events) == 1


def test_arguments_are_checked_before_the_audit_event(audit):
    with pytest.raises(TypeError):
        lowthread.start_new_thread(1, ())
    assert audit.events == []


# What the thread begins with.


def test_the_context_is_empty():
    variable = contextvars.ContextVar("variable", default="default")
    variable.set("set")
    assert run(variable.get) == "default"
    assert run(lambda: list(contextvars.copy_context())) == []


def test_there_is_no_current_exception():
    try:
        raise KeyError
    except KeyError:
        assert run(sys.exc_info) == (None, None, None)


def test_it_inherits_the_signal_mask():
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        assert signal.SIGUSR2 in run(signal.pthread_sigmask, signal.SIG_BLOCK, ())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    assert signal.SIGUSR2 not in run(signal.pthread_sigmask, signal.SIG_BLOCK, ())


def test_no_frame_lies_under_the_function():
    def depth():
        frame, n = sys._getframe(), 0
        while frame.f_back is not None:
            frame, n = frame.f_back, n + 1
        return n

    found = []
    lowthread.start_new_thread(lambda: found.append(depth()), ())
    wait_until(lambda: found)
    # depth, and the lambda; PyPy enters through a callback of lowthread's.
    assert found[0] == (3 if PYPY else 1)


def test_threading_knows_the_thread():
    name, ident = run(lambda: (threading.current_thread().name, lowthread.get_ident()))
    assert name.startswith("Dummy")
    threading._active.pop(ident, None)


def test_it_is_traced_and_profiled_like_any_thread():
    run_script(
        """
        import sys, threading, lowthread
        events = []
        done = lowthread.allocate_lock()
        done.acquire()
        def function():
            sys.setprofile(lambda frame, event, arg: events.append(event))
            len("")
            sys.setprofile(None)
            done.release()
        lowthread.start_new_thread(function, ())
        done.acquire()
        assert "c_call" in events
        """
    ).ok()


@pytest.mark.skipif(PYPY, reason="PyPy has no PyThreadState_SetAsyncExc")
def test_an_exception_can_be_set_by_its_ident(unraisable):
    import ctypes

    running = []

    def function():
        running.append(True)
        while True:
            time.sleep(0.001)

    ident = lowthread.start_new_thread(function, ())
    wait_until(lambda: running)
    set_async = ctypes.pythonapi.PyThreadState_SetAsyncExc
    assert set_async(ctypes.c_ulong(ident), ctypes.py_object(KeyError)) == 1
    wait_until(lambda: unraisable)
    assert unraisable[0].exc_type is KeyError
    unraisable.clear()


def test_a_thread_may_start_threads():
    idents = []
    lock = lowthread.allocate_lock()

    def function(depth):
        if depth:
            for _ in range(2):
                lowthread.start_new_thread(function, (depth - 1,))
        with lock:
            idents.append(lowthread.get_ident())

    lowthread.start_new_thread(function, (6,))
    wait_until(lambda: len(idents) == 2**7 - 1)


def test_many_threads_at_once():
    gate = lowthread.allocate_lock()
    gate.acquire()

    def function():
        with gate:
            pass

    idents = {lowthread.start_new_thread(function, ()) for _ in range(200)}
    assert len(idents) == 200
    wait_until(lambda: lowthread._count() == 200)
    gate.release()
