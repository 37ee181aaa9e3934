/* What the types `lock` and `RLock` have in common: arguments, and waiting. */
#include "lt_types.h"

#include "../lt_park.h"
#include "../lt_record.h"
#include "../lt_rlock.h"

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
            PyErr_SetString(PyExc_OverflowError, "timestamp out of range for platform time_t");
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
        PyErr_SetString(PyExc_OverflowError, "timestamp too large to convert to C PyTime_t");
        return -1;
    }
    return 0;
}

/* Puts the arguments of a call in their places, which hold NULL, and the truth of the first
 * into `blocking`: 3.13 asks for that before it looks for wrong names.  0, or -1 with an
 * exception. */
static int place_arguments(PyObject *const *args, Py_ssize_t nargs, PyObject *keywords,
                           PyObject *placed[2], int *blocking) {
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
    PyObject *unexpected = NULL;
    int twice = -1; /* the place of what is given both ways */
    for (Py_ssize_t i = 0; i < nkeywords; i++) {
        PyObject *keyword = PyTuple_GetItem(keywords, i);
        int place = 0;
        while (place < 2 && PyUnicode_CompareWithASCIIString(keyword, names[place]) != 0) {
            place++;
        }
        if (place == 2) {
            unexpected = unexpected == NULL ? keyword : unexpected;
        } else if (place < nargs) {
            twice = place;
        } else {
            placed[place] = args[nargs + i];
        }
    }
    *blocking = placed[0] == NULL ? 1 : PyObject_IsTrue(placed[0]);
    if (*blocking < 0) {
        return -1;
    }
    if (twice >= 0) {
        PyErr_Format(PyExc_TypeError,
                     "argument for acquire() given by name ('%s') and position (%d)", names[twice],
                     twice + 1);
        return -1;
    }
    if (unexpected != NULL) {
        PyErr_Format(PyExc_TypeError, "acquire() got an unexpected keyword argument '%U'",
                     unexpected);
        return -1;
    }
    return 0;
}

