"""`--top`: where a program waits, while it runs."""

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest
from conftest import LONG, PYPY, ROOT

import lowthread
from lowthread._top import _lines

BEGIN = """
import os, sys, threading, time
def wait_for_file(path):
    deadline = time.monotonic() + 60
    while not os.path.exists(path) and time.monotonic() < deadline: time.sleep(0.01)
"""

#: Until the file "end" is there, threads wait for a lock and print.
PROGRAM = (
    BEGIN
    + """
import lowthread
lock = threading.Lock()
lowthread.name_lock(lock, "accounts\\033[2J")
def hot():
    while not os.path.exists("end"):
        with lock:
            time.sleep(0.005)
            print("line", next(numbers), flush=True)
numbers = iter(range(10**9))
threads = [threading.Thread(target=hot, name=f"worker-{n}") for n in range(3)]
for t in threads: t.start()
for t in threads: t.join()
print("done", next(numbers))
"""
)


class Screen:
    """What a terminal shows, and what has left it at its top; it fails on what is not known."""

    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.lines = [[" "] * columns for _ in range(rows)]
        self.history = []
        self.row = self.column = 0
        self.saved = 0, 0
        self.top, self.bottom = 0, rows - 1
        self.wraps = True
        self.seen = []  # the rows below what scrolls, each time that the cursor was put back

    def down(self):
        if self.row == self.bottom:
            gone = self.lines.pop(self.top)
            if self.top == 0:
                self.history.append("".join(gone).rstrip())
            self.lines.insert(self.bottom, [" "] * self.columns)
        else:
            self.row = min(self.row + 1, self.rows - 1)

    def put(self, char):
        assert char.isprintable(), repr(char)
        if self.column == self.columns:
            if self.wraps:
                self.column = 0
                self.down()
            else:
                self.column -= 1
        self.lines[self.row][self.column] = char
        self.column += 1

    def erase(self, row, begin=0):
        self.lines[row][begin:] = [" "] * (self.columns - begin)

    def control(self, numbers, what):
        n = [int(number) if number else 0 for number in numbers.strip("?").split(";")]
        if what == "r":
            self.top, self.bottom = (n[0] - 1, n[1] - 1) if len(n) > 1 else (0, self.rows - 1)
            assert 0 <= self.top < self.bottom < self.rows
            self.row = self.column = 0
        elif what == "H":
            assert 1 <= n[0] <= self.rows
            self.row, self.column = n[0] - 1, n[1] - 1
        elif what == "A":
            self.row = max(self.row - max(n[0], 1), self.top)
        elif what == "J" and n == [0]:
            self.erase(self.row, self.column)
            for row in range(self.row + 1, self.rows):
                self.erase(row)
        elif what == "K" and n == [2]:
            self.erase(self.row)
        elif numbers == "?7" and what in "hl":
            self.wraps = what == "h"
        else:
            raise AssertionError((numbers, what))

    def feed(self, text):
        for match in re.finditer(r"\033\[([?\d;]*)([A-Za-z])|\033(.)|(.)", text, re.S):
            numbers, what, short, char = match.groups()
            if what:
                self.control(numbers, what)
            elif short == "7":
                self.saved = self.row, self.column
            elif short == "8":
                self.row, self.column = self.saved
                if self.bottom < self.rows - 1:
                    self.seen.append(self.text()[self.bottom + 1 :])
            elif short == "D" or char == "\n":
                self.down()
            elif char == "\r":
                self.column = 0
            else:
                assert not short, short
                self.put(char)

    def text(self):
        return ["".join(line).rstrip() for line in self.lines]

    def all(self):
        return self.history + self.text()


