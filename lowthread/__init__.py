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

Beyond that page: `start` starts a thread that has a name and can be joined; `install` and
`uninstall` have `threading` run on this module; `locks` and `dump` tell who waits for which
lock, and who has it; `get_include`, `get_api` and `addressof` are for
native code that shares locks with Python; and there is what `threading` takes from
`_thread` (`start_joinable_thread`, `set_name`, `daemon_threads_allowed` and names that begin with
an underscore). `python -m lowthread program.py` runs a program on it.
"""

import sys as _sys

from lowthread._arguments import TIMEOUT_MAX
from lowthread._backend import (
    LockType,
    RLock,
    _count,
    _set_sentinel,
    addressof,
    allocate,
    allocate_lock,
    backend,
    get_ident,
    get_native_id,
    lock,
    start_new,
    start_new_thread,
)
from lowthread._capi import get_api, get_include
from lowthread._deadlock import Deadlock, DeadlockError, detect_deadlocks
from lowthread._dump_signal import dump_on_signal
from lowthread._excepthook import _excepthook, _ExceptHookArgs
from lowthread._handle import (
    _make_thread_handle,
    _shutdown,
    _ThreadHandle,
    start_joinable_thread,
)
from lowthread._holds import ProfileHold, ProfileHoldPlace
from lowthread._install import install, provide, uninstall
from lowthread._interpreter import (
    _get_main_thread_ident,
    _is_main_interpreter,
    daemon_threads_allowed,
)
from lowthread._interrupt import interrupt_main
from lowthread._joinable import ThreadHandle, ThreadStartError, start
from lowthread._load import load_capsule as _load_capsule
from lowthread._naming import _NAME_MAXLEN, _get_name, set_name
from lowthread._never import AbandonedLockError, PythonFinalizationError
from lowthread._order import LockOrder, LockOrderError, check_lock_order
from lowthread._places import trace_locks
from lowthread._profile import Profile, ProfilePlace, ProfileWait, profile
from lowthread._start import exit, exit_thread, stack_size
from lowthread._state import LockState, Owner, Waiter, dump, locks, name_lock
from lowthread._threadlocal import _local
from lowthread._version import __version__

error = RuntimeError

__all__ = [
    "TIMEOUT_MAX",
    "_NAME_MAXLEN",
    "AbandonedLockError",
    "Deadlock",
    "DeadlockError",
    "LockOrder",
    "LockOrderError",
    "LockState",
    "LockType",
    "Owner",
    "Profile",
    "ProfileHold",
    "ProfileHoldPlace",
    "ProfilePlace",
    "ProfileWait",
    "PythonFinalizationError",
    "RLock",
    "ThreadHandle",
    "ThreadStartError",
    "Waiter",
    "_ExceptHookArgs",
    "_ThreadHandle",
    "__version__",
    "_count",
    "_excepthook",
    "_get_main_thread_ident",
    "_get_name",
    "_is_main_interpreter",
    "_local",
    "_make_thread_handle",
    "_set_sentinel",
    "_shutdown",
    "addressof",
    "allocate",
    "allocate_lock",
    "backend",
    "check_lock_order",
    "daemon_threads_allowed",
    "detect_deadlocks",
    "dump",
    "dump_on_signal",
    "error",
    "exit",
    "exit_thread",
    "get_api",
    "get_ident",
    "get_include",
    "get_native_id",
    "install",
    "interrupt_main",
    "lock",
    "locks",
    "name_lock",
    "profile",
    "set_name",
    "stack_size",
    "start",
    "start_joinable_thread",
    "start_new",
    "start_new_thread",
    "trace_locks",
    "uninstall",
]

if get_native_id() < 0:  # a system without such numbers, where _thread has no such name
    del get_native_id
    __all__.remove("get_native_id")

#: What is not in `_thread`.
_ours = {
    *("AbandonedLockError", "PythonFinalizationError", "ThreadHandle", "ThreadStartError"),
    *("__version__", "addressof", "backend", "get_api", "get_include"),
    *("install", "start", "uninstall"),
    *("Deadlock", "DeadlockError", "detect_deadlocks", "dump_on_signal"),
    *("Profile", "ProfilePlace", "ProfileWait", "profile"),
    *("ProfileHold", "ProfileHoldPlace"),
    *("LockOrder", "LockOrderError", "check_lock_order", "trace_locks"),
    *("LockState", "Owner", "Waiter", "dump", "locks", "name_lock"),
}
provide({name: globals()[name] for name in __all__ if name not in _ours})
del provide


def _let_go_of(modules: dict[str, object]) -> None:
    """Have nothing but `sys.modules` refer to the modules of this package.

    When the interpreter ends, modules that are still referred to have their globals set to
    None, and the others go as wholes. So locks and handles work in destructors until the end.
    """
    for name, module in list(_sys.modules.items()):
        parent, _, child = name.rpartition(".")
        if parent == __name__ and modules.get(child) is module:
            del modules[child]


def __getattr__(name: str) -> object:
    if name == "_C_API":  # only now, as few programs need it
        return _load_capsule()
    module = _sys.modules.get(f"{__name__}.{name}")
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return module


_let_go_of(globals())
