"""Looks for deadlocks: threads of which each waits for what another, or itself, has.

There is no thread that watches. Whoever waits without a timeout looks for itself when the wait has
lasted for so long: of threads that wait for each other, the last one to begin finds the rest of
them waiting. Until then nobody does more than without it. Who waits for itself reads, for that,
the source of the functions that it is in.
"""

from __future__ import annotations

import os
import sys
from collections import namedtuple
from time import sleep

from lowthread._arguments import FOREVER
from lowthread._builtin import unannotated
from lowthread._check import is_inside, look_after
from lowthread._hooks import report_or_raise
from lowthread._interpreter import _get_main_thread_ident
from lowthread._load import ffi, lib, native
from lowthread._never import can_be_released_by_a_handler, is_last_thread
from lowthread._order import is_noted_where, where_taken
from lowthread._places import place_of_lock
from lowthread._reaction import check_reaction, is_taken_back, react, report_with
from lowthread._state import (
    KINDS,
    LOST,
    ROUGH,
    TO_BE_NOTIFIED,
    Owner,
    Wait,
    frames_of_others,
    holders_of,
    idents_of,
    is_lost,
    lines_of,
    name_of_lock,
    names_of_threads,
    owner_of,
    rough_stacks,
    say_lock,
    say_thread,
    seen_waits,
    summary_of,
)
from lowthread._taken import import_now, is_taken_again, is_to_be_notified, taken_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from traceback import StackSummary
    from types import FrameType
    from typing import Any, Literal, Optional

    # A thread's stack; where it took what it has, by address, if it has looked; and
    # whether it waits to be notified.
    Note = tuple[StackSummary, Optional[dict[int, str]], bool]

# As in lowthread/_state.py.
# pyright: reportUntypedNamedTuple=false


class DeadlockError(RuntimeError):
    """A wait would never end, as threads wait for each other, or one for itself.

    See `detect_deadlocks`.

    The wait is over without the lock. The message tells the threads and the locks.
    """

    __module__ = "lowthread"


class Deadlock(namedtuple("Deadlock", "is_certain threads text")):
    """Threads that wait for each other, one that waits for itself, or all of a process, waiting.

    is_certain: true if nobody else can end that. False if a `lock` is among what they wait for:
    any thread may release one, though it was taken by one of these.
    threads: a tuple of `Owner`, each waiting for the next, and the last for the first; or all of
    them, if there is nobody who could end any of their waits.
    text: what is printed of it, a str.
    """

    __slots__ = ()
    __module__ = "lowthread"


# How to react; None while nobody looks.
_reaction: Any = None

# How long a wait lasts before it looks, in ns.
_after = 0

# What has been found, that it is told once: by the waits, and by whom.
_found: dict[frozenset[tuple[int, int]], object] = {}

# By thread: since when it waits, and when it is to look again.
_next_looks: dict[int, tuple[int, int]] = {}

# Where nobody can look into the frames of others, by thread: since when it waits, and what it
# noted in its last look.
_notes: dict[int, tuple[int, Note]] = {}

# By thread: since when it waits for what it took itself, by a `with` statement that it is in.
_again: dict[int, int] = {}

# Who looks, and in which call.
_looking: dict[int, FrameType] = {}

# Those of them that have not found anything yet, and for what they wait.
_finding: dict[int, Wait] = {}

# For how long, in ns, who looks lets others do so first; how long it sleeps for each, in seconds,
# and for how many at most; and how often it looks then.
_PATIENCE = 2_000_000_000
_PAUSE = 0.005
_PAUSES = 10
_TRIES = 2


def _after_fork_in_child() -> None:
    _looking.clear()
    _finding.clear()
    _next_looks.clear()
    _notes.clear()
    _again.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)


