/* What the types `lock` and `RLock` have in common: arguments, and waiting. */
#include "lt_types.h"

/* What is neither short nor plain: lowthread/_arguments.py has the rules, for every
 * backend. */
static int64_t ask_python(PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
    Py_ssize_t nnames = names == NULL ? 0 : PyTuple_Size(names);
    PyObject *positional = PyTuple_New(nargs), *keywords = PyDict_New();
    PyObject *module = PyImport_ImportModule("lowthread._arguments");
    PyObject *function = NULL, *ns = NULL;
    int64_t result = -1;
    if (positional == NULL || keywords == NULL || module == NULL) {
        goto done;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        Py_INCREF(args[i]);
        PyTuple_SetItem(positional, i, args[i]); /* steals the reference */
    }
    for (Py_ssize_t i = 0; i < nnames; i++) {
        if (PyDict_SetItem(keywords, PyTuple_GetItem(names, i), args[nargs + i]) < 0) {
            goto done;
        }
    }
    function = PyObject_GetAttrString(module, "acquire_arguments");
    if (function != NULL) {
        ns = PyObject_Call(function, positional, keywords);
    }
    if (ns != NULL) {
        result = PyLong_AsLongLong(ns);
    }
done:
    Py_XDECREF(ns);
    Py_XDECREF(function);
    Py_XDECREF(module);
    Py_XDECREF(keywords);
    Py_XDECREF(positional);
    return result;
}

/* Those rules for true and false, which may be numbers: 1, 0, or -1 for anything else. */
static int plain_blocking(PyObject *blocking) {
    if (blocking == Py_True || blocking == Py_False) {
        return blocking == Py_True;
    }
    return PyLong_CheckExact(blocking) ? PyObject_IsTrue(blocking) : -1;
}

/* Those rules for numbers from 0 to 10**9, in ns; -1 for anything else, also -1. */
static int64_t plain_timeout(PyObject *timeout) {
    static const int64_t most = 1000 * 1000 * 1000;
    if (PyFloat_CheckExact(timeout)) {
        double seconds = PyFloat_AsDouble(timeout);
        if (!(seconds >= 0 && seconds <= (double)most)) {
            return -1;
        }
        double exact = seconds * 1e9;
        int64_t ns = (int64_t)exact;
        return (double)ns < exact ? ns + 1 : ns; /* never shorter than asked */
    }
    if (PyLong_CheckExact(timeout)) {
        int overflow;
        long long seconds = PyLong_AsLongLongAndOverflow(timeout, &overflow);
        return overflow == 0 && seconds >= 0 && seconds <= most ? seconds * LT_NS_PER_S : -1;
    }
    return -1;
}

int64_t lt_parse_acquire(PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
    PyObject *blocking = nargs > 0 ? args[0] : NULL, *timeout = nargs > 1 ? args[1] : NULL;
    Py_ssize_t nnames = names == NULL ? 0 : PyTuple_Size(names);
    bool is_plain = nargs <= 2;
    for (Py_ssize_t i = 0; i < nnames && is_plain; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        PyObject **value = PyUnicode_CompareWithASCIIString(name, "timeout") == 0 ? &timeout
                           : PyUnicode_CompareWithASCIIString(name, "blocking") == 0
                               ? &blocking
                               : NULL;
        is_plain = value != NULL && *value == NULL;
        if (is_plain) {
            *value = args[nargs + i];
        }
    }
    int blocks = !is_plain ? -1 : blocking == NULL ? 1 : plain_blocking(blocking);
    if (blocks == 0 && timeout == NULL) {
        return 0;
    }
    if (blocks == 1) {
        int64_t ns = timeout == NULL ? LT_FOREVER : plain_timeout(timeout);
        if (ns >= 0) {
            return ns;
        }
    }
    return ask_python(args, nargs, names);
}

int lt_wait_for(lt_lock *lock, int64_t ns) {
    int64_t since = lt_now();
    int64_t deadline = ns > LT_FOREVER - since ? LT_FOREVER : since + ns;
    for (;;) {
        int verdict = lt_lock_acquire(lock, since, deadline, &lt_gil_hooks);
        if (verdict != LT_INTERRUPTED) {
            return verdict == LT_ACQUIRED;
        }
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
    }
}
