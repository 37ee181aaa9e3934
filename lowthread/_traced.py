"""Locks that are Python classes, telling of themselves: `trace_locks` of the backend `cffi`.

Only while that is on do these classes have the methods that tell, so that otherwise nothing is
slower.
"""

from __future__ import annotations

from functools import wraps

from lowthread._arguments import UNSET
from lowthread._check import made, taking
from lowthread._pylock import lock
from lowthread._pyrlock import RLock
from lowthread._with import TellingEnter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lowthread._with import Enter

# What the classes have otherwise, by name.
_plain: dict[tuple[type, str], Any] = {}


def trace_locks(yes: bool, /) -> None:
    """Have locks that are made from now on tell of themselves then, or not any more.

    They call `made`, and `taking` before each try to take them; see _check.py.
    """
    if yes == bool(_plain):
        return
    if not yes:
        while _plain:
            (cls, name), plain = _plain.popitem()
            type.__setattr__(cls, name, plain)
        return
    for cls in (lock, RLock):
        for name, trace in (("__new__", _new), ("acquire", _acquire), ("__enter__", _enter)):
            plain = vars(cls)[name]
            _plain[cls, name] = plain
            type.__setattr__(cls, name, trace(plain))


def _tell(tell: Callable[..., Any], *args: object) -> None:
    try:
        tell(*args)
    except (RecursionError, MemoryError):  # for want of which no lock fails
        pass


def _new(plain: Any) -> Any:
    @wraps(plain.__func__)
    def new(cls: Any, /, *_: object, **__: object) -> Any:
        self = plain.__func__(cls)
        _tell(made, self)
        return self

    return staticmethod(new)


def _acquire(plain: Callable[..., bool]) -> Callable[..., bool]:
    @wraps(plain)
    def acquire(self: Any, /, blocking: object = True, timeout: Any = UNSET) -> bool:
        tries = type(blocking) in (bool, int) and not blocking
        _tell(taking, self, not tries and type(timeout) in (int, float) and timeout == UNSET)
        return plain(self, blocking, timeout)

    return acquire


def _enter(plain: Enter) -> Enter:
    return TellingEnter(plain, _before)


def _before(self: Any, _: object) -> bool:
    _tell(taking, self, True)
    return False
