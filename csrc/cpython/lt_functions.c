/* Those functions of `_thread` that are called often, and their old names. */
#include "lt_types.h"

#include "../lt_thread.h"

static PyObject *allocate_lock(PyObject *module, PyObject *unused) {
    (void)unused;
    lt_state *state = PyModule_GetState(module);
    return lt_make_lock((PyTypeObject *)state->lock_type);
}

static PyObject *set_sentinel(PyObject *module, PyObject *unused) {
    (void)unused;
    lt_state *state = PyModule_GetState(module);
    return lt_make_sentinel((PyTypeObject *)state->lock_type);
}

static PyObject *get_ident(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyLong_FromSize_t(lt_ident());
}

static PyObject *get_native_id(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyLong_FromLongLong(lt_native_id());
}

static PyObject *count(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyLong_FromLong(lt_count());
}

static PyObject *addressof(PyObject *module, PyObject *lock) {
    lt_state *state = PyModule_GetState(module);
    if (PyObject_TypeCheck(lock, (PyTypeObject *)state->lock_type)) {
        return PyLong_FromVoidPtr(lt_share_lock(lock));
    }
    if (PyObject_TypeCheck(lock, (PyTypeObject *)state->rlock_type)) {
        return PyLong_FromVoidPtr(lt_share_rlock(lock));
    }
    PyObject *name = PyObject_GetAttrString((PyObject *)Py_TYPE(lock), "__name__");
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError,
                     "addressof() argument must be a lowthread.lock or lowthread.RLock, not %U",
                     name);
        Py_DECREF(name);
    }
    return NULL;
}

/* ---- starting a thread ---- */

const char lt_set_callbacks_doc[] =
    "set_callbacks(audit, is_too_late, report, refuse, is_finalizing, finalization_error,\n"
    "              abandoned, check, note, made, taking, /)\n--\n\n"
    "Tells start_new_thread() what to call: sys.audit, is_too_late(), whether it is for threads,\n"
    "report(function, exception) for what a thread raises, and refuse(errno), which raises the\n"
    "exception for a thread that could not be started; errno is 0 when the interpreter shuts\n"
    "down.  And locks: sys.is_finalizing, what a wait raises then that would not end, and\n"
    "abandoned(lock, address), which returns what one for an abandoned lock raises; and\n"
    "check(address, kind, since), which raises if one that has lasted is to be ended; and, while\n"
    "waits are recorded, note(address, kind, since) in each that goes on and is not short, which\n"
    "may raise too; and what trace_locks() tells of.";

PyObject *lt_set_callbacks(PyObject *module, PyObject *args) {
    lt_state *state = PyModule_GetState(module);
    enum { COUNT = 11 };
    PyObject *given[COUNT];
    PyObject **places[COUNT] = {
        &state->audit,     &state->is_too_late,   &state->report,
        &state->refuse,    &state->is_finalizing, &state->finalization_error,
        &state->abandoned, &state->check,         &state->note,
        &state->made,      &state->taking};
    if (!PyArg_ParseTuple(args, "OOOOOOOOOOO:set_callbacks", &given[0], &given[1], &given[2],
                          &given[3], &given[4], &given[5], &given[6], &given[7], &given[8],
                          &given[9], &given[10])) {
        return NULL;
    }
    if (state->start_event == NULL) { /* once for good */
        state->start_event = PyUnicode_FromString("_thread.start_new_thread");
        if (state->start_event == NULL) {
            return NULL;
        }
        for (int i = 0; i < COUNT; i++) {
            Py_INCREF(given[i]);
            *places[i] = given[i];
        }
    }
    return lt_none();
}

static PyObject *refuse(lt_state *state, long error) {
    PyObject *number = PyLong_FromLong(error);
    if (number != NULL) {
        Py_XDECREF(PyObject_CallFunctionObjArgs(state->refuse, number, NULL));
        Py_DECREF(number);
    }
    return NULL; /* it raises */
}

/* The event of 3.13, and whether it is too late for threads: 1, 0, or -1 with an exception. */
static int announce(lt_state *state, PyObject *function, PyObject *args, PyObject *kwargs) {
    PyObject *done = PyObject_CallFunctionObjArgs(state->audit, state->start_event, function, args,
                                                  kwargs == NULL ? Py_None : kwargs, NULL);
    if (done == NULL) {
        return -1;
    }
    Py_DECREF(done);
    PyObject *late = PyObject_CallFunctionObjArgs(state->is_too_late, NULL);
    if (late == NULL) {
        return -1;
    }
    int is_late = late == Py_True;
    Py_DECREF(late);
    return is_late;
}

/* A new dictionary with what is in this one.  PyDict_Copy() would ask one of a derived type
 * for its keys, which the interpreter's own start_new_thread() does not do. */
static PyObject *copy_of(PyObject *dict) {
    if (PyDict_CheckExact(dict)) {
        return PyDict_Copy(dict);
    }
    PyObject *copy = PyDict_New(), *items = PyDict_Items(dict);
    if (copy == NULL || items == NULL || PyDict_MergeFromSeq2(copy, items, 1) < 0) {
        Py_CLEAR(copy);
    }
    Py_XDECREF(items);
    return copy;
}

