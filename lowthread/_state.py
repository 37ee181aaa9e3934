"""What waits for what: `locks()` and `dump()`.

All of it is made up when it is asked for. A lock keeps who took it in the bits of its word that
are left (csrc/lt_lock.h), and who waits is in the queues of the core, so that nothing here costs
those who are not looked at.
"""

from __future__ import annotations

import os
import sys
from collections import namedtuple
from struct import iter_unpack
from types import FunctionType, MethodType
from weakref import ref

from lowthread._arguments import FOREVER
from lowthread._builtin import unannotated
from lowthread._check import look_after
from lowthread._hooks import HERE, is_of_a_handler, is_start, report_or_raise
from lowthread._interpreter import _get_main_thread_ident
from lowthread._load import PYPY, ffi, lib, native
from lowthread._places import address_of, place_of_lock
from lowthread._taken import is_to_be_notified
from lowthread._threadlocal import threads_of_ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator
    from traceback import StackSummary
    from types import FrameType
    from typing import Any, Protocol

    class Writable(Protocol):
        def write(self, text: str, /) -> object: ...

# Not typing.NamedTuple: typing takes longer to import than all of lowthread.
# pyright: reportUntypedNamedTuple=false


class Owner(namedtuple("Owner", "ident name")):
    """A thread that has a lock, or that is waited for.

    ident: its identifier (see `get_ident`), an int.
    name: what `threading` calls it, a str, or None for a thread that `threading` does not know.
    """

    __slots__ = ()
    __module__ = "lowthread"


class Waiter(namedtuple("Waiter", "ident name waiting_for timeout")):
    """A thread that waits.

    ident, name: as of an `Owner`.
    waiting_for: for how long it has been waiting, in seconds, a float.
    timeout: the seconds after which it is going to give up, from the beginning, a float; None if
    it waits without a timeout.
    """

    __slots__ = ()
    __module__ = "lowthread"


class LockState(namedtuple("LockState", "kind address name owner held_for waiters created")):
    """What somebody waits for.

    kind: "lock", "RLock", or "thread" for one that is being joined.
    address: that of the lock, as `addressof` tells it, an int; of a thread, that of its handle.
    name: the name given with `name_lock`, a str, or None.
    owner: an `Owner`. Of an `RLock` it is the thread that has it; of a `lock`, the thread that
    took it, which need not be the one that will release it; of a thread, that itself. None if
    nobody has it, being handed over just now, or if it cannot be told. If the thread that took a
    `lock` has ended, it may be another one that has its identifier now.
    held_for: for how many seconds it has been held at least, a float: since somebody first had to
    wait for it. None where that is not known.
    waiters: a tuple of `Waiter`, who came first being the first.
    created: where it was made, a str; None if that was not noted (see `trace_locks`).
    """

    __slots__ = ()
    __module__ = "lowthread"


KINDS = {lib.LT_FOR_LOCK: "lock", lib.LT_FOR_RLOCK: "RLock", lib.LT_FOR_THREAD: "thread"}

#: Threads of lowthread's own, which nobody is told of.
helpers: set[int] = set()

# By address: what the lock is still to be, and its name.
names_of_locks: dict[int, tuple[ref[Any], str]] = {}


@unannotated
def name_lock(lock: Any, name: str | None, /) -> None:
    """Give a lock a name, for `locks` and `dump` to tell.

    lock: a `lock` or an `RLock`.
    name: a str; None takes it away.

    Raises TypeError for anything else.
    """
    address = address_of(lock)
    if address is None:
        raise TypeError(
            "name_lock() argument must be a lowthread.lock or lowthread.RLock, not "
            + type.__dict__["__name__"].__get__(type(lock))
        )
    if name is None:
        names_of_locks.pop(address, None)
        return
    if not isinstance(name, str):
        raise TypeError(f"name must be a str or None, not {type(name).__name__}")

    def forget(gone: object, names: Any = names_of_locks, address: int = address) -> None:
        known = names.get(address)
        if known is not None and known[0] is gone:  # else another one is there by now
            names.pop(address, None)

    names_of_locks[address] = ref(lock, forget), str(name)


# What the core tells of one that waits; see lt_wait_seen in csrc/lt_lock.h.
Wait = namedtuple("Wait", "lock waiter owner word kind since deadline held_from")


def seen_waits() -> list[Wait]:
    room = 64
    while True:
        seen = ffi.new("lt_wait_seen[]", room)
        count = lib.lt_waits(seen, room)
        if count <= room:
            return list(map(Wait._make, iter_unpack("4Q4q", bytes(ffi.buffer(seen, 64 * count)))))
        room = 2 * count


