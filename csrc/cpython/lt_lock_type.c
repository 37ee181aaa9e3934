/* The type `lowthread.lock`: the core's lock as a Python object.
 *
 * In C not for speed alone.  A method in Python can be left by the exception of a
 * signal handler after it has taken the lock, or before it has released it, and then
 * nobody ever releases it; a method in C is left by the exceptions that it raises.
 */
#include "lt_types.h"

#include "../lt_handle.h"

typedef struct {
    PyObject_HEAD
    lt_lock lock;
    _Atomic uint32_t marks; /* SENTINEL: lt_sentinel_set()'s number, or 0; and two of lt_types.h */
    PyObject *weak_references;
} lock_object;

enum { SENTINEL = 0x3FFFFFFF }; /* no system has so many threads */

static lt_lock *lock_of(PyObject *self) { return &((lock_object *)self)->lock; }

/* Relaxed, here and below: with a GIL, that orders it; without, nothing depends on it. */
static uint32_t marks_of(PyObject *self) {
    return atomic_load_explicit(&((lock_object *)self)->marks, memory_order_relaxed);
}

void *lt_share_lock(PyObject *self) {
    atomic_fetch_or_explicit(&((lock_object *)self)->marks, LT_SHARED, memory_order_relaxed);
    return lock_of(self);
}

static bool is_alone(PyObject *self) {
    return LT_ALONE && !(marks_of(self) & (LT_SHARED | LT_TRACED));
}

/* As lt_wait_for(), but at once. */
static int try_lock(PyObject *self, int64_t ns) {
    lt_lock *lock = lock_of(self);
    if (is_alone(self)) {
        return lt_lock_try_alone(lock);
    }
    if ((marks_of(self) & LT_TRACED) && lt_tell_taking(self, ns) < 0) {
        return -1;
    }
    return lt_lock_try(lock);
}

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *names) {
    int64_t ns = lt_acquire_ns(args, nargs, names);
    if (ns < 0) {
        return NULL;
    }
    int taken = try_lock(self, ns);
    if (taken == 0 && ns > 0) {
        uint32_t marks = marks_of(self);
        if (!(marks & (SENTINEL | LT_TRACED)) &&
            lt_tell_taking_untold(self, &((lock_object *)self)->marks, ns) < 0) {
            return NULL;
        }
        int how =
            ((marks & SENTINEL) ? LT_IS_SENTINEL : 0) | ((marks & LT_SHARED) ? LT_IS_SHARED : 0);
        taken = lt_wait_for(self, lock_of(self), ns, how);
    }
    return taken < 0 ? NULL : lt_bool(taken);
}

static PyObject *release_once(PyObject *self) {
    lt_lock *lock = lock_of(self);
    int verdict = is_alone(self)                 ? lt_lock_release_alone(lock)
                  : (marks_of(self) & LT_TRACED) ? lt_lock_release_told(lock)
                                                 : lt_lock_release(lock);
    if (verdict == LT_NOT_HELD) {
        PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
        return NULL;
    }
    return lt_none();
}

static PyObject *release(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    (void)args;
    return lt_check_none(nargs, "lock.release") < 0 ? NULL : release_once(self);
}

static PyObject *release_lock(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    (void)args;
    return lt_check_none(nargs, "lock.release_lock") < 0 ? NULL : release_once(self);
}

static PyObject *leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
    (void)args;
    (void)nargs;
    return lt_check_exit(names) < 0 ? NULL : release_once(self);
}

static PyObject *locked(PyObject *self, PyObject *unused) {
    (void)unused;
    return lt_bool(lt_lock_is_held(lock_of(self)));
}

static PyObject *at_fork_reinit(PyObject *self, PyObject *unused) {
    (void)unused;
    lt_lock_reset(lock_of(self));
    return lt_none();
}

static PyObject *repr(PyObject *self) {
    return PyUnicode_FromFormat("<%s lowthread.lock object at %p>",
                                lt_lock_is_held(lock_of(self)) ? "locked" : "unlocked",
                                (void *)self);
}

/* ---- making and freeing ---- */

static PyObject *make_lock(PyTypeObject *type) {
    return PyType_GenericAlloc(type, 0); /* zeroed, which is a free lock */
}

PyObject *lt_make_lock(PyTypeObject *type) {
    PyObject *self = make_lock(type);
    return self == NULL || !lt_is_tracing() ? self
                                            : lt_tell_made(self, &((lock_object *)self)->marks);
}

PyObject *lt_make_sentinel(PyTypeObject *type) {
    PyObject *self = make_lock(type); /* nobody takes it but by being a thread */
    if (self == NULL) {
        return NULL;
    }
    uint32_t number = 0;
    if (!lt_sentinel_set(lock_of(self), &number)) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    atomic_store_explicit(&((lock_object *)self)->marks, number, memory_order_relaxed);
    return self;
}

static PyObject *new_lock(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    if (keywords != NULL && PyDict_Size(keywords) != 0) {
        PyErr_SetString(PyExc_TypeError, "lock() takes no keyword arguments");
        return NULL;
    }
    if (PyTuple_Size(args) != 0) {
        PyErr_Format(PyExc_TypeError, "lock expected 0 arguments, got %zd", PyTuple_Size(args));
        return NULL;
    }
    return lt_make_lock(type);
}

static void dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (((lock_object *)self)->weak_references != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    if (marks_of(self) & SENTINEL) {
        lt_sentinel_forget(lock_of(self), marks_of(self) & SENTINEL);
    }
    PyObject_Free(self);
    Py_DECREF(type);
}

