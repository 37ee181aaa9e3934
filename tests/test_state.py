"""locks(), dump() and name_lock(): who waits for what."""

import contextlib
import ctypes
import gc
import io
import os
import re
import sys
import threading
import time

import pytest
from conftest import LONG, PYPY, run_lowthread, run_script, wait_until

import lowthread


@contextlib.contextmanager
def waiting(lock, *args, count=1, **options):
    """Hold a lock while so many threads wait for it; yield these."""
    lock.acquire()

    def wait():
        if lock.acquire(*args):
            lock.release()

    threads = []
    try:
        for n in range(count):
            threads.append(lowthread.start(wait, **options))
            wait_until(lambda n=n: len(waiters_of(lock)) == n + 1, "waiting")
        yield threads
    finally:
        lock.release()
        for thread in threads:
            assert thread.join(LONG)


def state_of(lock):
    address = lowthread.addressof(lock)
    found = [state for state in lowthread.locks() if state.address == address]
    assert len(found) <= 1
    return found[0] if found else None


def waiters_of(lock):
    state = state_of(lock)
    return state.waiters if state else ()


@pytest.fixture(params=["lock", "RLock"])
def lock(request):
    return getattr(lowthread, request.param)()


def test_what_nobody_waits_for_is_not_told(lock):
    assert state_of(lock) is None
    with lock:
        assert state_of(lock) is None
        assert not lock.acquire(False) or lock.release() is None


def test_a_lock_that_is_waited_for(lock):
    before = time.monotonic()
    with waiting(lock, count=3) as threads:
        time.sleep(0.01)
        state = state_of(lock)
        assert type(state) is lowthread.LockState
        assert state.kind == type(lock).__name__
        assert state.name is None
        assert state.owner.ident == lowthread.get_ident()
        assert [w.ident for w in state.waiters] == [t.ident for t in threads]
        assert [w.timeout for w in state.waiters] == [None] * 3
        times = [w.waiting_for for w in state.waiters]
        assert times == sorted(times, reverse=True)
        assert 0.01 <= times[-1] <= times[0] < time.monotonic() - before
        assert 0.01 <= state.held_for < time.monotonic() - before
    assert state_of(lock) is None


def test_a_timeout_is_told(lock):
    with waiting(lock, True, LONG):
        [waiter] = waiters_of(lock)
        assert waiter.timeout == LONG


def test_who_took_a_lock_is_its_owner(lock):
    """Whichever thread that was."""
    begun, go = lowthread.allocate_lock(), lowthread.allocate_lock()
    begun.acquire()
    go.acquire()

    def hold():
        with lock:
            begun.release()
            go.acquire()

    holder = lowthread.start(hold)
    begun.acquire()
    waiter = lowthread.start(lambda: lock.acquire() and lock.release())
    wait_until(lambda: waiters_of(lock), "waiting")
    assert state_of(lock).owner.ident == holder.ident
    go.release()
    assert holder.join(LONG)
    assert waiter.join(LONG)


def test_a_lock_that_its_owner_waits_for():
    """As `threading.Condition` has them."""
    lock = lowthread.allocate_lock()

    def wait():
        lock.acquire()
        lock.acquire()

    thread = lowthread.start(wait)
    wait_until(lambda: waiters_of(lock), "waiting")
    state = state_of(lock)
    assert state.owner.ident == state.waiters[0].ident == thread.ident
    lock.release()
    assert thread.join(LONG)


def test_an_owner_that_has_ended_is_not_known():
    lock = lowthread.allocate_lock()
    assert lowthread.start(lock.acquire).join(LONG)
    waiter = lowthread.start(lock.acquire)
    wait_until(lambda: waiters_of(lock), "waiting")
    owner = state_of(lock).owner
    # Its ident may be the waiter's by now.
    assert owner is None or owner.ident == waiter.ident
    lock.release()
    assert waiter.join(LONG)