@unannotated
def detect_deadlocks(
    after: float | None = 1.0,
    on_deadlock: Literal["report", "raise"] | Callable[[Deadlock], object] = "report",
) -> None:
    """Have waits without a timeout look whether they can end, when they have lasted.

    after: the seconds after which they look, an int or a float; None: they do not any more.
    on_deadlock: "report" prints what was found to `sys.stderr`, once. "raise" ends one of the
    waits, that of the thread which has found it, with `DeadlockError`, also where it is not
    certain (see `Deadlock`); but where a `threading.Condition` takes back its lock after a wait,
    which is reported, since whoever called `wait` is going to release that, and the next thread
    that finds it raises. A callable is called in that thread with a `Deadlock`; what it raises
    ends the wait.

    Found are threads that wait for each other, for locks or to join each other, and that all
    threads of the process wait without a timeout, if it has no others than Python's and the main
    thread no signal handlers that could end its wait. The latter on Linux only. Waits that had
    begun before this was called are found, but do not look.

    A thread that waits for a `lock` which it took itself is found if it looks, and is in the body
    of a `with` statement of the lock, or of its `threading.Condition`, as the source tells. Others
    are not: so do `Condition`, `Event`, `Semaphore`, `Barrier` and `queue.Queue` wait.

    Raises ValueError for a time that is not positive or another word; TypeError for anything else.
    """
    global _reaction, _after
    if after is None:
        look_after(_look, None)
        return
    if not isinstance(after, (int, float)):
        raise TypeError(f"after must be a number of seconds or None, not {type(after).__name__}")
    if not 0 < after < 1e9:
        raise ValueError(f"after must be a positive number of seconds, not {after!r}")
    check_reaction(on_deadlock, "on_deadlock", "'report', 'raise' or a callable")
    _reaction = on_deadlock
    report_with(DeadlockError, None)
    # Now, since the first import of a module takes locks.
    import traceback  # noqa: F401

    import_now()
    _after = max(1, int(after * 1e9))
    look_after(_look, _after)


def _look(address: int, kind: int, since: int) -> None:
    me, now = lib.lt_ident(), lib.lt_now()
    if is_inside(_looking, me):  # to look, or to tell, takes a lock
        return
    if now - since < _after * 15 // 16:  # it is asked for others, too
        return
    known = _next_looks.get(me)
    if known is not None and known[0] == since and now < known[1]:
        return  # the main thread is asked more often, as it looks for signals too
    _next_looks[me] = since, now + max(now - since, _after) * 15 // 16
    mine = Wait(address, me, 0, 0, kind, since, FOREVER, 0)
    try:
        _looking[me] = sys._getframe()
        _finding[me] = mine
        found, tries = _without_fail(_find, me, mine, now), 0
        is_worth_more = not native  # there each has to note its stack, also who looks first
        while found is None and tries < _TRIES:
            before = _without_fail(_others_first, me, mine, now)
            is_worth_more = is_worth_more or before is not None
            if not is_worth_more:
                break
            sleep(_PAUSE * min(1 + (before or 0), _PAUSES))
            if not before:
                tries += 1
                found = _without_fail(_find, me, mine, now)
        _finding.pop(me, None)
        if found is not None:
            react(_reaction, found, DeadlockError)
    finally:
        _finding.pop(me, None)
        _looking.pop(me, None)


def _without_fail(look: Callable[..., Any], *args: object) -> Any:
    """Return what it returns, or None: what it finds in a program must not end a wait."""
    try:
        return look(*args)
    except Exception as error:
        report_or_raise(error, "Exception ignored in detect_deadlocks()")
        return None


class _Graph:
    """Who waits without a timeout for whom."""

    def __init__(self, me: int, mine: Wait, others: Iterable[Wait] = ()) -> None:
        waits = [*seen_waits(), *map(_as_seen, others), _as_seen(mine)]
        # Who waits for what nobody has is about to get it.
        self.waits = {
            w.waiter: w for w in waits if w.deadline >= FOREVER - 1 and w.word & lib.LT_HELD
        }
        self.idents = idents_of(self.waits.values())
        self.holders = holders_of(self.idents)

    def owner(self, ident: int) -> int | None:
        return owner_of(self.waits[ident], self.holders)

    def since(self, ident: int) -> int | None:
        return self.waits[ident].since if ident in self.waits else None

    def path(self, me: int) -> tuple[list[int], int | None]:
        """Return `me`, whom that one waits for, and so on; and who in there the last waits for."""
        path = [me]
        while path[-1] in self.waits:
            owner = self.owner(path[-1])
            if owner is None or owner in path:
                return path, owner
            path.append(owner)
        return path, None

    def is_again(self, ident: int) -> bool:
        """Return whether one waits for itself, and not as a `Condition` does."""
        return ident in _again and _again[ident] == self.since(ident)

    def is_in_one(self, ident: int) -> bool:
        threads, end = self.path(ident)
        return end == ident and (len(threads) > 1 or self.is_again(ident))

    def all_threads(self) -> list[int] | None:
        """Return all threads, if there is none that could end any of their waits."""
        if self.idents != self.waits.keys() or lib.lt_thread_count() != len(self.idents):
            return None
        main = _get_main_thread_ident()
        if main in self.waits and can_be_released_by_a_handler():
            return None
        return sorted(self.idents, key=lambda ident: ident != main)


