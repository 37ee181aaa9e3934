"""profile() and --profile: where a program waits for locks, and who has them meanwhile."""

import gc
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import weakref

import pytest
from conftest import LONG, PYPY, ROOT, run_lowthread, run_script, wait_until

import lowthread


def hold(lock, seconds, count=1):
    """Have so many threads wait while a lock is held for so long."""
    lock.acquire()

    def wait_here():
        with lock:
            pass

    threads = [lowthread.start(wait_here) for _ in range(count)]
    address = lowthread.addressof(lock)
    wait_until(
        lambda: sum(len(s.waiters) for s in lowthread.locks() if s.address == address) == count,
        "waiting",
    )
    time.sleep(seconds)
    lock.release()
    for thread in threads:
        assert thread.join(LONG)
    return threads


@pytest.mark.parametrize("kind", ["lock", "RLock"])
def test_a_wait(kind):
    lock = getattr(lowthread, kind)()
    lowthread.name_lock(lock, "accounts")
    before = time.monotonic()
    with lowthread.profile() as p:
        [thread] = hold(lock, 0.05)
    [wait] = [wait for wait in p.waits if wait.name == "accounts"]
    assert type(wait) is lowthread.ProfileWait
    assert (wait.ident, wait.kind) == (thread.ident, kind)
    assert wait.lock == lowthread.addressof(lock)
    assert wait.taken
    assert before < p.begin <= wait.begin < wait.end <= p.end < time.monotonic()
    assert wait.end - wait.begin >= 0.05
    me = threading.current_thread().name
    assert wait.owner in (me, f"thread {lowthread.get_ident():#x}")
    place = p.places[wait.place]
    assert type(place) is lowthread.ProfilePlace
    assert re.fullmatch(r".*test_profile\.py:\d+ in wait_here", place.where)
    assert place.where == place.stack[-1]
    assert place.lock == f'{kind} {wait.lock:#x} "accounts"'
    assert place.waits == 1
    length = wait.end - wait.begin
    assert place.total == place.worst == pytest.approx(length)
    assert place.median == pytest.approx(length, rel=0.04)
    assert place.p99 == pytest.approx(length, rel=0.04)
    [(owner, at, count, total)] = place.owners
    assert (owner, count, total) == (wait.owner, 1, pytest.approx(length))
    if PYPY:
        assert at is None
    else:
        assert re.fullmatch(r".*:\d+ in \w+", at)
        assert wait.owner_place == at


def test_who_does_not_wait_is_not_in_it():
    lock, rlock = lowthread.allocate_lock(), lowthread.RLock()
    with lowthread.profile() as p:
        for _ in range(1000):
            with lock, rlock, rlock:
                assert not lock.acquire(False)
    assert p.waits == p.places == []
    assert p.table().startswith("lowthread: 0 waits for locks")


def test_a_wait_that_is_given_up():
    lock = lowthread.allocate_lock()
    lock.acquire()
    with lowthread.profile() as p:
        assert not lock.acquire(timeout=0.02)
    [wait] = p.waits
    assert not wait.taken
    assert wait.end - wait.begin >= 0.02


def test_a_thread_that_is_joined():
    with lowthread.profile() as p:
        thread = lowthread.start(time.sleep, 0.05)
        assert thread.join(LONG)
    [wait] = p.waits
    assert wait.kind == "thread"
    assert wait.owner == f"thread {thread.ident:#x}"


def test_the_numbers_add_up():
    lock = lowthread.allocate_lock()
    with lowthread.profile() as p:
        for _ in range(5):
            hold(lock, 0.01, count=3)
    waits = [wait for wait in p.waits if wait.kind == "lock"]
    [place] = [place for place in p.places if "wait_here" in place.where]
    lengths = sorted(wait.end - wait.begin for wait in waits)
    assert len(lengths) == place.waits == 15
    assert place.total == pytest.approx(sum(lengths))
    assert place.worst == pytest.approx(lengths[-1])
    assert place.median == pytest.approx(lengths[7], rel=0.04)
    assert sum(count for _, _, count, _ in place.owners) == 15
    assert sum(total for *_, total in place.owners) == pytest.approx(place.total)
    assert [w.begin for w in p.waits] == sorted(w.begin for w in p.waits)
    order = [(not place.is_contended, -place.total) for place in p.places]
    assert order == sorted(order)


def test_a_long_wait_of_the_main_thread_is_one():
    """Though it looks for signals meanwhile."""
    lock = lowthread.allocate_lock()
    lock.acquire()
    with lowthread.profile() as p:
        lowthread.start(lambda: (time.sleep(0.3), lock.release()))
        lock.acquire()
    [wait] = p.waits
    assert wait.taken
    assert wait.end - wait.begin >= 0.25


def test_more_waits_than_are_kept(monkeypatch):
    monkeypatch.setattr(lowthread._profile, "MOST_WAITS", 3)
    lock = lowthread.allocate_lock()
    with lowthread.profile() as p:
        hold(lock, 0.01, count=5)
    assert len(p.waits) == 3
    assert p.omitted + 3 == sum(place.waits for place in p.places)


def test_many_waits_and_threads(monkeypatch):
    """More than the core has room for at once."""
    monkeypatch.setattr(lowthread._profile, "TAKEN_AT", 100)
    monkeypatch.setattr(lowthread._profile, "MOST_NOTES", 10)
    monkeypatch.setattr(lowthread._profile, "ROOM", 400)
    lock, stop = lowthread.allocate_lock(), []

    def contend():
        while not stop:
            if lock.acquire(timeout=0.0002):
                lock.release()

    with lowthread.profile() as p:
        lock.acquire()
        threads = [lowthread.start(contend) for _ in range(4)]
        try:
            wait_until(lambda: sum(sums.count for sums in p._sums) > 1000, "many")
        finally:
            stop.append(True)
            lock.release()
            for thread in threads:
                assert thread.join(LONG)
    assert p.dropped == 0
    assert sum(place.waits for place in p.places) == len(p.waits) + p.omitted > 1000
    known = ["contend" in p.places[w.place].where for w in p.waits if w.kind == "lock"]
    assert known.count(True) > 0.9 * len(known)  # but for those that were late to begin


def test_short_waits_are_counted(monkeypatch):
    """And nothing else is told of them; here, all are short."""
    monkeypatch.setattr(lowthread._profile, "SHORTEST", LONG * 10**9)
    with lowthread.profile() as p:
        hold(lowthread.allocate_lock(), 0.02, count=3)
    assert p.waits == p.places == []
    assert p.short >= 3
    assert p.short_total >= 3 * 0.02
    assert re.search(rf"  and {p.short} of less than \d+ us each, ", p.table())


def test_threads_of_threading_by_name():
    script = """
import lowthread
lowthread.install()
import threading, time, queue
q = queue.Queue()
with lowthread.profile() as p:
    thread = threading.Thread(target=q.get, name="getter")
    thread.start()
    time.sleep(0.1)
    q.put(1)
    thread.join()
[wait] = [w for w in p.waits if w.thread == "getter" and w.end - w.begin > 0.05]
place = p.places[wait.place]
# The caller of a function of queue's is the place; here that is threading's, for want of another.
print(wait.owner, place.stack[-1].rpartition(" ")[2], place.owners, place.is_contended)
"""
    assert run_script(script).ok() == "None wait () False\n"


def test_who_has_an_ident_again_is_another_thread():
    """Also when waits are taken in much later."""
    script = """
import lowthread
lowthread.install()
import threading, json, sys, time
def holds():
    with lock:
        has.set()
        address = lowthread.addressof(lock)
        while not any(state.address == address for state in lowthread.locks()): time.sleep(0.001)
        time.sleep(0.1)  # PyPy asks for the owner while one waits
def waits():
    has.wait()
    lock.acquire()
    lock.release()
with lowthread.profile(holds=True) as p:
    lock, idents = threading.Lock(), []
    for n in range(10):
        has = threading.Event()
        one = threading.Thread(target=holds, name=f"holder {n}")
        other = threading.Thread(target=waits, name=f"waiter {n}")
        if n % 2:  # each has what was the other's ident
            one.start(), other.start()
        else:
            other.start(), one.start()
        one.join(), other.join()
        idents += one.ident, other.ident
assert len(set(idents)) < len(idents), idents
waits = [(wait.thread, wait.owner) for wait in p.waits if wait.lock == lowthread.addressof(lock)]
assert waits == [(f"waiter {n}", f"holder {n}") for n in range(10)], waits
[place] = [place for place in p.places if place.is_contended and place.waits == 10]
assert sorted(owner[0] for owner in place.owners) == [f"holder {n}" for n in range(10)], place
held = [hold.thread for hold in p.holds if hold.lock == lowthread.addressof(lock)]
held = [thread for thread in held if thread.startswith("holder")]
assert held == [f"holder {n}" for n in range(10)], held
events = json.loads(lowthread._profile_trace.trace(p))["traceEvents"]
tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
assert len(set(tracks.values())) == len(tracks), tracks
found = [
    (tracks[event["tid"]], event["args"]["held by"])
    for event in events
    if event["name"].startswith("wait for lock at") and event["name"].endswith(" in waits")
    if event["dur"] > 5e4
]
assert sorted(had for had in found if had[1]) == waits, found
"""
    run_script("import lowthread._profile_trace" + script).ok()


