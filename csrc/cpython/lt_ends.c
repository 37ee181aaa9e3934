/* Notes of waits that are over, with the calls that waited: while the caller has the lock.
 *
 * In C, because there no Python code is to run: a signal handler could raise, and a finalizer take
 * the same lock. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "../lt_record.h"
#include "lt_cpython.h"

enum {
    MOST_CALLS = 64,   /* of a stack */
    MANY_ENDS = 256,   /* for Python to take in */
    WORDS_PER_CALL = 2 /* after three of the wait */
};

const char lt_note_ends_doc[] =
    "note_ends(into, /)\n--\n\n"
    "Has waits for this interpreter's locks that are recorded, not short, and over before they\n"
    "could be told of, noted in `into`; or not any more, if that is None. It is a tuple of\n"
    "names: a dict, by ident, of what `threading` calls those that waited\n"
    "codes: a dict, by address, of the code of their calls\n"
    "ends: a list of bytes, which are int64: ident, since, lock; and of each call, the innermost\n"
    "first, the code's address and f_lasti\n"
    "take: a function that is called, before a wait, when these are many.";

PyObject *lt_note_ends(PyObject *module, PyObject *into) {
    lt_state *state = PyModule_GetState(module);
    if (into != Py_None && !(PyTuple_Check(into) && PyTuple_Size(into) == 4)) {
        PyErr_SetString(PyExc_TypeError, "note_ends() argument must be a tuple of four, or None");
        return NULL;
    }
    PyObject *old = state->ends;
    Py_INCREF(into);
    state->ends = into;
    Py_XDECREF(old);
    return lt_none();
}

/* A new reference to that tuple, or NULL. */
static PyObject *wanted(lt_state *state) {
    PyObject *into = state == NULL || state->ends == Py_None ? NULL : state->ends;
    Py_XINCREF(into);
    return into;
}

PyObject *lt_who_takes_ends(lt_state *state) {
    PyObject *into = wanted(state), *take = NULL;
    if (into != NULL && PyList_Size(PyTuple_GetItem(into, 2)) >= MANY_ENDS) {
        take = PyTuple_GetItem(into, 3);
        Py_XINCREF(take);
    }
    Py_XDECREF(into);
    return take;
}

/* What `threading` calls the caller: borrowed, or NULL.  Without what a class derived from its
 * Thread may do when it is asked. */
static PyObject *name_of_caller(PyObject *ident) {
    PyObject *modules = PySys_GetObject("modules"); /* borrowed, as all but `active` and `own` */
    PyObject *threading = modules == NULL ? NULL : PyDict_GetItemString(modules, "threading");
    PyObject *active = threading == NULL || !PyModule_CheckExact(threading)
                           ? NULL
                           : PyDict_GetItemString(PyModule_GetDict(threading), "_active");
    PyObject *thread =
        active == NULL || !PyDict_CheckExact(active) ? NULL : PyDict_GetItem(active, ident);
    PyObject *own = thread == NULL ? NULL : PyObject_GenericGetDict(thread, NULL);
    PyObject *name = own == NULL ? NULL : PyDict_GetItemString(own, "_name");
    Py_XDECREF(own); /* the thread has it */
    return name != NULL && PyUnicode_CheckExact(name) ? name : NULL;
}

/* False with an exception.  Takes the reference to `frame`. */
static bool add_calls(PyObject *codes, PyObject *frame, int64_t *words, int *count) {
    bool is_added = true;
    for (int i = 0; is_added && frame != NULL && frame != Py_None && i < MOST_CALLS; i++) {
        PyObject *code = (PyObject *)PyFrame_GetCode((PyFrameObject *)frame);
        PyObject *number = PyLong_FromVoidPtr(code);
        PyObject *at = PyObject_GetAttrString(frame, "f_lasti");
        PyObject *back = PyObject_GetAttrString(frame, "f_back");
        is_added = number != NULL && at != NULL && back != NULL &&
                   PyDict_SetItem(codes, number, code) == 0;
        if (is_added) {
            words[(*count)++] = (int64_t)(intptr_t)code;
            words[(*count)++] = PyLong_AsLong(at);
        }
        Py_DECREF(code);
        Py_XDECREF(number);
        Py_XDECREF(at);
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    return is_added;
}

/* Without memory, nothing is noted. */
void lt_note_end(lt_state *state, lt_lock *lock, int64_t since) {
    PyObject *into = wanted(state);
    if (into == NULL) {
        return;
    }
#if PY_VERSION_HEX >= 0x030A0000 /* before, nothing of what is made here has it collected */
    int collects = PyGC_Disable();
#endif
    int64_t words[3 + WORDS_PER_CALL * MOST_CALLS] = {(int64_t)lt_ident(), since,
                                                      (int64_t)(intptr_t)lock};
    int count = 3;
    PyObject *frame = (PyObject *)PyEval_GetFrame(), *end = NULL;
    PyObject *ident = PyLong_FromSize_t(lt_ident());
    Py_XINCREF(frame);
    if (add_calls(PyTuple_GetItem(into, 1), frame, words, &count)) {
        end = PyBytes_FromStringAndSize((char *)words, count * (Py_ssize_t)sizeof(*words));
    }
    if (end != NULL && ident != NULL) {
        PyObject *name = name_of_caller(ident);
        if (name != NULL) {
            (void)PyDict_SetItem(PyTuple_GetItem(into, 0), ident, name);
        }
        (void)PyList_Append(PyTuple_GetItem(into, 2), end);
    }
    Py_XDECREF(ident);
    Py_XDECREF(end);
    PyErr_Clear();
#if PY_VERSION_HEX >= 0x030A0000
    if (collects) {
        (void)PyGC_Enable();
    }
#endif
    Py_DECREF(into);
}
