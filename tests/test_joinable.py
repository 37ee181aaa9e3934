"""start_joinable_thread, its handles, and _shutdown: what `threading` is made of since 3.13.

Where the interpreter's own `_thread` has them, it has to pass the same tests.
"""

import _thread as host
import copy
import pickle
import re
import signal
import sys
import threading
import time
import weakref

import pytest
from conftest import (
    FORKING,
    LONG,
    PYPY,
    Raised,
    check_that_a_handler_ends,
    handling,
    raise_it,
    run_script,
    run_threads,
    wait_until,
)

import lowthread

HAS_ORACLE = hasattr(host, "start_joinable_thread")

# Since 3.12, forking with threads is warned of; it is what is tested here.
PYTHON = (sys.executable, "-W", "ignore::DeprecationWarning")

TOO_LARGE = sys.maxsize // 2

MODULES = {"lowthread": lowthread}
if HAS_ORACLE:  # since 3.13
    MODULES["_thread"] = host

both = pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)


_before = {}


@pytest.fixture(autouse=True)
def _count_from_here():
    """Whatever else runs in this process, like tqdm's monitor, is no business of a test's."""
    _before.update({module: module._count() for module in (lowthread, host)})


def running(module):
    """Return how many threads that began in this test are counted."""
    return module._count() - _before[module]


def nothing():
    pass


class Held:
    """A thread that waits until it is let go."""

    def __init__(self, module, **options):
        self.gate = module.allocate_lock()
        self.gate.acquire()
        self.handle = module.start_joinable_thread(self._run, **options)

    def _run(self):
        self.gate.acquire()

    def let_go(self):
        self.gate.release()

    def end(self):
        self.let_go()
        self.handle.join()


@pytest.fixture
def held(module):
    held = Held(module)
    yield held
    if not held.handle.is_done():
        held.end()


# ---- starting ----


@both
def test_it_calls_the_function_without_arguments(module):
    calls = []

    def function(*args, **kwargs):
        calls.append((args, kwargs, module.get_ident()))

    handle = module.start_joinable_thread(function)
    assert handle.join() is None
    assert calls == [((), {}, handle.ident)]
    assert handle.ident != module.get_ident()
    assert type(handle) is module._ThreadHandle


@both
def test_it_returns_the_handle_that_it_is_given(module):
    for n, start in enumerate(
        [
            lambda handle: module.start_joinable_thread(nothing, handle),
            lambda handle: module.start_joinable_thread(nothing, handle, False),
            lambda handle: module.start_joinable_thread(function=nothing, handle=handle),
            lambda handle: module.start_joinable_thread(nothing, daemon=1, handle=handle),
        ]
    ):
        handle = module._ThreadHandle()
        assert start(handle) is handle, n
        handle.join()
        assert handle.is_done()


@both
def test_none_is_no_handle(module):
    handle = module.start_joinable_thread(nothing, handle=None)
    assert type(handle) is module._ThreadHandle
    handle.join()


