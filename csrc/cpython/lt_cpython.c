/* lowthread._native: what needs CPython's own API.
 *
 * It lives in the same shared library as lowthread._ffi, so that both use the one
 * core, and is loaded from there by lowthread/_load.py.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "lt_cpython.h"

#include "../lt_wait.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* ---- entering the interpreter ---- */

static void leave_gate(void *unused) {
    (void)unused;
    lt_gate_leave();
}

/* 3.10's threads look at the interpreter once more when they are told to end instead of getting
 * the GIL, and by then it may be freed (gh-96387 put that in; from 3.11 on it is static).  So there
 * the exit waits for those of ours that may be about to ask for the GIL. */
static bool awake_matters;

static void begin_awake(void) {
    if (awake_matters) {
        lt_awake_begin();
    }
}

static void end_awake(void *unused) {
    (void)unused;
    if (awake_matters) {
        lt_awake_end();
    }
}

/* While the interpreter is being finalized, asking for the GIL ends the thread
 * by pthread_exit() up to 3.13, hence the cleanup handler, and never returns from
 * 3.14 on.  After that it crashes, hence the gate. */
static bool take_gil(PyThreadState *state) {
    if (!lt_gate_enter()) {
        return false;
    }
    if (awake_matters) {
        lt_nap_end();
    }
    pthread_cleanup_push(leave_gate, NULL);
    PyEval_RestoreThread(state);
    pthread_cleanup_pop(1);
    return true;
}

static void *before_sleep(void) {
    PyThreadState *state = PyEval_SaveThread();
    if (awake_matters) {
        lt_nap_begin();
    }
    return state;
}

static bool after_sleep(void *state) { return take_gil(state); }

const lt_hooks lt_gil_hooks = {before_sleep, after_sleep, .settle_ns = 1000};

/* ---- the life of a thread ---- */

typedef struct {
    PyInterpreterState *interpreter;
    lt_word *begun; /* where the starter waits, if it does: see await_birth() */
    PyObject *function, *args, *kwargs, *report;
} task;

static void task_free(task *t) {
    Py_DECREF(t->function);
    Py_DECREF(t->args);
    Py_XDECREF(t->kwargs);
    Py_DECREF(t->report);
    free(t);
}

/* Gives the thread's exception to report(function, exception). */
static void report(task *t) {
    if (PyErr_ExceptionMatches(PyExc_SystemExit)) {
        PyErr_Clear();
        return;
    }
    /* These three have a successor in 3.12, but this is built for 3.10 and up. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
#pragma GCC diagnostic pop
    if (traceback != NULL) {
        PyException_SetTraceback(exception, traceback);
    }
    PyObject *done = PyObject_CallFunctionObjArgs(t->report, t->function, exception, NULL);
    if (done == NULL) {
        PyErr_Clear(); /* it catches all it can: this is, say, out of memory */
    }
    Py_XDECREF(done);
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
}

static void count_down(void *unused) {
    (void)unused;
    lt_count_down();
}

static void run(task *t) {
    lt_count_up();
    /* The thread may end by pthread_exit() wherever it asks for the GIL. */
    pthread_cleanup_push(count_down, NULL);
    PyObject *result = PyObject_Call(t->function, t->args, t->kwargs);
    if (result == NULL) {
        report(t);
    }
    Py_XDECREF(result);
    task_free(t);
    /* The values of threading.local live in here (up to 3.12; after that they
     * go with the state).  Not left to the state's end, because nothing of the
     * thread should outlive its being counted. */
    PyObject *values = PyThreadState_GetDict();
    if (values != NULL) {
        PyDict_Clear(values);
    }
    pthread_cleanup_pop(1);
}

/* What the starter learns, if it waits. */
enum { LT_UNBORN, LT_HAS_STATE, LT_HAS_FAILED };

/* Release: the state is seen where the interpreter looks for it. */
static void end_birth(lt_word *begun, bool has_state) {
    if (begun == NULL) {
        lt_birth_end();
        return;
    }
    atomic_store_explicit(begun, has_state ? LT_HAS_STATE : LT_HAS_FAILED, memory_order_release);
    lt_wake(begun, 1); /* by address: the starter may have gone on */
}

static void leave_birth(void *unused) {
    (void)unused;
    lt_birth_leave();
}

