"""start, and the ThreadHandle that it returns."""

import copy
import errno
import functools
import gc
import os
import pickle
import sys
import threading
import time
import weakref

import pytest
from conftest import (
    LONG,
    PYPY,
    UTF8,
    check_that_a_handler_ends,
    run_script,
    wait_until,
)

import lowthread

LINUX = sys.platform == "linux"
PYTHON = (sys.executable, "-W", "ignore::DeprecationWarning")
TOO_LARGE = sys.maxsize // 2
IN_UTF8 = pytest.mark.skipif(not UTF8, reason="what is shown depends on the encoding")


def nothing(*args, **kwargs):
    pass


class Held:
    """A thread that waits until it is let go."""

    def __init__(self, **options):
        self.gate = lowthread.allocate_lock()
        self.gate.acquire()
        self.begun = False
        self.handle = lowthread.start(self._run, **options)

    def _run(self):
        self.begun = True
        self.gate.acquire()

    def end(self):
        self.gate.release()
        assert self.handle.join(LONG)


@pytest.fixture
def held():
    held = Held()
    yield held
    if held.handle.is_alive():
        held.end()


def result_of(function, **options):
    """Return what the function returns in a thread of its own."""
    results = []
    assert lowthread.start(lambda: results.append(function()), **options).join(LONG) is True
    return results[0]


# ---- the function and its arguments ----


def test_it_calls_the_function_with_the_arguments():
    calls = []

    def function(*args, **kwargs):
        calls.append((args, kwargs))

    lowthread.start(function).join()
    lowthread.start(function, 1, "two").join()
    lowthread.start(function, 1, b=2, function=3, handle=4, args=5, kwargs=6).join()
    assert calls == [
        ((), {}),
        ((1, "two"), {}),
        ((1,), {"b": 2, "function": 3, "handle": 4, "args": 5, "kwargs": 6}),
    ]


def test_the_options_are_no_arguments():
    calls = []
    lowthread.start(
        lambda *args, **kwargs: calls.append((args, kwargs)),
        1,
        name="name",
        stack_size=2**20,
        daemon=False,
        other=2,
    ).join()
    assert calls == [((1,), {"other": 2})]


def test_arguments_with_the_names_of_options():
    calls = []

    def function(**kwargs):
        calls.append(kwargs)

    partial = functools.partial(function, name="theirs", daemon=3)
    handle = lowthread.start(partial, name="ours")
    handle.join()
    assert calls == [{"name": "theirs", "daemon": 3}]
    assert handle.name == "ours"


def test_what_it_returns_is_ignored(unraisable):
    assert lowthread.start(lambda: ValueError("a value")).join() is True
    assert unraisable == []


def test_an_exception_goes_to_the_hook(unraisable):
    def fails(x):
        raise KeyError(x)

    handle = lowthread.start(fails, "key", name="fails")
    assert handle.join() is True
    (args,) = unraisable  # which was called before the thread's end
    assert args.exc_type is KeyError
    assert args.exc_value.args == ("key",)
    assert args.object is fails
    assert args.err_msg == "Exception ignored in thread started by"
    assert args.exc_traceback.tb_frame.f_code is fails.__code__
    assert args.exc_traceback.tb_next is None
    unraisable.clear()


def test_wrong_arguments_for_the_function(unraisable):
    lowthread.start(int, 1, 2, 3).join()
    (args,) = unraisable
    assert args.exc_type is TypeError
    assert args.object is int
    unraisable.clear()


@pytest.mark.parametrize("function", [lowthread.exit, sys.exit])
def test_system_exit_is_silent(function, unraisable, capfd):
    assert lowthread.start(function).join() is True
    assert unraisable == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(PYPY, reason="on PyPy nothing is gone at once")
def test_function_and_arguments_are_released():
    class Value:
        pass

    value, other = Value(), Value()

    def function(first, second):
        pass

    references = [weakref.ref(x) for x in (value, other, function)]
    handle = lowthread.start(function, value, second=other, name="name", daemon=False)
    del value, other, function
    handle.join()
    assert [reference() for reference in references] == [None] * 3


