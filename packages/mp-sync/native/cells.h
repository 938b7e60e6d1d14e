/* Numbers and characters that are read and written under a lock. */
#ifndef MP_SYNC_CELLS_H
#define MP_SYNC_CELLS_H

#include "formats.h"
#include "guards.h"

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *lock;
    PyObject *block;  /* whose memory it is, or None */
    PyObject *object; /* a ctypes object of the same memory, where there is one */
    Py_buffer view;   /* keeps it mapped */
    char *items;
    Py_ssize_t count;
    const Format *format; /* NULL: `object` knows what lies there */
    Guard guard;
} Cells;

/* Whether the items have a format; an exception if not: subclasses see to those. */
static inline int
has_format(Cells *cells)
{
    if (cells->format == NULL) {
        PyErr_SetString(PyExc_TypeError, "what lies here is known to get_obj() only");
    }
    return cells->format != NULL;
}

extern PyType_Spec array_spec;

int add_cells(PyObject *module); /* whether it worked */

#endif
