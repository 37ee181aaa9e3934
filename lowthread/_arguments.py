"""The arguments of `acquire`: what is accepted, and what is said of the rest.

The rules are those of CPython 3.13 (`Modules/_threadmodule.c`, `Python/pytime.c`), to the
message. csrc/cpython/lt_types.c has them for the types in C.
"""

import struct

# By name: when the interpreter ends, other modules lose their contents before ours.
from math import ceil, floor, isnan
from operator import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, SupportsIndex

#: The largest timeout that every function here accepts, in seconds. The limit itself is
#: 2**63 - 1 ns; this is that in whole seconds, as CPython gives it.
TIMEOUT_MAX = 9223372036.0

FOREVER = 2**63 - 1  # lt_wait.h's LT_FOREVER, and the largest timeout, in ns
UNSET = -1

_NS_PER_S = 10**9
UNSIGNED_LONG_MAX = 2 ** (8 * struct.calcsize("L")) - 1


def wait_in_ns(blocking: object = True, timeout: "float | SupportsIndex" = UNSET) -> int:
    """Return how long `acquire(blocking, timeout)` may wait: ns, 0, or `FOREVER`."""
    blocking = bool(blocking)
    ns = timeout_in_ns(timeout)
    if not blocking:
        if ns != UNSET * _NS_PER_S:
            raise ValueError("can't specify a timeout for a non-blocking call")
        return 0
    if ns == UNSET * _NS_PER_S:
        return FOREVER
    if ns < 0:
        raise ValueError("timeout value must be a non-negative number")
    return ns


def timeout_in_ns(timeout: "float | SupportsIndex") -> int:
    """Convert a timeout in seconds to whole nanoseconds, rounded away from zero.

    Raises TypeError, ValueError (NaN) or OverflowError as CPython 3.13 does.
    """
    if isinstance(timeout, float):
        if isnan(timeout):
            raise ValueError("Invalid value NaN (not a number)")
        # In floating point, as 3.13 has it: what is in range is decided there.
        ns = timeout * 1e9
        if not -(2.0**63) <= ns < 2.0**63:
            raise OverflowError("timestamp out of range for platform time_t")
        return ceil(ns) if ns >= 0 else floor(ns)
    ns = index(timeout) * _NS_PER_S
    if not -FOREVER - 1 <= ns <= FOREVER:
        raise OverflowError("timestamp too large to convert to C PyTime_t")
    return ns


def two_unsigned_longs(function: str, pair: "Any") -> "list[int]":
    """Return the two ints in `pair` as C takes them, the argument of a method.

    function: its name, for the TypeError about anything else.
    """
    cls = type(pair)
    if not hasattr(cls, "__getitem__") or issubclass(cls, (dict, bytes)):
        raise TypeError(f"{function}() argument 1 must be 2-item sequence, not {_kind_of(pair)}")
    if len(pair) != 2:
        raise TypeError(f"{function}() argument 1 must be sequence of length 2, not {len(pair)}")
    numbers: list[int] = []
    for position in range(2):
        try:
            number = pair[position]
        except Exception:
            raise TypeError(
                f"{function}() argument 1, item {position} is not retrievable"
            ) from None
        if not isinstance(number, int):
            raise TypeError(
                f"{function}() argument 1, item {position} must be int, not {_kind_of(number)}"
            )
        numbers.append(number & UNSIGNED_LONG_MAX)
    return numbers


def _kind_of(value: object) -> str:
    return "None" if value is None else type(value).__name__
