"""What becomes of an exception that leaves a thread's function.

"When the function terminates with an unhandled exception, sys.unraisablehook() is called to
handle the exception. The object attribute of the hook argument is function. By default, a
stack trace is printed and then the thread exits."
"""

import gc
import re
import sys
import weakref

import pytest
from conftest import PYPY, run_script, wait_until

import lowthread


def fails():
    raise ValueError("failed")


def one(unraisable):
    wait_until(lambda: unraisable)
    wait_until(lambda: lowthread._count() == 0)
    (args,) = unraisable
    unraisable.clear()
    return args


def test_the_hook_is_called(unraisable):
    lowthread.start_new_thread(fails, ())
    args = one(unraisable)
    assert args.exc_type is ValueError
    assert isinstance(args.exc_value, ValueError)
    assert str(args.exc_value) == "failed"
    assert args.err_msg == "Exception ignored in thread started by"
    assert args.object is fails


def test_the_argument_is_what_the_interpreter_gives(unraisable):
    lowthread.start_new_thread(fails, ())
    args = one(unraisable)
    assert type(args).__name__ == "UnraisableHookArgs"
    assert isinstance(args, tuple)


def test_the_traceback_begins_at_the_function(unraisable):
    lowthread.start_new_thread(fails, ())
    args = one(unraisable)
    assert args.exc_traceback.tb_frame.f_code is fails.__code__
    assert args.exc_traceback.tb_next is None
    assert args.exc_value.__traceback__ is args.exc_traceback


def outer():
    fails()


def test_the_traceback_is_whole(unraisable):
    lowthread.start_new_thread(outer, ())
    traceback = one(unraisable).exc_traceback
    assert traceback.tb_frame.f_code is outer.__code__
    assert traceback.tb_next.tb_frame.f_code is fails.__code__


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), GeneratorExit(), BaseException("base"), StopIteration(1)]
)
def test_every_exception_counts(unraisable, error):
    def function():
        raise error

    lowthread.start_new_thread(function, ())
    args = one(unraisable)
    assert args.exc_value is error
    assert args.object is function


def exits_by(how):
    return {
        "exit": lowthread.exit,
        "exit_thread": lowthread.exit_thread,
        "sys.exit": sys.exit,
        "sys.exit(text)": lambda: sys.exit("text"),
        "sys.exit(3)": lambda: sys.exit(3),
        "raise": lambda: (_ for _ in ()).throw(SystemExit(1, 2)),
        "subclass": lambda: (_ for _ in ()).throw(type("Exit", (SystemExit,), {})()),
    }[how]


@pytest.mark.parametrize(
    "how",
    ["exit", "exit_thread", "sys.exit", "sys.exit(text)", "sys.exit(3)", "raise", "subclass"],
)
def test_system_exit_is_silent(unraisable, capfd, how):
    """Raise the SystemExit exception: when not caught, the thread exits silently."""
    lines = []

    def function():
        lines.append("before")
        exits_by(how)()
        lines.append("after")

    lowthread.start_new_thread(function, ())
    wait_until(lambda: lines)
    wait_until(lambda: lowthread._count() == 0)
    assert lines == ["before"]
    assert unraisable == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("function", [lowthread.exit, lowthread.exit_thread])
def test_exit_raises_system_exit_without_arguments(function):
    with pytest.raises(SystemExit) as info:
        function()
    assert info.value.args == ()
    assert info.value.code is None


def test_a_returned_value_is_ignored(unraisable, capfd):
    done = []
    lowthread.start_new_thread(lambda: done.append(1) or ValueError("a value"), ())
    wait_until(lambda: done)
    wait_until(lambda: lowthread._count() == 0)
    assert unraisable == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("args", "kwargs"), [((1,), {}), ((), {"unknown": 1}), ((), {1: 2}), ((1, 2), {"a": 3})]
)
def test_wrong_arguments_for_the_function(unraisable, args, kwargs):
    lowthread.start_new_thread(fails, args, kwargs)
    got = one(unraisable)
    assert got.exc_type is TypeError
    assert got.exc_traceback is None
    assert got.object is fails


def test_the_hook_runs_in_the_thread(monkeypatch):
    idents = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: idents.append(lowthread.get_ident()))
    ident = lowthread.start_new_thread(fails, ())
    wait_until(lambda: idents)
    assert idents == [ident]


def test_the_exception_is_let_go(monkeypatch):
    class Value:
        pass

    references = []

    def function():
        value = Value()
        references.append(weakref.ref(value))
        raise ValueError(value)

    monkeypatch.setattr(sys, "unraisablehook", lambda args: None)
    lowthread.start_new_thread(function, ())
    wait_until(lambda: references)
    wait_until(lambda: lowthread._count() == 0)
    # The frame in the traceback holds the value, and the exception the traceback: a cycle.
    wait_until(lambda: gc.collect() is None or references[0]() is None)


