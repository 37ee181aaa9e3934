"""What native code of others needs to use the locks: see include/lowthread.h."""

from __future__ import annotations

import os

from lowthread._builtin import unannotated
from lowthread._load import ffi, lib

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "include")


@unannotated
def get_include() -> str:
    """Return the folder that has `lowthread.h`, a str: for a compiler's `-I`.

    The header is for C, C++, Cython and cffi programs that share locks with Python; it tells
    how to use them, in which threads, and what has to be kept in mind.
    """
    return _FOLDER


@unannotated
def get_api() -> int:
    """Return the address of the table of functions that `lowthread.h` declares, an int.

    It is a `const lt_api *`, the same for the life of the process, and begins with its version.
    For programs that do without Python's C API, such as cffi's; a C extension takes the capsule
    `lowthread._C_API`, which has the same pointer, by calling `lt_import_api()`.
    """
    return int(ffi.cast("uintptr_t", lib.lt_get_api()))
