"""stack_size: the stack of the threads started from now on."""

import sys

import pytest
from conftest import LONG, PYPY, run_script

import lowthread


def test_it_returns_the_size_before(stack_size):
    assert stack_size() == 0
    assert stack_size(262144) == 0
    assert stack_size(0x100000) == 262144
    assert stack_size(0) == 0x100000


def test_without_an_argument_it_is_the_default_again(stack_size):
    """Observed of 3.13: size is 0 if not given, and 0 sets the default."""
    stack_size(262144)
    assert stack_size() == 262144
    assert stack_size() == 0


@pytest.mark.parametrize("size", [1, 4096, 32767, True])
def test_too_small(stack_size, size):
    stack_size(262144)
    with pytest.raises(ValueError, match=rf"^size not valid: {int(size)} bytes$"):
        stack_size(size)
    assert stack_size() == 262144  # unmodified


def test_negative(stack_size):
    for size in [-1, -4096, -sys.maxsize - 1]:
        with pytest.raises(ValueError, match="^size must be 0 or a positive value$"):
            stack_size(size)


def test_beyond_a_size(stack_size):
    for size in [sys.maxsize + 1, -sys.maxsize - 2, 2**100]:
        with pytest.raises(OverflowError, match="^Python int too large to convert to C ssize_t$"):
            stack_size(size)


@pytest.mark.parametrize("size", ["32768", 32768.0, None])
def test_not_an_integer(stack_size, size):
    with pytest.raises(TypeError, match="object cannot be interpreted as an integer$"):
        stack_size(size)


@pytest.mark.skipif(sys.platform != "linux", reason="pthread_getattr_np is Linux's")
@pytest.mark.parametrize("size", [32768, 32769, 262144, 1000001, 2**26])
def test_a_thread_gets_what_was_asked(size):
    """The system tells, by way of C: the bounds of the thread's own stack.

    In a process that has had no other threads: the system uses their stacks again.
    """
    if PYPY and size < 262144:
        pytest.skip("PyPy needs more than that to run a function")
    out = run_script(
        f"""
        import ctypes, lowthread
        libc = ctypes.CDLL(None)
        libc.pthread_self.restype = ctypes.c_void_p
        attr = ctypes.create_string_buffer(256)
        stack = ctypes.c_size_t()
        done = lowthread.allocate_lock()
        done.acquire()
        def look():
            libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attr)
            libc.pthread_attr_getstacksize(attr, ctypes.byref(stack))
            done.release()
        lowthread.stack_size({size})
        lowthread.start_new_thread(look, ())
        assert done.acquire(timeout=60)
        print(stack.value)
        """
    ).ok()
    assert size <= int(out) < size + 2**16


def test_the_smallest_stack_runs_a_function(stack_size):
    if PYPY:
        pytest.skip("PyPy needs more than 32 KiB to run a function")
    stack_size(32768)
    done = lowthread.allocate_lock()
    done.acquire()
    lowthread.start_new_thread(done.release, ())
    assert done.acquire(timeout=LONG)


def test_a_large_stack_is_really_used():
    run_script(
        """
        import sys, lowthread
        sys.setrecursionlimit(20000)
        lowthread.stack_size(512 * 2**20)
        done = lowthread.allocate_lock()
        done.acquire()
        def recurse(n):
            return n and recurse(n - 1)
        def deep():
            recurse(15000)
            done.release()
        lowthread.start_new_thread(deep, ())
        assert done.acquire(timeout=60)
        """
        if not PYPY
        else "# PyPy's recursion has a limit of its own"
    ).ok()
