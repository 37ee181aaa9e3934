"""The type of re-entrant locks as a Python class over the core, for the backend `cffi`."""

from __future__ import annotations

from lowthread._arguments import (
    FOREVER,
    UNSET,
    UNSIGNED_LONG_MAX,
    two_unsigned_longs,
    wait_in_ns,
)
from lowthread._builtin import unannotated
from lowthread._check import note
from lowthread._load import ffi, lib
from lowthread._never import LAST_WAIT, is_last_thread, too_late_for
from lowthread._pylock import (
    VERY_LONG,
    may_be_released,
    prepare_to_wait,
    refuse_if_abandoned,
    share,
    tell,
    wait_for,
)
from lowthread._with import Enter, Exit, get_attribute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, SupportsIndex

    from typing_extensions import Self

    from lowthread._ffi import RLockCell

_new = ffi.new
_new_cell = ffi.typeof("lt_rlock *")
_try = lib.lt_rlock_try
_release = lib.lt_rlock_release
_my_count = lib.lt_rcount
_wait = lib.lt_racquire
_TO_TELL = lib.LT_TO_TELL
_ACQUIRED = lib.LT_ACQUIRED
_NOT_HELD = lib.LT_NOT_HELD
_OVERFLOW = lib.LT_OVERFLOW
_KIND = lib.LT_FOR_RLOCK
_ABANDONED = lib.LT_ABANDONED
_now = lib.lt_now
_restore = lib.lt_rrestore


def _prepare(self: RLock, since: int, is_new: bool) -> bool:
    cell = _cell_of(self)
    if _my_count(cell) == UNSIGNED_LONG_MAX:
        raise _overflow()
    return prepare_to_wait(self, cell, since, is_new, _wait, _KIND)


def _complain(*_: object) -> NoReturn:
    raise RuntimeError("cannot release un-acquired lock")


def _overflow() -> OverflowError:
    return OverflowError("Internal lock count overflowed")