@both
@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((1,), {}, "thread function must be callable"),
        ((None, 1), {}, "thread function must be callable"),
        ((nothing, 1), {}, "'handle' must be a _ThreadHandle"),
        ((nothing,), {"handle": nothing}, "'handle' must be a _ThreadHandle"),
        ((), {}, r"start_joinable_thread\(\) missing required argument 'function' \(pos 1\)"),
        (
            (nothing, None, True, 4),
            {},
            r"start_joinable_thread\(\) takes at most 3 arguments \(4 given\)",
        ),
        (
            (nothing,),
            {"unknown": 1},
            r"start_joinable_thread\(\) got an unexpected keyword argument 'unknown'",
        ),
        (
            (nothing,),
            {"function": nothing},
            r"argument for start_joinable_thread\(\) given by name \('function'\) "
            r"and position \(1\)",
        ),
        (
            (nothing,),
            {"unknown": 1, "function": nothing},
            r"argument for start_joinable_thread\(\) given by name \('function'\) "
            r"and position \(1\)",
        ),
    ],
)
def test_wrong_arguments(module, args, kwargs, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        module.start_joinable_thread(*args, **kwargs)
    assert running(module) == 0


def test_the_handle_of_another_module_will_not_do():
    if not HAS_ORACLE:
        pytest.skip("_thread has handles since 3.13")
    with pytest.raises(TypeError, match="^'handle' must be a _ThreadHandle$"):
        lowthread.start_joinable_thread(nothing, host._ThreadHandle())


@both
def test_a_handle_starts_once(module, held):
    calls = []
    with pytest.raises(RuntimeError, match="^thread already started$"):
        module.start_joinable_thread(lambda: calls.append(1), held.handle)
    assert not held.handle.is_done()
    held.end()
    with pytest.raises(RuntimeError, match="^thread already started$"):
        module.start_joinable_thread(lambda: calls.append(2), held.handle)
    assert held.handle.is_done()
    assert calls == []


@both
def test_a_failed_start_leaves_the_handle_done(module):
    handle = module._ThreadHandle()
    before = module.stack_size(TOO_LARGE)
    try:
        with pytest.raises(RuntimeError, match="^can't start new thread$"):
            module.start_joinable_thread(nothing, handle, daemon=False)
    finally:
        module.stack_size(before)
    assert handle.is_done()
    assert handle.ident == 0
    assert handle.join() is None
    with pytest.raises(RuntimeError, match="^thread already started$"):
        module.start_joinable_thread(nothing, handle)
    assert running(module) == 0


def test_the_cause_of_a_failed_start_is_told(stack_size):
    stack_size(TOO_LARGE)
    with pytest.raises(RuntimeError) as info:
        lowthread.start_joinable_thread(nothing)
    assert isinstance(info.value.__cause__, OSError)
    assert info.value.__cause__.errno


AUDIT = """
import sys, {module} as thread
events = []
def hook(event, args):
    if event == "_thread.start_joinable_thread":
        events.append(args)
        if len(events) > 3:
            raise PermissionError("no threads")
sys.addaudithook(hook)
calls = []
def function():
    calls.append(1)
for wrong in [(1,), (function, 1)]:
    try:
        thread.start_joinable_thread(*wrong)
    except TypeError:
        pass
assert events == [], events  # of arguments that are wrong
handle = thread._ThreadHandle()
thread.start_joinable_thread(function, handle).join()
thread.start_joinable_thread(function, daemon=[]).join()
thread.start_joinable_thread(function, daemon="yes").join()
assert events == [(function, 1, handle), (function, 0, None), (function, 1, None)], events
assert events[0][2] is handle
assert [type(event[1]) for event in events] == [int] * 3
assert len(calls) == 3
unused = thread._ThreadHandle()
try:
    thread.start_joinable_thread(function, unused)
except PermissionError as error:
    print(error)
assert len(calls) == 3
assert unused.ident == 0
try:
    unused.join()
except RuntimeError as error:
    print(error)
"""


@both
def test_audit_event(module):
    out = run_script(AUDIT.format(module=module.__name__)).ok()
    assert out == "no threads\nthread not started\n"


def test_an_exception_goes_to_the_hook(unraisable):
    def fails():
        raise KeyError("failed")

    handle = lowthread.start_joinable_thread(fails)
    handle.join()
    (args,) = unraisable  # which was called before the thread's end
    assert args.exc_type is KeyError
    assert args.object is fails
    assert args.err_msg == "Exception ignored in thread started by"
    assert args.exc_traceback.tb_frame.f_code is fails.__code__
    unraisable.clear()


@both
@pytest.mark.parametrize("how", ["exit", "sys.exit"])
def test_system_exit_is_silent(module, unraisable, capfd, how):
    handle = module.start_joinable_thread(module.exit if how == "exit" else sys.exit)
    handle.join()
    assert handle.is_done()
    assert unraisable == []
    assert capfd.readouterr() == ("", "")


@both
def test_the_function_is_released(module):
    if PYPY:
        pytest.skip("on PyPy nothing is gone at once")

    def function():
        pass

    reference = weakref.ref(function)
    handle = module.start_joinable_thread(function)
    del function
    handle.join()
    assert reference() is None


@both
def test_it_is_counted(module, held):
    wait_until(lambda: running(module) == 1)
    held.end()
    if module is lowthread:  # 3.13's own may be a moment late
        assert running(module) == 0
    wait_until(lambda: running(module) == 0)


# ---- the handle ----


@both
@pytest.mark.parametrize("args", [(), (1, 2, 3)])
@pytest.mark.parametrize("kwargs", [{}, {"anything": 1}])
def test_a_new_handle(module, args, kwargs):
    """Arguments are accepted and ignored."""
    handle = module._ThreadHandle(*args, **kwargs)
    assert type(handle) is module._ThreadHandle
    assert handle.ident == 0
    assert handle.is_done() is False
    with pytest.raises(RuntimeError, match="^thread not started$"):
        handle.join()
    with pytest.raises(RuntimeError, match="^thread not started$"):
        handle.join(0)
    with pytest.raises(RuntimeError, match="^thread not started$"):
        handle._set_done()
    assert handle.is_done() is False
    module.start_joinable_thread(nothing, handle).join()
    assert handle.is_done() is True


@both
def test_repr(module, held):
    name = module.__name__
    assert repr(module._ThreadHandle()) == f"<{name}._ThreadHandle object: ident=0>"
    ident = held.handle.ident
    assert ident != 0
    assert repr(held.handle) == f"<{name}._ThreadHandle object: ident={ident}>"
    held.end()
    assert repr(held.handle) == f"<{name}._ThreadHandle object: ident={ident}>"


@both
def test_the_ident_is_known_at_once_and_stays(module):
    seen = []
    handle = module.start_joinable_thread(lambda: seen.append(module.get_ident()))
    ident = handle.ident
    assert isinstance(ident, int)
    handle.join()
    assert seen == [ident]
    assert handle.ident == ident


@both
def test_handles_compare_by_identity(module):
    one, other = module._ThreadHandle(), module._ThreadHandle()
    assert one == one  # noqa: PLR0124
    assert one != other
    assert len({one, other, one}) == 2


@both
def test_what_a_handle_does_not_have(module):
    handle = module._ThreadHandle()
    cls = type(handle)
    full = re.escape(f"{module.__name__}._ThreadHandle")
    if not PYPY:  # where everything can be referred to weakly
        with pytest.raises(TypeError, match="^cannot create weak reference to '.*_ThreadHandle'"):
            weakref.ref(handle)
    with pytest.raises(AttributeError):
        handle.anything = 1
    with pytest.raises(AttributeError):
        handle.ident = 1
    with pytest.raises(TypeError, match=f"^type '{full}' is not an acceptable base type$"):
        type("Derived", (cls,), {})
    with pytest.raises(TypeError, match=f"^cannot set 'x' attribute of immutable type '{full}'$"):
        cls.x = 1
    with pytest.raises(TypeError, match="immutable type"):
        del cls.join
    assert cls.__name__ == "_ThreadHandle"
    assert cls.__module__ == module.__name__


@both
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_handle_does_not_pickle(module, protocol):
    with pytest.raises(TypeError, match=r"^cannot pickle '.*_ThreadHandle' object$"):
        pickle.dumps(module._ThreadHandle(), protocol)


@both
@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy])
def test_a_handle_cannot_be_copied(module, make):
    with pytest.raises(TypeError, match=r"^cannot pickle '.*_ThreadHandle' object$"):
        make(module._ThreadHandle())