static void fail_birth(void *begun) { end_birth(begun, false); }

static uint32_t wait_for_birth(lt_word *begun, int64_t deadline) {
    uint32_t now;
    while ((now = atomic_load_explicit(begun, memory_order_acquire)) == LT_UNBORN) {
        if (lt_wait(begun, LT_UNBORN, deadline) == LT_EXPIRED) {
            break;
        }
    }
    return now;
}

/* 3.11's PyThreadState_New() crashes where there is no memory: it takes the address of a part
 * of the state that it did not get.  These are its two halves; no other version needs them. */
static PyThreadState *(*allocate_state)(PyInterpreterState *);
static void (*make_current)(PyThreadState *);

static void learn_to_make_states(long version) {
    if (version >> 16 != 0x030B) {
        return;
    }
    /* Looked for by name, since the stable ABI has neither.  POSIX wants these casts. */
    *(void **)&allocate_state = dlsym(RTLD_DEFAULT, "_PyThreadState_Prealloc");
    *(void **)&make_current = dlsym(RTLD_DEFAULT, "_PyThreadState_SetCurrent");
}

/* Of the calling thread; NULL if there is no memory. */
static PyThreadState *new_state(PyInterpreterState *interpreter) {
    if (allocate_state == NULL || make_current == NULL) {
        return PyThreadState_New(interpreter);
    }
    PyThreadState *state = allocate_state(interpreter);
    if (state != NULL) {
        make_current(state);
    }
    return state;
}

static void *thread_main(void *arg) {
    task *t = arg;
    lt_word *begun = t->begun;
    PyThreadState *state = NULL;
    int64_t begin = 0; /* of the wait for memory */
    bool is_lost = false;
again:
    if (!lt_gate_enter()) {
        end_birth(begun, false);
        return NULL; /* t's objects went with the interpreter */
    }
    pthread_cleanup_push(leave_gate, NULL);
    /* To make a state, tracemalloc asks for the GIL; the thread may end there. */
    pthread_cleanup_push(fail_birth, begun);
    lt_birth_enter();
    pthread_cleanup_push(leave_birth, NULL);
    /* Not PyGILState_Ensure(), which knows only the main interpreter. */
    state = new_state(t->interpreter);
    pthread_cleanup_pop(1);
    pthread_cleanup_pop(0);
    /* For less than the interpreter's end waits for it. */
    is_lost = begin != 0 && lt_now() - begin > lt_birth_patience_ns;
    if (state != NULL || begun != NULL || is_lost) {
        end_birth(begun, state != NULL);
    }
    if (state != NULL) {
        begin_awake();
        pthread_cleanup_push(end_awake, NULL);
        PyEval_RestoreThread(state);
        pthread_cleanup_pop(0);
    }
    pthread_cleanup_pop(1);
    if (state == NULL) {
        if (begun != NULL) {
            return NULL; /* the starter knows */
        }
        if (is_lost) {
            lt_birth_lost();
            return NULL;
        }
        begin = begin != 0 ? begin : lt_now();
        nanosleep(&(struct timespec){.tv_nsec = lt_birth_retry_ns}, NULL);
        goto again;
    }
    pthread_cleanup_push(end_awake, NULL);
    run(t);
    /* A state made in its own thread is that thread's GIL state with a count of
     * one, so this clears it, deletes it and gives up the GIL in one step; the
     * stable ABI has no other way to do that. */
    PyGILState_Release(PyGILState_UNLOCKED);
    pthread_cleanup_pop(1);
    return NULL;
}

/* A newborn thread makes its state without the GIL, and the interpreter that is being
 * finalized deletes all states but its own: the two must not meet.  So the last thing
 * before finalization is to let all births end, and who starts a thread after that
 * waits until the thread has its state.  Guarded by the GIL. */
static uintptr_t exiting; /* the ident of the thread that will finalize, or 0 */

/* For a newborn to be scheduled at all. */
static const int64_t birth_patience_ns = 10 * LT_NS_PER_S;

/* How long another thread than the exiting one keeps the GIL from that one until its
 * newborn has a state.  That takes microseconds, but for ever where tracemalloc is on. */
static const int64_t birth_gil_ns = LT_NS_PER_S;