# ---- wrong arguments ----


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "message"),
    [
        ((), {}, TypeError, "function"),
        ((1,), {}, TypeError, "^first arg must be callable$"),
        ((None,), {"name": 1}, TypeError, "^first arg must be callable$"),
        ((), {"function": print}, TypeError, "function"),
        ((nothing,), {"name": 1}, TypeError, "^name must be a str or None, not int$"),
        ((nothing,), {"name": b"x"}, TypeError, "^name must be a str or None, not bytes$"),
        ((nothing,), {"stack_size": "1"}, TypeError, "cannot be interpreted as an integer$"),
        ((nothing,), {"stack_size": 1.0}, TypeError, "cannot be interpreted as an integer$"),
        ((nothing,), {"stack_size": -1}, ValueError, "^size must be 0 or a positive value$"),
        ((nothing,), {"stack_size": 1}, ValueError, "^size not valid: 1 bytes$"),
        ((nothing,), {"stack_size": 32767}, ValueError, "^size not valid: 32767 bytes$"),
        ((nothing,), {"stack_size": 2**63}, OverflowError, "too large to convert"),
    ],
)
def test_wrong_arguments(args, kwargs, error, message):
    before = lowthread.stack_size()
    with pytest.raises(error, match=message):
        lowthread.start(*args, **kwargs)
    assert lowthread._count() == 0
    assert lowthread.stack_size() == before


def test_audit_event():
    run_script(
        """
        import sys, lowthread
        events = []
        def hook(event, args):
            if event.startswith("_thread."):
                events.append((event, args))
                if len(events) > 2:
                    raise PermissionError("no threads")
        sys.addaudithook(hook)
        calls = []
        def function(*args, **kwargs):
            calls.append((args, kwargs))
        for wrong in [{"name": 1}, {"stack_size": 1}]:
            try:
                lowthread.start(function, **wrong)
            except (TypeError, ValueError):
                pass
        assert events == [], events  # of arguments that are wrong
        lowthread.start(function, 1, 2, a=3, name="name", daemon=False).join()
        lowthread.start(function).join()
        assert events == [
            ("_thread.start_new_thread", (function, (1, 2), {"a": 3})),
            ("_thread.start_new_thread", (function, (), None)),
        ], events
        try:
            lowthread.start(function, 4)
        except PermissionError as error:
            assert str(error) == "no threads"
        else:
            raise AssertionError("was started")
        assert len(calls) == 2, calls
        assert lowthread._count() == 0
        """
    ).ok()


# ---- the name ----


@pytest.mark.skipif(not LINUX, reason="what Linux shows")
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("worker", b"worker"),
        ("0123456789abcde", b"0123456789abcde"),
        ("0123456789abcdefgh", b"0123456789abcde"),
        pytest.param("Größe", b"Gr\xc3\xb6\xc3\x9fe", marks=IN_UTF8),
        pytest.param("x" * 14 + "é", b"x" * 14 + b"\xc3", marks=IN_UTF8),
        ("x" * 1000, b"x" * 15),
        ("a\0b", b"a"),
        ("a\ud800b", b"a?b"),
        ("%s", b"%s"),
    ],
)
def test_the_name_is_what_the_system_shows(name, shown):
    held = Held(name=name)
    wait_until(lambda: held.begun)
    with open(f"/proc/self/task/{held.handle.native_id}/comm", "rb") as f:
        text = f.read()
    assert held.handle.name == name  # in full
    held.end()
    assert text == shown + b"\n"
    assert held.handle.name == name


def test_the_thread_has_its_name_from_the_beginning():
    before = lowthread._get_name()
    assert result_of(lowthread._get_name, name="early") == "early"
    assert result_of(lowthread._get_name) == before
    assert result_of(lowthread._get_name, name=None) == before
    assert lowthread._get_name() == before


def test_an_empty_name_is_a_name():
    """As it is for set_name()."""
    assert result_of(lowthread._get_name, name="") == ""