/* ---- the type ---- */

PyDoc_STRVAR(lock_doc,
"lock()\n--\n\n"
"A lock object is a synchronization primitive.\n\n"
"`allocate_lock()`, or calling this type, makes one; it is unlocked. Its methods are\n\n"
"acquire() -- lock the lock, possibly blocking until it can be obtained\n"
"release() -- unlock the lock\n"
"locked() -- test whether the lock is currently locked\n\n"
"and it works in a `with` statement. A lock is not owned by the thread that locked it;\n"
"any thread may unlock it. A thread that locks a lock which it has locked already blocks\n"
"until another thread unlocks it.");

PyDoc_STRVAR(acquire_doc,
"acquire($self, /, blocking=True, timeout=-1)\n--\n\n"
"Lock the lock; return whether that succeeded.\n\n"
"blocking: if true, wait until the lock is free; if false, only try.\n"
"timeout: seconds to wait at most, an int or a float, up to `TIMEOUT_MAX`; -1, the\n"
"default, is no limit, and all that is allowed for a call that does not block.\n\n"
"The wait is on the monotonic clock and is never shorter than asked. A signal handler\n"
"that raises ends it without the lock.\n\n"
"Raises ValueError for any other negative timeout, for NaN, or for one with\n"
"`blocking=False`; OverflowError for one that is too long; TypeError for anything that\n"
"is neither a float nor has `__index__`; PythonFinalizationError or AbandonedLockError\n"
"where no thread is left that could end a wait without a timeout.");

PyDoc_STRVAR(release_doc,
"release($self, /)\n--\n\n"
"Unlock the lock, so that one of those who wait for it can have it.\n\n"
"Any thread may do so, not only the one that locked it. Raises RuntimeError if the lock\n"
"is not locked.");

PyDoc_STRVAR(locked_doc, "locked($self, /)\n--\n\nReturn whether the lock is locked.");
PyDoc_STRVAR(enter_doc, "__enter__($self, /)\n--\n\nLock the lock.");
PyDoc_STRVAR(exit_doc, "__exit__($self, /, *exc_info)\n--\n\nRelease the lock.");
PyDoc_STRVAR(reinit_doc,
"_at_fork_reinit($self, /)\n--\n\n"
"Make the lock free, whoever has it: for a child process after fork.");
PyDoc_STRVAR(acquire_lock_doc,
"acquire_lock($self, /, blocking=True, timeout=-1)\n--\n\n"
"An obsolete synonym of acquire().");
PyDoc_STRVAR(release_lock_doc,
"release_lock($self, /)\n--\n\nAn obsolete synonym of release().");
PyDoc_STRVAR(locked_lock_doc,
"locked_lock($self, /)\n--\n\nAn obsolete synonym of locked().");

static PyMethodDef methods[] = {
    {"acquire", LT_FAST(acquire), METH_FASTCALL | METH_KEYWORDS, acquire_doc},
    {"acquire_lock", LT_FAST(acquire), METH_FASTCALL | METH_KEYWORDS, acquire_lock_doc},
    {"release", LT_FAST(release), METH_FASTCALL, release_doc},
    {"release_lock", LT_FAST(release_lock), METH_FASTCALL, release_lock_doc},
    {"locked", locked, METH_NOARGS, locked_doc},
    {"locked_lock", locked, METH_NOARGS, locked_lock_doc},
    {"__enter__", LT_FAST(acquire), METH_FASTCALL | METH_KEYWORDS, enter_doc},
    {"__exit__", LT_FAST(leave), METH_FASTCALL | METH_KEYWORDS, exit_doc},
    {"_at_fork_reinit", at_fork_reinit, METH_NOARGS, reinit_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(lock_object, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, new_lock},
    {Py_tp_dealloc, dealloc},
    {Py_tp_repr, repr},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_doc, (void *)lock_doc},
    {0, NULL},
};

#if PY_VERSION_HEX >= 0x030A0000
static int make_immutable(PyObject *type) {
    (void)type;
    return 0;
}
#else
/* 3.9 knows no immutable types but static ones, and no type can be static whose
 * module may be loaded in several interpreters: its own type refuses. */
static int refuse(PyObject *type, PyObject *name, PyObject *value) {
    (void)value;
    PyErr_Format(PyExc_TypeError, "cannot set %R attribute of immutable type '%s'", name,
                 ((PyTypeObject *)type)->tp_name);
    return -1;
}

static int make_immutable(PyObject *type) {
    static PyType_Slot meta_slots[] = {{Py_tp_setattro, refuse}, {0, NULL}};
    static PyType_Spec meta = {"lowthread._immutable", 0, 0, Py_TPFLAGS_DEFAULT, meta_slots};
    PyObject *bases = PyTuple_Pack(1, &PyType_Type);
    PyObject *metatype = bases == NULL ? NULL : PyType_FromSpecWithBases(&meta, bases);
    Py_XDECREF(bases);
    if (metatype == NULL) {
        return -1;
    }
    Py_SET_TYPE(type, (PyTypeObject *)metatype); /* which owns the reference now */
    return 0;
}
#endif

static PyType_Spec spec = {
    .name = "lowthread.lock",
    .basicsize = sizeof(lock_object),
    .flags = Py_TPFLAGS_DEFAULT | LT_IMMUTABLE,
    .slots = slots,
};

PyObject *lt_lock_type(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    if (type != NULL && make_immutable(type) < 0) {
        Py_CLEAR(type);
    }
    return type;
}
