"""Exit with a given code while threads start, run, and are blocked in acquire."""

import random
import sys
import time

import lowthread

code, seed = int(sys.argv[1]), int(sys.argv[2])
chance = random.Random(seed)

held = lowthread.allocate_lock()
held.acquire()
busy = lowthread.allocate_lock()


def blocked():
    held.acquire()


def blocked_with_timeout():
    while not held.acquire(timeout=0.001):
        pass


def runs():
    while True:
        with busy:
            sum(range(50))


def short():
    with busy:
        pass


def starts():
    while True:
        try:
            lowthread.start_new_thread(short, ())
        except RuntimeError:  # so many that the system has no more
            time.sleep(0.001)


for function in [blocked] * 6 + [blocked_with_timeout] * 2 + [runs] * 2 + [starts] * 2:
    lowthread.start_new_thread(function, ())
time.sleep(chance.random() * 0.02)
for _ in range(chance.randrange(20)):
    lowthread.start_new_thread(short, ())
sys.exit(code)