/* The same rules as in lowthread/_start.py. */
static PyObject *start_new_thread(PyObject *module, PyObject *arguments) {
    lt_state *state = PyModule_GetState(module);
    PyObject *function, *args, *kwargs = NULL;
    if (!PyArg_UnpackTuple(arguments, "start_new_thread", 2, 3, &function, &args, &kwargs)) {
        return NULL;
    }
    const char *wrong = !PyCallable_Check(function) ? "first arg must be callable"
                        : !PyTuple_Check(args)      ? "2nd arg must be a tuple"
                        : kwargs != NULL && !PyDict_Check(kwargs)
                            ? "optional 3rd arg must be a dictionary"
                            : NULL;
    if (wrong != NULL) {
        PyErr_SetString(PyExc_TypeError, wrong);
        return NULL;
    }
    int is_late = announce(state, function, args, kwargs);
    if (is_late != 0) {
        return is_late < 0 ? NULL : refuse(state, 0);
    }
    if (!lt_have_ends_taken(state)) {
        return NULL;
    }
    PyObject *copy = NULL; /* the caller may change its own meanwhile */
    if (kwargs != NULL && (copy = copy_of(kwargs)) == NULL) {
        return NULL;
    }
    uintptr_t ident = 0;
    int error =
        lt_start_python(function, args, copy, state->report, &(lt_how){.handle = NULL}, &ident);
    Py_XDECREF(copy);
    return error != 0 ? refuse(state, error) : PyLong_FromSize_t(ident);
}

/* ---- the list ---- */

PyDoc_STRVAR(start_new_thread_doc,
"start_new_thread($module, function, args, kwargs={}, /)\n--\n\n"
"Start a new thread and return its identifier, an int (see `get_ident`).\n\n"
"The thread calls `function(*args, **kwargs)`, with a copy of kwargs. It ends silently when\n"
"the function returns, whatever that is, or raises SystemExit. Any other exception goes to\n"
"`sys.unraisablehook`, with `object` the function.\n\n"
"function: a callable.\n"
"args: a tuple.\n"
"kwargs: optional, a dictionary.\n\n"
"Raises an auditing event `_thread.start_new_thread` with arguments function, args, kwargs\n"
"(None if not given); a hook that raises stops the start.\n\n"
"Raises TypeError for arguments of other types, and RuntimeError(\"can't start new thread\")\n"
"when the system refuses, with an OSError that says why as its cause. When the interpreter\n"
"is shutting down: PythonFinalizationError, a RuntimeError.");

PyDoc_STRVAR(start_new_doc,
"start_new($module, function, args, kwargs={}, /)\n--\n\n"
"An obsolete synonym of start_new_thread().");

PyDoc_STRVAR(allocate_lock_doc,
"allocate_lock($module, /)\n--\n\n"
"Create a new lock object, which is unlocked.\n\n"
"Returns an instance of `LockType`; see there.");

PyDoc_STRVAR(allocate_doc,
"allocate($module, /)\n--\n\n"
"An obsolete synonym of allocate_lock().");

PyDoc_STRVAR(set_sentinel_doc,
"_set_sentinel($module, /)\n--\n\n"
"Return a new lock, unlocked, that the end of the calling thread releases.\n\n"
"That is after the thread's Python state is gone. A second call replaces the lock of the\n"
"first. For `threading`, up to Python 3.12.");

PyDoc_STRVAR(get_ident_doc,
"get_ident($module, /)\n--\n\n"
"Return the identifier of the current thread, a nonzero int.\n\n"
"It tells apart the threads that exist at a time, has no meaning beyond that, and may be\n"
"used again for another thread after this one has ended.");

PyDoc_STRVAR(get_native_id_doc,
"get_native_id($module, /)\n--\n\n"
"Return the system's own number for the current thread, a nonnegative int.\n\n"
"No other thread of the whole system has it, until this one ends. Linux: gettid; macOS:\n"
"pthread_threadid_np; FreeBSD: pthread_getthreadid_np; OpenBSD: getthrid; NetBSD: _lwp_self;\n"
"DragonFly BSD: lwp_gettid; AIX: thread_self. Only Linux has been run.");

PyDoc_STRVAR(count_doc,
"_count($module, /)\n--\n\n"
"Return how many threads started by `start_new_thread` have not ended yet.\n\n"
"A thread counts from when it begins to run.");

PyDoc_STRVAR(addressof_doc,
"addressof($module, lock, /)\n--\n\n"
"Return the address of what native code knows a lock by, an int.\n\n"
"lock: a `lock`, which has an `lt_lock`, or an `RLock`, which has an `lt_rlock`; `lowthread.h`\n"
"(see `get_include`) tells what can be done with these. The address is good for as long as\n"
"the lock object lives.\n\n"
"A lock of the backend `native` is somewhat slower once its address was asked for: the GIL\n"
"does not keep native code away from it.\n\n"
"Raises TypeError for anything else.");

static PyMethodDef functions[] = {
    {"addressof", addressof, METH_O, addressof_doc},
    {"start_new_thread", start_new_thread, METH_VARARGS, start_new_thread_doc},
    {"start_new", start_new_thread, METH_VARARGS, start_new_doc},
    {"allocate_lock", allocate_lock, METH_NOARGS, allocate_lock_doc},
    {"allocate", allocate_lock, METH_NOARGS, allocate_doc},
    {"get_ident", get_ident, METH_NOARGS, get_ident_doc},
    {"get_native_id", get_native_id, METH_NOARGS, get_native_id_doc},
    {"_count", count, METH_NOARGS, count_doc},
    {"_set_sentinel", set_sentinel, METH_NOARGS, set_sentinel_doc},
    {NULL, NULL, 0, NULL},
};

/* Not as the module's own methods, which would call themselves lowthread._native's, in
 * tracebacks and in pickles. */
int lt_add_functions(PyObject *module) {
    PyObject *name = PyUnicode_FromString("lowthread");
    if (name == NULL) {
        return -1;
    }
    for (PyMethodDef *f = functions; f->ml_name != NULL; f++) {
        PyObject *function = PyCFunction_NewEx(f, module, name);
        if (lt_add(module, f->ml_name, function) < 0) {
            Py_DECREF(name);
            return -1;
        }
    }
    Py_DECREF(name);
    return 0;
}
