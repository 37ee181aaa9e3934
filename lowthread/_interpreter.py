"""What `threading` asks about the interpreter that it runs in."""

import _thread as host
import sys

from lowthread._builtin import builtin
from lowthread._load import PYPY, lib, native

# PyPy has its threads in a row, the oldest first. It is asked but once, and before there are
# waits for locks of ours: see lowthread._never for what that does to compiled code.
_first_ident = next(iter(sys._current_frames())) if PYPY and not lib.lt_main_ident() else None


@builtin()
def _get_main_thread_ident():
    """Return the identifier of the main thread, in which signal handlers run."""
    return lib.lt_main_ident() or _host_main_ident()


def _host_main_ident():
    """Ask the interpreter, where lowthread was imported first in another thread."""
    if hasattr(host, "_get_main_thread_ident"):  # since 3.13
        return host._get_main_thread_ident()
    if PYPY:
        return _first_ident
    # The interpreter has its threads in a row, the oldest last.
    return list(native.current_frames())[-1]


@builtin()
def _is_main_interpreter():
    """Return whether the current interpreter is the main one, and no sub-interpreter."""
    return native is None or native.interpreter_id() == 0


@builtin()
def daemon_threads_allowed():
    """Return whether the current interpreter allows daemon threads.

    They are cut off where they are when it ends. Before 3.12 every interpreter does.
    """
    if hasattr(host, "daemon_threads_allowed"):
        return host.daemon_threads_allowed()
    return True
