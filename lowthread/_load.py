"""Loads the native part, in one place, with one clear error if it cannot be."""

import os
import signal
import sys
from _thread import get_ident as _get_ident
from importlib import import_module
from importlib.machinery import ExtensionFileLoader, ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

PYPY = sys.implementation.name == "pypy"


# Annotations are quoted here, and in what is loaded before: older versions, which cannot put them
# off, are to come as far as the error.
def _load_ffi() -> "ModuleType":
    if sys.version_info < (3, 9):
        raise ImportError("lowthread needs Python 3.9 or later")
    try:
        return import_module("lowthread._ffi")
    except ImportError as error:
        text = str(error)
        # CPython says so since 3.12, in cffi's name or in that of our module.
        if "subinterpreter" in text:
            message = (
                "lowthread cannot be used in this sub-interpreter: cffi, on which it is built, "
                "does not support loading in subinterpreters"
            )
        elif error.name == "_cffi_backend" and isinstance(error, ModuleNotFoundError):
            message = (
                f"lowthread needs the package cffi, which {sys.executable} has not: "
                "pip install cffi"
            )
        # CPython 3.9 finds the module that was built for 3.10 and later, and cannot use it.
        elif isinstance(error, ModuleNotFoundError) or "undefined symbol" in text:
            message = (
                f"lowthread's native module is not built for {sys.executable} in "
                f"{os.path.dirname(os.path.abspath(__file__))}: if that is a checkout, run `make "
                "build` there (PYTHON=... for an interpreter other than python3), or go "
                "elsewhere to use one that is installed; if it is not, install it again"
            )
        else:
            raise ImportError(f"lowthread's native module cannot be loaded: {text}") from error
        raise ImportError(message, name="lowthread._ffi") from None


def _load_beside(name: str, path: str) -> "ModuleType":
    """Load a module from the shared library at `path`, which has several.

    As PEP 489 describes; a library of its own would have a second copy of the core.
    """
    if name not in sys.modules:
        # By hand: importlib.util would import threading, which install() should precede.
        loader = ExtensionFileLoader(name, path)
        spec = ModuleSpec(name, loader, origin=path)
        module = loader.create_module(spec)
        module.__spec__, module.__loader__, module.__file__ = spec, loader, path
        loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def load_capsule() -> object:
    """Return the capsule that native code of others takes, `lowthread._C_API`."""
    return _load_beside("lowthread._capsule", _ffi.__file__)._C_API


def _in_main_thread() -> bool:
    """Return whether Python runs its signal handlers in the calling thread.

    `signal.set_wakeup_fd` refuses any other thread before it looks at its argument,
    and this argument before it changes anything.
    """
    try:
        signal.set_wakeup_fd(2**31 - 1)
    except OSError:
        return True
    except ValueError as error:  # PyPy says so also of what is no descriptor
        return "main thread" not in str(error)
    raise AssertionError("descriptor 2**31 - 1 is open")


def _learn_signal_handler() -> None:
    """Show the core what the interpreter installs for a signal that it handles.

    Not needed, and not done, where it can be asked to act as if a signal had come.
    """
    if not PYPY and sys.version_info >= (3, 10):
        return  # PyErr_SetInterruptEx()
    signum = signal.SIGURG  # which is ignored by default, should one come meanwhile
    handler = signal.getsignal(signum)
    if handler is None:  # not installed from Python: not ours to touch
        return
    signal.signal(signum, _no_handler)
    lib.lt_learn_signal_handler(signum)
    signal.signal(signum, handler)


def _no_handler(signum: int, frame: object) -> None:
    pass


if TYPE_CHECKING:
    from lowthread import _ffi, _native
else:
    _ffi = _load_ffi()
    _native = None if PYPY else _load_beside("lowthread._native", _ffi.__file__)
module = _ffi
ffi = module.ffi
lib = module.lib
native = None if PYPY else _native

# For what is done often: on PyPy, to call `lib` is to let other threads have the GIL.
get_ident = _get_ident if PYPY else lib.lt_ident

# For modules whose functions destructors call: those do not have `native`. At its end the
# interpreter empties modules that something has.
check_signals = native.check_signals if native else None
leave = native.leave if native else None

_error = lib.lt_core_init()
if _error != 0:
    raise ImportError("lowthread's core cannot be set up") from OSError(
        _error, os.strerror(_error)
    )
if _in_main_thread():
    lib.lt_main_here()
    _learn_signal_handler()
