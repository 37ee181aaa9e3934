"""Profiles as files that other programs show: Perfetto, chrome://tracing, pprof, speedscope."""

from __future__ import annotations

import gzip
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from lowthread._holds import ProfileHold
    from lowthread._profile import Profile, ProfileWait


def trace(profile: Profile) -> bytes:
    """Return a trace in the "JSON object format" of trace events: a track for each thread.

    A second one for holds that overlap others and are not within them, which no track can show.

    https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
    """
    pid = os.getpid()
    # A thread can have the ident of one that has ended.
    slices: dict[tuple[int, str], list[tuple[float, float, dict[str, object]]]] = {}
    for wait in profile.waits:
        one = wait.begin, wait.end, _of_wait(profile, wait)
        slices.setdefault((wait.ident, wait.thread), []).append(one)
    for hold in profile.holds:
        one = hold.begin, hold.end, _of_hold(hold)
        slices.setdefault((hold.ident, hold.thread), []).append(one)
    events: list[dict[str, object]] = [
        {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": profile.command}}
    ]
    tracks: dict[tuple[int, str, int], int] = {}
    for (ident, thread), of_thread in slices.items():
        for lane, (begin, end, event) in in_lanes(of_thread):
            track = tracks.get((ident, thread, lane))
            if track is None:
                track = tracks[ident, thread, lane] = len(tracks) + 1
                name = thread if lane == 0 else f"{thread}, {lane + 1}"
                about = {"ph": "M", "name": "thread_name", "pid": pid, "tid": track}
                events.append({**about, "args": {"name": name}})
            begin_us, end_us = ((at - profile.begin) * 1e6 for at in (begin, end))
            times = {"ts": round(begin_us, 3), "dur": round(end_us - begin_us, 3)}
            events.append({"ph": "X", **event, "cat": "lock", "pid": pid, "tid": track, **times})
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}).encode()


def in_lanes(slices: list[Any]) -> Iterator[tuple[int, Any]]:
    """Return (lane, slice) of each, such that in a lane one that overlaps another is within it.

    slices: (begin, end, ...); those of one thread.
    """
    lanes: list[list[Any]] = []
    for one in sorted(slices, key=lambda s: (s[0], -s[1])):
        for number in range(len(lanes) + 1):
            if number == len(lanes):
                lanes.append([])
            open_ends = lanes[number]
            while open_ends and open_ends[-1] <= one[0]:
                open_ends.pop()
            if not open_ends or one[1] <= open_ends[-1]:
                open_ends.append(one[1])
                yield number, one
                break


def _of_wait(profile: Profile, wait: ProfileWait) -> dict[str, object]:
    place = profile.places[wait.place]
    return {
        "name": f"wait for {wait.name or wait.kind} at {place.where}",
        "args": {
            "kind": wait.kind,
            "lock": f"{wait.lock:#x}",
            "held by": wait.owner,
            "held at": wait.owner_place,
            "taken": wait.taken,
            "stack": list(place.stack),
        },
    }


def _of_hold(hold: ProfileHold) -> dict[str, object]:
    return {
        "name": f"hold {hold.name or hold.kind}, taken at {hold.place}",
        "args": {"kind": hold.kind, "lock": f"{hold.lock:#x}"},
    }


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
