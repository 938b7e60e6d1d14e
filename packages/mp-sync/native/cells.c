/* Numbers and characters in shared memory that are read and written under a lock.
 *
 * What Python has to convert is converted before the lock is taken or after it was let
 * go: within, there is a copy of bytes and nothing else.  So whoever is killed there
 * has half changed nothing.
 */

#include "cells.h"

/* --------------------------------------------------------------------------- objects */

/* Where in its block the items begin that share it with their lock. */
#define BESIDE_LOCK 64

static PyObject *
cells_over(PyTypeObject *type, const Format *format, Py_ssize_t count, PyObject *lock,
           PyObject *block, PyObject *exporter, Py_ssize_t start)
{
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Cells *self = (Cells *)make(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->lock = Py_NewRef(lock);
    self->guard = guard_of(lock);
    self->block = Py_NewRef(block);
    self->format = format;
    self->count = count;
    if (PyObject_GetBuffer(exporter, &self->view, PyBUF_WRITABLE) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    Py_ssize_t size = format == NULL ? 1 : format->size;
    if (start < 0 || start % size || count < 0
        || count > (self->view.len - start) / size || start > self->view.len)
    {
        PyErr_SetString(PyExc_ValueError, "the items do not lie in the memory");
        Py_DECREF(self);
        return NULL;
    }
    self->items = (char *)self->view.buf + start;
    return (PyObject *)self;
}

/* Parts of the block: its mapping, and where in that it begins. */
static int
unpack_block(PyObject *block, PyObject **mapping, Py_ssize_t *start)
{
    PyObject *offset = PyObject_GetAttrString(block, "offset");
    if (offset == NULL) {
        return 0;
    }
    *start = PyLong_AsSsize_t(offset);
    Py_DECREF(offset);
    if (*start == -1 && PyErr_Occurred()) {
        return 0;
    }
    *mapping = PyObject_GetAttrString(block, "mapping");
    return *mapping != NULL;
}

static int
sequence_format(PyObject *code, const Format **format)
{
    *format = NULL;
    return code == Py_None || (*format = format_of(code)) != NULL;
}

/* (format, count): zeroed items of a block of their own, beside a lock of their own. */
static PyObject *
cells_fresh(PyObject *type, PyObject *args)
{
    PyObject *code, *block, *lock = NULL, *mapping = NULL, *self = NULL;
    const Format *format;
    Py_ssize_t count, start;
    if (!PyArg_ParseTuple(args, "On:fresh", &code, &count)
        || !sequence_format(code, &format))
    {
        return NULL;
    }
    Py_ssize_t size = format == NULL ? 1 : format->size;
    if (count < 0 || count > (PY_SSIZE_T_MAX - BESIDE_LOCK) / size) {
        PyErr_SetString(PyExc_OverflowError, "there is no room for so many items");
        return NULL;
    }
    block = new_block(BESIDE_LOCK + (count > 0 ? count * size : 1));
    if (block == NULL) {
        return NULL;
    }
    if ((lock = rlock_over(block)) != NULL && unpack_block(block, &mapping, &start)) {
        self = cells_over((PyTypeObject *)type, format, count, lock, block, mapping,
                          start + BESIDE_LOCK);
    }
    Py_XDECREF(mapping);
    Py_XDECREF(lock);
    Py_DECREF(block);
    return self;
}

/* (format, count, lock, block, offset): items of a part of a block. */
static PyObject *
cells_attach(PyObject *type, PyObject *args)
{
    PyObject *code, *lock, *block, *mapping, *self;
    const Format *format;
    Py_ssize_t count, offset, start;
    if (!PyArg_ParseTuple(args, "OnOOn:attach", &code, &count, &lock, &block, &offset)
        || !sequence_format(code, &format) || !unpack_block(block, &mapping, &start))
    {
        return NULL;
    }
    self = cells_over((PyTypeObject *)type, format, count, lock, block, mapping,
                      start + offset);
    Py_DECREF(mapping);
    return self;
}

/* (format, count, lock, object): items of an object that has the buffer protocol. */
static PyObject *
cells_wrap(PyObject *type, PyObject *args)
{
    PyObject *code, *lock, *object;
    const Format *format;
    Py_ssize_t count;
    if (!PyArg_ParseTuple(args, "OnOO:wrap", &code, &count, &lock, &object)
        || !sequence_format(code, &format))
    {
        return NULL;
    }
    PyObject *self = cells_over(
        (PyTypeObject *)type, format, count, lock, Py_None, object, 0);
    if (self != NULL) {
        ((Cells *)self)->object = Py_NewRef(object);
    }
    return self;
}

static PyObject *
cells_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    PyObject *name = PyType_GetName(type);
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError, "a %U is made by the functions of its module", name);
        Py_DECREF(name);
    }
    return NULL;
}

