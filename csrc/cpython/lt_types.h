/* What the types `lock` and `RLock` have in common. */
#ifndef LT_TYPES_H
#define LT_TYPES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "lt_cpython.h"

/* Between two points where it gives up the GIL, nobody else is here.  The core has
 * functions for that case; without a GIL, or for a lock whose address native code has been
 * given, the others are to be used. */
#ifdef Py_GIL_DISABLED
enum { LT_ALONE = false };
#else
enum { LT_ALONE = true };
#endif

/* What is kept of a lock beside the core's: if anything, there is more to do than to take it. */
#define LT_SHARED UINT32_C(0x80000000) /* native code has the address */
#define LT_TRACED UINT32_C(0x40000000) /* it tells of itself before it is taken */

/* In how many interpreters locks tell of themselves when they are made; see lt_trace_locks(). */
extern atomic_int lt_tracing_interpreters;

static inline bool lt_is_tracing(void) {
    /* Relaxed: who turns it on does not hear of locks that are being made meanwhile. */
    return atomic_load_explicit(&lt_tracing_interpreters, memory_order_relaxed) != 0;
}

/* Tells of one that was just made, and returns it, with the mark LT_TRACED if it is to have that;
 * NULL with an exception. */
PyObject *lt_tell_made(PyObject *self, _Atomic uint32_t *marks);

/* Tells of one that is about to be taken; it waits for it for `ns` if it has to.
 * 0, or -1 with an exception: it is not to be. */
int lt_tell_taking(PyObject *self, int64_t ns);

/* The same of one that has not the mark; it gets it, if there is to be told how long those are
 * held for which somebody has to wait. */
int lt_tell_taking_untold(PyObject *self, _Atomic uint32_t *marks, int64_t ns);

/* The address of the core's lock in an instance of the type; from then on it is shared. */
void *lt_share_lock(PyObject *self);
void *lt_share_rlock(PyObject *self);

#define LT_FAST(function) ((PyCFunction)(void (*)(void))(function))

static inline PyObject *lt_bool(bool value) {
    PyObject *result = value ? Py_True : Py_False;
    Py_INCREF(result);
    return result;
}

int64_t lt_parse_acquire(PyObject *const *args, Py_ssize_t nargs, PyObject *names);

/* How long acquire(*args, **keywords) may wait, in ns; -1 with an exception. */
static inline int64_t lt_acquire_ns(PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
    if (names == NULL && nargs == 0) {
        return LT_FOREVER;
    }
    if (names == NULL && nargs == 1) {
        if (args[0] == Py_True) {
            return LT_FOREVER;
        }
        if (args[0] == Py_False) {
            return 0;
        }
    }
    return lt_parse_acquire(args, nargs, names);
}

/* METH_NOARGS would do this for us, but a call of such a method, once bound, is no case for
 * which CPython 3.11 and later have an instruction: it takes 3 to 6 ns more. */
static inline int lt_check_none(Py_ssize_t nargs, const char *name) {
    if (nargs != 0) {
        PyErr_Format(PyExc_TypeError, "%s() takes no arguments (%zd given)", name, nargs);
        return -1;
    }
    return 0;
}

/* __exit__ takes whatever it is given, by position: 0, or -1 with an exception. */
static inline int lt_check_exit(PyObject *names) {
    if (names != NULL && PyTuple_Size(names) != 0) {
        PyErr_SetString(PyExc_TypeError, "__exit__() takes no keyword arguments");
        return -1;
    }
    return 0;
}

/* How lt_wait_for() differs from what `acquire` of a lock does: */
enum {
    LT_LEAVES_HANDLERS = 1, /* signal handlers that are due run later */
    LT_IS_SENTINEL = 2,     /* a thread may release it that does not run Python any more */
    LT_IS_SHARED = 4,       /* ... or that never did */
    LT_IS_RLOCK = 8,        /* `lock` is that of an lt_rlock, its first member */
};

/* Waits for `lock`, which is in `self`, for `ns` at most and runs signal handlers meanwhile.
 * 1: acquired; 0: not; -1 with an exception, and it is not acquired: a handler raised, or the
 * wait would never end. */
int lt_wait_for(PyObject *self, lt_lock *lock, int64_t ns, int how);

/* Both types are immutable; 3.9 cannot do that for one that can be derived from. */
#if PY_VERSION_HEX >= 0x030A0000
#define LT_IMMUTABLE Py_TPFLAGS_IMMUTABLETYPE
#else
#define LT_IMMUTABLE 0
#endif

#endif