def set_size(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


class OnTerminal:
    """A program on a terminal."""

    def __init__(self, script, cwd, *options, rows=24, columns=200, term="xterm", begin=(), **how):
        self.terminal, theirs = os.openpty()
        set_size(theirs, rows, columns)
        self.text = ""
        self.process = subprocess.Popen(
            [*begin, sys.executable, "-m", "lowthread", *options, "-c", script],
            **{"stdin": theirs, "stdout": theirs, "stderr": theirs, **how},
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": term, "NO_COLOR": "1"},
            start_new_session=True,
        )
        os.close(theirs)
        self.timer = threading.Timer(LONG, self.process.kill)
        self.timer.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.timer.cancel()
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)

    def read(self):
        """Read something; return whether there was anything."""
        try:
            data = os.read(self.terminal, 1 << 16)
        except OSError:  # Linux says so when the other end is closed
            data = b""
        self.text += data.decode("utf-8", "replace")
        return bool(data)

    def read_until(self, condition):
        """Read until condition(text) is true."""
        while not condition(self.text):
            assert self.read(), self.text

    def read_all(self):
        while self.read():
            pass
        assert self.process.wait(LONG) is not None
        return self.process.returncode


def own(text):
    """Return what the program itself has printed, which may be in pieces."""
    return re.sub("\0337.*?\0338|\033D|\033\\[\\d*[AJ]", "", text, flags=re.S)


def draws(text):
    return text.count("\033[?7l")