@unannotated
class RLock:
    """A re-entrant lock: the thread that has it may lock it again.

    It is owned by the thread that locked it, which alone can unlock it, and has to do so as
    often as it locked it. Arguments are ignored, so that derived types may have some.
    """

    __slots__ = ("__cell", "__weakref__")
    __module__ = "lowthread"

    def __new__(cls, /, *args: object, **kwargs: object) -> Self:
        self = object.__new__(cls)
        _set_cell(self, _new(_new_cell))
        return self

    def acquire(self, /, blocking: object = True, timeout: float | SupportsIndex = UNSET) -> bool:
        """Lock the lock; return whether that succeeded.

        At once if the calling thread has it already, or nobody has it.

        blocking: if true, wait while another thread has it; if false, only try.
        timeout: seconds to wait at most, an int or a float, up to `TIMEOUT_MAX`; -1, the
        default, is no limit, and all that is allowed for a call that does not block.

        The wait is on the monotonic clock and is never shorter than asked. A signal handler
        that raises ends it without the lock.

        Raises ValueError for any other negative timeout, for NaN, or for one with
        `blocking=False`; OverflowError for one that is too long, or if the lock cannot be
        locked any more often; TypeError for anything that is neither a float nor has
        `__index__`; PythonFinalizationError or AbandonedLockError where no thread is left that
        could end a wait without a timeout.
        """
        plain = blocking is True and timeout is UNSET
        ns = FOREVER if plain else wait_in_ns(blocking, timeout)
        verdict = _try(_cell_of(self))
        return verdict == _ACQUIRED or _acquire_later(self, _cell_of(self), ns, verdict)

    def release(self, /) -> None:
        """Unlock the lock once; others can have it when that was done as often as it was locked.

        Raises RuntimeError if the calling thread does not have it.
        """
        if _release(_cell_of(self)) == _NOT_HELD:
            _complain()

    def locked(self, /) -> bool:
        """Return whether the lock is locked, by whichever thread. As in Python 3.14."""
        return lib.lt_rlock_is_held(_cell_of(self))

    def __enter__(
        self, /, blocking: object = True, timeout: float | SupportsIndex = UNSET
    ) -> bool:
        """Lock the lock."""
        return RLock.acquire(self, blocking, timeout)  # like C, whatever a derived type has

    def __exit__(self, /, *exc_info: object) -> None:
        """Release the lock."""
        RLock.release(self)

    __getattribute__ = get_attribute
    # In the place of methods, which they have.
    __enter__ = Enter(__enter__, lib.lt_rtry_is, lib.lt_rwait_is, _prepare)  # type: ignore[assignment]
    __exit__ = Exit(__exit__, lib.lt_rrelease_is, _complain)  # type: ignore[assignment]

    def _is_owned(self, /) -> bool:
        """Return whether the calling thread has it. For `threading.Condition`."""
        return _my_count(_cell_of(self)) != 0

    def _recursion_count(self, /) -> int:
        """Return how often the calling thread has it; 0 if it does not."""
        return _my_count(_cell_of(self))

    def _release_save(self, /) -> tuple[int, int]:
        """Unlock it entirely; return what `_acquire_restore` needs. For `threading.Condition`.

        Raises RuntimeError if the calling thread does not have it.
        """
        count = lib.lt_rlock_release_all(_cell_of(self))
        if count == 0:
            _complain()
        return count, lib.lt_ident()

    def _acquire_restore(self, state: tuple[int, int], /) -> None:
        """Have it again as before `_release_save` returned `state`. For `threading.Condition`.

        No signal handler ends this wait. Raises TypeError for anything but two ints.
        """
        count, owner = two_unsigned_longs("_acquire_restore", state)
        cell, since = _cell_of(self), _now()
        is_last = is_last_thread()
        deadline = since + LAST_WAIT if is_last else FOREVER
        verdict = _restore(cell, count, owner, since, deadline)
        if verdict >= _TO_TELL:
            verdict -= _TO_TELL
            try:
                tell(note, cell, _KIND, since)
            except (RecursionError, MemoryError):  # of the call itself
                pass
        while is_last and verdict != _ACQUIRED and may_be_released(self):
            verdict = _restore(cell, count, owner, since, _now() + LAST_WAIT)
        if verdict == _ABANDONED:
            refuse_if_abandoned(self, cell, runs_handlers=False)
            _restore(cell, count, owner, since, VERY_LONG)
        elif is_last and verdict != _ACQUIRED:
            raise too_late_for("acquire lock")

    def _at_fork_reinit(self, /) -> None:
        """Make the lock free, whoever has it: for a child process after fork."""
        lib.lt_rlock_reset(_cell_of(self))

    def __repr__(self) -> str:
        cls, cell = type(self), _cell_of(self)
        name = _name_of(cls)
        owner, count = lib.lt_rlock_owner(cell), lib.lt_rlock_count(cell)
        state = "locked" if count else "unlocked"
        return f"<{state} {name} object owner={owner} count={count} at {id(self):#x}>"

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        cls = type(self)
        if (
            cls.__reduce__ is not object.__reduce__
            or getattr(cls, "__getstate__", None) is not _no_getstate
        ):
            return object.__reduce_ex__(self, protocol)  # a derived type can say how
        if protocol < 2:
            raise TypeError("cannot pickle 'RLock' object")
        name = _name_of(cls)
        raise TypeError(f"cannot pickle {name!r} object")


# Not self.__cell, which would ask `get_attribute`.
_cell_of: Callable[[RLock], RLockCell] = RLock.__dict__["_RLock__cell"].__get__
_set_cell: Callable[[RLock, RLockCell], None] = RLock.__dict__["_RLock__cell"].__set__
for _method in ("__enter__", "__exit__"):
    RLock.__dict__[_method].cell_of = _cell_of

_no_getstate = getattr(object, "__getstate__", None)


def _name_of(cls: type) -> str:
    """Return what C calls a type; a metaclass may have an attribute `__name__` of its own."""
    return "lowthread.RLock" if cls is RLock else type.__dict__["__name__"].__get__(cls)


def _acquire_later(self: RLock, cell: RLockCell, ns: int, verdict: int) -> bool:
    """Do what is left of `acquire` when the verdict of a try was another than that."""
    if verdict == _OVERFLOW:
        raise _overflow()
    return ns > 0 and wait_for(self, cell, ns, _wait, _KIND)


def share_rlock(rlock: RLock) -> RLockCell:
    """Return a lock's `lt_rlock *`, for native code to use."""
    share(rlock)
    return _cell_of(rlock)