FAILS = """
import os, sys, time, lowthread
def fails():
    raise ValueError("failed")
def tasks():
    # Threads that have not begun are among these, on Linux.
    tasks = "/proc/self/task"
    return len(os.listdir(tasks)) if os.path.exists(tasks) else lowthread._count()
def start(function, *args):
    before = tasks()
    lowthread.start_new_thread(function, args)
    time.sleep(0.02)
    while tasks() > before:
        time.sleep(0.001)
"""

TRACEBACK = """\
Exception ignored in thread started by{colon} <function fails at 0x...>
Traceback (most recent call last):
  File "<string>", line 4, in fails
ValueError: failed
""".format(colon="" if PYPY else ":")


def without_address(text):
    return re.sub("0x[0-9a-f]+", "0x...", text)


def prints_the_traceback(script):
    result = run_script(FAILS + script)
    assert (result.code, result.out) == (0, "end\n")
    assert without_address(result.err) == TRACEBACK


def test_by_default_a_traceback_is_printed():
    prints_the_traceback("start(fails); print('end')")


def test_a_hook_that_is_none_is_the_default():
    prints_the_traceback("sys.unraisablehook = None; start(fails); print('end')")


def test_a_hook_that_was_deleted_is_the_default():
    prints_the_traceback("del sys.unraisablehook; start(fails); print('end')")


def test_all_hooks_may_be_deleted():
    prints_the_traceback(
        "del sys.unraisablehook, sys.__unraisablehook__; start(fails); print('end')"
    )


def test_wrong_arguments_are_printed_without_a_traceback():
    result = run_script(FAILS + "start(fails, 1); print('end')")
    assert (result.code, result.out) == (0, "end\n")
    assert "Traceback" not in result.err
    assert "TypeError: fails() takes 0 positional arguments but 1 was given" in result.err


@pytest.mark.parametrize(
    "error", ["ZeroDivisionError('of the hook')", "SystemExit(3)", "KeyboardInterrupt()"]
)
def test_a_hook_that_fails_is_reported(error):
    result = run_script(
        FAILS
        + f"""
def hook(args):
    assert args.object is fails
    raise {error}
sys.unraisablehook = hook
start(fails)
print('end')
"""
    )
    assert (result.code, result.out) == (0, "end\n")
    assert "Exception ignored in sys.unraisablehook" in result.err
    assert re.findall("in (.*)", result.err.partition("Traceback")[2]) == ["hook"]
    assert result.err.strip().splitlines()[-1].startswith(error.partition("(")[0])


@pytest.mark.parametrize(
    "stderr",
    [
        "sys.stderr = None",
        "sys.stderr = sys.__stderr__ = None",
        "del sys.stderr",
        "sys.stderr.close()",
        "sys.stderr = object()",
        "import os; os.close(2)",
    ],
)
def test_a_broken_stderr_ends_the_thread_cleanly(stderr):
    result = run_script(FAILS + f"{stderr}\nstart(fails)\nsys.stderr = None\nprint('end')")
    assert (result.code, result.out) == (0, "end\n")


def test_an_exception_that_cannot_be_printed():
    result = run_script(
        FAILS
        + """
class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text")
def raises():
    raise Unprintable
start(raises)
print('end')
"""
    )
    assert (result.code, result.out) == (0, "end\n")
    assert "Unprintable" in result.err


@pytest.mark.parametrize("hook", ["lambda args: None", "None"])
def test_the_hook_is_announced_to_audit_hooks(hook):
    run_script(
        FAILS
        + f"""
events = []
sys.addaudithook(lambda event, args: events.append(args) if "unraisable" in event else None)
hook = sys.unraisablehook = {hook}
sys.stderr = None
start(fails)
((announced, args),) = events
assert announced is hook and args.object is fails
"""
    ).ok()


def test_an_audit_hook_that_fails_is_reported():
    result = run_script(
        FAILS
        + """
def audit(event, args):
    if event == "sys.unraisablehook":
        raise RuntimeError("of the audit hook")
sys.addaudithook(audit)
called = []
sys.unraisablehook = called.append
start(fails)
print('end', called)
"""
    )
    assert (result.code, result.out) == (0, "end []\n")
    assert "Exception ignored in audit hook" in result.err
    assert "RuntimeError: of the audit hook" in result.err


def test_memory_error():
    result = run_script(
        FAILS
        + """
def hungry():
    raise MemoryError
got = []
sys.unraisablehook = got.append
start(hungry)
assert got[0].exc_type is MemoryError
"""
    )
    result.ok()
