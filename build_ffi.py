"""Describes the native module to cffi; setup.py has it built.

There is one shared library, `lowthread/_ffi.*.so`, for the core in `csrc/`, cffi's
wrappers and, on CPython, `lowthread._native`, so that the core exists once in a
process.

The environment variable `LOWTHREAD_WAIT` chooses how threads sleep: `futex` (the
default on Linux) or `pthread` (the default elsewhere).
"""

import os
import sys
import sysconfig

from cffi import FFI

# Under PEP 517 the project's directory is not the one to be relied upon.
HERE = os.path.dirname(os.path.abspath(__file__))
PYPY = sys.implementation.name == "pypy"

#: Where the header is that native code of others includes.
PUBLIC = "lowthread/include"
WAITS = ("futex", "pthread")
CORE = ("api", "handle", "lock", "park", "record", "rlock", "thread")
CPYTHON = ("cpython", "ends", "fork", "functions", "lock_type", "rlock_type", "types")


def wait_choice():
    default = "futex" if sys.platform.startswith("linux") else "pthread"
    wait = os.environ.get("LOWTHREAD_WAIT") or default
    if wait not in WAITS:
        raise SystemExit("LOWTHREAD_WAIT is %r, but must be one of: %s" % (wait, ", ".join(WAITS)))
    return wait


def limited_api():
    """The macros and keywords for the widest ABI that this interpreter can build."""
    if PYPY:
        return {}
    if (
        sys.version_info < (3, 10)  # PyErr_SetInterruptEx() came with 3.10
        or sysconfig.get_config_var("Py_GIL_DISABLED")
        or hasattr(sys, "gettotalrefcount")  # a debug build
    ):
        return {"py_limited_api": False}
    return {
        "py_limited_api": True,
        "define_macros": [("Py_LIMITED_API", "0x030A0000")],
    }


def wheel_options():
    """Return what to ask for a wheel whose tag says which versions it is for.

    One that was built with the headers of 3.10 or 3.11 counts references that later versions do
    not count, and so is not offered to those.
    """
    if not limited_api().get("py_limited_api") or sys.version_info < (3, 12):
        return {}
    return {"py_limited_api": "cp310"}


def read(name):
    with open(os.path.join(HERE, "csrc", name), encoding="utf-8") as f:
        return f.read()


def headers():
    for folder in ("csrc", "csrc/cpython", PUBLIC):
        for name in sorted(os.listdir(os.path.join(HERE, folder))):
            if name.endswith(".h"):
                yield folder + "/" + name


def make_ffi():
    ffi = FFI()
    ffi.cdef(read("lt_cdef.h"))
    wait = wait_choice()
    sources = [f"csrc/lt_{part}.c" for part in (*CORE, "capsule", f"wait_{wait}")]
    if PYPY:
        ffi.cdef(read("lt_cdef_pypy.h"))
    else:
        sources += [f"csrc/cpython/lt_{part}.c" for part in CPYTHON]
    ffi.set_source(
        "lowthread._ffi",
        # The comment makes a change of the choice one of the source, which is built again.
        f'/* {wait} */\n#include "lt_prelude.h"',
        sources=sources,
        depends=[*headers(), "build_ffi.py"],
        include_dirs=["csrc", PUBLIC],
        extra_compile_args=["-std=gnu11", "-fvisibility=hidden", "-pthread"],
        extra_link_args=["-pthread"],
        **limited_api(),
    )
    return ffi


ffibuilder = make_ffi()
