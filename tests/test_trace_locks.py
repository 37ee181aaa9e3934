"""trace_locks() and --trace-locks: where a lock was created is told with it."""

import io
import os
import re
import subprocess
import sys

import pytest
from conftest import CFFI, LONG, PYPY, ROOT, run_script, wait_until

import lowthread


@pytest.fixture
def tracing():
    lowthread.trace_locks()
    yield
    lowthread.trace_locks(False)


def state_of(lock):
    """Return what is told of a lock while somebody waits for it."""
    lock.acquire()
    thread = lowthread.start(lock.acquire)
    wait_until(lambda: any(s.address == lowthread.addressof(lock) for s in lowthread.locks()))
    [state] = [s for s in lowthread.locks() if s.address == lowthread.addressof(lock)]
    out = io.StringIO()
    lowthread.dump(out)
    lock.release()
    thread.join()
    return state, out.getvalue()


def make(kind):
    return getattr(lowthread, kind)()


KINDS = ["allocate_lock", "lock", "RLock"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_told(kind, tracing):
    lock = make(kind)
    state, text = state_of(lock)
    line = make.__code__.co_firstlineno + 1
    assert state.created == f'File "{__file__}", line {line}, in make'
    assert f"\n    created in {state.created}\n" in text


@pytest.mark.parametrize("kind", KINDS)
def test_without_it_is_not_known(kind):
    state, text = state_of(make(kind))
    assert state.created is None
    assert "created in" not in text


def test_not_that_of_a_lock_that_is_gone(tracing):
    seen = set()
    for _ in range(100):
        seen.add(id(make("lock")))
    lowthread.trace_locks(False)
    for _ in range(100):  # at the same addresses, where these are used again
        state, _ = state_of(make("lock"))
        assert state.created is None


def test_who_had_it_made_is_told_not_threading():
    run_script(
        """
        import lowthread, queue, sys, threading
        lowthread.install()
        lowthread.trace_locks()
        def here():
            return sys._getframe(1).f_lineno
        def place(lock):
            return lowthread._places.place_of_lock(lowthread.addressof(lock))
        made = [threading.Condition()._lock, queue.Queue().mutex, threading.Event()._cond._lock]
        assert [place(lock) for lock in made] == [
            f'File "<string>", line {here() - 2}, in <module>'] * 3, made
        """
    ).ok()


def test_a_program_can_be_asked(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import threading, sys, lowthread, time\n"
        "lock = threading.Lock()\n"
        "with lock:\n"
        "    t = threading.Thread(target=lock.acquire, daemon=True)\n"
        "    t.start()\n"
        "    while not any(s.kind == 'lock' for s in lowthread.locks()):\n"
        "        time.sleep(0.01)\n"
        "    lowthread.dump(sys.stdout)\n"
    )
    process = subprocess.run(
        [sys.executable, "-m", "lowthread", "--trace-locks", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=LONG,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert f'    created in File "{program}", line 2, in <module>\n' in process.stdout


LATE = """
import os
make, RLock = lowthread.allocate_lock, lowthread.RLock
class Late:
    def __init__(self):
        self.make, self.RLock, self.lock, self.write = make, RLock, make(), os.write
    def __del__(self):
        with self.lock:
            for other in (self.make(), self.RLock()):
                with other:
                    pass
        self.write(1, b"done\\n")
import builtins, sys
builtins.late = Late()
sys.late = Late()
late = Late()
"""


def test_locks_in_destructors_at_exit():
    """Those are made and taken when there is little left; as without it, where that can be."""
    without = run_script("import lowthread" + LATE).ok()
    begin = "import lowthread\nlowthread.trace_locks()\nlowthread.check_lock_order()"
    assert run_script(begin + LATE).ok() == without
    assert without.count("done") >= (0 if PYPY else 1 if CFFI else 3)


@pytest.mark.parametrize("option", ["--trace-locks=1", "--lock-order=1"])
def test_an_option_with_a_value(option):
    process = subprocess.run(
        [sys.executable, "-m", "lowthread", option, "-c", "print(1)"],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (process.returncode, process.stdout) == (2, "")
    option = option.partition("=")[0]
    assert re.match(f"lowthread: {option} takes ('raise' or )?no value", process.stderr)


def test_threads_that_make_locks():
    run_script(
        """
        import lowthread
        lowthread.trace_locks()
        def work():
            for _ in range(5000):
                lowthread.allocate_lock()
                lowthread.RLock()
        threads = [lowthread.start(work) for _ in range(4)]
        for thread in threads:
            thread.join()
        import gc
        gc.collect()
        gc.collect()
        assert len(lowthread._places._made) < 1000, len(lowthread._places._made)
        """
    ).ok()


@pytest.mark.skipif(not CFFI, reason="there, locks have no methods in Python")
def test_taking_one_is_not_changed():
    types = (lowthread.lock, lowthread.RLock)
    before = [dict(vars(cls)) for cls in types]
    lowthread.trace_locks()
    try:
        for cls, plain in zip(types, before):
            changed = {name for name in plain if vars(cls)[name] is not plain[name]}
            assert changed == {"__new__"}
    finally:
        lowthread.trace_locks(False)
    assert [dict(vars(cls)) for cls in types] == before
