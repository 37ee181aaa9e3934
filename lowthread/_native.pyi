"""The part of the native module that speaks CPython's own API: csrc/cpython/. Not on PyPy."""

from collections.abc import Callable
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Any

from lowthread import RLock as RLock
from lowthread import _count as _count
from lowthread import _set_sentinel as _set_sentinel
from lowthread import addressof as addressof
from lowthread import allocate as allocate
from lowthread import allocate_lock as allocate_lock
from lowthread import get_ident as get_ident
from lowthread import get_native_id as get_native_id
from lowthread import lock as lock
from lowthread import start_new as start_new
from lowthread import start_new_thread as start_new_thread

def check_signals() -> None: ...
def current_frames() -> dict[int, FrameType]: ...
def fork_hooks(
    forks: dict[int, Any], prepare: list[Callable[[ModuleType], None]], /
) -> tuple[Callable[[], None], Callable[[], None]]: ...
def interpreter_id() -> int: ...
def leave(
    is_left: object,
    exc_type: type[BaseException] | None,
    exc: BaseException | None,
    traceback: TracebackType | None,
    /,
) -> None: ...
def note_ends(
    into: tuple[
        dict[int, CodeType],
        dict[bytes, str],
        Callable[[], object],
        dict[str, ModuleType],
        dict[int, tuple[Any, str]],
        list[str],
        type,
        type,
    ]
    | None,
    /,
) -> None: ...
def prepare_exit() -> None: ...
def set_callbacks(
    audit: Callable[..., None],
    is_too_late: Callable[[], bool],
    report: Callable[[Callable[..., object], BaseException], None],
    refuse: Callable[[int], object],
    is_finalizing: Callable[[], bool],
    finalization_error: type[BaseException],
    abandoned: Callable[[lock | RLock, int, bool], BaseException | None],
    check: Callable[[int, int, int], object],
    note: Callable[[int, int, int], object],
    made: Callable[[lock | RLock], bool],
    taking: Callable[[lock | RLock, bool], object],
    /,
) -> None: ...
def start(
    function: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None,
    report: Callable[[Callable[..., object], BaseException], None],
    handle: int,
    awaited_by: int,
    stack_size: int,
    name: bytes | None,
    /,
) -> int: ...
def trace_locks(when_made: bool, when_taken: bool, /) -> None: ...
