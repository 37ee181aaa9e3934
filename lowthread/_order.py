"""In which order locks are taken: `check_lock_order()`.

Locks that were created at one place are of one class, as for Linux' lockdep, since a program takes
them for the same reason. Who tries to take a lock, while it has others, notes that the class of
the one came after those of the others. If by other such notes it comes before, two threads that do
the one and the other at the same time would wait for each other. Locks of one class are told
apart one by one among each other.

What a thread has is what it has tried to take, and then is found to have taken: so nothing needs
to be done when a lock has been taken, or is released.
"""

from __future__ import annotations

import _thread as host
import os
from collections import deque, namedtuple
from sys import _getframe

from lowthread._builtin import unannotated
from lowthread._check import is_inside
from lowthread._hooks import is_of_library, report_or_raise
from lowthread._load import get_ident, lib
from lowthread._places import (
    calls_of,
    has,
    say_call,
    tell_no_more_of_taking,
    tell_of_taking,
    what_is_known_of,
)
from lowthread._reaction import check_reaction, react, report_with
from lowthread._state import Owner, name_of_lock, names_of_threads, say_lock, say_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any, Literal

    from lowthread._places import Call

# As in lowthread/_state.py.
# pyright: reportUntypedNamedTuple=false


class LockOrderError(RuntimeError):
    """A lock was to be taken in another order than elsewhere; see `check_lock_order`.

    It has not been taken. The message tells the locks and where both were done.
    """

    __module__ = "lowthread"


class LockOrder(namedtuple("LockOrder", "created threads text")):
    """Locks that are taken in different orders.

    created: a tuple of the places, each a str, where these locks were created: one is taken while
    the one before it is held, and the first while the last is.
    threads: a tuple of `Owner`, by whom each of these was done for the first time.
    text: what is printed of it, a str.
    """

    __slots__ = ()
    __module__ = "lowthread"


#: How many calls of a stack are kept.
MOST_CALLS = 30

#: Of how many of the locks that a thread has, the latest ones, it is noted that another came
#: after: where there are more, as in concurrent.futures.wait(), the rest follows from these notes.
MOST_HELD = 8

#: How many locks that it does not have any more are kept for a thread.
MOST_KEPT = 16

# Where a thread has tried to take a lock.
_Try = namedtuple("_Try", "made calls")

# One was tried to be taken while a thread had another.
_Step = namedtuple("_Step", "first then thread")

# How to react.
_reaction: Any = None

# By thread, in the order of the tries. Only its own thread changes one, and finds its own: that of
# one which has ended may have had the same identifier.
_tries: dict[int, list[_Try]] = {}
_mine: Any = host._local()

# Which came after which: by class, or by number where both are of one. Changed with `_changing`.
_steps: dict[Any, dict[Any, _Step]] = {}
_allocate_lock = host.allocate_lock  # before it can be ours
_changing = _allocate_lock()

# How many there may be before those of locks that are gone are taken out.
_PURGE_AT = _purge_at = 1024

# Classes of locks that are waited for by who has them, until another thread releases them.
_signals: set[Any] = set()

# What has been found, that it is told once.
_found: dict[frozenset[Any], object] = {}

# Who looks, and in which call.
_looking: dict[int, FrameType] = {}


def _after_fork_in_child() -> None:
    global _changing
    _changing = _allocate_lock()
    _looking.clear()
    for ident in list(_tries):
        if ident != lib.lt_ident():
            del _tries[ident]


os.register_at_fork(after_in_child=_after_fork_in_child)


@unannotated
def check_lock_order(
    on_inversion: Literal["report", "raise"] | Callable[[LockOrder], object] | None = "report",
) -> None:
    """Have locks that are created from now on tell when they are taken in different orders.

    That is before any thread has to wait for ever, and also if none ever does.

    on_inversion: "report" prints what was found to `sys.stderr`, once for the same locks. "raise"
    has the call that was about to take a lock, and found it, raise `LockOrderError`. A callable
    is called then, with a `LockOrder`; what it raises is raised. None: it is not looked at any
    more.

    Locks that were created at one place (see `trace_locks`) count as one, but among themselves. A
    `lock` that a thread waits for while it has it, as `threading.Condition` does, counts for
    nothing, and so do all that were created at that place.

    To try to take a lock, or for a limited time, is no waiting for ever, and told of nowhere.
    Nor is it told what a module of the standard library does with locks of its own, as `logging`.
    Taking a lock takes some microseconds more meanwhile, and so does making one. That a lock
    which is held all the time keeps others apart is not seen: it is told all the same.

    Raises ValueError for another word; TypeError for anything else.
    """
    global _reaction
    if on_inversion is None:
        tell_no_more_of_taking(_look)
        return
    check_reaction(on_inversion, "on_inversion", "'report', 'raise', a callable or None")
    _reaction = on_inversion
    report_with(LockOrderError, None)
    import traceback  # noqa: F401  # now, since the first import of a module takes locks

    tell_of_taking(_look)


def _look(taken: Any, may_wait: bool) -> None:
    me = get_ident()
    if is_inside(_looking, me):  # to look, or to tell, takes a lock
        return
    try:
        _looking[me] = _getframe()
        try:
            found = _find(me, taken, may_wait)
        except (RecursionError, MemoryError):
            raise
        except Exception as error:  # which is not the program's
            report_or_raise(error, "Exception ignored in check_lock_order()")
            return
        if found is not None:
            react(_reaction, found, LockOrderError)
    finally:
        _looking.pop(me, None)


