"""What `threading` asks about the interpreter that it runs in."""

from __future__ import annotations

import _thread as host
import sys

from lowthread._builtin import builtin
from lowthread._load import PYPY, lib, native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# PyPy has its threads in a row, the oldest first. It is asked but once, and before there are
# waits for locks of ours: see lowthread._never for what that does to compiled code.
_first_ident = next(iter(sys._current_frames())) if PYPY and not lib.lt_main_ident() else 0


@builtin()
def _get_main_thread_ident() -> int:
    """Return the identifier of the main thread, in which signal handlers run."""
    return lib.lt_main_ident() or _host_main_ident()


def _host_main_ident() -> int:
    """Ask the interpreter, where lowthread was imported first in another thread."""
    ask: Callable[[], int] | None = getattr(host, "_get_main_thread_ident", None)  # since 3.13
    if ask is not None:
        return ask()
    if native is None:
        return _first_ident
    # The interpreter has its threads in a row, the oldest last.
    *_, oldest = native.current_frames()  # which is not in a variable: see frames_of_others()
    return int(oldest)


@builtin()
def _is_main_interpreter() -> bool:
    """Return whether the current interpreter is the main one, and no sub-interpreter."""
    return native is None or native.interpreter_id() == 0


@builtin()
def daemon_threads_allowed() -> bool:
    """Return whether the current interpreter allows daemon threads.

    They are cut off where they are when it ends. Before 3.12 every interpreter does.
    """
    if sys.version_info >= (3, 12):
        return host.daemon_threads_allowed()
    return True
