"""Ways to break lowthread, to see that it is noticed: `python -m stress --break exclusion`."""

import lowthread


class Lock:
    """What a broken lock does right."""

    def __init__(self):
        self.inner = lowthread.allocate_lock()
        self.release = self.inner.release
        self.locked = self.inner.locked
        self._at_fork_reinit = self.inner._at_fork_reinit

    def acquire(self, *args, **kwargs):
        return self.inner.acquire(*args, **kwargs)

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *exc_info):
        self.release()

    def __repr__(self):
        return repr(self.inner)


class NotExclusive(Lock):
    """Lets everybody in."""

    def __init__(self):
        super().__init__()
        self.release = lambda: self.inner.acquire(False) and self.inner.release()

    def acquire(self, *args, **kwargs):
        self.inner.acquire(False)
        return True


class Forgetful(Lock):
    """Wakes nobody."""

    def acquire(self, blocking=True, timeout=-1):
        if not blocking or timeout != -1:
            return self.inner.acquire(blocking, timeout)
        if not self.inner.acquire(False):
            never = lowthread.allocate_lock()
            never.acquire()
            never.acquire()
        return True


class Impatient(Lock):
    """Has half the patience.

    Not much less: long timeouts are for what must come, which would be said not to have come.
    """

    def acquire(self, blocking=True, timeout=-1):
        return self.inner.acquire(blocking, -1 if timeout == -1 else timeout / 2)


def exclusion():
    lowthread.LockType = NotExclusive


def wake():
    lowthread.LockType = Forgetful


def timeout():
    lowthread.LockType = Impatient


def start():
    """Run some functions twice."""
    original = lowthread.start

    def start(function, *args, **options):
        def run():
            function(*args)
            if len(args) == 1:
                function(*args)

        return original(run, **options)

    lowthread.start = start


def crash():
    """Crash in a thread, a second after the start."""
    import faulthandler
    import time

    lowthread.start(lambda: (time.sleep(1), faulthandler._sigsegv()))


def hang():
    """Stand still after a second."""
    import os
    import signal
    import time

    lowthread.start(lambda: (time.sleep(1), os.kill(os.getpid(), signal.SIGSTOP)))


#: {name: function}
ways = {f.__name__: f for f in (exclusion, wake, timeout, start, crash, hang)}
