"""The name that the system shows for a thread, in `ps`, `top` or `gdb`. As in Python 3.14."""

from __future__ import annotations

import os
import sys

from lowthread._builtin import builtin
from lowthread._load import ffi, lib

#: The longest name that the system keeps, in bytes, or -1 if it keeps none.
_NAME_MAXLEN = lib.lt_name_max

_SIZE = 64


def encode_name(name: str) -> bytes:
    """Return a name as the system takes it: bytes, cut if they are too many, or by C at a NUL."""
    return name.encode(sys.getfilesystemencoding(), "replace")[:_NAME_MAXLEN]


def _check(error: int) -> None:
    if error != 0:
        raise OSError(error, os.strerror(error))


@builtin(least=1, most=1, keywords=True)
def set_name(name: str) -> None:
    """Set the name that the system shows for the calling thread.

    name: a str. It is encoded as file names are, with `?` for what cannot be, and cut after
    `_NAME_MAXLEN` bytes (15 on Linux) or at a NUL.

    Raises OSError if the system refuses.
    """
    if not isinstance(name, str):
        kind = "None" if name is None else type(name).__name__
        raise TypeError(f"set_name() argument 'name' must be str, not {kind}")
    _check(lib.lt_set_name(encode_name(name)))


@builtin()
def _get_name() -> str:
    """Return the name that the system shows for the calling thread, a str.

    Raises OSError if the system does not tell.
    """
    name = ffi.new("char[]", _SIZE)
    _check(lib.lt_get_name(name, _SIZE))
    return os.fsdecode(ffi.string(name))
