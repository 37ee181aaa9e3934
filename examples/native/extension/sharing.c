/* A C extension whose own thread and Python's threads share a lock of lowthread's.
 *
 * The thread is the system's: Python does not know it, and it never has the GIL.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <lowthread.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>

static const lt_api *lt;

static struct {
    PyObject *object; /* whose lock it is: to be kept while that is used */
    lt_lock *lock;
    long rounds;
    pthread_t thread;
} job;

static long total; /* guarded by the lock */

static void add_one(void) {
    long before = total;
    sched_yield(); /* another thread could spoil it here, if it had not to wait */
    total = before + 1;
}

static void *count(void *unused) {
    (void)unused;
    for (long i = 0; i < job.rounds; i++) {
        lt->lock_acquire(job.lock, LT_FOREVER);
        add_one();
        lt->lock_release(job.lock);
    }
    return NULL;
}

/* start(lock, rounds): a thread adds one to the total, so often, each time with the lock. */
static PyObject *start(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *object;
    long rounds;
    if (!PyArg_ParseTuple(args, "Ol:start", &object, &rounds)) {
        return NULL;
    }
    lt_lock *lock = lt_lock_in(object);
    if (lock == NULL) {
        return NULL;
    }
    if (job.object != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the thread has been started");
        return NULL;
    }
    job.lock = lock;
    job.rounds = rounds;
    int error = pthread_create(&job.thread, NULL, count, NULL);
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_INCREF(object);
    job.object = object;
    Py_RETURN_NONE;
}

/* add(): adds one; whoever calls it has the lock. */
static PyObject *add(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    add_one();
    Py_RETURN_NONE;
}

/* join(): waits until the thread has ended, and returns the total. */
static PyObject *join(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    if (job.object == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the thread has not been started");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    pthread_join(job.thread, NULL);
    Py_END_ALLOW_THREADS
    Py_CLEAR(job.object);
    return PyLong_FromLong(total);
}

static PyMethodDef methods[] = {
    {"start", start, METH_VARARGS, NULL},
    {"add", add, METH_NOARGS, NULL},
    {"join", join, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "sharing", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_sharing(void) {
    lt = lt_import_api();
    return lt == NULL ? NULL : PyModule_Create(&module);
}
