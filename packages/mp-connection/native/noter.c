/* Noting which task runs, without a call of Python's for each.
 *
 * A worker of a pool notes the index of every task before it runs, in memory that
 * outlives it, so that its death is the matter of one task.  For short tasks that is half
 * of what they cost if it is Python that stores the number.
 */

#include "wire.h"

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t Word;

typedef struct {
    PyObject_HEAD
    Py_buffer view;
    Word *word; /* NULL: released */
} Noter;

typedef struct {
    PyObject_HEAD
    Noter *noter;
    PyObject *tasks; /* an iterator */
    uint64_t index;  /* of the next */
} Noted;

/* ------------------------------------------------------------------------- iterating */

static PyObject *
noted_next(PyObject *self)
{
    Noted *noted = (Noted *)self;
    PyObject *task = PyIter_Next(noted->tasks);
    if (task == NULL) {
        return NULL;
    }
    Word *word = noted->noter->word;
    if (word == NULL) {
        Py_DECREF(task);
        PyErr_SetString(PyExc_ValueError, "the memory for notes is released");
        return NULL;
    }
    /* One store, so that no SIGKILL leaves half of it. */
    atomic_store_explicit(word, noted->index++, memory_order_relaxed);
    return task;
}

static void
noted_dealloc(PyObject *self)
{
    Noted *noted = (Noted *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF((PyObject *)noted->noter);
    Py_XDECREF(noted->tasks);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static int
noted_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Noted *)self)->tasks);
    return 0;
}

static PyType_Slot noted_slots[] = {
    {Py_tp_dealloc, noted_dealloc},
    {Py_tp_traverse, noted_traverse},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, noted_next},
    {0, NULL},
};

PyType_Spec noted_spec = {
    .name = "mp_connection._native.Noted",
    .basicsize = sizeof(Noted),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = noted_slots,
};

/* ------------------------------------------------------------------------ the memory */

static PyObject *
noter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *memory;
    static char *names[] = {"memory", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O", names, &memory)) {
        return NULL;
    }
    Noter *noter = (Noter *)PyType_GenericAlloc(type, 0);
    if (noter == NULL) {
        return NULL;
    }
    if (PyObject_GetBuffer(memory, &noter->view, PyBUF_WRITABLE) < 0) {
        noter->view.obj = NULL;
        Py_DECREF((PyObject *)noter);
        return NULL;
    }
    if (noter->view.len != sizeof(Word) || (uintptr_t)noter->view.buf % sizeof(Word)) {
        PyErr_SetString(PyExc_ValueError, "a word that is aligned is needed");
        Py_DECREF((PyObject *)noter);
        return NULL;
    }
    noter->word = noter->view.buf;
    return (PyObject *)noter;
}

PyDoc_STRVAR(over_doc,
"The tasks, each of which is noted before it is handed out.\n\
\n\
Args:\n\
    tasks: any iterable.\n\
    start: the index of the first.");

static PyObject *
noter_over(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "tasks and an index are needed");
        return NULL;
    }
    uint64_t index = PyLong_AsUnsignedLongLong(args[1]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    PyObject *tasks = PyObject_GetIter(args[0]);
    if (tasks == NULL) {
        return NULL;
    }
    PyTypeObject **iterators = PyType_GetModuleState(Py_TYPE(self));
    Noted *noted =
        iterators == NULL ? NULL : (Noted *)PyType_GenericAlloc(*iterators, 0);
    if (noted == NULL) {
        Py_DECREF(tasks);
        return NULL;
    }
    noted->noter = (Noter *)Py_NewRef(self);
    noted->tasks = tasks;
    noted->index = index;
    return (PyObject *)noted;
}

PyDoc_STRVAR(release_doc,
"Let go of the memory; what iterates over tasks still then fails.  A second call does\n\
nothing.");

static PyObject *
noter_release(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    Noter *noter = (Noter *)self;
    if (noter->word != NULL) {
        noter->word = NULL;
        PyBuffer_Release(&noter->view);
    }
    Py_RETURN_NONE;
}

static void
noter_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (((Noter *)self)->view.obj != NULL) {
        PyBuffer_Release(&((Noter *)self)->view);
    }
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef noter_methods[] = {
    {"over", (PyCFunction)(void (*)(void))noter_over, METH_FASTCALL, over_doc},
    {"release", noter_release, METH_NOARGS, release_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(noter_doc,
"Notes in a word of memory which task runs.\n\
\n\
Args:\n\
    memory: eight writable bytes, aligned.");

static PyType_Slot noter_slots[] = {
    {Py_tp_doc, (void *)noter_doc},
    {Py_tp_new, noter_new},
    {Py_tp_dealloc, noter_dealloc},
    {Py_tp_methods, noter_methods},
    {0, NULL},
};

PyType_Spec noter_spec = {
    .name = "mp_connection._native.Noter",
    .basicsize = sizeof(Noter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = noter_slots,
};