def test_a_thread_that_is_joined():
    go = lowthread.allocate_lock()
    go.acquire()
    joined = lowthread.start(go.acquire)
    joiner = lowthread.start(joined.join)
    wait_until(lambda: [s for s in lowthread.locks() if s.kind == "thread"], "joining")
    [state] = [s for s in lowthread.locks() if s.kind == "thread"]
    assert state.owner.ident == joined.ident
    assert [w.ident for w in state.waiters] == [joiner.ident]
    assert state.waiters[0].timeout is None
    go.release()
    assert joiner.join(LONG)


def test_a_condition_that_takes_its_lock_again():
    lock = lowthread.RLock()
    state = []

    def wait():
        lock.acquire()
        saved = lock._release_save()
        state.append(saved)
        lock._acquire_restore(saved)
        lock.release()

    lock.acquire()
    thread = lowthread.start(lambda: wait())
    wait_until(lambda: waiters_of(lock), "waiting")
    lock.release()
    assert thread.join(LONG)
    assert state_of(lock) is None


def test_names_of_threads_are_those_of_threading():
    assert (
        run_script(
            """
        import lowthread
        lowthread.install()
        import threading, time
        lock = threading.Lock()
        lock.acquire()
        thread = threading.Thread(target=lock.acquire, name="a name")
        thread.start()
        while not lowthread.locks():
            time.sleep(0.001)
        [state] = lowthread.locks()
        print(state.owner.name, state.waiters[0].name)
        lock.release()
        """
        ).ok()
        == "MainThread a name\n"
    )


def test_many_are_told():
    locks = [lowthread.allocate_lock() for _ in range(70)]
    with contextlib.ExitStack() as stack:
        for lock in locks:
            stack.enter_context(waiting(lock))
        told = {state.address for state in lowthread.locks()}
        assert told >= {lowthread.addressof(lock) for lock in locks}


def test_looking_while_others_take_turns():
    """What is told makes sense at any moment, and nobody is held up."""
    lock, end = lowthread.allocate_lock(), []

    def take_turns():
        while not end:
            with lock:
                pass

    threads = [lowthread.start(take_turns) for _ in range(3)]
    idents = {thread.ident for thread in threads}
    looks = 0
    until = time.monotonic() + 1
    while time.monotonic() < until:
        looks += 1
        for state in lowthread.locks():
            if state.address == lowthread.addressof(lock):
                assert {w.ident for w in state.waiters} <= idents
                assert state.owner is None or state.owner.ident in idents
                assert state.held_for is None or state.held_for >= 0
    end.append(True)
    assert all(thread.join(LONG) for thread in threads)
    assert looks > 10


# ---- names ----


def test_a_name(lock):
    lowthread.name_lock(lock, "accounts")
    with waiting(lock):
        assert state_of(lock).name == "accounts"
        lowthread.name_lock(lock, "ledger")
        assert state_of(lock).name == "ledger"
        lowthread.name_lock(lock, None)
        assert state_of(lock).name is None
    lowthread.name_lock(lock, None)


def test_a_name_goes_with_its_lock():
    from lowthread._state import names_of_locks

    before = len(names_of_locks)
    for _ in range(100):
        lock = lowthread.allocate_lock()
        lowthread.name_lock(lock, "a name")
    del lock

    def gone():
        gc.collect()
        return len(names_of_locks) <= before

    wait_until(gone, "gone")


def test_a_derived_lock_can_have_a_name():
    class Mine(lowthread.RLock):
        pass

    mine = Mine()
    lowthread.name_lock(mine, "mine")
    with waiting(mine):
        assert state_of(mine).name == "mine"


@pytest.mark.skipif(lowthread.backend == "cffi", reason="there, no lock is slower than another")
def test_a_name_does_not_make_a_lock_slower():
    """As addressof() does, which marks it as one that native code may change."""
    for make in lowthread.allocate_lock, lowthread.RLock:
        lock, marked = make(), make()
        lowthread.name_lock(lock, "a name")
        lowthread.addressof(marked)
        # The core's lock, and the mark behind it.
        named, shared, plain = (
            ctypes.string_at(lowthread._state.address_of(thing), 8)
            for thing in (lock, marked, make())
        )
        assert named == plain != shared


