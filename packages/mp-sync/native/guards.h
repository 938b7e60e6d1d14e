/* Locks that are taken around a few instructions. */
#ifndef MP_SYNC_GUARDS_H
#define MP_SYNC_GUARDS_H

#include "shared.h"

/* How a lock is taken: directly, or by its methods. */
typedef enum { GUARD_LOCK, GUARD_MUTEX, GUARD_METHODS } Guard;

/* What came of it.  NESTED: this thread held it before, and goes on to. */
typedef enum { FAILED, ENTERED, NESTED } Entry;

Guard guard_of(PyObject *lock);
Entry guard_enter(PyObject *lock, Guard guard);
int guard_leave(PyObject *lock, Guard guard, Entry entry);

/* A new recursive lock at the beginning of a block. */
PyObject *rlock_over(PyObject *block);

#endif
