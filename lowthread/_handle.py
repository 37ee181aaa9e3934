"""Threads that can be joined: what `threading` takes from `_thread` since Python 3.13.

The rules are those of CPython 3.13 (`Modules/_threadmodule.c`).
"""

from __future__ import annotations

import sys

from lowthread._arguments import FOREVER, timeout_in_ns
from lowthread._builtin import builtin, unannotated
from lowthread._check import note, profilers
from lowthread._final import Final, name_of, no_pickle
from lowthread._hooks import report_unraisable
from lowthread._load import ffi, lib, native
from lowthread._never import LAST_WAIT, is_last_thread, too_late_for
from lowthread._pylock import go_on, tell
from lowthread._start import start_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, SupportsIndex

    from lowthread._ffi import HandleCell

#: What tells the threads apart that the end of each interpreter of a process waits for.
HERE = 1 + (native.interpreter_id() if native else 0)


def new_cell() -> HandleCell:
    """Return an unused `lt_handle *`."""
    return _own(lib.lt_handle_new())


def _own(cell: HandleCell) -> HandleCell:
    """Return an `lt_handle *` that gives up its reference when it is gone."""
    if not cell:
        raise MemoryError
    return ffi.gc(cell, lib.lt_handle_drop)


def join(cell: HandleCell, ns: int) -> bool:
    """Wait at most `ns` until the thread of an `lt_handle *` has ended; return whether it has.

    Raises RuntimeError if the thread was not started, or is the caller's own;
    PythonFinalizationError instead of waiting for ever for one that has been stopped.
    """
    since = lib.lt_now()
    deadline = min(since + ns, FOREVER)
    is_last = deadline == FOREVER and is_last_thread()
    if is_last:
        deadline = since + LAST_WAIT  # for its last steps, which need no Python
    while True:
        verdict = lib.lt_join(cell, since, deadline)
        is_over = verdict in (lib.LT_ACQUIRED, lib.LT_TIMED_OUT)
        if profilers and is_over and lib.lt_record_is_long(since):
            try:
                tell(note, cell, lib.LT_FOR_THREAD, since)
            except (RecursionError, MemoryError):  # of the call itself
                pass
        if verdict == lib.LT_ACQUIRED:
            return True
        if verdict == lib.LT_TIMED_OUT:
            if is_last:
                raise too_late_for("join thread")
            return False
        if verdict == lib.LT_NOT_STARTED:
            raise RuntimeError("thread not started")
        if verdict == lib.LT_IS_SELF:
            raise RuntimeError("Cannot join current thread")
        go_on(cell, lib.LT_FOR_THREAD, since, deadline)


def wait_to_join(timeout: float | SupportsIndex | None) -> int:
    """Return what `join(timeout)` means in ns: None and what is negative are `FOREVER`."""
    ns = FOREVER if timeout is None else timeout_in_ns(timeout)
    return FOREVER if ns < 0 else ns


@unannotated
class _ThreadHandle(metaclass=Final):
    """A thread that can be joined, started by `start_joinable_thread`. For `threading`.

    Arguments are ignored. A handle starts one thread, once. When it is dropped, its thread
    goes on.
    """

    __slots__ = ("__cell",)
    __module__ = "lowthread"
    __cell: HandleCell

    def __new__(cls, /, *args: object, **kwargs: object) -> _ThreadHandle:
        return _with_cell(new_cell())

    @property
    def ident(self) -> int:
        """The thread's identifier, an int; 0 until it is started."""
        return lib.lt_handle_ident(self.__cell)

    def join(self, timeout: float | SupportsIndex | None = None, /) -> None:
        """Wait until the thread has ended, its Python state included.

        timeout: seconds to wait at most, an int or a float; None, or a negative number, is
        no limit. `is_done()` tells whether it ran out.

        A signal handler that raises ends the wait. Raises RuntimeError if the thread was not
        started, or is the calling one; PythonFinalizationError where the interpreter has stopped
        it, so that it will never end.
        """
        join(self.__cell, wait_to_join(timeout))

    def is_done(self, /) -> bool:
        """Return whether the thread has ended, its Python state included."""
        return lib.lt_handle_is_done(self.__cell)

    def _set_done(self, /) -> None:
        """Behave from now on as if the thread had ended. Raises RuntimeError if not started."""
        if not lib.lt_handle_set_done(self.__cell):
            raise RuntimeError("thread not started")

    def __repr__(self) -> str:
        return f"<{name_of(type(self))} object: ident={self.ident}>"

    __reduce_ex__ = no_pickle

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")


_cell_slot = _ThreadHandle.__dict__["_ThreadHandle__cell"]
cell_of: Callable[[_ThreadHandle], HandleCell] = _cell_slot.__get__


def _with_cell(cell: HandleCell) -> _ThreadHandle:
    self = object.__new__(_ThreadHandle)
    _cell_slot.__set__(self, cell)
    return self


@builtin(least=1, most=3, keywords=True)
def start_joinable_thread(
    function: Callable[[], object], handle: _ThreadHandle | None = None, daemon: object = True
) -> _ThreadHandle:
    """Start a thread that calls `function()`; return a handle by which it can be joined.

    function: a callable. What it raises is dealt with as `start_new_thread` does.
    handle: a `_ThreadHandle` that was not used yet; without one, a new one is made.
    daemon: whether the thread may be cut off by the end of the interpreter; if not,
    `_shutdown()` waits for it.

    Raises an auditing event `_thread.start_joinable_thread` with arguments function, daemon
    (0 or 1), handle (or None).

    Raises TypeError for arguments of other types, and RuntimeError if the handle has been
    used, or as `start_new_thread` does; after that the handle is done.
    """
    daemon = 1 if daemon else 0
    if not callable(function):
        raise TypeError("thread function must be callable")
    if handle is not None and type(handle) is not _ThreadHandle:
        raise TypeError("'handle' must be a _ThreadHandle")
    sys.audit("_thread.start_joinable_thread", function, daemon, handle)
    if handle is None:
        handle = _ThreadHandle()
    start_thread(function, (), None, cell_of(handle), 0 if daemon else HERE)
    return handle


@builtin(least=1, most=1)
def _make_thread_handle(ident: int, /) -> _ThreadHandle:
    """Return a handle of a thread that was not started here; it runs until `_set_done()`.

    ident: its identifier (see `get_ident`), an int.
    """
    if not isinstance(ident, int):
        raise TypeError("ident must be an integer")
    ident = int(ident)
    if ident < 0:
        raise OverflowError("can't convert negative int to unsigned")
    if ident >= 2 ** (8 * ffi.sizeof("uintptr_t")):
        raise OverflowError("int too big to convert")
    return _with_cell(_own(lib.lt_handle_of(ident)))


@builtin()
def _shutdown() -> None:
    """Wait for all threads of `start_joinable_thread` that are no daemons, but for the caller.

    An exception of a signal handler ends that; it goes to `sys.unraisablehook`.
    """
    wait_for_all()


def wait_for_all() -> bool:
    """Do what `_shutdown` does; return false if an exception has ended it."""
    try:
        while True:
            cell = lib.lt_handle_next_awaited(HERE)
            if not cell:
                return True
            join(_own(cell), FOREVER)
    except BaseException as error:
        report_unraisable(error)
        return False
