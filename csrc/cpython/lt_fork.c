/* What os.fork() calls.  In C, because of signals: whatever a hook raises is printed and forgotten,
 * and an exception of a signal handler, which runs between two instructions of Python code, would
 * be forgotten with it. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "lt_cpython.h"

const char lt_current_frames_doc[] =
    "current_frames()\n--\n\n"
    "Returns what sys._current_frames() does, and collects no garbage meanwhile: that function of\n"
    "3.11 does so with a lock that ending threads ask for, and may hang (gh-106883).";

PyObject *lt_current_frames(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
#if PY_VERSION_HEX >= 0x030A0000
    int collects = PyGC_Disable();
#endif
    PyObject *ask = PySys_GetObject("_current_frames"); /* borrowed */
    PyObject *frames = ask == NULL ? PyDict_New() : PyObject_CallFunctionObjArgs(ask, NULL);
#if PY_VERSION_HEX >= 0x030A0000
    if (collects) {
        (void)PyGC_Enable();
    }
#endif
    return frames;
}

/* A copy of what `threading` has by ident, or nothing; NULL without memory. */
static PyObject *known_to_threading(PyObject *threading) {
    PyObject *active = threading == NULL ? NULL : PyObject_GetAttrString(threading, "_active");
    PyObject *copy = active != NULL && PyDict_CheckExact(active) ? PyDict_Copy(active) : NULL;
    Py_XDECREF(active);
    PyErr_Clear();
    return copy != NULL ? copy : PyDict_New();
}

/* self: (forks, prepare); see lt_fork_hooks_doc. */
static PyObject *before_fork(PyObject *self, PyObject *unused) {
    (void)unused;
    PyObject *forks = PyTuple_GetItem(self, 0), *prepare = PyTuple_GetItem(self, 1); /* borrowed */
    PyObject *modules = PySys_GetObject("modules"); /* borrowed */
    PyObject *threading =
        modules == NULL ? NULL : PyDict_GetItemString(modules, "threading"); /* borrowed */
    Py_XINCREF(threading);
    PyObject *frames = lt_current_frames(NULL, NULL);
    PyErr_Clear(); /* a hook of sys.addaudithook() may refuse that */
    PyObject *idents = frames == NULL ? PyList_New(0) : PyDict_Keys(frames);
    Py_XDECREF(frames);
    PyObject *active = known_to_threading(threading);
    PyObject *me = PyLong_FromSize_t(lt_ident());
    PyObject *note = idents == NULL || active == NULL ? NULL : PyTuple_Pack(2, idents, active);
    if (note != NULL && me != NULL) {
        (void)PyDict_SetItem(forks, me, note);
    }
    Py_XDECREF(note);
    Py_XDECREF(me);
    Py_XDECREF(active);
    Py_XDECREF(idents);
    PyErr_Clear(); /* without memory there is no note */
    PyObject *done = lt_none();
    if (threading != NULL && PyList_Size(prepare) == 1 &&
        PyObject_HasAttrString(threading, "_DeleteDummyThreadOnDel")) {
        PyObject *function = PyList_GetItem(prepare, 0); /* borrowed */
        Py_INCREF(function);
        Py_DECREF(done);
        done = PyObject_CallFunctionObjArgs(function, threading, NULL);
        Py_DECREF(function);
        if (done != NULL && PyList_SetSlice(prepare, 0, PyList_Size(prepare), NULL) < 0) {
            Py_CLEAR(done);
        }
    }
    Py_XDECREF(threading);
    return done;
}

static PyObject *after_fork_in_parent(PyObject *forks, PyObject *unused) {
    (void)unused;
    PyObject *me = PyLong_FromSize_t(lt_ident());
    if (me != NULL) {
        (void)PyDict_DelItem(forks, me);
        Py_DECREF(me);
    }
    PyErr_Clear(); /* there may be no note */
    return lt_none();
}

const char lt_fork_hooks_doc[] =
    "fork_hooks(forks, prepare, /)\n--\n\n"
    "Returns two functions to be called before a fork and after it in the parent, which hand a note\n"
    "to the child: forks[ident of the forking thread] is then (idents of all threads, what\n"
    "`threading` has by ident).  Before the first fork with the `threading` of 3.13, the function\n"
    "that is in the list `prepare`, if any, is called with that: in Python, but once.";

PyObject *lt_fork_hooks(PyObject *module, PyObject *args) {
    (void)module;
    static PyMethodDef before = {"before_fork", before_fork, METH_NOARGS, NULL};
    static PyMethodDef after = {"after_fork_in_parent", after_fork_in_parent, METH_NOARGS, NULL};
    PyObject *forks, *prepare;
    if (!PyArg_ParseTuple(args, "O!O!:fork_hooks", &PyDict_Type, &forks, &PyList_Type, &prepare)) {
        return NULL;
    }
    PyObject *hooks = NULL;
    PyObject *self = Py_BuildValue("(OO)", forks, prepare);
    if (self != NULL) {
        hooks =
            Py_BuildValue("(NN)", PyCFunction_New(&before, self), PyCFunction_New(&after, forks));
    }
    Py_XDECREF(self);
    return hooks;
}