@pytest.mark.parametrize("thing", [None, 1, "lock", lowthread.lock, threading.Thread()])
def test_only_locks_can_have_names(thing):
    with pytest.raises(TypeError, match=r"name_lock\(\) argument must be a lowthread.lock or"):
        lowthread.name_lock(thing, "name")


def test_a_name_is_a_str(lock):
    with pytest.raises(TypeError, match="name must be a str or None, not bytes"):
        lowthread.name_lock(lock, b"name")


# ---- dump ----


def dumped():
    file = io.StringIO()
    lowthread.dump(file)
    return file.getvalue()


def test_dump(lock):
    lowthread.name_lock(lock, "accounts")
    with waiting(lock, True, LONG) as [thread]:
        text = dumped()
        kind, address = type(lock).__name__, lowthread.addressof(lock)
        verb = "taken" if kind == "lock" else "held"
        me = lowthread.get_ident()
        assert re.search(
            rf"^Thread {thread.ident:#x}.*:.*\n(  .*\n)*"
            rf'  - waits for {kind} {address:#x} "accounts", \d+\.\d{{3}} s of {LONG} s: '
            rf"{verb} by thread (\"\w+\" )?\(?{me:#x}\)? for \d+\.\d{{3}} s or longer$",
            text,
            re.MULTILINE,
        )
        assert "in test_dump\n" in text  # the caller's own stack
        assert "in dumped\n    lowthread.dump(file)\n" in text
        assert os.path.join("lowthread", "_state.py") not in text
        if not PYPY:
            assert "in wait\n    if lock.acquire(*args):\n  - waits for" in text
        else:
            assert re.search(
                rf"^Thread {thread.ident:#x} \(most recent call last; of each, the line in which "
                r'the function begins\):\n(  File ".*", line \d+, in \w+\n)*'
                r'  File ".*", line \d+, in wait\n  - waits for',
                text,
                re.MULTILINE,
            ), text


def test_dump_tells_what_each_thread_does():
    script = """
import lowthread, io, re, time
stop = []
def inner(x):
    for i in range(100):
        x = (3 * x + i) % 65537
    return x
def computes():
    x = 1
    while not stop:
        x = inner(x)
def sleeps():
    while not stop:
        time.sleep(0.01)
lock = lowthread.allocate_lock()
lock.acquire()
def waits():
    lock.acquire(timeout=60)
def deep(count=150):
    deep(count - 1) if count else sleeps()
threads = {f: lowthread.start(f) for f in (computes, sleeps, waits, deep)}
time.sleep(0.5)
file = io.StringIO()
lowthread.dump(file)
stop.append(True)
lock.release()
for function, thread in threads.items():
    assert thread.join(60)
    head = f"Thread {thread.ident:#x} ("
    [part] = [part for part in file.getvalue().split("\\n\\n") if part.startswith(head)]
    calls = re.findall(r'^  File "<string>", line \\d+, in (\\w+)$', part, re.MULTILINE)
    if function is deep:
        assert ("[Previous line repeated 148 more" in part) != (":\\n  ...\\n" in part), part
        continue
    assert calls in ([function.__name__], [function.__name__, "inner"]), part
"""
    run_script(script).ok()


