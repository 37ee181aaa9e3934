"""The system's limits are reached: it is told, nothing is lost, and all works afterwards."""

import os
import pathlib
import textwrap

import pytest
from conftest import PYPY, ROOT, run_script

# ---- no more threads ----

#: Needs start_one(function), which starts a thread that calls it and returns a function that
#: joins that thread; refused(), to be called after a refusal; and LIMIT.
UNTIL_REFUSAL = """
import errno, gc, sys, time
import lowthread
def ends():
    deadline = time.monotonic() + 50
    while lowthread._count():
        assert time.monotonic() < deadline, lowthread._count()
        time.sleep(0.001)
def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096
def why(error):
    assert isinstance(error, RuntimeError), error
    if not isinstance(error, OSError):
        assert str(error) == "can't start new thread", error
        error = error.__cause__
        assert isinstance(error, OSError), error
    assert error.errno == errno.EAGAIN, error
def in_vain(times):
    while times:
        try:
            start_one(int)
        except RuntimeError as error:
            why(error)
            refused()
            times -= 1
gate = lowthread.allocate_lock()
def wait():
    with gate:
        pass
most = 0
for round in range(3):
    gate.acquire()
    joins = []
    deadline = time.monotonic() + 50
    while True:
        try:
            joins.append(start_one(wait))
            assert len(joins) < LIMIT
        except RuntimeError as error:
            why(error)
            refused()
            # A thread that has ended may count for the system a little longer.
            if len(joins) >= most:
                break
            assert time.monotonic() < deadline, (most, len(joins))
            time.sleep(0.001)
    started = len(joins)
    assert started > 0
    most = max(most, started)
    while lowthread._count() < started:
        time.sleep(0.001)
    # What waits, and what is waited for, is as before.
    assert not gate.acquire(timeout=0.01)
    # More than once, as PyPy's compiler comes to it late, and needs memory itself.
    growths = []
    while not growths or growths[-1] > 100_000:
        assert len(growths) < 10, growths
        before = rss()
        in_vain(2000)
        gc.collect()
        growths.append(rss() - before)
    assert lowthread._count() >= started
    gate.release()
    for join in joins:
        join()
    ends()
for _ in range(20):
    done = lowthread.allocate_lock()
    done.acquire()
    while True:
        try:
            start_one(done.release)()
            break
        except RuntimeError as error:
            why(error)
    assert done.acquire(timeout=50)
ends()
print("end")
"""

KINDS = {
    "start_new_thread": """
        def start_one(function):
            lowthread.start_new_thread(function, ())
            return int
        def refused():
            pass
        """,
    "start_joinable_thread": """
        def start_one(function):
            global handle
            handle = lowthread._ThreadHandle()
            return lowthread.start_joinable_thread(function, handle, daemon=False).join
        def refused():
            assert handle.is_done()
            assert handle.ident == 0
            handle.join()
            try:
                lowthread.start_joinable_thread(int, handle)
            except RuntimeError as error:
                assert str(error) == "thread already started"
            else:
                raise AssertionError("was started again")
        """,
    "start": """
        def start_one(function):
            return lowthread.start(function, name="one", daemon=False).join
        def refused():
            pass
        """,
    "threading": """
        lowthread.install()
        import threading
        def start_one(function):
            thread = threading.Thread(target=function)
            thread.start()
            return thread.join
        def refused():
            # Those that have just started, or ended, are soon where they belong.
            deadline = time.monotonic() + 50
            while threading._limbo or threading.active_count() != lowthread._count() + 1:
                assert time.monotonic() < deadline, (threading._limbo, threading.enumerate())
            for thread in threading.enumerate():
                assert thread.is_alive()
        """,
}

AS_ANOTHER_USER = """
import os, resource
LIMIT = 10
os.setuid(20000 + os.getpid() % 40000)  # nobody that runs anything else
resource.setrlimit(resource.RLIMIT_NPROC, (LIMIT, LIMIT))
"""


def until_refusal(kind, limit):
    # Imported before there is a limit: another user may not be able to read it.
    return "import lowthread, threading\n" + limit + textwrap.dedent(KINDS[kind]) + UNTIL_REFUSAL


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be a user who runs nothing else")
@pytest.mark.parametrize("kind", KINDS)
def test_no_more_threads_for_a_user(kind):
    assert run_script(until_refusal(kind, AS_ANOTHER_USER), timeout=120).ok() == "end\n"


@pytest.fixture
def pids_cgroup():
    """The folder of a new control group that limits the number of threads."""
    for parent in ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]:
        folder = pathlib.Path(parent, f"lowthread-{os.getpid()}")
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if (folder / "pids.max").exists():
                yield folder
                return
        finally:
            folder.rmdir()
    pytest.skip("a control group for pids cannot be made here")


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_threads_in_a_control_group(kind, pids_cgroup):
    (pids_cgroup / "pids.max").write_text("10")
    limit = f"""
import os
LIMIT = 10
with open("{pids_cgroup}/cgroup.procs", "w") as f:
    f.write(str(os.getpid()))
"""
    assert run_script(until_refusal(kind, limit), timeout=120).ok() == "end\n"


# ---- no more memory ----

