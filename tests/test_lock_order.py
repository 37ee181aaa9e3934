"""check_lock_order() and --lock-order: locks taken in different orders are told, others are not.

No thread ever waits for another for long here: that is the point of it.
"""

import os
import re
import subprocess
import sys

import pytest
from conftest import LONG, PYPY, ROOT, run_lowthread, run_script

import lowthread

BEGIN = """
import lowthread
lowthread.install()
lowthread.check_lock_order({how})
import threading, sys

def run(*functions):
    # One after the other, each in a thread.
    for function in functions:
        thread = threading.Thread(target=function, name=function.__name__)
        thread.start()
        thread.join()

def took(*locks):
    def take(n=0):
        if n < len(locks):
            with locks[n]:
                take(n + 1)
    return take
"""


def said(script, how=""):
    """Run a script that begins as above; return what it wrote to stderr."""
    result = run_script(BEGIN.format(how=how) + script)
    assert result.code == 0, result.err
    return result.err


KINDS = ["Lock", "RLock"]
HEAD = "locks are taken in different orders"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["with", "acquire"])
def test_two_locks(kind, way, tmp_path):
    body = {"with": "with {0}:\n        with {1}:\n            pass"}.get(
        way, "{0}.acquire()\n    {1}.acquire()\n    {1}.release()\n    {0}.release()"
    )
    program = tmp_path / "program.py"
    program.write_text(
        "import threading\n"
        f"a = threading.{kind}()\n"
        f"b = threading.{kind}()\n"
        f"def one():\n    {body.format('a', 'b')}\n"
        f"def two():\n    {body.format('b', 'a')}\n"
        "for f in one, two, one, two:\n"
        "    t = threading.Thread(target=f, name=f.__name__)\n"
        "    t.start()\n"
        "    t.join()\n"
    )
    process = subprocess.run(
        [sys.executable, "-m", "lowthread", "--lock-order", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=LONG,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    lines = process.stderr.splitlines()
    assert lines[0].startswith(f"lowthread: 2 {HEAD}")
    assert process.stderr.count(HEAD) == 1
    told = [line for line in lines if line.startswith(("Thread", "  and", "  lock", "  RLock"))]
    told = [re.sub("0x[0-9a-f]+", "0x", line) for line in told]
    name = kind if kind == "RLock" else "lock"
    a, b = (
        f'  {name} 0x, created in File "{program}", line {line}, in <module>, '
        "(most recent call last):"
        for line in (2, 3)
    )
    assert told == [
        *('Thread "two" (0x) took', b, "  and, while it had that, took or was about to take", a),
        *('Thread "one" (0x) took', a, "  and, while it had that, took or was about to take", b),
    ]
    later = 4 if way == "with" else 5
    for line, name in ((5, "one"), (6, "one"), (5 + later, "two"), (6 + later, "two")):
        assert re.search(rf'    File ".*program\.py", line {line}, in {name}\n', process.stderr)


def test_it_can_be_raised():
    text = said(
        """
a, b = threading.Lock(), threading.Lock()
took(a, b)()
try:
    took(b, a)()
except lowthread.LockOrderError as error:
    assert str(error).startswith("2 locks are taken in different orders"), error
    assert str(error)[-1] != "\\n"
else:
    raise AssertionError
assert isinstance(lowthread.LockOrderError(), RuntimeError)
assert not a.locked() and not b.locked()
took(b, a)()  # it is told once
""",
        '"raise"',
    )
    assert text == ""


def test_it_can_be_called():
    text = said(
        """
a = threading.Lock()
b = threading.Lock()
found = []
lowthread.check_lock_order(found.append)
run(took(a, b), took(b, a))
[order] = found
assert type(order) is lowthread.LockOrder
assert ["line" in place for place in order.created] == [True, True]
assert [thread.name for thread in order.threads] == ["take", "take"]
assert order.text.startswith("lowthread: 2 locks")
def fail(order):
    raise LookupError("mine")
lowthread.check_lock_order(fail)
c = threading.Lock()
took(a, c)()
try:
    took(c, a)()
except LookupError as error:
    assert not c.locked() and not a.locked()
else:
    raise AssertionError
""",
    )
    assert text == ""


def test_three_locks_in_a_ring():
    text = said(
        """
a = threading.Lock()
b = threading.RLock()
c = threading.Lock()
run(took(a, b), took(b, c), took(c, a))
"""
    )
    assert text.startswith(f"lowthread: 3 {HEAD}")
    assert text.count("while it had that") == 3


def test_philosophers():
    """Locks that were created at one place are told apart, as long as it is among themselves."""
    text = said(
        """
forks = [threading.Lock() for _ in range(5)]
ordered = [threading.Lock() for _ in range(5)]
run(*(took(ordered[i], ordered[j]) for i in range(5) for j in range(i + 1, 5)))
assert sys.stderr.write("nothing so far\\n")
run(*(took(forks[i], forks[(i + 1) % 5]) for i in range(5)))
"""
    )
    before, found = text.split("nothing so far\n")
    assert before == ""
    assert found.startswith(f"lowthread: 5 {HEAD}")


def test_locks_of_one_place_are_one_kind():
    text = said(
        """
class Account:
    def __init__(self):
        self.lock = threading.Lock()
class Journal:
    def __init__(self):
        self.lock = threading.RLock()
run(took(Account().lock, Journal().lock))
run(took(Journal().lock, Account().lock))
"""
    )
    assert text.startswith(f"lowthread: 2 {HEAD}")


def test_many_locks_of_one_place_that_come_and_go():
    assert not said(
        """
import gc
def make():
    return threading.Lock()
first = make()
for _ in range(1000):
    other = make()
    took(first, other)()
del other
gc.collect(); gc.collect()
other = make()
took(first, other)()
steps = lowthread._order._steps
assert sum(map(len, steps.values())) < 200, sum(map(len, steps.values()))
"""
    )


@pytest.mark.parametrize(
    "script",
    [
        "run(took(a, b), took(a, b), took(b), took(a))",
        # To try is not to wait.
        "took(a, b)()\nwith b:\n    assert a.acquire(False)\n    a.release()",
        "took(a, b)()\nwith b:\n    assert a.acquire(blocking=0)\n    a.release()",
        # To wait for a while is not to wait for ever.
        "took(a, b)()\nwith b:\n    assert a.acquire(timeout=0.1)\n    a.release()",
        "took(a, b)()\nwith b:\n    assert a.acquire(True, 0)\n    a.release()",
        # It is not held any more.
        "took(a, b)()\nb.acquire()\nb.release()\ntook(a)()",
        # Nor if another thread has released it.
        "took(a, b)()\nb.acquire()\nrun(b.release)\ntook(a)()",
        # An RLock that one has need not be waited for.
        "with r:\n    with b:\n        took(r)()\nrun(took(r, b))",
    ],
)
def test_what_is_no_other_order(script):
    assert not said(
        f"a = threading.Lock()\nb = threading.Lock()\nr = threading.RLock()\n{script}\n"
    )


def test_what_was_tried_counts_as_held():
    text = said(
        """
a = threading.Lock()
b = threading.Lock()
took(a, b)()
b.acquire(False)
took(a)()
"""
    )
    assert HEAD in text


@pytest.mark.slow
def test_many_locks_at_once():
    """As in concurrent.futures.wait(), which has those of all futures: no matter of minutes."""
    assert not said(
        """
from concurrent.futures import Future, wait
futures = [Future() for _ in range(1500)]
for _ in range(3):
    wait(futures, timeout=0)
assert sum(map(len, lowthread._order._steps.values())) <= 8 * 1500
del futures
"""
    )


def test_locks_that_are_taken_in_pairs_and_gone():
    assert not said(
        """
def pair():
    return [threading.Lock() for _ in range(2)]
for _ in range(5000):
    took(*pair())()
assert len(lowthread._order._steps) < 4000
"""
    )


@pytest.mark.parametrize("lock", ["None", "threading.Lock()"])
def test_conditions_and_what_is_made_of_them(lock):
    assert not said(
        f"""
import queue, time
from concurrent.futures import ThreadPoolExecutor
c = threading.Condition({lock})
e = threading.Event()
q = queue.Queue(1)
s = threading.Semaphore(0)
barrier = threading.Barrier(2)
def waits():
    with c:
        c.wait()
        c.wait(0)
        c.wait(0.001)
    e.wait()
    q.get()
    s.acquire()
    s.acquire(timeout=0)
    barrier.wait()
thread = threading.Thread(target=waits)
thread.start()
while not lowthread.locks():
    time.sleep(0.01)
with c:
    c.notify_all()
e.set()
q.put(1)
q.put(2)
s.release()
barrier.wait()
thread.join()
with ThreadPoolExecutor(4) as pool:
    assert sum(pool.map(abs, range(100))) == 4950
"""
    )


def test_after_a_wait_the_lock_of_a_condition_is_held_again():
    text = said(
        """
c = threading.Condition()
a = threading.Lock()
run(took(a, c))
with c:
    c.wait(0.001)
    took(a)()
"""
    )
    assert HEAD in text


def test_a_lock_that_is_waited_for_by_who_has_it_is_a_signal():
    assert not said(
        """
gate = threading.Lock()
gate.acquire()
def opens():
    while all(state.address != lowthread.addressof(gate) for state in lowthread.locks()):
        pass
    gate.release()
thread = threading.Thread(target=opens)
thread.start()
gate.acquire()
thread.join()
gate.release()
a = threading.Lock()
run(took(gate, a), took(a, gate))
"""
    )


def test_locks_from_before_are_not_looked_at():
    assert not said(
        """
lowthread.check_lock_order(None)
a = threading.Lock()
b = threading.Lock()
lowthread.check_lock_order()
run(took(a, b), took(b, a))
"""
    )


def test_it_can_be_switched_off():
    assert not said(
        """
a = threading.Lock()
b = threading.Lock()
run(took(a, b))
methods = dict(vars(lowthread.lock)), dict(vars(lowthread.RLock))
lowthread.check_lock_order(None)
run(took(b, a))
lowthread.check_lock_order()
assert methods[0].keys() == vars(lowthread.lock).keys()
lowthread.check_lock_order(None)
"""
    )


def test_the_types_are_the_same_while_it_is_on():
    assert not said(
        """
import inspect
def looks():
    return [
        (inspect.signature(cls.acquire), cls.acquire.__doc__, cls.__enter__.__doc__,
         cls.__name__, sorted(vars(cls)))
        for cls in (lowthread.lock, lowthread.RLock)
    ]
on = looks()
lowthread.check_lock_order(None)
assert on == looks()
class Derived(lowthread.RLock):
    def __new__(cls, *args, **kwargs):
        return super().__new__(cls, *args)
lowthread.check_lock_order()
lock = Derived(1, a=2)
assert type(lock) is Derived
for wrong in (lambda: lowthread.lock(1), lambda: lowthread.lock(a=1)):
    try:
        wrong()
    except TypeError:
        pass
    else:
        raise AssertionError
"""
    )


def test_reports_of_deadlocks_tell_where_locks_were_taken(tmp_path):
    """Also by a call of acquire()."""
    text = said(
        """
import os, time
lowthread.detect_deadlocks(0.1)
a = threading.Lock()
b = threading.Lock()
both = threading.Barrier(2)
def takes(one, other):
    one.acquire()
    both.wait()
    other.acquire()
for locks in ((a, b), (b, a)):
    threading.Thread(target=takes, args=locks, daemon=True).start()
deadline = time.monotonic() + 30
while not lowthread._deadlock._found and time.monotonic() < deadline:
    time.sleep(0.05)
time.sleep(1)
sys.stderr.flush()
os._exit(0)
"""
    )
    assert text.count(HEAD) == 1
    deadlock = text[text.index("lowthread: found what looks like a deadlock") :]
    assert (
        len(re.findall(r'taken by thread .* in File "<string>", line \d+, in takes\n', text)) == 2
    )
    assert deadlock.count("    created in File") == 2


def test_a_signal_handler_that_raises_leaves_no_lock_behind():
    """Whenever it comes, also while it is looked whether the order is another."""
    # 3.9 itself has gaps around the `with` block, and so has PyPy.
    has_gaps = PYPY or sys.version_info < (3, 10)
    assert not said(
        f"has_gaps = {has_gaps}"
        """
import signal, time
class Ended(Exception):
    pass
def handler(*_):
    raise Ended
signal.signal(signal.SIGALRM, handler)
sys.unraisablehook = lambda args: None  # for one that comes in a weak reference's callback
locks = [threading.Lock(), threading.RLock()]
outer = threading.Lock()
left = rounds = 0
deadline = time.monotonic() + 2
while time.monotonic() < deadline:
    rounds += 1
    try:
        # Another one, should it come where exceptions are lost, as in a weak reference's callback.
        signal.setitimer(signal.ITIMER_REAL, 0.0007, 1)
        while True:
            for lock in locks:
                with outer:
                    with lock:
                        pass
    except Ended:
        signal.setitimer(signal.ITIMER_REAL, 0)
    for lock in [outer, *locks]:
        if not lock.acquire(False):
            left += 1
        lock.release()
    while locks[1]._is_owned():
        left += 1
        locks[1].release()
assert left <= (rounds // 10 if has_gaps else 0), (left, rounds)
assert not lowthread._check.is_inside(lowthread._order._looking, lowthread.get_ident())
"""
    )


def test_who_is_told_may_take_locks():
    assert not said(
        """
a = threading.Lock()
b = threading.Lock()
def tell(order):
    c = threading.Lock()
    d = threading.RLock()
    took(c, d)()
    took(d, c)()
    told.append(order)
told = []
lowthread.check_lock_order(tell)
run(took(a, b), took(b, a))
assert len(told) == 1
"""
    )


def test_nobody_waits_for_ever_to_note_it():
    """Who is about to note something may run what waits for the lock that this thread has."""
    text = said(
        """
a = threading.Lock()
b = threading.Lock()
with lowthread._order._changing:
    run(took(a, b))
run(took(a, b), took(b, a))  # what was not noted is noted another time
"""
    )
    assert text.count(HEAD) == 1


def test_a_child_of_a_fork():
    text = said(
        """
import os
a = threading.Lock()
b = threading.Lock()
run(took(a, b))
if os.fork() == 0:
    run(took(b, a))
    sys.stderr.flush()
    os._exit(0)
assert os.wait()[1] == 0
"""
    )
    assert HEAD in text


@pytest.mark.parametrize("wrong", ["other", ""])
def test_another_word(wrong):
    with pytest.raises(ValueError, match="on_inversion must be 'report', 'raise', a callable or"):
        lowthread.check_lock_order(wrong)


@pytest.mark.parametrize("wrong", [1, 1.0, b"raise"])
def test_anything_else(wrong):
    with pytest.raises(TypeError, match="on_inversion must be .*, not "):
        lowthread.check_lock_order(wrong)


def test_many_threads():
    """All at once, with a new class of locks each: nothing is lost, and nothing else told."""
    text = said(
        """
exec("def makers():\\n    return [" + ",\\n".join(["threading.Lock"] * 60) + "]")
locks = []
for n in range(60):
    exec("\\n" * n + "locks.append(threading.Lock())")
def work(k):
    for i in range(60):
        for j in range(i + 1, 60):
            if (i + j) % 4 == k:
                took(locks[i], locks[j])()
threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
steps = lowthread._order._steps
assert sum(map(len, steps.values())) == 60 * 59 // 2
"""
    )
    assert text == ""


# ---- what the program has no part in ----


def test_locks_of_the_library_among_each_other_are_its_own_affair(tmp_path):
    """What dictConfig() makes, logging.shutdown() takes in the other order."""
    path = str(tmp_path / "log")
    text = said(
        f"""
import logging.config
logging.config.dictConfig({{
    "version": 1,
    "handlers": {{"file": {{"class": "logging.FileHandler", "filename": {path!r}}}}},
    "root": {{"handlers": ["file"], "level": "INFO"}},
}})
logging.info("one")
logging.shutdown()
logging.config.dictConfig({{"version": 1}})
"""
    )
    assert text == ""


def test_two_handlers_that_log_to_each_other_are_told_of():
    """The library's locks, but the program's order."""
    text = said(
        """
import logging
class Passing(logging.Handler):
    def emit(self, record):
        if self.other is not None:
            self.other.handle(record)
one, two = Passing(), Passing()
record = logging.makeLogRecord({})
one.other, two.other = two, None
one.handle(record)
one.other, two.other = None, one
two.handle(record)
"""
    )
    assert HEAD in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_condition_has_its_lock_when_its_wait_is_over(kind):
    """It takes it back in another order than elsewhere: that is told, but not raised."""
    text = said(
        f"""
a, b = threading.{kind}(), threading.{kind}()
condition = threading.Condition(a)
took(a, b)()
with condition:
    b.acquire()
    condition.wait(0.01)
    b.release()
took(b)()
""",
        '"raise"',
    )
    assert (HEAD in text) == (kind == "Lock")  # how an RLock is taken back is not looked at


def test_a_thread_has_nothing_from_one_that_had_its_ident():
    text = said(
        """
a, b = threading.Lock(), threading.Lock()
took(a, b)()
idents = set()
def first():
    idents.add(lowthread.get_ident())
    b.acquire()
def second():
    idents.add(lowthread.get_ident())
    with a:
        pass
for _ in range(20):
    idents.clear()
    run(first, second)
    if len(idents) == 1:
        break
    b.release()
assert len(idents) == 1, "idents are not used again"
assert lowthread._order.where_taken(idents.pop(), lowthread.addressof(b)) is None
"""
    )
    assert text == ""


@pytest.mark.parametrize("seconds", ["", "=raise"])
def test_the_option_to_raise(seconds):
    script = "import threading as t; a = t.Lock()\nb = t.Lock()\nwith a, b: pass\nwith b, a: pass"
    process = run_lowthread(f"--lock-order{seconds}", "-c", script)
    raised = r"lowthread\.LockOrderError: 2 locks are taken in different orders"
    assert process.code == bool(seconds)
    assert bool(re.search(raised, process.err)) == bool(seconds)
    report = process.err[process.err.index(HEAD[len("lowthread: ") :]) :]
    assert "_run.py" not in report and "runpy" not in report
    assert HEAD in process.err
