/* Notes of waits that are over, or that a signal handler may end, with the calls that waited: while
 * the caller may have the lock.  And of threads that are started, with their names: who asks for one
 * later may be told another thread's, or none.
 *
 * In C, because there no Python code is to run: a signal handler could raise, and a finalizer take
 * the same lock.  With the GIL, which all interpreters share that cffi can be loaded in. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "lt_cpython.h"

enum {
    MOST_CALLS = 64, /* of a stack */
    MANY = 256, /* for Python to take in; as MOST_NOTES in lowthread/_profile.py */
    WORDS_OF_WAIT = 2,
    WORDS_PER_CALL = 2
};

const char lt_note_ends_doc[] =
    "note_ends(into, /)\n--\n\n"
    "Has waits of this interpreter for locks that are recorded and not short noted in `into` when\n"
    "they are over, and all those of the main thread when they are interrupted; or not any more, if\n"
    "that is None. It is a tuple of\n"
    "codes: a dict, by address, of the code of their calls\n"
    "ends: a dict, by bytes, of the names of the lock, of who waited and of who has the lock, as far\n"
    "as `threading` has one: a str of 1 if it is over, else 0, of when it is, of who has the lock, and\n"
    "of their lengths, each -1 if there is none, with a space behind each number, and then these. The\n"
    "bytes are int64: ident and since; and of each call, the innermost first, the code's address and\n"
    "f_lasti\n"
    "take: a function that is called, before a wait or a start, when ends or starts are many\n"
    "modules: sys.modules, to find `threading` in\n"
    "locks: a dict, by address, of tuples with a lock's name as their second item\n"
    "starts: a list, of str: ident of a thread that this interpreter has started, when that was,\n"
    "before it did anything, and what `threading` calls it, if it does; with spaces between\n"
    "method, function: these types.";

enum { CODES, ENDS, TAKE, MODULES, LOCKS, STARTS, METHOD, FUNCTION, COUNT };

/* Of the interpreter that has asked for notes last, or NULL. */
static lt_state *noting;
static PyInterpreterState *noting_in;

void lt_note_no_ends(lt_state *state) {
    if (noting == state) {
        noting = NULL;
    }
}

PyObject *lt_note_ends(PyObject *module, PyObject *into) {
    lt_state *state = PyModule_GetState(module);
    if (into != Py_None && !(PyTuple_Check(into) && PyTuple_Size(into) == COUNT)) {
        PyErr_SetString(PyExc_TypeError, "note_ends() argument must be a tuple of eight, or None");
        return NULL;
    }
    PyObject *old = state->ends;
    Py_INCREF(into);
    state->ends = into;
    noting = into == Py_None ? NULL : state;
    noting_in = PyInterpreterState_Get();
    Py_XDECREF(old);
    return lt_none();
}

/* A new reference to that tuple, or NULL. */
static PyObject *wanted(void) {
    if (noting == NULL || noting_in != PyInterpreterState_Get()) {
        return NULL;
    }
    Py_INCREF(noting->ends);
    return noting->ends;
}

PyObject *lt_who_takes_ends(void) {
    PyObject *into = wanted(), *take = NULL;
    if (into != NULL && (PyDict_Size(PyTuple_GetItem(into, ENDS)) >= MANY ||
                         PyList_Size(PyTuple_GetItem(into, STARTS)) >= MANY)) {
        take = PyTuple_GetItem(into, TAKE);
        Py_XINCREF(take);
    }
    Py_XDECREF(into);
    return take;
}

/* Borrowed, or NULL; an exception is cleared by lt_note_end().  Not PyDict_GetItemString(), which
 * calls sys.unraisablehook() for want of memory. */
static PyObject *item(PyObject *dict, const char *name) {
    PyObject *key = dict == NULL ? NULL : PyUnicode_FromString(name);
    PyObject *found =
        key != NULL && PyDict_CheckExact(dict) ? PyDict_GetItemWithError(dict, key) : NULL;
    Py_XDECREF(key);
    return found;
}

/* In the same way. */
static PyObject *of_threading(PyObject *modules, const char *name) {
    PyObject *threading = item(modules, "threading");
    return threading == NULL || !PyModule_CheckExact(threading)
               ? NULL
               : item(PyModule_GetDict(threading), name);
}

/* A new reference, or NULL.  Without what a class derived from `threading`'s Thread may do when it
 * is asked. */
static PyObject *name_of(PyObject *thread) {
    PyObject *own = thread == NULL ? NULL : PyObject_GenericGetDict(thread, NULL);
    PyObject *name = item(own, "_name");
    if (name != NULL && !PyUnicode_CheckExact(name)) {
        name = NULL;
    }
    Py_XINCREF(name);
    PyErr_Clear();
    Py_XDECREF(own);
    return name;
}

/* What `threading` calls a thread now, as another one may have its ident when the note is read; a
 * new reference, or NULL if there is no name.  0 is nobody. */
static PyObject *name_of_thread(PyObject *modules, uint64_t thread) {
    PyObject *ident = PyLong_FromUnsignedLongLong(thread);
    PyObject *active = of_threading(modules, "_active");
    PyObject *known = active == NULL || ident == NULL || !PyDict_CheckExact(active)
                          ? NULL
                          : PyDict_GetItemWithError(active, ident);
    PyObject *name = name_of(known);
    Py_XDECREF(ident);
    return name;
}

