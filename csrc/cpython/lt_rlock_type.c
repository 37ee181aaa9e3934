/* The type `lowthread.RLock`: the core's re-entrant lock as a Python object. */
#include "lt_types.h"

#include "../lt_rlock.h"

typedef struct {
    PyObject_HEAD
    lt_rlock rlock;
    PyObject *weak_references;
} rlock_object;

static lt_rlock *rlock_of(PyObject *self) { return &((rlock_object *)self)->rlock; }

/* Relaxed: with a GIL, that orders it; without, nothing depends on it. */
static uint32_t marks_of(lt_rlock *r) {
    return atomic_load_explicit(&r->marks, memory_order_relaxed);
}

void *lt_share_rlock(PyObject *self) {
    atomic_fetch_or_explicit(&rlock_of(self)->marks, LT_SHARED, memory_order_relaxed);
    return rlock_of(self);
}

static bool is_alone(lt_rlock *r) { return LT_ALONE && marks_of(r) == 0; }

static int wait_for(PyObject *self, int64_t ns, int how) {
    lt_rlock *r = rlock_of(self);
    how |= LT_IS_RLOCK | ((marks_of(r) & LT_SHARED) ? LT_IS_SHARED : 0);
    return lt_wait_for(self, &r->lock, ns, how);
}

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *names) {
    int64_t ns = lt_acquire_ns(args, nargs, names);
    if (ns < 0) {
        return NULL;
    }
    lt_rlock *r = rlock_of(self);
    bool alone = is_alone(r);
    if (!alone && (marks_of(r) & LT_TRACED) && lt_tell_taking(self, ns) < 0) {
        return NULL;
    }
    int verdict = lt_rlock_try_as(r, alone);
    if (verdict == LT_OVERFLOW) {
        PyErr_SetString(PyExc_OverflowError, "Internal lock count overflowed");
        return NULL;
    }
    if (verdict == LT_ACQUIRED || ns == 0) {
        return lt_bool(verdict == LT_ACQUIRED);
    }
    if (!(marks_of(r) & LT_TRACED) && lt_tell_taking_untold(self, &r->marks, ns) < 0) {
        return NULL;
    }
    int taken = wait_for(self, ns, 0);
    if (taken < 0) {
        return NULL;
    }
    if (taken) {
        lt_rlock_own_once(r);
    }
    return lt_bool(taken);
}

static PyObject *not_owned(void) {
    PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
    return NULL;
}

static PyObject *release_once(PyObject *self) {
    lt_rlock *r = rlock_of(self);
    int verdict = is_alone(r)                 ? lt_rlock_release_as(r, true)
                  : (marks_of(r) & LT_TRACED) ? lt_rlock_release_told(r)
                                              : lt_rlock_release(r);
    if (verdict == LT_NOT_HELD) {
        return not_owned();
    }
    return lt_none();
}

static PyObject *release(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    (void)args;
    return lt_check_none(nargs, "RLock.release") < 0 ? NULL : release_once(self);
}

static PyObject *leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
    (void)args;
    (void)nargs;
    return lt_check_exit(names) < 0 ? NULL : release_once(self);
}

static PyObject *locked(PyObject *self, PyObject *unused) {
    (void)unused;
    return lt_bool(lt_rlock_is_held(rlock_of(self)));
}

static PyObject *is_owned(PyObject *self, PyObject *unused) {
    (void)unused;
    return lt_bool(lt_rlock_count_of(rlock_of(self), lt_ident()) != 0);
}

static PyObject *recursion_count(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(lt_rlock_count_of(rlock_of(self), lt_ident()));
}

static PyObject *release_save(PyObject *self, PyObject *unused) {
    (void)unused;
    unsigned long count = lt_rlock_release_all(rlock_of(self));
    if (count == 0) {
        return not_owned();
    }
    return Py_BuildValue("kk", count, (unsigned long)lt_ident());
}

static PyObject *acquire_restore(PyObject *self, PyObject *args) {
    unsigned long count, owner;
    if (!PyArg_ParseTuple(args, "(kk):_acquire_restore", &count, &owner)) {
        return NULL;
    }
    if (wait_for(self, LT_FOREVER, LT_LEAVES_HANDLERS) < 0) {
        return NULL;
    }
    lt_rlock_restored(rlock_of(self), count, owner);
    return lt_none();
}

static PyObject *at_fork_reinit(PyObject *self, PyObject *unused) {
    (void)unused;
    lt_rlock_reset(rlock_of(self));
    return lt_none();
}

/* ---- making and freeing ---- */

