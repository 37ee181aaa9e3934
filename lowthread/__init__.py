"""Python's `_thread` module, rebuilt: 3.13's behaviour on every interpreter.

    import lowthread

    lock = lowthread.allocate_lock()
    lock.acquire()
    lowthread.start_new_thread(lock.release, ())
    assert lock.acquire(timeout=5)

The names are those of https://docs.python.org/3.13/library/_thread.html:
`start_new_thread`, `exit`, `interrupt_main`, `get_ident`, `get_native_id` and `stack_size`
for threads; `allocate_lock`, `LockType`, `RLock` and `TIMEOUT_MAX` for locks; `error`, which
is RuntimeError; and spellings that CPython still has from the past. `backend` tells what the
locks are made of: "native" (C) or "cffi" (Python over the same core), which the environment
variable LOWTHREAD_BACKEND can ask for.
"""

from lowthread._arguments import TIMEOUT_MAX
from lowthread._backend import (
    LockType,
    RLock,
    _count,
    allocate,
    allocate_lock,
    backend,
    get_ident,
    get_native_id,
    lock,
    start_new,
    start_new_thread,
)
from lowthread._interrupt import interrupt_main
from lowthread._start import exit, exit_thread, stack_size
from lowthread._threadlocal import _local

error = RuntimeError

__all__ = [
    "TIMEOUT_MAX",
    "LockType",
    "RLock",
    "_count",
    "_local",
    "allocate",
    "allocate_lock",
    "backend",
    "error",
    "exit",
    "exit_thread",
    "get_ident",
    "get_native_id",
    "interrupt_main",
    "lock",
    "stack_size",
    "start_new",
    "start_new_thread",
]

if get_native_id() < 0:  # a system without such numbers, where _thread has no such name
    del get_native_id
    __all__.remove("get_native_id")
