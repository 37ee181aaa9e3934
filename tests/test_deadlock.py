"""detect_deadlocks() and --deadlocks: threads that wait for each other are found, no others."""

import os
import re
import subprocess
import sys
import threading

import pytest
from conftest import LONG, PYPY, ROOT, run_lowthread, run_script

import lowthread

BEGIN = """
import lowthread
lowthread.install()
import threading, time, os, sys

def quit_later():
    # When there was a report, or none has come; threads that hang are left behind.
    deadline = time.monotonic() + (1 if not lowthread._check.lookers else 30)
    while not lowthread._deadlock._found and time.monotonic() < deadline:
        time.sleep(0.05)
    while lowthread._deadlock._looking:  # who has found it is about to tell
        time.sleep(0.05)
    time.sleep(1)
    sys.stderr.flush()
    os._exit(0)

def start(function, name=None, *args):
    thread = threading.Thread(target=function, name=name or function.__name__, args=args)
    thread.daemon = True
    thread.start()
    return thread

both = threading.Barrier(2)
lowthread.detect_deadlocks(0.1)
"""

TWO = """
a, b = threading.{kind}(), threading.{kind}()
lowthread.name_lock(a, "A")

def one():
    with a:
        both.wait()
        with b:
            pass

def two():
    with b:
        both.wait()
        with a:
            pass

start(one), start(two)
"""


def said(script, **options):
    """Run a script that begins as above; return what it wrote to stderr."""
    process = run_script(BEGIN + script, **options)
    assert process.code == 0, process.err
    return process.err


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_two_threads(kind):
    text = said(TWO.format(kind=kind) + "quit_later()")
    first, *rest = text.splitlines()
    if kind == "RLock":
        assert first == "lowthread: found a deadlock: 2 threads wait for each other"
    else:
        assert first.startswith("lowthread: found what looks like a deadlock: 2 threads wait")
    assert text.count("lowthread: found") == 1  # though both look
    verb, kind = ("held", "RLock") if kind == "RLock" else ("taken", "lock")
    assert {re.sub("0x[0-9a-f]+", "0x", line) for line in rest[:2]} == {
        f'  thread "one" (0x) waits for {kind} 0x, {verb} by thread "two" (0x)',
        f'  thread "two" (0x) waits for {kind} 0x "A", {verb} by thread "one" (0x)',
    }
    begin = (
        r'Thread "one" .* \(most recent call last\):\n  File ".*threading.py", line \d+, in _boot'
    )
    assert re.search(begin, text)
    assert re.search(r'File "<string>", line \d+, in one\n', text)
    assert re.search(r'File "<string>", line \d+, in two\n', text)


@pytest.mark.parametrize("later", [0, 0.05, 0.5])
def test_where_the_locks_were_taken(later, tmp_path):
    """From a file, whose source there is; and of a Condition, whose lock it has inside.

    later: how much later than the one the other begins to wait; it may look later, too.
    """
    script = tmp_path / "program.py"
    script.write_text(
        BEGIN
        + """
class Account:
    def __init__(self):
        self.lock = threading.Lock()
a, b = Account(), threading.Condition()
def one():
    with a.lock:
        both.wait()
        with b: pass
def two():
    with b:
        both.wait()
        time.sleep(LATER)
        with a.lock: pass
start(one), start(two)
quit_later()
""".replace("LATER", str(later))
    )
    process = run_script(script)
    assert "its stack is not known" not in process.err
    lines = script.read_text().splitlines()
    with_a, with_b = 1 + lines.index("    with a.lock:"), 1 + lines.index("    with b:")
    assert f'File "{script}", line {with_a}, in one' in process.err
    assert re.search(rf'by thread "one" .* in File ".*", line {with_a}, in one', process.err)
    assert re.search(rf'by thread "two" .* in File ".*", line {with_b}, in two', process.err)
    assert "--lock-order" not in process.err


WITHS = {
    "one line": "with first, second: pass",
    "two lines": "with first, \\\n            second:\n        pass",
    "in the body": "with open(os.devnull), first:\n        second.acquire()",
}


@pytest.mark.parametrize("statement", WITHS.values(), ids=WITHS)
def test_where_the_locks_of_one_statement_were_taken(statement, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        BEGIN
        + f"""
class Slow:
    "Takes a lock, and is slow to come back; known by what it has."
    def __init__(self, lock): self.lock = lock
    def __enter__(self): self.lock.acquire(); both.wait()
    def __exit__(self, *args): self.lock.release()
def take(first, second):
    {statement}
a, b = Slow(threading.Lock()), Slow(threading.Lock())
a.acquire, b.acquire = a.__enter__, b.__enter__
start(take, "one", a, b), start(take, "two", b, a)
quit_later()
"""
    )
    err = run_script(script).err
    line = 1 + script.read_text().splitlines().index("def take(first, second):") + 1
    for thread in "one", "two":
        place = rf'by thread "{thread}" .* in File ".*program.py", line {line}, in take\n'
        assert re.search(place, err), err


def test_what_with_of_an_object_is_not_known_to_take_is_probable(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        BEGIN
        + """
class Pool:
    def __init__(self): self.a, self.b = threading.Lock(), threading.Lock()
    def __enter__(self): self.a.acquire()
    def __exit__(self, *args): self.a.release()
class Hiding:
    def __init__(self): self.__dict__["lock"], self._own = other, threading.Lock()
    @property
    def lock(self): return self._own
def take(pool): pool.b.acquire()
pool, other = Pool(), threading.Lock()
hiding = Hiding()
def one():
    take(pool)
    with pool:
        both.wait(); other.acquire()
def two():
    other.acquire()
    with hiding.lock:
        both.wait(); pool.b.acquire()
start(one), start(two)
quit_later()
"""
    )
    err = run_script(script).err
    assert re.search(r'by thread "one" \(0x\w+\), probably in File', err), err
    assert re.search(r'by thread "two" \(0x\w+\), probably in File ".*", line \d+, in two', err), (
        err
    )


