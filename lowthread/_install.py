"""Puts lowthread in the place of the interpreter's own `_thread`, and takes it out again."""

from __future__ import annotations

import _thread as host
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

from lowthread._backend import _count, allocate_lock
from lowthread._builtin import unannotated
from lowthread._handle import _shutdown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Change = tuple[dict[str, object], str, object, object]

_lock = allocate_lock()

#: What `import _thread` gives while it is installed; filled by `provide`.
module = ModuleType("_thread", "Python's `_thread` module, by lowthread.")
module.__spec__ = ModuleSpec("_thread", None, origin="lowthread")

# What was put in the place of what: (namespace, name, theirs, ours).
_changes: list[Change] = []


def provide(names: dict[str, object]) -> None:
    """Say what the module `_thread` consists of: {name: object}."""
    vars(module).update(names)


def is_installed() -> bool:
    """Return whether `import _thread` gives lowthread's."""
    return sys.modules.get("_thread") is module


@unannotated
def install(*, force: object = False) -> None:
    """Have the interpreter's own `threading` run on lowthread from now on.

    What `import _thread` gives is lowthread's then, and so is everything that modules which
    are loaded already (`threading`, `functools`, `tempfile` and so on) took from there. Locks
    that exist already stay what they are, and work on. Does nothing if that was done before.

    force: go on also if threads run that were started by the interpreter's own `_thread`.

    Raises RuntimeError if there are such threads, and changes nothing then: part of the
    program would see the one kind of thread and part of it the other.
    """
    with _lock:
        if is_installed():
            return
        running = host._count()
        if running and not force:
            raise RuntimeError(
                "lowthread.install() comes too late: "
                f"{_threads(running)} on the interpreter's own _thread. Call it before any "
                "starts, or go on with install(force=True)"
            )
        # First, as it refuses when the interpreter is on its way out.
        wait_for_all = getattr(host, "_shutdown", None)
        if running and wait_for_all is not None:
            _wait_for_at_exit(wait_for_all)
        ours = {id(theirs): getattr(module, name) for name, theirs in _replaced()}
        ours[id(host)] = module
        sys.modules["_thread"] = module
        _replace(ours, _namespaces(), _changes)


@unannotated
def uninstall(*, force: object = False) -> None:
    """Take back what `install` has done; nothing if that is not so.

    Names that modules outside the standard library took from `_thread` meanwhile stay as
    they are, and so do threads and locks.

    force: go on also if threads of lowthread run.

    Raises RuntimeError if there are such threads, and changes nothing then.
    """
    with _lock:
        if not is_installed():
            return
        running = _count()
        if running and not force:
            raise RuntimeError(
                f"lowthread.uninstall() comes too early: {_threads(running)} on lowthread. "
                "Call it when none does, or go on with uninstall(force=True)"
            )
        if running and hasattr(host, "_shutdown"):
            _wait_for_at_exit(_shutdown)
        sys.modules["_thread"] = host
        for namespace, name, theirs, ours in _changes:
            if namespace.get(name) is ours:
                namespace[name] = theirs
        _changes.clear()
        # What the standard library's modules that were loaded meanwhile took from _thread.
        theirs = {id(getattr(module, name)): value for name, value in _replaced()}
        theirs[id(module)] = host
        _replace(theirs, _namespaces(of_stdlib=True), [])


def _threads(number: int) -> str:
    return f"{number} thread{'' if number == 1 else 's'} run{'s' if number == 1 else ''}"


def _replaced() -> list[tuple[str, object]]:
    """Return (name, object) for everything in the host's `_thread` that has a substitute."""
    return [
        (name, value)
        for name, value in vars(host).items()
        if not name.startswith("__") and getattr(module, name, value) is not value
    ]


def _namespaces(of_stdlib: bool = False) -> Iterator[dict[str, object]]:
    """Yield the dictionaries of the modules that are loaded."""
    for name, loaded in list(sys.modules.items()):
        if loaded is host or loaded is module or name.partition(".")[0] == "lowthread":
            continue
        try:
            # Not vars(): a module that loads itself when it is looked at must not.
            namespace = object.__getattribute__(loaded, "__dict__")
        except AttributeError:  # anything can be in sys.modules
            continue
        if type(namespace) is dict and (not of_stdlib or _is_stdlib(name, namespace)):
            yield namespace


def _is_stdlib(name: str, namespace: dict[str, object]) -> bool:
    if hasattr(sys, "stdlib_module_names"):  # since 3.10
        return name.partition(".")[0] in sys.stdlib_module_names
    import sysconfig

    file = namespace.get("__file__")
    if not isinstance(file, str):
        return False
    folder = sysconfig.get_paths()["stdlib"] + os.sep
    return file.startswith(folder) and "-packages" not in file[len(folder) :]


def _replace(
    by_id: dict[int, object], namespaces: Iterable[dict[str, object]], changes: list[Change]
) -> None:
    for namespace in namespaces:
        for name, value in list(namespace.items()):
            new = by_id.get(id(value))
            if new is not None:
                namespace[name] = new
                changes.append((namespace, name, value, new))


def _wait_for_at_exit(shutdown: Callable[[], None]) -> None:
    """Have the end of the interpreter wait for the threads that `threading` has lost."""
    import threading

    threading._register_atexit(shutdown)  # type: ignore[attr-defined]  # private
