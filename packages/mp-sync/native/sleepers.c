/* Sleeping on several words at once, on behalf of the tasks of event loops. */

#include "sleepers.h"

#include <string.h>

/* From linux/futex.h of Linux 5.16; headers may be older than the kernel. */
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#define MOST 128
#define SIZE_32 2

struct waiter {
    uint64_t value;
    uint64_t address;
    uint32_t flags;
    uint32_t reserved;
};

static PyObject *
sleep_on_any(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    struct waiter waiters[MOST];
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "2 arguments are expected");
        return NULL;
    }
    double seconds = PyFloat_AsDouble(args[1]);
    Py_ssize_t size = PySequence_Size(args[0]);
    if ((seconds == -1.0 && PyErr_Occurred()) || size < 0) {
        return NULL;
    }
    if (size == 0 || size > MOST || !(seconds >= 0 && seconds < 1000)) {
        PyErr_SetString(PyExc_ValueError, "1 to 128 words, for less than 1000 s");
        return NULL;
    }
    memset(waiters, 0, sizeof waiters);
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *pair = PySequence_GetItem(args[0], i);
        if (pair == NULL) {
            return NULL;
        }
        unsigned long long address;
        unsigned long seen;
        int parsed = PyArg_ParseTuple(pair, "Kk", &address, &seen);
        Py_DECREF(pair);
        if (!parsed) {
            return NULL;
        }
        waiters[i].value = (uint32_t)seen;
        waiters[i].address = address;
        waiters[i].flags = SIZE_32;
    }
    int64_t until = now() + (int64_t)(seconds * SECOND);
    struct timespec time = {until / SECOND, until % SECOND};
    long result;
    int error;
    Py_BEGIN_ALLOW_THREADS
    result = syscall(SYS_futex_waitv, waiters, size, 0, &time, CLOCK_MONOTONIC);
    error = errno;
    Py_END_ALLOW_THREADS
    if (result < 0 && error != EAGAIN && error != ETIMEDOUT && error != EINTR) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    PyObject *changed = PyList_New(0);
    for (Py_ssize_t i = 0; changed != NULL && i < size; i++) {
        Word *word = (Word *)(uintptr_t)waiters[i].address;
        if (i != result && atomic_load(word) == waiters[i].value) {
            continue;
        }
        PyObject *index = PyLong_FromSsize_t(i);
        if (index == NULL || PyList_Append(changed, index) < 0) {
            Py_CLEAR(changed);
        }
        Py_XDECREF(index);
    }
    return changed;
}

static PyObject *
wake_one(PyObject *Py_UNUSED(module), PyObject *address)
{
    unsigned long long at = PyLong_AsUnsignedLongLong(address);
    if (at == (unsigned long long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    wake((Word *)(uintptr_t)at, 1);
    Py_RETURN_NONE;
}

PyMethodDef sleeper_functions[] = {
    {"sleep_on_any", FAST(sleep_on_any), PyDoc_STR(
     "Sleep while each word has its value, given (address, value) pairs and seconds.\n\n"
     "Returns which were changed or woken.  The memory has to stay mapped meanwhile.\n"
     "Raises OSError where the kernel cannot.")},
    {"wake_one", wake_one, METH_O, PyDoc_STR("Wake one who sleeps at an address.")},
    {NULL, NULL, 0, NULL},
};
