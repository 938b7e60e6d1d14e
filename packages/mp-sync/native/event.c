/* Event: the lowest bit of a word says whether it is set, the others count the
 * settings, so that a waiter sees one which was cleared before it could run.
 *
 * Orderings.  Setting changes the word, then looks for waiters; a waiter announces
 * itself, then the kernel compares the word.  Both are sequentially consistent, and the
 * kernel's comparison is ordered after the announcement by the lock of its queue: one of
 * the two sees the other.  Setting releases and the look that finds it set acquires
 * (both are more than that), so what was written before set() is seen after wait().
 */

#include "shared.h"

#include "locks.h"

typedef struct {
    Word word;
    Word waiters;
} EventState;

static PyObject *
event_is_set(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(atomic_load(&STATE(EventState, self)->word) & 1);
}

static PyObject *
event_set(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    EventState *event = STATE(EventState, self);
    uint32_t word = atomic_load(&event->word);
    do {
        if (word & 1) {
            Py_RETURN_NONE;
        }
    } while (!atomic_compare_exchange_weak(&event->word, &word, (word + 2) | 1));
    if (atomic_load(&event->waiters) > 0) {
        wake(&event->word, EVERYBODY);
    }
    Py_RETURN_NONE;
}

static PyObject *
event_clear(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    atomic_fetch_and(&STATE(EventState, self)->word, ~UINT32_C(1));
    Py_RETURN_NONE;
}

static PyObject *
event_wait(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    static const char *const known[] = {"timeout"};
    EventState *event = STATE(EventState, self);
    PyObject *timeout = NULL;
    int64_t deadline;
    if (!parse_arguments(args, count, names, known, 1, &timeout)
        || !deadline_of(timeout, &deadline))
    {
        return NULL;
    }
    /* Any change from an unset word is a setting: clearing one leaves it as it is. */
    uint32_t first = atomic_load(&event->word);
    if (first & 1) {
        Py_RETURN_TRUE;
    }
    int late = deadline == AT_ONCE;
    while (!late) {
        Py_BEGIN_ALLOW_THREADS
        atomic_fetch_add(&event->waiters, 1);
        late = sleep_on(&event->word, first, deadline);
        atomic_fetch_sub(&event->waiters, 1);
        Py_END_ALLOW_THREADS
        if (atomic_load(&event->word) != first) {
            Py_RETURN_TRUE;
        }
        if (PyErr_CheckSignals() < 0) {
            return NULL;
        }
    }
    Py_RETURN_FALSE;
}

static PyObject *
event_repr(PyObject *self)
{
    PyObject *name = PyType_GetName(Py_TYPE(self));
    if (name == NULL) {
        return NULL;
    }
    PyObject *text = PyUnicode_FromFormat("<%U at %p %s>", name, self,
        atomic_load(&STATE(EventState, self)->word) & 1 ? "set" : "unset");
    Py_DECREF(name);
    return text;
}

/* ------------------------------------------------------------------- for event loops */

static PyObject *
event_await(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return start_coroutine("wait", self, args, count, names);
}

static PyObject *
event_announce(PyObject *self, PyObject *change)
{
    long by = PyLong_AsLong(change);
    if (by == -1 && PyErr_Occurred()) {
        return NULL;
    }
    atomic_fetch_add(&STATE(EventState, self)->waiters, (uint32_t)by);
    Py_RETURN_NONE;
}

static PyObject *
event_seen(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Word *word = &STATE(EventState, self)->word;
    return address_and_value(word, atomic_load(word));
}

/* ------------------------------------------------------------------------- the type */

static PyObject *
event_attach(PyObject *type, PyObject *block)
{
    return attach((PyTypeObject *)type, Py_NewRef(block), sizeof(EventState));
}

static PyObject *
event_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return takes_nothing(type, args, kwargs) ? make_shared(type, sizeof(EventState))
                                             : NULL;
}

static PyMethodDef event_methods[] = {
    {"is_set", event_is_set, METH_NOARGS,
     PyDoc_STR("is_set($self, /)\n--\n\nWhether it is set.")},
    {"set", event_set, METH_NOARGS,
     PyDoc_STR("set($self, /)\n--\n\nSet it, and let all go on who wait; it waits for "
               "none of them.")},
    {"clear", event_clear, METH_NOARGS,
     PyDoc_STR("clear($self, /)\n--\n\nUnset it.")},
    {"wait", FAST_NAMED(event_wait),
     PyDoc_STR("wait($self, /, timeout=None)\n--\n\n"
               "Wait until it is set, also if it is cleared again at once.\n\n"
               "Args:\n"
               "    timeout: seconds to wait at most; None for ever, negative is zero.\n\n"
               "Returns:\n"
               "    Whether it was set; False when the time is over.\n")},
    {"await_", FAST_NAMED(event_await),
     PyDoc_STR("await_($self, /, timeout=None)\n--\n\n"
               "Wait in an event loop, where other tasks run meanwhile; a coroutine.\n\n"
               "Args and result are those of wait.\n")},
    {"_announce", event_announce, METH_O, NULL},
    {"_seen", event_seen, METH_NOARGS, NULL},
    {"__reduce__", shared_reduce, METH_NOARGS, NULL},
    {"_attach", event_attach, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(event_doc,
    "A flag that processes and threads wait for (manual, \"Event\").\n\n"
    "Raises:\n"
    "    OSError: there is no shared memory left, or no descriptor.\n");

static PyType_Slot event_slots[] = {
    {Py_tp_new, event_new},
    {Py_tp_dealloc, shared_dealloc},
    {Py_tp_repr, event_repr},
    {Py_tp_methods, event_methods},
    {Py_tp_members, shared_members},
    {Py_tp_doc, (void *)event_doc},
    {0, NULL},
};

PyType_Spec event_spec = {"mp_sync.Event", sizeof(Shared), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, event_slots};
