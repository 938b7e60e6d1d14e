/* RLock: a robust mutex, and how often its holder has taken it. */

#include "locks.h"
#include "mutex.h"

PyTypeObject *rlock_type;

static const char rlock_release_doc[] =
    "release($self, /)\n--\n\n"
    "Undo one acquire; after the last, one waiter goes on.\n\n"
    "Raises:\n"
    "    AssertionError: this process and thread does not hold it.\n";

static Outcome
try_rlock(void *state)
{
    MutexState *lock = state;
    uint64_t who = me();
    if (atomic_load_explicit(&lock->owner, memory_order_relaxed) == who) {
        uint32_t count = atomic_load_explicit(&lock->count, memory_order_relaxed);
        atomic_store_explicit(&lock->count, count + 1, memory_order_relaxed);
        return GOT;
    }
    return try_mutex_as(lock, who);
}

static PyObject *
rlock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    int64_t deadline;
    if (!acquire_deadline(args, count, names, &deadline)) {
        return NULL;
    }
    return take(((Shared *)self)->state, try_rlock, wait_mutex, deadline, 1);
}

static PyObject *
rlock_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return take(((Shared *)self)->state, try_rlock, wait_mutex, FOREVER, 1);
}

static PyObject *
rlock_release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    MutexState *lock = STATE(MutexState, self);
    if (!mutex_is_mine(lock)) {
        PyErr_SetString(PyExc_AssertionError,
            "a recursive lock is released by the process and thread that hold it");
        return NULL;
    }
    uint32_t count = atomic_load_explicit(&lock->count, memory_order_relaxed) - 1;
    if (count == 0) {
        release_mutex(lock);
        wake_notified(self);
    }
    else {
        atomic_store_explicit(&lock->count, count, memory_order_relaxed);
    }
    Py_RETURN_NONE;
}

EXIT_FUNCTION(rlock)

static PyObject *
rlock_recover(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(recover_mutex(STATE(MutexState, self)));
}

static PyObject *
rlock_locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(atomic_load(&STATE(MutexState, self)->owner) != 0);
}

static PyObject *
rlock_repr(PyObject *self)
{
    MutexState *lock = STATE(MutexState, self);
    char rest[40] = "";
    uint32_t count = atomic_load(&lock->count);
    if (count > 0) {
        PyOS_snprintf(rest, sizeof rest, " count=%lu", (unsigned long)count);
    }
    return owner_repr(self, atomic_load(&lock->owner), rest);
}

/* ------------------------------------------------------------------- for conditions */

uint32_t
rlock_depth(PyObject *self)
{
    MutexState *lock = STATE(MutexState, self);
    return mutex_is_mine(lock) ? atomic_load(&lock->count) : 0;
}

void
rlock_let_go(PyObject *self)
{
    release_mutex(STATE(MutexState, self));
    wake_notified(self);
}

Outcome
rlock_take_back(PyObject *self, uint32_t depth)
{
    MutexState *lock = STATE(MutexState, self);
    if (depth == 0 || mutex_is_mine(lock)) {
        return GOT;
    }
    Outcome outcome = try_mutex(lock);
    if (outcome == LOOK) {
        outcome = take_slowly(lock, wait_mutex, FOREVER, 0);
    }
    if (outcome == GOT) {
        atomic_store(&lock->count, depth);
    }
    return outcome;
}

static PyObject *
rlock_depth_method(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLong(rlock_depth(self));
}

static PyObject *
rlock_release_all(PyObject *self, PyObject *ignored)
{
    MutexState *lock = STATE(MutexState, self);
    if (mutex_is_mine(lock)) {
        atomic_store(&lock->count, 1);
    }
    return rlock_release(self, ignored);
}

/* ------------------------------------------------------------------------- the type */

static PyObject *
rlock_attach(PyObject *type, PyObject *block)
{
    return attach((PyTypeObject *)type, Py_NewRef(block), sizeof(MutexState));
}

static PyObject *
rlock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (!takes_nothing(type, args, kwargs)) {
        return NULL;
    }
    PyObject *self = make_shared(type, sizeof(MutexState));
    if (self != NULL) {
        int error = mutex_setup(STATE(MutexState, self));
        if (error != 0) {
            Py_DECREF(self);
            errno = error;
            return PyErr_SetFromErrno(PyExc_OSError);
        }
    }
    return self;
}

static void
rlock_dealloc(PyObject *self)
{
    Shared *shared = (Shared *)self;
    if (shared->state != NULL && mutex_is_ours(shared->state)) {
        shared->view.obj = NULL; /* its memory is kept */
        shared->block = NULL;
    }
    shared_dealloc(self);
}

static PyMethodDef rlock_methods[] = {
    COMMON_METHODS(rlock),
    DEPTH_METHODS(rlock),
    {"recover", rlock_recover, METH_NOARGS, PyDoc_STR(
     "recover($self, /)\n--\n\n"
     "Take the lock of a process that died in possession of it.\n\n"
     "Until somebody does, acquire raises OwnerDiedError, as what the lock protects may\n"
     "be half changed.\n\n"
     "Returns:\n"
     "    True: it is held by the caller now, who sees to the data and releases it.\n"
     "    False: there is nothing to recover, for instance because another process was\n"
     "    first; the lock is not taken.\n")},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(rlock_doc,
    "A lock that its holder can take again (manual, \"RLock\").\n\n"
    "It belongs to a process and thread, which releases it as often as it took it.\n"
    "When that process or thread ends while it holds the lock, the next acquire\n"
    "raises OwnerDiedError; see recover.\n\n"
    "Raises:\n"
    "    OSError: there is no shared memory left, or no descriptor.\n");

static PyType_Slot rlock_slots[] = {
    {Py_tp_new, rlock_new},
    {Py_tp_dealloc, rlock_dealloc},
    {Py_tp_repr, rlock_repr},
    {Py_tp_methods, rlock_methods},
    {Py_tp_members, shared_members},
    {Py_tp_doc, (void *)rlock_doc},
    {0, NULL},
};

PyType_Spec rlock_spec = {"mp_sync.RLock", sizeof(Shared), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, rlock_slots};