def test_a_thread_without_a_name_inherits_it():
    def function():
        return result_of(lowthread._get_name), result_of(lowthread._get_name, name="inner")

    assert result_of(function, name="outer") == ("outer", "inner")


# ---- the stack ----

STACK = """
import ctypes, lowthread
libc = ctypes.CDLL(None)
libc.pthread_self.restype = ctypes.c_void_p
attr = ctypes.create_string_buffer(256)
stack = ctypes.c_size_t()
def look():
    libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attr)
    libc.pthread_attr_getstacksize(attr, ctypes.byref(stack))
def size(**options):
    lowthread.start(look, **options).join()
    return stack.value
"""


@pytest.mark.skipif(not LINUX, reason="pthread_getattr_np is Linux's")
@pytest.mark.parametrize("size", [32768, 262144, 1000001, 2**26])
def test_a_thread_gets_the_stack_that_was_asked(size):
    """In a process that has had no other threads: the system uses their stacks again."""
    if PYPY and size < 262144:
        pytest.skip("PyPy needs more than that to run a function")
    out = run_script(STACK + f"print(size(stack_size={size}))").ok()
    assert size <= int(out) < size + 2**16


@pytest.mark.skipif(not LINUX, reason="pthread_getattr_np is Linux's")
def test_it_is_for_that_thread_alone():
    """Of sizes that the system does not keep for others: over 40 MB."""
    run_script(
        STACK
        + """
large, larger = 2**26, 2**27
assert large <= size(stack_size=large) < larger
assert size() < large
assert size(stack_size=None) < large
assert lowthread.stack_size(large) == 0
assert large <= size() < larger
assert large <= size(stack_size=None) < larger
assert larger <= size(stack_size=larger) < larger + large
assert size(stack_size=0) < large  # the system's
assert large <= size() < larger
assert lowthread.stack_size(0) == large
assert size() < large
"""
    ).ok()


# ---- a system that refuses ----


def test_the_error_tells():
    with pytest.raises(lowthread.ThreadStartError) as info:
        lowthread.start(nothing, stack_size=TOO_LARGE)
    error = info.value
    assert isinstance(error, RuntimeError)
    assert isinstance(error, OSError)
    assert error.errno in (errno.EAGAIN, errno.EINVAL, errno.ENOMEM)
    assert error.strerror == f"can't start new thread: {os.strerror(error.errno)}"
    assert str(error) == f"[Errno {error.errno}] {error.strerror}"
    assert isinstance(error.__cause__, OSError)
    assert error.__cause__.errno == error.errno


def test_the_type_of_the_error():
    cls = lowthread.ThreadStartError
    assert cls.__module__ == "lowthread"
    assert cls.__name__ == cls.__qualname__ == "ThreadStartError"
    for base in [lowthread.error, OSError]:
        with pytest.raises(base):
            lowthread.start(nothing, stack_size=TOO_LARGE, daemon=False)
    error = pickle.loads(pickle.dumps(cls(11, "text")))
    assert (type(error), error.errno, error.strerror) == (cls, 11, "text")


def test_the_stack_of_all_threads_may_be_too_large(stack_size):
    stack_size(TOO_LARGE)
    with pytest.raises(lowthread.ThreadStartError):
        lowthread.start(nothing)
    assert lowthread.start(nothing, stack_size=0).join()


def test_nothing_is_left_behind():
    class Value:
        pass

    value = Value()

    def function(*args, **kwargs):
        pass

    references = [weakref.ref(value), weakref.ref(function)]
    for daemon in [True, False]:
        with pytest.raises(lowthread.ThreadStartError):
            lowthread.start(
                function, value, a=value, stack_size=TOO_LARGE, name="name", daemon=daemon
            )
    assert lowthread._count() == 0
    lowthread._shutdown()  # does not wait for what has not begun
    del function, value
    wait_until(lambda: gc.collect() is None or not any(r() for r in references))
    assert lowthread.start(nothing).join()


