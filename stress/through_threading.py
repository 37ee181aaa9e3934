"""What threads do by way of `threading` and `queue`, on `lowthread.install()`."""

import concurrent.futures
import queue
import threading

from stress.operations import collect, fork, switch_interval
from stress.world import LONG, check


def in_threads(w, *functions):
    """Run each function in a thread; join them."""
    done = []

    def run(function):
        function()
        done.append(threading.current_thread())

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        # Not is_alive(): up to 3.12, that and join() in two threads trip over each other.
        w.wait_for(lambda thread=thread: thread in done, thread.join)
        check(not thread.is_alive(), "a thread was joined and lives")
    check(len(done) == len(functions), "not every thread has run once")


def through_queue(w, kind=queue.Queue):
    number, size = w.rng.randrange(1, 50), w.rng.randrange(1, 4)
    q, got = kind(size), []

    def put():
        for item in range(number):
            q.put(item, timeout=LONG)

    def get():
        for _ in range(number):
            got.append(q.get(timeout=LONG if size > 1 else None))
            q.task_done()

    in_threads(w, put, get, put, get)
    q.join()
    check(sorted(got) == sorted([*range(number)] * 2), "a queue has lost something")
    check(q.empty(), "a queue has something left")


def through_priority_queue(w):
    through_queue(w, queue.PriorityQueue)


def condition(w):
    number = w.rng.randrange(1, 5)
    condition = threading.Condition(w.rng.choice([threading.Lock, threading.RLock])())
    waiting, woken, may_go = [], [], []

    def wait():
        with condition:
            waiting.append(None)
            condition.notify_all()
            check(condition.wait_for(lambda: may_go, w.rng.choice([None, LONG])), "a Condition")
            woken.append(None)

    def wake():
        with condition:
            check(not condition.wait(0.0001) or waiting, "nobody has notified")
            check(condition.wait_for(lambda: len(waiting) == number, LONG), "a Condition")
            may_go.append(None)
            for _ in range(number):
                condition.notify()

    in_threads(w, wake, *[wait] * number)
    check(len(woken) == number, "not all who waited for a Condition were woken")


def event(w):
    event, seen = threading.Event(), []
    check(not event.wait(0.0001), "an Event is set by itself")

    def wait():
        check(event.wait(w.rng.choice([None, LONG])), "an Event that is set")
        seen.append(None)

    in_threads(w, wait, wait, event.set, wait)
    check(len(seen) == 3, "not all who waited for an Event were woken")


def semaphore(w):
    most = w.rng.randrange(1, 3)
    semaphore, inside = threading.BoundedSemaphore(most), []

    def run():
        for _ in range(10):
            with semaphore:
                inside.append(None)
                check(len(inside) <= most, "a Semaphore lets too many in")
                inside.pop()

    in_threads(w, *[run] * 4)


def barrier(w):
    barrier, numbers = threading.Barrier(3, timeout=LONG), []

    def run():
        for _ in range(3):
            numbers.append(barrier.wait())

    in_threads(w, run, run, run)
    check(sorted(numbers) == [0, 0, 0, 1, 1, 1, 2, 2, 2], "a Barrier")


def timer(w):
    done = []
    thread = threading.Timer(w.rng.random() / 1000, done.append, [None])
    thread.start()
    w.wait_for(lambda: done, thread.join)
    check(len(done) == 1, "a Timer")


def executor(w):
    with concurrent.futures.ThreadPoolExecutor(w.rng.randrange(1, 4)) as pool:
        results = list(pool.map(abs, range(-20, 0), timeout=LONG))
    check(results == list(range(20, 0, -1)), "an executor")


def thread_local(w):
    local = threading.local()
    local.value = w

    def run():
        check(not hasattr(local, "value"), "a thread sees another's value")
        local.value = threading.current_thread()
        check(local.value is threading.current_thread(), "a thread-local value")

    in_threads(w, run, run)
    check(local.value is w, "a thread-local value")


#: [(function, weight)]
operations = [
    (through_queue, 10),
    (through_priority_queue, 3),
    (condition, 10),
    (event, 10),
    (semaphore, 5),
    (barrier, 5),
    (timer, 2),
    (executor, 3),
    (thread_local, 3),
    (collect, 0.3),
    (fork, 0.5),
    (switch_interval, 1),
]
