"""Re-entrant locks: who has it, how often, and what kind of type it is."""

import copy
import gc
import inspect
import os
import pickle
import re
import signal
import sys
import threading
import time
import weakref

import pytest
from conftest import (
    CFFI,
    LONG,
    PYPY,
    Raised,
    handling,
    raise_it,
    run_script,
    run_threads,
    wait_until,
)

import lowthread

ULONG_MAX = 2 * sys.maxsize + 1
ADDRESS = "0x[0-9a-f]+"


@pytest.fixture
def lock():
    return lowthread.RLock()


@pytest.fixture
def held_elsewhere(lock):
    """A lock that another thread has, twice."""
    ready, done = lowthread.allocate_lock(), lowthread.allocate_lock()
    ready.acquire()
    done.acquire()

    def holder():
        with lock, lock:
            ready.release()
            done.acquire()

    lowthread.start_new_thread(holder, ())
    assert ready.acquire(timeout=LONG)
    yield lock
    done.release()


def in_a_thread(function, *args):
    """Return what function(*args) does in another thread."""
    results = []
    run_threads(lambda: results.append(function(*args)))
    return results[0]


# ---- taking it and giving it back ----


def test_is_initially_unlocked(lock):
    assert lock.locked() is False
    assert lock._is_owned() is False
    assert lock._recursion_count() == 0


def test_it_is_taken_and_given_back_as_often(lock):
    for n in range(1, 6):
        assert lock.acquire() is True
        assert (lock.locked(), lock._is_owned(), lock._recursion_count()) == (True, True, n)
    for n in range(4, -1, -1):
        assert lock.release() is None
        assert lock._recursion_count() == n
        assert lock._is_owned() is lock.locked() is (n > 0)
    assert in_a_thread(lock.acquire, False) is True


def test_others_get_it_only_after_the_last_release(lock):
    lock.acquire()
    lock.acquire()
    assert in_a_thread(lock.acquire, False) is False
    lock.release()
    assert in_a_thread(lock.acquire, True, 0.01) is False
    lock.release()
    assert in_a_thread(lambda: (lock.acquire(False), lock.release())) == (True, None)


def test_with_statement(lock):
    with lock as entered:
        assert entered is True
        with lock:
            assert lock._recursion_count() == 2
        assert lock._recursion_count() == 1
    assert not lock.locked()
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert not lock.locked()


def test_enter_and_exit_by_hand(lock):
    assert lock.__enter__() is True
    assert lock.__enter__(False, -1) is True
    assert lock.__enter__(blocking=False) is True
    assert lock.__exit__(None, None, None) is None
    assert lock.__exit__() is None
    assert lock.__exit__(1, 2, 3, 4) is None
    assert not lock.locked()


def test_release_of_an_unlocked_lock(lock):
    for function in [lock.release, lock.__exit__, lock._release_save]:
        with pytest.raises(RuntimeError, match="^cannot release un-acquired lock$"):
            function()
    assert lock.acquire(False)


def test_only_its_owner_may_release_it(held_elsewhere):
    lock = held_elsewhere
    for function in [lock.release, lock.__exit__, lock._release_save]:
        with pytest.raises(RuntimeError, match="^cannot release un-acquired lock$"):
            function()
    assert lock.locked()
    assert not lock._is_owned()
    assert lock._recursion_count() == 0
    assert lock.acquire(False) is False


def test_a_timeout_is_never_shorter_than_asked(held_elsewhere):
    for timeout in [0, 0.001, 0.05]:
        begin = time.monotonic()
        assert held_elsewhere.acquire(timeout=timeout) is False
        assert time.monotonic() - begin >= timeout


def test_it_waits_until_it_is_released(lock):
    order = []
    lock.acquire()

    def waiter():
        with lock:
            order.append("acquired")

    lowthread.start_new_thread(waiter, ())
    time.sleep(0.05)
    order.append("released")
    lock.release()
    wait_until(lambda: len(order) == 2)
    assert order == ["released", "acquired"]


def test_mutual_exclusion(lock):
    count = 0

    def worker():
        nonlocal count
        for _ in range(2000):
            with lock:
                seen = count
                with lock:
                    count = seen + 1

    run_threads(*[worker] * 6)
    assert count == 12000
    assert not lock.locked()


