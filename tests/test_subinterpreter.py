"""Sub-interpreters: lowthread works in those that cffi serves, and says so in the others."""

import importlib.util
import signal
import sys

import pytest
from conftest import preloads, run_script

MODULES = ["_interpreters", "_xxsubinterpreters"]  # 3.13 on; before
MODULE = next((name for name in MODULES if importlib.util.find_spec(name)), None)

pytestmark = pytest.mark.skipif(MODULE is None, reason="this interpreter has no sub-interpreters")

IMPORT = f"""
import {MODULE} as interpreters
def run(id, script):
    # To 3.12 it raises what the script raised; from 3.13 on it returns that.
    failed = getattr(interpreters, "run_string")(id, script)
    assert failed is None, failed
"""


WORKS = "works\n"
ERROR = (
    "ImportError lowthread cannot be used in this sub-interpreter: cffi, on which it is built, "
    "does not support loading in subinterpreters\n"
)


@pytest.mark.parametrize("imported_before", [True, False])
@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_it_works_or_there_is_one_clear_error(kind, imported_before):
    result = run_script(
        ("import lowthread" if imported_before else "")
        + IMPORT
        + f"import sys\nkind = {kind!r}"
        + '''
if sys.version_info >= (3, 13):
    id = interpreters.create(kind)
else:
    id = interpreters.create(isolated=kind == "isolated")
run(id, """if True:
    try:
        import lowthread
    except ImportError as error:
        print("ImportError", error)
    else:
        done = lowthread.allocate_lock()
        done.acquire()
        thread = lowthread.start(done.release)
        assert done.acquire(timeout=30)
        # Not `_count()`: its state may stay for a moment longer, and that must be gone.
        assert thread.join(30)
        print("works")
    import sys
    sys.stdout.flush()
""")
interpreters.destroy(id)
'''
    )
    # What 3.12 and later call isolated cannot load a module like cffi's.
    refused = kind == "isolated" and sys.version_info >= (3, 12)
    assert result.ok() == (ERROR if refused else WORKS)


@preloads
def test_it_cannot_be_destroyed_while_a_thread_begins(slow_threads):
    """As with the interpreter's own threads: an error, to 3.11, or the interpreter aborts."""
    result = run_script(
        IMPORT
        + """
import sys
id = interpreters.create("legacy") if sys.version_info >= (3, 13) else (
    interpreters.create(isolated=False))
run(id, "import lowthread\\nfor _ in range(3): lowthread.start_new_thread(len, ('',))")
try:
    interpreters.destroy(id)
except RuntimeError as error:
    print(error)
""",
        env=slow_threads,
    )
    # Those threads begin late; they may also have ended before, on a busy machine.
    assert result.code in (0, -signal.SIGABRT)
    if result.code:
        assert "not the last thread" in result.err


def test_each_has_its_own_locks_tell_of_themselves():
    """Also when another one has no more interest, or is gone."""
    run_script(
        "import lowthread"
        + IMPORT
        + """
import sys
id = interpreters.create("legacy") if sys.version_info >= (3, 13) else (
    interpreters.create(isolated=False))
def created():
    lock = lowthread.allocate_lock()
    lock.acquire()
    lowthread.start(lock.acquire)
    while not (found := [s for s in lowthread.locks() if s.address == lowthread.addressof(lock)]):
        pass
    lock.release()
    return found[0].created
assert created() is None
run(id, "import lowthread; lowthread.trace_locks()")
assert created() is None
lowthread.trace_locks()
assert "in created" in created()
run(id, "lowthread.trace_locks(False)")
assert "in created" in created()
run(id, "lowthread.trace_locks()")
interpreters.destroy(id)
assert "in created" in created()
lowthread.trace_locks(False)
assert created() is None
"""
    ).ok()


def test_waits_in_another_while_a_profile_is_on():
    """They are in it, but for their places: it has no objects of another interpreter."""
    run_script(
        "import lowthread"
        + IMPORT
        + '''
import sys
script = """if True:
    import lowthread, time
    lock, r = lowthread.allocate_lock(), lowthread.RLock()
    def hold():
        for l in lock, r:
            with l:
                time.sleep(0.05)
    thread = lowthread.start(hold)
    while not lock.locked():
        time.sleep(0.001)
    with lock:
        pass
    with r:
        pass
    thread.join()
    assert not lock.locked() and not r._is_owned()
"""
id = interpreters.create("legacy") if sys.version_info >= (3, 13) else (
    interpreters.create(isolated=False))
with lowthread.profile() as p:
    thread = lowthread.start(run, id, script)
    assert thread.join(60)
    interpreters.destroy(id)
assert {"lock", "RLock"} <= {wait.kind for wait in p.waits}, p.waits
'''
    ).ok()