@pytest.mark.parametrize("noted_after", [0, 10**15])
def test_how_the_program_was_started_is_no_part_of_a_stack(noted_after, tmp_path):
    """Neither of a wait that is noted while it goes on nor of one that is over then."""
    program = f"""
import lowthread, threading, time
lowthread._profile.NOTED_AFTER = {noted_after}
with lowthread.profile() as p:
    lock = threading.Lock()
    lock.acquire()
    lowthread.start_new_thread(lambda: (time.sleep(0.1), lock.release()), ())
    lock.acquire()
[stack] = [place.stack for place in p.places if place.total > 0.05]
assert [call.rpartition(" ")[2] for call in stack] == ["<module>"], stack
"""
    assert run_lowthread("-c", program).ok() == ""


def test_owners_are_not_told_apart_without_end(monkeypatch):
    """A server may have a thread for each request."""
    monkeypatch.setattr(lowthread._profile, "MOST_OWNERS", 10)
    monkeypatch.setattr(lowthread._profile, "MOST_NAMES", 10)
    p = lowthread.profile()
    for n in range(100):
        p._note_name(1, f"owner {n}", 10 * n)
        row = 0x10, 2, 1, 0, lowthread._load.lib.LT_FOR_RLOCK, 10 * n, 10 * n + 5, 0
        p._add((2, 10 * n), row, True)
    assert [wait.owner for wait in p.waits] == [f"owner {n}" for n in range(100)]
    assert len(p._names[1]) == 10
    p._finish()
    [place] = p.places
    owners = {thread: waits for thread, _, waits, _ in place.owners}
    assert owners == {**{f"owner {n}": 1 for n in range(10)}, "others": 90}


def test_owners_that_are_not_told_apart_are_told_by_place(monkeypatch):
    monkeypatch.setattr(lowthread._profile, "MOST_OWNERS", 1)
    p = lowthread.profile()
    code = test_owners_that_are_not_told_apart_are_told_by_place.__code__
    p._codes[1] = code
    for n in range(3):
        p._begun[2, n] = (), n + 3, (1, 0), None, 0
        row = 0x10, 2, n + 3, 0, lowthread._load.lib.LT_FOR_RLOCK, n, n + 5, 0
        p._add((2, n), row, True)
    p._finish()
    [others] = [owner for owner in p.places[0].owners if owner[0] == "others"]
    assert others[1].endswith(f"in {code.co_name}") and others[2] == 2, others


@pytest.mark.parametrize("first", ["threading.Thread(target=q.get).start()", "done.wait(0.3)"])
def test_locks_come_before_waits_to_be_notified(first):
    """Idle threads would be the first of a table of a server."""
    script = f"""
import lowthread
lowthread.install()
import threading, queue, time
lock, q, done = threading.Lock(), queue.Queue(), threading.Event()
def holds():
    with lock: pass
def is_waited_for(lock):
    return any(s.waiters for s in lowthread.locks() if s.address == lowthread.addressof(lock))
with lowthread.profile() as p:
    {first}
    time.sleep(0.2)
    with lock:
        thread = threading.Thread(target=holds)
        thread.start()
        while not is_waited_for(lock): time.sleep(0.01)
        time.sleep(0.05)
    thread.join()
    q.put(1)
first = p.places[0]
assert first.is_contended and " in holds" in first.where, p.places
assert not any(place.is_contended for place in p.places if " join" in "".join(place.stack[-2:]))
assert not [wait for wait in p.waits if wait.thread == wait.owner]
table = p.table()
assert table.index(" in holds") < table.index("waits to be notified, by a Condition"), table
rows = table[table.index("waits to be notified"):]
assert "held by" not in rows, rows
"""
    run_script(script).ok()


def test_who_had_it_is_known_where_most_waits_are_brief():
    """They are not noted while they go on, and who releases it tells that it had it."""
    script = """
import lowthread
lowthread.install()
import threading, time
import lowthread._profile as module
module.SHORTEST = 1_000_000  # a wait with a timeout takes longer than it is by default
module.NOTED_AFTER = max(module.NOTED_AFTER, module.SHORTEST)
lock, may_go, is_taken, may_end = threading.Lock(), threading.Event(), threading.Event(), []
def is_waited_for():
    return any(s.waiters for s in lowthread.locks() if s.address == lowthread.addressof(lock))
def start(function):
    thread = threading.Thread(target=function, name=function.__name__)
    thread.start()
    return thread
def old():  # whose identifier the one below may be given
    lock.acquire(timeout=0.02)
def holder():
    with lock:
        is_taken.set()
        while not is_waited_for(): time.sleep(0.001)
        time.sleep(0.005)
    # Else its name may be gone when it is asked for, which is late on PyPy; without a wait, by
    # which it would be known.
    while not may_end: time.sleep(0.001)
def waiter():
    may_go.wait()
    for _ in range(20): lock.acquire(timeout=0.0001)
    lock.release()
    is_taken.wait()
    with lock: pass
with lowthread.profile() as p:
    lock.acquire()
    waits = start(waiter)
    start(old).join()
    may_go.set()
    time.sleep(0.05)
    has = start(holder)
    waits.join()
    may_end.append(True)
    has.join()
[wait] = [w for w in p.waits if w.thread == "waiter" and w.lock == lowthread.addressof(lock)
          and w.taken and w.end - w.begin > 0.004]
assert wait.owner == "holder", wait
"""
    run_script(script).ok()


def test_many_owners_are_told_by_where_they_had_it():
    """As those of a server with a thread for each request: a hundredth by each says nothing."""
    from lowthread._profile import _rows

    def told(owners):
        place = lowthread.ProfilePlace("a.py:1 in f", (), "lock", 9, 10.0, 0, 0, 0, owners, True)
        return [line.split("% ", 1) for line in list(_rows([place], 1))[2:]]

    many = [(f"t{i}", "b.py:2 in g" if i % 4 else None, 1, 1.0) for i in range(8)]
    one = ("u", "c.py:3 in h", 3, 2.0)
    assert [(share.strip(), who) for share, who in told((one, *many))] == [
        ("60", "held by 6 threads at b.py:2 in g\n"),
        ("20", "held by u at c.py:3 in h\n"),
        ("20", "held by 2 threads\n"),
    ]
    rest = [("others", "b.py:2 in g", 3, 7.0), ("not known", None, 1, 1.0)]
    assert [(share.strip(), who) for share, who in told((*rest, *many[:2]))] == [
        ("80", "held by several threads at b.py:2 in g\n"),
        ("20", "held by several threads\n"),
    ]
    few = [(f"t{i}", "b.py:2 in g", 1, 2.5) for i in range(4)]  # three are most of it
    assert [who for _, who in told((*few,))] == [
        f"held by t{i} at b.py:2 in g\n" for i in range(3)
    ]


def test_the_place_is_who_called_the_library():
    script = """
import lowthread
lowthread.install()
import threading, time
event = threading.Event()
def my_own(): event.wait()
with lowthread.profile() as p:
    thread = threading.Thread(target=my_own)
    thread.start()
    time.sleep(0.1)
    event.set()
    thread.join()
print(sorted({place.where.rpartition(" ")[2] for place in p.places if place.total > 0.05}))
"""
    assert "my_own" in run_script(script).ok()


# ---- beginning and ending ----


def test_the_place_is_where_the_import_is(tmp_path):
    """Two threads import one module, or two that import each other."""
    (tmp_path / "slow.py").write_text(
        "import lowthread, time\nwhile not lowthread.locks(): time.sleep(0.001)\n"
        "time.sleep(0.1)  # PyPy notes a place when it has lasted\n"
    )
    script = """
        import lowthread
        lowthread.install()
        import threading
        def imports():
            both.wait()
            import slow
        both = threading.Barrier(2)
        threads = [threading.Thread(target=imports) for _ in range(2)]
        with lowthread.profile() as p:
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        where = [place.where for place in p.places if "importlib" in "".join(place.stack)]
        assert len(where) == 1 and where[0].endswith(" in imports"), p.places
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    run_script(script, env=env).ok()


def test_the_place_where_the_library_was_found_by_a_relative_path():
    folder = os.path.dirname(os.path.dirname(lowthread.__file__))
    script = f"""
import os, sys, time
os.chdir({folder!r})
sys.path.insert(0, ".")
import lowthread
lock = lowthread.lock()
def waits(): lock.acquire()
with lowthread.profile() as p:
    lock.acquire()
    thread = lowthread.start(waits)
    while not lowthread.locks(): time.sleep(0.01)
    time.sleep(0.01)
    lock.release()
    assert thread.join(60)
