/* Semaphore and BoundedSemaphore: a number and how many wait for it to rise.
 *
 * With robust=True the permits have owners, which needs no speed: mp_sync._permits does
 * it in Python, and each method passes the call on.
 *
 * Orderings.  A waiter announces itself, then looks at the value; a release raises the
 * value, then looks for announcements.  In one total order of all four, as sequential
 * consistency has it, either the waiter's look comes after the raise, and it does not
 * sleep, or the release's look comes after the announcement, and it wakes.  Weaker
 * orders would let both look too early.  (The kernel compares the value once more before
 * the sleep: a raise in between is seen there.)
 */

#include "taking.h"

#include "locks.h"

#define MAX_VALUE INT32_MAX

typedef struct {
    Word value;
    Word waiters;
    Word maximum;
} SemaphoreState;

#define PERMITS(self) (((Shared *)(self))->permits)

static const char semaphore_release_doc[] =
    "release($self, /)\n--\n\n"
    "Raise the value by one, and wake a waiter; any process and thread may, unless it\n"
    "is robust.\n\n"
    "Raises:\n"
    "    ValueError: the value is as high as it may be, or the semaphore is robust and\n"
    "        this process holds no permit.\n";

static Outcome
try_semaphore(void *state)
{
    SemaphoreState *semaphore = state;
    uint32_t value = atomic_load(&semaphore->value);
    while (value > 0) {
        if (atomic_compare_exchange_weak(&semaphore->value, &value, value - 1)) {
            return GOT;
        }
    }
    return LOOK;
}

static Outcome
wait_semaphore(void *state, int64_t deadline)
{
    SemaphoreState *semaphore = state;
    atomic_fetch_add(&semaphore->waiters, 1);
    Outcome outcome = try_semaphore(state);
    if (outcome != GOT) {
        int late = sleep_on(&semaphore->value, 0, deadline);
        outcome = try_semaphore(state);
        if (outcome != GOT && late) {
            outcome = TIMED_OUT;
        }
    }
    atomic_fetch_sub(&semaphore->waiters, 1);
    return outcome;
}

static PyObject *
semaphore_acquire(PyObject *self, PyObject *const *args, Py_ssize_t count,
                  PyObject *names)
{
    if (PERMITS(self) != NULL) {
        static const char *const known[] = {"block", "timeout"};
        PyObject *values[2] = {NULL, NULL};
        if (!parse_arguments(args, count, names, known, 2, values)) {
            return NULL;
        }
        return PyObject_CallMethod(PERMITS(self), "acquire", "OO",
                                   values[0] == NULL ? Py_True : values[0],
                                   values[1] == NULL ? Py_None : values[1]);
    }
    int64_t deadline;
    if (!acquire_deadline(args, count, names, &deadline)) {
        return NULL;
    }
    return take(((Shared *)self)->state, try_semaphore, wait_semaphore, deadline, 1);
}

static PyObject *
semaphore_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return semaphore_acquire(self, NULL, 0, NULL);
}

static PyObject *
semaphore_release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (PERMITS(self) != NULL) {
        return PyObject_CallMethod(PERMITS(self), "release", NULL);
    }
    SemaphoreState *semaphore = STATE(SemaphoreState, self);
    uint32_t value = atomic_load_explicit(&semaphore->value, memory_order_relaxed);
    do {
        /* The maximum never changes once others can see it. */
        if (value >= atomic_load_explicit(&semaphore->maximum, memory_order_relaxed)) {
            PyErr_SetString(PyExc_ValueError, "the semaphore is released too many times");
            return NULL;
        }
    } while (!atomic_compare_exchange_weak(&semaphore->value, &value, value + 1));
    if (atomic_load(&semaphore->waiters) > 0) {
        wake(&semaphore->value, 1);
    }
    Py_RETURN_NONE;
}

EXIT_FUNCTION(semaphore)

static PyObject *
semaphore_get_value(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (PERMITS(self) != NULL) {
        return PyObject_CallMethod(PERMITS(self), "get_value", NULL);
    }
    return PyLong_FromUnsignedLong(atomic_load(&STATE(SemaphoreState, self)->value));
}

static PyObject *
semaphore_locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *value = semaphore_get_value(self, NULL);
    if (value == NULL) {
        return NULL;
    }
    int left = PyObject_IsTrue(value);
    Py_DECREF(value);
    return left < 0 ? NULL : PyBool_FromLong(!left);
}

static PyObject *
semaphore_repr(PyObject *self)
{
    PyObject *name = PyType_GetName(Py_TYPE(self));
    if (name == NULL) {
        return NULL;
    }
    PyObject *text = NULL;
    if (PERMITS(self) != NULL) {
        PyObject *rest = PyObject_Str(PERMITS(self));
        if (rest != NULL) {
            text = PyUnicode_FromFormat("<%U %U>", name, rest);
            Py_DECREF(rest);
        }
        Py_DECREF(name);
        return text;
    }
    SemaphoreState *semaphore = STATE(SemaphoreState, self);
    unsigned long value = atomic_load(&semaphore->value);
    unsigned long maximum = atomic_load(&semaphore->maximum);
    text = maximum == MAX_VALUE
        ? PyUnicode_FromFormat("<%U value=%lu>", name, value)
        : PyUnicode_FromFormat("<%U value=%lu maximum=%lu>", name, value, maximum);
    Py_DECREF(name);
    return text;
}

/* ------------------------------------------------------------------- for event loops */

ASYNC_FUNCTIONS(semaphore)

