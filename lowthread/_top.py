"""`python -m lowthread --top`: shows where a program waits, while it runs.

On a terminal the last rows are taken out of what scrolls, so that whatever the program prints,
also from C or from a child, goes on above them as it would without. Where the cursor is cannot be
known without reading what the terminal answers, which is the program's to read; so it is saved and
restored.

It is written to descriptor 2 and not to `sys.stderr`, the lock of which a thread may have that
waits, or is not there after a fork.
"""

from __future__ import annotations

import _thread as host  # before it can be ours
import os
import sys

from lowthread._builtin import unannotated
from lowthread._helper import start_helper
from lowthread._load import lib
from lowthread._profile import say_seconds, who_had_it
from lowthread._state import idents_of, locks, say_lock, say_owner, say_thread, seen_waits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lowthread._profile import Profile
    from lowthread._state import LockState, Waiter

#: How many places, and waits that go on, are shown.
MOST_PLACES = 5
MOST_WAITS = 3

#: In how many intervals there is one line, where there is no terminal.
INTERVALS_OF_A_LINE = 10

_allocate_lock = host.allocate_lock
_LONGEST = host.TIMEOUT_MAX

# What every terminal takes that has more than one line: those of the VT100.
_SAVE, _RESTORE = "\0337", "\0338"
_DOWN = "\033D"  # scrolls where a line feed does, and stays in its column
_ERASE_BELOW = "\033[J"
_ERASE_ROW = "\033[2K"
_NO_WRAP, _WRAP = "\033[?7l", "\033[?7h"
_ALL_SCROLLS = f"{_SAVE}\033[r{_RESTORE}"  # it moves the cursor


@unannotated
class Top:
    """Shows a profile that runs.

    seconds: how long from one time to the next, a float.
    """

    def __init__(self, profile: Profile, seconds: float) -> None:
        self._profile = profile
        self._file = _identity()
        self._encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        self._size = _size() if os.environ.get("TERM", "dumb") != "dumb" else None
        self._is_terminal = self._size is not None
        self._height = 0  # of what is drawn
        self._is_stopped = False
        self._writing = _allocate_lock()
        self._never = _allocate_lock()
        self._never.acquire()
        seconds *= 1 if self._is_terminal else INTERVALS_OF_A_LINE
        self._interval = min(seconds, _LONGEST)

    def start(self) -> None:
        """Begin. Raises RuntimeError if the thread that it takes cannot be started."""
        if not hasattr(self.start.__code__, "co_lines"):
            import dis  # noqa: F401  -- now, since an import takes locks
        start_helper(self._run)

    def stop(self) -> None:
        """End, and leave the terminal as it was."""
        with self._writing:
            self._is_stopped = True
            if self._height:
                self._write(_ALL_SCROLLS + _ERASE_BELOW)

    def _run(self) -> None:
        while not self._is_stopped:
            self._never.acquire(True, self._interval)
            try:
                self._show()
            except Exception:  # there is nobody to tell; the next time may be better
                pass
        self._never.acquire()

    def _show(self) -> None:
        if not self._is_terminal:
            text = _printable(_line(self._profile)) + "\n"
        elif _is_in_background():  # the terminal is somebody else's
            text = _ALL_SCROLLS + _ERASE_BELOW if self._height else ""
            self._height = 0
        else:
            size = _size()
            if size is None:  # it is not there any more
                return
            text = self._draw([*_lines(self._profile)], *size)
        with self._writing:  # and nothing else, since stop() waits for it
            if text and not self._is_stopped:
                self._write(text)

    def _draw(self, lines: list[str], width: int, rows: int) -> str:
        """Return what has a terminal of this size show these lines as its last ones."""
        most = rows // 2 if rows > 2 else 0  # what scrolls has two rows at least
        del lines[most:]
        text = ""
        if (width, rows) != self._size or len(lines) > self._height:
            self._size = width, rows
            # It does not become lower again: the program's lines would jump.
            self._height = height = min(max(len(lines), self._height), most)
            text = _ALL_SCROLLS + _ERASE_BELOW
            text += _DOWN * height + f"\033[{height}A" if height else ""
        lines += [""] * (self._height - len(lines))
        first = rows - self._height + 1
        text += f"{_SAVE}\033[1;{first - 1}r{_NO_WRAP}"
        for row, line in enumerate(lines, first):
            text += f"\033[{row};1H{_ERASE_ROW}{_printable(line)[:width]}"
        return text + _WRAP + _RESTORE

    def _write(self, text: str) -> None:
        if _identity() != self._file:  # the program has closed it, and has another file there
            return
        data = text.encode(self._encoding, "backslashreplace")
        try:
            while data:
                data = data[os.write(2, data) :]
        except OSError:
            pass


def _identity() -> tuple[int, int] | None:
    try:
        status = os.fstat(2)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _size() -> tuple[int, int] | None:
    """Return the width and the number of rows of the terminal, if there is one that tells."""
    try:
        width, rows = os.get_terminal_size(2)
    except OSError:
        return None
    return (width, rows) if width and rows else None


def _is_in_background() -> bool:
    try:
        return os.tcgetpgrp(2) != os.getpgrp()
    except OSError:  # it is not the one that has jobs
        return False


def _printable(line: str) -> str:
    """Return a line in which names do nothing to a terminal."""
    return "".join(c if c.isprintable() else "?" for c in line)


def _summary(profile: Profile, count: int, total: float) -> str:
    waits = seen_waits()
    elapsed = int(lib.lt_now() / 1e9 - profile.begin)
    time = f"{elapsed // 3600}:{elapsed // 60 % 60:02}:{elapsed % 60:02}"
    threads, now = len(idents_of(waits)), len({wait.waiter for wait in waits})
    s = "" if threads == 1 else "s"
    return (
        f"lowthread: {time}, {threads} thread{s}, {now} waiting; "
        f"{count} waits, {say_seconds(total)} in all"
    )


def _line(profile: Profile) -> str:
    places, count, total = profile._so_far(1)
    most = "".join(
        f"; most at {p.where}, {say_seconds(p.total)} in {p.waits} waits, for {p.lock}"
        for p in places
    )
    return _summary(profile, count, total) + most


def _length_of(wait: tuple[Waiter, LockState]) -> float:
    length: float = wait[0].waiting_for
    return length


def _lines(profile: Profile) -> Iterator[str]:
    places, count, total = profile._so_far(MOST_PLACES)
    yield _summary(profile, count, total)
    if places:
        yield f"{'total':>9} {'waits':>8} {'p99':>9} {'worst':>9}  where"
    for place in places:
        times = f"{say_seconds(place.p99):>9} {say_seconds(place.worst):>9}"
        had_by = f", most held by {who_had_it(place)[0][0]}" if place.is_contended else ""
        yield (
            f"{say_seconds(place.total):>9} {place.waits:>8} {times}  "
            f"{place.where}{had_by}, for {place.lock}"
        )
    waits = [(waiter, state) for state in locks() for waiter in state.waiters]
    waits.sort(key=_length_of, reverse=True)
    if waits:
        yield f"{'now':>9}  who waits"
    for waiter, state in waits[:MOST_WAITS]:
        yield (
            f"{say_seconds(waiter.waiting_for):>9}  {say_thread(*waiter[:2])}, "
            f"for {say_lock(*state[:3])}, {say_owner(state)}"
        )