@pytest.mark.slow
@pytest.mark.skipif(not LINUX, reason="needs Linux's /proc")
def test_memory_is_flat_over_failed_starts():
    limit = 1000 if PYPY else 100
    run_script(
        f"""
        import gc, resource, sys, lowthread
        def used():
            gc.collect()
            gc.collect()
            with open("/proc/self/statm") as f:
                return int(f.read().split()[1]) * resource.getpagesize()
        def run(n):
            for _ in range(n):
                try:
                    lowthread.start(print, stack_size=sys.maxsize // 2, name="name")
                except lowthread.ThreadStartError:
                    pass
                else:
                    raise AssertionError
        run(3000)
        before = used()
        run(10000)
        after = used()
        assert after - before < 10000 * {limit}, (before, after)
        """
    ).ok()


# ---- the handle ----


def test_who_it_is():
    seen = []

    def function():
        seen.append((lowthread.get_ident(), lowthread.get_native_id(), threading.get_ident()))

    handle = lowthread.start(function)
    ident, native_id = handle.ident, handle.native_id  # known at once
    assert isinstance(ident, int)
    assert isinstance(native_id, int)
    handle.join()
    assert seen == [(ident, native_id, ident)]
    assert (handle.ident, handle.native_id) == (ident, native_id)
    assert ident != lowthread.get_ident()
    assert native_id != lowthread.get_native_id()


def test_who_it_is_of_many():
    handles = [Held(daemon=n % 2) for n in range(20)]
    assert len({held.handle.ident for held in handles}) == 20
    assert len({held.handle.native_id for held in handles}) == 20
    for held in handles:
        held.end()


def test_the_native_id_in_a_child():
    """There the thread that has forked has another."""
    run_script(
        """
        import os, lowthread
        codes = []
        def forks():
            gate.acquire()
            before = handle.native_id
            assert before == lowthread.get_native_id()
            pid = os.fork()
            if pid == 0:
                same = handle.native_id == lowthread.get_native_id() == os.getpid() != before
                os._exit(0 if same and handle.is_alive() else 1)
            codes.append(os.waitpid(pid, 0)[1])
        gate = lowthread.allocate_lock()
        gate.acquire()
        handle = lowthread.start(forks)
        gate.release()
        handle.join()
        assert codes == [0], codes
        """,
        python=PYTHON,
    ).ok()


@pytest.mark.parametrize(
    ("options", "name", "daemon"),
    [
        ({}, None, True),
        ({"name": "x", "daemon": False}, "x", False),
        ({"name": None, "daemon": []}, None, False),
        ({"name": "", "daemon": "yes"}, "", True),
    ],
)
def test_what_it_was_given(options, name, daemon):
    handle = lowthread.start(nothing, **options)
    assert handle.name == name
    assert handle.daemon is daemon
    handle.join()
    assert (handle.name, handle.daemon) == (name, daemon)


@pytest.mark.parametrize("attribute", ["name", "daemon", "ident", "native_id", "anything"])
def test_nothing_can_be_set(held, attribute):
    with pytest.raises(AttributeError):
        setattr(held.handle, attribute, 1)


def test_is_alive(held):
    assert held.handle.is_alive() is True
    held.end()
    assert held.handle.is_alive() is False


def test_repr():
    held = Held(name="it's")
    ident = held.handle.ident
    assert repr(held.handle) == f'<lowthread.ThreadHandle "it\'s" ident={ident} alive>'
    held.end()
    assert repr(held.handle) == f'<lowthread.ThreadHandle "it\'s" ident={ident} ended>'
    handle = lowthread.start(nothing)
    handle.join()
    assert repr(handle) == f"<lowthread.ThreadHandle ident={handle.ident} ended>"


def test_weak_references(held):
    assert weakref.ref(held.handle)() is held.handle


