"""Where waits tell of themselves, if somebody wants to know: see _deadlock.py and _profile.py.

Of the arguments,

address: that of the `lt_lock` which is waited for; of an `lt_rlock` or `lt_handle`, its own.
kind: LT_FOR_LOCK, LT_FOR_RLOCK or LT_FOR_THREAD.
since: when the wait began, as `lt_now` tells it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Listener = Callable[[int, int, int], object]

#: The function that looks, if deadlocks are looked for.
lookers: list[Listener] = []

#: The function that keeps a profile, if there is one.
profilers: list[Listener] = []


def check(address: int, kind: int, since: int) -> None:
    """Have somebody look whether the calling thread's wait can end; it may raise, to end it."""
    for look in lookers[:1]:
        look(address, kind, since)


def note(address: int, kind: int, since: int) -> None:
    """Tell of the calling thread's wait, which is not short; while waits are recorded."""
    for keep in profilers[:1]:
        keep(address, kind, since)
