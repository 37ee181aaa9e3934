"""get_ident, get_native_id and _count."""

import gc
import os
import sys
import threading
import time
import weakref

import pytest
from conftest import run_script, run_threads, wait_until

import lowthread


def test_get_ident_is_a_nonzero_integer():
    assert isinstance(lowthread.get_ident(), int)
    assert lowthread.get_ident() > 0
    assert lowthread.get_ident() == lowthread.get_ident()


def test_get_ident_is_that_of_threading():
    assert lowthread.get_ident() == threading.get_ident() == threading.main_thread().ident
    run_threads(lambda: check_equal(lowthread.get_ident(), threading.get_ident()))


def check_equal(a, b):
    assert a == b


def test_idents_differ_among_threads():
    idents = []
    gate = lowthread.allocate_lock()

    def function():
        idents.append(lowthread.get_ident())
        with gate:
            pass

    with gate:
        for _ in range(20):
            lowthread.start_new_thread(function, ())
        wait_until(lambda: len(idents) == 20)
    assert len({*idents, lowthread.get_ident()}) == 21


def test_native_id_is_that_of_threading():
    assert lowthread.get_native_id() == threading.get_native_id()
    run_threads(lambda: check_equal(lowthread.get_native_id(), threading.get_native_id()))


@pytest.mark.skipif(sys.platform != "linux", reason="what the system says, on Linux")
def test_native_id_is_the_systems():
    assert lowthread.get_native_id() == os.getpid()

    def function():
        assert str(lowthread.get_native_id()) in os.listdir("/proc/self/task")
        assert lowthread.get_native_id() != os.getpid()

    run_threads(function)


def test_native_id_after_fork():
    run_script(
        """
        import os, lowthread
        before = lowthread.get_native_id()
        pid = os.fork()
        if pid == 0:
            os._exit(0 if lowthread.get_native_id() == os.getpid() != before else 1)
        assert os.waitpid(pid, 0)[1] == 0
        """
    ).ok()


def test_count():
    """How many threads run that start_new_thread started, the main thread not among them."""
    assert lowthread._count() == 0
    gate = lowthread.allocate_lock()
    gate.acquire()
    inside = []

    def function():
        inside.append(lowthread._count())
        with gate:
            pass

    for n in range(1, 6):
        lowthread.start_new_thread(function, ())
        wait_until(lambda n=n: len(inside) == n)
        assert inside[-1] == lowthread._count() == n
    gate.release()
    wait_until(lambda: lowthread._count() == 0)


def test_count_after_failures(unraisable):
    def fails():
        raise KeyError

    for _ in range(20):
        lowthread.start_new_thread(fails, ())
        lowthread.start_new_thread(fails, (1,))
        lowthread.start_new_thread(lowthread.exit, ())
    wait_until(lambda: len(unraisable) == 40)
    wait_until(lambda: lowthread._count() == 0)
    unraisable.clear()


@pytest.mark.slow
def test_a_thread_whose_function_is_gone_is_not_counted():
    """As CPython's own test has it: gone is the function, and soon the count is low."""
    gone = []

    def start():
        def function():
            time.sleep(0)

        weakref.finalize(function, gone.append, True)
        lowthread.start_new_thread(function, ())

    for _ in range(40):
        start()
        wait_until(lambda: gone or (gc.collect() and gone))
        wait_until(lambda: lowthread._count() == 0)
        gone.clear()