def test_calls_of_acquire_may_have_taken_it(tmp_path):
    """What is below, or in another function, has not."""
    script = tmp_path / "program.py"
    script.write_text(
        BEGIN
        + """
a, b = threading.Condition(), threading.Lock()
def one():
    def other():
        a.acquire()
    a.acquire()
    a.release()
    a.acquire()  # the first
    third = lambda: a.acquire()
    both.wait()
    b.acquire()
    a.acquire()
def two():
    take()
    both.wait()
    a.acquire()
def take():
    b.acquire()  # from elsewhere
start(one), start(two)
quit_later()
"""
    )
    process = run_script(script)
    line = 1 + script.read_text().splitlines().index("    a.acquire()  # the first")
    found = re.findall(r'  thread "(\w+)" .* by thread "(?:\w+)" \(\w+\)(.*)', process.err)
    assert dict(found) == {
        "two": f', probably in File "{script}", line {line}, in one',
        "one": "",
    }
    assert "--lock-order" in process.err


@pytest.mark.parametrize(
    "statement", ["with self.__lock:\n            ", "self.__lock.acquire()\n        "]
)
def test_a_private_name(statement, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        BEGIN
        + f"""
other = threading.Lock()
class Account:
    def __init__(self):
        self.__lock = threading.Lock()
    def one(self):
        {statement}both.wait(); self.then(other)
    def two(self):
        with other: both.wait(); self.then(self.__lock)
    def then(self, lock):
        with lock: pass
account = Account()
start(account.one), start(account.two)
quit_later()
"""
    )
    err = run_script(script).err
    line = re.search(r'taken by thread "one" .* in File ".*", line (\d+), in one', err)[1]
    assert "self.__lock" in script.read_text().splitlines()[int(line) - 1]


HOSTILE = {
    "a metaclass": """
class Meta(type):
    def __getattribute__(cls, name): asked.append(name); raise RuntimeError(name)
class Thing(metaclass=Meta):
    def acquire(self): pass
it = type.__call__(Thing)
""",
    "an attribute": """
class Name(str):
    def __eq__(self, other): asked.append(other); raise RuntimeError(other)
    def __hash__(self): return hash("acquire")
class Holder:
    def acquire(self): pass
class Thing: pass
thing = Thing()
it = Holder()
it.__dict__[Name("x")] = 1
thing.__dict__[Name("x")] = it
""",
    "a line that is none": """
class Thing:
    def __del__(self): wait_for_b()
    def acquire(self): pass
it = Thing()
""",
}


# Elsewhere an object does not end with the last reference to it, and every line is one.
COUNTS_REFERENCES = pytest.mark.skipif(PYPY, reason="nothing runs where an `except` clause ends")


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(x, marks=COUNTS_REFERENCES if x == "a line that is none" else ())
        for x in HOSTILE
    ],
)
def test_no_code_of_the_program_runs(what, tmp_path):
    """Whatever it is of which `acquire` has been called; and wherever it waits."""
    expression = "thing.acquire" if what == "an attribute" else "it"
    script = tmp_path / "program.py"
    script.write_text(
        BEGIN
        + f"""
a, b, asked = threading.Lock(), threading.Lock(), []
def wait_for_b():
    b.acquire()
{HOSTILE[what]}
def one():
    a.acquire()
    if {what == "a line that is none"}:
        try:
            both.wait()
            1 / 0
        except ArithmeticError as error:
            error = Thing()
            raise KeyError
    if 0: {expression}.acquire()
    both.wait()
    del asked[:]
    wait_for_b()
def two():
    b.acquire()
    both.wait()
    a.acquire()
start(one), start(two)
while not lowthread._deadlock._found: time.sleep(0.01)
print(asked, flush=True)
quit_later()
"""
    )
    process = run_script(script)
    assert process.out == "[]\n"
    assert process.err.count("found what looks like a deadlock") == 1, process.err
    assert "ignored" not in process.err


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_raise_ends_one_wait(kind):
    text = said(
        "lowthread.detect_deadlocks(0.1, 'raise')\n"
        "raised = []\n"
        "threading.excepthook = lambda args: raised.append(args.exc_value)\n"
        + TWO.format(kind=kind).replace("start(one), start(two)", "ts = start(one), start(two)")
        + """
for t in ts:
    t.join(20)
    assert not t.is_alive()
[error] = raised
assert type(error) is lowthread.DeadlockError, error
text = str(error)
assert text.startswith(("found a deadlock: 2 threads wait", "found what looks like a deadlock: 2"))
assert text[-1] != "\\n", text
assert not a.acquire(False) or a.release() is None
assert lowthread.locks() == []
"""
    )
    assert text == ""


@pytest.mark.parametrize("first", ["", "lowthread.check_lock_order()\n"])
def test_how_to_know_where_it_was_taken(first):
    text = said(first + TWO.format(kind="RLock") + "quit_later()")  # which has no source
    assert ("--lock-order" in text) == (first == "")
    assert (", in one\n    created in" in text) == (first != "")


@pytest.mark.parametrize(
    "expression", ["locks[0]", "locks[0 + (n - 1)]", "named['it']", "named[2 % n]"]
)
def test_where_locks_of_a_collection_were_taken(expression, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        BEGIN
        + f"""
class Key:
    def __hash__(self): return hash("it")
    def __eq__(self, _): return asked.append(self)
asked, locks, other, n = [], [threading.Lock()], threading.Lock(), 1
named = {{Key(): 1, 0: locks[0], "it": locks[0]}}
def one():
    with {expression}:
        both.wait()
        del asked[:]
        with other: pass
def two():
    lock = {expression}
    with other:
        both.wait()
        with lock: pass
start(one), start(two)
while not lowthread._deadlock._found: time.sleep(0.01)
print(asked, flush=True)
quit_later()
"""
    )
    process = run_script(script)
    assert process.out == "[]\n"  # no code of the program has run
    line = 1 + script.read_text().splitlines().index(f"    with {expression}:")
    assert re.search(rf'taken by thread "one" .* in File ".*", line {line}, in one', process.err)