# ---- joining ----


@both
def test_join_waits_until_the_function_has_returned(module, held):
    done = []
    other = module.start_joinable_thread(lambda: (held.handle.join(), done.append(True)))
    other.join(0.02)
    assert not other.is_done()
    assert done == []
    held.let_go()
    other.join()
    assert done == [True]
    assert held.handle.is_done()
    for timeout in [None, 0, -1, 1.5, True]:
        assert held.handle.join(timeout) is None  # as often as one likes


@both
@pytest.mark.parametrize("timeout", [0, 0.0, 0.05, 1e-9, True])
def test_a_timeout_that_runs_out(module, held, timeout):
    """Nothing is returned either; is_done() tells."""
    begin = time.monotonic()
    assert held.handle.join(timeout) is None
    assert time.monotonic() - begin >= timeout
    assert held.handle.is_done() is False
    held.end()
    assert held.handle.is_done() is True


@both
@pytest.mark.parametrize("timeout", [None, -1, -1e-9, -5, -1e9, LONG, float(LONG), 9223372036.0])
def test_a_join_without_an_end(module, held, timeout):
    """None, and whatever is negative, is no timeout."""
    states = []

    def joins():
        states.append("begun")
        held.handle.join(timeout)
        states.append(held.handle.is_done())

    other = module.start_joinable_thread(joins)
    wait_until(lambda: states)
    other.join(0.05)
    assert states == ["begun"]
    held.let_go()
    other.join()
    assert states == ["begun", True]


@both
@pytest.mark.parametrize(
    ("timeout", "error", "message"),
    [
        ("1", TypeError, "'str' object cannot be interpreted as an integer"),
        (1j, TypeError, "'complex' object cannot be interpreted as an integer"),
        (float("nan"), ValueError, r"Invalid value NaN \(not a number\)"),
        (1e300, OverflowError, "timestamp out of range for platform time_t"),
        (float("-inf"), OverflowError, "timestamp out of range for platform time_t"),
        (10**30, OverflowError, "timestamp too large to convert to C PyTime_t"),
    ],
)
@pytest.mark.parametrize("state", ["running", "ended", "new"])
def test_wrong_timeouts(module, held, state, timeout, error, message):
    handle = module._ThreadHandle() if state == "new" else held.handle
    if state == "ended":
        held.end()
    with pytest.raises(error, match=f"^{message}$"):
        handle.join(timeout)