static void
cells_dealloc(PyObject *self)
{
    Cells *cells = (Cells *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (cells->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    if (cells->view.obj != NULL) {
        PyBuffer_Release(&cells->view);
    }
    Py_XDECREF(cells->object);
    Py_XDECREF(cells->lock);
    Py_XDECREF(cells->block);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* ------------------------------------------------------------------ what locks can do */

static PyObject *
cells_get_lock(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(((Cells *)self)->lock);
}

/* The methods of the lock, which know their own arguments. */
static PyObject *
cells_acquire(PyObject *self, void *Py_UNUSED(closure))
{
    return PyObject_GetAttrString(((Cells *)self)->lock, "acquire");
}

static PyObject *
cells_release(PyObject *self, void *Py_UNUSED(closure))
{
    return PyObject_GetAttrString(((Cells *)self)->lock, "release");
}

static PyObject *
cells_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyObject_CallMethod(((Cells *)self)->lock, "__enter__", NULL);
}

static PyObject *
cells_exit(PyObject *self, PyObject *args)
{
    PyObject *method = PyObject_GetAttrString(((Cells *)self)->lock, "__exit__");
    if (method == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_Call(method, args, NULL);
    Py_DECREF(method);
    return result;
}

static int
cells_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    Cells *cells = (Cells *)self;
    if (cells->format == NULL) {
        if (cells->object == NULL) {
            PyErr_SetString(PyExc_BufferError, "get_obj() has the buffer");
            view->obj = NULL;
            return -1;
        }
        return PyObject_GetBuffer(cells->object, view, flags);
    }
    view->buf = cells->items;
    view->obj = Py_NewRef(self);
    view->len = cells->count * cells->format->size;
    view->itemsize = cells->format->size;
    view->readonly = 0;
    view->ndim = 1;
    view->format = flags & PyBUF_FORMAT ? (char *)cells->format->buffer : NULL;
    view->shape = flags & PyBUF_ND ? &cells->count : NULL;
    view->strides =
        (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? &view->itemsize : NULL;
    view->suboffsets = NULL;
    view->internal = NULL;
    return 0;
}

static PyObject *
cells_format(PyObject *self, void *Py_UNUSED(closure))
{
    const Format *format = ((Cells *)self)->format;
    if (format == NULL) {
        Py_RETURN_NONE;
    }
    return PyUnicode_FromStringAndSize(&format->code, 1);
}

static PyObject *
cells_start(PyObject *self, void *Py_UNUSED(closure))
{
    Cells *cells = (Cells *)self;
    return PyLong_FromSsize_t(cells->items - (char *)cells->view.buf);
}

/* ----------------------------------------------------------------------------- Guarded */

static PyMethodDef guarded_methods[] = {
    {"get_lock", cells_get_lock, METH_NOARGS,
     PyDoc_STR("get_lock($self, /)\n--\n\nThe lock.")},
    {"__enter__", cells_enter, METH_NOARGS, NULL},
    {"__exit__", cells_exit, METH_VARARGS, NULL},
    {"fresh", cells_fresh, METH_VARARGS | METH_CLASS, PyDoc_STR(
     "Zeroed items of a format, in a block of their own with a lock of their own.")},
    {"attach", cells_attach, METH_VARARGS | METH_CLASS, PyDoc_STR(
     "Items of a format, so many, a lock, a block, and where in that they begin.")},
    {"wrap", cells_wrap, METH_VARARGS | METH_CLASS, PyDoc_STR(
     "Items of a format, so many, a lock, and an object with the buffer protocol.")},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef guarded_getset[] = {
    {"acquire", cells_acquire, NULL, PyDoc_STR("That of the lock."), NULL},
    {"release", cells_release, NULL, PyDoc_STR("That of the lock."), NULL},
    {"format", cells_format, NULL, PyDoc_STR("The code of the items, or None."), NULL},
    {"start", cells_start, NULL, PyDoc_STR("Where in the mapping they begin."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef guarded_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Cells, weakrefs), READONLY, NULL},
    {"block", T_OBJECT, offsetof(Cells, block), READONLY, "Whose memory it is, or None."},
    {"count", T_PYSSIZET, offsetof(Cells, count), READONLY, "How many items."},
    {"object", T_OBJECT, offsetof(Cells, object), 0,
     "Another object of the same memory, or None."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot guarded_slots[] = {
    {Py_tp_new, cells_new},
    {Py_tp_dealloc, cells_dealloc},
    {Py_tp_methods, guarded_methods},
    {Py_tp_getset, guarded_getset},
    {Py_tp_members, guarded_members},
    {Py_bf_getbuffer, cells_getbuffer},
    {Py_tp_doc, "Memory and the lock that guards it."},
    {0, NULL},
};

/* -------------------------------------------------------------------------------- Cell */

static PyObject *
cell_get(PyObject *self, void *Py_UNUSED(closure))
{
    Cells *cell = (Cells *)self;
    Item item;
    if (!has_format(cell)) {
        return NULL;
    }
    Entry entry = guard_enter(cell->lock, cell->guard);
    if (entry == FAILED) {
        return NULL;
    }
    copy_item(item.bytes, cell->items, cell->format->size);
    if (!guard_leave(cell->lock, cell->guard, entry)) {
        return NULL;
    }
    return to_python(cell->format, &item);
}

static int
cell_set(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    Cells *cell = (Cells *)self;
    Item item;
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "the value cannot be deleted");
        return -1;
    }
    if (!has_format(cell) || !from_python(cell->format, value, &item)) {
        return -1;
    }
    Entry entry = guard_enter(cell->lock, cell->guard);
    if (entry == FAILED) {
        return -1;
    }
    copy_item(cell->items, item.bytes, cell->format->size);
    return guard_leave(cell->lock, cell->guard, entry) ? 0 : -1;
}

/* Add to the item of a number's format.  Integers by one instruction, so that nothing
   is lost of what somebody changes without the lock. */
static void
add_item(const Format *format, char *at, const Item *change, Item *result)
{
    if (format->class == FLOAT) {
        memcpy(&result->f, at, sizeof result->f);
        result->f += change->f;
        memcpy(at, &result->f, sizeof result->f);
    }
    else if (format->class == DOUBLE) {
        memcpy(&result->d, at, sizeof result->d);
        result->d += change->d;
        memcpy(at, &result->d, sizeof result->d);
    }
    else if (format->size == 1) {
        result->u8 = __atomic_add_fetch((uint8_t *)at, change->u8, __ATOMIC_SEQ_CST);
    }
    else if (format->size == 2) {
        result->u16 = __atomic_add_fetch((uint16_t *)at, change->u16, __ATOMIC_SEQ_CST);
    }
    else if (format->size == 4) {
        result->u32 = __atomic_add_fetch((uint32_t *)at, change->u32, __ATOMIC_SEQ_CST);
    }
    else {
        result->u64 = __atomic_add_fetch((uint64_t *)at, change->u64, __ATOMIC_SEQ_CST);
    }
}

static PyObject *
cell_add(PyObject *self, PyObject *change)
{
    Cells *cell = (Cells *)self;
    Item item, result;
    if (!has_format(cell)) {
        return NULL;
    }
    if (cell->format->class > DOUBLE) {
        PyErr_SetString(PyExc_TypeError, "this value is no number");
        return NULL;
    }
    if (!from_python(cell->format, change, &item)) {
        return NULL;
    }
    Entry entry = guard_enter(cell->lock, cell->guard);
    if (entry == FAILED) {
        return NULL;
    }
    add_item(cell->format, cell->items, &item, &result);
    if (!guard_leave(cell->lock, cell->guard, entry)) {
        return NULL;
    }
    return to_python(cell->format, &result);
}

static PyMethodDef cell_methods[] = {
    {"add", cell_add, METH_O, PyDoc_STR(
     "add($self, change, /)\n--\n\n"
     "Add to the value, under the lock.\n\n"
     "Returns:\n"
     "    The new value.  Integers that become too large lose their upper bits.\n\n"
     "Raises:\n"
     "    TypeError: the value is no number, or the change is none.\n"
     "    OwnerDiedError: a process died that held the recursive lock.\n")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef cell_getset[] = {
    {"value", cell_get, cell_set, PyDoc_STR("The value, read and written under the lock."),
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot cell_slots[] = {
    {Py_tp_methods, cell_methods},
    {Py_tp_getset, cell_getset},
    {Py_tp_doc, "A number or a character, read and written under a lock."},
    {0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE)

static PyType_Spec guarded_spec = {
    "mp_sync.cells.Guarded", sizeof(Cells), 0, FLAGS, guarded_slots};
static PyType_Spec cell_spec = {
    "mp_sync.cells.Cell", sizeof(Cells), 0, FLAGS, cell_slots};

int
add_cells(PyObject *module)
{
    PyTypeObject *guarded = add_type(module, "Guarded", &guarded_spec, NULL);
    return guarded != NULL && add_type(module, "Cell", &cell_spec, guarded) != NULL
           && add_type(module, "CellArray", &array_spec, guarded) != NULL;
}
