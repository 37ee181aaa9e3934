"""Any arguments whatever: CPython 3.13 is asked what is right, where that is what runs.

Everywhere: a call that is refused raises what it may, and changes nothing; and the rules in C
and the rules in Python are the same rules.

`make fuzz` goes on for longer, guided by the coverage of the Python rules.
"""

import _thread as host
import decimal
import fractions
import re
import signal
import sys

import pytest
from conftest import CFFI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lowthread
from lowthread import _portable

pytestmark = pytest.mark.slow


class Boom(Exception):
    """What objects raise that are asked for something."""


class Int(int):
    pass


class Float(float):
    pass


class Str(str):
    __slots__ = ()


class Tuple(tuple):
    __slots__ = ()

    def __getitem__(self, key):
        raise Boom

    def __len__(self):
        return 2

    def __iter__(self):
        raise Boom


class Dict(dict):
    def keys(self):
        raise Boom

    def __iter__(self):
        raise Boom


class Sequence:
    """Says what it is told about its length and items."""

    def __init__(self, length, items):
        self.length, self.items = length, items

    def __len__(self):
        if self.length is None:
            raise Boom
        return self.length

    def __getitem__(self, key):
        return self.items[key]

    def __repr__(self):
        return f"Sequence({self.length!r}, {self.items!r})"


class Special:
    """Has one special method, which returns something or raises Boom."""

    def __repr__(self):
        return f"<{type(self).__name__} {self.name} {self.value!r}>"


def special(name, value):
    def method(self):
        if value is Boom:
            raise Boom
        return value

    return type("Special", (Special,), {name: method, "name": name, "value": value})()


class NotCallable:
    __call__ = None


class Handle:
    """Stands for a `_ThreadHandle` of the module that is called."""

    def __init__(self, state):
        self.state = state

    def __repr__(self):
        return f"Handle({self.state!r})"


def ignore(*args, **kwargs):
    pass


def boom(*args, **kwargs):
    raise Boom