@both
def test_wrong_number_of_arguments(module, held):
    for wrong in [
        lambda: held.handle.join(1, 2),
        lambda: held.handle.join(timeout=1),
        lambda: held.handle.is_done(1),
        lambda: held.handle._set_done(1),
        lambda: module._shutdown(1),
        lambda: module._make_thread_handle(),
        lambda: module._make_thread_handle(1, 2),
        lambda: module._make_thread_handle(ident=1),
    ]:
        with pytest.raises(TypeError):
            wrong()
    assert not held.handle.is_done()


@both
def test_a_thread_cannot_join_itself(module):
    errors = []
    begun = module.allocate_lock()
    begun.acquire()
    handle = module._ThreadHandle()

    def function():
        begun.acquire()
        for timeout in [None, 0, 0.01, -1]:
            try:
                handle.join(timeout)
            except RuntimeError as error:
                errors.append(str(error))

    module.start_joinable_thread(function, handle)
    begun.release()
    handle.join()
    assert errors == ["Cannot join current thread"] * 4


@both
def test_a_thread_cannot_join_itself_while_another_one_does(module):
    errors = []
    gate = module.allocate_lock()
    gate.acquire()
    handle = module._ThreadHandle()

    def function():
        gate.acquire()
        try:
            handle.join()
        except RuntimeError as error:
            errors.append(str(error))

    module.start_joinable_thread(function, handle)
    joiner = module.start_joinable_thread(handle.join)
    joiner.join(0.05)  # it waits by then
    gate.release()
    joiner.join()
    handle.join()
    assert errors == ["Cannot join current thread"]


@both
def test_many_join(module, held):
    """Some of them with timeouts, that run out or do not."""
    begun, results = [], []

    def joins(timeout):
        begun.append(True)
        held.handle.join(timeout)
        results.append((timeout, held.handle.is_done()))

    timeouts = [None, LONG, 0.01, -1] * 5
    joiners = [
        module.start_joinable_thread(lambda timeout=timeout: joins(timeout))
        for timeout in timeouts
    ]
    wait_until(lambda: len(results) == 5)
    wait_until(lambda: len(begun) == 20)
    assert results == [(0.01, False)] * 5
    held.let_go()
    for joiner in joiners:
        joiner.join()
    assert sorted(results[5:], key=str) == sorted(
        [(timeout, True) for timeout in timeouts if timeout != 0.01], key=str
    )


STATE = """
import sys, time, {module} as thread
deadline = time.monotonic() + 50
def wait_until(condition):
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
"""


@pytest.mark.skipif(PYPY, reason="on PyPy nothing is gone at once")
@both
@pytest.mark.parametrize("local", ["thread._local", "threading.local"])
def test_the_thread_has_not_ended_before_its_locals_are_gone(module, local):
    run_script(
        STATE.format(module=module.__name__)
        + f"""
import threading
local = {local}()
gate = thread.allocate_lock()
gate.acquire()
events = []
class Value:
    def __del__(self):
        events.append("begun")
        gate.acquire()
        events.append("gone")
def function():
    local.value = Value()
handle = thread.start_joinable_thread(function)
wait_until(lambda: events)
handle.join(0.02)
assert not handle.is_done()
joiner_done = []
joiner = thread.start_joinable_thread(lambda: (handle.join(), joiner_done.extend(events)))
joiner.join(0.02)
assert joiner_done == []
gate.release()
handle.join()
assert events == ["begun", "gone"], events
joiner.join()
assert joiner_done == ["begun", "gone"]
"""
    ).ok()


@pytest.mark.skipif(PYPY, reason="PyPy has no thread states to count")
@both
def test_its_state_is_gone(module):
    run_script(
        f"""
import sys, {module.__name__} as thread
assert len(sys._current_frames()) == 1
gate = thread.allocate_lock()
begun = thread.allocate_lock()
begun.acquire()
def function():
    begun.release()
    gate.acquire()
    gate.release()
for n in range(200):
    gate.acquire()
    handle = thread.start_joinable_thread(function)
    begun.acquire()
    assert len(sys._current_frames()) == 2
    gate.release()
    handle.join()
    assert len(sys._current_frames()) == 1
"""
    ).ok()


