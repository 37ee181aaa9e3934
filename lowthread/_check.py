"""Where locks and waits tell of themselves, if somebody wants to know.

See _deadlock.py, _profile.py and _order.py. Of the arguments,

address: that of the `lt_lock` which is waited for; of an `lt_rlock` or `lt_handle`, its own.
kind: LT_FOR_LOCK, LT_FOR_RLOCK or LT_FOR_THREAD.
since: when the wait began, as `lt_now` tells it.
"""

from __future__ import annotations

from sys import _getframe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    Listener = Callable[[int, int, int], object]

#: The function that looks, if deadlocks are looked for.
lookers: list[Listener] = []

#: The function that keeps a profile, if there is one.
profilers: list[Listener] = []

#: The function that notes where locks are made, if that is noted.
makers: list[Callable[[Any], bool]] = []

#: The function that looks in which order locks are taken, if that is looked at.
takers: list[Callable[[Any, bool], object]] = []


def check(address: int, kind: int, since: int) -> None:
    """Have somebody look whether the calling thread's wait can end; it may raise, to end it."""
    for look in lookers[:1]:
        look(address, kind, since)


def note(address: int, kind: int, since: int) -> None:
    """Tell of the calling thread's wait, which is not short; while waits are recorded."""
    for keep in profilers[:1]:
        keep(address, kind, since)


def made(lock: Any) -> bool:
    """Tell of a new lock; return whether it is to tell of each try to take it."""
    return any(keep(lock) for keep in makers[:1])


def taking(lock: Any, may_wait: bool) -> None:
    """Tell of a try to take a lock, which may wait for ever; it may raise, to end that."""
    for look in takers[:1]:
        look(lock, may_wait)


def is_inside(frames: dict[int, FrameType], ident: int) -> bool:
    """Return whether the calling thread is in the call that it has noted there.

    Not if that was left by the exception of a signal handler, which may come between any two
    instructions, and so before the note is taken back.
    """
    noted = frames.get(ident)
    frame = _getframe(1) if noted is not None else None
    while frame is not None and frame is not noted:
        frame = frame.f_back
    return frame is not None
