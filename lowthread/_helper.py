"""Threads of lowthread's own: one that prints on a signal, one that shows where the program waits.

They are the interpreter's own, so that a program on lowthread does not count them and its end does
not wait for them; they get no signals, which are the program's, and are told of nowhere.
"""

from __future__ import annotations

import _thread as host  # before it can be ours
import os
import signal

from lowthread._load import lib
from lowthread._state import helpers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_start_new_thread = host.start_new_thread
_allocate_lock = host.allocate_lock


def start_helper(run: Callable[[], object]) -> None:
    """Start such a thread, and return when it has begun.

    run: what it does, without an end: the threads that the system counts are taken to be one less
    from now on.

    Raises RuntimeError if it cannot be started.
    """
    begun = _allocate_lock()
    begun.acquire()
    # It inherits the mask.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        _start_new_thread(_live, (run, begun.release))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    # On PyPy, a fork while a thread is being born leaves a child that cannot start any.
    begun.acquire()


def _live(run: Callable[[], object], tell: Callable[[], object]) -> None:
    lib.lt_helper_begin()
    helpers.add(lib.lt_ident())
    tell()
    run()


# Before those of who starts them again: these come later, as they import this.
os.register_at_fork(after_in_child=helpers.clear)
