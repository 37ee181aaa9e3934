"""What becomes of an exception that leaves a thread's function.

The rule is the documentation page's ("When the function terminates with an unhandled
exception, `sys.unraisablehook()` is called to handle the exception. The *object* attribute
of the hook argument is *function*."), and the order of things is that of CPython's
`_PyErr_WriteUnraisableMsg` (`Python/errors.c`).
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial

from lowthread._load import PYPY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any

_MESSAGE = "Exception ignored in thread started by"

# Kept, because a program may delete the name.
_default_hook = sys.__unraisablehook__


def _find_args_type() -> type[Any]:
    # The default hook accepts nothing but this type, which has no public name: the
    # interpreter makes it at start, as a subclass of tuple.
    for subclass in tuple.__subclasses__():
        if subclass.__name__ == "UnraisableHookArgs":
            return subclass
    raise ImportError("this interpreter has no UnraisableHookArgs")


_ArgsType = _find_args_type()


def _make_args(error: BaseException, message: str | None, culprit: object) -> Any:
    if PYPY:
        message = message or ""  # it accepts no None
    fields = (type(error), error, error.__traceback__, message, culprit)
    # PyPy has a sixth: text to print after the traceback.
    return _ArgsType((*fields, "") if PYPY else fields)


def _print(args: Any) -> None:
    try:
        _default_hook(args)
    except BaseException:
        pass


def report(function: Callable[..., object], error: BaseException) -> None:
    """Give `error`, which left the thread's `function`, to `sys.unraisablehook`."""
    report_unraisable(error, _MESSAGE, function)


def report_unraisable(
    error: BaseException, message: str | None = None, culprit: object = None
) -> None:
    """Give `error` to `sys.unraisablehook`, with these as `err_msg` and `object`.

    Never raises: a hook that fails is itself reported by the default hook; one that is
    None or was deleted is the default hook.
    """
    try:
        args = _make_args(error, message, culprit)
        if not hasattr(sys, "unraisablehook"):
            _print(args)
            return
        hook = sys.unraisablehook
        culprit, message = None, "Exception ignored in audit hook"
        try:
            sys.audit("sys.unraisablehook", hook, args)
            culprit, message = hook, "Exception ignored in sys.unraisablehook"
            if hook is None:
                _print(args)
            else:
                hook(args)
        except BaseException as failure:
            # Its traceback begins in the hook, not here.
            failure = failure.with_traceback(failure.__traceback__.tb_next)  # type: ignore[union-attr]
            _print(_make_args(failure, message, culprit))
    except BaseException:
        pass


#: The folder of our own modules, as their code names it, be it with a `.` in between.
HERE = os.path.dirname(_find_args_type.__code__.co_filename) + os.sep
# Their calls of a program or of a thread's function, and what has led to those, are not its own.
_STARTER = HERE + "_run.py"
_CALLBACK = HERE + "_callback.py"
_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep


def is_start(file: str, function: str) -> bool:
    """Return whether what a function of a file has called is where the program begins."""
    return file == _STARTER or (file == _CALLBACK and function == "_run")


def is_of_library(file: str) -> bool:
    """Return whether a file is of the standard library."""
    return file.startswith((_LIBRARY, "<frozen ")) and "site-packages" not in file


def _codes_of_handlers() -> set[CodeType]:
    codes = set()
    for signum in signal.valid_signals():
        handler: Any = signal.getsignal(signum)
        if isinstance(handler, partial):  # of which one in another is one
            handler = handler.func
        for function in (handler, getattr(handler, "__call__", None)):  # noqa: B004
            code = getattr(function, "__code__", None)
            if code is not None:
                codes.add(code)
    return codes


def is_of_a_handler(error: BaseException) -> bool:
    """Return whether a signal handler raised what was caught in code of ours."""
    codes: list[CodeType] = []
    traceback = error.__traceback__
    while traceback is not None:
        codes.append(traceback.tb_frame.f_code)
        traceback = traceback.tb_next
    if not _codes_of_handlers().isdisjoint(codes):
        return True
    # There may be another one by now, or it is in C. Then it is none that is called by us: what is
    # asked for a line of a program may be the program's own.
    is_asked = any(code.co_name == "get_source" for code in codes)
    name = codes[-1].co_filename if codes else HERE
    return not (is_asked or is_of_library(name) or name.startswith(HERE))


def report_or_raise(error: Exception, message: str) -> None:
    """Give an error of what the program did not ask for to `sys.unraisablehook`.

    Raises it if it is the program's all the same: its signal handlers run between any two
    instructions of the main thread, and what they raise ends what it was about to do.
    """
    if is_of_a_handler(error):
        raise error
    report_unraisable(error, message)
