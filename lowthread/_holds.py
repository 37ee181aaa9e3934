"""How long locks are held: `profile(holds=True)` and `--holds`.

Who is about to take a lock notes when and where that is; when a lock is released, the core writes
that down (csrc/lt_record.h). From when on it was held follows from these, and from when the wait
for it was over.
"""

from __future__ import annotations

from collections import deque, namedtuple
from weakref import ref

from lowthread._backend import RLock
from lowthread._load import lib
from lowthread._places import address_of, has

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# As in lowthread/_state.py.
# pyright: reportUntypedNamedTuple=false


class ProfileHold(namedtuple("ProfileHold", "ident thread lock kind name begin end place")):
    """A time for which a thread had a lock.

    ident, thread: which one: identifier, and what `threading` calls it or a number.
    lock, kind, name: what: address, "lock" or "RLock", and its name or None.
    begin, end: floats, in seconds on the monotonic clock.
    place: where it was taken, a str.
    """

    __slots__ = ()
    __module__ = "lowthread"


class ProfileHoldPlace(namedtuple("ProfileHoldPlace", "where lock holds total median p99 worst")):
    """A place in the program where locks were taken.

    where: the call, as of `ProfileHold.place`.
    lock: what was taken, a str.
    holds: how often.
    total, median, p99, worst: for how long, in seconds; median and p99 within 3 percent.
    """

    __slots__ = ()
    __module__ = "lowthread"


#: How many are kept one by one; the rest is in the sums only.
MOST_HOLDS = 200_000

#: How many tries a thread notes before it takes in what there is: many may be in vain.
MOST_TRIES = 1 << 12

# Somebody is about to take a lock, or has it again.
_Try = namedtuple("_Try", "lock at calls ref")

_now = lib.lt_now


class Holds:
    """Those of one profile. All but `note` is for one thread at a time.

    add: is called for each with ident, address, kind, begin, end (in ns) and the calls.
    """

    def __init__(self, add: Callable[[int, int, int, int, int, Any], object]) -> None:
        self._add = add
        # By thread, whose own they are until they are taken in.
        self._noted: dict[int, deque[_Try]] = {}
        # By thread and lock, in their order.
        self._tries: dict[tuple[int, int], deque[_Try]] = {}
        # Where a thread had a lock that it has given back for a while.
        self._left: dict[tuple[int, int], _Try] = {}
        # It cannot have been held from before: by lock, and by thread and lock.
        self._not_before: dict[Any, int] = {}

    def note(self, me: int, lock: Any, calls: Any) -> bool:
        """Note that the calling thread is about to take a lock; return whether to take it in.

        me: its ident.
        """
        address = address_of(lock)
        if address is None or has(me, address, issubclass(type(lock), RLock)):
            return False
        noted = self._noted.get(me)
        if noted is None:
            noted = self._noted.setdefault(me, deque())
        noted.append(_Try(address, _now(), calls, ref(lock)))
        return len(noted) >= MOST_TRIES

    def take_tries(self) -> None:
        """Take in what threads have noted.

        To be called when what the core has written is read, and before `take`: what was released
        had been noted before.
        """
        for ident, noted in list(self._noted.items()):
            for _ in range(len(noted)):
                one = noted.popleft()
                self._tries.setdefault((ident, one.lock), deque()).append(one)

    def take(self, ident: int, lock: int, kind: int, at: int, verdict: int) -> bool:
        """Take in one thing that the core has written down; return whether it is of a wait."""
        if verdict == lib.LT_HOLD_ENDS:
            self._end(ident, lock, kind, at)
        elif verdict == lib.LT_HOLD_GOES_ON:  # after it was given back as Condition.wait does
            last = self._left.pop((ident, lock), None)
            if last is not None:
                tries = self._tries.setdefault((ident, lock), deque())
                tries.appendleft(last._replace(at=at))
        else:
            if verdict == lib.LT_ACQUIRED:
                self._not_before[ident, lock] = at
            return True
        return False

    def _end(self, ident: int, lock: int, kind: int, at: int) -> None:
        key = ident, lock
        tries, last = self._tries.get(key), None
        while tries and tries[0].at <= at:
            last = tries.popleft()  # those before were in vain
        if tries is not None and not tries:
            del self._tries[key]
        if last is not None:
            self._add(ident, lock, kind, self._begin(key, last, at), at, last.calls)
            self._left[key] = last
        self._not_before[lock] = at

    def _begin(self, key: tuple[int, int], last: _Try, end: int) -> int:
        latest: int = max(last.at, self._not_before.get(key, 0), self._not_before.get(key[1], 0))
        return min(latest, end)

    def forget(self, before: int) -> None:
        """Forget what cannot be of interest any more.

        before: a time after which the core's record was empty. Of the tries before it only the
        latest can be the one that took the lock.
        """
        for key, tries in list(self._tries.items()):
            while tries and tries[0].at < before:
                if (len(tries) < 2 or tries[1].at >= before) and tries[0].ref() is not None:
                    break
                tries.popleft()
            if not tries:
                del self._tries[key]
        for key in [key for key, last in self._left.items() if last.ref() is None]:
            del self._left[key]
        oldest = min([before, *(tries[0].at for tries in self._tries.values())])
        self._not_before = {key: at for key, at in self._not_before.items() if at > oldest}

    def end(self, now: int) -> None:
        """Add those that go on."""
        for (ident, address), tries in self._tries.items():
            last = tries[-1]
            lock = last.ref()  # for as long as it is looked at
            if lock is None or address_of(lock) != address:
                continue
            is_rlock = issubclass(type(lock), RLock)
            if has(ident, address, is_rlock):
                kind = lib.LT_FOR_RLOCK if is_rlock else lib.LT_FOR_LOCK
                begin = self._begin((ident, address), last, now)
                self._add(ident, address, kind, begin, now, last.calls)
