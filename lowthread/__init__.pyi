"""What lowthread is to type checkers: the names and types of `_thread`, and what it has more.

What typeshed says of `_thread` is what programs are checked against, so ours can be given to all
that wants one of those: a `lock` to what takes a `_thread.LockType`, `start_new_thread` to what
takes a function like that of `_thread`.
"""

import os
import signal
import sys
from _thread import LockType as _HostLock
from _thread import RLock as _HostRLock
from _thread import _excepthook as _excepthook
from _thread import _ExceptHookArgs as _ExceptHookArgs
from _thread import _local as _local
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import (
    Any,
    Final,
    Literal,
    NamedTuple,
    NoReturn,
    SupportsIndex,
    final,
    overload,
)

from _typeshed import SupportsWrite
from typing_extensions import ParamSpec, Self, TypeVarTuple, Unpack, deprecated

from ._final import Final as _Final
from ._version import __version__ as __version__

_P = ParamSpec("_P")
_Ts = TypeVarTuple("_Ts")

__all__ = [
    "TIMEOUT_MAX",
    "_NAME_MAXLEN",
    "AbandonedLockError",
    "Deadlock",
    "DeadlockError",
    "LockOrder",
    "LockOrderError",
    "LockState",
    "LockType",
    "Owner",
    "Profile",
    "ProfileHold",
    "ProfileHoldPlace",
    "ProfilePlace",
    "ProfileWait",
    "PythonFinalizationError",
    "RLock",
    "ThreadHandle",
    "ThreadStartError",
    "Waiter",
    "_ExceptHookArgs",
    "_ThreadHandle",
    "__version__",
    "_count",
    "_excepthook",
    "_get_main_thread_ident",
    "_get_name",
    "_is_main_interpreter",
    "_local",
    "_make_thread_handle",
    "_set_sentinel",
    "_shutdown",
    "addressof",
    "allocate",
    "allocate_lock",
    "backend",
    "check_lock_order",
    "daemon_threads_allowed",
    "detect_deadlocks",
    "dump",
    "dump_on_signal",
    "error",
    "exit",
    "exit_thread",
    "get_api",
    "get_ident",
    "get_include",
    "get_native_id",
    "install",
    "interrupt_main",
    "lock",
    "locks",
    "name_lock",
    "profile",
    "set_name",
    "stack_size",
    "start",
    "start_joinable_thread",
    "start_new",
    "start_new_thread",
    "trace_locks",
    "uninstall",
]

backend: Final[str]
error = RuntimeError
TIMEOUT_MAX: Final[float]
_NAME_MAXLEN: Final[int]

if sys.version_info >= (3, 13):
    from builtins import PythonFinalizationError as PythonFinalizationError
else:
    class PythonFinalizationError(RuntimeError): ...

class AbandonedLockError(RuntimeError): ...
class ThreadStartError(OSError, RuntimeError): ...

# At run time no class of ours derives from one of `_thread`'s. But typeshed's are final, and
# nothing else could be given to who asks for one. The other way round it is as at run time: where
# a `lowthread.lock` is asked for, a `_thread.lock` is an error. (And mypy allows nobody to derive
# from our RLock, which can be done.)
@final
class lock(_HostLock):  # type: ignore[misc]
    def __new__(cls) -> lock: ...
    def acquire(self, /, blocking: bool = True, timeout: float | SupportsIndex = -1) -> bool: ...
    def release(self, /) -> None: ...
    def locked(self, /) -> bool: ...
    @deprecated("Obsolete synonym. Use `acquire()` instead.")
    def acquire_lock(
        self, /, blocking: bool = True, timeout: float | SupportsIndex = -1
    ) -> bool: ...
    @deprecated("Obsolete synonym. Use `release()` instead.")
    def release_lock(self, /) -> None: ...
    @deprecated("Obsolete synonym. Use `locked()` instead.")
    def locked_lock(self, /) -> bool: ...
    def __enter__(self, /, blocking: bool = True, timeout: float | SupportsIndex = -1) -> bool: ...
    def __exit__(self, /, *exc_info: object) -> None: ...
    def _at_fork_reinit(self, /) -> None: ...