wheres = {{place.where.split(" in ")[1] for place in p.places}}
assert wheres - {{"<module>"}} == {{"waits"}}, p.places  # that joins
"""
    run_script(script).ok()


def test_the_place_of_a_worker_of_an_executor():
    """No one else has called the library, of which `threading` says the least."""
    script = """
        import lowthread
        lowthread.install()
        import time
        from concurrent.futures import ThreadPoolExecutor
        begun = lowthread.allocate_lock()
        begun.acquire()
        with lowthread.profile() as p:
            with ThreadPoolExecutor(1) as pool:
                future = pool.submit(begun.acquire)
                with future._condition:
                    begun.release()
                    while not lowthread.locks(): time.sleep(0.001)
                    time.sleep(0.1)
        [place] = [place for place in p.places if "set_result" in "".join(place.stack)]
        assert place.where.endswith(" in set_result"), place
        assert "_base.py:" in place.where, place
    """
    run_script(script).ok()


def test_one_at_a_time():
    with lowthread.profile():
        other = lowthread.profile()
        with pytest.raises(RuntimeError, match="there can be one profile at a time"):
            other.start()
        other.stop()  # which it had not begun
    other.start()
    other.stop()
    with pytest.raises(RuntimeError, match="a profile can be begun once"):
        other.start()


def test_an_exception_ends_it():
    with pytest.raises(KeyError), lowthread.profile() as p:
        raise KeyError
    assert p.end > p.begin
    with lowthread.profile():
        pass


def test_a_child_of_a_fork_has_none():
    run_script(
        """
import lowthread, os
p = lowthread.profile("profile.json")
p.start()
pid = os.fork()
if pid == 0:
    lock = lowthread.allocate_lock()
    lock.acquire()
    lock.acquire(timeout=0.01)
    p.stop()
    assert not p.waits
    with lowthread.profile() as mine:
        lock.acquire(timeout=0.01)
    os._exit(0 if len(mine.waits) == 1 else 1)
assert os.waitpid(pid, 0)[1] == 0
assert not os.path.exists("profile.json")
""",
        cwd=os.path.dirname(__file__),
    ).ok()


def test_a_signal_handler_that_raises():
    run_script(
        """
import lowthread, signal
class Raised(Exception): pass
def handler(*_): raise Raised
signal.signal(signal.SIGALRM, handler)
lock = lowthread.allocate_lock()
lock.acquire()
with lowthread.profile() as p:
    for how in lock.acquire, lock.__enter__:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            how()
        except Raised:
            pass
        else:
            raise AssertionError
assert [w.taken for w in p.waits] == [False, False], p.waits
"""
    ).ok()


OVER = """
import lowthread, signal, sys, time
import lowthread._profile
lowthread._profile.NOTED_AFTER = 10**15  # only those that are over, or interrupted

def busy(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

class Raised(BaseException): pass

def in_note(do):
    def handler(*_):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        do()
    name_of_lock = lowthread._profile.name_of_lock
    def name(address):
        signal.raise_signal(signal.SIGUSR1)
        for _ in range(10):  # in which the handler runs
            pass
        return name_of_lock(address)
    lowthread._profile.name_of_lock = name
    signal.signal(signal.SIGUSR1, handler)

def hold(lock):
    held = lowthread.allocate_lock()
    held.acquire()
    def holder():
        with lock:
            held.release()
            time.sleep(0.1)
    thread = lowthread.start(holder)
    held.acquire()
    return thread

def enter(lock):
    with lock:
        raise AssertionError("in the body")
"""

#: And that go on, too.
SOON = OVER.replace("lowthread._profile.NOTED_AFTER", "_")


@pytest.mark.parametrize("kind", ["lock", "RLock"])
@pytest.mark.parametrize("way", ["acquires", "enters", "joins"])
def test_the_place_of_a_wait_that_a_handler_ends_where_most_are_brief(kind, way):
    """They are noted late, and after a signal nothing but the handler may run."""
    script = f"""
import lowthread, signal, time
import lowthread._profile as module
module.SHORTEST = 1_000_000  # a wait with a timeout takes longer than it is by default
module.NOTED_AFTER = max(module.NOTED_AFTER, module.SHORTEST)
class Raised(Exception): pass
def handler(*_): raise Raised
signal.signal(signal.SIGALRM, handler)
lock, is_taken, may_end = lowthread.{kind}(), lowthread.allocate_lock(), lowthread.allocate_lock()
def holds():
    with lock:
        is_taken.release()
        may_end.acquire()
def acquires(): lock.acquire()
def enters():
    with lock: pass
def joins(): thread.join()
is_taken.acquire()
may_end.acquire()
thread = lowthread.start(holds)
is_taken.acquire()
ended = []
while len(ended) < 20:
    with lowthread.profile() as p:
        for _ in range(8): lock.acquire(timeout=0.0001)
        begin = time.monotonic()
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.003)
            {way}()
        except Raised:
            pass
        else:
            raise AssertionError
    ended += [p.places[wait.place].where for wait in p.waits if wait.begin >= begin]
may_end.release()
assert thread.join(60)
assert all(place.endswith("in {way}") for place in ended), ended
"""
    run_script(script).ok()


@pytest.mark.parametrize("kind", ["lock", "RLock"])
def test_what_is_taken_in_while_a_handler_runs_is_noted_after_all(kind):
    """It may be the last that is known of the wait, but is not if the handler returns."""
    script = f"""
import lowthread, signal, time
lowthread.install()
from threading import Thread
import lowthread._profile as module
module.SHORTEST = 1_000_000  # a wait with a timeout takes longer than it is by default
module.NOTED_AFTER = max(module.NOTED_AFTER, module.SHORTEST)
lock, has_run, is_held = lowthread.{kind}(), [], []
def holds():
    with lock:
        is_held.append(1)
        while not has_run: time.sleep(0.001)
        time.sleep(0.05)
def handler(*_):
    p._so_far(5)  # as for a progress line
    has_run.append(1)
def waits():
    with lock: pass
signal.signal(signal.SIGALRM, handler)
with lowthread.profile() as p:
    thread = Thread(target=holds, name="holder")
    thread.start()
    while not is_held: time.sleep(0.001)
    for _ in range(8): lock.acquire(timeout=0.0001)  # then the next note is late
    signal.setitimer(signal.ITIMER_REAL, 0.003)
    waits()
    thread.join()
[wait] = [wait for wait in p.waits if p.places[wait.place].where.endswith("in waits")]
assert wait.owner == "holder", wait
is_pypy = {PYPY}
assert is_pypy or wait.owner_place.endswith("in holds"), wait
"""
    run_script(script).ok()


def test_the_owner_of_a_wait_that_no_handler_ends_is_one():
    """Of the main thread's wait for a Condition's RLock: not one's name and another's ident."""
    script = """
import lowthread, time
lowthread.install()
from threading import Condition, Thread
r = lowthread.RLock()
c = Condition(r)
def first():
    with c:
        time.sleep(0.05)
        c.notify()
        time.sleep(0.1)
def second():
    time.sleep(0.02)
    with r: time.sleep(0.2)
def looks():
    while not stop: time.sleep(0.01); p._so_far(5)
stop, threads = [], [Thread(target=f, name=f.__name__) for f in (first, second, looks)]
with lowthread.profile() as p:
    with c:
        for thread in threads: thread.start()
        names = {thread.ident: thread.name for thread in threads}
        c.wait()
stop.append(1)  # not before: who joins one may ask for its name when it has none any more
for thread in threads: thread.join()
pairs = [(ident, name) for sums in p._sums for ident, name, _ in sums.owners if ident in names]
assert {"first"} <= {name for _, name in pairs}, pairs
assert all(names[ident] == name for ident, name in pairs), (names, pairs)
"""
    run_script(script).ok()


def test_who_has_it_before_threading_knows_its_thread():
    """As what Thread.start waits for: what a thread is called is noted before it does anything."""
    script = """
import lowthread, time
lowthread.install()
from threading import Thread
lock = lowthread.lock()
class Early(Thread):
    def _bootstrap_inner(self):
        with lock:
            is_held.append(1)
            time.sleep(0.1)
        time.sleep(0.1)  # while its name is asked for
        super()._bootstrap_inner()
def waits():
    while not is_held: time.sleep(0.001)
    with lock: pass
is_held = []
waiter = Thread(target=waits)
with lowthread.profile() as p:
    waiter.start()
    early = Early(name="early")
    early.start()
    for thread in waiter, early: thread.join()
[wait] = [wait for wait in p.waits if p.places[wait.place].where.endswith("in waits")]
assert wait.owner == "early", wait
"""
    run_script(script).ok()


def test_who_has_it_and_ended_before_its_name_was_asked_for():
    """By the name that it had, also where several had one identifier in turn."""
    script = """
import lowthread, time
lowthread.install()
from threading import Thread
lock = lowthread.lock()
def lets_in():  # from before on, such that none of them has its identifier
    for i in range(len(names)):
        while len(waited) < i or not any(s.address == address for s in lowthread.locks()):
            time.sleep(0.001)
        time.sleep(0.001)
        lock.release()
def waits():
    with lock: pass
address = lowthread.addressof(lock)
names, waited = [f"holder {i}" for i in range(10)], []
other = lowthread.start(lets_in)
with lowthread.profile() as p:
    for name in names:
        thread = Thread(target=lock.acquire, name=name)  # which it never releases
        thread.start()
        thread.join()
        waits()
        waited.append(name)
other.join()
waits = [wait for wait in p.waits if p.places[wait.place].where.endswith("in waits")]
assert [wait.owner for wait in waits] == names, waits
"""
    run_script(script).ok()


@pytest.mark.parametrize("is_renamed", [False, True])
@pytest.mark.parametrize("kind", ["Thread", "Odd"])
def test_who_has_it_as_one_of_many_that_have_one_identifier_in_turn(kind, is_renamed):
    """As of threads for each request; what was noted when it had it is not that of later ones."""
    script = """
