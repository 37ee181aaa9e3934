"""profile(holds=True) and --holds: how long locks are held, by whom, and where they were taken."""

import json
import os
import re
import threading
import time

import pytest
from conftest import LONG, run_lowthread, run_script, wait_until

import lowthread
from lowthread._profile_trace import in_lanes

KINDS = pytest.mark.parametrize("kind", ["lock", "RLock"])


def of(profile, lock):
    return [hold for hold in profile.holds if hold.lock == lowthread.addressof(lock)]


def is_waited_for(lock):
    return any(state.address == lowthread.addressof(lock) for state in lowthread.locks())


@KINDS
def test_a_hold(kind):
    with lowthread.profile(holds=True) as p:
        lock = getattr(lowthread, kind)()
        lowthread.name_lock(lock, "accounts")
        before = time.monotonic()
        with lock:
            begun = time.monotonic()
            time.sleep(0.02)
            ending = time.monotonic()
        after = time.monotonic()
    [hold] = of(p, lock)
    assert type(hold) is lowthread.ProfileHold
    assert (hold.ident, hold.kind, hold.name) == (lowthread.get_ident(), kind, "accounts")
    assert hold.thread in (threading.current_thread().name, f"thread {lowthread.get_ident():#x}")
    assert before <= hold.begin <= begun
    assert ending <= hold.end <= after
    assert re.fullmatch(r".*test_holds\.py:\d+ in test_a_hold", hold.place)
    [place] = [place for place in p.hold_places if place.where == hold.place]
    assert type(place) is lowthread.ProfileHoldPlace
    assert place.lock == f'{kind} {hold.lock:#x} "accounts"'
    assert place.holds == 1
    assert place.total == place.worst == pytest.approx(hold.end - hold.begin)


def test_it_is_told_only_if_asked_for():
    with lowthread.profile() as p:
        lock = lowthread.allocate_lock()
        with lock:
            pass
    assert p.holds == p.hold_places == []


@KINDS
def test_each_way_to_take_it_and_to_give_it_back(kind):
    with lowthread.profile(holds=True) as p:
        lock = getattr(lowthread, kind)()
        lock.acquire()
        lock.release()
        lock.acquire(False)
        lock.release()
        lock.acquire(timeout=LONG)
        lock.release()
        lock.__enter__()
        lock.__exit__(None, None, None)
        with lock:
            pass
        with pytest.raises(ZeroDivisionError), lock:
            1 / 0  # noqa: B018
        if kind == "lock":
            lock.acquire_lock()
            lock.release_lock()
        with pytest.raises(RuntimeError, match="release un"):
            lock.release()
    holds = of(p, lock)
    assert len(holds) == 6 + (kind == "lock")
    for one, other in zip(holds, holds[1:]):
        assert one.begin <= one.end <= other.begin


def test_a_hold_of_an_rlock_ends_with_the_last_release():
    with lowthread.profile(holds=True) as p:
        lock = lowthread.RLock()
        begin = time.monotonic()
        with lock:
            with lock:
                pass
            time.sleep(0.01)
            with lock:
                pass
            end = time.monotonic()
    [hold] = of(p, lock)
    assert begin <= hold.begin
    assert hold.end >= end


def test_a_try_in_vain_is_no_hold():
    with lowthread.profile(holds=True) as p:
        lock = lowthread.allocate_lock()
        tries = []

        def try_it():
            tries.append(lock.acquire(False))
            tries.append(lock.acquire(timeout=0.001))

        with lock:
            assert not lock.acquire(False)
            assert lowthread.start(try_it).join(LONG)
            time.sleep(0.01)
            last = time.monotonic()
            assert not lock.acquire(False)
    assert tries == [False, False]
    [hold] = of(p, lock)
    assert hold.ident == lowthread.get_ident()
    assert hold.begin < last - 0.005


def test_it_begins_when_the_wait_is_over():
    with lowthread.profile(holds=True) as p:
        lock = lowthread.allocate_lock()

        def work():
            with lock:
                time.sleep(0.01)

        with lock:
            thread = lowthread.start(work)
            wait_until(lambda: is_waited_for(lock), "waiting")
            time.sleep(0.05)
        assert thread.join(LONG)
    first, second = of(p, lock)
    assert second.ident == thread.ident
    [wait] = [wait for wait in p.waits if wait.kind == "lock"]
    assert second.begin >= wait.end > first.end
    assert second.begin >= first.begin + 0.05


