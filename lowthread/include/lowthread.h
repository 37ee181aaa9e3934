/* lowthread's locks for native code: C, C++, Cython and cffi programs.
 *
 * A lock that Python has made can be taken and released by any thread of the process, also
 * by one that Python does not know and without the GIL.  The functions are in a table, whose
 * address is all that a program needs:
 *
 *     #define PY_SSIZE_T_CLEAN
 *     #include <Python.h>
 *     #include <lowthread.h>              -- in the folder lowthread.get_include()
 *
 *     const lt_api *lt = lt_import_api(); -- once, with the GIL; NULL with an exception
 *     lt_lock *lock = lt_lock_in(object); -- likewise; a lock of lowthread's
 *     ...
 *     lt->lock_acquire(lock, LT_FOREVER); -- in any thread that does not have the GIL
 *     lt->lock_release(lock);             -- in any thread
 *
 * Without <Python.h>, get the two addresses from Python: lowthread.get_api() and
 * lowthread.addressof(lock) are ints; then check lt_api_fits().
 *
 * Rules
 *   - Keep a reference to the Python object for as long as its lock is used: it is the lock.
 *   - lock_acquire() and rlock_acquire() may sleep, and so may lock_wait() and rlock_wait().  A
 *     thread that has the GIL gives it up around them (Py_BEGIN_ALLOW_THREADS), as the one
 *     that has the lock may need the GIL to release it.  All other functions return at once,
 *     with the GIL or without.
 *   - No function may be called in a signal handler, and none needs Python: they work after
 *     its end, too, if the lock is still there.
 *   - A thread that takes the GIL while it has a lock may be stopped there for ever when the
 *     interpreter ends, and then the lock stays locked.
 *   - While the interpreter ends, a wait in Python for such a lock goes on as long as the process
 *     has any other thread, which may release it; for other locks it raises an exception.
 */
#ifndef LOWTHREAD_H
#define LOWTHREAD_H

#include <stddef.h> /* NULL */
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes when programs have to be built again.  New functions come at the end of the table,
 * which gets longer, and change nothing for who does not know them. */
#define LT_API_VERSION 1

/* What is in a lowthread.lock and in a lowthread.RLock. */
typedef struct lt_lock lt_lock;
typedef struct lt_rlock lt_rlock;

/* No deadline. */
#define LT_FOREVER INT64_MAX

/* What the functions return. */
enum {
    LT_ACQUIRED = 0,
    LT_RELEASED = 0,
    LT_TIMED_OUT = 1,   /* the deadline has passed, and the caller has not got the lock */
    LT_INTERRUPTED = 2, /* only lock_wait() and rlock_wait(): see there */
    LT_NOT_HELD = 3,    /* nobody has the lock (an lt_rlock: the caller has not) */
    LT_OVERFLOW = 4,    /* an lt_rlock cannot be taken any more often */
    LT_ABANDONED = 5    /* in a forked child, without a deadline: the lock was taken by a thread
                         * that did not come along, and no other is left that could release it */
};

typedef struct lt_api {
    uint32_t version; /* LT_API_VERSION */
    uint32_t size;    /* of this table, in bytes */

    /* Nanoseconds on the monotonic clock, on which the deadlines are. */
    int64_t (*now)(void);

    /* Takes the lock, and waits until `deadline` if need be: a time of now(); LT_FOREVER; 0, or
     * any time that has passed, only tries.  LT_ACQUIRED, or the caller has not got it:
     * LT_TIMED_OUT, LT_ABANDONED.  Signals do not end the wait. */
    int (*lock_acquire)(lt_lock *lock, int64_t deadline);

    /* The same for Python's main thread, which runs signal handlers: there it can also return
     * LT_INTERRUPTED, when one may be due.  Then take the GIL, lt_check_signals(), and if that
     * is 0, call again with the same `since`, the time of now() before the first call, which
     * keeps the caller's place in the queue. */
    int (*lock_wait)(lt_lock *lock, int64_t since, int64_t deadline);

    /* Any thread may release it, not only the one that took it.  LT_RELEASED or LT_NOT_HELD. */
    int (*lock_release)(lt_lock *lock);

    /* 1 or 0; out of date as soon as it is told. */
    int (*lock_is_held)(lt_lock *lock);

    /* The same for the re-entrant lock, which belongs to the thread that took it.  The first
     * two can also return LT_OVERFLOW. */
    int (*rlock_acquire)(lt_rlock *rlock, int64_t deadline);
    int (*rlock_wait)(lt_rlock *rlock, int64_t since, int64_t deadline);
    int (*rlock_release)(lt_rlock *rlock);
    int (*rlock_is_held)(lt_rlock *rlock);

    /* How often the calling thread has it. */
    unsigned long (*rlock_count)(lt_rlock *rlock);
} lt_api;

