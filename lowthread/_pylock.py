"""The lock type as a Python class over the core, for the backend `cffi`."""

from __future__ import annotations

import signal
from _weakref import ref

from lowthread._arguments import FOREVER, UNSET, wait_in_ns
from lowthread._builtin import unannotated
from lowthread._check import MUCH, check, make_room, note, noted_ends
from lowthread._final import Final, name_of, no_pickle
from lowthread._hooks import report_unraisable
from lowthread._load import PYPY, check_signals, ffi, lib
from lowthread._never import LAST_WAIT as _LAST_WAIT
from lowthread._never import abandoned, is_last_thread, too_late_for
from lowthread._with import Enter, Exit, Step, get_attribute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, SupportsIndex

    from lowthread._check import Listener
    from lowthread._ffi import LockCell, Pointer, RLockCell, WaitDone

    # Of one kind of cell, that which is given with it.
    Wait = Callable[[Any, int, int], int]

_new = ffi.new
_new_cell = ffi.typeof("lt_lock *")
_try = lib.lt_lock_try
_release = lib.lt_lock_release
_reset = lib.lt_lock_reset
_wait = lib.lt_acquire
_now = lib.lt_now
_TO_TELL = lib.LT_TO_TELL  # on CPython, see csrc/cpython/lt_ends.c
_HELD = lib.LT_HELD
_ACQUIRED = lib.LT_ACQUIRED
_TIMED_OUT = lib.LT_TIMED_OUT
_NOT_HELD = lib.LT_NOT_HELD
_ABANDONED = lib.LT_ABANDONED
_is_abandoned = lib.lt_lock_is_abandoned
_wait_tells = lib.lt_wait_tells
_TO_NOTE = lib.LT_TO_NOTE
_TO_CHECK = lib.LT_TO_CHECK
_TO_RUN_HANDLERS = lib.LT_TO_RUN_HANDLERS
_ident = lib.lt_ident
_kill = signal.pthread_kill
_cast = ffi.cast
_lock_pointer = _new_cell


#: As long as FOREVER, but not for ever: for a wait of which it is known that it can end.
VERY_LONG = FOREVER - 1


def wait_for(
    lock: object,
    cell: LockCell | RLockCell,
    ns: int,
    wait: Wait = _wait,
    kind: int = lib.LT_FOR_LOCK,
) -> bool:
    """Wait for a lock, for at most `ns`; return whether it was taken.

    cell: what `wait` takes for it, an `lt_lock *` or `lt_rlock *`.
    kind: which of these.

    A handler that raises when the lock has been taken already leaves it so, as if it had come when
    the caller has it: a caller that is in a `with` statement of this lock, as a `Condition` that
    has released it for a while, is going to release it.
    """
    for ends in noted_ends:
        if len(ends) >= MUCH:
            make_room()
    since = _now()
    deadline = since + ns if ns < FOREVER - since else FOREVER
    is_last = deadline == FOREVER and is_last_thread()
    if is_last:
        # What may change yet: that the lock is reserved for a thread that has been stopped, or
        # the last steps of a thread.
        deadline = since + _LAST_WAIT
    while True:
        verdict = wait(cell, since, deadline)
        if verdict >= _TO_TELL:
            verdict -= _TO_TELL
            try:
                tell(note, cell, kind, since)
            except (RecursionError, MemoryError):  # of the call itself
                pass
        if verdict == _ACQUIRED:
            return True
        if verdict == _TIMED_OUT:
            if is_last and may_be_released(lock):
                deadline = _now() + _LAST_WAIT
                continue
            if is_last:
                raise too_late_for("acquire lock")
            return False
        if verdict == _ABANDONED:
            refuse_if_abandoned(lock, cell)
            deadline = VERY_LONG
        # A signal handler may be due. If it raises, the lock is not held, and if it does
        # not, the wait goes on to the same deadline, in the same place of the queue.
        go_on(cell, kind, since, deadline)


