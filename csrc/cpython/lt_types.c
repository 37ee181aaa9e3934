/* What the types `lock` and `RLock` have in common: arguments, and waiting. */
#include "lt_types.h"

#include <math.h>

/* ---- arguments ----
 *
 * The rules of 3.13, to the message, as in lowthread/_arguments.py.  Not by asking that:
 * when the interpreter ends, or under an import hook, locks are used, but nothing can be
 * imported. */

static const int64_t ns_if_unset = -LT_NS_PER_S; /* what -1 s are */

/* Seconds to ns, rounded away from zero; 0, or -1 with an exception. */
static int convert_timeout(PyObject *timeout, int64_t *ns) {
    if (PyFloat_Check(timeout)) {
        double seconds = PyFloat_AsDouble(timeout), exact = seconds * 1e9;
        if (isnan(seconds)) {
            PyErr_SetString(PyExc_ValueError, "Invalid value NaN (not a number)");
            return -1;
        }
        if (!(exact >= -0x1p63 && exact < 0x1p63)) {
            PyErr_SetString(PyExc_OverflowError,
                            "timestamp out of range for platform time_t");
            return -1;
        }
        *ns = (int64_t)exact;
        *ns += ((double)*ns < exact) - ((double)*ns > exact);
        return 0;
    }
    PyObject *number = PyNumber_Index(timeout);
    if (number == NULL) {
        return -1;
    }
    int overflow;
    long long seconds = PyLong_AsLongLongAndOverflow(number, &overflow);
    Py_DECREF(number);
    if (seconds == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (overflow != 0 || __builtin_mul_overflow(seconds, LT_NS_PER_S, ns)) {
        PyErr_SetString(PyExc_OverflowError,
                        "timestamp too large to convert to C PyTime_t");
        return -1;
    }
    return 0;
}

/* Puts the arguments of a call in their places, which hold NULL; 0, or -1 with an
 * exception. */
static int place_arguments(PyObject *const *args, Py_ssize_t nargs, PyObject *keywords,
                           PyObject *placed[2]) {
    static const char *const names[2] = {"blocking", "timeout"};
    Py_ssize_t nkeywords = keywords == NULL ? 0 : PyTuple_Size(keywords);
    if (nargs + nkeywords > 2) {
        PyErr_Format(PyExc_TypeError, "acquire() takes at most 2 %sarguments (%zd given)",
                     nargs == 0 ? "keyword " : "", nargs + nkeywords);
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        placed[i] = args[i];
    }
    for (Py_ssize_t i = 0; i < nkeywords; i++) {
        PyObject *keyword = PyTuple_GetItem(keywords, i);
        int place = 0;
        while (place < 2 && PyUnicode_CompareWithASCIIString(keyword, names[place]) != 0) {
            place++;
        }
        if (place == 2) {
            PyErr_Format(PyExc_TypeError,
                         "acquire() got an unexpected keyword argument '%U'", keyword);
            return -1;
        }
        if (place < nargs) {
            PyErr_Format(PyExc_TypeError,
                         "argument for acquire() given by name ('%s') and position (%d)",
                         names[place], place + 1);
            return -1;
        }
        placed[place] = args[nargs + i];
    }
    return 0;
}

int64_t lt_parse_acquire(PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
    PyObject *placed[2] = {NULL, NULL};
    if (place_arguments(args, nargs, names, placed) < 0) {
        return -1;
    }
    int blocking = placed[0] == NULL ? 1 : PyObject_IsTrue(placed[0]);
    int64_t ns = ns_if_unset;
    if (blocking < 0 || (placed[1] != NULL && convert_timeout(placed[1], &ns) < 0)) {
        return -1;
    }
    if (!blocking) {
        if (ns == ns_if_unset) {
            return 0;
        }
        PyErr_SetString(PyExc_ValueError,
                        "can't specify a timeout for a non-blocking call");
        return -1;
    }
    if (ns == ns_if_unset) {
        return LT_FOREVER;
    }
    if (ns < 0) {
        PyErr_SetString(PyExc_ValueError, "timeout value must be a non-negative number");
        return -1;
    }
    return ns;
}

/* ---- waiting ---- */

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
