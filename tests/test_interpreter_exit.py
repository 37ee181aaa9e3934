"""The interpreter exits while threads start, run and wait."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import LONG, PYPY, SCRIPTS, preloads, run_script

PROCESSES = 200


@pytest.mark.slow
def test_processes_exit_with_their_code_and_nothing_on_stderr():
    def run(seed):
        result = run_script(SCRIPTS / "exit_while_busy.py", seed % 5, seed, timeout=5 * LONG)
        return (result.code, result.out, result.err) == (seed % 5, "", ""), seed, result

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(run, range(PROCESSES)))
    bad = [(seed, r.code, r.err[:2000]) for ok, seed, r in results if not ok]
    assert not bad, f"{len(bad)} of {PROCESSES}: {bad[:3]}"


@preloads
def test_threads_that_begin_when_the_interpreter_is_gone(slow_threads):
    """None may touch it."""
    result = run_script(
        """
        import atexit, sys, lowthread
        atexit._clear()  # or the exit would wait for them
        for n in range(15):
            lowthread.start_new_thread(len, ("",))
        sys.exit(3)
        """,
        env={**slow_threads, "SLOW_THREADS_BEGIN": "last"},
    )
    assert (result.code, result.out, result.err) == (3, "", "")


@preloads
def test_waits_that_end_when_the_interpreter_is_gone(slow_threads):
    """Or shortly before."""
    for _ in range(3):
        result = run_script(
            """
            import sys, time, lowthread
            held = lowthread.allocate_lock()
            held.acquire()
            for n in range(15):
                lowthread.start_new_thread(held.acquire, (True, 0.3 + n * 0.02))
            time.sleep(0.3)
            sys.exit(3)
            """,
            env=slow_threads,
        )
        assert (result.code, result.out, result.err) == (3, "", "")


@pytest.mark.slow
@preloads
@pytest.mark.parametrize("where", ["at the end", "atexit", "in another thread"])
def test_threads_that_are_born_while_the_interpreter_is_finalized(slow_threads, where):
    """Finalization deletes the state of each thread, and must not meet one being made.

    No thread may run Python when the main one goes on to finalize: CPython (3.13.0, in
    drop_gil) looks at a thread's state once more after that thread has given up the GIL.
    """
    result = run_script(
        f"""
        import atexit, sys, time
        def start():
            for n in range(15):
                lowthread.start_new_thread(len, ("",))
        def start_in_another_thread():
            ended = lowthread.allocate_lock()
            ended.acquire()
            lowthread.start_new_thread(lambda: (start(), ended.release()), ())
            ended.acquire()
            while lowthread._count():
                time.sleep(0.001)
        where = {where!r}
        # Before the import: it runs last.
        if where == "atexit":
            atexit.register(start)
        elif where == "in another thread":
            atexit.register(start_in_another_thread)
        import lowthread
        if where == "at the end":
            start()
        sys.exit(3)
        """,
        # To touch a state that has been freed is a crash.
        env={**slow_threads, "SLOW_THREADS_STATES": "guarded"},
    )
    assert (result.code, result.out, result.err) == (3, "", "")


@pytest.mark.skipif(PYPY, reason="PyPy has no tracemalloc")
def test_threads_start_at_exit_while_memory_is_traced():
    """To make a thread's state takes the GIL then, so nobody may keep that and wait."""
    result = run_script(
        """
        import atexit, sys
        def start():
            done = lowthread.allocate_lock()
            for n in range(2):
                done.acquire()
                lowthread.start_new_thread(done.release, ())
            done.acquire()
        def start_in_another_thread():
            ended = lowthread.allocate_lock()
            ended.acquire()
            lowthread.start_new_thread(lambda: (start(), ended.release()), ())
            ended.acquire()
            print("done")
        # Before the import: they run last.
        atexit.register(start_in_another_thread)
        atexit.register(start)
        import lowthread
        lowthread.start_new_thread(len, ("",))
        """,
        python=(sys.executable, "-X", "tracemalloc"),
    )
    assert result.ok() == "done\n"


@preloads
@pytest.mark.skipif(PYPY, reason="PyPy waits for its GIL in another way")
def test_the_interpreter_stays_until_no_thread_asks_for_its_gil(slow_gil):
    """However long they take, which is seconds where thousands ask at once."""
    result = run_script(
        """
        import atexit, ctypes, sys, time
        # Before the import: it runs last.
        atexit.register(ctypes.PyDLL(None).keep_gil, 400_000)
        import lowthread
        held = lowthread.allocate_lock()
        held.acquire()
        for n in range(20):
            lowthread.start_new_thread(held.acquire, (True, 0.3))
        time.sleep(0.1)  # they wait by then, and ask for the GIL while that is kept
        sys.exit(3)
        """,
        # What is freed is overwritten: to use it afterwards shows.
        env={**slow_gil, "MALLOC_PERTURB_": "85"},
    )
    assert (result.code, result.out, result.err) == (3, "", "")


