"""Standard error as the program was given it, which is where options of the command line print.

A program may have another for a while: pytest replaces both `sys.stderr` and descriptor 2 while a
test runs, and shows what was written when the test has ended, which one that hangs never does.
"""

from __future__ import annotations

import os
import sys


def write(text: str) -> None:
    """Print on `sys.stderr`; raise no Exception."""
    try:
        sys.stderr.write(text)
    except Exception:  # there is none, it is closed, or the program's own
        pass


class KeptStderr:
    """What standard error was when this was made; what `sys.stderr` is, where that got lost."""

    def __init__(self) -> None:
        self._copy = 2
        self._is: os.stat_result | None = None
        if sys.stderr is None:  # descriptor 2 is closed, or will be some other file
            return
        self._encoding = sys.stderr.encoding
        try:
            self._copy = os.dup(2)
            self._is = os.fstat(self._copy)
        except OSError:
            pass

    def write(self, text: str) -> None:
        """Print a text; raise no Exception."""
        try:
            # Programs close descriptors they do not know, and then open others in their place.
            if self._is is not None and os.path.samestat(self._is, os.fstat(self._copy)):
                rest = text.encode(self._encoding, "backslashreplace")
                while rest:
                    rest = rest[os.write(self._copy, rest) :]
                return
        except OSError:
            pass
        write(text)
