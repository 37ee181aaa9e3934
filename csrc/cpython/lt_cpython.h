/* The core on CPython: the GIL around a sleep, and the life of a thread. */
#ifndef LT_CPYTHON_H
#define LT_CPYTHON_H

#include "../lt_lock.h"
#include "../lt_record.h"
#include "../lt_thread.h"

#include <Python.h>

/* Not Py_RETURN_NONE and Py_RETURN_TRUE: 3.12's headers think that nobody counts the
 * references to these, which is not so where an abi3 build of theirs may run. */
static inline PyObject *lt_none(void) {
    Py_INCREF(Py_None);
    return Py_None;
}

/* Gives up the GIL before a sleep and takes it again afterwards; a thread that
 * comes back when the interpreter is gone stays out. */
extern const lt_hooks lt_gil_hooks;

/* The types: a new reference, or NULL with an exception. */
PyObject *lt_lock_type(PyObject *module);
PyObject *lt_rlock_type(PyObject *module);

/* A new instance of lt_lock_type(). */
PyObject *lt_make_lock(PyTypeObject *type);

/* The same, released at the end of the calling thread: see lt_sentinel_set(). */
PyObject *lt_make_sentinel(PyTypeObject *type);

/* Starts a thread that calls function(*args, **kwargs), and reporter(function, exception)
 * if that raises anything but SystemExit; kwargs may be NULL.  Returns 0 and the thread's
 * ident, or the errno with which the system refused. */
int lt_start_python(PyObject *function, PyObject *args, PyObject *kwargs, PyObject *reporter,
                    const lt_how *how, uintptr_t *ident);

/* lowthread._native's state.  Its members are strong references. */
typedef struct {
    PyObject *lock_type, *rlock_type;
    PyObject *start_event, *audit, *is_too_late, *report, *refuse;
    PyObject *is_finalizing, *finalization_error, *abandoned, *check, *note, *made, *taking;
    PyObject *ends;                       /* see lt_note_ends_doc */
    atomic_bool tells_made, tells_taking; /* see lt_trace_locks_doc */
} lt_state;

extern PyModuleDef lt_module;

extern const char lt_set_callbacks_doc[];
PyObject *lt_set_callbacks(PyObject *module, PyObject *args);

extern const char lt_trace_locks_doc[];
PyObject *lt_trace_locks(PyObject *module, PyObject *args);
void lt_trace_no_locks(lt_state *state);

extern const char lt_note_ends_doc[];
PyObject *lt_note_ends(PyObject *module, PyObject *into);
void lt_note_no_ends(lt_state *state);

/* What is to be called before a wait, which may add to what is noted: a new reference, or NULL. */
PyObject *lt_who_takes_ends(void);

/* Has what is noted taken in, if it is much.  False: a signal handler has raised an exception. */
bool lt_have_ends_taken(lt_state *state);

/* Notes a thread that has been started and has not had the GIL, and is to call `function`, if that is
 * wanted; no Python code runs. */
void lt_note_start(uintptr_t ident, PyObject *function);

/* An lt_over: notes the caller's wait, if that is wanted; no Python code runs. */
void lt_note_end(const lt_wait_done *wait);

extern const char lt_current_frames_doc[], lt_fork_hooks_doc[];
PyObject *lt_current_frames(PyObject *module, PyObject *unused);
PyObject *lt_fork_hooks(PyObject *module, PyObject *args);

/* Gives `object`, which may be NULL with an exception, to a module: 0, or -1 with an
 * exception. */
int lt_add(PyObject *module, const char *name, PyObject *object);

/* Adds the functions of `_thread` that are in C: 0, or -1 with an exception. */
int lt_add_functions(PyObject *module);

#endif