int64_t lt_parse_acquire(PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
    PyObject *placed[2] = {NULL, NULL};
    int blocking;
    if (place_arguments(args, nargs, names, placed, &blocking) < 0) {
        return -1;
    }
    int64_t ns = ns_if_unset;
    if (placed[1] != NULL && convert_timeout(placed[1], &ns) < 0) {
        return -1;
    }
    if (!blocking) {
        if (ns == ns_if_unset) {
            return 0;
        }
        PyErr_SetString(PyExc_ValueError, "can't specify a timeout for a non-blocking call");
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

/* Of our module, which made the type, or one that this type is derived from; NULL when that is
 * gone. */
static lt_state *state_of(PyObject *self) {
    for (PyTypeObject *type = Py_TYPE(self); type != NULL;
         type = PyType_GetSlot(type, Py_tp_base)) {
        PyObject *module = PyType_GetModule(type); /* borrowed */
        if (module == NULL) {
            PyErr_Clear(); /* a type that has none */
        } else if (PyModule_GetDef(module) == &lt_module) {
            return PyModule_GetState(module);
        }
    }
    return NULL;
}

/* Then the caller is the only thread that can run Python, now or ever. */
static bool is_finalizing(lt_state *state) {
    PyObject *answer = state == NULL || state->is_finalizing == NULL
                           ? NULL
                           : PyObject_CallFunctionObjArgs(state->is_finalizing, NULL);
    bool yes = answer == Py_True;
    if (answer == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(answer);
    return yes;
}

/* Whether to wait for an abandoned lock all the same; if not, there is an exception. */
static bool may_wait(lt_state *state, PyObject *self, lt_lock *lock, int how) {
    if (state == NULL || state->abandoned == NULL) {
        return true;
    }
    PyObject *exception = PyObject_CallFunction(
        state->abandoned, "ONi", self, PyLong_FromVoidPtr(lock), !(how & LT_LEAVES_HANDLERS));
    bool may = exception == Py_None;
    if (exception != NULL && !may) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    }
    Py_XDECREF(exception);
    return may;
}

/* Of what it has no memory or no stack for, nothing is told. */
static bool is_forgiven(void) {
    bool is =
        PyErr_ExceptionMatches(PyExc_RecursionError) || PyErr_ExceptionMatches(PyExc_MemoryError);
    if (is) {
        PyErr_Clear();
    }
    return is;
}

/* Calls what is told of a wait; false: it is to be ended, and there is an exception. */
static bool may_go_on(PyObject *told, lt_lock *lock, int kind, int64_t since) {
    PyObject *done =
        PyObject_CallFunction(told, "NiL", PyLong_FromVoidPtr(lock), kind, (long long)since);
    if (done == NULL && is_forgiven()) { /* the wait needs neither */
        return true;
    }
    Py_XDECREF(done);
    return done != NULL;
}

bool lt_have_ends_taken(lt_state *state) {
    PyObject *take = lt_who_takes_ends();
    if (take == NULL || is_finalizing(state)) { /* at the end, what that takes may be gone */
        Py_XDECREF(take);
        return true;
    }
    PyObject *done = PyObject_CallFunctionObjArgs(take, NULL);
    Py_DECREF(take);
    if (done == NULL && is_forgiven()) {
        return true;
    }
    Py_XDECREF(done);
    return done != NULL;
}

/* ---- telling of locks ---- */

atomic_int lt_tracing_interpreters;

const char lt_trace_locks_doc[] =
    "trace_locks(when_made, when_taken, /)\n--\n\n"
    "Have locks that this interpreter makes from now on tell of themselves, or not any more:\n"
    "when_made: they call made(lock) then, which returns whether they are to tell of more.\n"
    "when_taken: those that are call taking(lock, may_wait) before each try to take them.";

/* Relaxed: it orders nothing else. */
static void set_tells_made(lt_state *state, bool yes) {
    bool was = atomic_exchange_explicit(&state->tells_made, yes, memory_order_relaxed);
    atomic_fetch_add_explicit(&lt_tracing_interpreters, (int)yes - (int)was, memory_order_relaxed);
}

PyObject *lt_trace_locks(PyObject *module, PyObject *args) {
    lt_state *state = PyModule_GetState(module);
    int when_made, when_taken;
    if (!PyArg_ParseTuple(args, "pp:trace_locks", &when_made, &when_taken)) {
        return NULL;
    }
    set_tells_made(state, when_made);
    atomic_store_explicit(&state->tells_taking, when_taken, memory_order_relaxed);
    return lt_none();
}

void lt_trace_no_locks(lt_state *state) { set_tells_made(state, false); }

static bool is_set(const atomic_bool *flag) {
    return atomic_load_explicit(flag, memory_order_relaxed);
}

PyObject *lt_tell_made(PyObject *self, _Atomic uint32_t *marks) {
    lt_state *state = state_of(self);
    if (state == NULL || !is_set(&state->tells_made) || is_finalizing(state)) {
        return self; /* at the end, what that takes may be gone */
    }
    PyObject *answer = PyObject_CallFunctionObjArgs(state->made, self, NULL);
    if (answer == Py_True) {
        atomic_fetch_or_explicit(marks, LT_TRACED, memory_order_relaxed);
    } else if (answer == NULL && !is_forgiven()) {
        Py_CLEAR(self); /* a signal handler has raised */
    }
    Py_XDECREF(answer);
    return self;
}

int lt_tell_taking(PyObject *self, int64_t ns) {
    lt_state *state = state_of(self);
    if (state == NULL || !is_set(&state->tells_taking) || is_finalizing(state)) {
        return 0;
    }
    PyObject *done = PyObject_CallFunctionObjArgs(state->taking, self,
                                                  ns == LT_FOREVER ? Py_True : Py_False, NULL);
    if (done == NULL && !is_forgiven()) {
        return -1;
    }
    Py_XDECREF(done);
    return 0;
}

int lt_tell_taking_untold(PyObject *self, _Atomic uint32_t *marks, int64_t ns) {
    lt_state *state = lt_is_recording_holds() ? state_of(self) : NULL;
    if (state == NULL || !is_set(&state->tells_taking)) {
        return 0;
    }
    atomic_fetch_or_explicit(marks, LT_TRACED, memory_order_relaxed);
    return lt_tell_taking(self, ns);
}

/* ---- waiting for one ---- */

int lt_wait_for(PyObject *self, lt_lock *lock, int64_t ns, int how) {
    lt_state *state = state_of(self);
    bool checks = !(how & LT_LEAVES_HANDLERS);
    if (checks && lt_is_recording() && !lt_have_ends_taken(state)) {
        return -1;
    }
    int64_t since = lt_now();
    int64_t deadline = ns > LT_FOREVER - since ? LT_FOREVER : since + ns;
    bool is_last = deadline == LT_FOREVER && is_finalizing(state);
    if (is_last) {
        /* What may change yet: that the lock is reserved for a thread that has been stopped,
         * or the last steps of a thread, which need no Python. */
        bool may_change = !lt_lock_is_held(lock) || (how & LT_IS_SENTINEL);
        deadline = since + (may_change ? 2 * lt_lock_lapse_ns : 0);
    }
    lt_subject subject = {.kind = LT_FOR_LOCK, .checks = checks, .told = LT_TOLD_OF_END};
    if (how & LT_IS_RLOCK) {
        subject = LT_RLOCK_SUBJECT((lt_rlock *)lock, checks, LT_TOLD_OF_END);
    }
    for (;;) {
        switch (lt_lock_acquire_for(lock, &subject, since, deadline, &lt_gil_hooks)) {
        case LT_ACQUIRED:
            return 1;
        case LT_TIMED_OUT:
            if (is_last && (how & LT_IS_SHARED) && !lt_is_only_thread()) {
                deadline = lt_now() + 2 * lt_lock_lapse_ns; /* native code may release it */
                break;
            }
            if (is_last) {
                PyErr_SetString(state->finalization_error,
                                "can't acquire lock at interpreter shutdown: "
                                "no thread is left that could end the wait");
                return -1;
            }
            return 0;
        case LT_ABANDONED:
            if (!may_wait(state, self, lock, how)) {
                return -1;
            }
            deadline--; /* which is as long, but not for ever */
            break;
        default:
            if (!checks) {
                break;
            }
            if (PyErr_CheckSignals() < 0) {
                return -1;
            }
            if (state == NULL) {
                break;
            }
            if (lt_record_wants_note(since) &&
                !may_go_on(state->note, lock, subject.kind, since)) {
                return -1;
            }
            if (lt_check_is_due(since, deadline) &&
                !may_go_on(state->check, lock, subject.kind, since)) {
                return -1;
            }
        }
    }
}
