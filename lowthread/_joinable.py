"""Starting a thread with all that can be said about it: `start`."""

from __future__ import annotations

import atexit
import sys

from lowthread._arguments import FOREVER, wait_in_ns
from lowthread._backend import get_ident
from lowthread._builtin import unannotated
from lowthread._handle import HERE, join, new_cell, wait_for_all
from lowthread._interpreter import _get_main_thread_ident, daemon_threads_allowed
from lowthread._load import lib
from lowthread._naming import encode_name
from lowthread._start import checked_stack_size, start_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, SupportsIndex

    from lowthread._ffi import HandleCell


class ThreadStartError(OSError, RuntimeError):
    """The system has refused a thread to `start`: `errno` and `strerror` say why."""

    __module__ = "lowthread"


@unannotated
class ThreadHandle:
    """A thread that was started by `start`.

    name: what `start` was given, a str or None.
    daemon: likewise, a bool.
    """

    __slots__ = ("__cell", "__weakref__", "_daemon", "_name")
    __module__ = "lowthread"
    __cell: HandleCell
    _daemon: bool
    _name: str | None

    def __new__(cls, *args: object, **kwargs: object) -> ThreadHandle:
        raise TypeError("ThreadHandle objects are made by lowthread.start()")

    @property
    def name(self) -> str | None:
        """What the thread was named, in full; None if it was not."""
        return self._name

    @property
    def daemon(self) -> bool:
        """Whether the thread is cut off by the end of the interpreter."""
        return self._daemon

    @property
    def ident(self) -> int:
        """The thread's identifier, an int: what `get_ident()` returns there."""
        return lib.lt_handle_ident(self.__cell)

    @property
    def native_id(self) -> int:
        """The system's own number for the thread: what `get_native_id()` returns there."""
        return lib.lt_native_id_of(self.__cell)

    def join(self, timeout: float | SupportsIndex | None = None) -> bool:
        """Wait until the thread has ended, its Python state included; return whether it has.

        timeout: seconds to wait at most, an int or a float; None, the default, is no limit, and
        neither is -1, as for `lock.acquire`.

        A signal handler that raises ends the wait. Raises RuntimeError in the thread itself;
        PythonFinalizationError where the interpreter has stopped it, so that it will never end;
        and for a timeout what `lock.acquire` does.
        """
        return join(self.__cell, FOREVER if timeout is None else wait_in_ns(True, timeout))

    def is_alive(self) -> bool:
        """Return whether the thread has not ended."""
        return not lib.lt_handle_is_done(self.__cell)

    def __repr__(self) -> str:
        name = "" if self._name is None else f" {self._name!r}"
        state = "alive" if self.is_alive() else "ended"
        return f"<lowthread.ThreadHandle{name} ident={self.ident} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle 'lowthread.ThreadHandle' object")


_set_cell = ThreadHandle.__dict__["_ThreadHandle__cell"].__set__


@unannotated
def start(
    function: Callable[..., object],
    /,
    *args: Any,
    name: str | None = None,
    stack_size: SupportsIndex | None = None,
    daemon: object = True,
    **kwargs: Any,
) -> ThreadHandle:
    """Start a thread that calls `function(*args, **kwargs)`; return its `ThreadHandle`.

    That has `join`, `is_alive`, `ident`, `native_id`, `name` and `daemon`.

    function: a callable. What it returns is ignored; what it raises goes to
    `sys.unraisablehook`, as with `start_new_thread`.
    name: a str that the system shows for the thread, in `ps`, `top` or `gdb`, cut as
    `set_name` does; None: the system shows the name of the starting thread.
    stack_size: bytes, for this thread alone, with the limits of `stack_size()`; 0 is the
    system's default, None what `stack_size()` was given.
    daemon: true: the thread is cut off when the interpreter ends; false: the interpreter
    waits for it first, as `threading` does.

    An argument of the function's that has one of these names can be passed with
    `functools.partial`.

    Raises an auditing event `_thread.start_new_thread` with arguments function, args, kwargs
    (None if there are none). Raises TypeError, ValueError or OverflowError for wrong arguments;
    ThreadStartError, a RuntimeError and an OSError, if the system refuses; RuntimeError where
    the interpreter does not allow daemon threads; PythonFinalizationError, a RuntimeError, when it
    is shutting down.
    """
    if not callable(function):
        raise TypeError("first arg must be callable")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a str or None, not {type(name).__name__}")
    size = -1 if stack_size is None else checked_stack_size(stack_size)
    daemon = bool(daemon)
    if daemon and not daemon_threads_allowed():
        raise RuntimeError("daemon threads are not allowed in this interpreter")
    sys.audit("_thread.start_new_thread", function, args, kwargs or None)
    if not daemon:
        _have_exit_wait()
    self = object.__new__(ThreadHandle)
    self._name = name
    self._daemon = daemon
    cell = new_cell()
    _set_cell(self, cell)
    encoded = None if name is None else encode_name(name)
    try:
        start_thread(function, args, kwargs or None, cell, 0 if daemon else HERE, size, encoded)
    except RuntimeError as error:
        why = error.__cause__
        if not isinstance(why, OSError):
            raise
        raise ThreadStartError(why.errno, f"can't start new thread: {why.strerror}") from why
    return self


_are_some_awaited = False
_threading_waits = False


def _have_exit_wait() -> None:
    """Have the interpreter wait for threads that are no daemons when `threading` does for its own.

    So before functions of atexit; and again after these, as is said below, for what they have
    started.
    """
    global _are_some_awaited, _threading_waits
    _are_some_awaited = True
    if _threading_waits:
        return
    if "threading" not in sys.modules and get_ident() != _get_main_thread_ident():
        return  # up to 3.12, it would take the thread that imports it for the main one
    _threading_waits = True
    import threading

    try:
        threading._register_atexit(_wait_at_exit)  # type: ignore[attr-defined]  # private
    except RuntimeError:  # too late for that
        pass


_interrupted = False


def _wait_at_exit() -> None:
    """Wait for threads that are no daemons, unless a signal has put an end to that before."""
    global _interrupted
    # Without need, the core is not asked: others would have the GIL meanwhile.
    if _are_some_awaited and not _interrupted:
        _interrupted = not wait_for_all()


# Now, for what is registered while these functions are called is not.
atexit.register(_wait_at_exit)
