/* Lock: a word that anybody may release, or with robust=True a mutex of its holder's.
 *
 * Orderings.  The exchange that takes the word acquires, the one that frees it releases:
 * what the last holder wrote is seen by the next one.  `owner` is read by others for
 * repr only.  A release that finds HELD_WAITED has freed the word already when it wakes;
 * a waiter that has not gone to sleep yet finds that the word is not HELD_WAITED any
 * more, and one that sleeps is woken.  No waiter is forgotten: who sleeps has made the
 * word HELD_WAITED, and it is FREE only after a release that saw that and woke one.
 * That one takes the lock as HELD_WAITED, on behalf of those that are still asleep.
 */

#include "locks.h"
#include "mutex.h"

/* Whoever finds it held makes the word HELD_WAITED before it sleeps, and takes it in
   that state too, as others may be asleep beside it. */
enum { FREE = 0, HELD = 1, HELD_WAITED = 2 };

typedef struct {
    Word word;
    Word robust; /* whether a mutex follows, which is the lock */
    Owner owner; /* who took it; 0 while it is free, or changing hands */
} LockState;

typedef struct {
    LockState plain;
    MutexState mutex;
} RobustState;

PyTypeObject *lock_type;

static const char lock_release_doc[] =
    "release($self, /)\n--\n\n"
    "Let go; any process and thread may, whoever took it, unless it is robust.\n\n"
    "Raises:\n"
    "    ValueError: it is not held.\n"
    "    AssertionError: it is robust, and another process or thread holds it.\n";

static Outcome
try_lock(void *state)
{
    LockState *lock = state;
    uint32_t expected = FREE;
    if (!atomic_compare_exchange_strong_explicit(
            &lock->word, &expected, HELD, memory_order_acquire, memory_order_relaxed))
    {
        return LOOK;
    }
    atomic_store_explicit(&lock->owner, me(), memory_order_relaxed);
    return GOT;
}

static Outcome
poll_lock(void *state)
{
    LockState *lock = state;
    if (atomic_exchange_explicit(&lock->word, HELD_WAITED, memory_order_acquire) != FREE) {
        return LOOK;
    }
    atomic_store_explicit(&lock->owner, me(), memory_order_relaxed);
    return GOT;
}

static Outcome
wait_lock(void *state, int64_t deadline)
{
    LockState *lock = state;
    if (poll_lock(state) == GOT) {
        return GOT;
    }
    if (sleep_on(&lock->word, HELD_WAITED, deadline)) {
        return TIMED_OUT;
    }
    return poll_lock(state);
}

/* Whether it was held. */
static int
free_lock(LockState *lock)
{
    /* Before the word: afterwards the owner is somebody else's to write. */
    if (atomic_load_explicit(&lock->word, memory_order_relaxed) == FREE) {
        return 0;
    }
    atomic_store_explicit(&lock->owner, 0, memory_order_relaxed);
    uint32_t was = atomic_exchange_explicit(&lock->word, FREE, memory_order_release);
    if (was == HELD_WAITED) {
        wake(&lock->word, 1);
    }
    return was != FREE;
}

static inline int
is_robust(PyObject *self)
{
    return ((Shared *)self)->robust;
}

static PyObject *
take_lock(PyObject *self, int64_t deadline, int interruptible)
{
    void *state = ((Shared *)self)->state;
    if (is_robust(self)) {
        return take(state, try_mutex, wait_mutex, deadline, interruptible);
    }
    return take(state, try_lock, wait_lock, deadline, interruptible);
}

static PyObject *
lock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    int64_t deadline;
    if (!acquire_deadline(args, count, names, &deadline)) {
        return NULL;
    }
    return take_lock(self, deadline, 1);
}

static PyObject *
lock_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return take_lock(self, FOREVER, 1);
}

static PyObject *
lock_release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!is_robust(self)) {
        if (free_lock(STATE(LockState, self))) {
            wake_notified(self);
            Py_RETURN_NONE;
        }
    }
    else {
        MutexState *lock = STATE(MutexState, self);
        if (mutex_is_mine(lock)) {
            release_mutex(lock);
            wake_notified(self);
            Py_RETURN_NONE;
        }
        if (atomic_load(&lock->owner) != 0) {
            PyErr_SetString(PyExc_AssertionError,
                "a robust lock is released by the process and thread that hold it");
            return NULL;
        }
    }
    PyErr_SetString(PyExc_ValueError, "the lock is not held, and cannot be released");
    return NULL;
}

EXIT_FUNCTION(lock)

static uint64_t
lock_owner(PyObject *self)
{
    return is_robust(self) ? atomic_load(&STATE(MutexState, self)->owner)
                           : atomic_load(&STATE(LockState, self)->owner);
}

static PyObject *
lock_locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(is_robust(self)
        ? lock_owner(self) != 0
        : atomic_load(&STATE(LockState, self)->word) != FREE);
}

static PyObject *
lock_repr(PyObject *self)
{
    return owner_repr(self, lock_owner(self), "");
}

static PyObject *
lock_recover(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!is_robust(self)) {
        PyErr_SetString(PyExc_RuntimeError,
            "a lock that anybody may release cannot be recovered; make it with"
            " Lock(robust=True)");
        return NULL;
    }
    return PyBool_FromLong(recover_mutex(STATE(MutexState, self)));
}

/* ------------------------------------------------------------------- for conditions */

uint32_t
lock_depth(PyObject *self)
{
    return lock_owner(self) == me();
}

