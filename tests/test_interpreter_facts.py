"""_get_main_thread_ident, _is_main_interpreter and daemon_threads_allowed."""

import _thread as host
import importlib.util
import sys
import threading

import pytest
from conftest import FORKING, run_script, run_threads

import lowthread

# Since 3.12, forking with threads is warned of; it is what is tested here.
PYTHON = (sys.executable, "-W", "ignore::DeprecationWarning")

NAMES = ["_get_main_thread_ident", "_is_main_interpreter", "daemon_threads_allowed"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [{"args": (1,)}, {"kwargs": {"anything": 1}}])
def test_they_take_no_arguments(name, wrong):
    with pytest.raises(TypeError, match=rf"^lowthread.{name}\(\) takes no "):
        getattr(lowthread, name)(*wrong.get("args", ()), **wrong.get("kwargs", {}))


@pytest.mark.parametrize("name", NAMES)
def test_they_agree_with_the_interpreters_own(name):
    if not hasattr(host, name):
        pytest.skip(f"this interpreter's _thread has no {name}")
    ours, theirs = getattr(lowthread, name), getattr(host, name)
    assert ours() == theirs()
    assert type(ours()) is type(theirs())

    def function():
        assert ours() == theirs()

    run_threads(function)


# ---- the main thread ----


def test_the_main_thread():
    main = threading.main_thread().ident
    assert lowthread._get_main_thread_ident() == lowthread.get_ident() == main
    seen = []
    run_threads(
        lambda: seen.append((lowthread._get_main_thread_ident(), lowthread.get_ident())),
    )
    assert seen[0][0] == main
    assert seen[0][1] != main


@pytest.mark.parametrize("others", [0, 3])
def test_when_lowthread_is_imported_first_in_another_thread(others):
    """With others that were started before that one and after it."""
    run_script(
        f"""
        import _thread, threading, time
        main = _thread.get_ident()
        results, errors = [], []
        gate = _thread.allocate_lock()
        gate.acquire()
        begun = []
        def wait():
            begun.append(True)
            gate.acquire()
            gate.release()
        def start_others(n):
            for _ in range(n):
                _thread.start_new_thread(wait, ())
            while len(begun) < n:
                time.sleep(0.001)
            begun.clear()
        def imports():
            try:
                import lowthread
                results.append(lowthread._get_main_thread_ident())
                start_others({others})
                results.append(lowthread._get_main_thread_ident())
            except BaseException as error:
                errors.append(error)
        start_others({others})
        thread = threading.Thread(target=imports)
        thread.start()
        thread.join()
        assert not errors, errors
        import lowthread
        results.append(lowthread._get_main_thread_ident())
        lock = lowthread.allocate_lock()
        lock.acquire()
        lock.acquire(timeout=0.01)
        results.append(lowthread._get_main_thread_ident())
        assert results == [main] * 4, (results, main)
        gate.release()
        thread = threading.Thread(
            target=lambda: results.append(lowthread._get_main_thread_ident())
        )
        thread.start()
        thread.join()
        assert results == [main] * 5, (results, main)
        """
    ).ok()


FORK = (
    FORKING
    + """
import sys, threading
def run(function):
    errors = []
    def catches():
        try:
            function()
        except BaseException as error:
            errors.append(error)
    thread = threading.Thread(target=catches)
    thread.start()
    thread.join()
    assert not errors, errors
"""
)


def test_after_a_fork_in_the_main_thread():
    run_script(
        FORK
        + """
import lowthread
main = lowthread.get_ident()
def child():
    assert lowthread._get_main_thread_ident() == lowthread.get_ident() == main
    def in_thread():
        assert lowthread._get_main_thread_ident() == main != lowthread.get_ident()
    run(in_thread)
in_child(child)
""",
        python=PYTHON,
    ).ok()


@pytest.mark.parametrize("first", ["main", "thread", "child"])
def test_after_a_fork_in_another_thread(first):
    """It is that thread's, which is the main one of the child. `first` imports lowthread."""
    run_script(
        FORK
        + {"main": "import lowthread\n"}.get(first, "")
        + f"""
first = {first!r}
main = threading.get_ident()
def forks():
    if first == "thread":
        import lowthread
    me = threading.get_ident()
    assert me != main
    def child():
        import lowthread
        assert lowthread._get_main_thread_ident() == me == lowthread.get_ident()
        def in_thread():
            assert lowthread._get_main_thread_ident() == me != lowthread.get_ident()
        run(in_thread)
        in_child(lambda: run(in_thread))
    in_child(child)
    import lowthread
    assert lowthread._get_main_thread_ident() == main
run(forks)
import lowthread
assert lowthread._get_main_thread_ident() == main
""",
        python=PYTHON,
    ).ok()


# ---- the interpreter ----


def test_in_the_main_interpreter():
    assert lowthread._is_main_interpreter() is True
    assert lowthread.daemon_threads_allowed() is True
    seen = []
    run_threads(
        lambda: seen.append((lowthread._is_main_interpreter(), lowthread.daemon_threads_allowed()))
    )
    assert seen == [(True, True)]


MODULES = ["_interpreters", "_xxsubinterpreters"]  # 3.13 on; before
MODULE = next((name for name in MODULES if importlib.util.find_spec(name)), None)


@pytest.mark.skipif(MODULE is None, reason="this interpreter has no sub-interpreters")
@pytest.mark.parametrize("imported_before", [True, False])
def test_in_a_sub_interpreter(imported_before):
    """One of those that cffi serves; they allow daemon threads."""
    out = run_script(
        ("import lowthread\n" if imported_before else "")
        + f"import sys, {MODULE} as interpreters"
        + '''
if sys.version_info >= (3, 13):
    id = interpreters.create("legacy")
else:
    id = interpreters.create(isolated=False)
failed = interpreters.run_string(id, """if True:
    import lowthread
    print(lowthread._is_main_interpreter(), lowthread.daemon_threads_allowed())
    lowthread.start_joinable_thread(
        lambda: print(lowthread._is_main_interpreter())).join()
    lowthread.start(lambda: print(lowthread._is_main_interpreter())).join()
    import sys
    sys.stdout.flush()
""")
assert failed is None, failed
interpreters.destroy(id)
import lowthread
print(lowthread._is_main_interpreter())
'''
    ).ok()
    assert out == "False True\nFalse\nFalse\nTrue\n"
