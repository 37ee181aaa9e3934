"""dump_on_signal() and --dump-signal: a signal has it printed what every thread does."""

import contextlib
import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types

import pytest
from conftest import LONG, PYPY, ROOT, run_script

import lowthread

STUCK = {
    "acquire": "lock = threading.Lock(); lock.acquire(); ready(); lock.acquire()",
    "with": "lock = threading.Lock(); lock.acquire(); ready()\nwith lock: pass",
    "join": "t = threading.Thread(target=time.sleep, args=(99,), daemon=True)\n"
    "t.start(); ready(); t.join()",
    # C code that a signal does not interrupt, as this blocks it.
    "C": "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
    "threading.Thread(target=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, "
    "[signal.SIGUSR1]) or time.sleep(99), daemon=True).start(); ready(); time.sleep(99)",
    "Python": "ready()\nwhile True: pass",
}
BEGIN = """
import os, signal, sys, threading, time
def ready(): print("ready", flush=True)
"""


class Program:
    """A program that hangs, and is asked why."""

    def __init__(self, script, *options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lowthread", *options, "-c", BEGIN + script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        self.timer = threading.Timer(LONG, self.kill)
        self.timer.start()

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)  # its children, too

    def __enter__(self):
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()
        return self

    def __exit__(self, *exc_info):
        self.timer.cancel()
        self.kill()
        self.process.communicate()

    def read_until(self, pattern):
        text = ""
        while not re.search(pattern, text):
            line = self.process.stderr.readline()
            assert line, text
            text += line
        return text

    def dumped(self, pattern, signum=signal.SIGUSR1, waiting=False, pid=None):
        """Ask it, until it waits if it is going to; return what it says up to the pattern."""
        while True:
            with self.asking(pid or self.process.pid, signum):
                head = self.read_until(r"threads known, \d of them waiting")
                if not waiting or ", 0 of" not in head:
                    return self.read_until(pattern)
            time.sleep(0.05)

    @contextlib.contextmanager
    def asking(self, pid, signum, again=10):
        """Send the signal, and again if it takes so long: where the machine is busy, or C code."""
        done = threading.Event()

        def ask():
            os.kill(pid, signum)
            while not done.wait(again):
                os.kill(pid, signum)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize("how", STUCK)
def test_a_main_thread_that_is_stuck(how):
    with Program(STUCK[how], "--dump-signal", "USR1") as program:
        for _ in range(2):  # it can be asked again
            waits = how in ("acquire", "with", "join")
            text = program.dumped(
                "  - waits for (lock|thread) 0x" if waits else r"\(main\)", waiting=waits
            )
            assert 'Thread "MainThread"' in text
            assert "in <module>\n" in text or program.read_until("in <module>\n")


KEEPS_THE_GIL = """
import ctypes
def keeps_it():
    mutex = ctypes.create_string_buffer(128)
    lock = ctypes.PyDLL(None).pthread_mutex_lock
    lock(mutex)
    ready()
    lock(mutex)
keeps_it()
"""


@pytest.mark.skipif(PYPY, reason="there is no call of C there that keeps the GIL")
def test_c_code_that_keeps_the_gil():
    """Nobody can run Python then; so what is printed comes from the signal's handler itself."""
    program = Program(KEEPS_THE_GIL, "--dump-signal", "USR1")
    # For a second it is hoped that somebody comes to look.
    with program, program.asking(program.process.pid, signal.SIGUSR1, again=1.1):
        program.read_until(r"line \d+ in keeps_it\n")  # with a comma, it were Python's way


def test_a_thread_that_is_slow_to_look_is_waited_for():
    """Signals that come at once are no reason to print it otherwise."""
    with Program("ready()\nwhile True: pass", "--dump-signal", "USR1") as program:
        for _ in range(50):
            os.kill(program.process.pid, signal.SIGUSR1)
        text = program.read_until(r"\(main\)")
        assert "threads known" in text
        assert "most recent call first" not in text