/* Returns whether the thread has a state. */
static bool await_birth(lt_word *begun) {
    bool keeps_gil = exiting != 0 && exiting != lt_ident();
    uint32_t now = LT_UNBORN;
    if (keeps_gil) {
        now = wait_for_birth(begun, lt_now() + birth_gil_ns);
    }
    if (now == LT_UNBORN) {
        Py_BEGIN_ALLOW_THREADS
        now = wait_for_birth(begun, LT_FOREVER);
        Py_END_ALLOW_THREADS
    }
    return now == LT_HAS_STATE;
}

static bool in_main_interpreter(void) {
    return PyInterpreterState_GetID(PyInterpreterState_Get()) == 0;
}

PyDoc_STRVAR(interpreter_id_doc,
"interpreter_id()\n--\n\nReturns the number of the current interpreter; the main one's is 0.");

static PyObject *interpreter_id(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyLong_FromLongLong(PyInterpreterState_GetID(PyInterpreterState_Get()));
}

PyDoc_STRVAR(prepare_exit_doc,
"prepare_exit()\n--\n\n"
"To be called by atexit.  Threads may still be started afterwards.");

/* A thread looks once in a switch interval whether it is to end.  But some may sleep or wait for
 * something else than the core, and will not look. */
static int64_t awake_patience_ns = 200 * LT_NS_PER_MS;

static void learn_switch_interval(void) {
    PyObject *ask = PySys_GetObject("getswitchinterval"); /* borrowed */
    PyObject *seconds = ask == NULL ? NULL : PyObject_CallFunctionObjArgs(ask, NULL);
    double s = seconds == NULL ? -1 : PyFloat_AsDouble(seconds);
    Py_XDECREF(seconds);
    PyErr_Clear();
    /* Those who look more seldom are not likely to do so in what is left of the exit. */
    double twice = 2 * s * (double)LT_NS_PER_S, most = 2 * (double)LT_NS_PER_S;
    if (twice > (double)awake_patience_ns) {
        awake_patience_ns = (int64_t)(twice < most ? twice : most);
    }
}

static PyObject *prepare_exit(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    if (in_main_interpreter()) {
        exiting = lt_ident();
        if (awake_matters) {
            learn_switch_interval();
        }
        /* Not without need: up to 3.13 others would get the GIL here that the interpreter does not
         * give them. */
        if (!lt_births_none()) {
            Py_BEGIN_ALLOW_THREADS
            lt_births_wait(birth_patience_ns);
            Py_END_ALLOW_THREADS
        }
    }
    return lt_none();
}

int lt_start_python(PyObject *function, PyObject *args, PyObject *kwargs, PyObject *reporter,
                    const lt_how *how, uintptr_t *ident) {
    task *t = malloc(sizeof(*t));
    if (t == NULL) {
        return ENOMEM;
    }
    Py_INCREF(function);
    Py_INCREF(args);
    Py_INCREF(reporter);
    Py_XINCREF(kwargs);
    /* A sub-interpreter that does not know of a thread can be destroyed. */
    bool is_awaited = exiting != 0 || !in_main_interpreter();
    lt_word begun = LT_UNBORN; /* here, as the newborn frees t when it has ended */
    *t = (task){.interpreter = PyInterpreterState_Get(),
                .begun = is_awaited ? &begun : NULL,
                .function = function,
                .args = args,
                .kwargs = kwargs,
                .report = reporter};
    if (!is_awaited) {
        lt_birth_begin();
    }
    int error = lt_thread_start(thread_main, t, how, ident);
    if (error == 0) {
        lt_note_start(*ident, function); /* here, as the thread cannot have the GIL yet */
    }
    if (error != 0 && !is_awaited) {
        lt_birth_end();
    } else if (error == 0 && is_awaited && !await_birth(&begun)) {
        error = ENOMEM;
    }
    if (error != 0) {
        task_free(t);
    }
    return error;
}

PyDoc_STRVAR(start_doc,
"start(function, args, kwargs, report, handle, awaited_by, stack_size, name,\n"
"      /)\n--\n\n"
"Starts a thread that calls function(*args, **kwargs), and report(function,\n"
"exception) if that raises anything but SystemExit.  kwargs may be None; handle is\n"
"the address of an lt_handle, or 0, and awaited_by a number for\n"
"lt_handle_next_awaited(), or 0;\n"
"stack_size in bytes, or -1 for the default; name is bytes, or None.\n"
"Returns the thread's ident, or 0 if there is a handle, which has it; or minus the errno\n"
"with which the system refused, which is EALREADY if the handle has been used.");