def go_on(cell: Pointer, kind: int, since: int, deadline: int) -> None:
    """Do what is due in a wait that goes on; raise what is to end it.

    Have the interpreter run signal handlers, if this is its main thread. It would between any two
    instructions, but not in 3.13 in the child of a fork by another thread than the main one; this
    has it look in any case. On PyPy it is a signal that is none. Then tell of the wait, and look
    whether it can end, if that is asked for.
    """
    told = _wait_tells(since, deadline)
    if check_signals:
        check_signals()
    elif told & _TO_RUN_HANDLERS:
        _kill(_ident(), 0)
    if told & _TO_NOTE:
        tell(note, cell, kind, since)
    if told & _TO_CHECK:
        tell(check, cell, kind, since)


def tell(listener: Listener, cell: Pointer, kind: int, since: int) -> None:
    """Tell of a wait, which does not fail for want of what that takes."""
    try:
        listener(int(_cast("uintptr_t", cell)), kind, since)
    except (RecursionError, MemoryError):
        pass


if PYPY:
    from __pypy__ import thread as _threads  # type: ignore[import-not-found]

    def _leave_untold(_: object, error: BaseException, __: object) -> None:
        if not isinstance(error, (RecursionError, MemoryError)):
            report_unraisable(error, "Exception ignored in a profile")

    @ffi.def_extern(onerror=_leave_untold)
    def lt_wait_over(done: WaitDone) -> None:
        """Tell of a `with` statement's wait that is over, or of one that a handler may end."""
        note(done.lock, done.kind, done.since, done)

    def _as_it_is(*_: object) -> None:
        pass

    # Of builtins, since a handler could run in Python code. The first returns whether it fails.
    _off = (Step(_threads._signals_exit),).__contains__
    ffi.def_extern("lt_handlers_off", error=True, onerror=_as_it_is)(_off)
    ffi.def_extern("lt_handlers_on")(_threads._signals_enter)
    ffi.def_extern("lt_look_for_signals")(bool)


def refuse_if_abandoned(
    lock: object, cell: LockCell | RLockCell, runs_handlers: bool = True
) -> None:
    """Raise AbandonedLockError if a wait for the lock cannot end."""
    if _is_abandoned(_cast(_lock_pointer, cell)):
        error = abandoned(lock, cell, runs_handlers)
        if error is not None:
            raise error


def prepare_to_wait(
    lock: object, cell: LockCell | RLockCell, since: int, is_new: bool, wait: Wait, kind: int
) -> bool:
    """Do what `wait_for` does around its waits, for one without end that others do.

    since: when the wait began.
    is_new: that is now.

    Return whether the lock has been taken already, which is so where it is that or nothing.
    """
    if is_new and is_last_thread():  # which runs no handlers, so none comes in between
        return wait_for(lock, cell, FOREVER, wait, kind)
    refuse_if_abandoned(lock, cell)
    if not is_new:
        go_on(cell, kind, since, VERY_LONG)
    return False


def _prepare(self: lock, since: int, is_new: bool) -> bool:
    return prepare_to_wait(self, _cell_of(self), since, is_new, _wait, lib.LT_FOR_LOCK)


def _complain(*_: object) -> NoReturn:
    raise RuntimeError("release unlocked lock")


@unannotated
class _NoArguments(Final):
    """The type of `lock`, which is called without any."""

    def __call__(cls: Any, *args: object, **kwargs: object) -> Any:
        if kwargs:
            raise TypeError(f"{cls.__name__}() takes no keyword arguments")
        if args:
            raise TypeError(f"{cls.__name__} expected 0 arguments, got {len(args)}")
        return cls.__new__(cls)


