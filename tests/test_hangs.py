"""Programs that know nothing of lowthread, and hang or wait: its options tell where, and why.

They are as others write them, and run as `python -m lowthread OPTION program.py`: a hung test
under pytest, a child of a fork that logs, web servers with one hot lock. See also
test_programs.py.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request

import pytest
from conftest import LONG, PYPY, ROOT

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere it is not known how many threads there are"
)


@contextlib.contextmanager
def running(*arguments, cwd):
    """Run `python -m lowthread *arguments`; in the end, kill what is left of it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lowthread", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore::DeprecationWarning",  # of a fork beside threads
        },
        start_new_session=True,  # to end its children with it
    )

    def kill():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(LONG, kill)
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        kill()
        process.communicate()


def read_until(stream, *patterns):
    """Return what comes, up to the line with which each of the patterns is in it."""
    text = ""
    while not all(re.search(pattern, text) for pattern in patterns):
        line = stream.readline()
        assert line, f"not all of {patterns} are in:\n{text}"
        text += line
    return text


def dumped(stream, pid, count, *patterns):
    """Ask a process, until so many threads wait; return what it says up to the patterns.

    One that tells of a deadlock does not wait yet.
    """
    waiting = "0"
    while waiting != str(count):
        os.kill(pid, signal.SIGUSR1)
        head = read_until(stream, r"threads known, \d of them waiting")
        waiting = re.search(r"(\d) of them waiting", head)[1]
    return read_until(stream, *patterns)


def line_of(program, mark):
    """Return the number of the line of a program that has this mark in a comment."""
    [number] = [n for n, line in enumerate(program.splitlines(), 1) if line.endswith(f"# {mark}")]
    return number


# ---- a test that hangs ----

HUNG_TEST = """\
import threading

orders = threading.Lock()
stock = threading.Lock()
both = threading.Barrier(2)


def sell():
    with orders:  # sell takes orders
        both.wait()
        with stock:  # sell waits
            pass


def refill():
    with stock:  # refill takes stock
        both.wait()
        with orders:  # refill waits
            pass


def test_sell_while_refilling():
    threads = [threading.Thread(target=f, name=f.__name__) for f in (sell, refill)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


@pytest.fixture
def hung_test(tmp_path):
    """A folder with test_hung.py, and none of our settings for pytest."""
    (tmp_path / "test_hung.py").write_text(HUNG_TEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_hung.py"]


def test_a_hung_test_under_pytest(hung_test):
    """Which keeps to itself what is printed while the test runs, and that is for ever."""
    with running("--deadlocks=0.3", "--dump-signal=USR1", *PYTEST, cwd=hung_test) as process:
        report = read_until(process.stderr, "# sell waits\n", "# refill waits\n")
        dump = dumped(
            process.stderr, process.pid, 3, 'waited for by "sell"', 'waited for by "refill"'
        )
    assert "2 threads wait for each other" in report.splitlines()[0]
    locks = set()
    for who, other, lock in ("sell", "refill", "stock"), ("refill", "sell", "orders"):
        taken = line_of(HUNG_TEST, f"{other} takes {lock}")
        found = re.search(
            rf'  thread "{who}" \(0x\w+\) waits for (lock 0x\w+), taken by thread "{other}" '
            rf'\(0x\w+\) in File ".*test_hung.py", line {taken}, in {other}\n',
            report,
        )
        assert found, report
        locks.add(found[1])
        waits = line_of(HUNG_TEST, f"{who} waits")
        at = re.compile(rf'File ".*test_hung.py", line {waits}, in {who}\n')
        assert at.search(report)
        assert at.search(dump) or PYPY  # where the stacks of others are not known
        assert re.search(rf'{found[1]}: taken by thread "{other}".*; waited for by "{who}"', dump)
    assert len(locks) == 2


# ---- a child of a fork that logs ----

JOBS = """\
import logging, os, sys, threading, time


class Shared(logging.Handler):
    "Writes a line at a time to a descriptor that others have, too."

    def __init__(self, fd):
        super().__init__()
        self.fd = fd
        self.turn = threading.Lock()

    def emit(self, record):
        with self.turn:  # the child waits
            os.write(self.fd, self.format(record).encode() + b"\\n")
            time.sleep(0.01)


log = logging.getLogger("jobs")
log.setLevel(logging.INFO)
log.addHandler(Shared(os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)))


def beat():
    while True:
        log.info("alive")


def do_job():
    if sys.argv[1:] == ["with-helper"]:
        threading.Thread(target=threading.Event().wait, name="helper", daemon=True).start()
    log.info("a job")