import lowthread, sys, time
lowthread.install()
from threading import Thread, current_thread
lock = lowthread.lock()
address = lowthread.addressof(lock)
class Odd(Thread):
    def _bootstrap(self): super()._bootstrap()
def holds():
    if is_renamed: current_thread().name = names[-1]
    with lock:
        is_held.append(1)
        while not any(state.address == address for state in lowthread.locks()): time.sleep(0.001)
        time.sleep(0.1)  # for it to be noted
def waits():
    with lock: pass
names = []
with lowthread.profile() as p:
    for number in range(5):
        names.append(f"job {number}")
        is_held = []
        thread = Class(target=holds, name="not yet" if is_renamed else names[-1])
        thread.start()
        while not is_held: time.sleep(0.001)
        p._next_look = 0  # else the owner's place is looked for now and then
        waits()
        thread.join()
waits = [wait for wait in p.waits if p.places[wait.place].where.endswith("in waits")]
assert [wait.owner for wait in waits] == names, waits
places = [(wait.owner_place or "").rpartition(" ")[2] for wait in waits]
assert places == ["" if sys.implementation.name == "pypy" else "holds"] * 5, places
"""
    run_script(f"is_renamed = {is_renamed}\n" + script.replace("Class(", f"{kind}(")).ok()


def test_who_waits_before_threading_knows_its_thread():
    script = """
import lowthread, time
lowthread.install()
from threading import Thread
lock = lowthread.lock()
class Early(Thread):
    def _bootstrap_inner(self):
        with lock: pass
        time.sleep(0.1)  # while its name is asked for
lock.acquire()
with lowthread.profile() as p:
    lowthread.start_new_thread(Early(name="early")._bootstrap, ())
    while not any(state.waiters for state in lowthread.locks()): time.sleep(0.001)
    time.sleep(0.1)
    lock.release()
    time.sleep(0.05)
[wait] = [wait for wait in p.waits if wait.lock == lowthread.addressof(lock)]
assert wait.thread == "early", wait
"""
    run_script(script).ok()


def test_who_is_joined_by_several_of_which_the_first_starts_another():
    """With the identifier of the one that ended, before the next one has got to look."""
    script = """
import lowthread, sys, time
lowthread.install()
from threading import Thread
sys.setswitchinterval(1)
def count():
    return sum(len(state.waiters) for state in lowthread.locks())
def loads():
    while count() < 2: time.sleep(0.001)
    time.sleep(0.01)
def joins():
    loader.join()
    other = Thread(target=time.sleep, args=(0.01,), name="other")
    others.append(other)
    other.start()
others = []
with lowthread.profile() as p:
    loader = Thread(target=loads, name="loader")
    loader.start()
    threads = [Thread(target=joins) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    for other in others: other.join()
joined = [wait for wait in p.waits if p.places[wait.place].where.endswith("in joins")]
owners = [wait.owner for wait in joined if wait.begin < joined[0].end]
assert owners[:2] == ["loader"] * 2, owners
"""
    run_script(script).ok()


def test_a_thread_begins_whatever_its_name_is():
    script = """
import lowthread, time
lowthread.install()
from threading import Thread
class Odd(Thread):
    @property
    def _name(self): raise error
    @_name.setter
    def _name(self, name): pass
    @property
    def __dict__(self): raise error
    def _bootstrap(self): ran.append(1)
ran = []
with lowthread.profile():
    for number, error in enumerate((SystemExit, KeyboardInterrupt, ValueError("no name")), 1):
        lowthread.start_new_thread(Odd()._bootstrap, ())
        while len(ran) < number: time.sleep(0.001)
"""
    done = run_script(script)
    assert (done.code, done.out, done.err) == (0, "", "")  # no code of the program is asked


def test_a_profile_is_not_kept_by_threads_that_were_started_in_it():
    script = """
import gc, lowthread, weakref
lowthread.install()
from threading import Thread, Event
p, may_end = lowthread.profile(), Event()
with p:
    thread = Thread(target=may_end.wait)
    thread.start()
gone = weakref.ref(p)
del p
for _ in range(5): gc.collect()
assert gone() is None
may_end.set()
thread.join()
"""
    run_script(script).ok()


def test_how_long_a_wait_was_that_a_handler_ended():
    """It had several parts: handlers ran before that raised nothing."""
    script = """
import lowthread, signal, time
class Ended(Exception): pass
def handler(*_):
    handled.append(1)
    if len(handled) == 3: raise Ended
signal.signal(signal.SIGALRM, handler)
lock, handled = lowthread.allocate_lock(), []
lock.acquire()
with lowthread.profile() as p:
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    begin = time.monotonic()
    try: lock.acquire()
    except Ended: pass
    end = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0)
[wait] = [wait for wait in p.waits if wait.lock == lowthread.addressof(lock)]
[place] = p.places
assert not wait.taken
assert begin <= wait.begin < begin + 0.1 and end - 0.1 < wait.end <= end, (begin, wait, end)
assert abs(place.total - (wait.end - wait.begin)) < 0.001, (place, wait)
"""
    run_script(script).ok()


def test_what_the_parts_of_a_wait_tell():
    """The first that knows tells who had it; the last tells the rest."""
    p, lib, key = lowthread.profile(), lowthread._load.lib, (2, 5)

    def part(owner, ident, until):
        return 1, 2, owner, lib.lt_holder_of(ident) if ident else 0, lib.LT_FOR_LOCK, 5, until, 0

    last = part(0x7000, 0x7000, 9)
    for first, told in (
        (part(0x3000, 0x3000, 7), part(0x3000, 0x3000, 9)),
        (part(0, 0x3000, 7), part(0, 0x3000, 9)),
        (part(0, 0x7000, 7), last),  # the same, as far as is known
        (part(0, 0, 7), last),
    ):
        assert lib.lt_holder_of(0x3000) != lib.lt_holder_of(0x7000)
        p._unfinished[key] = first
        assert p._with_first_owner(key, last) == told


def test_who_had_it_when_a_wait_began():
    """Not who took it while that went on, though the thread looks for signals then."""
    script = """
import lowthread, time
lock = lowthread.allocate_lock()
address = lowthread.addressof(lock)
def count():
    return sum(len(state.waiters) for state in lowthread.locks() if state.address == address)
def first():
    with lock:
        is_held.append(1)
        while count() < 2: time.sleep(0.001)
        time.sleep(0.01)
def second():
    with lock: time.sleep(0.1)
def waits():
    with lock: pass
is_held = []
with lowthread.profile() as p:
    threads = [lowthread.start(first)]
    while not is_held: time.sleep(0.001)
    threads.append(lowthread.start(second))
    while not count(): time.sleep(0.001)
    waits()
    for thread in threads: thread.join()
[wait] = [wait for wait in p.waits if p.places[wait.place].where.endswith("in waits")]
assert wait.end - wait.begin > 0.1, wait  # it was the last one
assert wait.owner == f"thread {threads[0].ident:#x}", (wait, threads)
"""
    run_script(script).ok()


def test_who_has_it_that_threading_does_not_know_has_no_name_of_another():
    """One of `start_new_thread`, with the identifier of one that has ended."""
    script = """
import lowthread, time
lowthread.install()
from threading import Thread
lock = lowthread.lock()
address = lowthread.addressof(lock)
def holds(is_held):
    with lock:
        is_held.append(lowthread.get_ident())
        while not any(s.address == address for s in lowthread.locks()): time.sleep(0.001)
        time.sleep(0.001)
idents, named = [], set()
with lowthread.profile() as p:
    while not named & {*idents}:
        thread = Thread(target=time.sleep, args=(0.001,), name="named")
        thread.start()
        named.add(thread.ident)
        thread.join()
        is_held = []
        lowthread.start_new_thread(holds, (is_held,))
        while not is_held: time.sleep(0.001)
        idents += is_held
        with lock: pass
owners = [wait.owner for wait in p.waits if wait.lock == address]
assert owners == [f"thread {ident:#x}" for ident in idents], (owners, idents)
"""
    run_script(script).ok()


@pytest.mark.parametrize("is_asked", [True, False])
def test_who_had_it_before_another_one_got_its_identifier(is_asked):
    """It has ended, and the profile knows nothing of it; a wait began before the other one did."""
    script = f"is_asked = {is_asked}"
    script += """  # what the other one is called, while it runs
import lowthread, time
lowthread.install()
from threading import Thread
lock = lowthread.lock()
def waits():
    while not may_wait: time.sleep(0.001)
    with lock: pass
def count():
    return sum(len(state.waiters) for state in lowthread.locks())
class Quick(Thread):
    def _bootstrap_inner(self): idents.append(lowthread.get_ident())
def one_more():
    if not is_asked:
        lowthread.start_new_thread(Quick(name="other")._bootstrap, ())
        while not idents: time.sleep(0.001)
        return
    other = Thread(target=time.sleep, args=(0.05,), name="other")
    other.start()
    idents.append(other.ident)
    other.join()