@pytest.mark.parametrize("make", ["Lock", "RLock"])
def test_a_condition_gives_it_back_while_it_waits(make):
    script = f"""
import lowthread
lowthread.install()
import threading, time
with lowthread.profile(holds=True) as p:
    condition = threading.Condition(threading.{make}())
    waits = threading.Event()

    def wait():
        with condition:
            time.sleep(0.01)
            waits.set()
            condition.wait()
            time.sleep(0.01)

    thread = threading.Thread(target=wait, name="waiter")
    thread.start()
    waits.wait()
    time.sleep(0.2)
    with condition:
        condition.notify()
    thread.join()
address = lowthread.addressof(condition._lock)
holds = [h for h in p.holds if h.lock == address]
mine = [h for h in holds if h.thread == "waiter"]
assert len(mine) == 2 and len(holds) == 3, holds
assert all(0.005 < h.end - h.begin < 0.15 for h in mine), mine
assert all(h.place.endswith("in wait") for h in mine), mine
assert mine[0].end <= holds[1].begin <= holds[1].end <= mine[1].begin, holds
"""
    result = run_script(script)
    assert result.code == 0, result.err


def test_a_lock_that_is_a_signal_is_held_by_nobody():
    """Also where who releases it has tried to take it, or had taken it before."""
    with lowthread.profile(holds=True) as p:
        lock = lowthread.allocate_lock()

        def release_it():
            assert not lock.acquire(False)
            lock.release()

        def take_it():
            lock.acquire()

        lock.acquire()
        assert lowthread.start(release_it).join(LONG)
        taker = lowthread.start(take_it)
        assert taker.join(LONG)
        lock.release()
    assert of(p, lock) == []


def test_a_thread_that_runs_nothing_but_a_method_in_c():
    with lowthread.profile(holds=True) as p:
        lock = lowthread.allocate_lock()
        thread = lowthread.start(lock.acquire)
        assert thread.join(LONG)
        wait_until(lock.locked, "taken")
    assert [hold.ident for hold in of(p, lock)] == [thread.ident]


def test_what_another_thread_releases_is_no_hold():
    with lowthread.profile(holds=True) as p:
        lock = lowthread.allocate_lock()
        lock.acquire()
        assert lowthread.start(lock.release).join(LONG)
    assert of(p, lock) == []


@KINDS
def test_a_lock_that_was_made_before_is_seen_when_somebody_waits_for_it(kind):
    lock = getattr(lowthread, kind)()
    with lowthread.profile(holds=True) as p:
        with lock:
            pass

        def work():
            with lock:
                time.sleep(0.01)

        with lock:
            thread = lowthread.start(work)
            wait_until(lambda: is_waited_for(lock), "waiting")
        assert thread.join(LONG)
        with lock:
            pass
    holds = of(p, lock)
    assert [hold.ident for hold in holds][-2:] == [thread.ident, lowthread.get_ident()]
    assert holds[-2].end - holds[-2].begin >= 0.01


def test_one_that_goes_on_is_told_of_up_to_the_end():
    p = lowthread.profile(holds=True)
    with p:
        lock, rlock = lowthread.allocate_lock(), lowthread.RLock()
        lock.acquire()
        rlock.acquire()
        time.sleep(0.01)
    for one in (lock, rlock):
        [hold] = of(p, one)
        assert hold.begin + 0.01 <= hold.end <= p.end


def test_a_lock_that_is_gone_is_held_by_nobody():
    """Not to the end, as if it were there: on PyPy nobody has seen it go."""

    def leaves_it():
        lock = lowthread.allocate_lock()
        lock.acquire()
        return lowthread.addressof(lock)

    with lowthread.profile(holds=True) as p:
        addresses = {leaves_it() for _ in range(10)}
        time.sleep(0.01)
    assert not [
        hold for hold in p.holds if hold.lock in addresses and hold.end - hold.begin > 0.01
    ]


def test_afterwards_locks_tell_of_nothing():
    types = lowthread.lock, lowthread.RLock
    before = [dict(vars(cls)) for cls in types]
    with lowthread.profile(holds=True):
        lock = lowthread.allocate_lock()
    assert [dict(vars(cls)) for cls in types] == before
    with lowthread.profile() as p, lock:
        pass
    assert p.holds == []


def test_beside_the_order_of_locks():
    found = []
    lowthread.check_lock_order(found.append)
    try:
        with lowthread.profile(holds=True) as p:
            one = lowthread.allocate_lock()
            other = lowthread.allocate_lock()
            with one, other:
                pass
        with other, one:
            pass
    finally:
        lowthread.check_lock_order(None)
    assert len(found) == 1
    assert len(of(p, one)) == len(of(p, other)) == 1


def test_holds_of_one_lock_do_not_overlap():
    with lowthread.profile(holds=True) as p:
        lock = lowthread.allocate_lock()

        def work():
            for _ in range(2000):
                with lock:
                    pass

        threads = [lowthread.start(work) for _ in range(4)]
        for thread in threads:
            assert thread.join(LONG)
    holds = of(p, lock)
    assert p.dropped > 0 or len(holds) == 8000
    assert {hold.ident for hold in holds} == {thread.ident for thread in threads}
    for one, other in zip(holds, holds[1:]):
        assert one.end <= other.begin