def _as_seen(mine: Wait) -> Wait:
    """Return a wait that is not in the queue while its thread looks, as if it was."""
    word = owner = 0
    if mine.kind == lib.LT_FOR_THREAD:
        handle = ffi.cast("lt_handle *", mine.lock)
        owner = lib.lt_handle_ident(handle)
        word = 0 if lib.lt_handle_is_done(handle) else lib.LT_HELD
    else:
        word = lib.lt_lock_word(ffi.cast("lt_lock *", mine.lock))
    if mine.kind == lib.LT_FOR_RLOCK:
        owner = lib.lt_rlock_owner(ffi.cast("lt_rlock *", mine.lock))
    return mine._replace(owner=owner, word=word)


def _may_be_in_one(me: int, mine: Wait, frame: FrameType) -> bool:
    """Return whether it is worth to look, without much ado: most waits are for a `Condition`."""
    seen = _as_seen(mine)
    if seen.owner or seen.word & lib.LT_HOLDER != lib.lt_holder_of(me):
        return True
    if is_taken_again(frame, mine.lock):
        _again[me] = mine.since
        return True
    count: int = lib.lt_thread_count()
    if not lib.lt_waits(ffi.NULL, 0) + len(_finding) >= count > 0:
        return False
    # One may have begun to look in between.
    waiting = {wait.waiter for wait in seen_waits()}
    return len(waiting.union(_finding.copy())) >= count


def _stuck(graph: _Graph, me: int) -> tuple[list[int], bool] | None:
    """Return threads that cannot go on, of which the caller is one, and whether in a cycle."""
    threads, end = graph.path(me)
    if end is not None and (end != threads[-1] or graph.is_again(end)):
        # Else it waits for those that are in one, who will tell.
        return (threads, True) if end == me else None
    all_threads = graph.all_threads() if me in graph.waits else None
    if all_threads is None or any(map(graph.is_in_one, all_threads)):
        return None
    return all_threads, False


def _others_first(me: int, mine: Wait, now: int) -> int | None:
    """Return how many others, that began to wait before, are to look first; None if it is in vain.

    Who looks is in no queue, and threads that began to wait at one time look at one time. To look
    again is in vain but where there is a deadlock if those that look are about to wait again.
    """
    others = [wait for ident, wait in _finding.copy().items() if ident != me]
    if not others or not _may_be_in_one(me, mine, sys._getframe()):
        return None
    if _stuck(_Graph(me, mine, others), me) is None:
        return None
    if lib.lt_now() - now >= _PATIENCE:
        return 0
    return sum((wait.since, wait.waiter) < (mine.since, me) for wait in others)


def _find(me: int, mine: Wait, now: int) -> Deadlock | None:
    frame = sys._getframe(1)
    may_be = not is_last_thread() and _may_be_in_one(me, mine, frame)
    if not native:
        _note_own(me, mine, frame, may_be)
    if not may_be:
        return None
    once = _Graph(me, mine)
    found = _stuck(once, me)
    if found is None:
        return None
    threads, is_cycle = found
    # What was seen of two locks need not have been so at one time. Who waits the same wait both
    # times has not taken or released anything in between: then it was, between the two looks.
    # And if there was nobody else at the first look, nobody has released anything since.
    again = _Graph(me, mine)
    waits = [once.waits[ident] for ident in threads]
    is_so = not is_cycle or again.path(me) == (threads, me)
    if not is_so or any(again.since(wait.waiter) != wait.since for wait in waits):
        return None
    notes = _notes_of(waits)
    last, who = max((wait.since, wait.waiter) for wait in waits)
    is_before = mine.since < last and _next_looks.get(who, (0, 0))[0] != last
    if now - last < 2 * _after and (is_before or len(notes) < len(waits)):
        return None  # who began last is about to look, or the others have not yet
    if not _is_news(waits):
        return None
    return _report(once, waits, notes, is_cycle)


def _is_news(waits: list[Wait]) -> bool:
    mark = object()
    key = frozenset((w.waiter, w.since) for w in waits)
    if _reaction == "raise" and is_taken_back():  # it is told, and another one is to raise
        key |= {(0, 0)}
    return _found.setdefault(key, mark) is mark