static PyObject *
semaphore_announce(PyObject *self, PyObject *change)
{
    if (PERMITS(self) != NULL) {
        return PyObject_CallMethod(PERMITS(self), "_announce", "O", change);
    }
    long by = PyLong_AsLong(change);
    if (by == -1 && PyErr_Occurred()) {
        return NULL;
    }
    atomic_fetch_add(&STATE(SemaphoreState, self)->waiters, (uint32_t)by);
    Py_RETURN_NONE;
}

static PyObject *
semaphore_poll(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (PERMITS(self) != NULL) {
        return PyObject_CallMethod(PERMITS(self), "_poll", NULL);
    }
    return PyBool_FromLong(try_semaphore(((Shared *)self)->state) == GOT);
}

static PyObject *
semaphore_seen(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (PERMITS(self) != NULL) {
        return PyObject_CallMethod(PERMITS(self), "_seen", NULL);
    }
    return address_and_value(&STATE(SemaphoreState, self)->value, 0);
}

/* ------------------------------------------------------------------------- the types */

/* What was sent is a block, or the permits of a robust one. */
static PyObject *
semaphore_attach(PyObject *type, PyObject *contents)
{
    PyTypeObject *kind = (PyTypeObject *)type;
    if (!PyObject_HasAttrString(contents, "get_value")) {
        return attach(kind, Py_NewRef(contents), sizeof(SemaphoreState));
    }
    allocfunc make = (allocfunc)PyType_GetSlot(kind, Py_tp_alloc);
    PyObject *self = make(kind, 0);
    if (self != NULL) {
        PERMITS(self) = Py_NewRef(contents);
    }
    return self;
}

static PyObject *
robust_semaphore(PyTypeObject *type, long value)
{
    PyObject *class = attribute_of("mp_sync._permits", "Permits");
    if (class == NULL) {
        return NULL;
    }
    PyObject *permits = PyObject_CallFunction(class, "l", value);
    Py_DECREF(class);
    if (permits == NULL) {
        return NULL;
    }
    PyObject *self = semaphore_attach((PyObject *)type, permits);
    Py_DECREF(permits);
    return self;
}

static PyObject *
make_semaphore(PyTypeObject *type, PyObject *args, PyObject *kwargs, int bounded)
{
    static char *names[] = {"value", "robust", "ctx", NULL};
    PyObject *given = NULL;
    PyObject *context = NULL;
    int robust = 0;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "|O$pO", names, &given, &robust, &context)) {
        return NULL;
    }
    long value = 1;
    if (given != NULL) {
        int overflow;
        PyObject *index = PyNumber_Index(given);
        if (index == NULL) {
            return NULL;
        }
        value = PyLong_AsLongAndOverflow(index, &overflow);
        Py_DECREF(index);
        if (overflow || value < 0 || value > MAX_VALUE) {
            PyErr_Format(PyExc_ValueError,
                "a semaphore begins with 0 to %d, not with %R", MAX_VALUE, given);
            return NULL;
        }
    }
    if (robust) {
        return robust_semaphore(type, value);
    }
    PyObject *self = make_shared(type, sizeof(SemaphoreState));
    if (self != NULL) {
        SemaphoreState *semaphore = STATE(SemaphoreState, self);
        atomic_store(&semaphore->value, (uint32_t)value);
        atomic_store(&semaphore->maximum, bounded ? (uint32_t)value : MAX_VALUE);
    }
    return self;
}

static PyObject *
semaphore_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return make_semaphore(type, args, kwargs, 0);
}

static PyObject *
bounded_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return make_semaphore(type, args, kwargs, 1);
}

static PyMethodDef semaphore_methods[] = {
    COMMON_METHODS(semaphore),
    ASYNC_METHODS(semaphore),
    {"get_value", semaphore_get_value, METH_NOARGS,
     PyDoc_STR("get_value($self, /)\n--\n\nHow often it can be taken right now.")},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(semaphore_doc,
    "Semaphore(value=1, *, robust=False, ctx=None)\n--\n\n"
    "A count that processes and threads share (manual, \"Semaphore\").\n\n"
    "Args:\n"
    "    value: how often it can be taken before anybody waits; 0 to 2**31 - 1.\n"
    "    robust: whether each permit belongs to the process that took it.  No other can\n"
    "        release it then, and when the process ends, what it holds is given back.\n"
    "        The value is 1 at least and never rises above it.\n\n"
    "Raises:\n"
    "    ValueError: the value is out of range.\n"
    "    OSError: there is no shared memory left, or no descriptor.\n");

PyDoc_STRVAR(bounded_doc,
    "BoundedSemaphore(value=1, *, robust=False, ctx=None)\n--\n\n"
    "A semaphore whose value never gets above the first one.\n\n"
    "Args and errors are those of Semaphore.\n");

static PyType_Slot semaphore_slots[] = {
    {Py_tp_new, semaphore_new},
    {Py_tp_dealloc, shared_dealloc},
    {Py_tp_repr, semaphore_repr},
    {Py_tp_methods, semaphore_methods},
    {Py_tp_members, shared_members},
    {Py_tp_doc, (void *)semaphore_doc},
    {0, NULL},
};

static PyType_Slot bounded_slots[] = {
    {Py_tp_new, bounded_new},
    {Py_tp_doc, (void *)bounded_doc},
    {0, NULL},
};

PyType_Spec semaphore_spec = {
    "mp_sync.Semaphore", sizeof(Shared), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, semaphore_slots};
PyType_Spec bounded_spec = {
    "mp_sync.BoundedSemaphore", sizeof(Shared), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, bounded_slots};
