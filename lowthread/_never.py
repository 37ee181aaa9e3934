"""Waits that could never end, and what is raised instead."""

from __future__ import annotations

import builtins
import os
import signal
import sys

from lowthread._interpreter import _get_main_thread_ident
from lowthread._load import ffi, lib, native
from lowthread._threadlocal import threads_of_ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from threading import Thread
    from types import ModuleType
    from typing import Any

    from lowthread._ffi import Pointer

if sys.version_info >= (3, 13):
    PythonFinalizationError = builtins.PythonFinalizationError
else:

    class PythonFinalizationError(RuntimeError):
        """The interpreter is being finalized, and this would need another thread.

        The interpreter's own since Python 3.13.
        """

        __module__ = "lowthread"


class AbandonedLockError(RuntimeError):
    """A lock was taken by a thread that got lost in a fork, and nobody can release it.

    Raised by a wait without a timeout, in a child that has no thread but the one that waits, if
    no signal handler could end the wait: the program has none, or the wait runs none.
    The lock stays as it is; `_at_fork_reinit()` makes it free.
    """

    __module__ = "lowthread"


#: How long the last thread of an interpreter waits for what other threads do without Python, in
#: ns: more than the core takes to see that one does not come for a lock it was promised.
LAST_WAIT = 2 * lib.lt_lock_lapse_ns


def too_late_for(what: str, error: type[RuntimeError] = PythonFinalizationError) -> RuntimeError:
    """Return the exception for a wait that only a thread could end which has been stopped."""
    return error(
        f"can't {what} at interpreter shutdown: no thread is left that could end the wait"
    )


#: is_last_thread() tells whether the interpreter is being finalized, and no other thread can run
#: Python, now or ever. PyPy stops no threads before the process ends.
is_last_thread = sys.is_finalizing if native else bool


# Threads that got lost in the forks up to this process, by ident, with the names of those that
# `threading` knows, else None.
_lost: dict[int, str | None] = {}

# By the ident of a thread that forks: a note for the child. On CPython that is the arguments of
# `_known`, elsewhere its result.
_forks: dict[int, Any] = {}


def _known(idents: Iterable[int], active: dict[int, Thread]) -> dict[int, str | None]:
    # Not thread.name, which may be anything in a class derived from Thread.
    names = {ident: vars(thread).get("_name") for ident, thread in active.items()}
    return {**dict.fromkeys(idents), **names}


def _before_fork() -> None:
    """PyPy's; an exception of a signal handler that runs in here is printed and forgotten.

    So there is no such hook after the fork in the parent, and this notes names, not threads.
    """
    # sys._current_frames() would look into frames that the other threads' compiled code has in
    # registers, and the process crashes, or goes on with nonsense.
    idents = [_get_main_thread_ident(), *threads_of_ours()]
    active = getattr(sys.modules.get("threading"), "_active", {}).copy()
    _forks[lib.lt_ident()] = _known(idents, active)


def _after_fork_in_child() -> None:
    global _lost
    _pids[:] = [os.getpid()]
    note = _forks.pop(lib.lt_ident(), None)  # there may have been no memory for one
    _forks.clear()
    if note is not None:
        _lost = {**_lost, **(_known(*note) if native else note)}


_pids = [os.getpid()]  # this process, but in a child of a fork before the hook above


def _let_lost_threads_go(threading: ModuleType) -> None:
    """Have what lost threads leave in `threading` not take a lock that may be lost with them.

    Since 3.13, threads that `threading` did not start, but knows, have a value that is local to
    them and takes the lock of its list of threads when it goes. In a child, those of lost threads
    go before `threading` makes a new lock; and a moment later, it clears the list.
    """
    # The lock cannot be kept by who forks: whoever has a lock that another module's hook waits
    # for before the fork may be about to start a thread.
    tracker = getattr(threading, "_DeleteDummyThreadOnDel", None)
    if tracker is None or tracker.__del__.__module__ == __name__:
        return  # it has none, or has been here
    remove = tracker.__del__

    # Defaults, for at the interpreter's end the module's names may be gone.
    def __del__(
        self: object,
        remove: Callable[[object], None] = remove,
        getpid: Callable[[], int] = os.getpid,
        pids: list[int] = _pids,
    ) -> None:
        if getpid() in pids:
            remove(self)

    tracker.__del__ = __del__


_prepare = [_let_lost_threads_go]
if "threading" in sys.modules:
    _prepare.pop()(sys.modules["threading"])  # else before the first fork with it
if native:
    _before_fork, _after_fork_in_parent = native.fork_hooks(_forks, _prepare)
    os.register_at_fork(after_in_parent=_after_fork_in_parent)
os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)


def can_be_released_by_a_handler() -> bool:
    """Return whether the program handles signals in Python, so that a handler may end a wait."""
    handlers = map(signal.getsignal, signal.valid_signals())
    return any(callable(h) and h is not signal.default_int_handler for h in handlers)


def abandoned(
    lock: object, cell: Pointer | int, runs_handlers: bool = True
) -> AbandonedLockError | None:
    """Return the exception for a wait for an abandoned lock.

    None if the program handles signals, in this thread, that is: a handler may end the wait.

    lock: the object that is waited for.
    cell: its `lt_lock *`, or the address of that.
    runs_handlers: whether signal handlers run during the wait.
    """
    if runs_handlers and can_be_released_by_a_handler():
        return None
    cell = ffi.cast("lt_lock *", cell)
    holders = [
        f"{ident} ({name})" if name else str(ident)
        for ident, name in _lost.items()
        if lib.lt_lock_was_taken_by(cell, ident)
    ]
    holder = (
        f"thread {' or '.join(holders)}, which got lost when this process was forked,"
        if holders
        else "a thread that this process, the child of a fork, does not have,"
    )
    # Not the lock's own __repr__, which may take it.
    cls: Any = next(c for c in type(lock).__mro__ if c.__module__ == "lowthread")
    return AbandonedLockError(
        f"{cls.__repr__(lock)} was taken by {holder} and no other thread can release it; "
        "_at_fork_reinit() would"
    )
