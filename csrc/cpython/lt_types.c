/* What the types `lock` and `RLock` have in common: arguments, and waiting. */
#include "lt_types.h"

int64_t lt_parse_acquire(PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
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