def _find(me: int, taken: Any, may_wait: bool) -> LockOrder | None:
    made = what_is_known_of(taken)
    if made is None:
        return None
    if has(me, made.address, made.is_rlock):
        if may_wait and not made.is_rlock:
            _signals.add(made.place)
        return None
    tries = getattr(_mine, "tries", None)
    if tries is None:
        tries = _tries[me] = _mine.tries = []
    had = []
    for one in tries:
        # A strong reference for as long as it is looked at.
        other = one.made.ref()
        if other is None or other is taken:
            continue
        if has(me, one.made.address, one.made.is_rlock):
            had.append(one)
    this = _Try(made, calls_of(_getframe(2), MOST_CALLS))
    kept = [one for one in tries if one.made.number != made.number]
    tries[:] = [*(kept if len(kept) < MOST_KEPT else had), this]
    if not may_wait or made.place in _signals:
        return None
    news = [one for one in had[-MOST_HELD:] if _is_news(one, this)]
    return _note(me, news, this) if news else None


def is_noted_where() -> bool:
    """Return whether locks are asked, or were, where they are taken."""
    return _reaction is not None


def where_taken(ident: int, address: int) -> str | None:
    """Return where a thread took the lock at an address, if that was looked at."""
    for one in _tries.get(ident, ()):
        if one.made.address == address and one.made.ref() is not None and one.calls:
            return say_call(one.calls[0])
    return None


def _nodes(first: _Try, then: _Try) -> tuple[Any, Any]:
    one, other = first.made, then.made
    return (one.number, other.number) if one.place == other.place else (one.place, other.place)


def _is_news(first: _Try, then: _Try) -> bool:
    node, after = _nodes(first, then)
    return first.made.place not in _signals and after not in _steps.get(node, ())


def _note(me: int, before: list[_Try], this: _Try) -> LockOrder | None:
    thread = Owner(me, names_of_threads().get(me))
    # Not for ever: whoever is in there may be about to run a finalizer or a signal handler, which
    # waits for what this thread has. Then a note is lost, to be made another time.
    if not _changing.acquire(True, 1.0):
        return None
    found = None
    try:
        for first in before:
            node, after = _nodes(first, this)
            way = _way(after, node)
            _add(node, after, _Step(first, this, thread))
            if way is not None and found is None:
                found = [_steps[node][after], *way]
    finally:
        _changing.release()
    if found is None:
        return None
    places = {step.first.made.place for step in found}
    files = {place.call.file for place in places}
    if len(places) > 1 and len(files) == 1 and is_of_library(*files):
        return None  # as of `logging`, whose shutdown() has both orders: no program can help it
    mark = object()
    key = frozenset(places)
    if _found.setdefault(key, mark) is not mark:
        return None
    return LockOrder(
        tuple(say_call(step.first.made.place.call) for step in found),
        tuple(step.thread for step in found),
        "".join(_tell(found)),
    )


def _add(node: Any, after: Any, step: _Step) -> None:
    global _purge_at
    followers = _steps.setdefault(node, {})
    followers[after] = step
    # Locks of one class come and go. Those that are gone are in nobody's way.
    if type(node) is int and len(followers) % 64 == 0:
        _purge(node)
    if len(_steps) >= _purge_at:
        for number in [number for number in _steps if type(number) is int]:
            _purge(number)
        _purge_at = max(_PURGE_AT, 2 * len(_steps))


def _purge(number: int) -> None:
    followers = _steps[number]
    for gone in [n for n, step in followers.items() if step.then.made.ref() is None]:
        del followers[gone]
    if not followers or next(iter(followers.values())).first.made.ref() is None:
        del _steps[number]


def _way(begin: Any, end: Any) -> list[_Step] | None:
    """Return the steps that lead from one to another, the fewest there are."""
    came: dict[Any, tuple[Any, _Step] | None] = {begin: None}
    queue = deque([begin])
    while queue:
        node = queue.popleft()
        for after, step in _steps.get(node, {}).items():
            if after in came or step.then.made.place in _signals:
                continue
            came[after] = node, step
            if after == end:
                way: list[_Step] = []
                back = came[end]
                while back is not None:
                    way.append(back[1])
                    back = came[back[0]]
                return way[::-1]
            queue.append(after)
    return None


def _tell(steps: list[_Step]) -> Iterator[str]:
    yield (
        f"lowthread: {len(steps)} locks are taken in different orders; threads that do so at the "
        "same time may wait for each other for ever\n"
    )
    for first, then, thread in steps:
        yield f"Thread {say_thread(*thread)} took\n"
        yield from _tell_try(first)
        yield "  and, while it had that, took or was about to take\n"
        yield from _tell_try(then)


def _tell_try(one: _Try) -> Iterator[str]:
    import traceback

    made = one.made
    lock = say_lock("RLock" if made.is_rlock else "lock", made.address, name_of_lock(made.address))
    yield f"  {lock}, created in {say_call(made.place.call)}, (most recent call last):\n"
    calls: list[Call] = list(one.calls[::-1])
    for line in traceback.format_list([(*call, None) for call in calls]):
        yield line.replace("  File", "    File", 1).replace("\n    ", "\n      ")
