"""What `python -m lowthread --info` tells."""

from __future__ import annotations

import os
import platform
import sys

from lowthread._arguments import TIMEOUT_MAX
from lowthread._backend import backend
from lowthread._install import is_installed
from lowthread._load import ffi, lib
from lowthread._load import module as native_module
from lowthread._naming import _NAME_MAXLEN
from lowthread._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def info() -> str:
    """Return it as text, a line for each thing: a name, two spaces or more, and a value."""
    lines = [*_versions(), *_choices(), *_limits()]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:{width}}  {value}" for name, value in lines)


def _versions() -> Iterator[tuple[str, str]]:
    build: tuple[str, ...] = platform.python_implementation(), platform.python_version()
    if build[0] == "PyPy":
        version: Any = vars(sys)["pypy_version_info"]
        build = (*build, f"({version.major}.{version.minor}.{version.micro})")
    import _cffi_backend

    yield "lowthread", f"{__version__}, {os.path.dirname(os.path.abspath(__file__))}"
    yield "interpreter", f"{' '.join(build)}, {sys.executable}"
    yield "system", f"{platform.system()} {platform.release()} {platform.machine()}"
    yield "cffi", _cffi_backend.__version__


def _choices() -> Iterator[tuple[str, str]]:
    yield "native module", native_module.__file__
    yield "backend", backend
    yield "wait", ffi.string(lib.lt_wait_name).decode()
    yield "installed", "yes" if is_installed() else "no"
    yield "in children", "yes" if "LOWTHREAD_CHILDREN" in os.environ else "no"


def _limits() -> Iterator[tuple[str, str]]:
    import resource

    yield "longest timeout", f"{TIMEOUT_MAX:.0f} s"
    yield "longest name", "no names" if _NAME_MAXLEN < 0 else f"{_NAME_MAXLEN} bytes"
    for name, limit in [
        ("stack size", "RLIMIT_STACK"),
        ("address space", "RLIMIT_AS"),
        ("user's threads", "RLIMIT_NPROC"),
    ]:
        if hasattr(resource, limit):
            value = resource.getrlimit(getattr(resource, limit))[0]
            unit = "" if limit == "RLIMIT_NPROC" else " bytes"
            shown = "unlimited" if value == resource.RLIM_INFINITY else f"{value}{unit}"
            yield name, f"{shown} ({limit})"
    for name, path in [
        ("system's threads", "/proc/sys/kernel/threads-max"),
        ("system's ids", "/proc/sys/kernel/pid_max"),
        ("memory maps", "/proc/sys/vm/max_map_count"),
        ("cgroup's threads", _cgroup_file("pids.max")),
    ]:
        try:
            with open(path, encoding="ascii") as f:
                yield name, f"{f.read().strip()} ({path})"
        except OSError:
            pass  # not on this system


def _cgroup_file(name: str) -> str:
    """Return the path of a file of this process's cgroup, which may not exist."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as f:
            lines = [line.rstrip("\n").split(":", 2) for line in f]
    except OSError:
        return os.devnull + "/"
    for number, controllers, folder in lines:
        if "pids" in controllers.split(","):
            return f"/sys/fs/cgroup/pids{folder}/{name}"
        if number == "0":
            return f"/sys/fs/cgroup{folder}/{name}"
    return os.devnull + "/"
