"""What the tests share: waiting for threads, and running scripts in a process of their own."""

import contextlib
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import lowthread

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = pathlib.Path(lowthread.__file__).parent  # in ROOT, or where it is installed
SCRIPTS = ROOT / "tests" / "scripts"
PYPY = sys.implementation.name == "pypy"
CFFI = lowthread.backend == "cffi"  # locks are classes in Python
# It is not with PyPy, where no locale is set.
UTF8 = sys.getfilesystemencoding() == "utf-8"

# Ignored, where the tests run in the background, it would be ignored by the scripts too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Longer than anything here takes on a busy machine: a test that waits so long has failed.
LONG = 60


def wait_until(condition, what="condition"):
    """Wait until condition() is true; fail after `LONG` seconds."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.001)


class Raised(Exception):
    """What `raise_it` raises."""


def raise_it(signum, frame):
    """Handle a signal by raising."""
    raise Raised


@contextlib.contextmanager
def handling(signum, handler):
    """Have a signal handled by `handler` in a `with` block."""
    old = signal.signal(signum, handler)
    try:
        yield
    finally:
        signal.signal(signum, old)


class Process:
    """A finished script: its exit code and what it printed."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def ok(self):
        """Check that it ended well and had nothing to complain of; return its output."""
        assert (self.code, self.err) == (0, ""), f"exit code {self.code}\n{self.err}\n{self.out}"
        return self.out


def run_script(script, *args, timeout=LONG, python=(sys.executable,), **options):
    """Run a script, given by its path or its text; a hang ends with a dump of its stacks."""
    how = [script] if isinstance(script, pathlib.Path) else ["-c", textwrap.dedent(script)]
    return _run([*python, "-X", "faulthandler", *how, *args], timeout, options)


def run_lowthread(*args, timeout=LONG, **options):
    """Run `python -m lowthread` with these arguments, in the same way."""
    command = [sys.executable, "-X", "faulthandler", "-m", "lowthread", *args]
    return _run(command, timeout, options)


def _run(command, timeout, options):
    options.setdefault("env", {**os.environ, "PYTHONPATH": str(ROOT)})
    options.setdefault("start_new_session", True)  # to end its children with it
    process = subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        try:
            out, err = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            if options["start_new_session"]:
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            out, err = process.communicate()
        pytest.fail(f"hangs:\n{err}\n{out}")
    return Process(process.returncode, out, err)


#: For the beginning of a script: in_child(function) calls it in a forked child.
FORKING = """
import os, time

def in_child(function):
    # In the child the sanitizer's allocator would wait for ever for one of its mutexes, if another
    # thread had that when it was lost: so let those that have just begun come to where they wait.
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        time.sleep(0.1)
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert status == 0, status

def wait_until(condition):
    deadline = time.monotonic() + 50
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
"""


def check_that_a_handler_ends(wait):
    """Check that a signal handler that raises in the main thread ends `wait()`."""
    main = lowthread.get_ident()
    ready = lowthread.allocate_lock()
    ready.acquire()

    def send():
        ready.acquire()
        time.sleep(0.05)  # for the wait to have begun; before that it is ended too
        signal.pthread_kill(main, signal.SIGUSR1)

    with handling(signal.SIGUSR1, raise_it):
        sender = lowthread.start(send)
        with pytest.raises(Raised):
            ready.release()
            wait()
    sender.join()


@pytest.fixture(autouse=True)
def no_thread_is_left():
    """Every test ends its threads, so that the next can count its own."""
    yield
    wait_until(lambda: lowthread._count() == 0, "all threads of the test have ended")


@pytest.fixture
def unraisable(monkeypatch):
    """Collect what is given to `sys.unraisablehook` instead of having it printed."""
    caught = []
    monkeypatch.setattr(sys, "unraisablehook", caught.append)
    return caught


@pytest.fixture
def stack_size():
    """`lowthread.stack_size`, put back at the end."""
    yield lowthread.stack_size
    lowthread.stack_size(0)


#: The command of the C compiler. An installed package is tested where there is none.
COMPILER = shlex.split(os.environ.get("CC", "cc"))

_lacks_compiler = "" if shutil.which(COMPILER[0]) else f"there is no C compiler ({COMPILER[0]})"
_lacks_glibc = "" if "CS_GNU_LIBC_VERSION" in os.confstr_names else "what is preloaded needs glibc"

#: Marks a test that compiles something.
needs_compiler = pytest.mark.skipif(bool(_lacks_compiler), reason=_lacks_compiler)

#: Marks a test that takes an environment from `preloading`.
preloads = pytest.mark.skipif(
    bool(_lacks_compiler or _lacks_glibc), reason=_lacks_compiler or _lacks_glibc
)


def preloading(source, folder):
    """Return an environment in which a library made of tests/scripts/`source` is preloaded."""
    library = folder / f"{source}.so"
    subprocess.run(
        [*COMPILER, "-shared", "-fPIC", "-o", library, SCRIPTS / source, "-ldl", "-pthread"],
        check=True,
    )
    return {**os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(library)}


@pytest.fixture(scope="session")
def slow_threads(tmp_path_factory):
    """An environment in which threads are slow to begin, and processes slow to end."""
    return preloading("slow_threads.c", tmp_path_factory.mktemp("preload"))


@pytest.fixture(scope="session")
def slow_gil(tmp_path_factory):
    """An environment in which threads are slow to notice that they will not get the GIL."""
    return preloading("slow_gil.c", tmp_path_factory.mktemp("preload"))


def run_threads(*functions):
    """Run each function in a thread of its own until all have ended; raise what they raised."""
    errors = []
    done = [lowthread.allocate_lock() for _ in functions]

    def run(function, lock):
        try:
            function()
        except BaseException as error:  # to be raised where the test sees it
            errors.append(error)
        finally:
            lock.release()

    for function, lock in zip(functions, done):
        lock.acquire()
        lowthread.start_new_thread(run, (function, lock))
    for lock in done:
        assert lock.acquire(timeout=LONG), "the thread does not end"
    if errors:
        raise errors[0]