def test_handles_compare_by_identity(held):
    other = lowthread.start(nothing)
    assert held.handle == held.handle
    assert held.handle != other
    assert len({held.handle, other, held.handle}) == 2
    other.join()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_does_not_pickle(held, protocol):
    with pytest.raises(TypeError, match=r"^cannot pickle 'lowthread\.ThreadHandle' object$"):
        pickle.dumps(held.handle, protocol)


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy])
def test_it_cannot_be_copied(held, make):
    with pytest.raises(TypeError, match=r"^cannot pickle 'lowthread\.ThreadHandle' object$"):
        make(held.handle)


@pytest.mark.parametrize("args", [(), (1,), (nothing,)])
def test_only_start_makes_one(args):
    message = r"^ThreadHandle objects are made by lowthread\.start\(\)$"
    with pytest.raises(TypeError, match=message):
        lowthread.ThreadHandle(*args)
    assert lowthread.ThreadHandle.__module__ == "lowthread"


def test_the_type(held):
    assert type(held.handle) is lowthread.ThreadHandle


@pytest.mark.skipif(PYPY, reason="there is no counting of references on PyPy")
def test_a_dropped_handle_is_gone():
    held = Held()
    reference = weakref.ref(held.handle)
    del held.handle
    assert reference() is None
    held.gate.release()  # its thread goes on
    wait_until(lambda: held.begun)
    wait_until(lambda: lowthread._count() == 0)


# ---- joining ----


def test_join_says_whether_it_has_ended(held):
    for timeout in [0, 0.0, 0.02, 1e-9]:
        begin = time.monotonic()
        assert held.handle.join(timeout) is False
        assert time.monotonic() - begin >= timeout
    assert held.handle.join(timeout=0.01) is False
    held.gate.release()
    assert held.handle.join() is True
    for timeout in [None, 0, 0.5, 10]:
        assert held.handle.join(timeout) is True
    assert held.handle.join(timeout=None) is True


@pytest.mark.parametrize("timeout", [None, LONG, -1])
def test_join_waits(held, timeout):
    events = []

    def joins():
        events.append("begun")
        events.append(held.handle.join(timeout))

    joiner = lowthread.start(joins)
    wait_until(lambda: events)
    assert joiner.join(0.02) is False
    assert events == ["begun"]
    held.gate.release()
    assert joiner.join() is True
    assert events == ["begun", True]


@pytest.mark.parametrize(
    ("timeout", "error", "message"),
    [
        ("1", TypeError, "'str' object cannot be interpreted as an integer"),
        (-2, ValueError, "timeout value must be a non-negative number"),
        (-0.5, ValueError, "timeout value must be a non-negative number"),
        (float("nan"), ValueError, r"Invalid value NaN \(not a number\)"),
        (1e300, OverflowError, "timestamp out of range for platform time_t"),
        (10**30, OverflowError, "timestamp too large to convert to C PyTime_t"),
    ],
)
def test_wrong_timeouts(held, timeout, error, message):
    """They are those of lock.acquire."""
    for _ in range(2):
        with pytest.raises(error, match=f"^{message}$"):
            held.handle.join(timeout)
        if held.handle.is_alive():
            held.end()


def test_a_thread_cannot_join_itself():
    errors = []
    begun = lowthread.allocate_lock()
    begun.acquire()

    def function():
        begun.acquire()
        for timeout in [None, 0]:
            try:
                handle.join(timeout)
            except RuntimeError as error:
                errors.append(str(error))

    handle = lowthread.start(function)
    begun.release()
    assert handle.join(LONG)
    assert errors == ["Cannot join current thread"] * 2


def test_many_join(held):
    results = []
    joiners = [lowthread.start(lambda: results.append(held.handle.join())) for _ in range(10)]
    assert joiners[0].join(0.02) is False
    assert results == []
    held.gate.release()
    assert all(joiner.join(LONG) for joiner in joiners)
    assert results == [True] * 10


def test_it_is_not_counted_any_more_when_it_was_joined():
    for _ in range(200):
        assert lowthread.start(nothing).join()
        assert lowthread._count() == 0