def run(script, *options):
    return subprocess.run(
        [sys.executable, "-m", "lowthread", *options, "-c", BEGIN + script],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


UNDISTURBED = {
    "a signal that is waited for": """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.kill(os.getpid(), signal.SIGTERM)
print(signal.sigwait([signal.SIGTERM]))
""",
    "closed descriptors": """
signal.signal(signal.SIGUSR2, lambda *_: None)
os.closerange(3, 256)
reading, writing = os.pipe()
time.sleep(0.1)
os.kill(os.getpid(), signal.SIGUSR2)
os.write(writing, b"text")
print(os.read(reading, 99), time.process_time() < 20)
""",
    "an abandoned lock": """
import lowthread
lock = threading.Lock()
threading.Thread(target=lambda: (lock.acquire(), time.sleep(1))).start()
while not lock.locked(): time.sleep(0.001)
pid = os.fork()
if pid == 0:
    try:
        lock.acquire()
    except lowthread.AbandonedLockError:
        os._exit(7)
print(os.waitpid(pid, 0)[1] >> 8)
""",
}


@pytest.mark.parametrize("script", UNDISTURBED.values(), ids=UNDISTURBED)
def test_the_program_is_not_disturbed(script):
    without, with_it = run(script), run(script, "--dump-signal=USR1")
    assert without.returncode == with_it.returncode == 0, with_it.stderr
    assert without.stdout == with_it.stdout


def test_other_spellings():
    with Program(STUCK["acquire"], "--dump-signal=sigusr2", "--deadlocks=99") as program:
        program.dumped("- waits for lock", signal.SIGUSR2, waiting=True)


def test_the_program_counts_no_thread_more():
    script = "import _thread; print(_thread._count(), threading.active_count())"
    process = subprocess.run(
        [sys.executable, "-m", "lowthread", "--dump-signal=USR1", "-c", BEGIN + script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=LONG,
    )
    assert (process.stdout, process.stderr) == ("0 1\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is not known how many there are")
def test_that_all_threads_wait_is_told_all_the_same():
    with Program(STUCK["acquire"], "--dump-signal=USR1", "--deadlocks=0.2") as program:
        program.read_until("the only thread waits for ever")


def test_a_child():
    """It tells of itself, and its parent is not asked."""
    script = """
pid = os.fork()
if pid == 0:
    lock = threading.Lock(); lock.acquire()
    signal.signal(signal.SIGUSR2, lambda *_: None)  # or the wait would be refused
    print("ready", flush=True)
    print(os.getpid(), flush=True)
    lock.acquire()
time.sleep(99)
"""
    with Program(script, "--dump-signal=USR1") as program:
        child = int(program.process.stdout.readline())
        try:
            program.dumped("- waits for lock 0x", waiting=True, pid=child)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--dump-signal"], "--dump-signal takes the name of a signal, such as USR1, not '-c'"),
        (["--dump-signal=X"], "--dump-signal takes the name of a signal, such as USR1, not 'X'"),
        (["--dump-signal=KILL"], "--dump-signal takes a signal that can be handled, not 'KILL'"),
    ],
)
def test_what_is_no_signal(arguments, why):
    process = subprocess.run(
        [sys.executable, "-m", "lowthread", *arguments, "-c", ""],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=LONG,
    )
    assert process.returncode == 2
    assert process.stderr.splitlines()[0] == f"lowthread: {why}"


def test_errors():
    """In a process of its own, as it begins a thread."""
    script = f"""
import lowthread
for signum in (12345, {int(signal.SIGKILL)}):
    try:
        lowthread.dump_on_signal(signum)
    except OSError as error:
        assert error.errno == {errno.EINVAL}, error
        assert str(signum) in str(error)
    else:
        raise AssertionError(signum)
try:
    lowthread.dump_on_signal("USR1")
except TypeError:
    pass
else:
    raise AssertionError
"""
    subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=LONG,
    )


@pytest.mark.skipif(PYPY, reason="there is no call of C there that keeps the GIL")
def test_a_program_that_has_faulthandler_call_the_handler_before():
    """Which is ours, whose handler before is faulthandler's."""
    register = "import faulthandler\nfaulthandler.register(signal.SIGUSR1, chain=True)\n"
    program = Program(register + KEEPS_THE_GIL, "--dump-signal", "USR1")
    with program:
        for _ in range(4):
            os.kill(program.process.pid, signal.SIGUSR1)
            time.sleep(0.6)
        program.read_until(r"line \d+ in keeps_it\n")
        assert program.process.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "import faulthandler; faulthandler.register(10); "])
def test_signals_while_the_interpreter_ends(before):
    """faulthandler puts back what was there before when it ends; that is not to be the default."""
    script = f"{before}import lowthread; lowthread.dump_on_signal(10); print('ready', flush=True)"
    for _ in range(10):
        with subprocess.Popen(
            [sys.executable, "-c", script.replace("10", str(int(signal.SIGUSR1)))],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:
            assert process.stdout.readline() == b"ready\n"
            deadline = time.monotonic() + LONG
            while process.poll() is None and time.monotonic() < deadline:
                process.send_signal(signal.SIGUSR1)
            process.kill()
        assert process.returncode == 0


@pytest.mark.skipif(not PYPY, reason="there, each thread's stack is known")
def test_a_thread_that_has_waited_for_long_tells_its_stack():
    script = """
lock = threading.Lock()
lock.acquire()
def waits():
    lock.acquire()
threading.Thread(target=waits, daemon=True).start()
time.sleep(1.5)
ready()
while True: pass
"""
    with Program(script, "--dump-signal", "USR1") as program:
        text = program.dumped(r"  - waits for lock 0x", waiting=True)
    assert re.search(r'File ".*", line \d+, in waits\n', text)


def test_who_may_look_earlier_leaves_others_their_time(monkeypatch):
    """Stacks are noted after a second at most; deadlocks are looked for after a given time."""
    told = []
    core = types.SimpleNamespace(lt_check_after=told.append)
    monkeypatch.setattr(lowthread._check, "lib", core)
    monkeypatch.setattr(lowthread._check, "lookers", {})
    look_after, second = lowthread._check.look_after, 1_000_000_000
    look_after(print, 10 * second)
    look_after(repr, 0)
    look_after(print, second // 2)
    look_after(print, None)
    look_after(repr, None)
    assert told == [10 * second, 10 * second // 16, second // 2, second, 0]


def test_the_interpreter_ends_when_it_is_printed():
    """Else the thread is stopped with the file's lock, which the interpreter takes to flush it."""
    result = run_script(
        """
        import io, os, signal, sys, time
        import lowthread

        class Slow(io.RawIOBase):
            begun = False

            def writable(self):
                return True

            def write(self, data, write=os.write, sleep=time.sleep):
                Slow.begun = True
                sleep(0.5)
                return write(2, data)

        sys.stderr = io.TextIOWrapper(io.BufferedWriter(Slow()), line_buffering=True)
        lowthread.dump_on_signal(signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        while not Slow.begun:
            time.sleep(0.001)
        """
    )
    assert result.code == 0, result.err
    assert "(main)" in result.err