def test_a_callable():
    text = said(
        "found = []\nlowthread.detect_deadlocks(0.1, found.append)\n"
        + TWO.format(kind="RLock")
        + """
while not found:
    time.sleep(0.05)
[deadlock] = found
assert deadlock.is_certain is True
assert {t.name for t in deadlock.threads} == {"one", "two"}
assert "found a deadlock" in deadlock.text
os._exit(0)
"""
    )
    assert text == ""


def test_what_a_callable_raises_ends_the_wait():
    said(
        """
raised = []
threading.excepthook = lambda args: raised.append(args.exc_value)
def stop(deadlock):
    raise KeyError(deadlock.is_certain)
lowthread.detect_deadlocks(0.1, stop)
"""
        + TWO.format(kind="Lock")
        + """
while not raised:
    time.sleep(0.01)
assert type(raised[0]) is KeyError and raised[0].args == (False,)
"""
    )


def test_threads_that_join_each_other():
    text = said(
        """
threads = []
def one(): both.wait(); threads[1].join()
def two(): both.wait(); threads[0].join()
threads += [threading.Thread(target=one, name="one", daemon=True)]
threads += [threading.Thread(target=two, name="two", daemon=True)]
for t in threads: t.start()
quit_later()
"""
    )
    assert "2 threads wait for each other" in text


def test_a_lock_and_a_join():
    text = said(
        """
lock = threading.RLock()
def one():
    with lock:
        thread = start(two)
        thread.join()
def two():
    with lock: pass
start(one)
quit_later()
"""
    )
    assert "lowthread: found a deadlock: 2 threads wait for each other\n" in text or (
        sys.version_info < (3, 13)  # whose threads are joined by a lock
        and "found what looks like a deadlock: 2 threads" in text
    )


def test_dining_philosophers():
    text = said(
        """
N = 5
forks = [threading.Lock() for _ in range(N)]
ready = threading.Barrier(N)
def dine(i):
    with forks[i]:
        ready.wait()
        with forks[(i + 1) % N]: pass
for i in range(N):
    start(dine, f"philosopher {i}", i)
quit_later()
"""
    )
    assert "5 threads wait for each other" in text
    assert all(f'thread "philosopher {i}" ' in text for i in range(5))


# ---- all threads ----


AGAIN = {
    "a method that calls another": """
class Account:
    def __init__(self):
        self.lock = threading.Lock()
    def deposit(self):
        with self.lock:  # taken
            self.update()
    def update(self):
        with self.lock: pass
account = Account()
start(account.deposit, "one")
""",
    "a Condition, by a call": """
condition = threading.Condition(threading.Lock())
def one():
    with open(os.devnull), condition:  # taken
        condition.acquire()
start(one)
""",
    "attributes of a class, a slot, and a module": """
import types
module = types.ModuleType("m")
class S:
    __slots__ = ("__own",)
    module.lock = locks = threading.Lock()
    def __init__(self): self.__own = self.locks
    def one(self):
        with self.__own: self.two()
    def two(self):
        with module.lock: pass
    def again(self):
        with open(os.devnull), \\
             self.locks:  # taken
            self.two()
start(S().again, "one")
""",
    "in one line": """
lock = threading.Lock()
def one():
    with lock: two(), "# it is taken here:  # taken"
def two():
    with lock: pass
start(one)
""",
    "before a statement that takes it in Python": """
lock = threading.Lock()
class Thing:
    def __enter__(self): lock.acquire()
    def __exit__(self, *args): pass
def one():
    with lock, Thing():  # taken
        pass
start(one)
""",
    "below a comprehension, an `if` and a loop": """
lock = threading.Lock()
def take(x):
    with lock: pass
def one():
    brace = r"\\{"
    for i in range(1):
        with lock:  # taken
            text = '''
with nothing:
            '''
            if True:
                [take(x) for x in range(1)]
start(one)
""",
    "beside who waits to be notified": """
import queue
lock = threading.Lock()
def two():
    with lock: pass
def one():
    with lock:  # taken
        two()
start(one)
start(queue.Queue().get)
start(quit_later)
queue.Queue().get()
""",
    "a destructor": """
import queue
q = queue.Queue()
class Thing:
    def __del__(self): q.put(1)
def one():
    with q.mutex:  # taken
        Thing().__del__()
start(one)
""",
    "a signal handler": """
import signal
lock = threading.Lock()
def handler(*args):
    with lock: pass
signal.signal(signal.SIGALRM, handler)
threading.current_thread().name = "one"
start(quit_later)
with lock:  # taken
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    time.sleep(20)
""",
}


@pytest.mark.parametrize("script", AGAIN.values(), ids=AGAIN)
def test_a_thread_that_waits_for_itself(script, tmp_path):
    """Beside one that does not wait."""
    path = tmp_path / "program.py"
    path.write_text(BEGIN + script + "quit_later()\n")
    err = run_script(path).err
    lines = path.read_text().splitlines()
    [line] = [n for n, x in enumerate(lines, 1) if x.rstrip('"').endswith(":  # taken")]
    if lines[line - 1].endswith("self.locks:  # taken"):
        line -= 1  # where the statement begins
    first, second, third = err.splitlines()[:3]
    assert first == (
        "lowthread: found what looks like a deadlock: a thread waits for itself (unless another "
        "thread, or a signal handler, releases what it took)"
    )
    assert re.fullmatch(
        r'  thread "one" \(0x\w+\) waits for lock 0x\w+, taken by itself in File '
        rf'".*program.py", line {line}, in .*',
        second,
    )
    assert re.fullmatch(r'Thread "one" \(0x\w+\) \(most recent call last\):', third)
    assert err.count("lowthread: ") == 1


