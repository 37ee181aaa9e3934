"""The system refuses a thread: one error, nothing leaked, and the next start works."""

import errno
import gc
import os
import sys
import weakref

import pytest
from conftest import PYPY, run_script, wait_until

import lowthread

TOO_LARGE = sys.maxsize // 2


class Argument:
    pass


def nothing(*args, **kwargs):
    pass


def test_a_stack_that_is_too_large(stack_size):
    stack_size(TOO_LARGE)
    with pytest.raises(RuntimeError, match="^can't start new thread$") as info:
        lowthread.start_new_thread(nothing, ())
    cause = info.value.__cause__
    assert isinstance(cause, OSError)
    assert cause.errno in (errno.EAGAIN, errno.EINVAL, errno.ENOMEM)
    assert cause.strerror
    assert type(info.value) is RuntimeError


def test_the_next_start_works(stack_size):
    stack_size(TOO_LARGE)
    with pytest.raises(RuntimeError):
        lowthread.start_new_thread(nothing, ())
    assert lowthread._count() == 0
    stack_size(0)
    done = []
    lowthread.start_new_thread(done.append, (1,))
    wait_until(lambda: done)


def test_function_and_arguments_are_released(stack_size):
    stack_size(TOO_LARGE)
    arguments = [Argument(), Argument()]

    def function(*args, **kwargs):
        pass

    references = [weakref.ref(x) for x in [*arguments, function]]
    with pytest.raises(RuntimeError):
        lowthread.start_new_thread(function, (arguments[0],), {"a": arguments[1]})
    del arguments, function
    wait_until(lambda: gc.collect() is None or not any(r() for r in references))


@pytest.mark.skipif(PYPY, reason="there is no counting of references on PyPy")
def test_references_are_released_at_once(stack_size):
    stack_size(TOO_LARGE)
    argument = Argument()
    before = sys.getrefcount(argument), sys.getrefcount(nothing)
    for _ in range(100):
        with pytest.raises(RuntimeError):
            lowthread.start_new_thread(nothing, (argument,), {"a": argument})
    assert (sys.getrefcount(argument), sys.getrefcount(nothing)) == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be a user who runs nothing else")
def test_no_more_threads():
    """The limit is of a user's processes, and root has none: a child becomes another user."""
    run_script(
        """
        import errno, os, resource, sys, time
        import lowthread
        os.setuid(20000 + os.getpid() % 40000)  # nobody that runs anything else
        resource.setrlimit(resource.RLIMIT_NPROC, (10, 10))
        gate = lowthread.allocate_lock()
        gate.acquire()
        def wait():
            with gate:
                pass
        def ends():
            while lowthread._count():
                time.sleep(0.001)
        for round in range(3):
            started = 0
            try:
                while started < 1000:
                    lowthread.start_new_thread(wait, ())
                    started += 1
            except RuntimeError as error:
                assert str(error) == "can't start new thread", error
                assert isinstance(error.__cause__, OSError), error.__cause__
                assert error.__cause__.errno == errno.EAGAIN, error.__cause__
            assert started < 10, started
            while lowthread._count() < started:
                time.sleep(0.001)
            time.sleep(0.01)
            assert lowthread._count() == started
            gate.release()
            ends()
            gate.acquire()
        assert started > 0
        """
    ).ok()


def test_no_memory_for_a_stack():
    run_script(
        """
        import resource, time
        import lowthread
        done = lowthread.allocate_lock()
        done.acquire()
        lowthread.start_new_thread(done.release, ())  # all that a first start needs
        assert done.acquire(timeout=60)
        while lowthread._count():
            time.sleep(0.001)
        with open("/proc/self/statm") as f:
            used = int(f.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
        lowthread.stack_size(2**29)
        for _ in range(3):
            try:
                lowthread.start_new_thread(print, ())
            except RuntimeError as error:
                assert str(error) == "can't start new thread"
                assert isinstance(error.__cause__, OSError)
            else:
                raise AssertionError("was started")
        lowthread.stack_size(2**18)
        lowthread.start_new_thread(done.release, ())
        assert done.acquire(timeout=60)
        """
    ).ok()
