"""What is left of a thread that has ended: nothing."""

import gc
import pathlib
import sys
import threading
import weakref

import pytest
from conftest import PYPY, run_script, run_threads, wait_until

import lowthread


class Value:
    pass


@pytest.mark.skipif(PYPY, reason="on PyPy nothing is gone at once; see the test below")
@pytest.mark.parametrize("local_type", [threading.local, lowthread._local])
def test_thread_local_values_are_gone_at_once(local_type):
    local = local_type()
    gone = []

    def function():
        local.value = Value()
        weakref.finalize(local.value, gone.append, True)

    for n in range(1, 101):
        lowthread.start_new_thread(function, ())
        wait_until(lambda n=n: len(gone) == n, "the value is gone, with no help")
    wait_until(lambda: lowthread._count() == 0)


@pytest.mark.skipif(PYPY, reason="on PyPy nothing is gone at once")
def test_they_are_gone_when_the_thread_is_no_longer_counted():
    local = threading.local()
    references = []

    def function():
        local.value = Value()
        references.append(weakref.ref(local.value))

    for _ in range(200):
        lowthread.start_new_thread(function, ())
        wait_until(lambda: references and lowthread._count() == 0)
        assert references.pop()() is None


@pytest.mark.skipif(PYPY, reason="PyPy has no thread states to count")
def test_thread_states_are_gone_at_once():
    run_script(
        """
        import sys, time, lowthread
        assert len(sys._current_frames()) == 1
        gate = lowthread.allocate_lock()
        gate.acquire()
        def wait():
            with gate:
                pass
        for _ in range(10):
            lowthread.start_new_thread(wait, ())
        while lowthread._count() < 10:
            time.sleep(0.001)
        assert len(sys._current_frames()) == 11
        gate.release()
        while lowthread._count():
            time.sleep(0.001)
        assert len(sys._current_frames()) == 1
        """
    ).ok()


def test_local_values_are_gone_in_the_end():
    local = lowthread._local()
    references = []

    def function():
        local.value = Value()
        references.append(weakref.ref(local.value))

    run_threads(*[function] * 10)
    wait_until(lambda: gc.collect() is None or not any(r() for r in references))


def test_function_and_arguments_are_released():
    value, other = Value(), Value()

    def function(first, second):
        pass

    references = [weakref.ref(x) for x in (value, other, function)]
    lowthread.start_new_thread(function, (value,), {"second": other})
    del value, other, function
    wait_until(lambda: gc.collect() is None or not any(r() for r in references))


@pytest.mark.skipif(PYPY, reason="there is no counting of references on PyPy")
def test_no_references_are_left():
    value = Value()

    def function(*args, **kwargs):
        if args[1]:
            raise SystemExit

    before = sys.getrefcount(value), sys.getrefcount(function)
    for n in range(200):
        lowthread.start_new_thread(function, (value, n % 2), {"value": value})
    wait_until(lambda: lowthread._count() == 0)
    wait_until(lambda: (sys.getrefcount(value), sys.getrefcount(function)) == before)


MEMORY = """
import gc, resource, sys, time
import lowthread

def used():
    gc.collect()
    gc.collect()
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()

{setup}

def run(n):
    done = lowthread.allocate_lock()
    for _ in range(n):
        done.acquire()
        def function():
            try:
                {body}
            finally:
                done.release()
        lowthread.start_new_thread(function, ())
        done.acquire()
        done.release()
    while lowthread._count():
        time.sleep(0.001)

run(4000)
before = used()
run({n})
after = used()
print(before // 1024, after // 1024, "KiB")
assert after - before < {n} * {limit}, (before, after)
"""

# Bytes that a thread may leave behind. PyPy's collector takes a few megabytes more now and
# then; with the interpreter's own `_local` there, a thread leaves 5,500.
LIMIT = 1000 if PYPY else 200

BODIES = {
    "nothing": ("", "pass"),
    "lowthread._local": ("local = lowthread._local()", "local.value = [0] * 100"),
    "many locals": (
        "locals = [lowthread._local() for _ in range(5)]",
        "for local in locals: local.value = [0] * 100",
    ),
    "raises": (
        "sys.unraisablehook = lambda args: None",
        "local = lowthread._local(); local.value = 1; raise KeyError",
    ),
}


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("body", BODIES)
def test_memory_is_flat_over_many_threads(body):
    setup, line = BODIES[body]
    run_script(MEMORY.format(setup=setup, body=line, n=10000, limit=LIMIT), timeout=600).ok()
