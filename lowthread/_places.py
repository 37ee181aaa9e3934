"""Where locks were made, and what they are known by: `trace_locks()`."""

from __future__ import annotations

from collections import namedtuple
from itertools import count
from sys import _getframe
from weakref import ref

from lowthread._backend import RLock, addressof, allocate_lock, backend, lock
from lowthread._builtin import unannotated
from lowthread._check import makers, takers
from lowthread._hooks import HERE, is_start
from lowthread._load import ffi, lib, native
from lowthread._pylock import _cell_of as cell_of_lock
from lowthread._pyrlock import _cell_of as cell_of_rlock
from lowthread._traced import trace_classes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

# As in lowthread/_state.py.
# pyright: reportUntypedNamedTuple=false


def _offset(probe: Any) -> int:
    """Return where in a lock object the core's lock is: not by its addressof(), which marks it."""
    return addressof(probe) - id(probe)


_OFFSETS = (_offset(allocate_lock()), _offset(RLock())) if backend == "native" else None


def address_of(thing: Any) -> int | None:
    """Return what addressof() does, without marking the lock; None for what is no lock."""
    is_rlock = issubclass(type(thing), RLock)
    if not is_rlock and type(thing) is not lock:
        return None
    if _OFFSETS is not None:
        return id(thing) + _OFFSETS[is_rlock]
    cell_of: Any = cell_of_rlock if is_rlock else cell_of_lock
    return int(ffi.cast("uintptr_t", cell_of(thing)))


def has(ident: int, address: int, is_rlock: bool) -> bool:
    """Return whether a thread took the lock at an address, where there is one, and has it."""
    if is_rlock:
        return lib.lt_rlock_owner(ffi.cast("lt_rlock *", address)) == ident
    return lib.lt_lock_was_taken_by(ffi.cast("lt_lock *", address), ident)


#: A call: its file, line and function.
Call = namedtuple("Call", "file line function")

#: A lock: a weak reference, its address, the place that made it, and a number of its own.
Made = namedtuple("Made", "ref address is_rlock place number")

#: A place in the program: a call, and which instruction there.
Place = namedtuple("Place", "call instruction")


def say_call(call: Call) -> str:
    return f'File "{call.file}", line {call.line}, in {call.function}'


def calls_of(frame: FrameType | None, most: int) -> tuple[Call, ...]:
    """Return the calls of a stack, the most recent first, without our own."""
    calls: list[Call] = []
    while frame is not None and len(calls) < most:
        code = frame.f_code
        if is_start(code.co_filename, code.co_name):
            break
        if not code.co_filename.startswith(HERE):
            calls.append(Call(code.co_filename, frame.f_lineno, code.co_name))
        frame = frame.f_back
    return tuple(calls)


# By address. Another lock may have that one later.
_made: dict[int, Made] = {}

_numbers = count(1)

# Who makes locks for others: what is of interest is who had them made.
_MAKERS = ("threading", "queue")


def is_of_a_condition(frame: FrameType) -> bool:
    """Return whether a call is of `threading.Condition.wait`."""
    module = dict.get(frame.f_globals, "__name__")
    # Not another type of str, whose __eq__ is the program's.
    return type(module) is str and (module, frame.f_code.co_name) == ("threading", "wait")


def _place(frame: FrameType | None) -> Place | None:
    found = None
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(HERE):
            module = dict.get(frame.f_globals, "__name__")
            is_for_others = module in _MAKERS
            if found is None and is_of_a_condition(frame):
                return None  # a Condition's signal to itself
            if found is None or not is_for_others:
                call = Call(code.co_filename, frame.f_lineno, code.co_name)
                found = Place(call, frame.f_lasti)
            if not is_for_others:
                break
        frame = frame.f_back
    return found


def _keep(new: Any) -> bool:
    address = address_of(new)
    place = _place(_getframe(1))
    if address is None or place is None:
        return False

    def forget(gone: object, made: Any = _made, address: int = address) -> None:
        known = made.get(address)
        if known is not None and known.ref is gone:  # else another one is there by now
            made.pop(address, None)

    number = next(_numbers)
    _made[address] = Made(ref(new, forget), address, type(new) is not lock, place, number)
    return bool(takers)


_is_wanted = False
_timed: Any = None  # of `takers`, the one that is to be told of releases, too


def what_is_known_of(thing: Any) -> Made | None:
    """Return what was noted of a lock when it was made, if it was."""
    address = address_of(thing)
    known = _made.get(address) if address is not None else None
    return known if known is not None and known.ref() is thing else None


def place_of_lock(address: int) -> str | None:
    """Return where the lock at an address was made, if that was noted."""
    known = _made.get(address)
    return say_call(known.place.call) if known is not None and known.ref() is not None else None


@unannotated
def trace_locks(yes: bool = True, /) -> None:
    """Note where each lock is created from now on, for `locks`, `dump` and reports to tell.

    yes: whether to; false: not any more.

    The place is that of the innermost call, but for those of lowthread, `threading` and `queue`.
    Making a lock takes some microseconds more meanwhile, taking one does not. Those that stand for
    the end of a thread, or with which a `threading.Condition` waits, are not among these.
    """
    global _is_wanted
    _is_wanted = bool(yes)
    _update()


def tell_of_taking(listener: Callable[[Any, bool], object], is_timed: bool = False) -> None:
    """Have locks that are made from now on call it before each try to take them; see _check.py.

    is_timed: also those for which somebody waits from now on; and all tell, to the record of
    waits, when they are released.
    """
    global _timed
    takers[:] = [other for other in takers if other != listener] + [listener]
    if is_timed:
        _timed = listener
    _update()


def tell_no_more_of_taking(listener: Callable[[Any, bool], object]) -> None:
    """Take that back."""
    takers[:] = [other for other in takers if other != listener]
    _update()


def _update() -> None:
    is_told = bool(takers)
    is_on = _is_wanted or is_told
    makers[:] = [_keep] if is_on else []
    if native and backend == "native":
        native.trace_locks(is_on, is_told)  # and lt_record_begin() has them tell of releases
    else:
        trace_classes(is_on, is_told, _timed in takers)
