"""`install` and `uninstall`: the interpreter's own `threading` runs on lowthread."""

import _thread as host
import sys

import pytest
from conftest import run_script

import lowthread

assert host is not lowthread  # the tests themselves run without

EARLY = """
import sys
import lowthread

class keep:  # as a variable of a module, it would be replaced too
    host = sys.modules["_thread"]
"""

# Modules that take names from _thread, in some version or other.
USERS = [
    *("threading", "queue", "concurrent.futures.thread", "logging", "_threading_local"),
    *("contextlib", "functools", "reprlib", "tempfile", "_strptime", "_pyio", "dataclasses"),
    *("asyncio", "multiprocessing.dummy", "sched", "socketserver", "weakref", "sqlite3"),
]

# What a module of the host's may still have: nothing.
LOOK = """
def of_host():
    theirs = {id(v): n for n, v in vars(keep.host).items() if not n.startswith("__")}
    theirs[id(keep.host)] = "_thread"
    same = {n for n, v in vars(keep.host).items() if getattr(lowthread, n, None) is v}
    for name, module in list(sys.modules.items()):
        if name.startswith("lowthread") or module is keep.host:
            continue
        for key, value in list(vars(module).items()):
            found = theirs.get(id(value))
            if found is not None and found not in same:
                yield f"{name}.{key}"
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_everything_that_came_from_the_interpreters_own_is_replaced(when):
    imports = f"for name in {USERS}: __import__(name)\n"
    script = EARLY + LOOK + (imports if when == "before" else "")
    script += "assert lowthread.install() is None\n"
    script += imports if when == "after" else ""
    script += """
assert list(of_host()) == [], list(of_host())
import _thread, threading, functools, tempfile, reprlib
assert _thread is sys.modules["_thread"] is not keep.host
assert _thread.__name__ == "_thread"
assert type(threading.Lock()) is lowthread.lock
assert type(threading.RLock()) is lowthread.RLock
assert threading.get_ident is lowthread.get_ident is reprlib.get_ident
assert threading.stack_size is lowthread.stack_size
assert threading.local is lowthread._local
assert functools.RLock is lowthread.RLock
assert tempfile._allocate_lock is lowthread.allocate_lock
assert type(threading.Condition()._lock) is lowthread.RLock
"""
    run_script(script).ok()


@pytest.mark.parametrize("name", sorted(n for n in dir(host) if not n.startswith("__")))
def test_every_name_of_the_interpreters_own_is_there(name):
    run_script(
        EARLY
        + f"""
lowthread.install()
import _thread
assert _thread.{name} is lowthread.{name}
""",
    ).ok()


def test_what_is_not_in_thread_is_not_in_ours():
    run_script(
        EARLY
        + """
lowthread.install()
import _thread
for name in ["start", "install", "uninstall", "backend", "ThreadHandle", "ThreadStartError"]:
    assert not hasattr(_thread, name), name
"""
    ).ok()


USE = """
import threading, queue, concurrent.futures, time

