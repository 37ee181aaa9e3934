"""A program written for `_thread`, which is given what lowthread has: for type checkers.

Nothing in it may be complained of.
"""

from __future__ import annotations

import _thread
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import lowthread

# ---- what takes and keeps objects of _thread's types ----


class Account:
    lock: _thread.LockType

    def __init__(self, lock: _thread.LockType) -> None:
        self.lock = lock
        self.balance = 0

    def deposit(self, amount: int, patience: float = -1) -> bool:
        if not self.lock.acquire(timeout=patience):
            return False
        try:
            self.balance += amount
        finally:
            self.lock.release()
        return True


def critical(lock: AbstractContextManager[bool]) -> None:
    with lock:
        pass


def all_free(locks: list[_thread.LockType]) -> bool:
    return not any(lock.locked() for lock in locks)


def reenter(lock: _thread.RLock) -> None:
    with lock, lock:
        pass


def print_failure(args: _thread._ExceptHookArgs) -> None:
    print(args.exc_type, args.exc_value, args.exc_traceback, args.thread)


account = Account(lowthread.allocate_lock())
account.lock = lowthread.LockType()
lock: _thread.LockType = lowthread.lock()
lock_type: type[_thread.LockType] = lowthread.LockType
critical(lowthread.allocate_lock())
all_free([lowthread.allocate_lock(), _thread.allocate_lock()])
rlock: _thread.RLock = lowthread.RLock()
rlock_type: type[_thread.RLock] = lowthread.RLock
reenter(lowthread.RLock())
critical(lowthread.RLock())
local: _thread._local = lowthread._local()
local.name = "a value"
error: type[BaseException] = lowthread.error
longest: float = lowthread.TIMEOUT_MAX

# ---- what takes functions ----


def in_new_thread(
    start: Callable[[Callable[..., object], tuple[Any, ...], dict[str, Any]], int],
    allocate: Callable[[], _thread.LockType],
) -> int:
    done = allocate()
    done.acquire()

    def work(word: str, times: int = 1) -> None:
        print(word * times)
        done.release()

    return start(work, ("word",), {"times": 2})


def many(start: Callable[[Callable[[], object], tuple[()]], int], allocate: type[Any]) -> None:
    start(allocate, ())


in_new_thread(_thread.start_new_thread, _thread.allocate_lock)
in_new_thread(lowthread.start_new_thread, lowthread.allocate_lock)
many(lowthread.start_new_thread, lowthread.LockType)

ask: Callable[[], int] = lowthread.get_ident
ask = lowthread.get_native_id
ask = lowthread._count
resize: Callable[[int], int] = lowthread.stack_size
hook: Callable[[_thread._ExceptHookArgs], Any] = lowthread._excepthook
hook = print_failure
threading.excepthook = lowthread._excepthook

if sys.version_info >= (3, 13):

    def wait_for(handle: _thread._ThreadHandle) -> bool:
        handle.join(1.5)
        return handle.is_done()

    wait_for(lowthread.start_joinable_thread(print))
    wait_for(lowthread.start_joinable_thread(print, lowthread._ThreadHandle(), daemon=False))
    wait_for(lowthread._make_thread_handle(lowthread.get_ident()))

# ---- one that has lowthread in the place of _thread ----


def add(a: int, b: int) -> int:
    return a + b


ident: int = lowthread.start_new_thread(add, (1, 2))
ident = lowthread.start_new_thread(add, (1,), {"b": 2})
ident = lowthread.start_new_thread(print, ())
with lowthread.allocate_lock() as taken:
    assert taken is True
with lowthread.RLock() as taken:
    assert taken is True
was_taken: bool = lowthread.RLock().acquire(False)
was_taken = lowthread.allocate_lock().acquire(blocking=True, timeout=1)
is_locked: bool = lowthread.RLock().locked()
try:
    lowthread.exit()
except SystemExit:
    pass
lowthread.interrupt_main()
lowthread.interrupt_main(2)
raise_it: Callable[[], object] = lowthread.exit

# ---- and the standard library around it ----

condition = threading.Condition(lowthread.RLock())
condition = threading.Condition(lowthread.allocate_lock())
jobs: queue.Queue[_thread.LockType] = queue.Queue()
jobs.put(lowthread.allocate_lock())

# ---- what lowthread has more ----


def greet(name: str, *, loud: bool = False) -> None:
    print(name.upper() if loud else name)


thread: lowthread.ThreadHandle = lowthread.start(greet, "you")
thread = lowthread.start(greet, "you", loud=True)
thread = lowthread.start(greet, "you", name="worker", stack_size=256 * 1024, daemon=False)
thread = lowthread.start(greet, "you", loud=True, name=None)
thread = lowthread.start(greet, "you", loud=True, stack_size=65536)
thread = lowthread.start(greet, name="you", loud=True, daemon=True)
name: str | None = thread.name
has_ended: bool = thread.join(timeout=5)
numbers: list[int] = [thread.ident, thread.native_id]

try:
    lowthread.install()
    lowthread.uninstall(force=True)
    lowthread.start(print)
except lowthread.ThreadStartError as refusal:
    print(refusal.errno)
except (lowthread.AbandonedLockError, lowthread.PythonFinalizationError):
    pass
lowthread.set_name("worker")
names: list[str] = [lowthread._get_name(), lowthread.backend, lowthread.__version__]
