/* Taking by waiting, and what its outcomes are for Python. */

#include "taking.h"

#include "mutex.h"

int
parse_acquire(PyObject *const *args, Py_ssize_t count, PyObject *names,
              int64_t *deadline)
{
    static const char *const known[] = {"block", "timeout"};
    PyObject *values[2] = {NULL, NULL};
    if (!parse_arguments(args, count, names, known, 2, values)) {
        return 0;
    }
    int block = values[0] == NULL ? 1 : PyObject_IsTrue(values[0]);
    if (block < 0) {
        return 0;
    }
    if (!block) {
        *deadline = AT_ONCE;
        return 1;
    }
    return deadline_of(values[1], deadline);
}

Outcome
take_slowly(void *state, Wait wait, int64_t deadline, int interruptible)
{
    for (;;) {
        Outcome outcome;
        Py_BEGIN_ALLOW_THREADS
        outcome = wait(state, deadline);
        Py_END_ALLOW_THREADS
        if (outcome != LOOK) {
            return outcome;
        }
        if (interruptible && PyErr_CheckSignals() < 0) {
            return LOOK;
        }
    }
}

PyObject *
taken(Outcome outcome, void *state)
{
    switch (outcome) {
    case GOT:
        Py_RETURN_TRUE;
    case TIMED_OUT:
        Py_RETURN_FALSE;
    case DEAD: { /* only mutexes have it */
        PyObject *class = attribute_of("mp_sync.errors", "OwnerDiedError");
        if (class != NULL) {
            unsigned long pid = atomic_load(&((MutexState *)state)->dead);
            PyObject *error = PyObject_CallFunction(class, "k", pid);
            if (error != NULL) {
                PyErr_SetObject(class, error);
                Py_DECREF(error);
            }
            Py_DECREF(class);
        }
        return NULL;
    }
    default:
        return NULL;
    }
}

PyObject *
owner_repr(PyObject *self, uint64_t owner, const char *rest)
{
    PyObject *name = PyType_GetName(Py_TYPE(self));
    if (name == NULL) {
        return NULL;
    }
    PyObject *text;
    if (owner == 0) {
        text = PyUnicode_FromFormat("<%U owner=None%s>", name, rest);
    }
    else {
        text = PyUnicode_FromFormat("<%U owner=(process %lu, thread %lu)%s>", name,
            (unsigned long)pid_of(owner), (unsigned long)(uint32_t)owner, rest);
    }
    Py_DECREF(name);
    return text;
}