def test_stacks_of_pypy():
    told = [
        '  File "/a in b [c].py", line 3 in f [jit inlined]',
        '  File "/x.py", line 2 in g [jitted]',
        '  File "/x.py", line 2 in g',
        '  File "/x.py", line 2 in g',
        '  File "/x.py", line 1 in <module>',
    ]
    own = f'  File "{lowthread._hooks.HERE}_pylock.py", line 1 in wait_for'
    assert lowthread._state._calls_of([own, own + " [jitted]", *told]) == [
        '  File "/x.py", line 1, in <module>\n',
        '  File "/x.py", line 2, in g\n',
        '  File "/x.py", line 2, in g\n',
        '  File "/a in b [c].py", line 3, in f\n',
    ]
    assert (
        lowthread._state._calls_of([told[4]] * 100)[0] == '  File "/x.py", line 1, in <module>\n'
    )
    starter = f'  File "{lowthread._hooks._STARTER}", line 1 in main'
    assert lowthread._state._calls_of([told[4], starter, starter, told[4]]) == [
        '  File "/x.py", line 1, in <module>\n'
    ]
    assert lowthread._state._calls_of([]) == lowthread._state._calls_of([own]) == []
    names = ["Thread 0xzz b", "Thread 0x", "thread 0x1 ", "Thread "]
    calls = "".join(f'  File "a\n{name}", line 1 in h\n' for name in names)
    assert list(lowthread._state._stacks_in(f"Thread 0xAB (x):\n{calls}{told[4]}\n")) == [0xAB]
    both = f"Thread 0xAB (x):\n{told[4]}\n\nCurrent thread 0xC0 (x):\n{told[3]}\n"
    assert {i: len(calls) for i, calls in lowthread._state._stacks_in(both).items()} == {
        0xAB: 1,
        0xC0: 1,
    }
    assert lowthread._state._stacks_in("") == {}


def test_a_dump_without_the_stacks_of_pypy(monkeypatch):
    """As where the system has no file in memory."""

    def refuse(_):
        raise OSError

    monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    text = dumped()
    assert "in test_a_dump_without_the_stacks_of_pypy\n" in text


@pytest.mark.slow
def test_dumps_beside_threads_that_begin_and_compute_and_end():
    """On PyPy, compiled code has its frames in registers."""
    script = """
import lowthread, io, time
stop = []
lock = lowthread.allocate_lock()
def inner(x):
    for i in range(50):
        x = (x * 3 + i) & 0xffff
    if x % 1000 == 7:
        raise ValueError
    return x
def deep(n, x):
    return deep(n - 1, x) + 1 if n else inner(x)
def computes():
    x = 0
    while not stop:
        with lock:
            try:
                x = deep(x % 20, x)
            except ValueError:
                x += 1
def begins_and_ends():
    while not stop:
        for thread in [lowthread.start(deep, 10, n) for n in range(4)]:
            thread.join()
for f in computes, computes, begins_and_ends, begins_and_ends:
    lowthread.start(f, daemon=False)
end, seen = time.monotonic() + 3, 0
while time.monotonic() < end:
    file = io.StringIO()
    lowthread.dump(file)
    seen += "in computes" in file.getvalue()
stop.append(True)
assert seen
"""
    result = run_script(script)
    assert result.code == 0, result


@pytest.mark.parametrize("how", ["-c", "file", "-m"])
def test_how_the_program_was_started_is_not_told(how, tmp_path):
    """But for what `python -m` has there."""
    program = "import lowthread\nlowthread.check_lock_order()\nlowthread.dump()\n"
    (tmp_path / "program.py").write_text(program)
    args = {"-c": ["-c", program], "file": ["program.py"], "-m": ["-m", "program"]}[how]
    process = run_lowthread(*args, cwd=tmp_path)
    calls = [line for line in process.err.splitlines() if line.startswith("  File")]
    assert len(calls) == (3 if how == "-m" else 1), process.err
    assert calls[-1].endswith(", line 3, in <module>")
    assert "_run.py" not in process.err


def test_who_waits_to_be_notified_is_told_of_as_such():
    """It waits for a lock that it took itself, in `Condition.wait`."""
    lock = lowthread.allocate_lock()
    lock.acquire()
    names = {"__name__": "threading"}
    exec("def wait(waiter): waiter.acquire(timeout=0.5)", names)

    def to_be_notified():
        own = lowthread.allocate_lock()
        own.acquire()
        names["wait"](own)

    thread = lowthread.start(to_be_notified)
    other = lowthread.start(lambda: lock.acquire(timeout=0.5))
    wait_until(lambda: len(lowthread.locks()) == 2)
    lines = [line for line in dumped().splitlines() if line.startswith("  - waits for")]
    assert thread.join(LONG) and other.join(LONG)
    told = [": it waits to be notified by a Condition" in line for line in lines]
    assert sorted(told) == [False, True], lines


