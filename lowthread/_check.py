"""Where locks and waits tell of themselves, if somebody wants to know.

See _deadlock.py, _profile.py and _order.py. Of the arguments,

address: that of the `lt_lock` which is waited for; of an `lt_rlock` or `lt_handle`, its own.
kind: LT_FOR_LOCK, LT_FOR_RLOCK or LT_FOR_THREAD.
since: when the wait began, as `lt_now` tells it.
"""

from __future__ import annotations

from sys import _getframe, is_finalizing

from lowthread._load import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from lowthread._ffi import WaitDone

    Listener = Callable[[int, int, int], object]

#: The functions that look at waits which last, such as for deadlocks, and after how many ns each
#: does for the first time; 0: after a second at most.
lookers: dict[Listener, int] = {}
_AFTER_AT_MOST = 1_000_000_000

#: The function that keeps a profile, if there is one.
profilers: list[Callable[[int, int, int, WaitDone | None], object]] = []

#: What C code has noted of waits that are over, or that a signal handler may end, if there is a
#: profile on CPython; and the function that takes it in, which a call that has looked at the first
#: and goes on to wait is not to keep.
noted_ends: list[dict[bytes, str]] = []
takers_of_ends: list[Callable[[], object]] = []

#: How much of that is much. It is looked for where the call of a function would take as long again
#: as to pass a lock to and fro.
MUCH = 1 << 8

#: The function that is told of each thread that is started: its ident, since when that is its own,
#: and what it is to call, if there is a profile on PyPy. On CPython, see native.note_ends.
beginners: list[Callable[[int, int, Callable[..., object]], object]] = []

#: The function that notes where locks are made, if that is noted.
makers: list[Callable[[Any], bool]] = []

#: The functions that are told before a lock is taken: in which order that is done, and for how
#: long, if somebody wants to know.
takers: list[Callable[[Any, bool], object]] = []


def look_after(look: Listener, ns: int | None) -> None:
    """Have waits without a timeout call `look` when they have lasted.

    And again when they have lasted for twice as long, and so on.

    ns: for how long, as in `lookers`; None: not any more.
    """
    if ns is None:
        lookers.pop(look, None)
    else:
        lookers[look] = ns
    after = max(lookers.values(), default=0)
    if 0 in lookers.values():
        after = after or _AFTER_AT_MOST
        while after > _AFTER_AT_MOST:  # such that the others have their time, too
            after //= 2
    lib.lt_check_after(after)


def check(address: int, kind: int, since: int) -> None:
    """Have somebody look whether the calling thread's wait can end; it may raise, to end it."""
    for look in [*lookers]:
        look(address, kind, since)


def note(address: int, kind: int, since: int, done: WaitDone | None = None) -> None:
    """Tell of the calling thread's wait, which is not short; while waits are recorded.

    done: what has been recorded, if it is over, and that is known.
    """
    if is_finalizing():  # what it takes may be gone
        return
    for keep in profilers[:1]:
        keep(address, kind, since, done)


def make_room() -> None:
    """Have what C code has noted taken in, before a wait that may add to it."""
    if not is_finalizing():
        for take_in in takers_of_ends[:1]:
            take_in()


def began(ident: int, when: int, function: Callable[..., object]) -> None:
    """Tell of a thread that the calling one has started."""
    for keep in beginners[:1]:
        keep(ident, when, function)


def made(lock: Any) -> bool:
    """Tell of a new lock; return whether it is to tell of each try to take it."""
    return any(keep(lock) for keep in makers[:1])


def taking(lock: Any, may_wait: bool) -> None:
    """Tell of a try to take a lock, which may wait for ever; it may raise, to end that."""
    for look in takers[:]:
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
