/* Those functions of `_thread` that need nothing but C. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "lt_cpython.h"

#include "../lt_thread.h"

static PyObject *allocate_lock(PyObject *module, PyObject *unused) {
    (void)unused;
    lt_state *state = PyModule_GetState(module);
    return lt_make_lock((PyTypeObject *)state->lock_type);
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

PyDoc_STRVAR(allocate_lock_doc,
"allocate_lock($module, /)\n--\n\n"
"Create a new lock object, which is unlocked.\n\n"
"Returns an instance of `LockType`; see there.");

PyDoc_STRVAR(allocate_doc,
"allocate($module, /)\n--\n\n"
"An obsolete synonym of allocate_lock().");

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

static PyMethodDef functions[] = {
    {"allocate_lock", allocate_lock, METH_NOARGS, allocate_lock_doc},
    {"allocate", allocate_lock, METH_NOARGS, allocate_doc},
    {"get_ident", get_ident, METH_NOARGS, get_ident_doc},
    {"get_native_id", get_native_id, METH_NOARGS, get_native_id_doc},
    {"_count", count, METH_NOARGS, count_doc},
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
