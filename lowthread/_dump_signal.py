"""Has a signal print what every thread does, also when the main thread runs no Python.

The interpreter runs handlers of signals in its main thread, between two instructions. So here the
handler is in C, and tells a thread that waits for nothing else, one of lowthread's own
(lowthread/_helper.py), which gets no signals but these.
"""

from __future__ import annotations

import _thread as host  # before it can be ours
import atexit
import os
import signal
from contextlib import suppress
from operator import index

from lowthread._builtin import unannotated
from lowthread._helper import start_helper
from lowthread._hooks import report_unraisable
from lowthread._load import lib
from lowthread._state import dump, note_stacks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import SupportsIndex

    from lowthread._state import Writable

_allocate_lock = host.allocate_lock
_lock = _allocate_lock()

# Whoever prints has it. When the interpreter ends, nobody is to be stopped with a file's own lock:
# that would end the process, as `sys.stderr` is flushed then.
_printing = _allocate_lock()
_is_over = False

_signals: set[int] = set()

# Where to; None: to `sys.stderr`, as it is by then.
_file: Writable | None = None


@unannotated
def dump_on_signal(signum: SupportsIndex, /) -> None:
    """Have a signal do what `dump` does, whatever the main thread does then.

    It takes the place of the signal's handler. A thread of its own waits for it, in children of a
    fork too; of what the program does otherwise, that changes what depends on how many threads the
    system counts, such as the warning of 3.12 about forks. Where a thread keeps the GIL in C code,
    it is printed when that is over; if the signal comes again, a second later or more, the stacks
    are printed at once as `faulthandler` does it, to the file descriptor 2.

    signum: the number of a signal, an int.

    Raises OSError for what is no signal or cannot be handled, or where the system has not what it
    takes; RuntimeError if the thread cannot be started.
    """
    signum = index(signum)
    import faulthandler
    import traceback  # noqa: F401  -- now, since an import takes locks

    with _lock:
        if not _signals:
            _begin(lib.lt_tell_init())
        is_new = signum not in _signals
        # faulthandler's handler is called then. When the interpreter ends, it puts back the one
        # from before, which is to be ours, since the default ends the process. It raises for a
        # signal for which it has its own, or that is none.
        errors = ValueError, RuntimeError, OSError
        if is_new:
            with suppress(*errors):
                faulthandler.unregister(signum)
        _check(lib.lt_tell_signal(signum), f": signal {signum}")
        if is_new:
            with suppress(*errors):
                faulthandler.register(signum, 2, chain=False)
            _check(lib.lt_tell_signal(signum))
        _signals.add(signum)
        note_stacks()
        lib.lt_tell_again()  # for the thread to let it through


def dump_to(file: Writable) -> None:
    """Have it printed there, and not on `sys.stderr`."""
    global _file
    _file = file


def _check(error: int, what: str = "") -> None:
    if error != 0:
        raise OSError(error, os.strerror(error) + what)


def _begin(error: int) -> None:
    _check(error)
    start_helper(_wait)


def _at_exit() -> None:
    global _is_over
    _is_over = True
    if _signals:
        lib.lt_tell_alone()  # faulthandler is about to forget what its handler needs
        if _printing.acquire(True, 5):  # it may be stuck in a file that nobody reads
            _printing.release()


atexit.register(_at_exit)


def _wait() -> None:
    while True:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _signals.copy())
        if lib.lt_await_told():  # several that came at once are one
            with _printing:
                if not _is_over:
                    _print()


def _print() -> None:
    try:
        dump(_file)
    except Exception as error:  # the next signal is to be heard all the same
        report_unraisable(error, "Exception ignored in dump_on_signal()")


def _after_fork_in_child() -> None:
    global _lock, _printing
    _lock, _printing = _allocate_lock(), _allocate_lock()
    if _signals:
        _begin(lib.lt_tell_init())


os.register_at_fork(after_in_child=_after_fork_in_child)