def test_a_handler_that_raises_ends_a_join(held):
    check_that_a_handler_ends(held.handle.join)
    assert held.handle.is_alive()
    held.end()


# ---- the end of the interpreter ----

EXIT = """
import atexit, os, sys, time
import lowthread
gate = lowthread.allocate_lock()
gate.acquire()
def say(*words):
    os.write(1, " ".join(map(str, words)).encode() + b"\\n")
def slow(*words):
    time.sleep(0.1)
    say(*words)
"""


def ends(script, out, code=0, before=""):
    result = run_script(before + EXIT + script)
    assert (result.code, result.out, result.err) == (code, out, "")


def test_the_interpreter_waits_for_a_thread_that_is_no_daemon():
    ends("lowthread.start(slow, 'end', daemon=False); say('main')", "main\nend\n")
    ends("lowthread.start(slow, 'end', daemon=False); sys.exit(3)", "end\n", 3)


def test_it_waits_for_many():
    ends(
        """
for n in range(20):
    lowthread.start(slow, "end", daemon=False)
""",
        "end\n" * 20,
    )


def test_it_waits_before_functions_of_atexit():
    """Those that were registered before, and after."""
    ends(
        """
atexit.register(say, "between")
lowthread.start(slow, "end", daemon=False)
atexit.register(say, "after")
""",
        "end\nafter\nbetween\nbefore\n",
        before="import atexit\natexit.register(print, 'before', flush=True)\n",
    )


def test_it_waits_for_those_that_they_start():
    ends(
        """
def chain(n):
    slow(n)
    if n:
        lowthread.start(chain, n - 1, daemon=False)
lowthread.start(chain, 3, daemon=False)
atexit.register(say, "atexit")
""",
        "3\n2\n1\n0\natexit\n",
    )


@pytest.mark.parametrize("earlier", [True, False])
def test_it_waits_for_those_that_threads_of_threading_start(earlier):
    """Which it waits for after the others, or at the same time."""
    ends(
        """
import threading
def start():
    time.sleep(0.2)
    lowthread.start(slow, "late", daemon=False)
"""
        + ('lowthread.start(say, "early", daemon=False).join()\n' if earlier else "")
        + "threading.Thread(target=start).start()",
        "early\nlate\n" if earlier else "late\n",
    )


def test_threads_of_threading_and_ours_wait_for_each_other():
    ends(
        """
import threading
events = [threading.Event() for _ in range(2)]
def ours():
    events[0].set()
    events[1].wait(30)
    slow("ours")
def theirs():
    events[0].wait(30)
    slow("theirs")
    events[1].set()
threading.Thread(target=theirs).start()
lowthread.start(ours, daemon=False)
""",
        "theirs\nours\n",
    )


def test_it_does_not_wait_for_daemons():
    """Which is the default. They do nothing but wait, and are cut off."""
    ends(
        """
def waits():
    gate.acquire()
    say("never")
for options in [{}, {"daemon": True}]:
    lowthread.start(waits, **options)
lowthread.start(slow, "other", daemon=False)
atexit.register(say, "atexit")
""",
        "other\natexit\n",
    )


def test_it_waits_when_the_main_thread_fails():
    result = run_script(
        EXIT
        + """
lowthread.start(slow, "end", daemon=False)
raise KeyError("main")
"""
    )
    assert (result.code, result.out) == (1, "end\n")
    assert result.err.endswith("KeyError: 'main'\n")


def test_a_signal_ends_the_waiting():
    """For good, as with `threading`."""
    result = run_script(
        EXIT
        + """
import signal, threading
main = threading.main_thread().ident
class Raised(Exception):
    pass
def handler(*args):
    raise Raised
signal.signal(signal.SIGUSR1, handler)
over = lowthread.allocate_lock()
over.acquire()
def interrupt():
    while not threading._SHUTTING_DOWN:
        time.sleep(0.001)
    time.sleep(0.1)
    signal.pthread_kill(main, signal.SIGUSR1)
    over.acquire()
lowthread.start(interrupt, daemon=False)
atexit.register(say, "over")
"""
    )
    assert (result.code, result.out) == (0, "over\n")
    last = result.err.splitlines()[-1]
    assert last.startswith(("Raised", "__main__.Raised")), result.err


