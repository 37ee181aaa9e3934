"""What becomes of what was found: `on_deadlock` and `on_inversion`."""

from __future__ import annotations

from sys import _getframe

from lowthread._hooks import HERE
from lowthread._stderr import write

# Where to, by what may be raised instead, where it is not `sys.stderr`.
_writers: dict[type[Exception], Callable[[str], object]] = {}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def check_reaction(reaction: object, name: str, accepted: str) -> None:
    """Raise ValueError for another word than those that are known, TypeError for what is no way.

    name: that of the argument.
    accepted: what it may be, in words.
    """
    if isinstance(reaction, str):
        if reaction not in ("report", "raise"):
            raise ValueError(f"{name} must be {accepted}, not {reaction!r}")
    elif not callable(reaction):
        raise TypeError(f"{name} must be {accepted}, not {type(reaction).__name__}")


def react(reaction: Any, found: Any, error: type[Exception]) -> None:
    """Call the reaction, raise the error, or print; with `found`, or its text.

    Where a `Condition` takes back the lock that it gave back for its wait, it is printed and not
    raised: who has called `wait` is going to release the lock.
    """
    if callable(reaction):
        reaction(found)
    elif reaction == "raise" and not is_taken_back():
        raise error(found.text[len("lowthread: ") : -1])  # the traceback tells whose error it is
    else:
        _writers.get(error, write)(found.text)


def report_with(error: type[Exception], write: Callable[[str], object] | None) -> None:
    """Have what may be raised as that error printed by a function; None: on `sys.stderr`."""
    if write is None:
        _writers.pop(error, None)
    else:
        _writers[error] = write


def is_taken_back() -> bool:
    """Return whether it is a `Condition` that takes back its lock."""
    frame = _getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(HERE):
        frame = frame.f_back
    return frame.f_code.co_name == "_acquire_restore"