@pytest.mark.skipif(not PYPY, reason="elsewhere more is tested, above")
def test_its_local_values_are_gone_in_the_end():
    import gc

    class Value:
        pass

    local = lowthread._local()
    references = []

    def function():
        local.value = Value()
        references.append(weakref.ref(local.value))

    lowthread.start_joinable_thread(function).join()
    wait_until(lambda: gc.collect() is None or references[0]() is None)


# ---- signals ----


@both
@pytest.mark.parametrize("timeout", [None, LONG])
def test_a_handler_that_raises_ends_a_join(module, held, timeout):
    check_that_a_handler_ends(lambda: held.handle.join(timeout))
    assert not held.handle.is_done()
    held.end()  # it can be joined as before


def signals(module, calls, then=nothing):
    """Send three signals to the main thread, each when that has the one before."""
    main = threading.main_thread().ident

    def send():
        for n in range(3):
            wait_until(lambda n=n: len(calls) == n)
            time.sleep(0.02)
            signal.pthread_kill(main, signal.SIGUSR1)
        wait_until(lambda: len(calls) == 3)
        then()

    return module.start_joinable_thread(send)


@both
@pytest.mark.parametrize("timeout", [None, LONG])
def test_a_handler_that_does_not_raise_lets_it_wait(module, held, timeout):
    calls = []
    with handling(signal.SIGUSR1, lambda *args: calls.append(args)):
        sender = signals(module, calls, held.let_go)
        held.handle.join(timeout)
        assert held.handle.is_done()
        assert len(calls) == 3
        sender.join()


@both
def test_a_join_that_was_interrupted_keeps_its_deadline(module, held):
    calls = []
    with handling(signal.SIGUSR1, lambda *args: calls.append(args)):
        sender = signals(module, calls)
        begin = time.monotonic()
        held.handle.join(0.5)
        waited = time.monotonic() - begin
        assert not held.handle.is_done()
        sender.join()
    assert 0.5 <= waited < LONG / 2


@both
def test_a_handler_may_let_the_thread_go(module, held):
    main = threading.main_thread().ident
    with handling(signal.SIGUSR1, lambda *args: held.let_go()):
        sender = module.start_joinable_thread(
            lambda: (time.sleep(0.02), signal.pthread_kill(main, signal.SIGUSR1))
        )
        held.handle.join()
        assert held.handle.is_done()
        sender.join()


def test_interrupt_main_ends_a_join():
    held = Held(lowthread)
    ready = lowthread.allocate_lock()
    ready.acquire()

    def interrupt():
        ready.acquire()
        time.sleep(0.05)
        lowthread.interrupt_main()

    with handling(signal.SIGINT, raise_it):
        sender = lowthread.start_joinable_thread(interrupt)
        with pytest.raises(Raised):
            ready.release()
            held.handle.join()
    assert not held.handle.is_done()
    sender.join()
    held.end()


# ---- a handle that is dropped ----


@both
def test_a_thread_whose_handle_is_dropped_goes_on(module):
    gate = module.allocate_lock()
    gate.acquire()
    done = []

    def function():
        gate.acquire()
        done.append(True)

    handle = module.start_joinable_thread(function)
    del handle
    gate.release()
    wait_until(lambda: done)
    wait_until(lambda: running(module) == 0)


@both
def test_a_thread_may_have_the_last_reference(module):
    done = []
    gate = module.allocate_lock()
    gate.acquire()

    def start():
        handle = module._ThreadHandle()

        def function():
            gate.acquire()
            done.append(handle.is_done())

        module.start_joinable_thread(function, handle)

    start()
    gate.release()
    wait_until(lambda: done == [False])
    wait_until(lambda: running(module) == 0)


@pytest.mark.slow
def test_memory_is_flat_over_many_handles():
    """Joined, dropped before the end, after it, or never started."""
    if sys.platform != "linux":
        pytest.skip("needs Linux's /proc")
    limit = 1000 if PYPY else 300
    run_script(
        f"""
        import gc, resource, time, lowthread
        def used():
            gc.collect()
            gc.collect()
            with open("/proc/self/statm") as f:
                pages = f.read().split()
            return [int(n) * resource.getpagesize() for n in pages[:2]]
        def run(n):
            for i in range(n):
                handle = lowthread._ThreadHandle()
                if i % 4:
                    lowthread.start_joinable_thread(int, handle)
                if i % 4 == 1:
                    handle.join()
                elif i % 4 == 2:
                    while not handle.is_done():
                        pass
                del handle
                while lowthread._count() > 5:
                    time.sleep(0.0001)
                if i % 100 == 0:
                    gc.collect()  # for PyPy
            while lowthread._count():
                time.sleep(0.001)
        run(1000)
        before = used()
        run(4000)
        after = used()
        print(before, after)
        assert after[1] - before[1] < 4000 * {limit}
        # A thread that is neither joined nor detached keeps its stack.
        assert after[0] - before[0] < 500 * 2**20
        """,
        timeout=5 * LONG,
    ).ok()


