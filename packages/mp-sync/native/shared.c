/* Objects over blocks of shared memory: how they are made, sent and dropped. */

#include "shared.h"

#include <math.h>
#include <string.h>

static PyObject *arena;        /* the module mp_sync.arena */
static PyObject *rebuild;      /* mp_sync._backend._rebuild_native */
static PyObject *str_heap, *str_slab, *str_mapping, *str_offset;

#ifdef Py_GIL_DISABLED
#define BEGIN_EXCLUSIVE(object) Py_BEGIN_CRITICAL_SECTION(object);
#define END_EXCLUSIVE() Py_END_CRITICAL_SECTION();
#else
#define BEGIN_EXCLUSIVE(object) {
#define END_EXCLUSIVE() }
#endif

PyObject *
attribute_of(const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    if (module == NULL) {
        return NULL;
    }
    PyObject *found = PyObject_GetAttrString(module, name);
    Py_DECREF(module);
    return found;
}

static PyObject *
new_object(PyTypeObject *type)
{
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    return make(type, 0);
}

/* Take over the memory of a block from *start* on; whether it lies in its arena. */
static int
place(Shared *self, PyObject *block, PyObject *mapping, Py_ssize_t start, size_t size)
{
    /* An exported view keeps the mapping from being closed. */
    if (PyObject_GetBuffer(mapping, &self->view, PyBUF_WRITABLE) < 0) {
        return 0;
    }
    if (start < 0 || start % 8 || start + (Py_ssize_t)size > self->view.len) {
        PyErr_SetString(PyExc_ValueError, "the block does not lie in its arena");
        return 0;
    }
    self->state = (char *)self->view.buf + start;
    self->offset = start;
    self->block = Py_NewRef(block);
    return 1;
}

/* An object over the block, whose reference is taken over also when this fails. */
PyObject *
attach(PyTypeObject *type, PyObject *block, size_t size)
{
    if (block == NULL) {
        return NULL;
    }
    PyObject *mapping = NULL, *offset = NULL, *self = NULL;
    if ((mapping = PyObject_GetAttr(block, str_mapping)) == NULL
        || (offset = PyObject_GetAttr(block, str_offset)) == NULL)
    {
        goto done;
    }
    Py_ssize_t start = PyLong_AsSsize_t(offset);
    if (start == -1 && PyErr_Occurred()) {
        goto done;
    }
    self = new_object(type);
    if (self != NULL && !place((Shared *)self, block, mapping, start, size)) {
        Py_CLEAR(self);
    }
done:
    Py_XDECREF(mapping);
    Py_XDECREF(offset);
    Py_DECREF(block);
    return self;
}

/* ----------------------------------------------------------------------------- slabs */

/* Nearly all objects need one granule of an arena, and asking for it takes longer than
   all the rest of making one.  So a heap keeps a block of SLOTS granules, which are
   handed out one after the other, never twice: the block, to which each object refers,
   goes back to its arena when the last of them is gone. */

#define GRANULE 64
#define SLOTS 32

typedef struct {
    PyObject_HEAD
    PyObject *block;
    PyObject *mapping;
    Py_ssize_t start;
    int next;
} Slab;

static PyTypeObject *slab_type;

static void
slab_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((Slab *)self)->block);
    Py_XDECREF(((Slab *)self)->mapping);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyType_Slot slab_slots[] = {
    {Py_tp_dealloc, slab_dealloc},
    {Py_tp_doc, "A block of which the granules are handed out one by one."},
    {0, NULL},
};

static PyType_Spec slab_spec = {
    "mp_sync._native._Slab", sizeof(Slab), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slab_slots};