@unannotated
class lock(metaclass=_NoArguments):
    """A lock object is a synchronization primitive.

    `allocate_lock()`, or calling this type, makes one; it is unlocked. Its methods are

    acquire() -- lock the lock, possibly blocking until it can be obtained
    release() -- unlock the lock
    locked() -- test whether the lock is currently locked

    and it works in a `with` statement. A lock is not owned by the thread that locked it;
    any thread may unlock it. A thread that locks a lock which it has locked already blocks
    until another thread unlocks it.
    """

    __slots__ = ("__weakref__", "_cell")
    __module__ = "lowthread"

    def __new__(cls) -> lock:
        self = object.__new__(cls)
        _set_cell(self, _new(_new_cell))
        return self

    def acquire(self, /, blocking: object = True, timeout: float | SupportsIndex = UNSET) -> bool:
        """Lock the lock; return whether that succeeded.

        blocking: if true, wait until the lock is free; if false, only try.
        timeout: seconds to wait at most, an int or a float, up to `TIMEOUT_MAX`; -1, the
        default, is no limit, and all that is allowed for a call that does not block.

        The wait is on the monotonic clock and is never shorter than asked. A signal handler
        that raises ends it without the lock.

        Raises ValueError for any other negative timeout, for NaN, or for one with
        `blocking=False`; OverflowError for one that is too long; TypeError for anything that
        is neither a float nor has `__index__`; PythonFinalizationError or AbandonedLockError
        where no thread is left that could end a wait without a timeout.
        """
        if blocking is True and timeout is UNSET:
            return _try(_cell_of(self)) or wait_for(self, _cell_of(self), FOREVER)
        ns = wait_in_ns(blocking, timeout)
        return _try(_cell_of(self)) or (ns > 0 and wait_for(self, _cell_of(self), ns))

    def release(self, /) -> None:
        """Unlock the lock, so that one of those who wait for it can have it.

        Any thread may do so, not only the one that locked it. Raises RuntimeError if the lock
        is not locked.
        """
        if _release(_cell_of(self)) == _NOT_HELD:
            _complain()

    def locked(self, /) -> bool:
        """Return whether the lock is locked."""
        return _cell_of(self).word & _HELD != 0

    def __enter__(
        self, /, blocking: object = True, timeout: float | SupportsIndex = UNSET
    ) -> bool:
        """Lock the lock."""
        return self.acquire(blocking, timeout)

    def __exit__(self, /, *exc_info: object) -> None:
        """Release the lock."""
        self.release()

    __getattribute__ = get_attribute
    # In the place of methods, which they have.
    __enter__ = Enter(__enter__, lib.lt_try_is, lib.lt_wait_is, _prepare)  # type: ignore[assignment]
    __exit__ = Exit(__exit__, lib.lt_release_is, _complain)  # type: ignore[assignment]

    def _at_fork_reinit(self, /) -> None:
        """Make the lock free, whoever has it: for a child process after fork."""
        _reset(_cell_of(self))

    def acquire_lock(
        self, /, blocking: object = True, timeout: float | SupportsIndex = UNSET
    ) -> bool:
        """An obsolete synonym of acquire()."""
        return self.acquire(blocking, timeout)

    def release_lock(self, /) -> None:
        """An obsolete synonym of release()."""
        return self.release()

    def locked_lock(self, /) -> bool:
        """An obsolete synonym of locked()."""
        return self.locked()

    def __repr__(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} {name_of(type(self))} object at {id(self):#x}>"

    __reduce_ex__ = no_pickle

    def __getstate__(self) -> None:
        return None

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")


# Not self._cell, which would ask `get_attribute`.
_cell_of: Callable[[lock], LockCell] = lock.__dict__["_cell"].__get__
_set_cell: Callable[[lock, LockCell], None] = lock.__dict__["_cell"].__set__
for _name in ("__enter__", "__exit__"):
    lock.__dict__[_name].cell_of = _cell_of


# Locks that native code has the address of, by their number: a derived type may forbid to hash
# them. With nothing of the module weakref, whose names are gone when late destructors run.
_shared: dict[int, ref[Any]] = {}


def share(lock: object) -> None:
    """Note that a thread which never runs Python may release a lock."""
    if PYPY:  # which never has a last thread
        return

    def forget(_: object, shared: dict[int, ref[Any]] = _shared, key: int = id(lock)) -> None:
        shared.pop(key, None)

    _shared[id(lock)] = ref(lock, forget)


def may_be_released(lock: object) -> bool:
    """Return whether native code has a lock's address, and a thread to release it in."""
    known = _shared.get(id(lock))
    return known is not None and known() is lock and not lib.lt_is_only_thread()


def share_lock(lock: lock) -> LockCell:
    """Return a lock's `lt_lock *`, for native code to use."""
    share(lock)
    return _cell_of(lock)


def make_sentinel() -> lock:
    """Return a new lock that the end of the calling thread releases."""
    cell = lib.lt_new_sentinel()
    if not cell:
        raise MemoryError
    self = object.__new__(lock)
    _set_cell(self, ffi.gc(cell, lib.lt_free_sentinel))
    return self