def test_a_thread_that_forks_and_is_no_daemon():
    """The child ends with the thread that is its main one."""
    result = run_script(
        EXIT
        + """
def waits():
    gate.acquire()
def forks():
    pid = os.fork()
    if pid == 0:
        try:
            lowthread._shutdown()  # nobody is there
            lowthread.start(slow, "in child", daemon=False)
            lowthread._shutdown()
        finally:
            os._exit(4)
    forked.release()
    say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    gate.release()
lowthread.start(waits, daemon=False)
forked = lowthread.allocate_lock()
forked.acquire()
lowthread.start(forks, daemon=False)
forked.acquire()  # 3.12 forks no more once the main thread has come to its end
""",
        python=PYTHON,
    )
    assert result.ok() == "in child\n4\n"


def test_after_a_fork_the_child_waits_for_its_own():
    result = run_script(
        EXIT
        + """
def waits():
    gate.acquire()
    gate.release()
lowthread.start(waits, daemon=False)
pid = os.fork()
if pid == 0:
    lowthread.start(slow, "in child", daemon=False)
    sys.exit(5)
say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
gate.release()
""",
        python=PYTHON,
    )
    assert result.ok() == "in child\n5\n"


def test_too_late():
    if PYPY:
        pytest.skip("PyPy does not finalize its modules, and knows no such time")
    result = run_script(
        """
        import lowthread
        class Last:
            def __del__(self, start=lowthread.start, print=print):
                try:
                    start(print, "started")
                except RuntimeError as error:
                    print(type(error).__name__, error)
        last = Last()  # is gone when the interpreter is being finalized
        """
    )
    out = "PythonFinalizationError can't create new thread at interpreter shutdown\n"
    assert result.ok() == out


def test_threading_is_not_imported_in_another_thread():
    """Up to 3.12 it would take that for the main one."""
    result = run_script(
        """
        import atexit, lowthread, sys
        go_on = lowthread.allocate_lock()
        go_on.acquire()
        def late():
            go_on.acquire()
            print("late")
        def starts():
            lowthread.start(late, daemon=False)
            seen.append("threading" in sys.modules)
        had = "threading" in sys.modules
        seen = []
        lowthread.start(starts).join()
        assert seen == [had], seen
        import threading
        assert threading.main_thread() is threading.current_thread()
        atexit.register(go_on.release)
        """
    )
    assert result.ok() == "late\n"


def test_what_a_function_of_atexit_starts_is_waited_for():
    """Also if it is the first that is no daemon."""
    result = run_script(
        """
        import atexit, time
        import lowthread
        atexit.register(
            lambda: lowthread.start(lambda: (time.sleep(0.2), print("late")), daemon=False)
        )
        """
    )
    assert result.ok() == "late\n"


@pytest.mark.skipif(PYPY, reason="its atexit does not tell how many functions it has")
def test_each_that_is_no_daemon_leaves_nothing_with_atexit():
    run_script(
        """
        import atexit
        import lowthread
        def run():
            for _ in range(3):
                lowthread.start(int, daemon=False).join()
                seen.append(atexit._ncallbacks())
        seen = []
        lowthread.start(run).join()
        assert seen == seen[:1] * 3, seen
        """
    ).ok()


def test_the_end_does_not_ask_the_core_without_need():
    """Other threads would have the GIL meanwhile, which the interpreter may not give them."""
    run_script(
        """
        import lowthread
        from lowthread import _joinable
        asked = []
        _joinable.wait_for_all = lambda: asked.append(True) or True
        _joinable._wait_at_exit()
        lowthread.start(int).join()
        _joinable._wait_at_exit()
        assert asked == []
        lowthread.start(int, daemon=False).join()
        _joinable._wait_at_exit()
        assert asked == [True]
        """
    ).ok()
