/* The core on CPython: the GIL around a sleep, and the life of a thread. */
#ifndef LT_CPYTHON_H
#define LT_CPYTHON_H

#include "../lt_lock.h"

#include <Python.h>

/* Gives up the GIL before a sleep and takes it again afterwards; a thread that
 * comes back when the interpreter is gone stays out. */
extern const lt_hooks lt_gil_hooks;

/* The types: a new reference, or NULL with an exception. */
PyObject *lt_lock_type(PyObject *module);
PyObject *lt_rlock_type(PyObject *module);

/* A new instance of lt_lock_type(). */
PyObject *lt_make_lock(PyTypeObject *type);

/* lowthread._native's state.  Its members are strong references. */
typedef struct {
    PyObject *lock_type;
} lt_state;

/* Gives `object`, which may be NULL with an exception, to a module: 0, or -1 with an
 * exception. */
int lt_add(PyObject *module, const char *name, PyObject *object);

/* Adds the functions of `_thread` that need nothing but C: 0, or -1 with an exception. */
int lt_add_functions(PyObject *module);

#endif
