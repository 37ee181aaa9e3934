"""What `threading` asks about the interpreter that it runs in."""

import _thread as host
import sys

from lowthread._builtin import builtin
from lowthread._load import PYPY, lib, native


@builtin()
def _get_main_thread_ident():
    """Return the identifier of the main thread, in which signal handlers run."""
    return lib.lt_main_ident() or _host_main_ident()


def _host_main_ident():
    """Ask the interpreter, where lowthread was imported first in another thread."""
    if hasattr(host, "_get_main_thread_ident"):  # since 3.13
        return host._get_main_thread_ident()
    # The interpreter has its threads in a row: CPython the oldest last, PyPy first.
    return list(sys._current_frames())[0 if PYPY else -1]


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
