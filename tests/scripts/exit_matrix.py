"""End in one of many ways while threads are in one of many states.

Arguments: whose threads (the interpreter's own `_thread`, or lowthread's); the state; the way
to end. What is printed on standard output was not flushed by the program.
"""

import atexit
import os
import signal
import sys
import time

whose, state, ending = sys.argv[1:]


def leave():
    raise SystemExit(5)


if ending == "atexit before the import":
    atexit.register(leave)

if whose == "lowthread":
    import lowthread
else:
    import _thread as lowthread

held = lowthread.allocate_lock()
held.acquire()
gate = lowthread.allocate_lock()
gate.acquire()
begun = []


def loop(function):
    def run():
        begun.append(1)
        while True:
            try:
                function()
            except RuntimeError:  # so many that the system has no more
                time.sleep(0.001)

    return run


def once(function):
    def run():
        begun.append(1)
        function()

    return run


def wait_at_the_gate():
    with gate:
        pass


def start_some():
    for _ in range(10):
        lowthread.start_new_thread(once(int), ())


def be_in(number, function):
    """Start so many threads, and wait until all are about to be there."""
    for _ in range(number):
        lowthread.start_new_thread(function, ())
    while len(begun) < number:
        time.sleep(0.001)


def join_each_other():
    blocked = lowthread.start(held.acquire)
    be_in(3, once(blocked.join))
    be_in(3, loop(lambda: blocked.join(0.001)))


def end_together():
    be_in(20, once(wait_at_the_gate))
    gate.release()


def enter():
    """As soon as one is there, the others are on their way."""
    start_some()
    while not begun:
        pass


STATES = {
    "none": int,
    "starting": start_some,
    "entering": enter,
    "running": lambda: be_in(3, loop(lambda: sum(range(50)))),
    "in acquire": lambda: be_in(10, once(held.acquire)),
    "in acquire with a timeout": lambda: (
        be_in(3, loop(lambda: held.acquire(timeout=0.001))),
        be_in(3, once(lambda: held.acquire(timeout=1000))),
    ),
    "in join": join_each_other,
    "starting more": lambda: be_in(2, loop(start_some)),
    "ending": end_together,
}


def raise_signal(number):
    os.kill(os.getpid(), number)
    while True:
        time.sleep(0.01)


ENDINGS = {
    "return": int,
    "sys.exit": lambda: sys.exit(7),
    "sys.exit with a text": lambda: sys.exit("a text"),
    "os._exit": lambda: os._exit(8),
    "exception": lambda: {}["key"],
    "SIGTERM": lambda: raise_signal(signal.SIGTERM),
    "SIGINT": lambda: raise_signal(signal.SIGINT),
    "atexit": lambda: atexit.register(leave),
    "atexit before the import": int,
}

if __name__ == "__main__":
    print("begins", file=sys.stderr, flush=True)
    print("not flushed")
    STATES[state]()
    ENDINGS[ending]()