may_wait, idents = [], []
waiter = Thread(target=waits)
waiter.start()
owner = lowthread.start(lock.acquire)
owner.join()
with lowthread.profile() as p:
    may_wait.append(1)
    while not count(): time.sleep(0.001)
    time.sleep(0.01)
    one_more()
    lock.release()
    waiter.join()
assert idents == [owner.ident], "it is given to none again at once"
[wait] = [wait for wait in p.waits if wait.lock == lowthread.addressof(lock)]
assert wait.owner == f"thread {owner.ident:#x}", wait
"""
    run_script(script).ok()


def test_a_method_of_a_thread_that_another_one_calls_has_not_its_name():
    script = """
import lowthread, time
lowthread.install()
from threading import Thread
lock = lowthread.lock()
class Helped(Thread):
    def helps(self):
        with lock:
            is_held.append(lowthread.get_ident())
            while not any(s.address == address for s in lowthread.locks()): time.sleep(0.001)
            time.sleep(0.001)
is_held, address = [], lowthread.addressof(lock)
with lowthread.profile() as p:
    lowthread.start_new_thread(Helped(name="helped").helps, ())
    while not is_held: time.sleep(0.001)
    with lock: pass
[wait] = [wait for wait in p.waits if wait.lock == address]
assert wait.owner == f"thread {is_held[0]:#x}", wait
"""
    run_script(script).ok()


@pytest.mark.parametrize("start", ["start(done.append, 1)", "start_new_thread(done.append, (1,))"])
def test_starts_are_taken_in_where_nobody_waits(start):
    script = f"""
import lowthread, time
lowthread.install()
most, done = 0, []
with lowthread.profile() as p:
    for i in range(1, 151):
        for _ in range(10): lowthread.{start}
        while len(done) < 10 * i: time.sleep(0.001)
        most = max(most, len(p._starts))
assert 100 <= most < 500, most
assert not p._starts
"""
    run_script(script).ok()


def test_a_wait_that_goes_on_in_the_next_profile():
    script = """
import lowthread, time
lock = lowthread.lock()
lock.acquire()
def waits(): lock.acquire()
with lowthread.profile():
    thread = lowthread.start(waits)
    while not lowthread.locks(): time.sleep(0.001)
    time.sleep(0.1)
with lowthread.profile() as p:
    lock.release()
    assert thread.join(60)
wheres = [p.places[w.place].where for w in p.waits if w.lock == lowthread.addressof(lock)]
assert len(wheres) == 1 and wheres[0].endswith("in waits"), p.waits
"""
    run_script(script).ok()


def test_the_place_of_a_wait_that_is_over():
    """One is so before its thread has the GIL to note it, while others have that."""
    script = (
        SOON
        + """
lock, r = lowthread.allocate_lock(), lowthread.RLock()
first, never = lowthread.allocate_lock(), lowthread.allocate_lock()
never.acquire()
def acquires(): lock.acquire(); lock.release()
def enters():
    with lock: pass
def acquires_r(): r.acquire(); r.release()
def enters_r():
    with r: pass
def waits_in_vain(): never.acquire(timeout=0.02)
def ends(): first.acquire()
def joins(): thread.join()
sys.setswitchinterval(1)
with lowthread.profile() as p:
    first.acquire()
    thread = lowthread.start(ends)
    with lock, r:
        waits = [acquires, enters, acquires_r, enters_r, waits_in_vain, joins, ends]
        threads = [lowthread.start(wait) for wait in waits[:-1]]
        for_ever = lambda: [w for held in lowthread.locks() for w in held.waiters if not w.timeout]
        while len(for_ever()) < 6:
            time.sleep(0.001)
        busy(0.05)
    first.release()
    busy(0.05)
    for t in threads: t.join()
places = " ".join(place.where for place in p.places)
missing = {wait.__name__ for wait in waits if f"in {wait.__name__} " not in places + " "}
assert not missing, (missing, places)
assert "somewhere" not in places, places
"""
    )
    run_script(script).ok()


@pytest.mark.parametrize("kind", ["lock", "RLock"])
@pytest.mark.parametrize("way", ["lock.acquire()", "lock.acquire(timeout=60)", "enter(lock)"])
def test_a_handler_that_raises_in_a_note_leaves_no_lock_held(kind, way):
    script = f"""
def fail(): raise Raised
lock = lowthread.{kind}()
thread = hold(lock)
in_note(fail)
with lowthread.profile() as p:
    try:
        {way}
    except Raised:
        pass
    else:
        raise AssertionError
assert thread.join(60)
assert not lock.locked()
assert lock.acquire(False)
lock.release()
assert not lock.locked()
"""
    run_script(SOON + script).ok()


def test_a_handler_that_raises_in_the_note_of_a_wait_in_vain():
    script = """
def fail(): raise Raised
lock = lowthread.allocate_lock()
lock.acquire()
thread = lowthread.start(time.sleep, 0.2)
with lowthread.profile() as p:
    for wait in lambda: lock.acquire(timeout=0.05), lambda: thread.join(0.05):
        in_note(fail)
        try:
            wait()
        except Raised:
            continue
        raise AssertionError(wait)
assert lock.locked()
"""
    run_script(SOON + script).ok()


@pytest.mark.skipif(not PYPY, reason="no Python code runs then")
@pytest.mark.parametrize("kind", ["lock", "RLock"])
@pytest.mark.parametrize("way", ["enter", "take"])
def test_the_note_of_a_wait_that_is_over(kind, way):
    """An RLock is the thread's by then, for what runs in it: here that takes it, too.

    What is raised there is told of, as by a finalizer.
    """
    script = f"""
lock, results = lowthread.{kind}(), []
def take(lock):
    assert lock.acquire()
    results.append("taken")
def enter(lock):
    with lock:
        results.append("entered")
def name(address):
    if address != lowthread.addressof(lock):
        return
    if {kind!r} == "RLock":
        assert lock.acquire(False) and lock._recursion_count() == 2
        lock.release()
    results.append("noted")
    if {way!r} == "enter":
        raise Raised
sys.unraisablehook = lambda told: results.append(told.exc_type.__name__)
def run():
    {way}(lock)
    if {kind!r} == "RLock":
        results.append(lock._recursion_count())
        while lock._is_owned():
            lock.release()
holder = hold(lock)
lowthread._profile.name_of_lock = name
with lowthread.profile():
    thread = lowthread.start(run)
    assert thread.join(60) and holder.join(60)
print(*results, lock.locked())
"""
    *results, locked = run_script(OVER + script).ok().split()
    expected = {"enter": ["noted", "Raised", "entered"], "take": ["noted", "taken"]}[way]
    count = [str(int(way == "take"))] if kind == "RLock" else []
    assert (results, locked) == (expected + count, str(way == "take" and kind == "lock"))


@pytest.mark.skipif(PYPY, reason="there, a finalizer may run at any time")
@pytest.mark.parametrize(
    "way",
    ["with lock: pass"]
    # Else that is Python code, in which anything may be collected.
    + ["lock.acquire(); lock.release()"] * (lowthread.backend == "native"),
)
def test_a_finalizer_that_takes_what_was_waited_for(way):
    """To note a wait that is over collects no garbage, which may take the lock, too."""
    script = f"""
import gc
lock, results = lowthread.allocate_lock(), []
class Takes:
    def __del__(self):
        taken = lock.acquire(timeout=1)
        results.append(taken)
        if taken:
            lock.release()
def waits():
    {way}
gc.disable()
gc.set_threshold(1)
takes = Takes()
takes.itself = takes
del takes
sys.setswitchinterval(100)
lock.acquire()
with lowthread.profile() as p:
    thread = lowthread.start(waits)
    while not lowthread.locks(): time.sleep(0.001)
    time.sleep(0.001)  # shorter ones are not told of
    lock.release()
    gc.enable()
    time.sleep(0.1)
    assert thread.join(60)
gc.collect()
assert results == [True], results
assert any("in waits" in place.where for place in p.places), p.places
"""
    run_script(OVER + script).ok()


@pytest.mark.parametrize("way", ["acquires", "enters"])
def test_a_wait_of_the_main_thread_that_is_over_before_it_has_the_gil(way):
    script = f"""
lock, held = lowthread.allocate_lock(), lowthread.allocate_lock()
address = lowthread._places.address_of(lock)
held.acquire()
def acquires(): lock.acquire(); lock.release()
def enters():
    with lock: pass
def holder():
    with lock:
        held.release()
        while not any(state.address == address for state in lowthread.locks()):
            time.sleep(0.001)
        busy(0.05)
    busy(0.05)
sys.setswitchinterval(1)
with lowthread.profile() as p:
    thread = lowthread.start(holder)
    held.acquire()
    {way}()
    assert thread.join(60)
assert any("in {way}" in place.where for place in p.places), p.places
"""
    run_script(OVER + script).ok()


def test_a_condition_s_lock_that_is_waited_for_again():
    script = """
import threading
lowthread.install()
from threading import Condition
condition = Condition(lowthread.RLock())
def waits():
    with condition:
        has_begun.append(1)
        condition.wait()
has_begun = []
with lowthread.profile() as p:
    thread = lowthread.start(waits)
    while not has_begun: time.sleep(0.001)
    with condition:
        condition.notify()
        time.sleep(0.05)
    assert thread.join(60)
