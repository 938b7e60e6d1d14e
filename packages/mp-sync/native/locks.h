/* What a condition needs of its lock, be it a Lock or an RLock. */
#ifndef MP_SYNC_LOCKS_H
#define MP_SYNC_LOCKS_H

#include "taking.h"

extern PyTypeObject *lock_type, *rlock_type;
extern PyType_Spec lock_spec, rlock_spec, semaphore_spec, bounded_spec, event_spec,
    words_spec;
extern PyMethodDef condition_functions[];

/* How often the caller holds it. */
uint32_t lock_depth(PyObject *self);
uint32_t rlock_depth(PyObject *self);
/* Let go of it entirely; the caller holds it. */
void lock_let_go(PyObject *self);
void rlock_let_go(PyObject *self);
/* Take it; LOOK with an exception set if a signal handler raises. */
Outcome lock_take(PyObject *self, int interruptible);
/* Hold it so often, whatever signals arrive; GOT, or DEAD. */
Outcome lock_take_back(PyObject *self, uint32_t depth);
Outcome rlock_take_back(PyObject *self, uint32_t depth);

/* Wake those whom a condition has notified: the lock is free now. */
static inline void
wake_notified(PyObject *self)
{
    Shared *lock = (Shared *)self;
    if (lock->notified != NULL) {
        Word *word = lock->notified;
        lock->notified = NULL;
        wake(word, lock->notified_count);
    }
}

#define DEPTH_METHODS(kind)                                                           \
    {"_depth", kind##_depth_method, METH_NOARGS,                                      \
     PyDoc_STR("How often the caller holds it.")},                                    \
    {"_release_all", kind##_release_all, METH_NOARGS,                                 \
     PyDoc_STR("Let go of it, however often the caller, who does, holds it.")}

#endif