@pytest.mark.skipif(PYPY, reason="stacks of other threads are not known there")
def test_who_waits_for_what_it_took_by_with_is_not_told_of_so():
    lock = lowthread.allocate_lock()

    def takes_it_again():
        with lock:
            lock.acquire(timeout=0.5)

    thread = lowthread.start(takes_it_again)
    wait_until(lambda: len(lowthread.locks()) == 1)
    [line] = [line for line in dumped().splitlines() if line.startswith("  - waits for")]
    assert thread.join(LONG)
    assert f": taken by thread {thread.ident:#x} for " in line
    assert "notified" not in line


def test_dump_goes_to_stderr(capfd):
    lowthread.dump()
    assert f"{os.path.basename(__file__)}" in capfd.readouterr().err


def test_dump_without_stderr(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    lowthread.dump()


def test_dump_at_once():
    """So that what others print does not come in between."""
    said = []

    class File:
        def write(self, text):
            said.append(text)

    lowthread.dump(File())
    assert len(said) == 1


def test_dump_in_a_signal_handler_of_a_thread_that_waits():
    """As is the way to ask a program that hangs."""
    process = run_script(
        """
        import lowthread, os, signal, sys, time
        lock = lowthread.allocate_lock()
        signal.signal(signal.SIGUSR1, lambda *_: (lowthread.dump(sys.stdout), lock.release()))
        lock.acquire()
        def send():
            while not lowthread.locks():
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGUSR1)
        lowthread.start(send)
        lock.acquire()
        """
    )
    # The wait is over for as long as the handler runs.
    assert "in <lambda>\n" in process.ok() or "in <lambda>" in process.out


def test_a_child_sees_no_waits_of_its_parent():
    run_script(
        """
        import lowthread, os, time
        lock = lowthread.allocate_lock()
        lock.acquire()
        lowthread.start_new_thread(lock.acquire, ())
        while not lowthread.locks():
            time.sleep(0.001)
        pid = os.fork()
        if pid == 0:
            os._exit(len(lowthread.locks()))
        assert os.waitpid(pid, 0)[1] == 0
        lock.release()
        """,
        python=(sys.executable, "-W", "ignore::DeprecationWarning"),
    ).ok()


@pytest.mark.parametrize("kind", ["lock", "RLock"])
def test_a_child_tells_of_a_lock_that_was_lost_in_the_fork(kind):
    """Also where a new thread has the ident of the one that took it, as it often has."""
    text = run_script(
        f"""
        import lowthread, os, sys, time
        lock, taken, never = lowthread.{kind}(), lowthread.lock(), lowthread.lock()
        never.acquire()
        taken.acquire()
        def hold():
            lock.acquire()
            taken.release()
            never.acquire()
        lowthread.start(hold)
        taken.acquire()
        pid = os.fork()
        if pid == 0:
            lowthread.start(never.acquire)
            lowthread.start(lock.acquire)
            while len(lowthread.locks()) < 2:
                time.sleep(0.001)
            address = lowthread.addressof(lock)
            [state] = [s for s in lowthread.locks() if s.address == address]
            assert state.owner is None, state
            lowthread.dump(sys.stdout)
            sys.stdout.flush()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        never.release()
        """,
        python=(sys.executable, "-W", "ignore::DeprecationWarning"),
    ).ok()
    lost = "taken by a thread that got lost when this process was forked"
    assert re.search(rf"- waits for {kind} 0x.* s without a timeout: {lost}\n", text), text
    assert re.search(rf"  {kind} 0x\w+: {lost}; waited for by 0x", text)