LockType = lock

class RLock(_HostRLock):  # type: ignore[misc]
    def acquire(self, /, blocking: bool = True, timeout: float | SupportsIndex = -1) -> bool: ...
    def release(self, /) -> None: ...
    def locked(self, /) -> bool: ...
    def __enter__(self, /, blocking: bool = True, timeout: float | SupportsIndex = -1) -> bool: ...
    def __exit__(self, /, *exc_info: object) -> None: ...
    def _is_owned(self, /) -> bool: ...
    def _recursion_count(self, /) -> int: ...
    def _release_save(self, /) -> tuple[int, int]: ...
    def _acquire_restore(self, state: tuple[int, int], /) -> None: ...
    def _at_fork_reinit(self, /) -> None: ...

if sys.version_info >= (3, 13):
    # Not a class of our own: functions that take a handle are to be like those of `_thread`.
    from _thread import _ThreadHandle as _ThreadHandle
else:
    @final
    class _ThreadHandle(metaclass=_Final):
        def __new__(cls, /, *args: object, **kwargs: object) -> _ThreadHandle: ...
        @property
        def ident(self) -> int: ...
        def join(self, timeout: float | SupportsIndex | None = None, /) -> None: ...
        def is_done(self, /) -> bool: ...
        def _set_done(self, /) -> None: ...

class ThreadHandle:
    def __new__(cls, *args: object, **kwargs: object) -> NoReturn: ...
    @property
    def name(self) -> str | None: ...
    @property
    def daemon(self) -> bool: ...
    @property
    def ident(self) -> int: ...
    @property
    def native_id(self) -> int: ...
    def join(self, timeout: float | SupportsIndex | None = None) -> bool: ...
    def is_alive(self) -> bool: ...

@overload
def start_new_thread(
    function: Callable[[Unpack[_Ts]], object], args: tuple[Unpack[_Ts]], /
) -> int: ...
@overload
def start_new_thread(
    function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any], /
) -> int: ...
@overload
@deprecated("Obsolete synonym. Use `start_new_thread()` instead.")
def start_new(function: Callable[[Unpack[_Ts]], object], args: tuple[Unpack[_Ts]], /) -> int: ...
@overload
@deprecated("Obsolete synonym. Use `start_new_thread()` instead.")
def start_new(
    function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any], /
) -> int: ...

# Arguments are checked where none of the options is given. Where one is, they cannot be: what
# PEP 612 allows between `*args` and `**kwargs` of a function is nothing.
@overload
def start(
    function: Callable[..., object],
    /,
    *args: Any,
    name: str | None,
    stack_size: SupportsIndex | None = None,
    daemon: bool = True,
    **kwargs: Any,
) -> ThreadHandle: ...
@overload
def start(
    function: Callable[..., object],
    /,
    *args: Any,
    name: str | None = None,
    stack_size: SupportsIndex | None,
    daemon: bool = True,
    **kwargs: Any,
) -> ThreadHandle: ...
@overload
def start(
    function: Callable[..., object],
    /,
    *args: Any,
    name: str | None = None,
    stack_size: SupportsIndex | None = None,
    daemon: bool,
    **kwargs: Any,
) -> ThreadHandle: ...
@overload
def start(
    function: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs
) -> ThreadHandle: ...
def start_joinable_thread(
    function: Callable[[], object], handle: _ThreadHandle | None = None, daemon: bool = True
) -> _ThreadHandle: ...
def _make_thread_handle(ident: int, /) -> _ThreadHandle: ...
def _shutdown() -> None: ...
def exit() -> NoReturn: ...
@deprecated("Obsolete synonym. Use `exit()` instead.")
def exit_thread() -> NoReturn: ...
def interrupt_main(signum: SupportsIndex = signal.SIGINT, /) -> None: ...
def allocate_lock() -> lock: ...
@deprecated("Obsolete synonym. Use `allocate_lock()` instead.")
def allocate() -> lock: ...
def _set_sentinel() -> lock: ...
def get_ident() -> int: ...
def get_native_id() -> int: ...  # not on systems without such numbers
def _count() -> int: ...
def stack_size(size: SupportsIndex = 0, /) -> int: ...
def set_name(name: str) -> None: ...
def _get_name() -> str: ...
def _get_main_thread_ident() -> int: ...
def _is_main_interpreter() -> bool: ...
def daemon_threads_allowed() -> bool: ...

