/* Packets in one call: the module, and what its types share. */

#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

void
wire_close_handles(struct msghdr *message)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at != NULL;
         at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(at) + i * sizeof(int), sizeof(int));
            close(fd);
        }
    }
}

PyObject *
wire_control(struct msghdr *message)
{
    PyObject *list = PyList_New(0);
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); list != NULL && at != NULL;
         at = CMSG_NXTHDR(message, at)) {
        PyObject *entry = Py_BuildValue("iiy#", at->cmsg_level, at->cmsg_type,
            (const char *)CMSG_DATA(at), (Py_ssize_t)(at->cmsg_len - CMSG_LEN(0)));
        if (entry == NULL || PyList_Append(list, entry) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(entry);
    }
    return list;
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
        &blank_spec, &pages_spec};
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
    if (PyModule_AddFunctions(module, fragment_functions) < 0) {
        return -1;
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