def run(script, cwd, *options, **how):
    return subprocess.run(
        [sys.executable, "-m", "lowthread", *options, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **how,
    )


# ---- on a terminal ----


@pytest.mark.parametrize(("rows", "columns"), [(24, 200), (9, 40), (3, 20)])
def test_the_last_rows_of_the_terminal(rows, columns, tmp_path):
    """What the program prints stays as it is, and nothing is left but the table."""
    with OnTerminal(PROGRAM, tmp_path, "--top=0.1", rows=rows, columns=columns) as on:
        on.read_until(lambda text: draws(text) > 5 and text.count("line ") > 2 * rows)
        (tmp_path / "end").touch()
        assert on.read_all() == 0
    screen = Screen(rows, columns)
    text, table = on.text.split("lowthread: ")[:-1], on.text.rpartition("lowthread: ")[2]
    screen.feed("lowthread: ".join(text))
    lines = screen.all()
    count = next(n for n, line in enumerate(lines) if line.startswith("done"))
    assert lines[: count + 1] == [*(f"line {n}" for n in range(count)), f"done {count}"]
    assert not any(lines[count + 1 :])
    assert (screen.top, screen.bottom, screen.wraps) == (0, rows - 1, True)
    assert len(screen.seen) > 5
    shown = screen.seen[-1]
    assert len(shown) <= rows // 2
    assert shown[0].startswith("lowthread: 0:00:0"[:columns])
    assert "waits for locks" in table
    if rows == 24:
        assert re.fullmatch(
            r"lowthread: \d:\d\d:\d\d, 4 threads, [1-4] waiting; \d+ waits, [\d.]+ m?s in all",
            shown[0],
        )
        assert shown[1].split() == ["total", "waits", "p99", "worst", "where"]
        assert re.search(
            r"s +\d+ .*s  .* in hot, most held by worker-\d, "
            r"for lock 0x\w+ \"accounts\?\[2J\"",
            shown[2],
        )
        now = shown.index("      now  who waits")
        assert any(
            re.search(r's  "worker-\d" \(0x\w+\), for lock 0x\w+ "accounts\?\[2J", ', line)
            for seen in screen.seen
            for line in seen
        )
        assert 's  "MainThread" (0x' in shown[now + 1]


def test_a_wait_that_does_not_end():
    """It is in no profile yet."""
    script = BEGIN + "lock = threading.Lock(); lock.acquire(); lock.acquire(timeout=99)"
    with OnTerminal(script, None, "--top=0.05") as on:
        on.read_until(lambda text: re.search(r'\[2K +[12]\.\d+ s +"MainThread"', text))
        assert "0 waits, 0 us in all" in on.text
        os.kill(on.process.pid, signal.SIGINT)
        assert on.read_all() in (1, 130, -signal.SIGINT)
    assert "KeyboardInterrupt" in own(on.text)


def test_the_longest_waits_come_first(tmp_path):
    script = (
        BEGIN
        + """
import lowthread
locks = [threading.Lock() for _ in range(6)]
for n, lock in enumerate(locks):
    lock.acquire()
    threading.Thread(target=lock.acquire, name=f"waiter-{n}", daemon=True).start()
    while len(lowthread.locks()) <= n: time.sleep(0.001)
wait_for_file("end")
"""
    )
    with OnTerminal(script, tmp_path, "--top=0.05") as on:
        on.read_until(lambda text: ", 6 waiting" in text)
        at = on.text.rindex(", 6 waiting")
        on.read_until(lambda text: "\0338" in text[at:])
        (tmp_path / "end").touch()
        assert on.read_all() == 0
    block = on.text[at : on.text.index("\0338", at)]
    assert re.findall(r'"(waiter-\d)" \(0x\w+\), for', block) == [f"waiter-{n}" for n in range(3)]


def test_a_lock_that_many_had_in_turn(monkeypatch):
    owners = tuple((f"t{n}", "b.py:2 in g", 1, 1.0) for n in range(9))
    times = 9.0, 1.0, 1.0, 1.0
    place = lowthread.ProfilePlace("a.py:1 in f", (), "lock 0x10", 9, *times, owners, True)
    profile = lowthread.profile()
    monkeypatch.setattr(profile, "_so_far", lambda most: ([place], 9, 9.0))
    [line] = [line for line in _lines(profile) if "a.py:1" in line]
    assert line.endswith("a.py:1 in f, most held by 9 threads, for lock 0x10")


def test_a_terminal_that_becomes_another_size(tmp_path):
    with OnTerminal(BEGIN + "wait_for_file('end')", tmp_path, "--top=0.05") as on:
        on.read_until(lambda text: "\033[1;23r" in text)
        set_size(on.terminal, 10, 15)
        on.read_until(lambda text: text.count("\033[1;9r") > 2)
        (tmp_path / "end").touch()
        on.read_all()
    assert on.text.count("\033[J") == 3  # at first, for the other size, and at the end
    after = on.text.split("\033[1;9r")[1]
    assert after.startswith("\033[?7l\033[10;1H\033[2Klowthread: 0:00\033[?7h\0338")


def test_a_line_that_is_not_finished_goes_on(tmp_path):
    script = (
        BEGIN
        + "print('\\n' * 30 + 'begun', end='', flush=True); wait_for_file('end'); print(' ended')"
    )
    with OnTerminal(script, tmp_path, "--top=0.05") as on:
        on.read_until(lambda text: draws(text) > 2)
        (tmp_path / "end").touch()
        on.read_all()
    screen = Screen(24, 200)
    screen.feed(on.text)
    assert "begun ended" in screen.all()


@pytest.mark.parametrize("how", ["dumb", "no size"])
def test_a_terminal_that_cannot(how, tmp_path):
    options = {"term": "dumb"} if how == "dumb" else {"rows": 0, "columns": 0}
    with OnTerminal(BEGIN + "wait_for_file('end')", tmp_path, "--top=0.01", **options) as on:
        on.read_until(lambda text: text.count("lowthread: 0:00:") > 1)
        (tmp_path / "end").touch()
        on.read_all()
    assert "\033" not in on.text


def test_in_the_background_the_terminal_is_somebody_elses(tmp_path):
    """And in the foreground again it is not."""
    outer = """
import fcntl, os, signal, subprocess, sys, termios, time
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
process = subprocess.Popen(sys.argv[1:], preexec_fn=os.setpgrp)
while not os.path.exists("front"): time.sleep(0.01)
os.tcsetpgrp(0, process.pid)
sys.exit(process.wait())
"""
    script = (
        BEGIN
        + """
wait_for_file("go")
print("gone", flush=True)
wait_for_file("end")
"""
    )
    with OnTerminal(script, tmp_path, "--top=0.05", begin=(sys.executable, "-c", outer)) as on:
        time.sleep(1)  # in which it would draw, or has not begun: not to be waited for
        (tmp_path / "go").touch()
        on.read_until(lambda text: "gone" in own(text))
        assert "\033" not in on.text
        (tmp_path / "front").touch()
        on.read_until(lambda text: draws(text) > 1)
        (tmp_path / "end").touch()
        assert on.read_all() == 0


# ---- elsewhere ----


def test_lines_where_there_is_no_terminal(tmp_path):
    script = PROGRAM.replace("print(", "(lambda *_, **__: None)(")
    with subprocess.Popen(
        [sys.executable, "-m", "lowthread", "--top=0.02", "-c", script],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        timer = threading.Timer(LONG, process.kill)
        timer.start()
        lines = [process.stderr.readline() for _ in range(4)]
        (tmp_path / "end").touch()
        rest = process.stderr.read()
        timer.cancel()
    assert process.returncode == 0
    for line in lines:
        assert re.match(r"lowthread: \d:\d\d:\d\d, \d threads?, \d waiting; \d+ waits, ", line)
        assert line[:-1].isprintable()
    assert re.search(r"; most at .* in hot, .*s in \d+ waits, for lock 0x\w+ \"acc", lines[-1])
    assert "waits for locks" in rest


def test_it_is_a_tenth_of_the_intervals(tmp_path):
    begin = time.monotonic()
    process = run(BEGIN + "time.sleep(0.5)", tmp_path, "--top=0.05")
    took = time.monotonic() - begin
    assert process.returncode == 0
    assert process.stderr.count("lowthread: 0:00") <= took / 0.5


# ---- the profile ----


@pytest.mark.parametrize(
    "options",
    [["--top"], ["--top=0.01", "--profile=p.json"], ["--profile=p.json", "--top=0.01"]],
    ids=" ".join,
)
def test_there_is_one_profile(options, tmp_path):
    script = (
        BEGIN
        + """
lock = threading.Lock()
lock.acquire()
for _ in range(20): lock.acquire(timeout=0.02)
"""
    )
    process = run(script, tmp_path, *options)
    assert process.returncode == 0, process.stderr
    table, _, wrote = process.stderr.partition("lowthread: --profile: ")
    assert wrote == (f"wrote {tmp_path / 'p.json'}\n" if len(options) > 1 else "")
    table = table.rpartition("lowthread: ")[2]
    assert table.startswith("0 waits for locks")
    assert "and 20 waits to be notified" in table
    assert process.stderr.count("waits for locks") == 1
    if len(options) > 1:
        events = json.loads((tmp_path / "p.json").read_text())["traceEvents"]
        assert sum(event["ph"] == "X" for event in events) == 20


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf"])
def test_a_wrong_number(value, tmp_path):
    process = run("print(1)", tmp_path, f"--top={value}")
    assert (process.returncode, process.stdout) == (2, "")
    first, *_ = process.stderr.splitlines()
    assert first == f"lowthread: --top takes a positive number of seconds, not {value!r}"


def test_a_long_time(tmp_path):
    """Longer than the interpreter's own locks can wait."""
    process = run("import time; time.sleep(0.2)", tmp_path, "--top=9e8")
    assert process.returncode == 0
    assert process.stderr.splitlines()[0].startswith("lowthread: 0 waits for locks")


# ---- that it disturbs nothing ----


def test_no_thread_is_counted(tmp_path):
    script = (
        "import _thread, lowthread, threading\nprint(_thread._count(), threading.active_count())"
    )
    process = run(script, tmp_path, "--top=0.01")
    assert (process.returncode, process.stdout) == (0, "0 1\n")


def test_it_is_no_thread_that_could_end_a_wait(tmp_path):
    if sys.platform != "linux":
        pytest.skip("elsewhere it is not known how many threads there are")
    script = """
import threading, os, signal
lock = threading.Lock()
lock.acquire()
lock.acquire()
"""
    with OnTerminal(script, tmp_path, "--top=0.05", "--deadlocks=0.1") as on:
        on.read_until(lambda text: "the only thread waits for ever" in own(text))


ENDS = {
    "the end": ("pass", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "an exception": ("1 / 0", 1),
    "os._exit": ("os._exit(4)", 4),
    "a signal": ("os.kill(os.getpid(), 15)", -15),
    "a thread that waits": (
        "lock = threading.Lock(); lock.acquire()\n"
        "threading.Thread(target=lock.acquire, daemon=True).start(); time.sleep(0.1)",
        0,
    ),
    "a thread that is waited for": (
        "threading.Thread(target=time.sleep, args=(0.1,)).start()",
        0,
    ),
    "os.abort in a child": (
        "pid = os.fork()\nif not pid: os.kill(os.getpid(), 9)\nos.waitpid(pid, 0)",
        0,
    ),
}


@pytest.mark.parametrize("to", ["a terminal", pytest.param("no terminal", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("how", "code"), ENDS.values(), ids=ENDS)
def test_each_end(how, code, to, tmp_path):
    """While it is drawn all the time."""
    for seconds in (0, 0.01, 0.1):
        script = f"{BEGIN}time.sleep({seconds})\n{how}"
        if to == "no terminal":
            process = run(script, tmp_path, "--top=0.00001")
            assert process.returncode == code, process.stderr
            text = process.stderr
        else:
            with OnTerminal(script, tmp_path, "--top=0.0001") as on:
                assert on.read_all() == code, on.text
                text = own(on.text)
            if code in (0, 1, 3) and draws(on.text):
                assert "\033" not in on.text.rpartition("\0337\033[r\0338\033[J")[2]
                assert "\033" not in text
        assert text.count("waits for locks") == (0 if code in (4, -15) else 1)
        assert ("ZeroDivisionError" in text) == (code == 1)
        assert text.count("Traceback") == (code == 1)


def test_children_of_forks(tmp_path):
    """They show nothing, and end as they do otherwise; also by the end of the program."""
    script = (
        BEGIN
        + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
for n in range(30):
    pid = os.fork()
    if pid == 0:
        lock = threading.Lock()
        thread = threading.Thread(target=lock.acquire)
        thread.start()
        thread.join()
        time.sleep(0.01)
        sys.exit(n)
    assert os.waitpid(pid, 0)[1] == n << 8
print("all")
"""
    )
    with OnTerminal(script, tmp_path, "--top=0.0001") as on:
        assert on.read_all() == 0, on.text
    assert "all\r\n" in own(on.text)
    assert on.text.count("waits for locks") == 1


def test_a_thread_that_has_the_lock_of_standard_error(tmp_path):
    """It goes on being drawn."""
    script = (
        BEGIN
        + """
r, w = os.pipe()
class Slow:
    def write(self, text): wait_for_file("end"); return len(text)
    def flush(self): pass
sys.stderr = Slow()
threading.Thread(target=print, args=("x",), kwargs={"file": sys.stderr}).start()
"""
    )
    with OnTerminal(script, tmp_path, "--top=0.01") as on:
        on.read_until(lambda text: draws(text) > 3)
        (tmp_path / "end").touch()
        assert on.read_all() == 0


def test_what_the_program_has_in_the_place_of_standard_error(tmp_path):
    script = (
        BEGIN
        + """
time.sleep(0.1)
os.close(2)
assert os.open("file", os.O_WRONLY | os.O_CREAT) == 2
time.sleep(0.3)
os.close(2)
"""
    )
    run(script, tmp_path, "--top=0.001")
    assert (tmp_path / "file").read_bytes() == b""


def test_signals_are_the_programs(tmp_path):
    script = (
        BEGIN
        + """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
for _ in range(20):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)
    print(signal.sigwait([signal.SIGTERM]) == signal.SIGTERM)
"""
    )
    process = run(script, tmp_path, "--top=0.0001")
    assert (process.returncode, process.stdout) == (0, "True\n" * 20)


@pytest.mark.skipif(PYPY, reason="what is left at the end is PyPy's own")
def test_nothing_is_said_in_development_mode(tmp_path):
    process = subprocess.run(
        [
            sys.executable,
            "-X",
            "dev",
            "-m",
            "lowthread",
            "--top=0.001",
            "-c",
            "import time; time.sleep(0.1)",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.returncode == 0
    for line in process.stderr.splitlines():
        assert re.match(r"lowthread: |    total ", line), line