def test_who_waits_for_one_that_waits_for_itself_is_no_part_of_it(tmp_path):
    """Though all threads wait: only the one that waits for itself has done something wrong."""
    path = tmp_path / "program.py"
    path.write_text(
        BEGIN
        + """
lock = threading.Lock()
lowthread.detect_deadlocks(0.3, "raise")
raised = []
threading.excepthook = lambda args: raised.append(args)
def one():
    with lock:
        time.sleep(0.2)
        with lock: pass
def two():
    with lock: pass
ts = start(one), start(two)
for t in ts: t.join()
[args] = raised
assert args.exc_type is lowthread.DeadlockError, args
assert "a thread waits for itself" in str(args.exc_value), args
assert args.thread.name == "one"
"""
    )
    assert run_script(path).ok() == ""


def test_one_that_waits_for_itself_is_told_of_once_if_all_others_wait_to_be_notified(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(
        BEGIN
        + """
import queue, signal
read, write = os.pipe()
def tell(deadlock):
    sys.stderr.write(deadlock.text); sys.stderr.flush()
    os.write(write, b"x")
lowthread.detect_deadlocks(0.1, tell)
child = os.fork()
if child:
    os.close(write)
    assert os.read(read, 1) == b"x"
    time.sleep(1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    sys.exit()
lock = threading.Lock()
def two():
    with lock: pass
def one():
    time.sleep(0.05)
    with lock: two()
start(one)
queue.Queue().get()
"""
    )
    err = run_script(path).err
    assert "a thread waits for itself" in err
    assert err.count("lowthread: ") == 1, err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is not known how many there are")
class TestAllThreads:
    def check(self, script, count):
        text = said(
            """
def leave(deadlock):
    print(deadlock.text, flush=True)
    sys.stderr.write(deadlock.text); sys.stderr.flush()
    os._exit(0)
lowthread.detect_deadlocks(0.1, leave)
"""
            + script
        )
        assert f"lowthread: all {count} threads wait for ever\n" in text or (
            count == 1 and "lowthread: the only thread waits for ever\n" in text
        )
        assert "its stack is not known" not in text
        assert "probably" not in text  # of who waits to be notified it is known
        return text

    def test_a_lock_that_the_only_thread_has(self):
        text = self.check("lock = threading.Lock(); lock.acquire(); lock.acquire()", 1)
        assert re.search(r"waits for lock 0x\w+, taken by itself\n", text)

    def test_who_waits_to_be_notified(self):
        text = self.check("condition = threading.Condition()\nwith condition: condition.wait()", 1)
        assert re.search(
            "taken by itself: it waits to be notified by a Condition, Queue, Future or the like\n",
            text,
        )

    def test_two_queues(self):
        self.check(
            """
import queue
a, b = queue.Queue(), queue.Queue()
def one(): b.put(a.get())
def two(): a.put(b.get())
ts = start(one), start(two)
for t in ts: t.join()
""",
            3,
        )

    def test_one_that_has_waited_for_long(self):
        """It looks again only when it has for twice as long; its stack is told all the same."""
        text = self.check(
            """
import queue
def main_waits(): queue.Queue().get()
lock = threading.Lock()
lock.acquire()
def waits_later():
    time.sleep(0.95)  # the next look of the main thread is at 1.6 s
    lock.acquire()
start(waits_later)
main_waits()
""",
            2,
        )
        assert re.search(r"line \d+, in main_waits\n", text)
        assert re.search(r"line \d+, in waits_later\n", text)
        assert "begins" not in text  # as of stacks without the lines of calls

    def test_an_executor_that_waits_for_itself(self):
        self.check(
            """
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(1)
def inner(): return 1
def outer(): return pool.submit(inner).result()
pool.submit(outer).result()
""",
            2,
        )

    def test_raise_ends_it(self):
        said(
            """
lowthread.detect_deadlocks(0.1, "raise")
lock = threading.Lock()
lock.acquire()
try:
    lock.acquire()
except lowthread.DeadlockError as error:
    assert "the only thread waits for ever" in str(error)
else:
    raise AssertionError
assert lock.locked()
"""
        )

    def test_a_signal_handler_may_end_it(self):
        text = said(
            """
import signal
lock = threading.Lock()
lock.acquire()
signal.signal(signal.SIGALRM, lambda *_: lock.release())
signal.setitimer(signal.ITIMER_REAL, 1)
lock.acquire()
"""
        )
        assert text == ""

    def test_another_thread_may_end_it(self):
        """One that waits for something else."""
        text = said(
            """
lock = threading.Lock()
lock.acquire()
start(lambda: (time.sleep(1), lock.release()), "sleeper")
lock.acquire()
"""
        )
        assert text == ""


# ---- what is none ----

NONE = {
    "Condition": """
c = threading.Condition()
def waits():
    with c: c.wait()
ts = [start(waits, "w") for _ in range(3)]
time.sleep(1)
with c: c.notify_all()
for t in ts: t.join()
""",
    "Event": """
e = threading.Event()
ts = [start(e.wait, "w") for _ in range(3)]
time.sleep(1)
e.set()
for t in ts: t.join()
""",
    "Semaphore": """
s = threading.Semaphore(0)
ts = [start(s.acquire, "w") for _ in range(3)]
time.sleep(1)
for t in ts: s.release()
for t in ts: t.join()
""",
    "Barrier": """
b = threading.Barrier(4)
ts = [start(b.wait, "w") for _ in range(3)]
time.sleep(1)
b.wait()
for t in ts: t.join()
""",
    "Queue": """
import queue
q, full = queue.Queue(), queue.Queue(1)
full.put(0)
ts = [start(q.get, "w") for _ in range(2)] + [start(full.put, "w", 1)]
time.sleep(1)
q.put(1), q.put(2), full.get()
for t in ts: t.join()
""",
    "executor": """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(3) as pool:
    slow = [pool.submit(time.sleep, 1) for _ in range(2)]
    waits = pool.submit(slow[0].result)
    assert waits.result() is None
time.sleep(0.5)
""",
    "start": """
lowthread.detect_deadlocks(0.00001)  # so that some look
for _ in range(300):
    start(lambda: None, "w").join()
""",
    "a lock as a semaphore": """
a, b = threading.Lock(), threading.Lock()
a.acquire(), b.acquire()
def ping():
    for _ in range(5): a.acquire(); b.release()
def pong():
    for _ in range(5): b.acquire(); a.release()
ts = start(ping), start(pong)
time.sleep(1)
a.release()
for t in ts: t.join()
""",
    "a lock as an event, in one line": """
lock = threading.Lock()
def one():
    lock.acquire()
    start(lambda: (time.sleep(1), lock.release()), "w")
    with lock: pass
start(one).join()
""",
    "a lock as an event, in a body": """
class Job:
    def __init__(self):
        self.done = threading.Lock()
        self.done.acquire()
    def __enter__(self): return self
    def __exit__(self, *args): pass
def one():
    job = Job()
    start(lambda: (time.sleep(1), job.done.release()), "w")
    with job:
        job.done.acquire()
start(one).join()
""",
    "a lock as an event, which is a Job's": """
class Job:
    def __init__(self):
        self._lock = threading.Lock()
        self._lock.acquire()
    def __enter__(self): return self
    def __exit__(self, *args): pass
def one():
    job = Job()
    start(lambda: (time.sleep(1), job._lock.release()), "w")
    with job:
        job._lock.acquire()
start(one).join()
""",
    "a lock as an event, in a function made where it was had": """
lock = threading.Lock()
with lock:
    def one():
        lock.acquire()
        start(lambda: (time.sleep(1), lock.release()), "w")
        lock.acquire()
    two = lambda: one()
ts = start(one), start(two)
ts[0].join()
start(lambda: (time.sleep(1), lock.release()), "w")
ts[1].join()
""",
    "a lock as an event, when the statement is left": """
class Job:
    def __init__(self): self.lock = threading.Lock()
    def __enter__(self): return self
    def __exit__(self, *args):
        self.lock.acquire()
        start(lambda: (time.sleep(1), self.lock.release()), "w")
        self.lock.acquire()
def one():
    job = Job()
    with job, job.lock:
        x = 1
        y = 2
start(one).join()
""",
    "a name for another lock by now": """
def one():
    lock = threading.Lock()
    with lock:
        lock = threading.Lock()
        lock.acquire()
        start(lambda: (time.sleep(1), lock.release()), "w")
        lock.acquire()
start(one).join()
""",
    "hand over hand": """
class Node: pass
first, second = Node(), Node()
first.next, first.lock, second.lock = second, threading.Lock(), threading.Lock()
def one():
    node = first
    with node.lock:
        node, last = node.next, node
        node.lock.acquire()
        start(lambda: (time.sleep(1), node.lock.release()), "w")
        node.lock.acquire()
start(one).join()
""",
    "a lock that a signal handler waits for, too": """
import signal
lock = threading.Lock()
def handler(*args):
    with lock: pass
signal.signal(signal.SIGALRM, handler)
def main():
    lock.acquire()
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    start(lambda: (time.sleep(1), lock.release()), "w")
    with lock:
        pass
main()
""",
    "locks of a loop": """
def one():
    lock, done = threading.Lock(), [threading.Lock(), threading.Lock()]
    for d in done:
        d.acquire()
        start(lambda d=d: (time.sleep(1), d.release()), "w")
    with lock:
        for lock in done: lock.acquire()
start(one).join()
""",
    "a private lock of another class": """
class Base:
    __lock = threading.Lock()
    def run(self):
        with self.__lock: self.hook()
class Child(Base):
    def __init__(self): self.__lock = threading.Lock()
    def hook(self):
        self.__lock.acquire()
        start(lambda: (time.sleep(1), self.__lock.release()), "w")
        self.__lock.acquire()
start(Child().run).join()
""",
    "a lock that what is before it in the line has given back": """
import contextlib
lock = threading.Lock()
def ready():
    lock.acquire()
    lock.release()
    return contextlib.nullcontext()
def one():
    lock.acquire()
    start(lambda: (time.sleep(1), lock.release()), "w")
    with ready(), lock: pass
start(one).join()
""",
    "a text with a bracket": """
def one():
    lock, done = threading.Lock(), threading.Lock()
    with lock:
        str(f"({lock}"); lock = done
        done.acquire()
        start(lambda: (time.sleep(1), done.release()), "w")
        lock.acquire()
start(one).join()
""",
    "a lock given up in a body": """
lock = threading.Lock()
def one():
    with lock:
        lock.release()
        start(other, "w")
        time.sleep(0.2)
        lock.acquire()
def other():
    with lock:
        time.sleep(1)
start(one).join()
""",
    "a timeout": """
a, b = threading.Lock(), threading.Lock()
def one():
    with a: both.wait(); b.acquire(timeout=1)
def two():
    with b:
        both.wait()
        if a.acquire(timeout=20): a.release()
ts = start(one), start(two)
for t in ts: t.join()
""",
    "a chain": """
a, b = threading.Lock(), threading.Lock()
def one():
    with a: both.wait(); time.sleep(1)
def two():
    with b: both.wait(); a.acquire(); a.release()
ts = start(one), start(two)
with b: pass
for t in ts: t.join()
""",
}


@pytest.mark.parametrize("script", NONE.values(), ids=NONE)
def test_no_report(script, tmp_path):
    path = tmp_path / "program.py"  # from a file, whose source is looked at
    path.write_text(BEGIN + script)
    process = run_script(path)
    assert (process.code, process.err) == (0, "")


def test_source_that_is_warned_of_is_so_when_it_is_compiled_only(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(
        BEGIN
        + """
def one():
    lock = threading.Lock()
    text = f"\\{lock}"
    lock.acquire()
    start(lambda: (time.sleep(1), lock.release()), "w")
    lock.acquire()
start(one).join()
"""
    )
    process = run_script(path)
    assert process.code == 0
    assert process.err.count("Warning: ") <= 1, process.err


def test_a_thread_with_a_small_stack_beside_a_large_function(tmp_path):
    """To parse such a function takes more of the stack than the thread has."""
    branches = "".join(f"    elif x == {i}: return {i}\n" for i in range(600))
    path = tmp_path / "program.py"
    path.write_text(
        BEGIN
        + f"""
lock = threading.Lock()
def large(x):
    if x is None: return
{branches}
threading.stack_size(131072)
def one():
    lock.acquire()
    start(lambda: (time.sleep(1), lock.release()), "w")
    lock.acquire()
    print("fine")
start(one).join()
"""
    )
    assert run_script(path).ok() == "fine\n"


def test_no_name_of_the_program_is_compared():
    said(
        """
class Name(str):
    def __eq__(self, other): compared.append(other)
    def __hash__(self): return hash("m")
compared = []
lock = threading.Lock()
code = "lock.acquire(), start(lambda: (time.sleep(1), lock.release()), 'w'), lock.acquire()"
names = {**globals(), "__name__": Name("m")}
del compared[:]
start(lambda: exec(code, names)).join()
assert not compared, compared
"""
    )


def test_it_can_be_switched_off():
    assert (
        said("lowthread.detect_deadlocks(None)\n" + TWO.format(kind="RLock") + "quit_later()")
        == ""
    )


def test_a_signal_handler_that_raises_ends_a_wait_that_has_looked():
    said(
        """
import signal
class Raised(Exception): pass
def handler(*_): raise Raised
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.7)
lock = threading.Lock()
lock.acquire()
for how in lock.acquire, lock.__enter__:
    try:
        how()
    except Raised:
        pass
    else:
        raise AssertionError
    signal.setitimer(signal.ITIMER_REAL, 0.7)
signal.setitimer(signal.ITIMER_REAL, 0)
"""
    )


def test_a_wait_that_looks_keeps_its_place_and_its_end():
    said(
        """
lock, order = threading.Lock(), []
lock.acquire()
def wait(n):
    with lock: order.append(n)
ts = []
for n in range(4):
    ts.append(start(wait, "w", n))
    time.sleep(0.12)  # more than it takes to look
# The last has looked at 0.4 s, the next look is of the first at 1.6 s: in between all wait.
time.sleep(1 - 4 * 0.12)
# But on a slow machine.
while lowthread._deadlock._looking or sum(len(s.waiters) for s in lowthread.locks()) < 4:
    time.sleep(0.01)
lock.release()
for t in ts: t.join()
assert order == [0, 1, 2, 3], order
"""
    )


def test_the_option():
    script = "import threading as t; l = t.Lock(); l.acquire(); l.acquire()"
    process = subprocess.Popen(
        [sys.executable, "-m", "lowthread", "--deadlocks=0.2", "-c", script],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    timer = threading.Timer(LONG, process.kill)
    timer.start()
    try:
        assert process.stderr.readline() == "lowthread: the only thread waits for ever\n"
    finally:
        timer.cancel()
        process.kill()
        process.communicate()


@pytest.mark.parametrize("value", ["raise", "0.2,raise"])
def test_the_option_to_raise(value):
    script = "import threading as t; l = t.Lock(); l.acquire(); l.acquire()"
    process = run_lowthread(f"--deadlocks={value}", "-c", script)
    assert process.code == 1
    assert "lowthread.DeadlockError: the only thread waits for ever" in process.err


def test_where_a_program_s_own_report_goes():
    """Where it has its sys.stderr, also if an option of the command line has said otherwise."""
    script = """
import io, os, sys, threading, time, lowthread
lowthread.detect_deadlocks(0.1)
sys.stderr = io.StringIO()
a, b = threading.RLock(), threading.RLock()
both = threading.Barrier(2)
def take(one, other):
    with one:
        both.wait()
        other.acquire()
for pair in (a, b), (b, a):
    threading.Thread(target=take, args=pair, daemon=True).start()
while "found a deadlock" not in sys.stderr.getvalue():
    time.sleep(0.01)
os._exit(7)
"""
    process = run_lowthread("--deadlocks", "--lock-order", "-c", script)
    assert process.code == 7
    assert "found a deadlock" not in process.err


def test_a_condition_has_its_lock_when_its_wait_is_over():
    """That it may not get it back is told; it is another thread that raises."""
    text = said(
        """
lowthread.detect_deadlocks(0.1, "raise")
lock, other = threading.Lock(), threading.Lock()
condition = threading.Condition(lock)
def one():
    with condition:
        other.acquire()
        both.wait()
        condition.wait()
def two():
    both.wait()
    with condition:
        condition.notify()
        time.sleep(0.05)  # the other one is the first to wait, and so to look
        with other:
            pass
threads = start(one), start(two)
for thread in threads:
    thread.join(20)
    assert not thread.is_alive()
assert not lock.locked()
"""
    )
    # If the other one is so late to look that this one has raised, it has nothing to tell.
    assert text.startswith(("lowthread: found what looks like a deadlock: 2", "Exception in"))
    [raised] = re.findall(r"Exception in thread (\w+)", text)
    assert raised == "two"
    assert "lowthread.DeadlockError: found what looks like" in text


# ---- what is in the way of looking ----

HANG = """
lock = threading.Lock()
lock.acquire()
start(lambda: (time.sleep(0.7), lock.release()), "releaser")
"""
IN_THE_WAY = {
    "the recursion limit": """
def deep(n):
    if n:
        return deep(n - 1)
    with lock: return True
for n in range(sys.getrecursionlimit() - 80, 0, -1):
    try:
        done = deep(n)
    except RecursionError:
        continue
    break
assert done
""",
    "a property": """
class Odd:
    @property
    def __dict__(self): raise ValueError("a property was run")
    def __enter__(self): pass
    def __exit__(self, *args): pass
odd = Odd()
with odd:
    lock.acquire()
""",
    "an odd standard error": """
class Odd:
    def write(self, text): raise AttributeError(text)
sys.stderr, old = Odd(), sys.stderr
lock.acquire()
sys.stderr = old
""",
}


@pytest.mark.parametrize("script", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_that_it_looks_ends_no_wait(script):
    assert said(HANG + script) == ""


def test_idle_threads_look_at_little():
    """However many: it is no more than a few calls for each."""
    said(
        """
import queue
q = queue.Queue()
ts = [start(q.get, "w") for _ in range(100)]
time.sleep(1)
graphs = []
class Graph(lowthread._deadlock._Graph):
    def __init__(self, *args):
        graphs.append(args)
        super().__init__(*args)
lowthread._deadlock._Graph = Graph
time.sleep(1)
assert not graphs
for t in ts: q.put(1)
for t in ts: t.join()
"""
    )


def test_the_main_thread_looks_as_seldom_as_others():
    said(
        """
looks = set()
find = lowthread._deadlock._find
def counting(me, mine, now):
    looks.add(now)  # once for each look
    return find(me, mine, now)
lowthread._deadlock._find = counting
lock = threading.Lock()
lock.acquire()
start(lambda: (time.sleep(2), lock.release()), "releaser")
lock.acquire()
assert 1 <= len(looks) <= 6, len(looks)
"""
    )


def test_who_waits_for_those_in_a_deadlock_is_no_part_of_it():
    text = said(
        TWO.format(kind="RLock")
        + """
def third():
    with a: pass
time.sleep(0.05)
start(third)
quit_later()
"""
    )
    assert text.count("lowthread: found") == 1
    assert 'Thread "third"' not in text


def test_telling_may_wait():
    said(
        """
found = []
guard = threading.Lock()
guard.acquire()
def tell(deadlock):
    found.append(deadlock)
    guard.acquire(timeout=0.5)
lowthread.detect_deadlocks(0.1, tell)
"""
        + TWO.format(kind="Lock")
        + """
while not found:
    time.sleep(0.01)
time.sleep(1)
assert len(found) == 1, found
os._exit(0)
"""
    )


@pytest.mark.parametrize("raising", ["raise Ended", "json.loads('{')"])
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize(
    "what, function",
    [
        ("lowthread.detect_deadlocks(0.01)", "lowthread._deadlock._Graph.__init__"),
        ("lowthread.profile().start()", "lowthread._profile.Profile._owner"),
    ],
)
def test_what_a_signal_handler_raises_while_it_looks_ends_the_wait(kind, what, function, raising):
    """As between any two instructions; it is no fault of ours, to be told and forgotten."""
    owner, _, name = function.rpartition(".")
    run_script(
        f"""
        import json, lowthread, signal, threading, time
        lowthread.install()
        class Ended(ValueError):
            pass
        def handler(*_):
            {raising}
        signal.signal(signal.SIGUSR1, handler)
        plain = {function}
        def interrupted(*args):
            if threading.current_thread() is threading.main_thread():
                signal.raise_signal(signal.SIGUSR1)
            return plain(*args)
        {owner}.{name} = interrupted
        lock = threading.{kind}()
        def keep():
            with lock:
                held.set()
                time.sleep(2)
        held = threading.Event()
        threading.Thread(target=keep, daemon=True).start()
        held.wait()
        {what}
        try:
            lock.acquire()
        except ValueError:  # which json's is, too
            pass
        else:
            raise AssertionError
        """
    ).ok()


def test_what_fails_in_looking_is_told_and_ends_no_wait():
    text = said(
        """
lowthread._deadlock.Wait._replace = None
lock = threading.RLock()
def keep():
    with lock:
        both.wait()
        while not lowthread._deadlock._next_looks:
            time.sleep(0.01)
start(keep)
both.wait()
with lock:
    pass
sys.stderr.flush()
os._exit(0)
"""
    )
    assert "Exception ignored in detect_deadlocks()" in text


def test_where_one_took_it_that_was_in_no_deadlock_at_its_first_look(tmp_path):
    """It looks for that when all threads wait, though it has noted its stack before."""
    script = """
import lowthread
lowthread.install()
import os, queue, threading, time
looks, find = [], lowthread._deadlock._find
def spy(*args):
    looks.append(find(*args))
    return looks[-1]
lowthread._deadlock._find = spy
def tell(found):
    print(found.text, flush=True)
    os._exit(0)
lowthread.detect_deadlocks(0.4, tell)
lock = threading.Lock()
def waits_later():
    while not looks: time.sleep(0.001)
    time.sleep(0.2)  # the main thread looks again before this one does
    queue.Queue().get()
threading.Thread(target=waits_later, daemon=True).start()
lock.acquire()
lock.acquire()
"""
    (tmp_path / "program.py").write_text(script)
    said = []
    while len(said) < 5:  # again where a loaded machine has the look be too late
        said.append(run_script(tmp_path / "program.py").ok())
        if re.search(r"taken by itself, probably in File .*, in <module>", said[-1]):
            return
    raise AssertionError(said)


def test_an_idle_thread_reads_no_source():
    """Its stack is noted, where others cannot look at it; its source is for who is told of."""
    said(
        """
import queue
asked, q = [], queue.Queue()
class Loader:
    def get_source(self, name):
        asked.append(name)
        return ""
names = {"__loader__": Loader(), "__name__": "of_a_loader"}
exec(compile("def waits(get): get()", "of_a_loader.py", "exec"), names)
thread = start(names["waits"], "idle", q.get)
time.sleep(1)
assert not asked, asked
q.put(1)
thread.join()
"""
    )


@pytest.mark.parametrize(
    "how", ["def get_source(self, name)", "@property\n    def get_source(self)"]
)
def test_what_fails_in_the_program_s_own_loader_has_it_told_without_the_source(how):
    """It is asked for a line of the source, or whether it has any, and is no signal handler."""
    text = said(
        f"class Loader:\n    {how}:"
        """
        raise LookupError("no source")
namespace = {"__name__": "elsewhere", "__loader__": Loader(), "lock": threading.RLock()}
exec(compile("def take():\\n    with lock: pass\\n", "elsewhere.py", "exec"), namespace)
def keep():
    with namespace["lock"]:
        both.wait()
        take_other()
other = threading.RLock()
def take_other():
    with other: pass
def back():
    with other:
        both.wait()
        namespace["take"]()
start(keep); start(back)
quit_later()
"""
    )
    assert "found a deadlock: 2 threads" in text
    assert re.search(r'File "elsewhere.py", line 2, in take\n', text)
    assert "no source" not in text


# ---- arguments ----


@pytest.mark.parametrize("after", [0, -1, float("nan"), float("inf")])
def test_a_time_that_is_none(after):
    with pytest.raises(ValueError, match="after must be a positive number of seconds, not"):
        lowthread.detect_deadlocks(after)


def test_a_time_of_another_type():
    with pytest.raises(TypeError, match="after must be a number of seconds or None, not str"):
        lowthread.detect_deadlocks("1")


def test_a_reaction_that_is_none():
    with pytest.raises(ValueError, match="must be 'report', 'raise' or a callable, not 'shout'"):
        lowthread.detect_deadlocks(1, "shout")
    with pytest.raises(TypeError, match="must be 'report', 'raise' or a callable, not int"):
        lowthread.detect_deadlocks(1, 1)


@pytest.mark.parametrize("way", ["with", "acquire", "queue"])
def test_who_looks_at_one_time_is_seen(way):
    """Threads that begin to wait at one time look at one time, and are in no queue meanwhile."""
    after = 2 if PYPY else 0.5  # a first look takes PyPy some tenths
    script = f"""
import lowthread
lowthread.install()
import os, queue, threading
looks, find = {{}}, lowthread._deadlock._find
def spy(me, mine, now):
    looks.setdefault(me, set()).add(now)  # once for each look
    return find(me, mine, now)
lowthread._deadlock._find = spy
def tell(found):
    print(len(found.threads), max(map(len, looks.values())), flush=True)
    os._exit(0)
lowthread.detect_deadlocks({after}, tell)
locks, all_have_one = [threading.Lock() for _ in range(5)], threading.Barrier(5)
def takes_two(i):
    if {way!r} == "with":
        with locks[i]:
            all_have_one.wait()
            with locks[(i + 1) % 5]: pass
    elif {way!r} == "acquire":
        locks[i].acquire()
        all_have_one.wait()
        locks[(i + 1) % 5].acquire()
    else:
        queue.Queue().get()
threads = [threading.Thread(target=takes_two, args=[i], daemon=True) for i in range(5)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    said = []
    while len(said) < 5:  # again where a loaded machine has a look last too long
        said.append(run_script(script).ok())
        if said[-1] == ("6 1\n" if way == "queue" else "5 1\n"):
            return
    raise AssertionError(said)


def test_what_is_raised_while_others_look_first_ends_the_wait():
    """As by a handler in C, or from another thread: nothing in it tells that it is not our own."""
    script = """
import lowthread
lowthread._deadlock._others_first = lambda *_: 1
lowthread._deadlock.sleep = {}.__getitem__  # raises KeyError, in C
lowthread.detect_deadlocks(0.05)
lock = lowthread.lock()
lock.acquire()
ended = []
def waits():
    try:
        lock.acquire()
    except KeyError:
        ended.append(True)
thread = lowthread.start(waits)
assert thread.join(30) and ended
"""
    run_script(script).ok()


def test_who_began_to_wait_last_looks_before_others_tell():
    """By then all have; and `on_deadlock="raise"` ends the wait that closed the cycle."""
    script = """
import lowthread, os, sys, time
def tell(found):
    print(lowthread.get_ident() == last.ident, flush=True)
    os._exit(0)
lowthread.detect_deadlocks(1, tell)
a, b, has_b = lowthread.RLock(), lowthread.RLock(), lowthread.lock()
has_b.acquire()
def takes_b_and_then_a():
    with b:
        has_b.release()
        while not lowthread.locks(): time.sleep(0.001)
        time.sleep(0.5)
        a.acquire()
with a:
    last = lowthread.start(takes_b_and_then_a)
    has_b.acquire()
    b.acquire()
"""
    assert run_script(script).ok() == "True\n"


def test_nobody_waits_for_who_tells():
    """A callable may take long: others that look do not let it go first."""
    script = """
import lowthread, os
def tell(found):
    ours = lowthread._deadlock
    print(lowthread.get_ident() in ours._looking, [*ours._finding], flush=True)
    os._exit(0)
lowthread.detect_deadlocks(0.05, tell)
lock = lowthread.lock()
with lock, lock: pass
"""
    assert run_script(script).ok() == "True []\n"