@preloads
@pytest.mark.skipif(PYPY, reason="PyPy waits for its GIL in another way")
@pytest.mark.parametrize("interval, ms, threads", [(0.005, 40, 3), (0.7, 300, 3)])
def test_threads_that_run_python_are_told_to_end_before_the_interpreter_is_gone(
    interval, ms, threads, slow_gil
):
    """3.10's look at the interpreter then, which is freed; the interpreter's own crash there."""
    result = run_script(
        """
        import atexit, ctypes, sys, time
        # Before the import: it runs last.
        atexit.register(ctypes.PyDLL(None).keep_gil, 20_000)
        import lowthread
        def run():
            while True:
                pass
        for n in range(int(sys.argv[2])):
            lowthread.start_new_thread(run, ())
        sys.setswitchinterval(float(sys.argv[1]))
        time.sleep(0.1)
        sys.exit(3)
        """,
        interval,
        threads,
        env={**slow_gil, "SLOW_GIL_MS": str(ms), "MALLOC_PERTURB_": "85"},
    )
    assert (result.code, result.out, result.err) == (3, "", "")


@pytest.mark.parametrize("order", ["import lowthread\n{}", "{}\nimport lowthread"])
def test_threads_start_from_atexit_functions(order):
    """Also from those that were registered before the import, which run last."""
    register = """
import atexit
def start():
    import lowthread
    done = lowthread.allocate_lock()
    done.acquire()
    lowthread.start_new_thread(lambda: (print("started"), done.release()), ())
    assert done.acquire(timeout=30)
atexit.register(start)
"""
    assert run_script(order.format(register)).ok() == "started\n"


@pytest.mark.skipif(PYPY, reason="PyPy does not finalize its modules, and knows no such time")
def test_no_threads_while_the_interpreter_is_torn_down():
    result = run_script(
        """
        import lowthread
        class Last:
            def __del__(self, start=lowthread.start_new_thread, print=print):
                try:
                    start(print, ("started",))
                except RuntimeError as error:
                    print(type(error).__name__, error)
        last = Last()  # is gone when the interpreter is being finalized
        """
    )
    out = "PythonFinalizationError can't create new thread at interpreter shutdown\n"
    assert result.ok() == out


def test_a_lock_taken_in_a_destructor_at_exit():
    """Beside threads that take the same lock all the time."""
    for _ in range(5):
        result = run_script(
            """
            import sys, time, lowthread
            lock = lowthread.allocate_lock()
            def loop():
                while True:
                    with lock:
                        pass
            for _ in range(2):
                lowthread.start_new_thread(loop, ())
            class Last:
                def __init__(self):
                    self.lock = lock
                def __del__(self):
                    self.lock.acquire(timeout=5)
            sys.last = Last()
            time.sleep(0.02)
            """
        )
        result.ok()


def test_an_exception_in_the_main_thread():
    result = run_script(
        """
        import lowthread
        lock = lowthread.allocate_lock()
        lock.acquire()
        for _ in range(5):
            lowthread.start_new_thread(lock.acquire, ())
        raise KeyError("main")
        """
    )
    assert result.code == 1
    assert result.err.endswith("KeyError: 'main'\n")


def test_a_waiting_main_thread_is_ended_by_the_keyboard():
    result = run_script(
        """
        import os, signal, time, lowthread
        lock = lowthread.allocate_lock()
        lock.acquire()
        def interrupt():
            time.sleep(0.1)
            lowthread.interrupt_main()
            lock.acquire()
        lowthread.start_new_thread(interrupt, ())
        lock.acquire()
        """
    )
    assert result.code != 0
    assert result.err.endswith("KeyboardInterrupt\n")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="until then a fork may come any time")
def test_daemon_threads_that_fork_in_the_end():
    """3.12 refuses forks before it calls atexit's functions, in which no daemon is let in.

    Before them a daemon may have the GIL once more, and sees that: with 3.12's own threads, too.
    """
    for _ in range(10):
        result = run_script(
            """
            import os, sys, time
            import lowthread
            lowthread.install()
            import threading
            def forks():
                while True:
                    try:
                        pid = os.fork()
                    except RuntimeError:
                        return
                    if pid == 0:
                        os._exit(0)
                    os.waitpid(pid, 0)
            for _ in range(3):
                threading.Thread(target=forks, daemon=True).start()
            time.sleep(0.1)
            """,
            python=(sys.executable, "-W", "ignore::DeprecationWarning"),
        )
        assert (result.code, result.out, result.err) == (0, "", "")