def names_of_threads() -> dict[int, str]:
    """Return what `threading` calls its threads, without its lock and what others derived."""
    active = getattr(sys.modules.get("threading"), "_active", {})
    names = {ident: _name_of(thread) for ident, thread in active.copy().items()}
    return {ident: name for ident, name in names.items() if name is not None}


def name_of_thread(ident: int) -> str | None:
    """Return what `threading` calls one, or None if it does not know it, or not yet."""
    thread = getattr(sys.modules.get("threading"), "_active", {}).get(ident)
    return None if thread is None else _name_of(thread)


def name_of_started(function: Callable[..., object]) -> str | None:
    """Return what `threading` calls the thread which it starts to call this, or None.

    Without what a class derived from its Thread may do when it is asked.
    """
    if type(function) is not MethodType:
        return None
    method: Any = function
    called, thread = method.__func__, method.__self__
    if type(called) is not FunctionType or called.__name__ != "_bootstrap":
        return None
    base = getattr(sys.modules.get("threading"), "Thread", None)
    if not (isinstance(base, type) and type.__subclasscheck__(base, type(thread))):
        return None
    descriptor = type.__dict__["__dict__"].__get__(base).get("__dict__")
    name = None if descriptor is None else descriptor.__get__(thread).get("_name")
    return name if isinstance(name, str) else None


def _name_of(thread: Any) -> str | None:
    name = vars(thread).get("_name")
    return name if isinstance(name, str) else None


def frames_of_others() -> dict[int, FrameType]:
    """Return in which call each other thread is, as far as it can be told.

    Not our own, as then who has it in a variable makes a cycle: all these frames, and what is in
    their variables, would be kept until garbage is collected.
    """
    if not native:
        # PyPy's sys._current_frames() looks into frames that the other threads' compiled code has
        # in registers, and may crash.
        return {}
    frames: dict[int, FrameType] = native.current_frames()
    frames.pop(lib.lt_ident(), None)
    return frames


#: The heading of a stack as of rough_stacks().
ROUGH = " (most recent call last; of each, the line in which the function begins):\n"


def rough_stacks() -> dict[int, list[str]]:
    """Return PyPy's stacks of all threads, as `faulthandler` tells them: it needs no frames.

    Of a call it tells which function that is of, but not where in it: the lines are those in which
    the functions begin.
    """
    if not PYPY:
        return {}
    import faulthandler

    try:
        # Not a pipe, since nobody would empty it meanwhile.
        with open(os.memfd_create("stacks"), "w+b") as file:
            faulthandler.dump_traceback(file.fileno(), all_threads=True)
            file.seek(0)
            text = os.fsdecode(file.read())
    except (AttributeError, OSError, RuntimeError):  # the system, or a build, does not have it
        return {}
    return _stacks_in(text)


def _stacks_in(text: str) -> dict[int, list[str]]:
    """Return the stacks that PyPy's faulthandler has told."""
    import re

    stacks: dict[int, list[str]] = {}
    calls: list[str] = []
    for line in text.split("\n"):
        begins = re.match(r"(?:T|Current t)hread 0x([0-9A-Fa-f]+) ", line)
        if begins:
            calls = stacks[int(begins[1], 16)] = []
        elif line.startswith('  File "'):
            calls.append(line)
    return {ident: _calls_of(lines) for ident, lines in stacks.items()}


#: More calls of a stack than PyPy's faulthandler has said: it says no more, and not that.
_MOST_CALLS = 100


def _calls_of(lines: list[str]) -> list[str]:
    """Return lines of PyPy's faulthandler as those of a traceback."""
    calls: list[str] = []
    is_compiled = False
    for line in lines:
        where, _, call = line.rpartition(" in ")
        name, _, mark = call.partition(" [")
        said = f"{where}, in {name}\n"
        # Compiled code runs in a call of its own, which is told next.
        if not (is_compiled and said == calls[-1]):
            calls.append(said)
        is_compiled = mark == "jitted]"
    while calls and calls[0].startswith(f'  File "{HERE}'):
        del calls[0]
    for i, call in enumerate(calls):
        if is_start(call.split('"')[1], call.rpartition(" in ")[2][:-1]):
            return calls[:i][::-1]
    if len(lines) > _MOST_CALLS:
        calls.append("  ...\n")
    return calls[::-1]


# Where nobody can look into the frames of others, by thread: since when it waits, and its stack.
_noted: dict[int, tuple[int, list[str]]] = {}


def note_stacks() -> None:
    """Have threads that wait without a timeout note their stacks for `dump`, if that takes it."""
    if not native:
        look_after(_note_stack, 0)


