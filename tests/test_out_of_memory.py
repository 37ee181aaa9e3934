"""Without memory: whatever allocation fails, the call raises or it has done its work.

The operations, and what is checked of each, are in scripts/no_memory.py.
"""

import ast
import importlib.util
import pathlib
import struct
import sys

import pytest
from conftest import LONG, PYPY, SCRIPTS, preloading, preloads, run_script

import lowthread

SCRIPT = SCRIPTS / "no_memory.py"


def operations():
    """Return the names of the operations in the script."""
    for node in ast.parse(SCRIPT.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "OPERATIONS":
            return [key.value for key in node.value.keys]
    raise AssertionError("no OPERATIONS")


OPERATIONS = operations()
#: What asks the C library for something, each time.
SYSTEM = [name for name in OPERATIONS if "handle" in name or name.startswith("start")]


needs_testcapi = pytest.mark.skipif(
    PYPY or importlib.util.find_spec("_testcapi") is None,
    reason="needs CPython's _testcapi",
)


@needs_testcapi
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_allocation_of_python_fails(operation):
    run_script(SCRIPT, operation, "python", timeout=4 * LONG).ok()


@pytest.mark.slow
@preloads
@needs_testcapi
def test_a_thread_for_which_there_is_no_memory_for_very_long(slow_threads):
    """It has been started, so nobody but the standard error can be told that it is lost."""
    script = """
import _testcapi, threading, time
import lowthread
fail, stop, sleep = _testcapi.set_nomemory, _testcapi.remove_mem_hooks, time.sleep
for _ in range(10):  # each new thread is slower to begin than the one before
    lowthread.start(int).join()
ran = lowthread.allocate_lock()
ran.acquire()
handle = lowthread.start(ran.release)
# Not for ever: to handle an exception without memory, some versions try as long.
fail(0, 5000)
try:
    sleep(6.0)
finally:
    stop()
handle.join()
assert ran.locked() and not handle.is_alive() and not lowthread._count()
lowthread.start(ran.release).join()
assert not ran.locked()
print("end")
"""
    result = run_script(script, env=slow_threads)
    assert (result.code, result.out) == (0, "end\n"), result.err
    assert result.err == "lowthread: out of memory: a thread was started and lost\n"


@pytest.fixture(scope="module")
def no_memory(tmp_path_factory):
    """An environment in which lowthread's library can be refused what it asks for."""
    return preloading("no_memory.c", tmp_path_factory.mktemp("preload"))


@preloads
@pytest.mark.parametrize("operation", SYSTEM)
def test_each_request_to_the_system_fails(operation, no_memory):
    failures = int(run_script(SCRIPT, operation, "system", timeout=LONG, env=no_memory).ok())
    assert failures > 0


@pytest.mark.skipif(not PYPY, reason="on CPython no callback lets a thread in")
@pytest.mark.parametrize("name", ["enter_this_thread", "leave_this_thread", "_tasks"])
def test_a_thread_that_pypy_has_no_memory_to_let_in(name, monkeypatch):
    """It is late, and not lost: its starter has been told that there is one."""
    from lowthread import _callback

    failures = []

    def fail():
        if len(failures) < 3:
            failures.append(lowthread.get_ident())
            raise MemoryError

    class NoMemory(dict):
        def pop(self, *args):
            fail()
            return super().pop(*args)

    tasks = NoMemory() if name == "_tasks" else {}
    if name != "_tasks":
        enter, leave = _callback.enter_this_thread, _callback.leave_this_thread
        monkeypatch.setattr(_callback, "enter_this_thread", lambda: fail() or enter())
    if name == "leave_this_thread":  # neither comes in nor gets out
        monkeypatch.setattr(_callback, name, lambda: fail() or leave())
    monkeypatch.setattr(_callback, "_tasks", tasks)
    ran = []
    thread = lowthread.start(ran.append, 1)
    assert thread.join(LONG)
    assert (ran, tasks, len(failures)) == ([1], {}, 3)
    assert lowthread._count() == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads ELF")
def test_the_library_has_no_thread_local_storage():
    """In a library that is loaded late, the first use of that in a thread allocates memory.

    Where there is none, the C library aborts the process.
    """
    from lowthread import _ffi

    data = pathlib.Path(_ffi.__file__).read_bytes()
    is_64, order = data[4] == 2, "<" if data[5] == 1 else ">"
    offset = struct.unpack_from(order + ("Q" if is_64 else "I"), data, 32 if is_64 else 28)[0]
    size, number = struct.unpack_from(order + "HH", data, 54 if is_64 else 42)
    kinds = [struct.unpack_from(order + "I", data, offset + i * size)[0] for i in range(number)]
    load, thread_local = 1, 7
    assert load in kinds
    assert thread_local not in kinds