LIMITED = """
import gc, resource, sys, threading, time
import lowthread

def used():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[0]) * resource.getpagesize()

def limit(more):
    resource.setrlimit(resource.RLIMIT_AS, (used() + more, -1))

def ends():
    deadline = time.monotonic() + 50
    while lowthread._count():
        assert time.monotonic() < deadline, lowthread._count()
        time.sleep(0.001)

def everything_works():
    gc.collect()
    done = lowthread.allocate_lock()
    done.acquire()
    lowthread.start_new_thread(done.release, ())
    assert done.acquire(timeout=50)
    lowthread.start(done.release).join()
    assert done.acquire(timeout=50)
    lowthread.start_joinable_thread(done.release).join()
    assert done.acquire(timeout=50)
    rlock = lowthread.RLock()
    with rlock, rlock:
        assert not done.acquire(timeout=0.001)
    local = lowthread._local()
    local.value = 1
    assert local.value == 1
    ends()

everything_works()
"""


# No reserve in the arenas of threads: that is used in small steps, each a system call.
ONE_ARENA = {**os.environ, "PYTHONPATH": str(ROOT), "MALLOC_ARENA_MAX": "1"}


#: What is left for all else than stacks, in MiB; PyPy itself crashes when that is too little.
RESTS = [32] if PYPY else range(0, 32, 8)


@pytest.mark.parametrize("rest", RESTS)
def test_no_memory_for_more_stacks(rest):
    """In half a GiB. Threads that find too little to begin are late, and not lost."""
    script = f"""
gate = lowthread.allocate_lock()
def wait():
    with gate:
        pass
for round in range(3):
    for start in [
        lambda: lowthread.start_new_thread(wait, ()),
        lambda: lowthread.start(wait),
        lambda: lowthread.start_joinable_thread(wait),
    ]:
        lowthread.stack_size(2**26)
        gate.acquire()
        started = 0
        limit(2**29 + {rest} * 2**20)
        try:
            while started < 1000:
                start()
                started += 1
        except RuntimeError as error:
            error = error if isinstance(error, OSError) else error.__cause__
            assert isinstance(error, OSError), error
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        assert 3 < started < 10, started
        deadline = time.monotonic() + 50
        while lowthread._count() < started:
            assert time.monotonic() < deadline, (lowthread._count(), started)
            time.sleep(0.001)
        assert not gate.acquire(timeout=0.01)
        gate.release()
        ends()
        lowthread.stack_size(2**18)
        everything_works()
print("end")
"""
    assert run_script(LIMITED + script, env=ONE_ARENA).ok() == "end\n"


@pytest.mark.slow
@pytest.mark.skipif(PYPY, reason="PyPy itself aborts when it has no memory")
@pytest.mark.parametrize("make", ["allocate_lock", "LockType", "RLock", "_ThreadHandle", "_local"])
def test_no_memory_for_more_locks(make):
    script = f"""
make = lowthread.{make}
for round in range(3):
    kept, number = [None] * 2_000_000, 0
    limit(2**23)
    try:
        while True:
            kept[number] = make()
            number += 1
    except MemoryError:
        pass
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    assert 1000 < number, number
    del kept
    everything_works()
print("end")
"""
    assert run_script(LIMITED + script, env=ONE_ARENA).ok() == "end\n"


@pytest.mark.slow
@pytest.mark.skipif(PYPY, reason="PyPy itself aborts when it has no memory")
def test_no_memory_for_anything():
    """Each thing is done or refused, whatever it is that memory lacks for."""
    script = """
held, rlock = lowthread.allocate_lock(), lowthread.RLock()
held.acquire()
rlock.acquire()
local = lowthread._local()
def set_local():
    local.value = object()
ACTIONS = [
    lowthread.allocate_lock,
    lowthread.RLock,
    lambda: held.acquire(False),
    lambda: held.acquire(timeout=0.001),
    lambda: rlock.acquire(timeout=0.001) and rlock.release(),
    lambda: lowthread.start_new_thread(int, ()),
    # Without kwargs: to copy a dictionary with no memory is a crash of 3.13.0's own.
    lambda: lowthread.start_new_thread(set_local, ()),
    lambda: lowthread.start_new_thread(held.acquire, (True, 0.001)),
    lambda: lowthread.start_new_thread(rlock.acquire, (True, 0.001)),
    # With timeouts, since those threads may not begin until there is memory.
    lambda: lowthread.start(int, name="a name").join(0.02),
    lambda: lowthread.start_joinable_thread(int).join(0.02),
    lowthread._ThreadHandle,
    lowthread._set_sentinel,
    lowthread._local,
    set_local,
]
sys.unraisablehook = lambda args: None
SIZES = [2**n for n in range(22, 3, -2)]
def fill(sizes):
    last = None
    for size in sizes:
        try:
            while True:
                last = (last, bytes(size))
        except MemoryError:
            pass
    return last
def try_it(action, sizes, lift=resource.setrlimit, what=resource.RLIMIT_AS, none=(-1, -1)):
    limit(2**23)
    full = None
    try:
        full = fill(sizes)
        for _ in range(20):
            action()
    finally:
        lift(what, none)  # needs no memory, unlike most that could be done here
        full = None
refused = set()
# What is left is enough for some of it, and then for less and less.
for least in range(1, len(SIZES) + 1):
    sizes = SIZES[:least]
    for number, action in enumerate(ACTIONS):
        try:
            try_it(action, sizes)
        except (MemoryError, RuntimeError):
            refused.add(number)
        except SystemError as error:
            # 3.13.0 itself, where there is no memory for the call of a function in Python. What
            # it says of one in C that has forgotten its exception is something else.
            assert str(error) == "error return without exception set", error
        ends()
        assert held.locked() and rlock._is_owned() and rlock._release_save()[0] == 1
        rlock.acquire()
        everything_works()
print(len(refused) > 5, sorted(refused))
"""
    out = run_script(LIMITED + script, timeout=240, env=ONE_ARENA).ok()
    assert out.startswith("True"), out
