"""The backend `cffi`: what lowthread/_backend.py lists, in Python over the core."""

from __future__ import annotations

from lowthread._builtin import builtin, synonym
from lowthread._load import ffi, lib
from lowthread._pylock import lock, make_sentinel, share_lock
from lowthread._pyrlock import RLock, share_rlock
from lowthread._start import start_new, start_new_thread  # noqa: F401  -- lowthread._backend's

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lowthread._ffi import LockCell, RLockCell


@builtin()
def allocate_lock() -> lock:
    """Create a new lock object, which is unlocked.

    Returns an instance of `LockType`; see there.
    """
    return lock()


@builtin()
def get_ident() -> int:
    """Return the identifier of the current thread, a nonzero int.

    It tells apart the threads that exist at a time, has no meaning beyond that, and may be
    used again for another thread after this one has ended.
    """
    return lib.lt_ident()


@builtin()
def get_native_id() -> int:
    """Return the system's own number for the current thread, a nonnegative int.

    No other thread of the whole system has it, until this one ends. Linux: gettid; macOS:
    pthread_threadid_np; FreeBSD: pthread_getthreadid_np; OpenBSD: getthrid; NetBSD: _lwp_self;
    DragonFly BSD: lwp_gettid; AIX: thread_self. Only Linux has been run.
    """
    return lib.lt_native_id()


@builtin()
def _count() -> int:
    """Return how many threads started by `start_new_thread` have not ended yet.

    A thread counts from when it begins to run.
    """
    return lib.lt_count()


@builtin()
def _set_sentinel() -> lock:
    """Return a new lock, unlocked, that the end of the calling thread releases.

    That is after the thread's Python state is gone. A second call replaces the lock of the
    first. For `threading`, up to Python 3.12.
    """
    return make_sentinel()


@builtin(least=1, most=1)
def addressof(lock: object, /) -> int:
    """Return the address of what native code knows a lock by, an int.

    lock: a `lock`, which has an `lt_lock`, or an `RLock`, which has an `lt_rlock`; `lowthread.h`
    (see `get_include`) tells what can be done with these. The address is good for as long as
    the lock object lives.

    A lock of the backend `native` is somewhat slower once its address was asked for: the GIL
    does not keep native code away from it.

    Raises TypeError for anything else.
    """
    cls = type(lock)
    cell: LockCell | RLockCell
    # By type(), as C does: what an object claims as its __class__ does not count.
    if cls is _lock and isinstance(lock, _lock):
        cell = share_lock(lock)
    elif issubclass(cls, RLock) and isinstance(lock, RLock):
        cell = share_rlock(lock)
    else:
        raise TypeError(
            "addressof() argument must be a lowthread.lock or lowthread.RLock, not "
            + type.__dict__["__name__"].__get__(cls)
        )
    return int(ffi.cast("uintptr_t", cell))


_lock = lock
allocate = synonym("allocate", allocate_lock)