def test_it_cannot_be_taken_more_often_than_can_be_counted(lock):
    lock._acquire_restore((ULONG_MAX, lowthread.get_ident()))
    for function in [lock.acquire, lock.__enter__, lambda: lock.acquire(timeout=0)]:
        with pytest.raises(OverflowError, match="^Internal lock count overflowed$"):
            function()
    assert lock._recursion_count() == ULONG_MAX
    assert lock._release_save() == (ULONG_MAX, lowthread.get_ident())
    assert not lock.locked()


# ---- arguments ----


@pytest.mark.parametrize("state", ["free", "owned"])
def test_arguments_are_those_of_a_lock(lock, state):
    if state == "owned":
        lock.acquire()
    count = lock._recursion_count()
    for error, message, args in [
        (ValueError, "can't specify a timeout for a non-blocking call", (False, 1)),
        (ValueError, "timeout value must be a non-negative number", (True, -2)),
        (ValueError, "Invalid value NaN (not a number)", (True, float("nan"))),
        (OverflowError, "timestamp too large to convert to C PyTime_t", (True, 2**63)),
        (OverflowError, "timestamp out of range for platform time_t", (True, 1e100)),
        (TypeError, "'str' object cannot be interpreted as an integer", (True, "1")),
    ]:
        for acquire in [lock.acquire, lock.__enter__]:
            with pytest.raises(error, match=f"^{re.escape(message)}$"):
                acquire(*args)
    for wrong in [{"wait": 1}, {"blocking": 1, "timeout": 1, "x": 1}]:
        with pytest.raises(TypeError):
            lock.acquire(**wrong)
    assert lock._recursion_count() == count
    assert lock.acquire(True, lowthread.TIMEOUT_MAX) is True


def test_wrong_calls(lock):
    for name in ["release", "locked", "_is_owned", "_recursion_count", "_release_save"]:
        with pytest.raises(TypeError):
            getattr(lock, name)(1)
    with pytest.raises(TypeError):
        lock._acquire_restore()
    with pytest.raises(TypeError):
        lock.acquire(True, 1, 2)


# ---- what threading.Condition uses ----


def test_release_save_and_acquire_restore(lock):
    lock.acquire()
    lock.acquire()
    state = lock._release_save()
    assert state == (2, lowthread.get_ident())
    assert not lock.locked()
    assert lock._acquire_restore(state) is None
    assert lock._recursion_count() == 2
    lock.release()
    lock.release()
    assert not lock.locked()


def test_acquire_restore_waits(held_elsewhere):
    got = []

    def waiter():
        held_elsewhere._acquire_restore((3, lowthread.get_ident()))
        got.append(held_elsewhere._recursion_count())
        held_elsewhere._release_save()

    lowthread.start_new_thread(waiter, ())
    time.sleep(0.05)
    assert got == []  # the fixture lets it go on


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (1, "argument 1 must be 2-item sequence, not int"),
        (None, "argument 1 must be 2-item sequence, not None"),
        ({1: 2, 3: 4}, "argument 1 must be 2-item sequence, not dict"),
        (b"ab", "argument 1 must be 2-item sequence, not bytes"),
        ((1,), "argument 1 must be sequence of length 2, not 1"),
        ((1, 2, 3), "argument 1 must be sequence of length 2, not 3"),
        (("1", 2), "argument 1, item 0 must be int, not str"),
        ((1, 2.5), "argument 1, item 1 must be int, not float"),
        ((1, None), "argument 1, item 1 must be int, not None"),
        ("ab", "argument 1, item 0 must be int, not str"),
    ],
)
def test_acquire_restore_takes_two_ints(lock, state, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        lock._acquire_restore(state)
    assert not lock.locked()


@pytest.mark.parametrize(
    ("items", "message"),
    [([], "argument 1, item 0 is not retrievable"), ([1], "argument 1, item 1 is not retrievable")]
    + [(["1"], "argument 1, item 0 must be int, not str")],
)
def test_acquire_restore_looks_at_one_item_after_the_other(lock, items, message):
    class Sequence:
        def __len__(self):
            return 2

        def __getitem__(self, position):
            return items[position]

    with pytest.raises(TypeError, match=re.escape(message)):
        lock._acquire_restore(Sequence())
    assert not lock.locked()


def test_acquire_restore_takes_what_c_does(lock):
    lock._acquire_restore([ULONG_MAX + 3, lowthread.get_ident()])
    assert lock._recursion_count() == 2
    lock._release_save()
    lock._acquire_restore((-1, 77))
    assert (
        repr(lock)
        == f"<locked lowthread.RLock object owner=77 count={ULONG_MAX} at {id(lock):#x}>"
    )


def test_a_condition_over_it(lock):
    condition = threading.Condition(lock)
    items = []

    def producer():
        for n in range(100):
            with condition, condition:
                items.append(n)
                condition.notify()

    def consumer():
        for n in range(100):
            with condition, condition:
                assert condition.wait_for(lambda: items, timeout=LONG)
                assert items.pop(0) == n

    run_threads(producer, consumer)
    with condition:
        assert condition.wait(timeout=0.01) is False
        assert lock._recursion_count() == 1


# ---- fork and signals ----


def test_at_fork_reinit_frees_it(lock):
    run_threads(lambda: lock.acquire() and lock.acquire())
    assert lock.locked()
    assert lock._at_fork_reinit() is None
    assert not lock.locked()
    assert "owner=0 count=0" in repr(lock)
    assert lock.acquire(False) is True
    assert lock._recursion_count() == 1


def test_in_a_forked_child_it_is_owned_by_the_thread_that_forked():
    out = run_script(
        """
        import os, lowthread
        mine, other = lowthread.RLock(), lowthread.RLock()
        ready, done = lowthread.allocate_lock(), lowthread.allocate_lock()
        ready.acquire(), done.acquire()
        def holder():
            with other:
                ready.release()
                done.acquire()
        lowthread.start_new_thread(holder, ())
        ready.acquire()
        mine.acquire()
        pid = os.fork()
        if pid == 0:
            mine.acquire()
            assert mine._recursion_count() == 2
            assert other.acquire(timeout=0.01) is False
            other._at_fork_reinit()
            assert other.acquire(timeout=60) is True
            os._exit(0)
        print(os.waitpid(pid, 0)[1])
        done.release()
        """,
        python=(sys.executable, "-W", "ignore::DeprecationWarning"),
    ).ok()
    assert out == "0\n"


@pytest.mark.parametrize("way", ["acquire", "with", "timeout"])
def test_a_handler_that_raises_ends_the_wait(held_elsewhere, way):
    lock = held_elsewhere
    ways = {
        "acquire": lock.acquire,
        "with": lock.__enter__,
        "timeout": lambda: lock.acquire(timeout=LONG),
    }

    def send():
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR1)

    with handling(signal.SIGUSR1, raise_it), pytest.raises(Raised):
        lowthread.start_new_thread(send, ())
        ways[way]()
    assert not lock._is_owned()


