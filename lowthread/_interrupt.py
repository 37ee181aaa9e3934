"""Interrupting the main thread."""

from __future__ import annotations

import operator
import signal

from lowthread._builtin import builtin
from lowthread._load import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import SupportsIndex

_MAX_INT = 2**31 - 1
_MAX_LONG = 2 ** (8 * ffi.sizeof("long") - 1) - 1


@builtin(most=1, called="signum")  # a slip of 3.13's, seen in one message only
def interrupt_main(signum: SupportsIndex = signal.SIGINT, /) -> None:
    """Have the Python handler of a signal run in the main thread.

    signum: the signal's number, SIGINT if not given.

    No signal is sent, but else all is as if one had arrived: the handler is scheduled, the
    descriptor of `signal.set_wakeup_fd` is written to, and a main thread that waits for a lock
    wakes to run the handler. Nothing happens if the signal is ignored or has its default
    action (`signal.SIG_IGN`, `signal.SIG_DFL`), or is not handled by Python.

    Raises ValueError if signum is no signal's number.
    """
    signum = int(operator.index(signum))
    if not -_MAX_LONG - 1 <= signum <= _MAX_LONG:
        raise OverflowError("Python int too large to convert to C long")
    if signum > _MAX_INT:
        raise OverflowError("signed integer is greater than maximum")
    if signum < -_MAX_INT - 1:
        raise OverflowError("signed integer is less than minimum")
    if not 1 <= signum < signal.NSIG:
        raise ValueError("signal number out of range")
    if not callable(signal.getsignal(signum)):
        return
    lib.lt_trip_signal(signum)
    lib.lt_main_interrupt()
