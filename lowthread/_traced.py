"""Locks that are Python classes, telling of themselves, for the backend `cffi`.

Only while that is on do these classes have the methods that tell, so that otherwise nothing is
slower.
"""

from __future__ import annotations

import sys
from functools import wraps

from lowthread._arguments import UNSET
from lowthread._check import made, taking
from lowthread._load import lib
from lowthread._pylock import lock
from lowthread._pyrlock import RLock
from lowthread._with import Exit, TellingEnter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lowthread._with import Enter

# What the classes have otherwise, by name.
_plain: dict[tuple[type, str], Any] = {}


def trace_classes(when_made: bool, when_taken: bool, when_released: bool) -> None:
    """Have locks tell of themselves from now on, or not any more.

    when_made: they call `made`; see _check.py.
    when_taken: they call `taking` before each try to take them.
    when_released: the core writes that down; see csrc/lt_record.h.
    """
    wanted: dict[str, Callable[[type, Any], Any]] = {}
    if when_made:
        wanted["__new__"] = _new
    if when_taken:
        wanted.update(acquire=_acquire, __enter__=_enter)
    if when_released:
        wanted.update(release=_release, __exit__=_exit)
    for cls, name in list(_plain):
        if name not in wanted:
            type.__setattr__(cls, name, _plain.pop((cls, name)))
    for cls in (lock, RLock):
        for name, trace in wanted.items():
            if (cls, name) not in _plain:
                _plain[cls, name] = vars(cls)[name]
                type.__setattr__(cls, name, trace(cls, _plain[cls, name]))


def _tell(
    tell: Callable[..., Any],
    *args: object,
    is_finalizing: Callable[[], bool] = sys.is_finalizing,
) -> None:
    if is_finalizing():  # what it takes may be gone
        return
    try:
        tell(*args)
    except (RecursionError, MemoryError):  # for want of which no lock fails
        pass


def _new(_: type, plain: Any) -> Any:
    @wraps(plain.__func__)
    def new(cls: Any, /, *_: object, **__: object) -> Any:
        self = plain.__func__(cls)
        _tell(made, self)
        return self

    return staticmethod(new)


def _acquire(_: type, plain: Callable[..., bool]) -> Callable[..., bool]:
    @wraps(plain)
    def acquire(self: Any, /, blocking: object = True, timeout: Any = UNSET) -> bool:
        tries = type(blocking) in (bool, int) and not blocking
        _tell(taking, self, not tries and type(timeout) in (int, float) and timeout == UNSET)
        return plain(self, blocking, timeout)

    return acquire


def _enter(_: type, plain: Enter) -> Enter:
    return TellingEnter(plain, _before)


def _before(self: Any, _: object) -> bool:
    _tell(taking, self, True)
    return False


# Of the core: what releases it, and what `Exit` takes for that.
_TOLD: dict[type, tuple[Callable[[Any], int], Callable[..., bool]]] = {
    lock: (lib.lt_lock_release_told, lib.lt_release_told_is),
    RLock: (lib.lt_rlock_release_told, lib.lt_rrelease_told_is),
}
_NOT_HELD = lib.LT_NOT_HELD


def _release(cls: type, plain: Callable[[Any], None]) -> Callable[[Any], None]:
    told = _TOLD[cls][0]
    leaving: Exit = vars(cls)["__exit__"]
    cell_of, complain = leaving.cell_of, leaving.complain

    @wraps(plain)
    def release(self: Any, /) -> None:
        if told(cell_of(self)) == _NOT_HELD:
            complain()

    return release


def _exit(cls: type, plain: Exit) -> Exit:
    told = Exit(plain.method, _TOLD[cls][1], plain.complain)
    told.cell_of = plain.cell_of
    return told
