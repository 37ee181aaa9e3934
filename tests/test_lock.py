"""Lock objects: acquire, release, locked and `with`."""

import time

import pytest
from conftest import LONG, run_threads, wait_until

import lowthread


@pytest.fixture
def lock():
    return lowthread.allocate_lock()


def test_is_initially_unlocked(lock):
    assert lock.locked() is False


def test_acquire_and_release(lock):
    assert lock.acquire() is True
    assert lock.locked() is True
    assert lock.release() is None
    assert lock.locked() is False


@pytest.mark.parametrize("blocking", [False, 0, "", None, []])
def test_without_blocking_it_only_tries(lock, blocking):
    assert lock.acquire(blocking) is True
    assert lock.acquire(blocking) is False
    assert lock.acquire(blocking=blocking, timeout=-1) is False
    assert lock.locked()


@pytest.mark.parametrize("blocking", [True, 1, "yes", [0]])
def test_any_true_value_blocks(lock, blocking):
    assert lock.acquire(blocking) is True
    assert lock.acquire(blocking, 0.01) is False


def test_acquire_waits_until_it_is_released(lock):
    lock.acquire()
    order = []

    def waiter():
        lock.acquire()
        order.append("acquired")

    def holder():
        time.sleep(0.05)
        order.append("released")
        lock.release()

    run_threads(waiter, holder)
    assert order == ["released", "acquired"]


def test_with_statement(lock):
    with lock as entered:
        assert entered is True
        assert lock.locked()
    assert not lock.locked()


def test_with_statement_releases_when_the_block_raises(lock):
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert not lock.locked()


def test_enter_waits(lock):
    lock.acquire()

    def waiter():
        with lock:
            pass

    def holder():
        time.sleep(0.05)
        lock.release()

    run_threads(waiter, holder)


def test_enter_and_exit_by_hand(lock):
    assert lock.__enter__() is True
    assert lock.__exit__(None, None, None) is None
    lock.acquire()
    assert lock.__exit__() is None


def test_release_of_an_unlocked_lock(lock):
    for function in [lock.release, lock.release_lock, lock.__exit__]:
        with pytest.raises(RuntimeError, match="^release unlocked lock$"):
            function()
    assert not lock.locked()
    assert lock.acquire(False)


def test_the_end_of_a_with_statement_whose_lock_was_released(lock):
    with pytest.raises(RuntimeError, match="^release unlocked lock$"), lock:
        lock.release()


def test_any_thread_may_release(lock):
    lock.acquire()
    run_threads(lock.release)
    assert not lock.locked()


def test_a_thread_that_locks_twice_waits_for_itself(lock):
    lock.acquire()
    assert lock.acquire(timeout=0.01) is False


@pytest.mark.parametrize("timeout", [0, 0.001, 0.05, 1e-9, 5e-324])
def test_a_timeout_is_never_shorter_than_asked(lock, timeout):
    lock.acquire()
    begin = time.monotonic()
    assert lock.acquire(timeout=timeout) is False
    assert time.monotonic() - begin >= timeout


def test_a_wait_with_timeout_ends_when_it_is_released(lock):
    lock.acquire()

    def waiter():
        assert lock.acquire(timeout=LONG) is True

    def holder():
        time.sleep(0.05)
        lock.release()

    begin = time.monotonic()
    run_threads(waiter, holder)
    assert time.monotonic() - begin < LONG


def test_old_spellings(lock):
    assert lock.acquire_lock() is True
    assert lock.acquire_lock(False) is False
    assert lock.acquire_lock(blocking=True, timeout=0.01) is False
    assert lock.locked_lock() is True
    assert lock.release_lock() is None
    assert lock.locked_lock() is False


def test_at_fork_reinit_frees_it(lock):
    lock.acquire()
    assert lock._at_fork_reinit() is None
    assert not lock.locked()
    lock._at_fork_reinit()
    assert lock.acquire(False)


def test_at_fork_reinit_lets_a_waiter_have_it(lock):
    lock.acquire()
    waiting = []

    def waiter():
        waiting.append(True)
        lock.acquire()

    def reinit():
        wait_until(lambda: waiting)
        time.sleep(0.05)
        lock._at_fork_reinit()

    run_threads(waiter, reinit)
    assert lock.locked()


def test_mutual_exclusion(lock):
    count = 0
    inside = []

    def worker():
        nonlocal count
        for _ in range(2000):
            with lock:
                inside.append(1)
                seen = count
                assert len(inside) == 1
                count = seen + 1
                inside.pop()

    run_threads(*[worker] * 6)
    assert count == 12000


def test_nobody_starves_beside_a_greedy_thread(lock):
    got = []

    def greedy():
        lock.acquire()
        while len(got) < 3:
            lock.release()
            lock.acquire()
        lock.release()

    def modest():
        with lock:
            got.append(True)

    run_threads(greedy, modest, modest, modest)


def test_many_locks_and_many_waiters():
    locks = [lowthread.allocate_lock() for _ in range(50)]
    for lock in locks:
        lock.acquire()

    def wait_for(lock):
        assert lock.acquire(timeout=LONG)

    def release_all():
        time.sleep(0.05)
        for lock in reversed(locks):
            lock.release()

    run_threads(*[lambda lock=lock: wait_for(lock) for lock in locks], release_all)
    assert all(lock.locked() for lock in locks)


def test_a_lock_may_be_freed_while_held():
    for _ in range(1000):
        lowthread.allocate_lock().acquire()
