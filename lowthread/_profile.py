"""Where a program waits for locks: `profile()` and `--profile`.

The core writes down each wait that is over (csrc/lt_record.h), and who goes on waiting notes where
it is; both only while there is a profile, and neither where nobody has to wait. What was written
is taken in from time to time, by who waits just then.
"""

from __future__ import annotations

import _thread as host
import os
import sys
from bisect import bisect, insort
from collections import deque, namedtuple
from operator import attrgetter
from types import FunctionType, MethodType

from lowthread._builtin import unannotated
from lowthread._check import beginners, is_inside, noted_ends, profilers, takers_of_ends
from lowthread._holds import MOST_HOLDS, Holds, ProfileHold, ProfileHoldPlace
from lowthread._hooks import HERE, is_start, report_or_raise
from lowthread._load import PYPY, ffi, lib, native
from lowthread._load import get_ident as _ident
from lowthread._places import tell_no_more_of_taking, tell_of_taking
from lowthread._state import (
    KINDS,
    frames_of_others,
    idents_of,
    name_of_lock,
    name_of_started,
    name_of_thread,
    names_of_locks,
    names_of_threads,
    say_lock,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType, TracebackType
    from typing import Any

    from lowthread._ffi import WaitDone

# As in lowthread/_state.py.
# pyright: reportUntypedNamedTuple=false


class ProfileWait(
    namedtuple(
        "ProfileWait",
        "ident thread lock kind name begin end taken owner owner_place place",
    )
):
    """A wait.

    ident, thread: of whom: identifier, and what `threading` calls it or a number.
    lock, kind, name: for what: address, "lock", "RLock" or "thread", and its name or None.
    begin, end: floats, in seconds on the monotonic clock.
    taken: false if it was given up, after a timeout or for a signal handler's exception.
    owner: who had it when the wait began, like `thread`, or None if that is not known, or was
    nobody but the waiter: one that is to be notified, as by a `threading.Condition` or what has
    one, waits for a lock which it has itself. Of one that ended before its name was asked for it
    is the name that it had when it was started; or that of who has its identifier since, if it had
    ended before the wait began, or before if the interpreter's own `_thread` started it.
    owner_place: where that one was then, or None.
    place: the index of the place where it waited, in `Profile.places`.
    """

    __slots__ = ()
    __module__ = "lowthread"


class ProfilePlace(
    namedtuple("ProfilePlace", "where stack lock waits total median p99 worst owners is_contended")
):
    """A place in the program where there were waits.

    where: the last call that is not in `threading`, `queue` and the like, a str.
    stack: the calls that led there most often, the last one last, a tuple of str.
    lock: what was waited for, a str.
    waits: how many there were.
    total, median, p99, worst: of their lengths, in seconds; median and p99 within 3 percent.
    owners: a tuple of (thread, place or None, number of waits, their total), of those who had what
    was waited for.
    is_contended: false if that was, for most of the total, to be notified (see
    `ProfileWait.owner`) or that a thread ends: then it need not mean that anything is slow.
    """

    __slots__ = ()
    __module__ = "lowthread"


#: How many waits the core has room for until somebody takes them in, and when one does.
ROOM = 1 << 16
TAKEN_AT = 1 << 12

#: After how many notes somebody looks whether it is time for that.
MOST_NOTES = 256

#: Waits that end sooner, in ns, are counted and not told of: that would take longer than they do.
#: Longer than a thread stays awake to see whether the wait ends.
SHORTEST = 50_000

#: After how many ns a wait that goes on is noted, and where the owner is then; one that ends
#: before is noted at its end. Later, if waits for the same have been shorter: lt_record_note_at().
#: On PyPy, to be woken is to wait for the GIL, as others do already.
NOTED_AFTER = 50_000_000 if PYPY else SHORTEST

# Longer than it takes to take waits in, in seconds: who does may have been left by the exception
# of a signal handler, at a time when it cannot let others.
_PATIENCE = 10.0

#: How many waits are kept one by one; the rest is in the sums only.
MOST_WAITS = 200_000

#: Owners that are told apart at a place, and names that are known of who had one ident in turn, as
#: of a server's threads for each request.
MOST_OWNERS = 1 << 12
MOST_NAMES = 1 << 10
_OTHERS, _NOT_KNOWN = "others", "not known"

#: Calls of a stack that are kept; and of one that is to tell where a lock was taken.
MOST_CALLS = 48
MOST_CALLS_OF_HOLD = 6

# Of the interpreter's own, since to wait for ours is what is told of here.
_one = host.allocate_lock()

# The profile that is told of locks being taken, if there is one.
_timed: list[Profile] = []


def _after_fork_in_child() -> None:
    global _one
    _one = host.allocate_lock()
    hear_nothing()
    for profile in _timed[:]:
        profile._hear_no_more()


os.register_at_fork(after_in_child=_after_fork_in_child)


def hear_nothing() -> None:
    profilers.clear()
    noted_ends.clear()
    takers_of_ends.clear()
    beginners.clear()
    if native:
        native.note_ends(None)


# Of what has not been noted.
_SOMEWHERE = f"somewhere (in native code{', or a main thread' if PYPY else ''})"

# Who waits for others: where a wait is told of is who called them.
_THREADING = os.sep + "threading.py"
_THROUGH = (
    _THREADING,
    os.sep + "queue.py",
    os.path.join("concurrent", "futures", "_base.py"),
    os.path.join("concurrent", "futures", "thread.py"),
    "<frozen importlib._bootstrap>",
    "<frozen importlib._bootstrap_external>",
)

_now = lib.lt_now


class _Sums:
    """Of the waits at one place."""

    def __init__(self) -> None:
        self.count = self.total = self.worst = 0
        self.contended = 0  # of the total
        self.lengths: dict[int, int] = {}
        self.stacks: dict[Any, list[int]] = {}
        self.owners: dict[Any, list[int]] = {}
        self.locks: dict[tuple[str, int], str | None] = {}  # their names; two are several
        self.kinds: set[str] = set()

    def add(self, ns: int) -> None:
        self.count += 1
        self.total += ns
        self.worst = max(self.worst, ns)
        step = _step(ns)
        self.lengths[step] = self.lengths.get(step, 0) + 1

    def quantile(self, part: float) -> float:
        wanted = part * self.count
        for step in sorted(self.lengths):
            wanted -= self.lengths[step]
            if wanted <= 0:
                return min(_length(step), self.worst)
        return self.worst

    def seconds(self) -> tuple[float, float, float, float]:
        """Return total, median, p99 and worst."""
        found = self.total, self.quantile(0.5), self.quantile(0.99), self.worst
        return tuple(ns / 1e9 for ns in found)  # type: ignore[return-value]

    def add_lock(self, kind: str, address: int, name: str | None) -> None:
        self.kinds.add(kind)
        if len(self.locks) < 2:
            lock = kind, address
            self.locks[lock] = name or self.locks.get(lock)

    def lock(self) -> str:
        [(lock, name), *others] = self.locks.items()
        if others:
            return f"several of kind {' and '.join(sorted(self.kinds))}"
        return say_lock(*lock, name)


def _step(ns: int) -> int:
    """Return on which of the steps a length is, of which each is 1/16 of a power of two wide."""
    bits = max(ns.bit_length() - 5, 0)
    return (bits << 5) + (ns >> bits)


def _length(step: int) -> float:
    bits, rest = step >> 5, step & 31
    return (rest + 0.5) * (1 << bits) if bits else rest


@unannotated
class Profile:
    """A profile of the waits for locks, made by `profile`."""

    __module__ = "lowthread"

    def __init__(self, file: Any = None, holds: bool = False) -> None:
        self._file = None
        if file is not None:
            _saver(os.fspath(file))
            _refuse_unwritable(os.fspath(file))  # before there is a profile to be lost
            self._file = os.path.abspath(file)  # the program may go to another folder
        self.command = " ".join(getattr(sys, "argv", None) or [""])
        self.begin = self.end = _now() / 1e9
        self.waits: list[ProfileWait] = []
        self.places: list[ProfilePlace] = []
        self.holds: list[ProfileHold] = []
        self.hold_places: list[ProfileHoldPlace] = []
        self.dropped = self.omitted = self.holds_omitted = self.short = 0
        self.short_total = 0.0
        self._has_begun = self._is_running = self._has_ended = False
        # What who takes in waits has, and the calls which do: see _alone().
        self._taking: Any = host.RLock()  # checkers do not know its _is_owned
        self._takers: dict[int, FrameType] = {}
        self._pid = os.getpid()
        self._begun: dict[tuple[int, int], Any] = {}
        self._unfinished: dict[tuple[int, int], Any] = {}
        self._codes: dict[int, CodeType] = {}
        self._is_ours: dict[int, bool | None] = {}  # None: no call before it is the program's
        self._names: dict[int, list[tuple[int, str]]] = {}  # since when it is known, and which
        self._started: dict[int, list[int]] = {}  # when there was one with that ident
        self._idents: set[int] = set()  # those whose bits are known
        self._by_bits: dict[int, int | None] = {}
        self._index: dict[Any, int] = {}
        self._sums: list[_Sums] = []
        self._wheres: list[str] = []
        self._busy: dict[int, FrameType] = {}
        self._next_look = 0  # at others' frames
        self._notes = 0  # since somebody looked how many waits there are to take in
        self._late: deque[tuple[tuple[int, int], Any, bool]] = deque()
        self._ends: dict[bytes, str] = {}  # see native.note_ends
        self._starts: list[str] = []  # and there
        self._early: dict[tuple[int, int], Any] = {}  # what that has of waits that were not over
        self._rows: deque[tuple[int, ...]] = deque()  # taken out of the record
        self._holds = Holds(self._add_hold) if holds else None
        self._hold_sums: dict[str, _Sums] = {}
        self._held_at: dict[tuple[int, ...], str] = {}
        self._buffer = ffi.new("lt_wait_done[]", TAKEN_AT)
        self._lost = ffi.new("size_t[]", 1)

    def __enter__(self) -> Profile:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin. Raises RuntimeError if that was done, or another one has not ended."""
        if self._has_begun:
            raise RuntimeError("a profile can be begun once")
        if not _one.acquire(False):
            raise RuntimeError("there can be one profile at a time")
        if not lib.lt_record_from_now(ROOM, SHORTEST, NOTED_AFTER, self._holds is not None):
            _one.release()
            raise MemoryError
        self._has_begun = self._is_running = True
        self.begin = _now() / 1e9
        self._learn_names()
        profilers[:] = [self._note]
        if native:
            ends, types = self._ends, (MethodType, FunctionType)
            known = sys.modules, names_of_locks, self._starts
            native.note_ends((self._codes, ends, self._make_room, *known, *types))
            noted_ends[:], takers_of_ends[:] = [ends], [self._make_room]
        else:
            beginners[:] = [self._note_start]
        if self._holds is not None:
            _timed[:] = [self]
            tell_of_taking(self._note_taking, is_timed=True)

    def stop(self) -> None:
        """End; write the file, if there is to be one. Nothing if that was done, or not begun."""
        if not self._is_running or self._pid != os.getpid():  # in a child there is none
            return
        self._is_running = False
        hear_nothing()
        if self._holds is not None:
            self._hear_no_more()
        try:
            self._alone(self._take_last, _PATIENCE)
        finally:
            lib.lt_record_end()
            _one.release()
        self._has_ended = True
        self.end = _now() / 1e9
        unfinished = [(key, done, False) for key, done in self._unfinished.items()]
        for key, done, taken in (*self._late, *unfinished):
            self._add(key, done, taken)
        self._late.clear()
        self._unfinished.clear()
        self._begun.clear()
        self._early.clear()
        self._finish()
        if self._file is not None:
            self.save(self._file)

    def _take_last(self) -> None:
        self._take()
        if self._holds is not None:
            now = _now()
            if PYPY:  # locks that are gone are held by nobody, and have not been seen to go
                import gc

                gc.collect()
            self._holds.end(now)
        numbers = ffi.new("int64_t[]", 2)
        lib.lt_record_short(numbers)
        self.short, self.short_total = numbers[0], numbers[1] / 1e9

    def _hear_no_more(self) -> None:
        _timed.clear()
        tell_no_more_of_taking(self._note_taking)

    # ---- while it runs ----

    def _learn_names(self) -> None:
        now = _now()
        for ident, name in names_of_threads().items():
            self._note_name(ident, name, now)
        for ident in idents_of(()):
            self._learn_bits(ident)

    def _learn_bits(self, ident: int) -> None:
        if ident not in self._idents:  # on PyPy, to ask the core is to give up the GIL
            self._by_bits[lib.lt_holder_of(ident)] = ident
            self._idents.add(ident)

    def _learn_name(self, ident: int) -> str | None:
        """Learn and return a thread's name: each time, as another one may have had its ident."""
        if ident not in self._idents:
            self._learn_bits(ident)
        name = name_of_thread(ident)
        known = self._names.get(ident)
        if name is not None and not (known and known[-1][1] == name):
            now = _now()
            if name_of_thread(ident) == name:  # and not of one that has ended meanwhile
                self._note_name(ident, name, now)
        return name

    def _note_start(self, ident: int, when: int, function: Callable[..., object]) -> None:
        """Note what a thread is called that was started, to call a function."""
        try:
            self._starts.append(f"{ident} {when} {name_of_started(function) or _NAMELESS}")
            if len(self._starts) >= MOST_NOTES:
                self._take_if_nobody_does()
        except Exception as error:  # which is not to hide that it was
            report_or_raise(error, "Exception ignored in a profile")

    def _take_starts(self) -> None:
        """Take in which threads were started, and with what names; one thread at a time."""
        starts = self._starts[:]
        del self._starts[: len(starts)]  # not those that others add meanwhile
        for start in starts:
            said = start.split(" ", 2)
            ident, when, name = int(said[0]), int(said[1]), said[2]
            self._learn_bits(ident)
            names = self._names.get(ident)
            if names is None:  # until then it was another one's
                names = self._names.setdefault(ident, [(0, _NAMELESS)])
            insort(names, (when, name))
            del names[:-MOST_NAMES]
            times = self._started.setdefault(ident, [])
            insort(times, when)
            del times[:-MOST_NAMES]

    def _is_started(self, ident: int, after: int, until: int) -> bool:
        """Return whether a thread was started that has an ident, at a time between these."""
        times = self._started.get(ident, ())
        index = bisect(times, after)
        return index < len(times) and times[index] <= until

    def _note_name(self, ident: int, name: str, at: int) -> None:
        names = self._names.get(ident)
        if names is None:
            names = self._names.setdefault(ident, [])
        if self._noted_name(ident, at) != name:
            insort(names, (at, name))
            del names[:-MOST_NAMES]

    def _name(self, ident: int, at: int) -> str | None:
        """Return what a thread was called at a time, if it is known which one that was."""
        return self._noted_name(ident, at) or None

    def _noted_name(self, ident: int, at: int) -> str | None:
        names = self._names.get(ident, ())
        index = bisect(names, (at, _LAST_NAME))
        if index:
            return names[index - 1][1]
        return names[0][1] if len(names) == 1 else None

    def _calls(self, frame: FrameType | None, most: int) -> tuple[int, ...]:
        calls: list[int] = []
        is_ours = self._is_ours
        while frame is not None and most:
            code = frame.f_code
            number = id(code)
            if number not in is_ours:
                self._learn_code(number, code)
            whose = is_ours[number]
            if whose is None:
                break
            if not whose:
                calls += (number, frame.f_lasti)
                most -= 1
            frame = frame.f_back
        return tuple(calls)

    def _learn_code(self, number: int, code: CodeType) -> None:
        self._codes[number] = code
        file = code.co_filename
        # Last: another thread may look for the same.
        self._is_ours[number] = None if is_start(file, code.co_name) else file.startswith(HERE)

    def _note(self, address: int, kind: int, since: int, done: WaitDone | None) -> None:
        """Note where the calling thread is, and who has what it waits for; once for each wait."""
        if done is not None:
            me, owner = done.waiter, done.owner
            bits = done.word & lib.LT_HOLDER if kind == lib.LT_FOR_LOCK else 0
        else:
            noted = ffi.new("lt_noted *")
            lib.lt_note(address, kind, noted)
            me, owner, bits = noted.waiter, noted.owner, noted.owner_bits
        # To note it, or what a finalizer does meanwhile, may have to wait.
        if (me in self._busy and is_inside(self._busy, me)) or (me, since) in self._begun:
            return
        try:
            self._busy[me] = sys._getframe()
            calls = self._calls(sys._getframe(1), MOST_CALLS)
            my_name = self._learn_name(me)
            had_by = self._owner(owner, bits)
            if had_by == me:
                had_by = None  # the wait is over; who had it is in the record
            place = self._call_of(had_by) if had_by else None
            names = name_of_lock(address), my_name, self._learn_name(had_by) if had_by else None
            # On PyPy, to ask what time it is is to let others have the GIL, and wait for it.
            asked = done.until if done is not None and PYPY else _now()
            self._begun[me, since] = calls, had_by, place, names, asked
            if self._is_much_recorded():
                self._take_if_nobody_does()
        except Exception as error:  # which is not to end the wait
            report_or_raise(error, "Exception ignored in a profile")
        finally:
            self._busy.pop(me, None)

    def _call_of(self, ident: int) -> tuple[int, ...] | None:
        """Return in which call a thread is, if it is time to look at others' frames."""
        if not native:
            return None
        begin = _now()
        if begin < self._next_look:
            return None
        call = self._calls(frames_of_others().get(ident), 1)
        # It costs the more, the more threads there are.
        now = _now()
        self._next_look = now + 20 * (now - begin)
        return call

    def _note_taking(self, lock: Any, _: bool) -> None:
        """Note where the calling thread is about to take a lock."""
        me = _ident()
        if self._holds is None or is_inside(self._busy, me):
            return
        try:
            self._busy[me] = sys._getframe()
            calls = self._calls(sys._getframe(), MOST_CALLS_OF_HOLD)
            if calls and self._codes[calls[0]].co_name == "_set_tstate_lock":
                return  # of threading before 3.13: what a thread holds for as long as it lives
            self._learn_name(me)
            if self._holds.note(me, lock, calls) or self._is_much_recorded():
                self._take_if_nobody_does()
        except Exception as error:  # which is not to have it not taken
            report_or_raise(error, "Exception ignored in a profile")
        finally:
            self._busy.pop(me, None)

    def _is_much_recorded(self) -> bool:
        """Return whether it is time to take in waits, looking for it now and then."""
        self._notes += 1
        if self._notes < MOST_NOTES:
            return False
        self._notes = 0
        return lib.lt_recorded() >= TAKEN_AT

    def _alone(self, do: Callable[[], Any], patience: float) -> Any:
        """Return what `do` does, which one thread does at a time, or None.

        patience: how long to wait for another one to be through, in seconds.
        """
        me = _ident()
        if is_inside(self._takers, me):  # and this is a finalizer's or signal handler's
            return None
        try:
            self._takers[me] = sys._getframe()
            return do() if self._taking.acquire(timeout=patience) else None
        finally:
            try:
                self._takers.pop(me, None)
            finally:
                while self._taking._is_owned():  # more often if a handler has raised just here
                    self._taking.release()

    def _take_if_nobody_does(self) -> None:
        self._alone(self._take_if_running, 0)

    def _take_if_running(self) -> None:
        if self._is_running:  # else it may be the next one's
            self._take()

    def _make_room(self) -> None:
        try:
            self._take_if_nobody_does()
        except Exception as error:  # which is not to end the wait
            report_or_raise(error, "Exception ignored in a profile")

    def _take_ends(self) -> None:
        """Take in what native.note_ends() has noted; one thread at a time."""
        from struct import unpack

        self._take_starts()
        for _ in range(len(self._ends)):  # nobody else takes them, but some may be added
            end, said = self._ends.popitem()
            is_over, asked, owner, names = _names_in(said)
            waiter, since, *words = unpack(f"{len(end) // 8}q", end)
            calls: list[int] = []
            for number, instruction in zip(words[::2], words[1::2]):
                if number not in self._is_ours:
                    self._learn_code(number, self._codes[number])
                whose = self._is_ours[number]
                if whose is None:
                    break
                if not whose and len(calls) < 2 * MOST_CALLS:
                    calls += (number, instruction)
            self._learn_bits(waiter)
            if names[1] is not None:
                self._note_name(waiter, names[1], since)
            note = tuple(calls), owner, None, names, asked
            if is_over:
                self._begun.setdefault((waiter, since), note)
            else:  # it may yet be noted, with more; this is for if a handler ends it
                self._early[waiter, since] = note

    def _owner(self, owner: int, bits: int) -> int | None:
        """Return who has it, by what the core tells: its ident, or bits of it."""
        if owner or not bits:
            return owner or None
        if bits not in self._by_bits:
            self._learn_names()
            self._by_bits.setdefault(bits, None)
        return self._by_bits.get(bits)

    def _take(self) -> None:
        """Take in what the core has written down; one thread at a time."""
        from struct import iter_unpack

        holds = self._holds
        self._take_ends()
        for _ in range(len(self._late)):
            self._add(*self._late.popleft())
        while True:
            before = _now()
            count = lib.lt_record_take(self._buffer, TAKEN_AT, self._lost)
            self.dropped += self._lost[0]
            if holds is not None:
                holds.take_tries()
            self._take_ends()
            if self._has_ended or not (count or self._rows):
                if holds is not None:
                    holds.forget(before)
                return
            self._rows.extend(iter_unpack("4Q4q", bytes(ffi.buffer(self._buffer, count * 64))))
            # Should a signal handler raise, the next one goes on; but not if it has ended it all.
            while self._rows and not self._has_ended:
                row = self._rows.popleft()
                lock, waiter, _, _, kind, since, until, verdict = row
                if holds is not None and not holds.take(waiter, lock, kind, until, verdict):
                    continue
                key = waiter, since
                if verdict == lib.LT_INTERRUPTED:
                    # It goes on, unless a handler has raised; who has it by then may be another.
                    self._unfinished[key] = self._with_first_owner(key, row)
                else:
                    done = self._with_first_owner(key, row)
                    self._unfinished.pop(key, None)
                    taken = verdict == lib.LT_ACQUIRED
                    if key in self._begun:
                        self._add(key, done, taken)
                    else:  # its thread may be about to note it
                        self._late.append((key, done, taken))

    def _with_first_owner(self, key: tuple[int, int], row: tuple[int, ...]) -> tuple[int, ...]:
        """Return a part of a wait, with who had it in the first part of which that is known."""
        owner, word = self._unfinished.get(key, row)[2:4]
        if not owner and word & lib.LT_HOLDER in (0, row[3] & lib.LT_HOLDER):
            return row  # it knows as much, or more
        return (*row[:2], owner, word, *row[4:])

    def _add(self, key: tuple[int, int], done: Any, taken: bool) -> None:
        lock, waiter, owner, word, kind, since, until, _ = done
        early = self._early.pop(key, ((), None, None, None, 0))
        calls, noted, place, names, asked = self._begun.pop(key, early)
        had_it = self._owner(owner, word & lib.LT_HOLDER)
        owner = had_it or noted
        name, waiter_name, owner_name = names or (None, None, None)
        waiter_name = waiter_name or self._name(waiter, since)
        is_own = owner == waiter and kind == lib.LT_FOR_LOCK
        if is_own:
            owner = owner_name = place = None
        if had_it and (noted not in (None, had_it) or self._is_started(had_it, since, asked)):
            owner_name = place = None  # of who took it later, or who had its ident by then
        if owner and owner_name is None:
            owner_name = self._name(owner, since if had_it else asked)
        index = self._place(calls)
        sums = self._sums[index]
        ns = until - since
        sums.add(ns)
        _count(sums.stacks, calls, ns)
        if not is_own:
            had_by = owner, owner_name, place
            is_one_more = len(sums.owners) >= MOST_OWNERS and had_by not in sums.owners
            _count(sums.owners, (None, _OTHERS, place) if is_one_more else had_by, ns)
        if not (is_own or kind == lib.LT_FOR_THREAD or self._is_join(calls)):
            sums.contended += ns
        sums.add_lock(KINDS[kind], lock, name)
        if len(self.waits) >= MOST_WAITS:
            self.omitted += 1
            return
        thread = waiter_name or _number_of(waiter)
        wait = waiter, thread, lock, KINDS[kind], name, since / 1e9, until / 1e9
        owner_name = owner_name or (_number_of(owner) if owner else None)
        self.waits.append(ProfileWait(*wait, taken, owner_name, self._say_call(place), index))

    def _add_hold(
        self, ident: int, lock: int, kind: int, begin: int, end: int, calls: tuple[int, ...]
    ) -> None:
        where, name = self._held_at.get(calls), name_of_lock(lock)
        if where is None:
            where = self._held_at[calls] = self._where(calls)
        sums = self._hold_sums.setdefault(where, _Sums())
        sums.add(end - begin)
        sums.add_lock(KINDS[kind], lock, name)
        if len(self.holds) >= MOST_HOLDS:
            self.holds_omitted += 1
            return
        times = begin / 1e9, end / 1e9
        thread = self._name(ident, begin) or _number_of(ident)
        self.holds.append(ProfileHold(ident, thread, lock, KINDS[kind], name, *times, where))

    def _place(self, calls: tuple[int, ...]) -> int:
        index = self._index.get(calls)
        if index is None:
            where = self._where(calls)
            if where not in self._wheres:
                self._wheres.append(where)
                self._sums.append(_Sums())
            index = self._index[calls] = self._wheres.index(where)
        return index

    def _is_join(self, calls: tuple[int, ...]) -> bool:
        """Return whether it is a `threading.Thread.join` of before Python 3.13."""
        return bool(calls) and self._codes[calls[0]].co_name == "_wait_for_tstate_lock"

    def _where(self, calls: tuple[int, ...]) -> str:
        if not calls:
            return _SOMEWHERE
        for through in (_THROUGH, _THREADING):  # a worker of an executor is called by none else
            for i in range(0, len(calls), 2):
                if not self._codes[calls[i]].co_filename.endswith(through):
                    return self._say(calls[i], calls[i + 1])
        return self._say(*calls[:2])

    def _say(self, number: int, instruction: int) -> str:
        code = self._codes[number]
        return f"{_short(code.co_filename)}:{_line(code, instruction)} in {code.co_name}"

    def _say_call(self, place: tuple[int, ...] | None) -> str | None:
        return self._say(*place) if place else None

    def _so_far(self, most: int) -> tuple[list[ProfilePlace], int, float]:
        """Return the first places, and the number and the total of all waits.

        While it runs, of the waits that are over.
        """

        def look() -> tuple[list[ProfilePlace], int, float]:
            self._take_if_running()
            order = self._order()
            places = [self._place_of(self._wheres[i], self._sums[i]) for i in order[:most]]
            count = sum(sums.count for sums in self._sums)
            return places, count, sum(sums.total for sums in self._sums) / 1e9

        return self._alone(look, _PATIENCE) or ([], 0, 0.0)

    def _order(self) -> list[int]:
        """Return the indices of places: those of locks first, the longest total first."""
        sums = self._sums
        order = sorted(range(len(sums)), key=lambda i: sums[i].total, reverse=True)
        return sorted(order, key=lambda i: 2 * sums[i].contended < sums[i].total)

    # ---- when it has ended ----

    def _finish(self) -> None:
        order = self._order()
        new = {old: i for i, old in enumerate(order)}
        self.places = [self._place_of(self._wheres[i], self._sums[i]) for i in order]
        self.waits = [wait._replace(place=new[wait.place]) for wait in self.waits]
        self.waits.sort(key=attrgetter("begin"))
        self.hold_places = [
            ProfileHoldPlace(where, sums.lock(), sums.count, *sums.seconds())
            for where, sums in self._hold_sums.items()
        ]
        self.hold_places.sort(key=attrgetter("total"), reverse=True)
        self.holds.sort(key=attrgetter("begin"))

    def _place_of(self, where: str, sums: _Sums) -> ProfilePlace:
        calls: tuple[int, ...] = max(sums.stacks.items(), key=_total_of)[0]
        stack = tuple(self._say(*calls[i : i + 2]) for i in range(0, len(calls), 2))[::-1]
        owners: dict[tuple[str, str | None], list[int]] = {}
        for (ident, name, place), (count, total) in sums.owners.items():
            thread = name or (_number_of(ident) if ident else _NOT_KNOWN)
            pair = owners.setdefault((thread, self._say_call(place)), [0, 0])
            pair[0] += count
            pair[1] += total
        by_total = sorted(owners.items(), key=_total_of, reverse=True)
        return ProfilePlace(
            where,
            stack,
            sums.lock(),
            sums.count,
            *sums.seconds(),
            tuple(
                (thread, place, numbers[0], numbers[1] / 1e9)
                for (thread, place), numbers in by_total
            ),
            2 * sums.contended >= sums.total,
        )

    def table(self, most: int = 20) -> str:
        """Return a table of the places where the program waited, the longest total first.

        Those of locks, and below it those of other waits: see `ProfilePlace.is_contended`.

        And one of where it took locks, if it is known how long they were held.

        most: of how many places each.
        """
        return "".join(_table(self, most))

    def stacks(self) -> Iterator[tuple[tuple[tuple[str, int, str], ...], int, int]]:
        """Yield the stacks: their calls as (file, line, function), the last first; waits; ns."""
        for sums in self._sums:
            for calls, (count, total) in sums.stacks.items():
                pairs = [calls[i : i + 2] for i in range(0, len(calls), 2)]
                codes = [(self._codes[number], at) for number, at in pairs]
                yield (
                    tuple((c.co_filename, _line(c, at), c.co_name) for c, at in codes),
                    count,
                    total,
                )

    def save(self, file: Any) -> None:
        """Write the profile to a file, whose name says how.

        file: a path. `.html`: a page to look at. `.json`: a trace for Perfetto or
        chrome://tracing. `.pb.gz`: for pprof or speedscope.

        Raises ValueError for any other name, and OSError if that cannot be written.
        """
        _saver(os.fspath(file))(self)


def _count(counts: dict[Any, list[int]], item: Any, ns: int) -> None:
    pair = counts.setdefault(item, [0, 0])
    pair[0] += 1
    pair[1] += ns


def _names_in(said: str) -> tuple[bool, int, int | None, tuple[str | None, ...]]:
    """Return what native.note_ends() has noted: whether the wait is over, when, owner, names."""
    is_over, when, owner, *lengths, rest = said.split(" ", 6)
    names: list[str | None] = []
    for length in map(int, lengths):
        names.append(None if length < 0 else rest[:length])
        rest = rest[max(length, 0) :]
    return is_over == "1", int(when), int(owner) or None, tuple(names)


#: Of one that `threading` does not know.
_NAMELESS = ""

#: Behind any other.
_LAST_NAME = chr(sys.maxunicode)


def _number_of(ident: int) -> str:
    return f"thread {ident:#x}"


def _total_of(item: tuple[Any, list[int]]) -> int:
    return item[1][1]


def _short(path: str) -> str:
    """Return a file's name as short as it can be told from others of most programs."""
    here = os.getcwd() + os.sep
    if path.startswith(here):
        return path[len(here) :]
    return os.path.join(*path.split(os.sep)[-2:]) if os.path.isabs(path) else path


def _line(code: CodeType, instruction: int) -> int:
    if hasattr(code, "co_lines"):
        for begin, end, line in code.co_lines():
            if begin <= instruction < end and line is not None:
                return line
        return code.co_firstlineno
    from dis import findlinestarts

    found = code.co_firstlineno
    for begin, line in findlinestarts(code):
        if begin > instruction:
            break
        found = line
    return found


def say_seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{_three_digits(value / size)} {unit}"
    return f"{_three_digits(value * 1e6)} us"


def _three_digits(value: float) -> str:
    """Return a number without an exponent, also where it has more digits than three."""
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def _table(profile: Profile, most: int) -> Iterator[str]:
    locks = [place for place in profile.places if place.is_contended]
    total = sum(place.total for place in locks)
    count = sum(place.waits for place in locks)
    lasted = say_seconds(profile.end - profile.begin)
    yield f"lowthread: {count} waits for locks, {say_seconds(total)} in all, in {lasted}\n"
    if profile.short:
        total = say_seconds(profile.short_total)
        yield f"  and {profile.short} of less than {SHORTEST // 1000} us each, {total} in all\n"
    if profile.dropped:
        yield f"  and {profile.dropped} for which there was no room\n"
    yield from _rows(locks, most)
    others = profile.places[len(locks) :]
    if others:
        total = sum(place.total for place in others)
        count = sum(place.waits for place in others)
        yield (
            f"and {count} waits to be notified, by a Condition, Queue or the like, or for threads "
            f"to end, {say_seconds(total)} in all\n"
        )
        yield from _rows(others, most)
    if profile.hold_places:
        count = sum(held.holds for held in profile.hold_places)
        total = say_seconds(sum(held.total for held in profile.hold_places))
        yield f"lowthread: locks were held {count} times, {total} in all\n"
        yield _head("holds")
    for held in profile.hold_places[:most]:
        yield f"{_numbers(held, held.holds)}  {held.where}: {held.lock}\n"
    if len(profile.hold_places) > most:
        yield f"and {len(profile.hold_places) - most} more places\n"


def _rows(places: list[ProfilePlace], most: int) -> Iterator[str]:
    if places:
        yield _head("waits")
    for place in places[:most]:
        yield f"{_numbers(place, place.waits)}  {place.where}, for {place.lock}\n"
        for thread, held_at, count, held in who_had_it(place)[:_FIRST]:
            at = f" at {held_at}" if held_at else ""
            share = 100 * held / place.total if place.total else 100 * count / place.waits
            verb = "held by" if place.is_contended else "of"
            yield f"{'':>50}{share:3.0f}% {verb} {thread}{at}\n"
    if len(places) > most:
        yield f"and {len(places) - most} more places\n"


# How many are told of who had it.
_FIRST = 3


def who_had_it(place: ProfilePlace) -> list[tuple[str, str | None, int, float]]:
    """Return who had what was waited for at a place, as in `owners`, the longest total first.

    By where they had it, if those were many, of which none had it for much of the total.
    """
    owners: list[tuple[str, str | None, int, float]] = [*place.owners]
    if 2 * sum(held for who, *_, held in owners[:_FIRST] if who != _OTHERS) >= place.total:
        return owners
    places: dict[str | None, list[Any]] = {}
    for thread, held_at, count, held in owners:
        sums = places.setdefault(held_at, [set(), 0, 0.0])
        sums[0].add(thread)
        sums[1] += count
        sums[2] += held
    found = [(_say_who(threads), held_at, *sums) for held_at, (threads, *sums) in places.items()]
    return sorted(found, key=lambda one: one[-1], reverse=True)


def _say_who(threads: set[str]) -> str:
    named = threads - {_OTHERS, _NOT_KNOWN}
    if len(threads) == 1 or not named:
        return max(threads)
    if len(named) == len(threads):
        return f"{len(named)} threads"
    return f"more than {len(named)} threads" if len(named) > 1 else "several threads"


def _head(what: str) -> str:
    return f"{'total':>9} {what:>8} {'median':>9} {'p99':>9} {'worst':>9}  where\n"


def _numbers(place: ProfilePlace | ProfileHoldPlace, count: int) -> str:
    times = [say_seconds(t) for t in (place.median, place.p99, place.worst)]
    return " ".join([f"{say_seconds(place.total):>9}", f"{count:>8}", *(f"{t:>9}" for t in times)])


def _refuse_unwritable(path: str) -> None:
    import errno

    folder = os.path.dirname(path) or os.curdir
    if os.path.isdir(path):
        error = errno.EISDIR
    elif not os.path.isdir(folder):
        error = errno.ENOENT
    elif not os.access(path if os.path.exists(path) else folder, os.W_OK):
        error = errno.EACCES
    else:
        return
    raise OSError(error, os.strerror(error), path)


def _saver(path: str) -> Callable[[Profile], None]:
    make: Callable[[Profile], bytes]
    name = os.path.basename(os.fsdecode(path)).lower()
    if name.endswith(".json"):
        from lowthread._profile_trace import trace as make
    elif name.endswith(".pb.gz"):
        from lowthread._profile_trace import pprof as make
    elif name.endswith(".html"):
        from lowthread._profile_page import page_bytes as make
    else:
        kinds = "*.html, *.json or *.pb.gz"
        raise ValueError(f"a profile is written to a file {kinds}, not {path!r}")

    def save(profile: Profile) -> None:
        with open(path, "wb") as f:
            f.write(make(profile))

    return save


@unannotated
def profile(file: Any = None, *, holds: bool = False) -> Profile:
    """Return a profile of where the program waits for locks, for a `with` statement.

        with lowthread.profile() as p:
            work()
        print(p.table())

    file: a path that it is written to when it ends, as by `Profile.save`; None: to none.
    holds: whether it is to tell, too, how long locks are held. Of locks that were made before,
    that is told if somebody waits for them. To take one takes some microseconds more meanwhile.

    Only waits are in it: an uncontended lock costs nothing more. Who had a lock is told by who
    took it; where that one was, on CPython, by its innermost call when the wait had lasted for 50
    microseconds, or for up to 10 milliseconds where waits for the same lock had been over before
    that, for as many waits as can be looked at in a twentieth of the time. Of a wait that ends
    sooner, it is not known. Waits of less than 50 microseconds are counted, but not told of one
    by one: that would take longer than they do.

    Raises ValueError for a file of another kind, OSError for one that cannot be written, and
    RuntimeError to begin a second one.
    """
    return Profile(file, holds)
