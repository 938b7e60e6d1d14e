/* Taking: at once, by waiting, and by a task of an event loop. */
#ifndef MP_SYNC_TAKING_H
#define MP_SYNC_TAKING_H

#include "shared.h"

typedef enum { GOT, TIMED_OUT, LOOK, DEAD } Outcome;

/* How each kind is taken: at once, and by waiting, which is called without the GIL and
   comes back with LOOK when a signal may have arrived. */
typedef Outcome (*Try)(void *state);
typedef Outcome (*Wait)(void *state, int64_t deadline);

/* Arguments block and timeout, as a deadline; 0 if they are wrong. */
int parse_acquire(PyObject *const *args, Py_ssize_t count, PyObject *names,
                  int64_t *deadline);

static inline int
acquire_deadline(PyObject *const *args, Py_ssize_t count, PyObject *names,
                 int64_t *deadline)
{
    *deadline = FOREVER;
    return (count == 0 && names == NULL) || parse_acquire(args, count, names, deadline);
}

/* Take by waiting: GOT, TIMED_OUT, DEAD, or LOOK with an exception set. */
Outcome take_slowly(void *state, Wait wait, int64_t deadline, int interruptible);

PyObject *taken(Outcome outcome, void *state); /* the same, for Python */

static inline PyObject *
take(void *state, Try at_once, Wait wait, int64_t deadline, int interruptible)
{
    Outcome outcome = at_once(state);
    if (outcome == LOOK) { /* not free */
        if (deadline == AT_ONCE) {
            Py_RETURN_FALSE;
        }
        outcome = take_slowly(state, wait, deadline, interruptible);
    }
    if (outcome == GOT) {
        Py_RETURN_TRUE;
    }
    return taken(outcome, state);
}

PyObject *owner_repr(PyObject *self, uint64_t owner, const char *rest);

#define ACQUIRE_DOC                                                                   \
    "acquire($self, /, block=True, timeout=None)\n--\n\n"                             \
    "Take it, waiting if need be; returns whether it was taken.\n\n"                  \
    "Args:\n"                                                                         \
    "    block: whether to wait.\n"                                                   \
    "    timeout: seconds to wait at most; None for ever, negative is zero.\n"

#define AACQUIRE_DOC                                                                  \
    "aacquire($self, /, timeout=None)\n--\n\n"                                        \
    "Take it in an event loop, where other tasks run meanwhile; a coroutine.\n\n"     \
    "Args:\n"                                                                         \
    "    timeout: seconds to wait at most; None for ever, negative is zero.\n\n"      \
    "Returns:\n"                                                                      \
    "    Whether it was taken.  A wait that is cancelled has not taken it.\n"

/* What every type that is taken has; needs <kind>_acquire and so on. */
#define COMMON_METHODS(kind)                                                          \
    {"acquire", FAST_NAMED(kind##_acquire), PyDoc_STR(ACQUIRE_DOC)},                  \
    {"release", kind##_release, METH_NOARGS, PyDoc_STR(kind##_release_doc)},          \
    {"locked", kind##_locked, METH_NOARGS,                                            \
     PyDoc_STR("locked($self, /)\n--\n\nWhether it cannot be taken at once.")},       \
    {"__enter__", kind##_enter, METH_NOARGS, NULL},                                   \
    {"__exit__", FAST(kind##_exit), NULL},                                            \
    {"__reduce__", shared_reduce, METH_NOARGS, NULL},                                 \
    {"_attach", kind##_attach, METH_O | METH_CLASS, NULL}

/* For event loops: to announce a waiter (+1, -1), to try as one, what to sleep on. */
#define ASYNC_METHODS(kind)                                                           \
    {"aacquire", FAST_NAMED(kind##_aacquire), PyDoc_STR(AACQUIRE_DOC)},               \
    {"__aenter__", kind##_aenter, METH_NOARGS, NULL},                                 \
    {"__aexit__", FAST(kind##_aexit), NULL},                                          \
    {"_announce", kind##_announce, METH_O, NULL},                                     \
    {"_poll", kind##_poll, METH_NOARGS, NULL},                                        \
    {"_seen", kind##_seen, METH_NOARGS, NULL}

#define EXIT_FUNCTION(kind)                                                           \
    static PyObject *kind##_exit(PyObject *self, PyObject *const *Py_UNUSED(args),    \
                                 Py_ssize_t Py_UNUSED(count))                         \
    {                                                                                 \
        return kind##_release(self, NULL);                                            \
    }

#define ASYNC_FUNCTIONS(kind)                                                         \
    static PyObject *kind##_aacquire(PyObject *self, PyObject *const *args,           \
                                     Py_ssize_t count, PyObject *names)               \
    {                                                                                 \
        return start_coroutine("acquire", self, args, count, names);                  \
    }                                                                                 \
    static PyObject *kind##_aenter(PyObject *self, PyObject *Py_UNUSED(ignored))      \
    {                                                                                 \
        return start_coroutine("acquire", self, NULL, 0, NULL);                       \
    }                                                                                 \
    static PyObject *kind##_aexit(PyObject *self, PyObject *const *Py_UNUSED(args),   \
                                  Py_ssize_t Py_UNUSED(count))                        \
    {                                                                                 \
        return start_coroutine("release", self, NULL, 0, NULL);                       \
    }

#endif