def test_no_handler_ends_acquire_restore():
    """A Condition has to have its lock again, whatever happens; the handler runs later."""
    run_script(
        """
        import os, signal, time, lowthread
        lock = lowthread.RLock()
        ready = lowthread.allocate_lock()
        ready.acquire()
        def holder():
            with lock:
                ready.release()
                while not waits:
                    time.sleep(0.001)
                time.sleep(0.3)
                os.kill(os.getpid(), signal.SIGUSR1)
                time.sleep(0.1)
                gives_back.append(True)
        class Raised(Exception):
            pass
        def handler(*args):
            global owned
            owned = lock._is_owned() and gives_back
            raise Raised
        signal.signal(signal.SIGUSR1, handler)
        waits = False
        gives_back = []
        lowthread.start_new_thread(holder, ())
        ready.acquire()
        try:
            waits = True
            lock._acquire_restore((1, lowthread.get_ident()))
            while True:
                pass
        except Raised:
            assert owned
            assert lock._recursion_count() == 1
        """
    ).ok()


# ---- the type ----


def test_names():
    assert lowthread.RLock.__name__ == lowthread.RLock.__qualname__ == "RLock"
    assert lowthread.RLock.__module__ == "lowthread"
    assert repr(lowthread.RLock) == "<class 'lowthread.RLock'>"
    assert lowthread.RLock.__mro__ == (lowthread.RLock, object)


def test_arguments_of_the_type_are_ignored():
    lock = lowthread.RLock(1, 2, x=3)
    assert type(lock) is lowthread.RLock
    assert not lock.locked()


def test_repr(lock):
    assert re.fullmatch(
        rf"<unlocked lowthread\.RLock object owner=0 count=0 at {ADDRESS}>", repr(lock)
    )
    lock.acquire()
    lock.acquire()
    me = lowthread.get_ident()
    assert repr(lock) == f"<locked lowthread.RLock object owner={me} count=2 at {id(lock):#x}>"


@pytest.mark.parametrize("name", [-7, 10**300, None, b"bytes", [1, 2]])
def test_repr_whatever_a_metaclass_calls_the_type(name):
    class Meta(type):
        __name__ = property(lambda cls: name)

    class Named(lowthread.RLock, metaclass=Meta):
        pass

    assert repr(Named()).startswith("<unlocked Named object owner=0 count=0 at 0x")