def test_tries_in_vain_take_no_memory(monkeypatch):
    monkeypatch.setattr("lowthread._holds.MOST_TRIES", 10)
    with lowthread.profile(holds=True) as p:
        lock = lowthread.allocate_lock()

        def try_it():
            for _ in range(1000):
                lock.acquire(False)

        with lock:
            assert lowthread.start(try_it).join(LONG)
        kept = [*p._holds._tries.values(), *p._holds._noted.values()]
        assert sum(map(len, kept)) < 50


def test_more_than_are_kept(monkeypatch):
    monkeypatch.setattr("lowthread._profile.MOST_HOLDS", 3)
    with lowthread.profile(holds=True) as p:
        lock = lowthread.allocate_lock()
        for _ in range(10):
            with lock:
                pass
    assert len(p.holds) == 3
    assert p.holds_omitted == 7
    assert sum(place.holds for place in p.hold_places) == 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_of_a_fork_has_none():
    script = """
import os
import lowthread
with lowthread.profile(holds=True) as p:
    lock = lowthread.allocate_lock()
    with lock:
        pass
    pid = os.fork()
    with lock:
        pass
    if pid == 0:
        methods = ("acquire", "release", "__enter__", "__exit__")
        import lowthread._traced as traced
        os._exit(0 if not traced._plain else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert len(p.holds) == 2, p.holds
"""
    result = run_script(script)
    assert result.code == 0, result.err


def test_a_table():
    with lowthread.profile(holds=True) as p:
        lock = lowthread.allocate_lock()
        for _ in range(3):
            with lock:
                time.sleep(0.002)
    table = p.table()
    assert "lowthread: locks were held 3 times, " in table
    assert re.search(
        r"^ +\S+ ms +3 +\S+ ms +\S+ ms +\S+ ms  .*in test_a_table: lock 0x", table, re.MULTILINE
    )


def test_a_trace(tmp_path):
    path = tmp_path / "trace.json"
    with lowthread.profile(path, holds=True) as p:
        one, other = lowthread.allocate_lock(), lowthread.allocate_lock()
        lowthread.name_lock(one, "one")
        with one, other:
            pass
        one.acquire()
        other.acquire()
        one.release()
        other.release()
    events = json.loads(path.read_text())["traceEvents"]
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    me = p.holds[0].thread
    assert sorted(tracks.values()) == [me, f"{me}, 2"]
    slices = [e for e in events if e["ph"] == "X"]
    assert [tracks[e["tid"]] for e in slices] == [me, me, me, f"{me}, 2"]
    assert re.fullmatch(
        r"hold one, taken at .*test_holds\.py:\d+ in test_a_trace", slices[0]["name"]
    )
    assert slices[0]["args"] == {"kind": "lock", "lock": f"{lowthread.addressof(one):#x}"}
    outer, inner = slices[:2]
    assert outer["ts"] <= inner["ts"]
    assert inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"]


def test_lanes():
    slices = [(0, 10), (1, 3), (2, 3), (3, 9), (4, 12), (10, 12), (11, 12), (5, 6)]
    lanes = {one: lane for lane, one in in_lanes(slices)}
    assert lanes == {
        **{(0, 10): 0, (1, 3): 0, (2, 3): 0, (3, 9): 0, (5, 6): 0, (4, 12): 1},
        **{(10, 12): 0, (11, 12): 0},
    }


def test_the_option(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import threading, time\nwith threading.Lock():\n    time.sleep(0.002)\n")
    trace = tmp_path / "trace.json"
    result = run_lowthread("--holds", f"--profile={trace}", program)
    assert result.code == 0, result.err
    assert re.search(r"program\.py:2 in <module>: lock 0x", result.err), result.err
    names = [event["name"] for event in json.loads(trace.read_text())["traceEvents"]]
    assert any(re.search(r"hold lock, taken at .*program\.py:2 in <module>", n) for n in names)


def test_the_option_alone_is_refused():
    result = run_lowthread("--holds", "-c", "pass")
    assert result.code == 2
    assert result.err.startswith("lowthread: --holds goes with --profile or --top\n")


def test_what_a_thread_holds_for_as_long_as_it_lives_is_not_told():
    """Before 3.13, `threading` has each thread take a lock that its end releases."""
    script = """
import lowthread
lowthread.install()
import threading
may_end, has_begun = threading.Event(), threading.Event()
def lives():
    has_begun.set()
    may_end.wait()
with lowthread.profile(holds=True) as p:
    thread = threading.Thread(target=lives)
    thread.start()
    has_begun.wait()
may_end.set()
thread.join()
assert p.holds
assert not any("_set_tstate_lock" in hold.place for hold in p.holds), p.holds
"""
    run_script(script).ok()
