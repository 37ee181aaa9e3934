"""Chooses what locks, and the functions that C does best, are made of.

`native`: types and functions in C, the default on CPython. `cffi`: classes and functions in
Python over the same core, all there is on PyPy. The environment variable
`LOWTHREAD_BACKEND` asks for one of them.
"""

import os
import sys

from lowthread._load import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

#: What a backend has to provide.
NAMES = (
    "RLock",
    "_count",
    "_set_sentinel",
    "addressof",
    "allocate",
    "allocate_lock",
    "get_ident",
    "get_native_id",
    "lock",
    "start_new",
    "start_new_thread",
)


def _choose(wanted: "str | None") -> "tuple[str, ModuleType]":
    """Return the name of the backend, and the module that is it."""
    name = wanted or ("native" if native else "cffi")
    if name not in ("native", "cffi"):
        raise ImportError(f"LOWTHREAD_BACKEND is {name!r}, but must be native or cffi")
    if name == "native":
        if not native:
            raise ImportError(
                f"LOWTHREAD_BACKEND is 'native', but {sys.implementation.name} has only cffi"
            )
        module = native
    else:
        from lowthread import _portable as module
    missing = [n for n in NAMES if not hasattr(module, n)]
    if missing:
        raise ImportError(
            f"lowthread's backend {name} lacks {', '.join(missing)}: its native module is of "
            "another version; install or build it again"
        )
    return name, module


backend, _chosen = _choose(os.environ.get("LOWTHREAD_BACKEND"))
if TYPE_CHECKING:
    from lowthread import _native as _module  # whose types those of the other are to be like
else:
    _module = _chosen

RLock = _module.RLock
_count = _module._count
_set_sentinel = _module._set_sentinel
addressof = _module.addressof
allocate = _module.allocate
allocate_lock = _module.allocate_lock
get_ident = _module.get_ident
get_native_id = _module.get_native_id
lock = LockType = _module.lock
start_new = _module.start_new
start_new_thread = _module.start_new_thread
del _module, _chosen  # see lowthread/__init__.py
