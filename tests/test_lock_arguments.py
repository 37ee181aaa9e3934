"""The arguments of acquire, and what is said of wrong ones: CPython 3.13's words."""

import builtins
import decimal
import fractions
import re
import threading

import pytest
from conftest import CFFI, run_script

import lowthread


@pytest.fixture
def lock():
    return lowthread.allocate_lock()


class Index:
    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


class OnlyFloat:
    def __float__(self):
        return 1.0


NEGATIVE = "timeout value must be a non-negative number"
TOO_LARGE_FLOAT = "timestamp out of range for platform time_t"
TOO_LARGE_INT = "timestamp too large to convert to C PyTime_t"

WRONG = [
    ((False, 1), ValueError, "can't specify a timeout for a non-blocking call"),
    ((False, 0), ValueError, "can't specify a timeout for a non-blocking call"),
    ((False, -2), ValueError, "can't specify a timeout for a non-blocking call"),
    ((True, -2), ValueError, NEGATIVE),
    ((True, -0.5), ValueError, NEGATIVE),
    ((True, -1e-10), ValueError, NEGATIVE),
    ((True, -1.5), ValueError, NEGATIVE),
    ((True, -9223372036), ValueError, NEGATIVE),
    ((True, float("nan")), ValueError, "Invalid value NaN (not a number)"),
    ((True, float("inf")), OverflowError, TOO_LARGE_FLOAT),
    ((True, float("-inf")), OverflowError, TOO_LARGE_FLOAT),
    ((True, 9223372036.9), OverflowError, TOO_LARGE_FLOAT),
    ((True, 1e300), OverflowError, TOO_LARGE_FLOAT),
    ((True, -1e300), OverflowError, TOO_LARGE_FLOAT),
    ((True, 9223372037), OverflowError, TOO_LARGE_INT),
    ((True, 2**70), OverflowError, TOO_LARGE_INT),
    ((True, -(2**70)), OverflowError, TOO_LARGE_INT),
    ((False, 1e300), OverflowError, TOO_LARGE_FLOAT),
    ((True, "1"), TypeError, "'str' object cannot be interpreted as an integer"),
    ((True, None), TypeError, "'NoneType' object cannot be interpreted as an integer"),
    ((True, 1j), TypeError, "'complex' object cannot be interpreted as an integer"),
    (
        (True, decimal.Decimal(1)),
        TypeError,
        "'decimal.Decimal' object cannot be interpreted as an integer",
    ),
    ((True, fractions.Fraction(1)), TypeError, "'Fraction' object cannot be interpreted as an"),
    ((True, OnlyFloat()), TypeError, "'OnlyFloat' object cannot be interpreted as an integer"),
]


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(("args", "error", "message"), WRONG)
def test_wrong_arguments(lock, args, error, message, held):
    if held:
        lock.acquire()
    # PyPy names a type without its module.
    message = re.escape(message).replace("decimal\\.Decimal", r"(decimal\.)?Decimal")
    for acquire in [lock.acquire, lock.acquire_lock]:
        with pytest.raises(error, match=f"^{message}"):
            acquire(*args)
    assert lock.locked() is held


def test_an_error_of_a_truth_value_is_raised(lock):
    class Untrue:
        def __bool__(self):
            raise KeyError("bool")

    with pytest.raises(KeyError, match="bool"):
        lock.acquire(Untrue())
    assert not lock.locked()


@pytest.mark.parametrize(
    "timeout",
    [-1, -1.0, Index(-1), 0, 0.0, -0.0, False, True, 1e-12, 5, 5.5, Index(2), 1e9]
    + [lowthread.TIMEOUT_MAX, int(lowthread.TIMEOUT_MAX), 9223372036.85],
)
def test_timeouts_that_are_accepted(lock, timeout):
    assert lock.acquire(timeout=timeout) is True
    lock.release()
    assert lock.acquire(True, timeout) is True


@pytest.mark.parametrize("timeout", [-1, -1.0, Index(-1)])
def test_the_timeout_that_means_none_goes_with_a_try(lock, timeout):
    assert lock.acquire(False, timeout) is True
    assert lock.acquire(False, timeout) is False


@pytest.mark.parametrize("timeout", [0, 0.001, Index(0), False])
def test_timeouts_that_run_out(lock, timeout):
    lock.acquire()
    assert lock.acquire(True, timeout) is False


@pytest.mark.skipif(CFFI, reason="a function in Python has Python's own words")
@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((True, 1, 2), {}, "acquire() takes at most 2 arguments (3 given)"),
        ((True,), {"timeout": 1, "x": 2}, "acquire() takes at most 2 arguments (3 given)"),
        ((), {"a": 1, "b": 2, "c": 3}, "acquire() takes at most 2 keyword arguments (3 given)"),
        ((), {"wait": 1}, "acquire() got an unexpected keyword argument 'wait'"),
        (
            (1,),
            {"blocking": 1},
            "argument for acquire() given by name ('blocking') and position (1)",
        ),
    ],
)
def test_the_words_of_wrong_calls(lock, args, kwargs, message):
    for acquire in [lock.acquire, lock.acquire_lock]:
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            acquire(*args, **kwargs)


