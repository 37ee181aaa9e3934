"""Entering Python in a new thread, where that goes through a cffi callback: on PyPy."""

import itertools

from lowthread._hooks import report
from lowthread._load import ffi, lib
from lowthread._threadlocal import enter_this_thread, leave_this_thread

# What threads that have been started but do not run yet are to do, by the number that the
# core carries for them. Never a pointer: one that comes late, or twice, finds nothing.
_tasks = {}
_numbers = itertools.count(1)


def start(function, args, kwargs, handle, awaited_by, stack_size, name):
    """Start a thread; return its ident, or minus the errno of a refusal.

    The arguments are those of `lowthread._start.start_thread`.
    """
    number = next(_numbers)
    # A subclass of tuple may have an iterator of its own, which C would not use.
    args = tuple.__getitem__(args, slice(None))
    _tasks[number] = (function, args, kwargs or {})
    task = ffi.cast("void *", number)
    name = ffi.NULL if name is None else name
    ident = lib.lt_start(task, handle, awaited_by, stack_size, name)
    if ident < 0:
        del _tasks[number]
    return ident


def _ignore(*exc_info):
    """Keep cffi from printing: what a thread raises has been reported, or cannot be."""


@ffi.def_extern(onerror=_ignore)
def lt_run(number):
    """Do a task, unless that has been done; return true, for the core tries again if not."""
    number = int(ffi.cast("uintptr_t", number))
    if number not in _tasks:
        return True
    lib.lt_count_up()
    try:
        try:
            enter_this_thread()
            task = _tasks.pop(number)  # from here on it is done, or has failed
            _run(*task)
        finally:
            leave_this_thread()
    finally:
        # `task` still holds the function: who learns that it is gone finds the thread no
        # longer counted.
        lib.lt_count_down()
    return True


def _run(function, args, kwargs):
    try:
        function(*args, **kwargs)
        return
    except SystemExit:
        return
    except BaseException as error:
        # The first frame is this one; the traceback begins at the function's.
        failure = error.with_traceback(error.__traceback__.tb_next)
    # Not while it is being handled: an exception of the hook's has no other behind it.
    report(function, failure)