def _report(
    graph: _Graph,
    waits: list[Wait],
    notes: dict[int, Note],
    is_cycle: bool,
) -> Deadlock:
    names = names_of_threads()
    threads = [wait.waiter for wait in waits]
    may_be_interrupted = _get_main_thread_ident() in threads and can_be_released_by_a_handler()
    is_certain = not is_cycle or (
        all(w.kind != lib.LT_FOR_LOCK for w in waits) and not may_be_interrupted
    )
    owners = {ident: graph.owner(ident) for ident in threads}
    return Deadlock(
        is_certain,
        tuple(Owner(ident, names.get(ident)) for ident in threads),
        "".join(_tell(waits, owners, names, notes, is_cycle, is_certain)),
    )


def _note_of(frame: FrameType, lock: int, is_whole: bool = True) -> Note:
    taken = taken_in(frame, lock) if is_whole else None
    return summary_of(frame), taken, is_to_be_notified(frame)


def _note_own(me: int, mine: Wait, frame: FrameType, may_be: bool) -> None:
    """Note the caller's stack, once for each wait.

    may_be: whether its wait alone may be in a deadlock. If not, all threads may yet be found to
    wait, and this be the last look for long; but to look for what it has takes long.
    """
    since, note = _notes.get(me, (None, None))
    if note is None or since != mine.since or (may_be and note[1] is None):
        _notes[me] = mine.since, _note_of(frame, mine.lock, may_be)


def _notes_of(waits: list[Wait]) -> dict[int, Note]:
    """Return of who waits what is known of their stacks."""
    if native:
        frames, found = frames_of_others(), {}
        for w in waits:
            if w.waiter == lib.lt_ident():
                found[w.waiter] = _note_of(sys._getframe(), w.lock)
            elif w.waiter in frames:
                found[w.waiter] = _note_of(frames[w.waiter], w.lock)
        return found
    notes = {w.waiter: _notes.get(w.waiter) for w in waits}
    return {w.waiter: n[1] for w in waits for n in [notes[w.waiter]] if n and n[0] == w.since}


def _heading(count: int, is_cycle: bool, is_certain: bool) -> str:
    if not is_cycle:
        who = "the only thread waits" if count == 1 else f"all {count} threads wait"
        return f"lowthread: {who} for ever\n"
    if is_certain:
        return f"lowthread: found a deadlock: {count} threads wait for each other\n"
    what, who = f"{count} threads wait for each other", "one of these"
    if count == 1:
        what, who = "a thread waits for itself", "it"
    return (
        f"lowthread: found what looks like a deadlock: {what} "
        f"(unless another thread, or a signal handler, releases what {who} took)\n"
    )


def _tell(
    waits: list[Wait],
    owners: dict[int, int | None],
    names: dict[int, str],
    notes: dict[int, Note],
    is_cycle: bool,
    is_certain: bool,
) -> Iterator[str]:
    count = len(waits)
    rough = rough_stacks() if len(notes) < count else {}
    yield _heading(count, is_cycle, is_certain)
    is_hint_due = False
    for wait in waits:
        owner = owners[wait.waiter]
        lock = say_lock(KINDS[wait.kind], wait.lock, name_of_lock(wait.lock))
        yield f"  thread {say_thread(wait.waiter, names.get(wait.waiter))} waits for {lock}"
        if owner is not None:
            verb = {"lock": "taken by", "RLock": "held by", "thread": "that is"}[KINDS[wait.kind]]
            thread = f"thread {say_thread(owner, names.get(owner))}"
            yield f", {verb} {'itself' if owner == wait.waiter else thread}"
            noted = where_taken(owner, wait.lock)
            _, taken, is_notified = notes.get(owner, (None, None, False))
            place = f" in {noted}" if noted else (taken or {}).get(wait.lock, "")
            is_probable = not place.startswith(" in")
            if owner == wait.waiter and is_notified:  # of where, nothing need be guessed
                place = ("" if is_probable else place) + TO_BE_NOTIFIED
            yield place
            if is_probable and is_cycle and wait.kind != lib.LT_FOR_THREAD:
                is_hint_due = not is_noted_where()
        elif is_lost(wait):
            yield f", {LOST}"
        yield "\n"
        made = place_of_lock(wait.lock)
        yield f"    created in {made}\n" if made else ""
    if is_hint_due:
        yield "  (--lock-order, or check_lock_order(), has it noted where locks are taken)\n"
    for wait in waits:
        yield f"Thread {say_thread(wait.waiter, names.get(wait.waiter))}"
        if wait.waiter in notes:
            yield " (most recent call last):\n"
            yield from lines_of(notes[wait.waiter][0])
        elif wait.waiter in rough:
            yield ROUGH
            yield from rough[wait.waiter]
        else:
            yield ": its stack is not known\n"
