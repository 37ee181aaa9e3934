"""Where a wait that has lasted asks whether it can end; see lowthread/_deadlock.py."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: The function that looks, if deadlocks are looked for.
lookers: list[Callable[[int, int, int], None]] = []


def check(address: int, kind: int, since: int) -> None:
    """Have somebody look whether the calling thread's wait can end; it may raise, to end it.

    address: that of the `lt_lock` which is waited for; of an `lt_rlock` or `lt_handle`, its own.
    kind: LT_FOR_LOCK, LT_FOR_RLOCK or LT_FOR_THREAD.
    since: when the wait began, as `lt_now` tells it.
    """
    for look in lookers[:1]:
        look(address, kind, since)