/* What `threading` calls the thread that it starts to call `function`; a new reference, or NULL if it
 * does not. */
static PyObject *name_of_started(PyObject *into, PyObject *function) {
    PyObject *thread = NULL, *name = NULL;
    if ((PyObject *)Py_TYPE(function) == PyTuple_GetItem(into, METHOD)) {
        PyObject *called = PyObject_GetAttrString(function, "__func__");
        if (called != NULL && (PyObject *)Py_TYPE(called) == PyTuple_GetItem(into, FUNCTION)) {
            PyObject *its_name = PyObject_GetAttrString(called, "__name__");
            if (its_name != NULL &&
                PyUnicode_CompareWithASCIIString(its_name, "_bootstrap") == 0) {
                thread = PyObject_GetAttrString(function, "__self__");
            }
            Py_XDECREF(its_name);
        }
        Py_XDECREF(called);
    }
    PyObject *class = of_threading(PyTuple_GetItem(into, MODULES), "Thread");
    if (thread != NULL && class != NULL && PyType_Check(class) &&
        PyType_IsSubtype(Py_TYPE(thread), (PyTypeObject *)class)) {
        name = name_of(thread);
    }
    Py_XDECREF(thread);
    PyErr_Clear();
    return name;
}

/* A new reference, or NULL. */
static PyObject *name_of_lock(PyObject *locks, const lt_wait_done *wait) {
    PyObject *address = PyLong_FromUnsignedLongLong(wait->lock);
    PyObject *known = address == NULL ? NULL : PyDict_GetItemWithError(locks, address);
    Py_XDECREF(address);
    PyObject *name = known != NULL && PyTuple_Check(known) ? PyTuple_GetItem(known, 1) : NULL;
    Py_XINCREF(name);
    PyErr_Clear();
    return name;
}

/* False with an exception. */
static bool add_calls(PyObject *codes, int64_t *words, int *count) {
    PyObject *frame = (PyObject *)PyEval_GetFrame();
    Py_XINCREF(frame);
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

static Py_ssize_t length(PyObject *name) { return name == NULL ? -1 : PyUnicode_GetLength(name); }

/* A str, since to make a tuple may have garbage collected. */
static void add_end(PyObject *into, PyObject *end, const lt_wait_done *wait) {
    PyObject *lock = name_of_lock(PyTuple_GetItem(into, LOCKS), wait);
    PyObject *waiter = name_of_thread(PyTuple_GetItem(into, MODULES), wait->waiter);
    PyObject *owner = name_of_thread(PyTuple_GetItem(into, MODULES), wait->owner);
    PyObject *names =
        PyUnicode_FromFormat("%d %lld %llu %zd %zd %zd %V%V%V", wait->verdict != LT_INTERRUPTED,
                             (long long)lt_now(), (unsigned long long)wait->owner, length(lock),
                             length(waiter), length(owner), lock, "", waiter, "", owner, "");
    if (names != NULL) {
        (void)PyDict_SetItem(PyTuple_GetItem(into, ENDS), end, names);
        Py_DECREF(names);
    }
    Py_XDECREF(lock);
    Py_XDECREF(waiter);
    Py_XDECREF(owner);
}

static void note(PyObject *into, const lt_wait_done *wait) {
    int64_t words[WORDS_OF_WAIT + WORDS_PER_CALL * MOST_CALLS] = {(int64_t)wait->waiter,
                                                                  wait->since};
    int count = WORDS_OF_WAIT;
    if (!add_calls(PyTuple_GetItem(into, CODES), words, &count)) {
        return;
    }
    PyObject *end = PyBytes_FromStringAndSize((char *)words, count * (Py_ssize_t)sizeof(*words));
    if (end != NULL) {
        add_end(into, end, wait);
        Py_DECREF(end);
    }
}

static void note_start(PyObject *into, uintptr_t ident, PyObject *function) {
    int64_t when = lt_now();
    PyObject *name = name_of_started(into, function);
    PyObject *said =
        PyUnicode_FromFormat("%llu %lld %V", (unsigned long long)ident, (long long)when, name, "");
    if (said != NULL) {
        (void)PyList_Append(PyTuple_GetItem(into, STARTS), said);
        Py_DECREF(said);
    }
    Py_XDECREF(name);
}

/* Nothing that is made meanwhile has garbage collected. */
static int stop_collecting(void) {
#if PY_VERSION_HEX >= 0x030A0000
    return PyGC_Disable();
#else
    return 0; /* before, nothing of what is made here has */
#endif
}

static void collect_again(int collected) {
#if PY_VERSION_HEX >= 0x030A0000
    if (collected) {
        (void)PyGC_Enable();
    }
#else
    (void)collected;
#endif
}

void lt_note_end(const lt_wait_done *wait) {
    PyObject *into = wanted();
    if (into == NULL) {
        return;
    }
    int collected = stop_collecting();
    note(into, wait);
    PyErr_Clear(); /* without memory, nothing is noted */
    collect_again(collected);
    Py_DECREF(into);
}

void lt_note_start(uintptr_t ident, PyObject *function) {
    PyObject *into = wanted();
    if (into == NULL) {
        return;
    }
    int collected = stop_collecting();
    note_start(into, ident, function);
    PyErr_Clear(); /* likewise */
    collect_again(collected);
    Py_DECREF(into);
}
