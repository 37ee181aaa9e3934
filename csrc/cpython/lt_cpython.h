/* The core on CPython: the GIL around a sleep, and the life of a thread. */
#ifndef LT_CPYTHON_H
#define LT_CPYTHON_H

#include "../lt_lock.h"

#include <Python.h>

/* Gives up the GIL before a sleep and takes it again afterwards; a thread that
 * comes back when the interpreter is gone stays out. */
extern const lt_hooks lt_gil_hooks;

/* Adds the type `lock` to a module: 0, or -1 with an exception. */
int lt_add_lock_type(PyObject *module);

#endif
