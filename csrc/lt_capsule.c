/* lowthread._capsule: the table of lt_api.h as Python's own API hands such things out.
 *
 * It lives in the same shared library as lowthread._ffi, and is loaded when it is asked for:
 * on PyPy, what emulates that API costs something from its first use on.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "lt_api.h"

static int module_exec(PyObject *module) {
    /* A capsule's pointer is never written through. */
    PyObject *capsule = PyCapsule_New((void *)lt_get_api(), "lowthread._C_API", NULL);
    if (capsule == NULL || PyModule_AddObject(module, "_C_API", capsule) < 0) {
        Py_XDECREF(capsule); /* it is stolen only on success */
        return -1;
    }
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "lowthread._capsule",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__capsule(void) { return PyModuleDef_Init(&definition); }