def check_use():
    seen = []
    jobs = queue.Queue()
    def work():
        for job in iter(jobs.get, None):
            seen.append((job, lowthread._count(), keep.host._count()))
    threads = [threading.Thread(target=work, name=f"worker {n}") for n in range(4)]
    for thread in threads:
        thread.start()
    for n in range(100):
        jobs.put(n)
    for _ in threads:
        jobs.put(None)
    for thread in threads:
        thread.join()
        assert not thread.is_alive()
    assert sorted(job for job, _, _ in seen) == list(range(100))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(abs, range(-5, 5))) == [abs(n) for n in range(-5, 5)]
    local = threading.local()
    local.x = 1
    event = threading.Event()
    timer = threading.Timer(0.01, event.set)
    timer.start()
    assert event.wait(60)
    timer.join()
    barrier = threading.Barrier(3)
    threads = [threading.Thread(target=barrier.wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    barrier.wait()
    for thread in threads:
        thread.join()
    return seen
"""


def test_threads_of_threading_are_ours():
    script = EARLY + "lowthread.install()\n" + USE
    script += """
seen = check_use()
assert all(ours > 0 and theirs == 0 for _, ours, theirs in seen)
assert threading.active_count() == 1
while lowthread._count(): pass
"""
    run_script(script).ok()


def test_again_does_nothing():
    script = EARLY + "lowthread.install(); import _thread as first\n" + USE
    script += """
lowthread.install()
lowthread.install(force=True)
import _thread
assert _thread is first
check_use()
lowthread.uninstall()
import _thread
assert _thread is keep.host
lowthread.uninstall()
check_use()
"""
    run_script(script).ok()


@pytest.mark.parametrize("loaded", ["before", "after"])
def test_uninstall_takes_all_of_it_back(loaded):
    script = EARLY
    imports = f"for name in {USERS}: __import__(name)\n"
    if loaded == "before":
        script += imports
        script += (
            "before = {(n, k): v for n, m in sys.modules.items() for k, v in vars(m).items()}"
        )
    script += "\nlowthread.install()\n"
    script += imports if loaded == "after" else ""
    script += "\nlowthread.uninstall()\n"
    if loaded == "before":
        script += """
mains = ["__main__", "__mp_main__"]
for (name, key), value in before.items():
    assert vars(sys.modules[name]).get(key) is value or name in mains, (name, key)
"""
    script += """
import _thread, threading
assert _thread is keep.host
assert type(threading.Lock()) is type(keep.host.allocate_lock())
ours = {id(v) for n, v in vars(lowthread).items() if getattr(keep.host, n, v) is not v}
for name, module in sys.modules.items():
    if not name.startswith("lowthread"):
        for key, value in vars(module).items():
            assert id(value) not in ours, (name, key)
"""
    script += USE + "assert all(ours == 0 for _, ours, _ in check_use())\n"
    run_script(script).ok()


def test_uninstall_leaves_alone_what_a_program_took_from_lowthread(tmp_path):
    (tmp_path / "user.py").write_text("from lowthread import allocate_lock, lock\n")
    run_script(
        EARLY
        + """
sys.path.insert(0, sys.argv[1])
import user
lowthread.install()
import _thread
from _thread import allocate_lock
lowthread.uninstall()
assert user.allocate_lock is lowthread.allocate_lock is allocate_lock
assert user.lock is lowthread.lock
""",
        tmp_path,
    ).ok()


LATE = """
import threading
go_on = threading.Event()
running = threading.Event()

def run():
    running.set()
    go_on.wait()
    print("it went on to its end")

thread = threading.Thread(target=run)
thread.start()
running.wait()
"""


def test_too_late():
    run_script(
        EARLY
        + LATE
        + """
before = {(n, k): v for n, m in sys.modules.items() for k, v in vars(m).items()}
try:
    lowthread.install()
except RuntimeError as error:
    message = str(error)
else:
    raise AssertionError
assert message == (
    "lowthread.install() comes too late: 1 thread runs on the interpreter's own _thread. Call it "
    "before any starts, or go on with install(force=True)"
), message
for (name, key), value in before.items():
    if name != "__main__":
        assert vars(sys.modules[name])[key] is value, (name, key)
assert sys.modules["_thread"] is keep.host
go_on.set()
thread.join()
while keep.host._count(): pass
lowthread.install()
assert type(threading.Lock()) is lowthread.lock
"""
    ).ok()


def test_too_late_and_told_to_go_on():
    """Both kinds of threads work, and the exit waits for both."""
    out = run_script(
        EARLY
        + LATE
        + """
lowthread.install(force=True)
assert type(threading.Lock()) is lowthread.lock

threading._register_atexit(go_on.set)
"""
    ).ok()
    assert out == "it went on to its end\n"


def test_uninstall_too_early():
    out = run_script(
        EARLY
        + "lowthread.install()\n"
        + LATE
        + """
try:
    lowthread.uninstall()
except RuntimeError as error:
    message = str(error)
else:
    raise AssertionError
assert message == (
    "lowthread.uninstall() comes too early: 1 thread runs on lowthread. Call it when none does, "
    "or go on with uninstall(force=True)"
), message
import _thread
assert _thread is not keep.host and type(threading.Lock()) is lowthread.lock
lowthread.uninstall(force=True)
assert type(threading.Lock()) is type(keep.host.allocate_lock())

threading._register_atexit(go_on.set)
"""
    ).ok()
    assert out == "it went on to its end\n"


@pytest.mark.parametrize("function", [lowthread.install, lowthread.uninstall])
def test_only_force_can_be_said(function):
    with pytest.raises(TypeError):
        function(True)


def test_joiners_of_the_main_thread():
    """`threading`, up to 3.12, releases the main thread's lock and asserts that it is free."""
    script = """
import lowthread
lowthread.install()
import sys, threading

joining = threading.Semaphore(0)

def join(main):
    joining.release()
    main.join()
    sys.stdout.write("joined\\n")

for _ in range(2):
    threading.Thread(target=join, args=[threading.current_thread()]).start()
for _ in range(2):
    joining.acquire()
import time
time.sleep(0.1)  # so long that the lock is handed on; without it this tests less
"""
    assert run_script(script).ok() == "joined\njoined\n"


def test_fork():
    script = """
import lowthread
lowthread.install()
import os, threading

held = threading.Event()
end = threading.Event()

def hold():
    held.set()
    end.wait()

other = threading.Thread(target=hold)
other.start()
held.wait()
pid = os.fork()
if pid == 0:
    assert not other.is_alive()
    other.join()
    assert threading.active_count() == 1 and lowthread._count() == 0
    seen = []
    thread = threading.Thread(target=seen.append, args=[1])
    thread.start()
    thread.join()
    assert seen == [1]
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
end.set()
other.join()
"""
    run_script(script, python=(sys.executable, "-W", "ignore::DeprecationWarning")).ok()


def test_the_interpreters_own_exit_sees_our_threads():
    """A thread that is no daemon is waited for, and one that is, is not."""
    script = """
import lowthread
lowthread.install()
import threading

def late():
    threading.main_thread().join()
    print("late")

threading.Thread(target=late).start()
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
    assert run_script(script).ok() == "late\n"
