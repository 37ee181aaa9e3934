"""Thread-local data that is gone when its thread ends: `_local`.

On CPython the interpreter's own is that. PyPy (7.3.11) never frees the values of a thread that
it did not start itself, as long as the local lives: its table is keyed by the thread's context
and keeps that alive. So there this module has a type of its own, after the documentation
of `threading.local`, which leaves the interpreter's own threads to the interpreter and keeps
the values of ours itself.
"""

from __future__ import annotations

import os
import weakref
from _thread import _local as _host_local
from _thread import get_ident

from lowthread._builtin import unannotated
from lowthread._load import PYPY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, SupportsIndex
    from weakref import WeakSet

    from typing_extensions import Self

_MISSING = object()

# The threads that lowthread started and that run: which stores have values for each, or None.
# A thread touches only its own entry.
_ours: dict[int, WeakSet[_Store] | None] = {}


def threads_of_ours() -> list[int]:
    """Return the idents of the threads that lowthread started and that run; on PyPy only."""
    return list(_ours)


def enter_this_thread() -> None:
    """Note that the calling thread will call `leave_this_thread`."""
    _ours[get_ident()] = None


def leave_this_thread() -> None:
    """Drop the values that the calling thread has in every `_local`."""
    _drop(get_ident())


def _drop(ident: int) -> None:
    for store in _ours.pop(ident, None) or ():
        store.values.pop(ident, None)


def _after_fork_in_child() -> None:
    me = get_ident()
    for ident in [ident for ident in _ours if ident != me]:
        _drop(ident)


class _Store:
    """What one `_local` has: how to begin in a thread, and the values of each."""

    __slots__ = ("__weakref__", "args", "host", "kwargs", "values")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs
        self.host = _host_local()  # for threads of the interpreter's own
        self.values: dict[int, dict[str, Any]] = {}  # for ours

    def find(self) -> dict[str, Any] | None:
        ident = get_ident()
        if ident in _ours:
            return self.values.get(ident)
        return getattr(self.host, "values", None)

    def begin(self) -> dict[str, Any]:
        ident = get_ident()
        values: dict[str, Any] = {}
        if ident in _ours:
            stores = _ours[ident]
            if stores is None:
                stores = _ours[ident] = weakref.WeakSet()
            stores.add(self)
            self.values[ident] = values
        else:
            self.host.values = values
        return values

    def abort(self) -> None:
        self.values.pop(get_ident(), None)
        vars(self.host).clear()


def _values(local: _ThreadLocal) -> dict[str, Any]:
    """Return the calling thread's dictionary; make it, and run __init__, if need be."""
    store: _Store = _store_slot.__get__(local)
    values = store.find()
    if values is None:
        values = store.begin()
        try:
            type(local).__init__(local, *store.args, **store.kwargs)
        except BaseException:
            store.abort()
            raise
    return values


def _find_in_type(cls: type, name: str) -> Any:
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return _MISSING


def _setter(local: _ThreadLocal, name: str, method: str) -> Callable[..., object] | None:
    """Return the `method` of a data descriptor called `name`, or None."""
    if name == "__dict__":
        raise AttributeError(f"{type(local).__name__!r} object attribute '__dict__' is read-only")
    kind = type(_find_in_type(type(local), name))
    return getattr(kind, method, None)


@unannotated
class _ThreadLocal:
    """Thread-local data: attributes of which each thread sees its own.

    A subclass may have an `__init__`, which is called with the arguments of the constructor
    in each thread that uses the object. The values of a thread are dropped when it ends.
    """

    __slots__ = ("__weakref__", "_store")
    _store: _Store

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Self:
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError("Initialization arguments are not supported")
        self = object.__new__(cls)
        store = _Store(args, kwargs)
        _store_slot.__set__(self, store)
        store.begin()
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    def __getattribute__(self, name: str) -> Any:
        values = _values(self)
        if name == "__dict__":
            return values
        cls = type(self)
        found = _find_in_type(cls, name)
        kind = type(found)
        get = getattr(kind, "__get__", None)
        if get is not None and (hasattr(kind, "__set__") or hasattr(kind, "__delete__")):
            return get(found, self, cls)
        if name in values:
            return values[name]
        if get is not None:
            return get(found, self, cls)
        if found is not _MISSING:
            return found
        raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        values = _values(self)
        setter = _setter(self, name, "__set__")
        if setter is not None:
            setter(_find_in_type(type(self), name), self, value)
        else:
            values[name] = value

    def __delattr__(self, name: str) -> None:
        values = _values(self)
        deleter = _setter(self, name, "__delete__")
        if deleter is not None:
            deleter(_find_in_type(type(self), name), self)
        elif name in values:
            del values[name]
        else:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


# No name of ours may be in the way of a subclass.
_store_slot = _ThreadLocal.__dict__["_store"]
del _ThreadLocal._store  # type: ignore[misc]  # a slot, which goes on without a name

if PYPY:
    _local: Any = _ThreadLocal
    _local.__name__ = _local.__qualname__ = "_local"
    _local.__module__ = "lowthread"
    os.register_at_fork(after_in_child=_after_fork_in_child)
else:
    _local = _host_local
