"""`with` for locks that are Python classes: no exception of a signal handler comes in between.

The interpreter runs signal handlers between the instructions of Python code. So one that raises
can end a method after it has taken the lock, and then the `with` statement has not been entered
and nobody releases it; or end another before it has released the lock. From where a lock is
taken to where the statement's body begins, and from the body's end to the release, there must
be nothing but calls of C code. So what a `with` statement gets from the type as `__enter__`
and `__exit__` are not methods but what these descriptors put together out of builtins:

    (take it, prepare to wait, wait for it and take it).__contains__(True)

where each step is an object that is compared with True by calling C, but for the second: that is
Python code, may raise, and never equal. The third goes round between such two until the lock is
taken. And to leave:

    Struct("????").pack_into(buffer, 0, step, *exc_info)

which asks for the truth of the step, and so calls it, and returns None. (It asks for that of the
exception, too, which nearly always is one. On CPython a function of ours is in its place, which
does not.) To PyPy's compiler these objects are transparent: all this takes it little longer than a
method in Python.

Such an `__enter__` has no arguments, and `__exit__` takes exactly three. So who asks the object
itself for one of them, which a `with` statement does not, gets a method as always; not so who asks
super().
"""

from __future__ import annotations

from itertools import cycle
from operator import contains
from struct import Struct
from types import MethodType

from lowthread._builtin import unannotated
from lowthread._check import MUCH, make_room, noted_ends
from lowthread._load import leave, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lowthread._ffi import Pointer

_now = lib.lt_now
_leave = leave or MethodType(MethodType(Struct("????").pack_into, bytearray(4)), 0)
_get = object.__getattribute__


class Step:
    """Something that is compared with True by a function."""

    __slots__ = ("__eq__",)

    def __init__(self, function: Callable[[object], object]) -> None:
        self.__eq__ = function  # type: ignore[method-assign, assignment]  # a slot


class _Truth:
    """Something whose truth a function tells."""

    __slots__ = ("__bool__",)

    def __init__(self, function: Callable[[], object]) -> None:
        self.__bool__ = function


class _Wait:
    """The steps of a wait: to prepare it, and itself."""

    __slots__ = ("__eq__", "enter", "lock")

    def __init__(self, enter: Enter, lock: Any) -> None:
        self.enter = enter
        self.lock = lock

    def prepare(self, _: object) -> bool:
        """Before the first wait: do all that may raise; return whether that took the lock."""
        for ends in noted_ends:
            if len(ends) >= MUCH:
                make_room()  # which is not part of the wait
        since = _now()
        if self.enter.prepare(self.lock, since, True):
            return True
        wait = MethodType(MethodType(self.enter.wait, self.enter.cell_of(self.lock)), since)
        again: Any = MethodType(
            MethodType(_prepare_again, self.enter), self.lock
        )  # without a cycle
        again = MethodType(again, since)
        steps = cycle((Step(wait), Step(again)))
        self.__eq__ = MethodType(contains, steps)  # type: ignore[method-assign]  # a slot
        return False


def _prepare_again(enter: Enter, lock: Any, since: int, _: object) -> bool:
    """Do the same before each other wait."""
    return enter.prepare(lock, since, False)


@unannotated
class Enter:
    """The attribute `__enter__` of a type of locks.

    method: the same as a method in Python.
    take: a function of the core that takes the lock if that can be done at once.
    wait: one that waits and takes it, from a given time; false: it was interrupted.
    prepare: prepare(lock, since, is_new) is called before each wait, and may raise; since is when
    the first began. True: it has taken the lock.

    To be set: cell_of, a function that returns a lock's `lt_lock *` or `lt_rlock *`.
    """

    cell_of: Callable[[Any], Pointer]

    def __init__(
        self,
        method: Callable[..., bool],
        take: Callable[..., bool],
        wait: Callable[..., bool],
        prepare: Callable[[Any, int, bool], bool],
    ) -> None:
        self.method = method
        self.take = take
        self.wait = wait
        self.prepare = prepare

    def __get__(self, lock: Any, cls: type | None = None) -> Callable[..., bool]:
        if lock is None:
            return self.method
        wait = _Wait(self, lock)
        take = Step(MethodType(self.take, self.cell_of(lock)))
        return MethodType((take, Step(wait.prepare), wait).__contains__, True)


class TellingEnter(Enter):
    """One that tells of it before it takes the lock.

    plain: the same without that.
    tell: tell(lock, True) is called first, may raise, and returns false.
    """

    def __init__(self, plain: Enter, tell: Callable[[Any, object], bool]) -> None:
        super().__init__(plain.method, plain.take, plain.wait, plain.prepare)
        self.cell_of = plain.cell_of
        self.tell = tell

    def __get__(self, lock: Any, cls: type | None = None) -> Callable[..., bool]:
        if lock is None:
            return self.method
        wait = _Wait(self, lock)
        tell, take = MethodType(self.tell, lock), MethodType(self.take, self.cell_of(lock))
        steps = Step(tell), Step(take), Step(wait.prepare), wait
        return MethodType(steps.__contains__, True)


@unannotated
class Exit:
    """The attribute `__exit__` of a type of locks.

    method: as for `Enter`.
    release: a function of the core that releases the lock; false: it was not held.
    complain: raises what that means.

    To be set: cell_of, as for `Enter`.
    """

    cell_of: Callable[[Any], Pointer]

    def __init__(
        self,
        method: Callable[..., None],
        release: Callable[..., bool],
        complain: Callable[..., object],
    ) -> None:
        self.method = method
        self.release = release
        self.complain = complain

    def __get__(self, lock: Any, cls: type | None = None) -> Callable[..., None]:
        if lock is None:
            return self.method
        steps = Step(MethodType(self.release, self.cell_of(lock))), Step(self.complain)
        return MethodType(_leave, _Truth(MethodType(steps.__contains__, True)))


def get_attribute(self: object, name: str) -> Any:
    """Be the `__getattribute__` of a type that has these."""
    if name in ("__enter__", "__exit__"):
        for cls in type(self).__mro__:
            if name in vars(cls):
                found = vars(cls)[name]
                if isinstance(found, (Enter, Exit)):
                    return MethodType(found.method, self)
                break
    return _get(self, name)