threading.Thread(target=beat, name="beat", daemon=True).start()
status = 0
while status == 0:  # until one is forked while the other thread writes
    pid = os.fork()
    if pid == 0:
        with open("pid", "w") as file:
            print(os.getpid(), file=file)
        do_job()
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
print("a job has failed", flush=True)
os._exit(1)
"""


def test_a_child_that_logs(tmp_path):
    (tmp_path / "jobs.py").write_text(JOBS)
    with running("jobs.py", cwd=tmp_path) as process:
        text = process.communicate()
    assert process.returncode == 1, text
    out, err = text
    assert out == "a job has failed\n"
    at = line_of(JOBS, "the child waits")
    assert re.search(rf'  File ".*jobs.py", line {at}, in emit\n', err)
    assert re.fullmatch(
        r"lowthread.AbandonedLockError: <locked lowthread.lock object at 0x\w+> was taken by "
        r"thread \d+ \(beat\), which got lost when this process was forked, and no other thread "
        r"can release it; _at_fork_reinit\(\) would",
        err.splitlines()[-1],
    )


@linux_only
def test_a_child_that_logs_and_has_another_thread(tmp_path):
    """Which might release the lock, for all that is known; so nothing is raised."""
    (tmp_path / "jobs.py").write_text(JOBS)
    options = ["--deadlocks=0.3", "--dump-signal=USR1"]
    with running(*options, "jobs.py", "with-helper", cwd=tmp_path) as process:
        # On PyPy, that of a thread which was not fast enough to note it has no source.
        stack = r":\n(  .*\n)+(.*acquire\(\)|  File .*, in wait)\n"
        report = read_until(process.stderr, r'Thread "helper" .*' + stack)
        child = int((tmp_path / "pid").read_text())
        dump = dumped(process.stderr, child, 2, 'waited for by "MainThread"')
    assert "lowthread: all 2 threads wait for ever\n" in report
    lost = "taken by a thread that got lost when this process was forked"
    assert re.search(rf'  thread "MainThread" \(0x\w+\) waits for lock 0x\w+, {lost}\n', report)
    assert re.search(rf'  lock 0x\w+: {lost}; waited for by "MainThread"', dump)
    assert re.search(r'  thread "helper" \(0x\w+\) waits for lock 0x', report)
    at = re.compile(rf'  File ".*jobs.py", line {line_of(JOBS, "the child waits")}, in emit\n')
    assert at.search(report) or PYPY
    assert at.search(dump) or PYPY


# ---- a web server ----

SERVER = """\
import http.server, sys, threading, time

cache = {}
cache_lock = threading.Lock()
hits = 0
hits_lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global hits
        with hits_lock:  # rarely contended
            hits += 1
        with cache_lock:  # hot
            if self.path not in cache:
                time.sleep(0.05)  # to compute it
                cache[self.path] = f"this is {self.path}".encode()
            body = cache[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    print(server.server_address[1], flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print(hits, "requests")
"""


def load(url, clients, requests):
    """Have so many clients make so many requests each, at the same time."""
    bodies = []

    def ask(client):
        for n in range(requests):
            with opener.open(f"{url}/{client}/{n}", timeout=LONG) as response:
                bodies.append(response.read())

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    threads = [threading.Thread(target=ask, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"this is /{c}/{n}".encode() for c in range(clients) for n in range(requests)}
    assert set(bodies) == expected


# The same, by a server whose threads are a pool and wait for what is to be done.
WAITRESS = """\
import sys, threading, time
from waitress.server import create_server

cache = {}
cache_lock = threading.Lock()
hits = 0
hits_lock = threading.Lock()


def application(environ, start_response):
    global hits
    with hits_lock:  # rarely contended
        hits += 1
    path = environ["PATH_INFO"]
    with cache_lock:  # hot
        if path not in cache:
            time.sleep(0.05)  # to compute it
            cache[path] = f"this is {path}".encode()
        body = cache[path]
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


server = create_server(application, host="127.0.0.1", port=0, threads=4)
print(server.effective_port, flush=True)
server.run()  # until there is a KeyboardInterrupt
print(hits, "requests")
"""


@pytest.mark.parametrize(
    ("program", "function"),
    [(SERVER, "do_GET"), (WAITRESS, "application")],
    ids=["http", "waitress"],
)
def test_a_server_under_load(program, function, tmp_path):
    if program is WAITRESS:
        pytest.importorskip("waitress", reason="the server is waitress")
    (tmp_path / "serve.py").write_text(program)
    with running("--profile=profile.json", "serve.py", cwd=tmp_path) as process:
        load(f"http://127.0.0.1:{int(process.stdout.readline())}", clients=6, requests=5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out) == (0, "30 requests\n"), err
    lines = err.splitlines()
    # Waitress tells of requests that wait for a thread.
    lines = [line for line in lines if not line.startswith("Task queue depth is ")]
    assert re.match(r"lowthread: \d+ waits for locks, .* s in all, in ", lines[0]), err
    first = 1 + next(at for at, line in enumerate(lines) if line.split()[:1] == ["total"])
    hot = f"serve.py:{line_of(program, 'hot')} in {function}"
    assert f"{hot}, for lock 0x" in lines[first]
    assert re.search(r"\d+% held by ", lines[first + 1])
    trace = json.loads((tmp_path / "profile.json").read_text())
    assert any(hot in json.dumps(event) for event in trace["traceEvents"])


# ---- where it is told ----

# Each prints the table of a profile at its end, since that is certain to come.
STDERR = {
    "another in Python": "import io; sys.stderr = io.StringIO()",
    "another in the system": "os.dup2(other, 2)",
    "none in Python": "sys.stderr = None",
    "a copy that is closed": "os.closerange(3, 256)",
    "a copy that is another file": "[os.dup2(other, fd) for fd in range(3, 99) if fd != other]",
}


@pytest.mark.parametrize("change", STDERR.values(), ids=STDERR)
def test_a_program_that_changes_its_standard_error(change, tmp_path):
    script = f"import os, sys\nother = os.open('other', os.O_WRONLY | os.O_CREAT)\n{change}\n"
    with running("--profile", "-c", script, cwd=tmp_path) as process:
        err = process.communicate()[1]
    assert process.returncode == 0, err
    assert re.fullmatch(r"lowthread: 0 waits for locks.*\n(.*\n)*", err)
    assert (tmp_path / "other").read_text() == ""


def test_a_program_that_has_no_standard_error(tmp_path):
    script = "import os, sys; print(os.open('other', os.O_WRONLY | os.O_CREAT), sys.stderr)"
    process = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh"]
        + [sys.executable, "-m", "lowthread", "--profile", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=LONG,
    )
    assert process.stdout == "2 None\n"
    assert (tmp_path / "other").read_text() == ""
