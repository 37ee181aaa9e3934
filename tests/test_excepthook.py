"""_excepthook and _ExceptHookArgs: what `threading.excepthook` is made of.

https://docs.python.org/3.13/library/threading.html#threading.excepthook
"""

import io
import sys

import pytest
from conftest import PYPY, run_script, run_threads

import lowthread


class Thread:
    """As much of a `threading.Thread` as is looked at."""

    name = "the thread"

    def __init__(self):
        self._stderr = io.StringIO()


class Stream(io.StringIO):
    def __init__(self):
        super().__init__()
        self.flushed = 0

    def flush(self):
        self.flushed += 1
        super().flush()


def fails():
    raise ValueError("failed")


def caught(function=fails):
    try:
        function()
    except BaseException:
        return sys.exc_info()
    raise AssertionError("it does not fail")


def args_of(thread=None, function=fails):
    return lowthread._ExceptHookArgs((*caught(function), thread))


def hooked(args, stderr):
    """Call the hook with this as `sys.stderr`; return what it has printed there."""
    old = sys.stderr
    sys.stderr = stderr
    try:
        assert lowthread._excepthook(args) is None
    finally:
        sys.stderr = old
    return stderr.getvalue() if stderr is not None else ""


# ---- the arguments ----


def test_the_arguments_have_names():
    exc_type, exc_value, exc_traceback = caught()
    thread = Thread()
    args = lowthread._ExceptHookArgs([exc_type, exc_value, exc_traceback, thread])
    assert args.exc_type is exc_type is ValueError
    assert args.exc_value is exc_value
    assert args.exc_traceback is exc_traceback
    assert args.thread is thread
    assert isinstance(args, tuple)
    assert tuple(args) == (exc_type, exc_value, exc_traceback, thread)


@pytest.mark.parametrize("wrong", [(), (1, 2, 3), (1, 2, 3, 4, 5)])
def test_there_are_four(wrong):
    with pytest.raises(TypeError):
        lowthread._ExceptHookArgs(wrong)


def test_they_cannot_be_set():
    with pytest.raises((AttributeError, TypeError)):
        args_of().thread = 1


# ---- the hook ----


def test_it_prints_a_traceback_with_the_name_of_the_thread():
    stream = Stream()
    lines = hooked(args_of(Thread()), stream).splitlines()
    assert lines[0] == "Exception in thread the thread:"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: failed"
    assert any("in fails" in line for line in lines[2:-1])
    assert stream.flushed


def test_without_a_thread_it_prints_the_ident():
    lines = hooked(args_of(), io.StringIO()).splitlines()
    assert lines[0] == f"Exception in thread {lowthread.get_ident()}:"
    assert lines[-1] == "ValueError: failed"
    seen = []
    # Of the thread that calls it.
    run_threads(
        lambda: seen.append((hooked(args_of(), io.StringIO()), lowthread.get_ident())),
    )
    text, ident = seen[0]
    assert ident != lowthread.get_ident()
    assert text.startswith(f"Exception in thread {ident}:\n")


def test_a_cause_is_printed():
    def function():
        try:
            fails()
        except ValueError as error:
            raise KeyError("second") from error

    text = hooked(args_of(Thread(), function), io.StringIO())
    assert text.index("ValueError: failed") < text.index("direct cause")
    assert text.endswith("KeyError: 'second'\n")


def test_an_exception_without_a_traceback():
    args = lowthread._ExceptHookArgs((KeyError, KeyError("key"), None, Thread()))
    text = hooked(args, io.StringIO())
    assert text == "Exception in thread the thread:\nKeyError: 'key'\n"


@pytest.mark.parametrize("thread", [None, Thread()])
@pytest.mark.parametrize("value", [SystemExit(), SystemExit(3), SystemExit("text"), None])
def test_system_exit_is_silent(thread, value):
    args = lowthread._ExceptHookArgs((SystemExit, value, None, thread))
    assert hooked(args, io.StringIO()) == ""
    if thread is not None:
        hooked(args, None)
        assert thread._stderr.getvalue() == ""


def test_what_is_derived_from_system_exit_is_not():
    """As it is in threading.excepthook."""
    derived = type("Derived", (SystemExit,), {})

    def function():
        raise derived("text")

    assert "text" in hooked(args_of(Thread(), function), io.StringIO())


@pytest.mark.parametrize("missing", ["None", "deleted"])
def test_without_stderr_it_is_the_threads_own(missing):
    """Which is what `sys.stderr` was when that was made."""
    thread = Thread()
    args = args_of(thread)
    old = sys.stderr
    if missing == "deleted":
        del sys.stderr
    else:
        sys.stderr = None
    try:
        lowthread._excepthook(args)
    finally:
        sys.stderr = old
    text = thread._stderr.getvalue()
    assert text.startswith("Exception in thread the thread:\n")
    if missing == "None" and sys.version_info >= (3, 13) and not PYPY:
        return  # whose own prints the rest on sys.__stderr__
    assert text.splitlines()[1].startswith("Traceback ")
    assert text.endswith("ValueError: failed\n")


def test_without_any_stderr_nothing_is_printed():
    thread = Thread()
    thread._stderr = None
    hooked(args_of(thread), None)
    hooked(args_of(None), None)


def test_the_threads_own_is_not_used_otherwise():
    thread = Thread()
    assert hooked(args_of(thread), io.StringIO()) != ""
    assert thread._stderr.getvalue() == ""


@pytest.mark.parametrize(
    "wrong", [None, (ValueError, ValueError("failed"), None, None), ValueError("failed"), 1]
)
def test_other_arguments_are_refused(wrong):
    stream = io.StringIO()
    with pytest.raises(TypeError, match="argument type must be ExceptHookArgs$"):
        hooked(wrong, stream)
    assert stream.getvalue() == ""


def test_wrong_number_of_arguments():
    with pytest.raises(TypeError):
        lowthread._excepthook()
    with pytest.raises(TypeError):
        lowthread._excepthook(args_of(), args_of())


def test_an_exception_while_it_prints_is_the_callers():
    class Broken:
        def write(self, text):
            raise OSError("broken")

        def flush(self):
            pass

    old = sys.stderr
    sys.stderr = Broken()
    try:
        with pytest.raises(OSError, match="broken"):
            lowthread._excepthook(args_of(Thread()))
    finally:
        sys.stderr = old


def test_in_place_of_threadings():
    result = run_script(
        """
        import threading, lowthread
        def hook(args):
            lowthread._excepthook(lowthread._ExceptHookArgs(args))
        threading.excepthook = hook
        def fails():
            raise ValueError("failed")
        for function in [fails, lowthread.exit]:
            thread = threading.Thread(target=function, name="a thread")
            thread.start()
            thread.join()
        """
    )
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("Exception in thread a thread:\nTraceback ")
    assert result.err.endswith("\nValueError: failed\n")
    assert result.err.count("Exception") == 1


def test_it_prints_what_threadings_does():
    run_script(
        """
        import io, sys, threading, lowthread
        class Thread:
            name = "the thread"
        def fails():
            raise ValueError("failed")
        try:
            fails()
        except ValueError:
            args = (*sys.exc_info(), Thread())
        texts = []
        for hook, args_type in [
            (lowthread._excepthook, lowthread._ExceptHookArgs),
            (threading.excepthook, threading.ExceptHookArgs),
        ]:
            sys.stderr = io.StringIO()
            hook(args_type(args))
            texts.append(sys.stderr.getvalue())
            sys.stderr = sys.__stderr__
        assert texts[0] == texts[1] != "", texts
        """
    ).ok()