void
lock_let_go(PyObject *self)
{
    if (is_robust(self)) {
        release_mutex(STATE(MutexState, self));
    }
    else {
        free_lock(STATE(LockState, self));
    }
    wake_notified(self);
}

Outcome
lock_take(PyObject *self, int interruptible)
{
    void *state = ((Shared *)self)->state;
    Outcome outcome = is_robust(self) ? try_mutex(state) : try_lock(state);
    if (outcome == LOOK) {
        Wait wait = is_robust(self) ? wait_mutex : wait_lock;
        outcome = take_slowly(state, wait, FOREVER, interruptible);
    }
    return outcome;
}

Outcome
lock_take_back(PyObject *self, uint32_t depth)
{
    return depth == 0 || lock_depth(self) ? GOT : lock_take(self, 0);
}

static PyObject *
lock_depth_method(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLong(lock_depth(self));
}

static PyObject *
lock_release_all(PyObject *self, PyObject *ignored)
{
    return lock_release(self, ignored);
}

/* ------------------------------------------------------------------- for event loops */

ASYNC_FUNCTIONS(lock)

static PyObject *
lock_announce(PyObject *self, PyObject *change)
{
    long by = PyLong_AsLong(change);
    if (by == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (is_robust(self)) { /* a plain one is told by its word */
        atomic_fetch_add(&STATE(MutexState, self)->waiters, (uint32_t)by);
    }
    Py_RETURN_NONE;
}

static PyObject *
lock_poll(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    void *state = ((Shared *)self)->state;
    Outcome outcome = is_robust(self) ? poll_mutex(state) : poll_lock(state);
    return taken(outcome == LOOK ? TIMED_OUT : outcome, state);
}

static PyObject *
lock_seen(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (is_robust(self)) {
        Word *word = &STATE(MutexState, self)->sequence;
        return address_and_value(word, atomic_load(word));
    }
    return address_and_value(&STATE(LockState, self)->word, HELD_WAITED);
}

/* ------------------------------------------------------------------------- the type */

static PyObject *
robust_lock(PyObject *self)
{
    if (self != NULL) {
        ((Shared *)self)->robust = 1;
        ((Shared *)self)->state = &STATE(RobustState, self)->mutex;
    }
    return self;
}

static PyObject *
lock_attach(PyObject *type, PyObject *block)
{
    PyTypeObject *kind = (PyTypeObject *)type;
    PyObject *self = attach(kind, Py_NewRef(block), sizeof(LockState));
    if (self != NULL && atomic_load(&STATE(LockState, self)->robust)) {
        Py_DECREF(self);
        return robust_lock(attach(kind, Py_NewRef(block), sizeof(RobustState)));
    }
    return self;
}

static PyObject *
lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    int robust = 0;
    PyObject *given = kwargs == NULL ? NULL : PyDict_GetItemString(kwargs, "robust");
    if (given != NULL) {
        robust = PyObject_IsTrue(given);
        if (robust < 0) {
            return NULL;
        }
    }
    if (given == NULL || PyDict_Size(kwargs) > 1 + has_context(kwargs)
        || PyTuple_Size(args) > 0) {
        if (!takes_nothing(type, args, kwargs)) {
            return NULL;
        }
    }
    if (!robust) {
        return make_shared(type, sizeof(LockState));
    }
    PyObject *self = make_shared(type, sizeof(RobustState));
    if (self != NULL) {
        int error = mutex_setup(&STATE(RobustState, self)->mutex);
        if (error != 0) {
            Py_DECREF(self);
            errno = error;
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        atomic_store(&STATE(LockState, self)->robust, 1);
    }
    return robust_lock(self);
}

static void
lock_dealloc(PyObject *self)
{
    Shared *shared = (Shared *)self;
    if (shared->robust && mutex_is_ours(shared->state)) {
        shared->view.obj = NULL; /* its memory is kept */
        shared->block = NULL;
    }
    shared_dealloc(self);
}

static PyMethodDef lock_methods[] = {
    COMMON_METHODS(lock),
    ASYNC_METHODS(lock),
    DEPTH_METHODS(lock),
    {"recover", lock_recover, METH_NOARGS, PyDoc_STR(
     "recover($self, /)\n--\n\n"
     "Take the robust lock of a process that died in possession of it.\n\n"
     "Returns:\n"
     "    As `RLock.recover`.\n\n"
     "Raises:\n"
     "    RuntimeError: it was not made with ``robust=True``.\n")},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(lock_doc,
    "Lock(*, robust=False, ctx=None)\n--\n\n"
    "A lock that processes and threads share (manual, \"Lock\").\n\n"
    "It is taken once and may be let go by anybody.  So it stays held when a process\n"
    "dies that holds it, unless it is robust.\n\n"
    "Args:\n"
    "    robust: whether it belongs to the process and thread that take it.  Nobody\n"
    "        else can release it then, and when they end in possession of it, the next\n"
    "        acquire raises OwnerDiedError; see recover.\n\n"
    "Raises:\n"
    "    OSError: there is no shared memory left, or no descriptor.\n");

static PyType_Slot lock_slots[] = {
    {Py_tp_new, lock_new},
    {Py_tp_dealloc, lock_dealloc},
    {Py_tp_repr, lock_repr},
    {Py_tp_methods, lock_methods},
    {Py_tp_members, shared_members},
    {Py_tp_doc, (void *)lock_doc},
    {0, NULL},
};

PyType_Spec lock_spec = {"mp_sync.Lock", sizeof(Shared), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, lock_slots};
