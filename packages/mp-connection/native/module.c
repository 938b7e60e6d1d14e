/* Packets in one call: the module, and what its types share. */

#include "wire.h"

#include <errno.h>

int
wire_fileno(const Wire *wire)
{
    PyObject *number = PyObject_CallNoArgs(wire->fileno);
    if (number == NULL) {
        return -1;
    }
    long fd = PyLong_AsLong(number);
    Py_DECREF(number);
    if (fd < 0) {
        if (!PyErr_Occurred()) {
            errno = EBADF;
            PyErr_SetFromErrno(PyExc_OSError);
        }
        return -1;
    }
    return (int)fd;
}

int
wire_again(void)
{
    if (errno != EINTR) {
        PyErr_SetFromErrno(PyExc_OSError);
        return 0;
    }
    return PyErr_CheckSignals() == 0;
}

void
wire_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((Wire *)self)->fileno);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int
fill(PyObject *module)
{
    PyObject **iterators = PyModule_GetState(module);
    *iterators = PyType_FromModuleAndSpec(module, &noted_spec, NULL);
    if (*iterators == NULL) {
        return -1;
    }
    PyType_Spec *specs[] = {&arrivals_spec, &sender_spec, &noter_spec,
        &blank_spec};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, specs[i], NULL);
        if (type == NULL) {
            return -1;
        }
        int failed = PyModule_AddType(module, (PyTypeObject *)type);
        Py_DECREF(type);
        if (failed) {
            return -1;
        }
    }
    return PyModule_AddIntConstant(module, "PACKET_SIZE", PACKET_SIZE);
}

static int
traverse(PyObject *module, visitproc visit, void *arg)
{
    Py_VISIT(*(PyObject **)PyModule_GetState(module));
    return 0;
}

static int
clear(PyObject *module)
{
    Py_CLEAR(*(PyObject **)PyModule_GetState(module));
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill},
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "mp_connection._native",
    .m_doc = "Packets in one call.",
    .m_size = sizeof(PyObject *),
    .m_methods = blank_functions,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