static PyObject *start(PyObject *module, PyObject *arguments) {
    PyObject *function, *args, *kwargs, *reporter, *name;
    unsigned long long handle;
    unsigned long long awaited_by;
    Py_ssize_t stack_size;
    lt_how how = {.handle = NULL};
    if (!PyArg_ParseTuple(arguments, "OO!OOKKnO:start", &function, &PyTuple_Type, &args, &kwargs,
                          &reporter, &handle, &awaited_by, &stack_size, &name) ||
        (name != Py_None && (how.name = PyBytes_AsString(name)) == NULL)) {
        return NULL;
    }
    how.handle = (struct lt_handle *)(uintptr_t)handle;
    how.awaited_by = (uintptr_t)awaited_by;
    how.has_stack_size = stack_size >= 0;
    how.stack_size = (size_t)stack_size;
    if (!lt_have_ends_taken(PyModule_GetState(module))) {
        return NULL;
    }
    uintptr_t ident = 0;
    int error =
        lt_start_python(function, args, kwargs == Py_None ? NULL : kwargs, reporter, &how, &ident);
    /* 0 takes no memory: there is a thread, and that must not raise any more. */
    return error != 0 ? PyLong_FromLong(-error)
                      : PyLong_FromSize_t(how.handle != NULL ? 0 : ident);
}

/* ---- the module ---- */

/* For a thread that is between the gate and the GIL.  Up to 3.13 it is told to end within
 * a switch interval (5 ms, if sys.setswitchinterval() was not called), and then needs
 * nothing but the processor.  From 3.14 on it hangs there and never leaves. */
static int64_t gate_patience_ns;
static const int64_t gate_patience_if_ended_ns = 2 * LT_NS_PER_S;
static const int64_t gate_patience_if_hung_ns = 100 * LT_NS_PER_MS;

/* Not PY_VERSION_HEX: one build is for many versions.  Returns -1 with an exception. */
static long running_version(void) {
    PyObject *version = PySys_GetObject("hexversion"); /* borrowed */
    return version == NULL ? 0 : PyLong_AsLong(version);
}

static void close_gate(PyObject *capsule) {
    (void)capsule;
    lt_gate_close(gate_patience_ns);
    if (awake_matters) {
        lt_awake_wait(awake_patience_ns);
    }
}

/* The gate closes when the interpreter's own dictionary goes: after every atexit
 * function, which may still start threads, and before the interpreter itself.
 * A sub-interpreter needs none: it does not end while it has thread states, and
 * start() returns only when there is one. */
static int add_gate(long version) {
    static const char name[] = "lowthread.exit_gate";
    static char anything;
    if (!in_main_interpreter()) {
        return 0;
    }
    PyObject *dict = PyInterpreterState_GetDict(PyInterpreterState_Get()); /* borrowed */
    if (dict == NULL || PyDict_GetItemString(dict, name) != NULL) {
        return 0; /* the second: somebody imports lowthread afresh */
    }
    /* What threads read without the GIL: not again when there may be some. */
    awake_matters = version >> 16 == 0x030A;
    learn_to_make_states(version);
    /* Since 3.13, os.fork() has the lock under which a state is made, and makes it anew in the
     * child.  To wait for who waits for that lock would be in vain. */
    lt_births_are_guarded(version >= 0x030D0000);
    gate_patience_ns =
        version >= 0x030E0000 ? gate_patience_if_hung_ns : gate_patience_if_ended_ns;
    lt_gate_open();
    exiting = 0;
    PyObject *capsule = PyCapsule_New(&anything, name, close_gate);
    int failed = capsule == NULL || PyDict_SetItemString(dict, name, capsule) < 0;
    Py_XDECREF(capsule);
    return failed ? -1 : 0;
}

int lt_add(PyObject *module, const char *name, PyObject *object) {
    if (object == NULL || PyModule_AddObject(module, name, object) < 0) {
        Py_XDECREF(object); /* it is stolen only on success */
        return -1;
    }
    return 0;
}