# ---- _set_done and _make_thread_handle ----


@both
def test_set_done_ends_all_joins(module, held):
    ended = []
    joiners = [
        module.start_joinable_thread(lambda: (held.handle.join(), ended.append(True)))
        for _ in range(3)
    ]
    joiners[0].join(0.02)
    assert ended == []
    if module is host:
        held.let_go()  # of a thread that it has started it waits for the end all the same
    assert held.handle._set_done() is None
    assert held.handle.is_done()
    for joiner in joiners:
        joiner.join()
    assert ended == [True] * 3
    held.handle._set_done()
    if module is lowthread:
        held.let_go()


@both
@pytest.mark.parametrize("ident", [0, 1, 4711, True, 2**63, 2**64 - 1])
def test_a_handle_of_a_thread_that_was_started_elsewhere(module, ident):
    handle = module._make_thread_handle(ident)
    assert type(handle) is module._ThreadHandle
    assert handle.ident == ident
    assert type(handle.ident) is int
    assert repr(handle) == f"<{module.__name__}._ThreadHandle object: ident={int(ident)}>"
    assert handle.is_done() is False
    handle.join(0.01)
    assert handle.is_done() is False
    with pytest.raises(RuntimeError, match="^thread already started$"):
        module.start_joinable_thread(nothing, handle)
    done = []
    joiners = [
        module.start_joinable_thread(lambda: (handle.join(), done.append(True))) for _ in range(3)
    ]
    joiners[0].join(0.02)
    assert done == []
    handle._set_done()
    assert handle.is_done() is True
    for joiner in joiners:
        joiner.join()
    assert done == [True] * 3
    handle.join()


@both
def test_a_handle_of_the_own_thread(module):
    handle = module._make_thread_handle(module.get_ident())
    with pytest.raises(RuntimeError, match="^Cannot join current thread$"):
        handle.join()
    with pytest.raises(RuntimeError, match="^Cannot join current thread$"):
        handle.join(0)
    handle._set_done()
    handle.join()


class Index:
    def __index__(self):
        return 1