class Derived(lowthread.RLock):
    """With attributes, arguments, and a method of its own."""

    def __init__(self, name, *, color=None):
        self.name = name
        self.color = color

    def twice(self):
        return self.acquire() and self.acquire()


def test_derived_types():
    lock = Derived("a", color="red")
    assert (lock.name, lock.color) == ("a", "red")
    assert lock.twice() is True
    assert lock._recursion_count() == 2
    assert re.fullmatch(rf"<locked Derived object owner=\d+ count=2 at {ADDRESS}>", repr(lock))
    with lock:
        pass
    lock.release()
    lock.release()
    assert not lock.locked()
    assert isinstance(lock, lowthread.RLock)


def test_derived_types_of_all_kinds():
    class Slots(lowthread.RLock):
        __slots__ = ("a",)

    class Mixin:
        color = "red"

    class Both(Mixin, Derived):
        pass

    class Abstract(lowthread.RLock):
        def acquire(self, *args):
            raise AssertionError("`with` does not go through it")

    slots = Slots()
    slots.a = 1
    with pytest.raises(AttributeError):
        slots.b = 1
    both = Both("x")
    assert both.color is None
    with both, Abstract(), slots:
        assert both._is_owned()


def test_derived_types_are_collected():
    lock = Derived("a")
    lock.itself = lock
    reference = weakref.ref(lock)
    type(lock).circle = None
    del lock
    for _ in range(3):
        gc.collect()
    assert reference() is None


def test_derived_types_are_freed_with_their_class():
    def make():
        class Mine(lowthread.RLock):
            pass

        Mine.instance = Mine()
        return weakref.ref(Mine)

    reference = make()
    for _ in range(4):
        gc.collect()
    assert reference() is None


@pytest.mark.skipif(
    CFFI or sys.version_info < (3, 10),
    reason="on 3.9 and in Python, a type cannot be immutable and derived from",
)
def test_it_cannot_be_changed():
    message = r"^cannot set 'acquire' attribute of immutable type 'lowthread\.RLock'$"
    with pytest.raises(TypeError, match=message):
        lowthread.RLock.acquire = None


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_does_not_pickle(lock, protocol):
    name = "lowthread.RLock" if protocol >= 2 else "RLock"  # as 3.13 has it
    with pytest.raises(TypeError, match=f"^cannot pickle '{name}' object$"):
        pickle.dumps(lock, protocol)
    name = "Derived" if protocol >= 2 else "RLock"
    with pytest.raises(TypeError, match=f"^cannot pickle '{name}' object$"):
        pickle.dumps(Derived("a"), protocol)


class Pickles(Derived):
    def __reduce__(self):
        return Pickles, (self.name,)


def test_a_derived_type_can_say_how_to_pickle():
    assert pickle.loads(pickle.dumps(Pickles("a"))).name == "a"
    assert copy.copy(Pickles("b")).name == "b"


def test_it_does_not_copy(lock):
    for function in [copy.copy, copy.deepcopy]:
        with pytest.raises(TypeError, match=r"cannot pickle 'lowthread\.RLock' object"):
            function(lock)


def test_signatures(lock):
    assert str(inspect.signature(lock.acquire)) == "(blocking=True, timeout=-1)"
    assert str(inspect.signature(lock.release)) == "()"
    assert str(inspect.signature(lock._acquire_restore)) == "(state, /)"
    assert str(inspect.signature(lock.__exit__)) == "(*exc_info)"


METHODS = ["acquire", "release", "locked", "__enter__", "__exit__", "_is_owned"]
METHODS += ["_recursion_count", "_release_save", "_acquire_restore", "_at_fork_reinit"]


@pytest.mark.parametrize("name", METHODS)
def test_methods_have_docstrings(name):
    assert inspect.getdoc(getattr(lowthread.RLock, name))


@pytest.mark.skipif(PYPY, reason="there is no counting of references on PyPy")
def test_no_reference_is_lost_or_kept():
    gc.collect()
    before = sys.getrefcount(lowthread.RLock)
    for _ in range(1000):
        lock = lowthread.RLock()
        lock.acquire()
        with lock:
            repr(lock)
        lock._acquire_restore(lock._release_save())
        Derived("a").acquire()
        with pytest.raises(TypeError):
            lock._acquire_restore(None)
    del lock
    gc.collect()
    assert abs(sys.getrefcount(lowthread.RLock) - before) < 10