again = [wait for wait in p.waits if wait.kind == "RLock"]
assert [p.places[wait.place].where.split(" in ")[1] for wait in again] == ["waits"], again
"""
    run_script(OVER + script).ok()


def test_many_waits_that_are_told_of_when_they_are_over():
    """They are taken in meanwhile, and have a place, and their thread has its name."""
    script = """
import threading
first, second = lowthread.allocate_lock(), lowthread.allocate_lock()
first.acquire()
second.acquire()
TIMES = 1500
most = 0
def pings():
    for _ in range(TIMES):
        first.acquire()
        time.sleep(0.0001)
        second.release()
def pongs():
    global most
    for _ in range(TIMES):
        time.sleep(0.0001)
        first.release()
        second.acquire()
        most = max(most, len(p._ends))
threads = [threading.Thread(target=f, name=f.__name__ + " it") for f in (pings, pongs)]
with lowthread.profile() as p:
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    del threads, thread
    lowthread.start(lambda: 0).join()  # which may have the ident of one of them
noted = {where: 0 for where in ("in pings", "in pongs")}
for place in p.places:
    for where in noted:
        noted[where] += place.waits * place.where.endswith(where)
assert all(count > TIMES / 3 for count in noted.values()), p.places
assert most < 300, most
assert not any("somewhere" in place.where for place in p.places), p.places
threads = {wait.thread for wait in p.waits if p.places[wait.place].where.endswith("in pings")}
assert threads == {"pings it"}, threads
"""
    run_script(OVER + script).ok()


BRIEFLY = """
from lowthread._check import profilers
def let_in(lock):
    while not any(state.kind == kind for state in lowthread.locks()):
        time.sleep(0.0001)
    time.sleep(0.001)  # less than until the main thread looks for signals, and long enough to tell
    lock.release()
def contend(do):
    lock = getattr(lowthread, kind)()
    may_wait = lowthread.allocate_lock()
    may_wait.acquire()
    def holder():
        lock.acquire()
        may_wait.release()
        let_in(lock)
    thread = lowthread.start(holder)
    may_wait.acquire()
    try:
        with lock:
            do(lock)
    finally:
        assert thread.join(60)
        assert lock.acquire(False)
        lock.release()
        assert not lock.locked()
def in_end(p, do):
    def spy(address, kind, since, done=None):
        note(address, kind, since, done)
        if done is not None and done.verdict == lowthread._load.lib.LT_ACQUIRED:
            do()
    [note] = profilers
    profilers[:] = [spy]
"""


@pytest.mark.skipif(not PYPY, reason="no Python code runs then")
@pytest.mark.parametrize("kind", ["lock", "RLock"])
@pytest.mark.parametrize("jit", ["", "threshold=13,function_threshold=17,trace_eagerness=5"])
def test_no_handler_runs_while_the_main_thread_is_told_of_the_end(kind, jit):
    """What it raises could not get to the `with` statement. It ends the body instead."""
    script = f"""
kind, handled, sent, raised, is_telling = {kind!r}, [], 0, 0, False
if {jit!r}:
    import pypyjit
    pypyjit.set_param({jit!r})
def handler(*_):
    handled.append(is_telling)
    raise Raised
signal.signal(signal.SIGUSR1, handler)
def signals():
    global is_telling, sent
    if sent > len(handled):  # two that are due are one
        return
    is_telling = True
    sent += 1
    signal.raise_signal(signal.SIGUSR1)
    for _ in range(300):
        pass
    is_telling = False
def body(lock):
    while sent > raised:
        pass
with lowthread.profile() as p:
    in_end(p, signals)
    for _ in range(300):
        try:
            contend(body)
        except Raised:
            raised += 1
assert raised > 150 and handled == [False] * sent and raised == sent, (raised, sent, handled)
assert not any("somewhere" in place.where for place in p.places), p.places
"""
    run_script(OVER + BRIEFLY + script).ok()


@pytest.mark.skipif(not PYPY, reason="no Python code runs then")
def test_what_a_signal_does_meanwhile_is_done_before_the_main_thread_blocks():
    """In compiled code too, where PyPy takes the GIL again without a look for signals."""
    script = """
import os, pypyjit
pypyjit.set_param("threshold=13,function_threshold=17,trace_eagerness=5")
kind, is_last = "lock", False
reads, writes = os.pipe()
signal.signal(signal.SIGUSR1, lambda *_: os.write(writes, b"."))
def signals():
    if is_last:
        signal.raise_signal(signal.SIGUSR1)
        for _ in range(300):
            pass
lock, go, has = lowthread.lock(), lowthread.lock(), 0
go.acquire()
def holder():
    global has
    for _ in range(150):
        go.acquire()
        lock.acquire()
        has += 1
        let_in(lock)
def waits():
    global is_last
    for turn in range(150):
        is_last = turn == 149
        go.release()
        while has <= turn:
            pass
        with lock:
            pass
    return os.read(reads, 1)
with lowthread.profile() as p:
    in_end(p, signals)
    thread = lowthread.start(holder)
    assert waits() == b"."
    assert thread.join(60)
"""
    run_script(OVER + BRIEFLY + script).ok()


@pytest.mark.skipif(not PYPY, reason="no Python code runs then")
def test_handlers_that_a_program_has_off_stay_off():
    """Waits are told of all the same."""
    script = """
from __pypy__.thread import signals_enabled
kind, handled, told = "lock", [], []
signal.signal(signal.SIGUSR1, lambda *_: handled.append(1))
with lowthread.profile() as p:
    in_end(p, lambda: told.append(1))
    while not told:
        contend(lambda lock: None)
    signals_enabled.__exit__(None, None, None)
    signal.raise_signal(signal.SIGUSR1)
    before = len(told)
    while len(told) < before + 10:
        contend(lambda lock: None)
    assert not handled
    signals_enabled.__enter__()
    while not handled:
        time.sleep(0.001)
"""
    run_script(OVER + BRIEFLY + script).ok()


@pytest.mark.skipif(not PYPY, reason="no Python code runs then")
def test_a_wait_while_the_main_thread_is_told_of_the_end():
    script = """
kind, handled = "lock", []
signal.signal(signal.SIGUSR1, lambda *_: handled.append(is_telling))
is_telling = False
def waits():
    global is_telling
    if is_telling: return  # of the inner one
    is_telling = True
    contend(lambda lock: None)
    signal.raise_signal(signal.SIGUSR1)
    for _ in range(300):
        pass
    is_telling = False
with lowthread.profile() as p:
    in_end(p, waits)
    while not handled:
        contend(lambda lock: [None for _ in range(300)])
assert handled == [False]
"""
    run_script(OVER + BRIEFLY + script).ok()


def test_the_place_of_a_wait_of_the_main_thread():
    """Whether or not it is told of when it is over."""
    script = """
lock = lowthread.allocate_lock()
def enters():
    with lock:
        pass
with lowthread.profile() as p:
    thread = hold(lock)
    enters()
    assert thread.join(60)
assert any("in enters" in place.where for place in p.places), p.places
"""
    run_script(SOON.replace("sleep(0.1)", "sleep(0.02)") + script).ok()


@pytest.mark.parametrize("kind", ["lock", "RLock"])
def test_who_had_what_was_released_just_as_a_note_was_made(kind):
    script = f"""
import threading
from lowthread._check import profilers
lock, go = lowthread.{kind}(), lowthread.allocate_lock()
go.acquire()
def holder():
    with lock:
        has.release()
        go.acquire()
    gone.release()
has, gone = lowthread.allocate_lock(), lowthread.allocate_lock()
waited_for = {{lowthread.addressof(lock)}}
has.acquire()
gone.acquire()
def waits():
    with lock:
        pass
thread = threading.Thread(target=holder, name="holder")
thread.start()
has.acquire()
with lowthread.profile() as p:
    [note] = profilers
    def late(address, *args):
        if address in waited_for:
            waited_for.clear()
            go.release()
            gone.acquire()
        note(address, *args)
    profilers[:] = [late]
    assert lowthread.start(waits).join(60)
    thread.join()
[wait] = [w for w in p.waits if w.lock == lowthread.addressof(lock)]
assert wait.owner == "holder", wait
"""
    run_script(SOON + script).ok()


@pytest.mark.parametrize("holds", [False, True])
def test_a_destructor_that_waits_at_the_very_end(holds):
    script = f"""
import builtins, lowthread, os, sys
lock = lowthread.allocate_lock()
lock.acquire()
class Last:
    def __init__(self, lock=lock, write=os.write):
        self.lock, self.write = lock, write
    def __del__(self):
        try:
            told = self.lock.acquire(timeout=0.1)
        except BaseException as error:
            told = error
        self.write(1, f"{{told}}\\n".encode())
p = lowthread.profile(holds={holds})
p.start()
p._ends.update((bytes([i]) + bytes(15), "1 0 0 -1 -1 -1 ") for i in range(256))
profiles = builtins.profiles = [p]
sys.last, builtins.last, last = Last(), Last(), Last()
"""
    assert set(run_script(script).ok().split()) <= {"False"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_of_a_fork_keeps_no_profile():
    script = """