@both
@pytest.mark.parametrize(
    ("ident", "error", "message"),
    [
        ("1", TypeError, "ident must be an integer"),
        (None, TypeError, "ident must be an integer"),
        (1.0, TypeError, "ident must be an integer"),
        (Index(), TypeError, "ident must be an integer"),
        (-1, OverflowError, "can't convert negative int to unsigned"),
        (2**64, OverflowError, "int too big to convert"),
    ],
)
def test_wrong_idents(module, ident, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        module._make_thread_handle(ident)


# ---- fork ----

FORK = FORKING + "import sys\n"


def fork(script, module):
    script = script.replace("import thread\n", f"import {module.__name__} as thread\n")
    return run_script(FORK + script, python=PYTHON).ok()


@both
def test_lost_threads_are_done_in_a_child(module):
    fork(
        """
import thread
gate = thread.allocate_lock()
gate.acquire()
def wait():
    gate.acquire()
    gate.release()
running = [thread.start_joinable_thread(wait, daemon=daemon) for daemon in [True, False] * 3]
made = thread._make_thread_handle(4711)
own = thread._make_thread_handle(thread.get_ident())
new = thread._ThreadHandle()
ended = thread.start_joinable_thread(int)
wait_until(ended.is_done)
def child():
    assert [handle.is_done() for handle in [*running, made, ended]] == [True] * 8
    for handle in [*running, made, ended]:
        assert handle.join() is None
        handle.join(1)
        try:
            thread.start_joinable_thread(int, handle)
        except RuntimeError as error:
            assert str(error) == "thread already started"
        else:
            raise AssertionError
        handle._set_done()
    assert not own.is_done()
    try:
        own.join()
    except RuntimeError as error:
        assert str(error) == "Cannot join current thread"
    thread._shutdown()  # there is nobody to wait for
    results = []
    # 3.13.0 takes one that has not been started for lost.
    handle = new if thread.__name__ == "lowthread" else None
    assert handle is None or not handle.is_done()
    thread.start_joinable_thread(lambda: results.append(1), handle).join()
    thread.start_joinable_thread(lambda: results.append(2), daemon=False)
    thread._shutdown()
    assert results == [1, 2]
    running.clear()
in_child(child)
assert not any(handle.is_done() for handle in [*running, made, own])
in_child(child)
gate.release()
for handle in running:
    handle.join()
""",
        module,
    )


@both
def test_the_thread_that_forks_is_not_lost(module):
    fork(
        """
import thread
gate = thread.allocate_lock()
gate.acquire()
def wait():
    gate.acquire()
    gate.release()
other = thread.start_joinable_thread(wait)
main = thread._make_thread_handle(thread.get_ident())
handle = thread._ThreadHandle()
def child():
    assert handle.ident == thread.get_ident()
    assert not handle.is_done()
    assert other.is_done() and main.is_done()
    try:
        handle.join()
    except RuntimeError as error:
        assert str(error) == "Cannot join current thread"
    else:
        raise AssertionError
    # A new thread that joins this one, which it finds alive.
    seen = []
    thread.start_joinable_thread(lambda: (handle.join(0.01), seen.append(handle.is_done()))).join()
    assert seen == [False]
errors = []
def forks():
    try:
        in_child(child)
    except BaseException as error:
        errors.append(error)
thread.start_joinable_thread(forks, handle, daemon=False)
handle.join()
assert handle.is_done() and not other.is_done()
assert not errors, errors
gate.release()
other.join()
""",
        module,
    )


@both
def test_a_hook_that_is_registered_first_finds_them_done(module):
    """As `threading`'s own, which looks at the handles of its threads."""
    out = fork(
        """
handles = []
def look():
    print([handle.is_done() for handle in handles], flush=True)
    for handle in handles:
        handle.join()
os.register_at_fork(after_in_child=look)
import thread
gate = thread.allocate_lock()
gate.acquire()
def wait():
    gate.acquire()
    gate.release()
handles += [thread.start_joinable_thread(wait) for _ in range(3)]
in_child(lambda: None)
gate.release()
for handle in handles:
    handle.join()
""",
        module,
    )
    assert out == "[True, True, True]\n"


@both
def test_a_joiner_in_the_parent_goes_on(module):
    fork(
        """
import thread
gate = thread.allocate_lock()
gate.acquire()
handle = thread.start_joinable_thread(gate.acquire)
joiners = [thread.start_joinable_thread(handle.join) for _ in range(3)]
joiners[0].join(0.05)
def child():
    assert handle.is_done()
    handle.join()
    for joiner in joiners:
        joiner.join()
for _ in range(3):
    in_child(child)
assert not joiners[0].is_done()
gate.release()
for joiner in joiners:
    joiner.join()
""",
        module,
    )


def test_forks_amid_starts_and_joins():
    fork(
        """
import thread
stop = []
def business():
    while not stop:
        handles = [thread.start_joinable_thread(int, daemon=n % 2) for n in range(3)]
        handles.pop().join()
        handles.pop().join(0.0001)
def child():
    assert all(handle.is_done() for handle in workers)
    done = []
    thread.start_joinable_thread(lambda: done.append(1)).join()
    assert done == [1]
    thread._shutdown()
workers = [thread.start_joinable_thread(business) for _ in range(3)]
for _ in range(30):
    in_child(child)
stop.append(True)
for worker in workers:
    worker.join()
thread._shutdown()
""",
        lowthread,
    )


# ---- _shutdown ----

SHUTDOWN = """
import signal, sys, time, {module} as thread
deadline = time.monotonic() + 50
def wait_until(condition):
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
gate = thread.allocate_lock()
gate.acquire()
order = []
"""


def shutdown(script, module, **options):
    script = SHUTDOWN.format(module=module.__name__) + script
    return run_script(script, **options)


@both
def test_shutdown_waits_for_all_that_are_no_daemons(module):
    shutdown(
        """
def wait(n):
    gate.acquire()
    gate.release()
    time.sleep(0.01 * n)
    order.append(n)
assert thread._shutdown() is None  # nobody is there
def main():
    for n in range(5):
        thread.start_joinable_thread(lambda n=n: wait(n), daemon=False)
    dropped = thread.start_joinable_thread(lambda: wait(5), None, 0)
    del dropped
main()
waits = []
waiter = thread.start_joinable_thread(lambda: (thread._shutdown(), waits.append(len(order))))
waiter.join(0.05)
assert waits == [] and not waiter.is_done()
gate.release()
thread._shutdown()
assert sorted(order) == [0, 1, 2, 3, 4, 5], order
waiter.join()
assert waits == [6], waits
thread._shutdown()
""",
        module,
    ).ok()


@both
def test_shutdown_does_not_wait_for_daemons(module):
    shutdown(
        """
daemons = [
    thread.start_joinable_thread(gate.acquire),
    thread.start_joinable_thread(gate.acquire, daemon=True),
    thread.start_joinable_thread(gate.acquire, None, 1),
]
other = thread.start_joinable_thread(lambda: order.append(1), daemon=False)
thread._shutdown()
assert order == [1]
assert not any(handle.is_done() for handle in daemons)
for handle in daemons:
    gate.release()
    wait_until(lambda: any(h.is_done() for h in daemons))
    daemons = [h for h in daemons if not h.is_done()]
""",
        module,
    ).ok()


@both
def test_shutdown_waits_for_those_that_are_started_meanwhile(module):
    shutdown(
        """
def chain(n):
    time.sleep(0.005)
    order.append(n)
    if n:
        thread.start_joinable_thread(lambda: chain(n - 1), daemon=False)
thread.start_joinable_thread(lambda: chain(10), daemon=False)
thread._shutdown()
assert order == list(range(10, -1, -1)), order
""",
        module,
    ).ok()


@both
def test_shutdown_does_not_wait_for_its_caller(module):
    shutdown(
        """
handle = thread._ThreadHandle()
thread.start_joinable_thread(lambda: (thread._shutdown(), order.append(1)), handle, daemon=False)
handle.join()
assert order == [1]
""",
        module,
    ).ok()


@both
def test_shutdown_does_not_wait_for_what_was_started_elsewhere(module):
    shutdown(
        """
handle = thread._make_thread_handle(4711)
thread._shutdown()
assert not handle.is_done()
""",
        module,
    ).ok()


@both
def test_a_handler_that_raises_ends_a_shutdown(module):
    """Nobody is there who could catch it: it is unraisable."""
    shutdown(
        """
import threading
class Raised(Exception):
    pass
def handler(*args):
    raise Raised
signal.signal(signal.SIGUSR1, handler)
caught = []
sys.unraisablehook = caught.append
held = thread.start_joinable_thread(gate.acquire, daemon=False)
main = threading.main_thread().ident
def send():
    ready.acquire()
    time.sleep(0.2)
    signal.pthread_kill(main, signal.SIGUSR1)
ready = thread.allocate_lock()
ready.acquire()
sender = thread.start_joinable_thread(send)
ready.release()
assert thread._shutdown() is None
assert not held.is_done()
assert [args.exc_type for args in caught] == [Raised], caught
assert isinstance(caught[0].exc_value, Raised)
assert not caught[0].err_msg and caught[0].object is None  # PyPy takes no None for the first
assert caught[0].exc_traceback is not None
sys.unraisablehook = sys.__unraisablehook__
caught.clear()
gate.release()
thread._shutdown()
assert held.is_done()
sender.join()
""",
        module,
    ).ok()


@both
def test_a_handler_that_does_not_raise_does_not_end_it(module):
    shutdown(
        """
import threading
calls = []
signal.signal(signal.SIGUSR1, lambda *args: calls.append(1))
held = thread.start_joinable_thread(gate.acquire, daemon=False)
main = threading.main_thread().ident
def send():
    for n in range(3):
        time.sleep(0.02)
        signal.pthread_kill(main, signal.SIGUSR1)
        wait_until(lambda: len(calls) == n + 1)
    gate.release()
sender = thread.start_joinable_thread(send)
thread._shutdown()
assert held.is_done()
assert len(calls) == 3
sender.join()
""",
        module,
    ).ok()


def test_idents_differ_until_somebody_has_joined():
    """An ident is nobody else's as long as somebody may join by it."""
    handles = [lowthread.start_joinable_thread(nothing) for _ in range(50)]
    wait_until(lambda: all(handle.is_done() for handle in handles))
    assert len({handle.ident for handle in handles}) == 50
    for handle in handles:
        handle.join()


def test_joins_beside_starts_in_many_threads():
    """Whoever joins first, and whoever drops last, in any order."""
    handles = []

    def starts():
        for n in range(200):
            handle = lowthread.start_joinable_thread(nothing, daemon=n % 2)
            handles.append(handle)
            if n % 3 == 0:
                handle.join()

    def joins():
        for n in range(400):
            if handles:
                handle = handles[n % len(handles)]
                handle.join(0.001 * (n % 3))
                if n % 5 == 0:
                    handles.remove(handle)

    run_threads(starts, starts, joins)
    lowthread._shutdown()
    for handle in handles:
        handle.join()
    assert all(handle.is_done() for handle in handles)
