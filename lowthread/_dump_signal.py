"""Has a signal print what every thread does, also when the main thread runs no Python.

The interpreter runs handlers of signals in its main thread, between two instructions. So here the
signal is written to a pipe, by C, and a thread reads from that. It is one of the interpreter's
own, which a program on lowthread does not count.
"""

from __future__ import annotations

import _thread as host  # before it can be ours
import os
from operator import index

from lowthread._builtin import unannotated
from lowthread._load import lib
from lowthread._state import dump, helpers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import SupportsIndex

_start_new_thread = host.start_new_thread
_allocate_lock = host.allocate_lock

# The signals, and the pipe's writing end, once there are some.
_signals: set[int] = set()
_pipe: list[int] = []


@unannotated
def dump_on_signal(signum: SupportsIndex, /) -> None:
    """Have a signal do what `dump` does, whatever the main thread does then.

    It takes the place of the signal's handler, and does not disturb the program otherwise: calls
    that the signal interrupts go on. A thread of its own waits for it, in children of a fork too.
    Where a thread keeps the GIL in C code, it is printed when that is over.

    signum: the number of a signal, an int.

    Raises OSError for what is no signal or cannot be handled.
    """
    signum = index(signum)
    if not _pipe:
        _begin()
    error = lib.lt_tell_signal(signum, _pipe[0])
    if error != 0:
        raise OSError(error, f"{os.strerror(error)}: signal {signum}")
    _signals.add(signum)
    import traceback  # noqa: F401  -- now, since an import takes locks


def _begin() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    _pipe[:] = [writing]
    begun = _allocate_lock()
    begun.acquire()
    _start_new_thread(_wait, (reading, begun.release))
    # On PyPy, a fork while a thread is being born leaves a child that cannot start any.
    begun.acquire()


def _wait(reading: int, tell: Callable[[], object]) -> None:
    helpers.add(lib.lt_ident())
    tell()
    while True:
        try:
            os.read(reading, 4096)  # several that came at once are one
            dump()
        except Exception:  # there is nobody else to print
            pass


def _after_fork_in_child() -> None:
    helpers.clear()
    if not _pipe:
        return
    os.close(_pipe.pop())  # the parent's
    _begin()
    for signum in _signals:
        lib.lt_tell_signal(signum, _pipe[0])


os.register_at_fork(after_in_child=_after_fork_in_child)