import gc, os, weakref
p = lowthread.profile()
p.start()
pid = os.fork()
if pid == 0:
    gone = weakref.ref(p)
    del p
    gc.collect()
    os._exit(gone() is not None)
assert os.waitpid(pid, 0)[1] == 0
p.stop()
"""
    run_script(OVER + script).ok()


def test_a_profile_that_has_ended_goes():
    profile = lowthread.profile()
    with profile:
        pass
    gone = weakref.ref(profile)
    del profile
    gc.collect()
    assert gone() is None


def test_a_profile_that_has_ended_takes_nothing_of_the_next():
    first = lowthread.profile()
    with first:
        pass
    with lowthread.profile() as p:
        hold(lowthread.allocate_lock(), 0.02)
        first._take_if_nobody_does()
    assert [wait.kind for wait in p.waits if wait.end - wait.begin > 0.019].count("lock") == 1


def test_a_handler_that_joins_the_thread_that_was_waited_for():
    script = """
main = lowthread.get_ident()
worker = lowthread.start(int)  # it may come before the first one below has its name
signal.signal(signal.SIGUSR1, lambda *_: worker.join())
def work():
    time.sleep(0.001)
    signal.pthread_kill(main, signal.SIGUSR1)
with lowthread.profile():
    for _ in range(300):
        worker = lowthread.start(work)
        assert worker.join(60)
"""
    run_script(OVER + script).ok()


def test_a_handler_that_raises_when_a_condition_has_its_lock_again():
    """It is held, as the `with` statement is going to release it."""
    script = """
import threading
def handler(*_):
    global signals
    signals += 1
    raise Raised
signal.signal(signal.SIGUSR1, handler)
main, raised, signals = lowthread.get_ident(), 0, 0
with lowthread.profile():
    for number in range(1000):
        if number >= 20 and raised > 3: break  # on a busy machine, it is seldom in time
        cond = threading.Condition(lowthread.allocate_lock())
        def notifies():
            time.sleep(0.002)
            with cond:
                cond.notify()
                time.sleep(0.005)
                signal.pthread_kill(main, signal.SIGUSR1)
        thread = lowthread.start(notifies)
        try:
            with cond:
                cond.wait(60)
                while signals == number: time.sleep(0.01)
        except Raised:
            raised += 1
        except RuntimeError:  # it may come before the lock is had, with any locks
            pass
        assert thread.join(60)
assert raised > 3, raised
"""
    result = run_script(OVER + script)
    assert result.code == 0, result.err


def test_a_wait_is_over_at_the_limit_of_recursion():
    """Where there is no room for a call that would note it."""
    script = """
lock, has = lowthread.allocate_lock(), []
sys.setrecursionlimit(200)
def wait_at(depth):
    if depth:
        wait_at(depth - 1)
    elif lock.acquire(timeout=60):
        has.append(True)
def wait(depth):
    try:
        wait_at(depth)
    except RecursionError:
        pass
times = 0
with lowthread.profile():
    for depth in range(150, 200):
        lock.acquire()
        thread = lowthread.start(wait, depth)
        time.sleep(0.002)
        lock.release()
        assert thread.join(60)
        if has:
            has.clear()
            lock.release()
            times += 1
        assert not lock.locked(), depth
assert times > 10, times
"""
    run_script(OVER + script).ok()


# ---- files ----


@pytest.fixture(scope="module")
def recorded():
    lock = lowthread.allocate_lock()
    lowthread.name_lock(lock, 'a "name" </script>')
    with lowthread.profile() as p:
        hold(lock, 0.02, count=2)
    return p


def test_a_table(recorded):
    first, *rest = recorded.table().splitlines()
    if recorded.short:
        assert re.match(
            rf"  and {recorded.short} of less than 50 us each, .* in all$", rest.pop(0)
        )
    head, row, *_ = rest
    assert re.match(r"lowthread: \d+ waits for locks, .* in all, in ", first)
    assert head.split() == ["total", "waits", "median", "p99", "worst", "where"]
    assert "wait_here" in row
    assert "for lock 0x" in row
    assert "held by" in recorded.table()


def test_no_length_has_an_exponent():
    said = [lowthread._profile.say_seconds(v) for v in (12345.6, 999.9, 0.99999, 1.5e-6, 0.25)]
    assert said == ["12346 s", "1000 s", "1000 ms", "1.5 us", "250 ms"]


def test_a_trace(recorded, tmp_path):
    path = tmp_path / "trace.json"
    recorded.save(path)
    events = json.loads(path.read_text())["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    assert len(slices) == len(recorded.waits)
    threads = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    for event, wait in zip(slices, recorded.waits):
        assert threads[event["tid"]] == wait.thread
        assert event["dur"] == pytest.approx((wait.end - wait.begin) * 1e6, abs=0.01)
        assert event["ts"] == pytest.approx((wait.begin - recorded.begin) * 1e6, abs=0.01)
        assert event["args"]["held by"] == wait.owner


def fields_of(data):
    """Yield (field, value) of a message of protocol buffers."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        value = varint()
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        yield key >> 3, value


def test_pprof(recorded, tmp_path):
    path = tmp_path / "profile.pb.gz"
    recorded.save(path)
    fields = list(fields_of(gzip.decompress(path.read_bytes())))
    strings = [value.decode() for field, value in fields if field == 6]
    assert strings[0] == ""
    types = [dict(fields_of(value)) for field, value in fields if field == 1]
    assert [(strings[t[1]], strings[t[2]]) for t in types] == [
        ("contentions", "count"),
        ("delay", "nanoseconds"),
    ]
    names = {}
    functions = [dict(fields_of(value)) for field, value in fields if field == 5]
    for function in functions:
        names[function[1]] = strings[function[2]], os.path.basename(strings[function[4]])
    places = {}
    for location in (dict(fields_of(value)) for field, value in fields if field == 4):
        places[location[1]] = names[dict(fields_of(location[4]))[1]]
    waits = total = 0
    found = set()
    for sample in (dict(fields_of(value)) for field, value in fields if field == 2):
        count, rest = read_varint(sample[2])
        ns, rest = read_varint(rest)
        assert rest == b""
        first, _ = read_varint(sample[1])
        found.add(places[first])
        waits, total = waits + count, total + ns
    assert waits == len(recorded.waits)
    assert total == pytest.approx(sum(w.end - w.begin for w in recorded.waits) * 1e9, rel=1e-6)
    assert ("wait_here", "test_profile.py") in found


def read_varint(data):
    value = shift = 0
    for at, byte in enumerate(data):
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, data[at + 1 :]
    raise AssertionError("cut off")


PPROF = ["pprof"] if shutil.which("pprof") else ["go", "tool", "pprof"]


@pytest.mark.skipif(shutil.which(PPROF[0]) is None, reason="there is no pprof here, nor Go's")
def test_pprof_reads_it(recorded, tmp_path):
    path = tmp_path / "profile.pb.gz"
    recorded.save(path)
    out = subprocess.run([*PPROF, "-top", path], capture_output=True, text=True, check=True)
    assert "wait_here" in out.stdout


def test_a_page(recorded, tmp_path):
    """What is in it is for test_profile_page.py."""
    path = tmp_path / "page.html"
    recorded.save(path)
    text = path.read_text("ascii")
    assert text.startswith("<!DOCTYPE html>")
    assert "wait_here" in text


@pytest.mark.parametrize("name", ["profile", "profile.txt", "html"])
def test_a_file_of_another_kind(name, recorded):
    for save in recorded.save, lowthread.profile:
        with pytest.raises(ValueError, match=r"to a file \*\.html, \*\.json or \*\.pb\.gz, not"):
            save(name)


def test_a_file_is_written_at_the_end(tmp_path):
    path = tmp_path / "trace.json"
    with lowthread.profile(path):
        assert not path.exists()
    assert json.loads(path.read_text())


# ---- the option ----

PROGRAM = """
import threading, time
lock = threading.Lock()
def hot():
    for _ in range(20):
        with lock:
            time.sleep(0.002)
threads = [threading.Thread(target=hot, name=f"worker-{n}") for n in range(3)]
for t in threads: t.start()
for t in threads: t.join()
print("done")
"""