LIMITS = [0, 1, 2**15, 2**31, 2**32, 2**63 // 10**9, 2**63, 2**64]
integers = st.one_of(
    st.sampled_from([sign * (n + d) for n in LIMITS for sign in (1, -1) for d in (-1, 0, 1)]),
    st.integers(-70, 70),
    st.integers(),
    st.integers(-(2**70), 2**70),
)
floats = st.one_of(
    st.floats(),
    st.floats(9223372036.8, 9223372036.9),
    st.floats(-9223372036.9, -9223372036.8),
    st.floats(-2, 2),
    st.sampled_from([-1.0, -0.0, 5e-324, -5e-324, 1e-10, -1e-10, -0.9999999999999999, 1e300]),
)
plain = st.one_of(
    integers,
    floats,
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.complex_numbers(),
    st.builds(Int, integers),
    st.builds(Float, floats),
    st.builds(Str, st.text(max_size=2)),
    st.builds(decimal.Decimal, st.integers(-3, 3)),
    st.builds(fractions.Fraction, st.integers(-3, 3)),
    st.builds(
        special,
        st.sampled_from(["__index__", "__int__", "__float__", "__bool__", "__len__"]),
        st.one_of(st.just(Boom), integers, floats, st.booleans(), st.none(), st.just(Int(1))),
    ),
)
pairs = st.one_of(
    st.tuples(plain, plain),
    st.tuples(integers, integers),
    st.lists(plain, max_size=3),
    st.lists(plain, max_size=3).map(tuple),
    st.lists(plain, max_size=3).map(Tuple),
    st.builds(Sequence, st.sampled_from([0, 1, 2, 3, None, -1, 2**70]), st.lists(plain)),
)
dicts = st.dictionaries(st.one_of(st.text(max_size=2), st.integers()), plain, max_size=2)
anything = st.one_of(
    plain,
    pairs,
    dicts,
    dicts.map(Dict),
    st.sampled_from([ignore, boom, int, NotCallable(), NotCallable, object(), ...]),
    st.sampled_from([Handle("new"), Handle("used"), Handle("done")]),
)


def either(first, second):
    """A strategy that takes each as often; `one_of` counts all that they consist of."""
    return st.booleans().flatmap(lambda is_first: first if is_first else second)


functions = either(st.sampled_from([ignore, boom]), anything)
names = st.sampled_from(
    ["blocking", "timeout", "function", "handle", "daemon", "size", "signum", "name", "", "x"]
)


def call(subject, *positional):
    """A strategy for calls: mostly with arguments that make sense."""
    fitting = st.tuples(*positional) if positional else st.just(())
    fewer = fitting.flatmap(lambda args: st.integers(0, len(args)).map(lambda n: args[:n]))
    args = either(fitting, either(fewer, st.lists(anything, max_size=4).map(tuple)))
    kwargs = either(st.just({}), st.dictionaries(names, anything, max_size=2))
    return st.tuples(st.just(subject), args, kwargs)


def timeouts(subject):
    ways = st.one_of(st.just(True), st.booleans(), plain)
    by_name = st.fixed_dictionaries({}, optional={"blocking": ways, "timeout": plain})
    return st.one_of(call(subject, ways, plain), st.tuples(st.just(subject), st.just(()), by_name))


NO_ARGUMENTS = [
    *("allocate_lock", "allocate", "get_ident", "get_native_id", "_count", "exit"),
    *("exit_thread", "daemon_threads_allowed", "_is_main_interpreter"),
    *("_get_main_thread_ident", "lock.release", "lock.release_lock", "lock.locked"),
    *("lock.locked_lock", "lock._at_fork_reinit", "RLock.release", "RLock._is_owned"),
    *("RLock._recursion_count", "RLock._release_save", "RLock._at_fork_reinit"),
    *("_ThreadHandle.is_done", "_ThreadHandle._set_done", "RLock.locked", "_get_name"),
]
CALLS = [
    st.sampled_from(NO_ARGUMENTS).flatmap(call),
    *(
        timeouts(f"{kind}.{method}")
        for kind in ["lock", "RLock"]
        for method in ["acquire", "__enter__"]
    ),
    timeouts("lock.acquire_lock"),
    call("lock.__exit__", anything, anything, anything),
    call("RLock.__exit__", anything, anything, anything),
    call("RLock._acquire_restore", either(pairs, anything)),
    call("RLock", anything),
    call("lock"),
    call("stack_size", either(integers, plain)),
    call("interrupt_main", either(integers, plain)),
    call(
        "start_new_thread",
        functions,
        either(pairs, st.sampled_from([(), [], Tuple((1,)), Dict()])),
        dicts,
    ),
    call(
        "start_new",
        functions,
        either(pairs, st.sampled_from([(), [], Tuple((1,)), Dict()])),
        either(dicts, anything),
    ),
    call("start_joinable_thread", functions, either(st.just(Handle("new")), anything), plain),
    call("_make_thread_handle", either(integers, plain)),
    call("_ThreadHandle", anything),
    call("_ThreadHandle.join", plain),
    call("_excepthook", anything),
    call("set_name", anything),
    call("start", functions, anything, anything),
    call("ThreadHandle.join", plain),
]


def handle_of(module, state):
    handle = module._ThreadHandle()
    if state != "new":
        module.start_joinable_thread(int, handle)
        handle.join()
    return handle


def make(module, kind, is_held):
    """Return an object whose methods are to be called."""
    if kind == "_ThreadHandle":
        return handle_of(module, "done" if is_held else "new")
    if kind == "ThreadHandle":
        thread = module.start(int)
        thread.join()
        return thread
    thing = getattr(module, kind)()
    if is_held:
        thing.acquire()
    return thing


def outcome(module, subject, args, kwargs, is_held):
    """Make a call; return what it raises, its result or message, and the state of its object.

    None if the module has no such thing.
    """
    kind, _, method = subject.rpartition(".")
    if not hasattr(module, kind or method):
        return None
    thing = make(module, kind, is_held) if kind else None
    if kind and not hasattr(thing, method):
        return None
    function = getattr(thing, method) if kind else getattr(module, method)
    if any(isinstance(value, Handle) for value in [*args, *kwargs.values()]):
        if not hasattr(module, "_ThreadHandle"):
            return None
        made = lambda v: handle_of(module, v.state) if isinstance(v, Handle) else v  # noqa: E731
        args = tuple(map(made, args))
        kwargs = {name: made(value) for name, value in kwargs.items()}
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        # Those of hypothesis too, but they are not raised in here.
        return type(error), str(error), state_of(thing)
    if method == "stack_size":
        module.stack_size(0)
    elif method in ("start", "start_joinable_thread"):
        result.join()
    elif method == "_make_thread_handle":
        thing = result.ident
        result._set_done()
    if subject in VARYING:
        result = type(result).__name__
    return None, result, state_of(thing)


# Where only the type of the result is compared: it is another one each time, or another
# module's.
VARYING = {
    *("allocate", "allocate_lock", "lock", "RLock", "_ThreadHandle", "_make_thread_handle"),
    *("start", "start_joinable_thread", "start_new", "start_new_thread", "_count"),
}


def state_of(thing):
    """Return what a call may have changed."""
    if isinstance(thing, lowthread.ThreadHandle):
        return thing.is_alive()
    if thing is None or isinstance(thing, int):
        return thing
    if type(thing).__name__ == "_ThreadHandle":
        return thing.is_done()
    return re.sub(r"(lowthread|_thread)\.|\bat 0x.*|object at .*", "", repr(thing))


def words(message):
    """Return a message without the names of modules.

    Functions call themselves lowthread's; and C alone calls a type of C's `decimal.Decimal`.
    """
    return re.sub(r"\b(lowthread|_thread|decimal)\.", "", message)


MAY_RAISE = (TypeError, ValueError, OverflowError, RuntimeError, SystemExit, Boom, IndexError)
MAY_RAISE += (DeprecationWarning,)  # the interpreter's own, of an __index__
# Where the words of Python functions are Python's own: how many arguments, and their names.
MISUSE = re.compile(r"\btakes\b|given by name|keyword|missing|positional|expected at (le|mo)")

PORTABLE = type("Portable", (), {**vars(lowthread), **vars(_portable)})
ORACLES = [] if CFFI else [(PORTABLE, False)]
if sys.implementation.name == "cpython" and sys.version_info[:2] == (3, 13):
    ORACLES.append((host, not CFFI))


def blocks(subject, is_held):
    return is_held and (
        (
            subject.startswith("lock.")
            and subject.endswith(("acquire", "acquire_lock", "__enter__"))
        )
        or subject == "RLock._acquire_restore"
    )


def agree(subject, ours, theirs, are_words_ours):
    """Return whether two outcomes are the same, as far as they have to be."""
    if ours[2] != theirs[2] or (ours[0] is None) != (theirs[0] is None):
        return False
    if ours[0] is None:
        return ours[1] == theirs[1]
    if ours[0] is theirs[0] and words(ours[1]) == words(theirs[1]):
        return True
    if subject.startswith("_ThreadHandle."):  # which is Python's with each backend
        are_words_ours = False
    # A function in C looks at some arguments before it looks for wrong names.
    return not are_words_ours and any(
        error is TypeError and MISUSE.search(message) for error, message, _ in (ours, theirs)
    )


def check_call(subject, args, kwargs, is_held):
    if blocks(subject, is_held):
        # What is refused when the lock is free is refused when it is held; the rest waits.
        free = outcome(lowthread, subject, args, kwargs, False)
        if free is None or free[0] is None:
            return
    ours = outcome(lowthread, subject, args, kwargs, is_held)
    if ours is None:
        return
    if ours[0] is not None:
        assert issubclass(ours[0], MAY_RAISE), ours
        kind = subject.rpartition(".")[0]
        if kind:
            before = state_of(make(lowthread, kind, is_held))
            assert ours[2] == before, "a call that is refused changes nothing"
    for oracle, are_words_ours in ORACLES:
        theirs = outcome(oracle, subject, args, kwargs, is_held)
        if theirs is not None:
            assert agree(subject, ours, theirs, are_words_ours), (
                f"{subject}(*{args}, **{kwargs}), held: {is_held}\n{ours}\n{theirs}"
            )


@pytest.fixture(scope="module", autouse=True)
def harmless():
    """Have what is accepted do no harm."""
    old_handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    old_hooks = sys.unraisablehook, sys.excepthook
    sys.unraisablehook = ignore
    yield
    signal.signal(signal.SIGINT, old_handler)
    sys.unraisablehook, sys.excepthook = old_hooks
    lowthread.stack_size(0)
    host.stack_size(0)


SETTINGS = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_any_call(number):
    @SETTINGS
    @given(CALLS[number], st.booleans())
    def check_calls(a_call, is_held):
        check_call(*a_call, is_held)

    check_calls()


@given(st.one_of(CALLS), st.booleans())
def any_call(a_call, is_held):
    """Be what `make fuzz` calls."""
    check_call(*a_call, is_held)
