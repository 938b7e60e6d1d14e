/* Arrays of numbers and characters: a slice is copied as a whole, under one lock. */

#include "cells.h"

static Py_ssize_t
array_length(PyObject *self)
{
    return ((Cells *)self)->count;
}

static PyObject *
array_item(PyObject *self, Py_ssize_t index)
{
    Cells *cells = (Cells *)self;
    Item item;
    if (!has_format(cells)) {
        return NULL;
    }
    if (index < 0 || index >= cells->count) {
        PyErr_SetString(PyExc_IndexError, "the index is out of range");
        return NULL;
    }
    Entry entry = guard_enter(cells->lock, cells->guard);
    if (entry == FAILED) {
        return NULL;
    }
    Py_ssize_t size = cells->format->size;
    copy_item(item.bytes, cells->items + index * size, size);
    if (!guard_leave(cells->lock, cells->guard, entry)) {
        return NULL;
    }
    return to_python(cells->format, &item);
}

static int
array_set_item(PyObject *self, Py_ssize_t index, PyObject *value)
{
    Cells *cells = (Cells *)self;
    Item item;
    if (index < 0 || index >= cells->count) {
        PyErr_SetString(PyExc_IndexError, "the index is out of range");
        return -1;
    }
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "items of an array cannot be deleted");
        return -1;
    }
    if (!has_format(cells) || !from_python(cells->format, value, &item)) {
        return -1;
    }
    Entry entry = guard_enter(cells->lock, cells->guard);
    if (entry == FAILED) {
        return -1;
    }
    Py_ssize_t size = cells->format->size;
    copy_item(cells->items + index * size, item.bytes, size);
    return guard_leave(cells->lock, cells->guard, entry) ? 0 : -1;
}

/* The items of a slice as Python has them. */
static PyObject *
items_to_python(const Format *format, const char *from, Py_ssize_t count)
{
    if (format->class == BYTE_CHAR) {
        return PyBytes_FromStringAndSize(from, count);
    }
    if (format->class == WIDE_CHAR) {
        return PyUnicode_FromWideChar((const wchar_t *)from, count);
    }
    PyObject *list = PyList_New(count);
    if (list == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *value;
        if (format->class == DOUBLE) {
            value = PyFloat_FromDouble(((const double *)from)[i]);
        }
        else {
            Item item;
            copy_item(item.bytes, from + i * format->size, format->size);
            value = to_python(format, &item);
        }
        if (value == NULL) {
            Py_DECREF(list);
            return NULL;
        }
        PyList_SetItem(list, i, value);
    }
    return list;
}

/* Whether a buffer holds items as ours. */
static int
same_items(const Format *format, const Py_buffer *view)
{
    const char *code = view->format == NULL ? "B" : view->format;
    if (*code == '@' || *code == '=') {
        code++;
    }
    if (view->ndim != 1 || view->itemsize != format->size || !*code || code[1]) {
        return 0;
    }
    switch (format->class) {
    case SIGNED:
        return strchr("bhilqn", *code) != NULL;
    case UNSIGNED:
        return strchr("BHILQN", *code) != NULL;
    case FLOAT:
    case DOUBLE:
        return *code == format->code;
    case BYTE_CHAR:
        return *code == 'c' || *code == 'B';
    default:
        return 0;
    }
}

static int
wrong_size(void)
{
    PyErr_SetString(PyExc_ValueError, "a slice is replaced by as many items as it has");
    return -1;
}

/* Items from Python, for a slice of so many. */
static int
items_from_python(const Format *format, PyObject *values, Py_ssize_t count, char *to)
{
    Py_ssize_t size = format->size;
    if (PyObject_CheckBuffer(values)) {
        Py_buffer view;
        if (PyObject_GetBuffer(values, &view, PyBUF_FORMAT | PyBUF_ND) == 0) {
            int same = same_items(format, &view);
            int fits = view.len == count * size;
            if (same && fits) {
                memcpy(to, view.buf, count * size);
            }
            PyBuffer_Release(&view);
            if (same) {
                return fits ? 0 : wrong_size();
            }
        }
        else {
            PyErr_Clear(); /* not contiguous */
        }
    }
    PyObject *list = PySequence_Fast(values, "a sequence is expected");
    if (list == NULL) {
        return -1;
    }
    int tuple = PyTuple_Check(list);
    for (Py_ssize_t i = 0; i < count; i++) {
        /* Converting may run code that changes the list. */
        if (PySequence_Size(list) != count) {
            Py_DECREF(list);
            return wrong_size();
        }
        PyObject *value =
            Py_NewRef(tuple ? PyTuple_GetItem(list, i) : PyList_GetItem(list, i));
        Item item;
        int good = from_python(format, value, &item);
        Py_DECREF(value);
        if (!good) {
            Py_DECREF(list);
            return -1;
        }
        copy_item(to + i * size, item.bytes, size);
    }
    int fits = PySequence_Size(list) == count;
    Py_DECREF(list);
    return fits ? 0 : wrong_size();
}