# For native code; `_C_API` is a capsule, which only C can look into.
_C_API: Final[object]

def get_include() -> str: ...
def get_api() -> int: ...
def addressof(lock: lock | RLock, /) -> int: ...
def install(*, force: bool = False) -> None: ...
def uninstall(*, force: bool = False) -> None: ...

# Who waits for what.

class Owner(NamedTuple):
    ident: int
    name: str | None

class Waiter(NamedTuple):
    ident: int
    name: str | None
    waiting_for: float
    timeout: float | None

class LockState(NamedTuple):
    kind: Literal["lock", "RLock", "thread"]
    address: int
    name: str | None
    owner: Owner | None
    held_for: float | None
    waiters: tuple[Waiter, ...]
    created: str | None

class Deadlock(NamedTuple):
    is_certain: bool
    threads: tuple[Owner, ...]
    text: str

class DeadlockError(RuntimeError): ...

class LockOrder(NamedTuple):
    created: tuple[str, ...]
    threads: tuple[Owner, ...]
    text: str

class LockOrderError(RuntimeError): ...

def trace_locks(yes: bool = True, /) -> None: ...
def check_lock_order(
    on_inversion: Literal["report", "raise"] | Callable[[LockOrder], object] | None = "report",
) -> None: ...
def detect_deadlocks(
    after: float | None = 1.0,
    on_deadlock: Literal["report", "raise"] | Callable[[Deadlock], object] = "report",
) -> None: ...
def locks() -> list[LockState]: ...
def dump(file: SupportsWrite[str] | None = None) -> None: ...

class ProfileWait(NamedTuple):
    ident: int
    thread: str
    lock: int
    kind: Literal["lock", "RLock", "thread"]
    name: str | None
    begin: float
    end: float
    taken: bool
    owner: str | None
    owner_place: str | None
    place: int

class ProfilePlace(NamedTuple):
    where: str
    stack: tuple[str, ...]
    lock: str
    waits: int
    total: float
    median: float
    p99: float
    worst: float
    owners: tuple[tuple[str, str | None, int, float], ...]
    is_contended: bool

class ProfileHold(NamedTuple):
    ident: int
    thread: str
    lock: int
    kind: Literal["lock", "RLock"]
    name: str | None
    begin: float
    end: float
    place: str

class ProfileHoldPlace(NamedTuple):
    where: str
    lock: str
    holds: int
    total: float
    median: float
    p99: float
    worst: float

class Profile:
    command: str
    begin: float
    end: float
    waits: list[ProfileWait]
    places: list[ProfilePlace]
    holds: list[ProfileHold]
    hold_places: list[ProfileHoldPlace]
    dropped: int
    omitted: int
    holds_omitted: int
    short: int
    short_total: float
    def __init__(
        self, file: str | os.PathLike[str] | None = None, holds: bool = False
    ) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def stacks(self) -> Iterator[tuple[tuple[tuple[str, int, str], ...], int, int]]: ...
    def table(self, most: int = 20) -> str: ...
    def save(self, file: str | os.PathLike[str]) -> None: ...

def profile(file: str | os.PathLike[str] | None = None, *, holds: bool = False) -> Profile: ...
def dump_on_signal(signum: SupportsIndex, /) -> None: ...
def name_lock(lock: lock | RLock, name: str | None, /) -> None: ...