def _note_stack(_: int, __: int, since: int) -> None:
    me = lib.lt_ident()
    known = _noted.get(me)
    if known is not None and known[0] == since:  # it is the same for as long as the wait lasts
        return
    try:
        _noted[me] = since, stack_of(sys._getframe(1))
    except Exception as error:  # which is not to end the wait
        report_or_raise(error, "Exception ignored in dump_on_signal()")


os.register_at_fork(after_in_child=_noted.clear)


def name_of_lock(address: int) -> str | None:
    known = names_of_locks.get(address)
    return known[1] if known is not None and known[0]() is not None else None


def idents_of(waits: Iterable[Wait]) -> set[int]:
    """Return the identifiers of all threads that are known of, but for our own."""
    idents = {wait.waiter for wait in waits}
    idents.update(names_of_threads(), frames_of_others(), (lib.lt_ident(),))
    if not native:
        idents.update((_get_main_thread_ident(), *threads_of_ours()))
    return idents - helpers


def holders_of(idents: Iterable[int]) -> dict[int, int | None]:
    """Return threads by what a lock's word has of those that take it.

    None for what two of them have: it cannot be told.
    """
    found: dict[int, int | None] = {}
    for ident in idents:
        bits = lib.lt_holder_of(ident)
        found[bits] = None if bits in found else ident
    return found


def is_lost(wait: Wait) -> bool:
    """Return whether who took what is waited for got lost in a fork; that is in no word."""
    is_held = wait.kind != lib.LT_FOR_THREAD and wait.word & lib.LT_HELD
    return bool(is_held and not wait.word & lib.LT_HOLDER)


#: What is said of that.
LOST = "taken by a thread that got lost when this process was forked"


def owner_of(wait: Wait, holders: dict[int, int | None]) -> int | None:
    if is_lost(wait):
        return None  # an RLock has the ident still, and that may be a new thread's
    owner: int = wait.owner
    if owner:
        return owner
    if wait.kind != lib.LT_FOR_LOCK or not wait.word & lib.LT_HELD:
        return None
    return holders.get(wait.word & lib.LT_HOLDER)


@unannotated
def locks() -> list[LockState]:
    """Return what threads wait for at this moment, a list of `LockState`.

    Locks that are held but not waited for are not in it: nobody knows of them but who has them.
    Threads go on while it is made; what is told of one lock was so at one time, but not
    necessarily what is told of two.

    Waits for the interpreter's own locks, such as those of `queue.SimpleQueue` on CPython, cannot
    be seen.
    """
    return _states_of(seen_waits())


def _states_of(waits: list[Wait]) -> list[LockState]:
    names, holders = names_of_threads(), holders_of(idents_of(waits))
    now = lib.lt_now()
    found: dict[int, LockState] = {}
    for wait in waits:
        waiter = Waiter(
            wait.waiter,
            names.get(wait.waiter),
            (now - wait.since) / 1e9,
            # One that is as long, but not for ever, is known not to be in vain.
            None if wait.deadline >= FOREVER - 1 else (wait.deadline - wait.since) / 1e9,
        )
        state = found.get(wait.lock)
        if state is None:
            ident = owner_of(wait, holders)
            state = LockState(
                KINDS[wait.kind],
                wait.lock,
                name_of_lock(wait.lock),
                None if ident is None else Owner(ident, names.get(ident)),
                (now - wait.held_from) / 1e9 if wait.held_from else None,
                (),
                place_of_lock(wait.lock),
            )
        found[wait.lock] = state._replace(waiters=(*state.waiters, waiter))
    return list(found.values())


def say_thread(ident: int, name: str | None) -> str:
    return f'"{name}" ({ident:#x})' if name else f"{ident:#x}"


def say_lock(kind: str, address: int, name: str | None) -> str:
    return f'{kind} {address:#x} "{name}"' if name else f"{kind} {address:#x}"


def say_owner(state: LockState, lost: Container[int] = ()) -> str:
    if state.owner is None:
        return LOST if state.address in lost else "it is not known by whom it is held"
    thread = f"thread {say_thread(*state.owner)}"
    if state.kind == "thread":
        return f"that is {thread}"
    # Of a lock it is known who took it, and any thread may release it.
    verb = "taken" if state.kind == "lock" else "held"
    since = "" if state.held_for is None else f" for {state.held_for:.3f} s or longer"
    return f"{verb} by {thread}{since}"


#: Of who waits for a lock that it took itself.
TO_BE_NOTIFIED = ": it waits to be notified by a Condition, Queue, Future or the like"


