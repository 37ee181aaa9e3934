"""What `threading` prints of an exception that leaves a thread's `run()`.

Documented as `threading.excepthook`. CPython has it in C; PyPy's `threading` makes do with
what is in the module itself, so here is what `_thread` would have.
"""

from __future__ import annotations

import sys

from lowthread._builtin import builtin
from lowthread._load import PYPY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if PYPY and not TYPE_CHECKING:  # checkers do not know PyPy's own modules
    import traceback
    from _thread import get_ident

    from _structseq import structseqfield, structseqtype

    class _ExceptHookArgs(metaclass=structseqtype):
        """Type used to pass arguments to threading.excepthook."""

        name = "lowthread._ExceptHookArgs"

        exc_type = structseqfield(0, "Exception type")
        exc_value = structseqfield(1, "Exception value")
        exc_traceback = structseqfield(2, "Exception traceback")
        thread = structseqfield(3, "Thread")

    @builtin(least=1, most=1)
    def _excepthook(args: Any, /) -> None:
        """Print an exception that left a thread on `sys.stderr`; SystemExit is ignored.

        args: an `_ExceptHookArgs`: exc_type, exc_value, exc_traceback, thread (or None).

        Where `sys.stderr` is None or missing, it is the thread's own `_stderr`, which
        `threading` keeps. Raises TypeError for other arguments.
        """
        if type(args) is not _ExceptHookArgs:
            raise TypeError("_thread.excepthook argument type must be ExceptHookArgs")
        if args.exc_type is SystemExit:
            return
        file = getattr(sys, "stderr", None)
        if file is None:
            file = None if args.thread is None else args.thread._stderr
            if file is None:
                return
        name = get_ident() if args.thread is None else args.thread.name
        print(f"Exception in thread {name}:", file=file)
        traceback.print_exception(args.exc_type, args.exc_value, args.exc_traceback, file=file)
        file.flush()

else:
    from _thread import _excepthook, _ExceptHookArgs  # noqa: F401