PyDoc_STRVAR(check_signals_doc,
"check_signals()\n--\n\nRuns the signal handlers that are due, if this is the main thread.");

static PyObject *check_signals(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyErr_CheckSignals() < 0 ? NULL : lt_none();
}

PyDoc_STRVAR(leave_doc,
"leave(is_left, exc_type, exc, traceback, /)\n--\n\nAsks for the truth of the first only.");

static PyObject *leave(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *is_left, *ignored;
    if (!PyArg_UnpackTuple(args, "__exit__", 4, 4, &is_left, &ignored, &ignored, &ignored)) {
        return NULL;
    }
    return PyObject_IsTrue(is_left) < 0 ? NULL : lt_none();
}

/* Of no module: who has such a function has not the module, which the end of the interpreter
 * empties, with all that it leads to, if there is somebody who has it. */
static int add_unbound(PyObject *module) {
    static PyMethodDef unbound[] = {
        {"check_signals", check_signals, METH_NOARGS, check_signals_doc},
        {"leave", leave, METH_VARARGS, leave_doc},
    };
    for (int i = 0; i < 2; i++) {
        if (lt_add(module, unbound[i].ml_name, PyCFunction_New(&unbound[i], NULL)) < 0) {
            return -1;
        }
    }
    return 0;
}

static int module_exec(PyObject *module) {
    long version = running_version();
    if (version == -1 || add_gate(version) < 0) {
        return -1;
    }
    lt_state *state = PyModule_GetState(module);
    state->lock_type = lt_lock_type(module);
    Py_XINCREF(state->lock_type);
    if (lt_add(module, "lock", state->lock_type) < 0) {
        return -1;
    }
    state->rlock_type = lt_rlock_type(module);
    Py_XINCREF(state->rlock_type);
    if (lt_add(module, "RLock", state->rlock_type) < 0 || add_unbound(module) < 0) {
        return -1;
    }
    return lt_add_functions(module);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    lt_state *state = PyModule_GetState(module);
    Py_VISIT(state->lock_type);
    Py_VISIT(state->rlock_type);
    Py_VISIT(state->start_event);
    Py_VISIT(state->audit);
    Py_VISIT(state->is_too_late);
    Py_VISIT(state->report);
    Py_VISIT(state->refuse);
    Py_VISIT(state->is_finalizing);
    Py_VISIT(state->finalization_error);
    Py_VISIT(state->abandoned);
    Py_VISIT(state->check);
    Py_VISIT(state->note);
    Py_VISIT(state->made);
    Py_VISIT(state->taking);
    Py_VISIT(state->ends);
    return 0;
}

/* No m_clear: until the module is freed, its functions can be called. */
static void module_free(void *module) {
    lt_state *state = PyModule_GetState(module);
    lt_trace_no_locks(state);
    lt_note_no_ends(state);
    Py_XDECREF(state->lock_type);
    Py_XDECREF(state->rlock_type);
    Py_XDECREF(state->start_event);
    Py_XDECREF(state->audit);
    Py_XDECREF(state->is_too_late);
    Py_XDECREF(state->report);
    Py_XDECREF(state->refuse);
    Py_XDECREF(state->is_finalizing);
    Py_XDECREF(state->finalization_error);
    Py_XDECREF(state->abandoned);
    Py_XDECREF(state->check);
    Py_XDECREF(state->note);
    Py_XDECREF(state->made);
    Py_XDECREF(state->taking);
    Py_XDECREF(state->ends);
}

static PyMethodDef methods[] = {
    {"current_frames", lt_current_frames, METH_NOARGS, lt_current_frames_doc},
    {"fork_hooks", lt_fork_hooks, METH_VARARGS, lt_fork_hooks_doc},
    {"interpreter_id", interpreter_id, METH_NOARGS, interpreter_id_doc},
    {"note_ends", lt_note_ends, METH_O, lt_note_ends_doc},
    {"prepare_exit", prepare_exit, METH_NOARGS, prepare_exit_doc},
    {"set_callbacks", lt_set_callbacks, METH_VARARGS, lt_set_callbacks_doc},
    {"start", start, METH_VARARGS, start_doc},
    {"trace_locks", lt_trace_locks, METH_VARARGS, lt_trace_locks_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

PyModuleDef lt_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "lowthread._native",
    .m_size = sizeof(lt_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&lt_module); }