@pytest.mark.parametrize("suffix", ["", ".html", ".json", ".pb.gz"])
def test_the_option(suffix, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    option = f"--profile={tmp_path}/profile{suffix}" if suffix else "--profile"
    process = subprocess.run(
        [sys.executable, "-m", "lowthread", option, script],
        capture_output=True,
        text=True,
        check=True,
        timeout=LONG,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout == "done\n"
    lines = process.stderr.splitlines()
    place = 1 + next(at for at, line in enumerate(lines) if line.split()[:1] == ["total"])
    assert "program.py:6 in hot, for lock 0x" in lines[place]
    assert re.search(r"held by worker-\d", lines[place + 1])
    assert bool(suffix) == (tmp_path / f"profile{suffix}").exists()
    if suffix:
        assert lines[-1] == f"lowthread: --profile: wrote {tmp_path}/profile{suffix}"


def test_a_wrong_file_is_refused_at_once(tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "lowthread", "--profile=x.txt", "-c", "print(1)"],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("lowthread: --profile: a profile is written to a file *.html")


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path):
    file = tmp_path / "none" / "x.html"
    with pytest.raises(FileNotFoundError, match="x.html"):
        lowthread.profile(file)
    with pytest.raises(IsADirectoryError, match="tmp.json"):
        (tmp_path / "tmp.json").mkdir()
        lowthread.profile(tmp_path / "tmp.json")
    result = run_lowthread(f"--profile={file}", "-c", "print(1)")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("lowthread: --profile: [Errno 2] No such file")


def test_there_is_a_table_if_the_file_cannot_be_written_in_the_end(tmp_path):
    file = tmp_path / "there" / "x.html"
    file.parent.mkdir()
    script = f"import shutil; shutil.rmtree({str(file.parent)!r})"
    result = run_lowthread(f"--profile={file}", "-c", script)
    assert result.code == 0
    first, second, *_ = result.err.splitlines()
    assert first.startswith("lowthread: --profile: [Errno 2]")
    assert result.err.count("--profile") == 1
    assert re.match(r"lowthread: \d+ waits for locks", second)


def test_the_file_of_a_program_that_goes_elsewhere(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    script = "import os; os.chdir('elsewhere')"
    result = run_lowthread("--profile=x.json", "-c", script, cwd=tmp_path)
    assert (tmp_path / "x.json").exists()
    assert result.err.endswith(f"lowthread: --profile: wrote {tmp_path}/x.json\n")


def test_a_profile_that_cannot_begin_leaves_no_file(tmp_path):
    """Nor is said that there is one."""
    (tmp_path / "sitecustomize.py").write_text("import lowthread; lowthread.profile().start()")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "lowthread", f"--profile={tmp_path}/x.json", "-c", "print(1)"],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.endswith("RuntimeError: there can be one profile at a time\n")
    assert "wrote" not in done.stderr and not (tmp_path / "x.json").exists()


def test_the_command_is_that_of_the_program(tmp_path):
    file = tmp_path / "x.json"
    assert run_lowthread(f"--profile={file}", "-c", "pass", "an argument").code == 0
    [name] = [
        event["args"]["name"]
        for event in json.loads(file.read_text())["traceEvents"]
        if event["name"] == "process_name"
    ]
    assert name == "pass an argument"


def test_the_name_of_a_thread_that_never_waits():
    script = """
import threading
thread = threading.Thread(target=time.sleep, args=(0.1,), name="sleeper")
with lowthread.profile() as p:
    lowthread.install()
    thread = threading.Thread(target=time.sleep, args=(0.1,), name="sleeper")
    thread.start()
    thread.join()
# Both threads may want a lock of `threading` at one time, and its place comes first.
first = [place for place in p.places if not place.is_contended][0]
assert first.owners[0][0] == "sleeper", p.places
"""
    run_script(SOON + script).ok()


def test_the_name_of_an_owner_that_is_gone_when_waits_are_taken_in():
    script = """
import threading
r, has, may_end = lowthread.RLock(), threading.Event(), threading.Event()
def holds():
    with r:
        has.set()
        while not any(state.kind == "RLock" for state in lowthread.locks()):
            time.sleep(0.001)
        time.sleep(0.1)
    may_end.wait()
NAME = "-1 \\u00e9 \\U0001f512 \\0"
lowthread.name_lock(r, NAME)
with lowthread.profile() as p:
    thread = threading.Thread(target=holds, name="holds it")
    thread.start()
    has.wait()
    assert lowthread.start(lambda: r.acquire()).join(60)
    may_end.set()
    thread.join()
    del thread
[wait] = [wait for wait in p.waits if wait.kind == "RLock"]
assert (wait.owner, wait.name) == ("holds it", NAME), p.waits
assert wait.thread.startswith("thread 0x")
"""
    # On PyPy, an owner's name is learned while one waits for it.
    run_script((SOON if PYPY else OVER) + script).ok()


@pytest.mark.skipif(PYPY, reason="there, to take them in follows a wait")
@pytest.mark.parametrize("way", ["lock.acquire()", "lock.__enter__()", "with lock: pass"])
def test_to_take_waits_in_is_not_part_of_a_wait(way):
    """Which is done before one, if there are many."""
    script = f"""
lock = lowthread.allocate_lock()
with lowthread.profile() as p:
    def takes_long():
        p._ends.clear()
        time.sleep(0.1)
        taken.append(time.monotonic())
        lowthread.start_new_thread(free, ())
    def free():
        while not lowthread.locks():
            time.sleep(0.001)
        time.sleep(0.01)
        lock.release()
    taken, take, p._take_if_nobody_does = [], p._take_if_nobody_does, takes_long
    p._ends.update((bytes([i]) + bytes(15), "1 0 0 -1 -1 -1 ") for i in range(256))
    lock.acquire()
    {way}
    p._take_if_nobody_does = take
[begin] = [wait.begin for wait in p.waits if wait.lock == lowthread.addressof(lock)]
assert begin >= taken[0], (begin, taken)
"""
    run_script(OVER + script).ok()


def test_several_locks_at_one_place():
    sums = lowthread._profile._Sums()
    sums.add_lock("lock", 0x10, None)
    assert sums.lock() == "lock 0x10"
    sums.add_lock("lock", 0x10, "it")
    sums.add_lock("lock", 0x10, None)
    assert sums.lock() == 'lock 0x10 "it"'
    for kind in "lock", "RLock", "lock":
        sums.add_lock(kind, 0x20, None)
    assert sums.lock() == "several of kind RLock and lock"


def test_a_handler_that_raises_while_waits_are_taken_in():
    """Nobody is kept from that, and stop() does not wait for it."""
    script = """
class R(Exception): pass
armed = False
def handler(*_):
    if armed: raise R
signal.signal(signal.SIGALRM, handler)
lock = lowthread.allocate_lock()
lock.acquire()
kept = 0
def take():
    global kept
    kept += p._alone(lambda: 1, 0) is None
with lowthread.profile() as p:
    raised = count = 0
    end = time.monotonic() + 2
    while time.monotonic() < end or raised <= 100:
        if count % 100 == 0:
            p._ends.clear()  # else this thread takes them in before it joins that one
            p._notes = 0
            lowthread.start(take).join()
        p._ends.update((bytes([i]) + bytes(15), "1 0 0 -1 -1 -1 ") for i in range(256))
        p._notes, lowthread._profile.TAKEN_AT = 255, 1
        count += 1
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, (20 + count % 100) * 1e-6)
            lock.acquire(timeout=0.0005)
            armed = False
        except R:
            armed = False
            raised += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
# One that comes in the last steps may keep others from it, until this thread does it again.
assert kept < max(3, raised / 500), (raised, kept)
"""
    done = run_script(OVER + script)
    assert done.code == 0, done.err
    # PyPy may call a handler in a finalizer, where what it raises is told of and ignored.
    is_ignored = done.err.startswith("Exception ignored") and done.err.endswith("R\n")
    assert not done.err or (PYPY and is_ignored), done.err


def test_what_was_being_taken_in_when_a_handler_raised_is_not_lost():
    script = """
lock = lowthread.allocate_lock()
with lowthread.profile() as p:
    for _ in range(20):
        lock.acquire()
        thread = lowthread.start(lambda: lock.acquire())
        time.sleep(0.005)
        lock.release()
        thread.join()
        lock.release()
    add, count = p._add, 0
    def fails(*args):
        global count
        count += 1
        if count == 6:
            raise Raised
        add(*args)
    p._add = fails
    try:
        p._take()
    except Raised:
        pass
    left = [row for row in p._rows if row[7] != lowthread._load.lib.LT_INTERRUPTED]
    assert left
assert sum(place.waits for place in p.places) >= 5 + len(left), (p.places, left)
"""
    run_script(SOON + script).ok()


def test_a_profile_that_is_ended_while_it_takes_waits_in():
    """As by a signal handler, or a finalizer."""
    script = """
lock = lowthread.allocate_lock()
p = lowthread.profile()
p.start()
lock.acquire()
for _ in range(3):
    lock.acquire(timeout=0.001)
add = p._add
def ends(*args):
    p._add = add
    p.stop()
    add(*args)
p._add = ends
p._take_if_nobody_does()
assert lowthread._load.lib.lt_recorded() == 0
lock.acquire(timeout=0.001)
assert lowthread._load.lib.lt_recorded() == 0
table = p.table()
p.stop()
assert p.table() == table
with lowthread.profile():
    pass
"""
    run_script(OVER + script).ok()


def test_the_names_of_locks_that_are_gone():
    script = """
with lowthread.profile() as p:
    for name in "one", "two", "three":
        lock = lowthread.allocate_lock()
        lowthread.name_lock(lock, name)
        holder = hold(lock)
        assert lowthread.start(lambda lock=lock: lock.acquire()).join(60)
        assert holder.join(60)
        del lock, holder
names = [wait.name for wait in p.waits if wait.kind == "lock" and wait.name]
assert names == ["one", "two", "three"], p.waits
"""
    run_script(OVER + script).ok()


def test_a_child_of_a_fork_prints_none():
    script = "import os; pid = os.fork(); pid and os.waitpid(pid, 0)"
    process = subprocess.run(
        [sys.executable, "-m", "lowthread", "--profile", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=LONG,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stderr.count("waits for locks") == 1