def _say_wait(state: LockState, waiter: Waiter, lost: set[int], frame: FrameType | None) -> str:
    timeout = "without a timeout" if waiter.timeout is None else f"of {waiter.timeout:g} s"
    is_own = state.kind == "lock" and state.owner is not None and state.owner.ident == waiter.ident
    is_signal = is_own and (frame is None or is_to_be_notified(frame))
    return (
        f"  - waits for {say_lock(*state[:3])}, {waiter.waiting_for:.3f} s {timeout}: "
        f"{say_owner(state, lost)}{TO_BE_NOTIFIED if is_signal else ''}\n"
    )


def stack_of(frame: FrameType | None) -> list[str]:
    """Return the lines of a stack, the most recent call last, without our own frames there.

    Nor is told how the program, or the thread's function, has come to run.
    """
    return lines_of(summary_of(frame))


def summary_of(frame: FrameType | None) -> StackSummary:
    """Return a stack of which no source has been read yet, and which keeps no variables."""
    import traceback

    while frame is not None and frame.f_code.co_filename.startswith(HERE):
        frame = frame.f_back
    calls = []
    while frame is not None and not is_start(frame.f_code.co_filename, frame.f_code.co_name):
        calls.append((frame, frame.f_lineno))
        frame = frame.f_back
    try:
        stack = traceback.StackSummary.extract(iter(calls), lookup_lines=False)
    except Exception as error:  # of the program's own loader, when it was asked for how to ask it
        if is_of_a_handler(error):
            raise
        stack = traceback.StackSummary.from_list(
            [(call.f_code.co_filename, line, call.f_code.co_name, None) for call, line in calls]
        )
    stack.reverse()
    return stack


def lines_of(stack: StackSummary) -> list[str]:
    """Return the lines that tell of a stack."""
    try:
        return stack.format()
    except Exception as error:  # of the program's own loader, when it was asked for the source
        if is_of_a_handler(error):
            raise
        return [f'  File "{c.filename}", line {c.lineno}, in {c.name}\n' for c in stack]


def _describe() -> Iterator[str]:
    seen = seen_waits()
    states, lost = _states_of(seen), {wait.lock for wait in seen if is_lost(wait)}
    names, frames, me = names_of_threads(), frames_of_others(), lib.lt_ident()
    waits = {waiter.ident: (state, waiter) for state in states for waiter in state.waiters}
    stacks = {i: stack_of(frame) for i, frame in frames.items() if i not in helpers}
    if me not in helpers:
        stacks[me] = stack_of(sys._getframe())
    for wait in seen:
        since, stack = _noted.get(wait.waiter, (None, []))
        if since == wait.since:
            stacks[wait.waiter] = stack
    rough = {i: stack for i, stack in rough_stacks().items() if i not in helpers | stacks.keys()}
    stacks.update(rough)
    others = (idents_of(()) | waits.keys()) - stacks.keys()
    idents: list[int] = [*stacks, *sorted(others)]
    main = _get_main_thread_ident()
    idents.sort(key=lambda ident: ident != main)
    yield f"{len(idents)} threads known, {len(waits)} of them waiting:\n"
    for ident in idents:
        yield f"\nThread {say_thread(ident, names.get(ident))}"
        yield " (main)" if ident == main else ""
        if ident not in stacks:
            yield ": its stack is not known\n"
        elif ident in rough:
            yield ROUGH
        else:
            yield " (most recent call last):\n"
        yield from stacks.get(ident, ())
        if ident in waits:
            yield _say_wait(*waits[ident], lost, frames.get(ident))
    if states:
        yield "\nWaited for:\n"
    for state in states:
        who = ", ".join(say_thread(*waiter[:2]) for waiter in state.waiters)
        yield f"  {say_lock(*state[:3])}: {say_owner(state, lost)}; waited for by {who}\n"
        yield f"    created in {state.created}\n" if state.created else ""


@unannotated
def dump(file: Writable | None = None) -> None:
    """Print what every thread does, and for which lock it waits and who has that.

    file: where to, a text file or what has its `write`; `sys.stderr` by default.

    The stacks are those of `traceback.print_stack`. On PyPy, where to ask for the frames of other
    threads may crash it, those of threads other than the caller are as told by `faulthandler`,
    with the lines in which functions begin, no source, and no more than a hundred calls; but for
    threads that have waited without a timeout for a second, if that is after `dump_on_signal`.
    """
    if file is None:
        file = sys.stderr
    if file is not None:  # as where there is no console
        file.write("".join(_describe()))  # at once, since others may print too