@pytest.mark.skipif(CFFI, reason="a function in Python has Python's own words")
@pytest.mark.parametrize("name", ["lock.release", "lock.release_lock", "RLock.release"])
def test_the_words_of_wrong_releases(name):
    kind, method = name.split(".")
    lock = getattr(lowthread, kind)()
    lock.acquire()
    message = rf"{re.escape(name)}\(\) takes no arguments \(2 given\)$"
    with pytest.raises(TypeError, match=message):
        getattr(lock, method)(1, 2)
    with pytest.raises(TypeError, match=r"release(_lock)?\(\) takes no keyword arguments$"):
        getattr(lock, method)(x=1)
    with pytest.raises(TypeError, match=r"^__exit__\(\) takes no keyword arguments$"):
        lock.__exit__(x=1)
    assert lock.locked()


def test_wrong_calls(lock):
    for call in [
        lambda: lock.acquire(True, 1, 2),
        lambda: lock.acquire(wait=True),
        lambda: lock.acquire(True, blocking=True),
        lambda: lock.release(1),
        lambda: lock.locked(1),
        lambda: lock._at_fork_reinit(1),
    ]:
        with pytest.raises(TypeError):
            call()
    assert not lock.locked()


@pytest.mark.parametrize("waits", [True, 1, -1, 2**70])
@pytest.mark.parametrize("timeout", [0, 0.0, 0.01, 1e-12])
def test_every_way_to_pass_the_arguments(lock, waits, timeout):
    lock.acquire()
    for acquire in [lock.acquire, lock.__enter__]:
        assert acquire(waits, timeout) is False
        assert acquire(waits, timeout=timeout) is False
        assert acquire(blocking=waits, timeout=timeout) is False
        assert acquire(timeout=timeout, blocking=waits) is False
        assert acquire(timeout=timeout) is False
        assert acquire(0) is acquire(False) is acquire(blocking=0) is False
        assert acquire(timeout=-1, blocking=0) is acquire(False, -1.0) is False
    lock.release()
    assert lock.acquire(timeout=timeout, blocking=waits) is True
    lock.release()
    assert lock.acquire(blocking=waits) is True


def test_a_timeout_of_many_seconds_is_not_a_short_one(lock):
    """Where seconds become nanoseconds, nothing wraps or is cut off."""
    lock.acquire()
    for timeout in [1, 1.0, 10**9, 1e9, 10**9 + 1, 1e9 + 1, 9223372036, 9223372036.5]:
        timer = threading.Timer(0.02, lock.release)
        timer.start()
        assert lock.acquire(timeout=timeout) is True
        timer.join()


@pytest.mark.skipif(CFFI, reason="in Python, nothing works without builtins and modules")
class TestNothingIsImportedForThem:
    def test_without_builtins(self, lock):
        code = "a = l.acquire(True, -1), l.acquire(False, -1), l.acquire(True, 0)"
        names = {"__builtins__": {}, "l": lock}
        exec(code, names)
        assert names["a"] == (True, False, False)

    def test_in_an_import_hook(self, lock, monkeypatch):
        original = builtins.__import__

        def guarded(*args, **kwargs):
            assert lock.acquire(True, -1)
            try:
                return original(*args, **kwargs)
            finally:
                lock.release()

        monkeypatch.setattr(builtins, "__import__", guarded)
        with pytest.raises(ModuleNotFoundError):
            import no_such_module  # noqa: F401

    def test_at_the_very_end(self):
        out = run_script(
            """
            import codecs, os, sys
            import lowthread
            class Late:
                def __init__(self):
                    self.lock, self.rlock = lowthread.allocate_lock(), lowthread.RLock()
                    self.start = lowthread.start_new_thread
                    self.keep = list(sys.modules.values())
                    self.write, self.repr, self.error = os.write, repr, Exception
                def __call__(self, error):
                    pass
                def __del__(self):
                    calls = [
                        lambda: self.lock.acquire(True, -1),
                        lambda: self.lock.acquire(timeout=0.001),
                        lambda: self.lock.acquire("", -1.0),
                        lambda: self.rlock.acquire(True, -1),
                        lambda: self.lock.acquire(True, "1"),
                        lambda: self.start(self.repr, ()),
                    ]
                    for call in calls:
                        try:
                            result = self.repr(call())
                        except self.error as error:
                            result = self.repr(error)
                        self.write(1, result.encode() + b"\\n")
            codecs.register_error("late", Late())
            """
        ).ok()
        *results, start = out.splitlines()
        assert results == [
            "True",
            "False",
            "False",
            "True",
            "TypeError(\"'str' object cannot be interpreted as an integer\")",
        ]
        assert "can't create new thread at interpreter shutdown" in start


@pytest.mark.skipif(CFFI, reason="a function in Python has Python's own words")
@pytest.mark.parametrize("make", [lowthread.allocate_lock, lowthread.RLock])
def test_blocking_is_asked_for_its_truth_before_names_are_looked_at(make):
    class Untrue:
        def __bool__(self):
            raise KeyError("bool")

    acquire = make().acquire
    for call in [
        lambda: acquire(Untrue(), x=1),
        lambda: acquire(x=1, blocking=Untrue()),
        lambda: acquire(Untrue(), blocking=1),
    ]:
        with pytest.raises(KeyError, match="bool"):
            call()
    with pytest.raises(TypeError, match="takes at most 2 arguments"):
        acquire(Untrue(), 1, x=1)