static Slab *
make_slab(void)
{
    PyObject *block = PyObject_CallMethod(arena, "allocate", "i", GRANULE * SLOTS);
    if (block == NULL) {
        return NULL;
    }
    Slab *slab = (Slab *)new_object(slab_type);
    if (slab == NULL) {
        Py_DECREF(block);
        return NULL;
    }
    slab->block = block;
    slab->mapping = PyObject_GetAttr(block, str_mapping);
    PyObject *offset = PyObject_GetAttr(block, str_offset);
    slab->start = offset == NULL ? -1 : PyLong_AsSsize_t(offset);
    Py_XDECREF(offset);
    if (slab->mapping == NULL || slab->start < 0) {
        Py_CLEAR(slab);
    }
    else if (slab->start == 0) {
        /* An arena to itself, where nothing notes that a part was sent: a signal
           handler came upon its thread allocating.  It gets the first granule only. */
        slab->next = SLOTS - 1;
        slab->start = -GRANULE * (SLOTS - 1);
    }
    return slab;
}

/* The next granule: its slab, as a new reference, and where it begins. */
static Slab *
next_granule(Py_ssize_t *start)
{
    PyObject *heap = PyObject_GetAttr(arena, str_heap);
    if (heap == NULL) {
        return NULL;
    }
    Slab *slab = NULL;
    int number = SLOTS;
    /* The heap is another one in a forked child, where the slab is the parent's. */
    PyObject *found = PyObject_GetAttr(heap, str_slab);
    if (found != NULL && Py_TYPE(found) == slab_type) {
        slab = (Slab *)found;
        BEGIN_EXCLUSIVE(slab)
        number = slab->next < SLOTS ? slab->next++ : SLOTS;
        END_EXCLUSIVE()
    }
    if (found != NULL && number == SLOTS) {
        Py_DECREF(found);
        slab = make_slab();
        if (slab != NULL) {
            number = slab->next++;
            if (PyObject_SetAttr(heap, str_slab, (PyObject *)slab) < 0) {
                Py_CLEAR(slab);
            }
        }
    }
    Py_DECREF(heap);
    if (slab != NULL) {
        *start = slab->start + number * GRANULE;
    }
    return slab;
}

static int
find_arena(void)
{
    if (arena == NULL) {
        arena = PyImport_ImportModule("mp_sync.arena");
    }
    return arena != NULL;
}

/* A zeroed block of so many bytes. */
PyObject *
new_block(Py_ssize_t size)
{
    return find_arena() ? PyObject_CallMethod(arena, "allocate", "n", size) : NULL;
}

/* An object over memory of its own, which is zero. */
PyObject *
make_shared(PyTypeObject *type, size_t size)
{
    if (!find_arena()) {
        return NULL;
    }
    if (size > GRANULE) {
        return attach(type, new_block((Py_ssize_t)size), size);
    }
    Py_ssize_t start = 0;
    Slab *slab = next_granule(&start);
    if (slab == NULL) {
        return NULL;
    }
    PyObject *self = new_object(type);
    if (self != NULL
        && !place((Shared *)self, slab->block, slab->mapping, start, size))
    {
        Py_CLEAR(self);
    }
    Py_DECREF(slab);
    return self;
}

/* -------------------------------------------------------------------------- the rest */

