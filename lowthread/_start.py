"""Starting a thread: what is checked, announced and handed to the core."""

from __future__ import annotations

import _thread as host
import atexit
import errno
import operator
import os
import sys

from lowthread._builtin import builtin, synonym
from lowthread._check import check, made, note, taking
from lowthread._hooks import report
from lowthread._load import ffi, lib, native
from lowthread._never import PythonFinalizationError, abandoned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, SupportsIndex

    from lowthread._ffi import HandleCell

if native is None:
    from lowthread._callback import start as _start
else:
    atexit.register(native.prepare_exit)
    _native_start = native.start

    def _start(
        function: Callable[..., object],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        handle: HandleCell,
        awaited_by: int,
        stack_size: int,
        name: bytes | None,
    ) -> int:
        address = int(ffi.cast("uintptr_t", handle))
        ident: int = _native_start(
            function, args, kwargs, report, address, awaited_by, stack_size, name
        )
        return ident


_MIN_STACK_SIZE = 32768  # bytes: CPython's THREAD_STACK_MIN
_MAX_STACK_SIZE = sys.maxsize

_NOT_GIVEN: dict[str, Any] = {}  # what the signature shows for kwargs; only its identity counts


# Its globals are defaults: at the interpreter's end, a module's may be gone.
def refuse(
    error: int,
    too_late: type[RuntimeError] = PythonFinalizationError,
    strerror: Callable[[int], str] = os.strerror,
) -> NoReturn:
    """Raise what is raised when no thread is started.

    error: the errno with which the system refused, or 0 when it is too late for threads.
    """
    if error == 0:
        raise too_late("can't create new thread at interpreter shutdown")
    raise RuntimeError("can't start new thread") from OSError(error, strerror(error))


def _not_in_here() -> NoReturn:
    raise RuntimeError("thread is not supported for isolated subinterpreters")


def _are_threads_allowed() -> bool:
    """Return whether threads can be started in this interpreter, since 3.12 not in any.

    There is no way to ask, so the interpreter's own `_thread` starts one that does nothing.
    It is waited for, because the interpreter cannot be destroyed before it has ended.
    """
    if native is None or sys.version_info < (3, 12) or native.interpreter_id() == 0:
        return True
    try:
        if sys.version_info >= (3, 13):
            host.start_joinable_thread(int).join()
        else:
            _run_a_thread_of_the_host()
    except RuntimeError as error:
        return "isolated" not in str(error)  # or the system has no thread to spare just now
    return True


def _run_a_thread_of_the_host() -> None:
    sentinels: list[host.LockType] = []
    ran = host.allocate_lock()
    ran.acquire()

    def run() -> None:
        try:
            sentinels.append(host._set_sentinel())  # type: ignore[attr-defined]  # private
        finally:
            ran.release()

    host.start_new_thread(run, ())
    ran.acquire()
    for sentinel in sentinels:
        sentinel.acquire()


_is_too_late = sys.is_finalizing if _are_threads_allowed() else _not_in_here


def start_thread(
    function: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None,
    handle: HandleCell = ffi.NULL,
    awaited_by: int = 0,
    stack_size: int = -1,
    name: bytes | None = None,
) -> int:
    """Start a thread; return its ident, or 0 if there is a handle, which has it.

    kwargs: a dictionary that is not used otherwise, or None.
    handle: an `lt_handle *`, which must be unused, or NULL.
    awaited_by: a number by which `lt_handle_next_awaited` finds the thread, or 0.
    stack_size: bytes; 0 is the system's default, -1 what `stack_size()` was given.
    name: bytes, or None.
    """
    if _is_too_late():
        refuse(0)
    ident = _start(function, args, kwargs, handle, awaited_by, stack_size, name)
    # First of all, and without a new number: a start that raises for lack of memory is none.
    if ident >= 0:
        return ident
    if ident == -errno.EALREADY:
        raise RuntimeError("thread already started")
    refuse(-ident)


@builtin(least=2, most=3)
def start_new_thread(
    function: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = _NOT_GIVEN,
    /,
) -> int:
    """Start a new thread and return its identifier, an int (see `get_ident`).

    The thread calls `function(*args, **kwargs)`, with a copy of kwargs. It ends silently when
    the function returns, whatever that is, or raises SystemExit. Any other exception goes to
    `sys.unraisablehook`, with `object` the function.

    function: a callable.
    args: a tuple.
    kwargs: optional, a dictionary.

    Raises an auditing event `_thread.start_new_thread` with arguments function, args, kwargs
    (None if not given); a hook that raises stops the start.

    Raises TypeError for arguments of other types, and RuntimeError("can't start new thread")
    when the system refuses, with an OSError that says why as its cause. When the interpreter
    is shutting down: PythonFinalizationError, a RuntimeError.
    """
    if not callable(function):
        raise TypeError("first arg must be callable")
    # By type(), as C does: what an object claims as its __class__ does not count.
    if not issubclass(type(args), tuple):
        raise TypeError("2nd arg must be a tuple")
    if kwargs is _NOT_GIVEN:
        kwargs = None
    elif not issubclass(type(kwargs), dict):
        raise TypeError("optional 3rd arg must be a dictionary")
    sys.audit("_thread.start_new_thread", function, args, kwargs)
    if kwargs is not None:
        # Not dict.copy(), which asks a subclass for its keys.
        kwargs = dict(dict.items(kwargs))
    return start_thread(function, args, kwargs)


@builtin(most=1)
def stack_size(size: SupportsIndex = 0, /) -> int:
    """Set the stack size of threads started from now on; return the one before.

    size: bytes; 0, also without an argument, is the system's default. Any number from 32768
    (32 KiB) on will do; a thread gets at least that, in whole pages.

    Raises ValueError for a size that is negative or too small, and changes nothing then.
    """
    return lib.lt_set_stack_size(checked_stack_size(size))


def checked_stack_size(size: SupportsIndex) -> int:
    """Return `size` as an int, if `stack_size()` accepts it."""
    size = int(operator.index(size))
    if not -_MAX_STACK_SIZE - 1 <= size <= _MAX_STACK_SIZE:
        raise OverflowError("Python int too large to convert to C ssize_t")
    if size < 0:
        raise ValueError("size must be 0 or a positive value")
    if 0 < size < _MIN_STACK_SIZE:
        raise ValueError(f"size not valid: {size} bytes")
    return size


@builtin()
def exit() -> NoReturn:
    """Raise SystemExit, which ends the thread silently unless it is caught."""
    raise SystemExit


start_new = synonym("start_new", start_new_thread)
exit_thread = synonym("exit_thread", exit)

if native:
    native.set_callbacks(
        *(sys.audit, _is_too_late, report, refuse),
        *(sys.is_finalizing, PythonFinalizationError, abandoned, check, note, made, taking),
    )
