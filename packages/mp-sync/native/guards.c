/* Cells take a lock for a copy of a few bytes: without a call of Python, and without a
 * name in it, since whoever is killed there has half changed nothing.  So one that dies
 * within is to the others as if it had never come (see mutex_taken).
 */

#include "guards.h"

#include "locks.h"
#include "mutex.h"

Guard
guard_of(PyObject *lock)
{
    if (Py_TYPE(lock) == lock_type) {
        return ((Shared *)lock)->robust ? GUARD_MUTEX : GUARD_LOCK;
    }
    return Py_TYPE(lock) == rlock_type ? GUARD_MUTEX : GUARD_METHODS;
}

static Entry
enter_mutex(MutexState *lock)
{
    if (mutex_is_mine(lock)) {
        return NESTED;
    }
    Outcome outcome = try_mutex_unnamed(lock);
    if (outcome == LOOK) {
        outcome = wait_mutex_unnamed(lock);
    }
    if (outcome == GOT) {
        return ENTERED;
    }
    taken(outcome, lock); /* sets the exception, if none is set */
    return FAILED;
}

Entry
guard_enter(PyObject *lock, Guard guard)
{
    if (guard == GUARD_MUTEX) {
        return enter_mutex(STATE(MutexState, lock));
    }
    if (guard == GUARD_LOCK) {
        if (lock_depth(lock)) {
            return NESTED;
        }
        return lock_take(lock, 1) == GOT ? ENTERED : FAILED;
    }
    PyObject *taken = PyObject_CallMethod(lock, "acquire", NULL);
    Py_XDECREF(taken);
    return taken == NULL ? FAILED : ENTERED;
}

int
guard_leave(PyObject *lock, Guard guard, Entry entry)
{
    if (entry == NESTED) {
        return 1;
    }
    if (guard == GUARD_MUTEX) {
        release_mutex(STATE(MutexState, lock));
        return 1;
    }
    if (guard == GUARD_LOCK) {
        lock_let_go(lock);
        return 1;
    }
    PyObject *done = PyObject_CallMethod(lock, "release", NULL);
    Py_XDECREF(done);
    return done != NULL;
}

PyObject *
rlock_over(PyObject *block)
{
    PyObject *self = attach(rlock_type, Py_NewRef(block), sizeof(MutexState));
    int error = self == NULL ? 0 : mutex_setup(STATE(MutexState, self));
    if (error != 0) {
        Py_DECREF(self);
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return self;
}