static PyObject *new_rlock(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    /* They are for the __init__ of derived types; 3.13 ignores them here, too. */
    (void)args;
    (void)keywords;
    /* The one that goes with its tp_free.  Zeroed, which is a free lock. */
    PyObject *self = ((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    return self == NULL || !lt_is_tracing() ? self : lt_tell_made(self, &rlock_of(self)->marks);
}

static void dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (((rlock_object *)self)->weak_references != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    /* Derived types are tracked by the garbage collector. */
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* The __name__ that a type has, whatever its metaclass makes of that attribute. */
static PyObject *name_of(PyTypeObject *type) {
    PyObject *dict = PyObject_GetAttrString((PyObject *)&PyType_Type, "__dict__");
    PyObject *attribute = dict == NULL ? NULL : PyMapping_GetItemString(dict, "__name__");
    PyObject *name = attribute == NULL
                         ? NULL
                         : PyObject_CallMethod(attribute, "__get__", "O", (PyObject *)type);
    Py_XDECREF(attribute);
    Py_XDECREF(dict);
    return name;
}

static PyObject *repr(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    lt_rlock *r = rlock_of(self);
    /* The name of a type in C includes its module, that of a derived one does not.  Those
     * have a dealloc of their own. */
    PyObject *name = PyType_GetSlot(type, Py_tp_dealloc) == (void *)dealloc
                         ? PyUnicode_FromString("lowthread.RLock")
                         : name_of(type);
    if (name == NULL) {
        return NULL;
    }
    unsigned long count = lt_rlock_count(r);
    PyObject *result = PyUnicode_FromFormat("<%s %U object owner=%zu count=%lu at %p>",
                                            count != 0 ? "locked" : "unlocked", name,
                                            (size_t)lt_rlock_owner(r), count, (void *)self);
    Py_DECREF(name);
    return result;
}

/* ---- the type ---- */

PyDoc_STRVAR(rlock_doc,
"RLock()\n--\n\n"
"A re-entrant lock: the thread that has it may lock it again.\n\n"
"It is owned by the thread that locked it, which alone can unlock it, and has to do so as\n"
"often as it locked it. Arguments are ignored, so that derived types may have some.");

PyDoc_STRVAR(acquire_doc,
"acquire($self, /, blocking=True, timeout=-1)\n--\n\n"
"Lock the lock; return whether that succeeded.\n\n"
"At once if the calling thread has it already, or nobody has it.\n\n"
"blocking: if true, wait while another thread has it; if false, only try.\n"
"timeout: seconds to wait at most, an int or a float, up to `TIMEOUT_MAX`; -1, the\n"
"default, is no limit, and all that is allowed for a call that does not block.\n\n"
"The wait is on the monotonic clock and is never shorter than asked. A signal handler\n"
"that raises ends it without the lock.\n\n"
"Raises ValueError for any other negative timeout, for NaN, or for one with\n"
"`blocking=False`; OverflowError for one that is too long, or if the lock cannot be\n"
"locked any more often; TypeError for anything that is neither a float nor has\n"
"`__index__`; PythonFinalizationError or AbandonedLockError where no thread is left that\n"
"could end a wait without a timeout.");

PyDoc_STRVAR(release_doc,
"release($self, /)\n--\n\n"
"Unlock the lock once; others can have it when that was done as often as it was locked.\n\n"
"Raises RuntimeError if the calling thread does not have it.");

PyDoc_STRVAR(locked_doc,
"locked($self, /)\n--\n\n"
"Return whether the lock is locked, by whichever thread. As in Python 3.14.");
PyDoc_STRVAR(enter_doc, "__enter__($self, /)\n--\n\nLock the lock.");
PyDoc_STRVAR(exit_doc, "__exit__($self, /, *exc_info)\n--\n\nRelease the lock.");
PyDoc_STRVAR(is_owned_doc,
"_is_owned($self, /)\n--\n\n"
"Return whether the calling thread has it. For `threading.Condition`.");
PyDoc_STRVAR(recursion_count_doc,
"_recursion_count($self, /)\n--\n\n"
"Return how often the calling thread has it; 0 if it does not.");
PyDoc_STRVAR(release_save_doc,
"_release_save($self, /)\n--\n\n"
"Unlock it entirely; return what `_acquire_restore` needs. For `threading.Condition`.\n\n"
"Raises RuntimeError if the calling thread does not have it.");
PyDoc_STRVAR(acquire_restore_doc,
"_acquire_restore($self, state, /)\n--\n\n"
"Have it again as before `_release_save` returned `state`. For `threading.Condition`.\n\n"
"No signal handler ends this wait. Raises TypeError for anything but two ints.");
PyDoc_STRVAR(reinit_doc,
"_at_fork_reinit($self, /)\n--\n\n"
"Make the lock free, whoever has it: for a child process after fork.");

static PyMethodDef methods[] = {
    {"acquire", LT_FAST(acquire), METH_FASTCALL | METH_KEYWORDS, acquire_doc},
    {"release", LT_FAST(release), METH_FASTCALL, release_doc},
    {"locked", locked, METH_NOARGS, locked_doc},
    {"__enter__", LT_FAST(acquire), METH_FASTCALL | METH_KEYWORDS, enter_doc},
    {"__exit__", LT_FAST(leave), METH_FASTCALL | METH_KEYWORDS, exit_doc},
    {"_is_owned", is_owned, METH_NOARGS, is_owned_doc},
    {"_recursion_count", recursion_count, METH_NOARGS, recursion_count_doc},
    {"_release_save", release_save, METH_NOARGS, release_save_doc},
    {"_acquire_restore", acquire_restore, METH_VARARGS, acquire_restore_doc},
    {"_at_fork_reinit", at_fork_reinit, METH_NOARGS, reinit_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(rlock_object, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, new_rlock},
    {Py_tp_dealloc, dealloc},
    {Py_tp_repr, repr},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_doc, (void *)rlock_doc},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "lowthread.RLock",
    .basicsize = sizeof(rlock_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | LT_IMMUTABLE,
    .slots = slots,
};

PyObject *lt_rlock_type(PyObject *module) { return PyType_FromModuleAndSpec(module, &spec, NULL); }
