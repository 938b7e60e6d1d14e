/* What all types have in common: an object over a block of shared memory.
 *
 * Each object owns a reference to a block of an arena (mp_sync.arena) and a view of its
 * memory, which therefore stays mapped; all its state lies there, where every process
 * that has the block finds it.
 */
#ifndef MP_SYNC_SHARED_H
#define MP_SYNC_SHARED_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

/* What is built on 3.12 or later runs on 3.11 too, where these objects are counted; the
   macros of newer headers return them uncounted, whatever the limited API asks for. */
#undef Py_RETURN_NONE
#undef Py_RETURN_TRUE
#undef Py_RETURN_FALSE
#define Py_RETURN_NONE return Py_NewRef(Py_None)
#define Py_RETURN_TRUE return Py_NewRef(Py_True)
#define Py_RETURN_FALSE return Py_NewRef(Py_False)

#include "words.h"

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *block;
    Py_buffer view;
    Py_ssize_t offset; /* of the state, within the arena */
    void *state;
    int robust;        /* a lock whose state is a mutex */
    PyObject *permits; /* what a robust semaphore has in place of a state */
    Word *notified;    /* of a lock: whom to wake once it is free (condition.c) */
    int notified_count;
} Shared;

#define STATE(type, object) ((type *)((Shared *)(object))->state)

extern PyMemberDef shared_members[];

int shared_setup(PyObject *module); /* whether it worked, as the next */

PyTypeObject *add_type(PyObject *module, const char *name, PyType_Spec *spec,
                       PyTypeObject *base);
PyObject *new_block(Py_ssize_t size);
PyObject *attribute_of(const char *module, const char *name);
PyObject *attach(PyTypeObject *type, PyObject *block, size_t size);
PyObject *make_shared(PyTypeObject *type, size_t size);
void shared_dealloc(PyObject *self);
PyObject *shared_reduce(PyObject *self, PyObject *ignored);

/* An arguments' part of Python's: these set an exception and return 0 if it is wrong. */
int has_context(PyObject *kwargs); /* which is passed over, and sets no exception */
int takes_nothing(PyTypeObject *type, PyObject *args, PyObject *kwargs);
int deadline_of(PyObject *timeout, int64_t *deadline);
int parse_arguments(PyObject *const *args, Py_ssize_t count, PyObject *names,
                    const char *const *known, Py_ssize_t most, PyObject **values);

/* Asynchronous forms: a coroutine of mp_sync._async, given the object and a time-out. */
PyObject *start_coroutine(const char *function, PyObject *self, PyObject *const *args,
                          Py_ssize_t count, PyObject *names);
/* What mp_sync._async needs to sleep: address and value. */
PyObject *address_and_value(Word *word, uint32_t seen);

#define FAST(function) (PyCFunction)(void (*)(void))function, METH_FASTCALL
#define FAST_NAMED(function)                                                          \
    (PyCFunction)(void (*)(void))function, METH_FASTCALL | METH_KEYWORDS

#endif