/* Between the memory and a copy of the slice. */
static void
copy_slice(char *items, char *copy, Py_ssize_t size, Py_ssize_t start, Py_ssize_t step,
           Py_ssize_t count, int store)
{
    if (step == 1) {
        char *at = items + start * size;
        memcpy(store ? at : copy, store ? copy : at, count * size);
        return;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        char *at = items + (start + i * step) * size;
        copy_item(store ? at : copy + i * size, store ? copy + i * size : at, size);
    }
}

#define ON_STACK 1024

/* Read the slice (values is NULL) or write it; NULL with an exception. */
static PyObject *
array_slice(Cells *cells, PyObject *slice, PyObject *values)
{
    Py_ssize_t start, stop, step;
    if (!has_format(cells) || PySlice_Unpack(slice, &start, &stop, &step) < 0) {
        return NULL;
    }
    Py_ssize_t size = cells->format->size;
    Py_ssize_t count = PySlice_AdjustIndices(cells->count, &start, &stop, step);
    double few[ON_STACK];
    char *copy = (char *)few;
    if (count * size > (Py_ssize_t)sizeof few && (copy = PyMem_Malloc(count * size)) == NULL)
    {
        return PyErr_NoMemory();
    }
    PyObject *result = NULL;
    if (values == NULL || items_from_python(cells->format, values, count, copy) == 0) {
        Entry entry = guard_enter(cells->lock, cells->guard);
        if (entry != FAILED) {
            copy_slice(cells->items, copy, size, start, step, count, values != NULL);
            if (guard_leave(cells->lock, cells->guard, entry)) {
                result = values != NULL ? Py_NewRef(Py_None)
                                        : items_to_python(cells->format, copy, count);
            }
        }
    }
    if (copy != (char *)few) {
        PyMem_Free(copy);
    }
    return result;
}

/* An index of any type; -1 with an exception. */
static Py_ssize_t
index_of(Cells *cells, PyObject *key)
{
    Py_ssize_t index = PyNumber_AsSsize_t(key, PyExc_IndexError);
    if (index < 0 && !PyErr_Occurred()) {
        index += cells->count;
        if (index < 0) {
            PyErr_SetString(PyExc_IndexError, "the index is out of range");
            return -1;
        }
    }
    return index;
}

static PyObject *
array_get(PyObject *self, PyObject *key)
{
    if (PySlice_Check(key)) {
        return array_slice((Cells *)self, key, NULL);
    }
    Py_ssize_t index = index_of((Cells *)self, key);
    return index < 0 ? NULL : array_item(self, index);
}

static int
array_set(PyObject *self, PyObject *key, PyObject *value)
{
    if (!PySlice_Check(key)) {
        Py_ssize_t index = index_of((Cells *)self, key);
        return index < 0 ? -1 : array_set_item(self, index, value);
    }
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "items of an array cannot be deleted");
        return -1;
    }
    PyObject *done = array_slice((Cells *)self, key, value);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static PyType_Slot array_slots[] = {
    {Py_sq_length, array_length},
    {Py_sq_item, array_item},
    {Py_sq_ass_item, array_set_item},
    {Py_mp_length, array_length},
    {Py_mp_subscript, array_get},
    {Py_mp_ass_subscript, array_set},
    {Py_tp_doc, "Numbers or characters, read and written under a lock."},
    {0, NULL},
};

PyType_Spec array_spec = {
    "mp_sync.cells.CellArray", sizeof(Cells), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, array_slots};
