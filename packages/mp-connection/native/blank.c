/* Memory for large messages that is not cleared, as all of it is going to be written. */

#define _GNU_SOURCE
#include "wire.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE /* of Linux 5.14; older headers */
#define MADV_POPULATE_WRITE 23
#endif

typedef struct {
    PyObject_HEAD
    PyObject *bytes;
    Py_ssize_t exports; /* views that may write to it */
} Blank;

static PyObject *
blank_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    Py_ssize_t size;
    static char *names[] = {"size", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "n", names, &size)) {
        return NULL;
    }
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "a size is not negative");
        return NULL;
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, size);
    if (bytes == NULL) {
        return NULL;
    }
    Blank *blank = (Blank *)PyType_GenericAlloc(type, 0);
    if (blank == NULL) {
        Py_DECREF(bytes);
        return NULL;
    }
    blank->bytes = bytes;
    return (PyObject *)blank;
}

/* Bytes that somebody else knows do not change any more.  (None at all may be an object
   that everybody has.) */
static int
is_known(const Blank *blank)
{
    return Py_REFCNT(blank->bytes) > 1 && PyBytes_Size(blank->bytes) > 0;
}

static int
blank_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    Blank *blank = (Blank *)self;
    if (is_known(blank)) {
        PyErr_SetString(PyExc_BufferError, "these bytes are complete");
        view->obj = NULL;
        return -1;
    }
    char *memory = PyBytes_AsString(blank->bytes);
    if (PyBuffer_FillInfo(view, self, memory, PyBytes_Size(blank->bytes), 0, flags) < 0) {
        return -1;
    }
    blank->exports++;
    return 0;
}

static void
blank_releasebuffer(PyObject *self, Py_buffer *view)
{
    (void)view;
    ((Blank *)self)->exports--;
}

PyDoc_STRVAR(view_doc, "All of the memory, whatever size is asked for.");

static PyObject *
blank_view(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return PyMemoryView_FromObject(self);
}

PyDoc_STRVAR(result_doc,
"The bytes, which have all been written: nothing can write to them from now on.");

static PyObject *
blank_result(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    Blank *blank = (Blank *)self;
    if (blank->exports > 0) { /* a traceback may keep a view */
        return PyBytes_FromStringAndSize(
            PyBytes_AsString(blank->bytes), PyBytes_Size(blank->bytes));
    }
    return Py_NewRef(blank->bytes);
}

static void
blank_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((Blank *)self)->bytes);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef blank_methods[] = {
    {"view", blank_view, METH_O, view_doc},
    {"result", blank_result, METH_NOARGS, result_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(blank_doc,
"Memory that becomes a bytes object without a copy.\n\
\n\
What was not written to is not defined.\n\
\n\
Args:\n\
    size: its bytes.");

static PyType_Slot blank_slots[] = {
    {Py_tp_doc, (void *)blank_doc},
    {Py_tp_new, blank_new},
    {Py_tp_dealloc, blank_dealloc},
    {Py_tp_methods, blank_methods},
    {Py_bf_getbuffer, blank_getbuffer},
    {Py_bf_releasebuffer, blank_releasebuffer},
    {0, NULL},
};

PyType_Spec blank_spec = {
    .name = "mp_connection._native.Blank",
    .basicsize = sizeof(Blank),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = blank_slots,
};

PyDoc_STRVAR(blank_array_doc,
"A bytearray of so many bytes, which are not defined before they are written.");

static PyObject *
blank_array(PyObject *module, PyObject *argument)
{
    (void)module;
    Py_ssize_t size = PyLong_AsSsize_t(argument);
    if (size == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "a size is not negative");
        return NULL;
    }
    return PyByteArray_FromStringAndSize(NULL, size);
}

PyDoc_STRVAR(populate_doc,
"Have pages ready for memory that is going to be written for the first time.\n\
\n\
A fault for each page, where it is written, takes the kernel a third longer.  Where it\n\
cannot do this, nothing is done.\n\
\n\
Args:\n\
    view: the memory, writable.\n\
    start: where to begin in it.\n\
    end: where to end.");

static PyObject *
populate(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer view;
    Py_ssize_t start, end;
    if (!PyArg_ParseTuple(args, "w*nn", &view, &start, &end)) {
        return NULL;
    }
    if (start < 0 || end > view.len) {
        PyErr_SetString(PyExc_ValueError, "the places are not in the buffer");
        PyBuffer_Release(&view);
        return NULL;
    }
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    /* Whole pages only: what lies beside them may be in use. */
    uintptr_t first = ((uintptr_t)view.buf + (size_t)start + page - 1) / page * page;
    uintptr_t last = ((uintptr_t)view.buf + (size_t)end) / page * page;
    if (first < last) {
        Py_BEGIN_ALLOW_THREADS
        (void)madvise((void *)first, last - first, MADV_POPULATE_WRITE);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&view);
    Py_RETURN_NONE;
}

PyMethodDef blank_functions[] = {
    {"populate", populate, METH_VARARGS, populate_doc},
    {"blank_array", blank_array, METH_O, blank_array_doc},
    {NULL, NULL, 0, NULL},
};