void
shared_dealloc(PyObject *self)
{
    Shared *shared = (Shared *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (shared->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    if (shared->view.obj != NULL) {
        PyBuffer_Release(&shared->view);
    }
    Py_XDECREF(shared->block);
    Py_XDECREF(shared->permits);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

PyObject *
shared_reduce(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Shared *shared = (Shared *)self;
    if (rebuild == NULL) {
        rebuild = attribute_of("mp_sync._backend", "_rebuild_native");
        if (rebuild == NULL) {
            return NULL;
        }
    }
    PyObject *attributes = PyObject_GetAttrString(self, "__dict__");
    if (attributes == NULL) { /* only subclasses have one */
        PyErr_Clear();
        attributes = Py_NewRef(Py_None);
    }
    PyObject *contents;
    if (shared->permits != NULL) {
        contents = Py_NewRef(shared->permits);
    }
    else {
        /* The part of a slab, which is noted as sent before the message exists. */
        contents = PyObject_CallMethod(shared->block, "_part", "n", shared->offset);
    }
    if (contents == NULL) {
        Py_DECREF(attributes);
        return NULL;
    }
    return Py_BuildValue("O(ON)N", rebuild, Py_TYPE(self), contents, attributes);
}

PyMemberDef shared_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Shared, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

int
has_context(PyObject *kwargs)
{
    return kwargs != NULL && PyDict_GetItemString(kwargs, "ctx") != NULL;
}

int
takes_nothing(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    Py_ssize_t given = PyTuple_Size(args) + (kwargs == NULL ? 0 : PyDict_Size(kwargs));
    if (given > has_context(kwargs)) {
        /* Subclasses may take what they like. */
        initproc own = (initproc)PyType_GetSlot(type, Py_tp_init);
        initproc base = (initproc)PyType_GetSlot(&PyBaseObject_Type, Py_tp_init);
        if (own == base) {
            PyErr_SetString(PyExc_TypeError, "no arguments are expected");
            return 0;
        }
    }
    return 1;
}

int
deadline_of(PyObject *timeout, int64_t *deadline)
{
    *deadline = FOREVER;
    if (timeout == NULL || timeout == Py_None) {
        return 1;
    }
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return 0;
    }
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "the timeout is not a number");
        return 0;
    }
    if (seconds <= 0) {
        *deadline = AT_ONCE;
    }
    else if (seconds < 4e9) { /* a century, and no overflow */
        *deadline = now() + (int64_t)(seconds * SECOND);
    }
    return 1;
}

int
parse_arguments(PyObject *const *args, Py_ssize_t count, PyObject *names,
                const char *const *known, Py_ssize_t most, PyObject **values)
{
    if (count > most) {
        PyErr_Format(PyExc_TypeError, "at most %zd arguments are expected", most);
        return 0;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        values[i] = args[i];
    }
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        Py_ssize_t at = 0;
        while (at < most && PyUnicode_CompareWithASCIIString(name, known[at]) != 0) {
            at++;
        }
        if (at == most || values[at] != NULL) {
            PyErr_Format(PyExc_TypeError, at == most ? "unexpected argument %R"
                                                     : "argument %R is given twice", name);
            return 0;
        }
        values[at] = args[count + i];
    }
    return 1;
}

PyObject *
start_coroutine(const char *function, PyObject *self, PyObject *const *args,
                Py_ssize_t count, PyObject *names)
{
    static const char *const known[] = {"timeout"};
    PyObject *timeout = NULL;
    if (!parse_arguments(args, count, names, known, 1, &timeout)) {
        return NULL;
    }
    PyObject *callable = attribute_of("mp_sync._async", function);
    if (callable == NULL) {
        return NULL;
    }
    PyObject *coroutine = PyObject_CallFunctionObjArgs(
        callable, self, timeout == NULL ? Py_None : timeout, NULL);
    Py_DECREF(callable);
    return coroutine;
}

PyObject *
address_and_value(Word *word, uint32_t seen)
{
    return Py_BuildValue("(Kk)", (unsigned long long)(uintptr_t)word,
                         (unsigned long)seen);
}

PyTypeObject *
add_type(PyObject *module, const char *name, PyType_Spec *spec, PyTypeObject *base)
{
    PyObject *type = PyType_FromSpecWithBases(spec, (PyObject *)base);
    if (type == NULL) {
        return NULL;
    }
    if (PyModule_AddObjectRef(module, name, type) < 0) {
        Py_CLEAR(type);
    }
    Py_XDECREF(type); /* the module holds on to it */
    return (PyTypeObject *)type;
}

int
shared_setup(PyObject *module)
{
    str_heap = PyUnicode_InternFromString("_heap");
    str_slab = PyUnicode_InternFromString("slab");
    str_mapping = PyUnicode_InternFromString("mapping");
    str_offset = PyUnicode_InternFromString("offset");
    slab_type = (PyTypeObject *)PyType_FromSpec(&slab_spec);
    return str_heap != NULL && str_slab != NULL && str_mapping != NULL
           && str_offset != NULL && slab_type != NULL && module != NULL;
}
