# cython: language_level=3
"""A Cython module whose own thread and Python's threads share a lock of lowthread's."""

from libc.string cimport strerror
from lowthread cimport LT_FOREVER, lt_api, lt_import_api, lt_lock, lt_lock_in

cdef extern from "pthread.h" nogil:
    ctypedef unsigned long pthread_t  # whatever it is: the C compiler knows
    int pthread_create(pthread_t *thread, void *attr, void *(*f)(void *) noexcept nogil, void *arg)
    int pthread_join(pthread_t thread, void **result)

cdef extern from "sched.h" nogil:
    int sched_yield()

cdef const lt_api *lt = lt_import_api()
cdef lt_lock *the_lock
cdef long rounds
cdef pthread_t thread
cdef long total  # guarded by the lock
cdef object kept  # the object whose lock it is, while that is used


cdef void add_one() noexcept nogil:
    global total
    cdef long before = total
    sched_yield()  # another thread could spoil it here, if it had not to wait
    total = before + 1


cdef void *count(void *unused) noexcept nogil:
    cdef long i
    for i in range(rounds):
        lt.lock_acquire(the_lock, LT_FOREVER)
        add_one()
        lt.lock_release(the_lock)
    return unused


def start(lock, long n):
    """Start a thread that Python does not know; it adds one to the total, n times."""
    global the_lock, rounds, kept
    cdef lt_lock *its_lock = lt_lock_in(lock)
    if kept is not None:
        raise RuntimeError("the thread has been started")
    the_lock = its_lock
    rounds = n
    cdef int error = pthread_create(&thread, NULL, count, NULL)
    if error != 0:
        raise OSError(error, strerror(error).decode())
    kept = lock


def add():
    """Add one; whoever calls it has the lock."""
    add_one()


def join():
    """Wait until the thread has ended, and return the total."""
    global kept
    if kept is None:
        raise RuntimeError("the thread has not been started")
    with nogil:
        pthread_join(thread, NULL)
    kept = None
    return total