/* Whether a table has all that this header describes. */
static inline int lt_api_fits(const lt_api *api) {
    return api != NULL && api->version == LT_API_VERSION && api->size >= sizeof(lt_api);
}

#ifdef __cplusplus
}
#endif

#endif

/* With Python's C API.  Not inside of the guard above: this header may have been included before
 * <Python.h>, by another one, and be included again after it. */
#if defined(Py_PYTHON_H) && !defined(LOWTHREAD_PYTHON_H)
#define LOWTHREAD_PYTHON_H

#ifdef __cplusplus
extern "C" {
#endif

/* The table; NULL with an ImportError if lowthread cannot be imported or is of a version that
 * this header does not fit.  With the GIL. */
static inline const lt_api *lt_import_api(void) {
    const lt_api *api = (const lt_api *)PyCapsule_Import("lowthread._C_API", 0);
    if (api != NULL && !lt_api_fits(api)) {
        PyErr_Format(PyExc_ImportError,
                     "this was built for version %d of lowthread's native API (%d bytes), and "
                     "lowthread has version %d (%d bytes): build it again, or upgrade lowthread",
                     LT_API_VERSION, (int)sizeof(lt_api), (int)api->version, (int)api->size);
        api = NULL;
    }
    return api;
}

/* For the two below: what lowthread.addressof() says of an instance of lowthread's `type`. */
static inline void *lt_address_in(PyObject *object, const char *type) {
    void *address = NULL;
    PyObject *module = PyImport_ImportModule("lowthread");
    PyObject *cls = module == NULL ? NULL : PyObject_GetAttrString(module, type);
    /* By its type, as C does: what an object claims as its __class__ does not count. */
    if (cls != NULL && !PyObject_TypeCheck(object, (PyTypeObject *)cls)) {
        PyErr_Format(PyExc_TypeError, "a lowthread.%s is needed, not %R", type,
                     (PyObject *)Py_TYPE(object));
    } else if (cls != NULL) {
        PyObject *number = PyObject_CallMethod(module, "addressof", "(O)", object);
        address = number == NULL ? NULL : PyLong_AsVoidPtr(number);
        Py_XDECREF(number);
    }
    Py_XDECREF(cls);
    Py_XDECREF(module);
    return address;
}

/* What is in a Python object; NULL with a TypeError if that is no lowthread.lock, or no
 * lowthread.RLock or of a type derived from that.  With the GIL. */
static inline lt_lock *lt_lock_in(PyObject *lock) {
    return (lt_lock *)lt_address_in(lock, "lock");
}

static inline lt_rlock *lt_rlock_in(PyObject *rlock) {
    return (lt_rlock *)lt_address_in(rlock, "RLock");
}

/* Runs the signal handlers that are due, in the main thread: 0, or -1 with the exception of one.
 * With the GIL.  PyPy's PyErr_CheckSignals() runs none; the instructions of Python code do. */
static inline int lt_check_signals(void) {
#ifdef PYPY_VERSION
    PyObject *names = PyDict_New();
    PyObject *result =
        names == NULL ? NULL : PyRun_String("[0 for _ in (1, 2)]", Py_eval_input, names, names);
    int verdict = result == NULL ? -1 : 0;
    Py_XDECREF(result);
    Py_XDECREF(names);
    return verdict;
#else
    return PyErr_CheckSignals();
#endif
}

#ifdef __cplusplus
}
#endif

#endif
