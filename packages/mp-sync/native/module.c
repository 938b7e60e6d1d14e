/* Locks, semaphores and events over words of shared memory: the module. */

#include "cells.h"
#include "locks.h"
#include "numbers.h"
#include "sleepers.h"

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "mp_sync._native",
    .m_doc = "Locks, semaphores and events over words of shared memory.",
    .m_size = -1, /* one interpreter in a process: the C library calls us at forks */
};

static int
fill(PyObject *module)
{
    PyTypeObject *semaphore;
    return shared_setup(module)
        && (lock_type = add_type(module, "Lock", &lock_spec, NULL)) != NULL
        && (rlock_type = add_type(module, "RLock", &rlock_spec, NULL)) != NULL
        && (words_type = add_type(module, "Words", &words_spec, NULL)) != NULL
        && (semaphore = add_type(module, "Semaphore", &semaphore_spec, NULL)) != NULL
        && add_type(module, "BoundedSemaphore", &bounded_spec, semaphore) != NULL
        && add_type(module, "Event", &event_spec, NULL) != NULL
        && add_cells(module)
        && PyModule_AddFunctions(module, condition_functions) == 0
        && PyModule_AddFunctions(module, sleeper_functions) == 0
        && words_setup();
}

PyMODINIT_FUNC
PyInit__native(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) {
        return NULL;
    }
    if (!fill(module)) {
        if (!PyErr_Occurred()) {
            PyErr_NoMemory();
        }
        Py_CLEAR(module);
    }
#ifdef Py_GIL_DISABLED
    if (module != NULL) {
        /* What is shared between threads here is shared between processes as well, and
           made for it; the slab has a critical section. */
        PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
    }
#endif
    return module;
}
