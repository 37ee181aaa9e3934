"""What is compared: for each subject, how its locks are made and used.

Code as strings, so that a process imports only what it measures.
"""

import importlib.util
import sys

PYPY = sys.implementation.name == "pypy"

OWN, LOWTHREAD, FLOOR = "own", "lowthread", "floor"

#: name: (what to import, a lock, a re-entrant lock, the names of acquire and release)
LOCKS = {
    OWN: ("import _thread", "_thread.allocate_lock()", "_thread.RLock()", "acquire", "release"),
    LOWTHREAD: (
        "import lowthread",
        "lowthread.allocate_lock()",
        "lowthread.RLock()",
        "acquire",
        "release",
    ),
    "lowthread (cffi)": (
        "from lowthread import _portable",
        "_portable.lock()",
        "_portable.RLock()",
        "acquire",
        "release",
    ),
    "fastrlock": (
        "import fastrlock.rlock",
        "fastrlock.rlock.FastRLock()",
        "fastrlock.rlock.FastRLock()",
        "acquire",
        "release",
    ),
    "gevent": (
        "import gevent.thread, gevent.lock",
        "gevent.thread.LockType()",
        "gevent.lock.RLock()",
        "acquire",
        "release",
    ),
    "aiologic": (
        "import aiologic",
        "aiologic.Lock()",
        "aiologic.RLock()",
        "green_acquire",
        "green_release",
    ),
}


def present():
    """Return the names of the subjects that this interpreter has."""
    names = []
    for name in LOCKS:
        package = name.split()[0]
        if package not in (OWN, LOWTHREAD) and not importlib.util.find_spec(package):
            continue
        if name == "lowthread (cffi)" and PYPY:
            continue  # that is what lowthread is there
        names.append(name)
    return names


def names_of(subject):
    """Return the namespace for a subject's code: its imports done."""
    namespace = {}
    exec(LOCKS[subject][0], namespace)
    return namespace


def maker(subject, reentrant=False):
    """Return a function that makes a lock with the methods `acquire` and `release`."""
    _, lock, rlock, acquire, release = LOCKS[subject]
    namespace = names_of(subject)
    make = eval(f"lambda: {rlock if reentrant else lock}", namespace)
    if acquire == "acquire":
        return make

    class Adapted:
        def __init__(self):
            lock = make()
            self.acquire = getattr(lock, acquire)
            self.release = getattr(lock, release)

    return Adapted
