"""Entering Python in a new thread, where that goes through a cffi callback: on PyPy."""

from __future__ import annotations

import itertools

from lowthread._check import began, beginners
from lowthread._hooks import report
from lowthread._load import ffi, lib
from lowthread._threadlocal import enter_this_thread, leave_this_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lowthread._ffi import HandleCell, Pointer

    Task = tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]

# What threads that have been started but do not run yet are to do, by the number that the
# core carries for them. Never a pointer: one that comes late, or twice, finds nothing.
_tasks: dict[int, Task] = {}
_numbers = itertools.count(1)


def start(
    function: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None,
    handle: HandleCell,
    awaited_by: int,
    stack_size: int,
    name: bytes | None,
) -> int:
    """Start a thread; return its ident, or minus the errno of a refusal.

    The arguments are those of `lowthread._start.start_thread`.
    """
    number = next(_numbers)
    # A subclass of tuple may have an iterator of its own, which C would not use.
    args = tuple.__getitem__(args, slice(None))
    _tasks[number] = (function, args, kwargs or {})
    task = ffi.cast("void *", number)
    shown = ffi.NULL if name is None else name
    when = ffi.new("int64_t[]", 1) if beginners else ffi.NULL
    ident = lib.lt_start(task, handle, awaited_by, stack_size, shown, when)
    if ident < 0:
        del _tasks[number]
    elif when:
        began(ident, when[0], function)
    return ident


def _ignore(*exc_info: object) -> None:
    """Keep cffi from printing: what a thread raises has been reported, or cannot be."""


@ffi.def_extern(onerror=_ignore)
def lt_run(task: Pointer) -> bool:
    """Do a task, unless that has been done; return true, for the core tries again if not."""
    number = int(ffi.cast("uintptr_t", task))
    if number not in _tasks:
        return True
    lib.lt_count_up()
    try:
        try:
            enter_this_thread()
            todo = _tasks.pop(number)  # from here on it is done, or has failed
            _run(*todo)
        finally:
            leave_this_thread()
    finally:
        # `todo` still holds the function: who learns that it is gone finds the thread no
        # longer counted.
        lib.lt_count_down()
    return True


def _run(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        function(*args, **kwargs)
        return
    except SystemExit:
        return
    except BaseException as error:
        # The first frame is this one; the traceback begins at the function's.
        failure = error.with_traceback(error.__traceback__.tb_next)  # type: ignore[union-attr]
    # Not while it is being handled: an exception of the hook's has no other behind it.
    report(function, failure)
