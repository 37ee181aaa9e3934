"""Which way to wait was built: the one that was asked for."""

import os
import sys

from lowthread._load import ffi, lib


def test_the_way_to_wait():
    default = "futex" if sys.platform.startswith("linux") else "pthread"
    wanted = os.environ.get("LOWTHREAD_WAIT") or default
    assert ffi.string(lib.lt_wait_name).decode() == wanted
