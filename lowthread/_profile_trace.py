"""Profiles as files that other programs show: Perfetto, chrome://tracing, pprof, speedscope."""

from __future__ import annotations

import gzip
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from lowthread._profile import Profile


def trace(profile: Profile) -> bytes:
    """Return a trace in the "JSON object format" of trace events: a track for each thread.

    https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
    """
    pid = os.getpid()
    numbers: dict[int, int] = {}
    events: list[dict[str, object]] = [
        {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": profile.command}}
    ]
    for wait in profile.waits:
        if wait.ident not in numbers:
            numbers[wait.ident] = len(numbers) + 1
            events.append(
                {
                    "ph": "M",
                    "name": "thread_name",
                    "pid": pid,
                    "tid": numbers[wait.ident],
                    "args": {"name": wait.thread},
                }
            )
        place = profile.places[wait.place]
        events.append(
            {
                "ph": "X",
                "name": f"wait for {wait.name or wait.kind} at {place.where}",
                "cat": "lock",
                "pid": pid,
                "tid": numbers[wait.ident],
                "ts": round((wait.begin - profile.begin) * 1e6, 3),
                "dur": round((wait.end - wait.begin) * 1e6, 3),
                "args": {
                    "kind": wait.kind,
                    "lock": f"{wait.lock:#x}",
                    "held by": wait.owner,
                    "held at": wait.owner_place,
                    "taken": wait.taken,
                    "stack": list(place.stack),
                },
            }
        )
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}).encode()


# ---- pprof: https://github.com/google/pprof/blob/main/proto/profile.proto ----


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _packed(field: int, values: Iterable[int]) -> bytes:
    return _bytes(field, b"".join(map(_varint, values)))


class _Table:
    """What is numbered by the order in which it first comes."""

    def __init__(self, first: int) -> None:
        self.numbers: dict[Any, int] = {}
        self.first = first

    def __call__(self, item: Any) -> int:
        return self.numbers.setdefault(item, self.first + len(self.numbers))


def pprof(profile: Profile) -> bytes:
    """Return a profile like those of Go's `block`: of each stack, how many waits, and how long."""
    strings, functions, locations = _Table(0), _Table(1), _Table(1)
    strings("")
    out = [
        _bytes(1, _number(1, strings(kind)) + _number(2, strings(unit)))
        for kind, unit in (("contentions", "count"), ("delay", "nanoseconds"))
    ]
    for calls, count, total in profile.stacks():
        known = calls or (("", 0, "not known"),)
        out.append(_bytes(2, _packed(1, map(locations, known)) + _packed(2, (count, total))))
    for call, number in list(locations.numbers.items()):
        file, line, name = call
        function = functions((file, name))
        out.append(
            _bytes(4, _number(1, number) + _bytes(4, _number(1, function) + _number(2, line)))
        )
    for (file, name), number in list(functions.numbers.items()):
        called = strings(name)
        out.append(
            _bytes(
                5,
                _number(1, number)
                + _number(2, called)
                + _number(3, called)
                + _number(4, strings(file)),
            )
        )
    period = _number(1, strings("contentions")) + _number(2, strings("count"))
    out += [_bytes(6, str(text).encode("utf-8", "replace")) for text in strings.numbers]
    out.append(_number(10, round((profile.end - profile.begin) * 1e9)))
    out += [_bytes(11, period), _number(12, 1)]
    return gzip.compress(b"".join(out), mtime=0)
