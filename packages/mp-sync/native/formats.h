/* Items of memory: their formats, and what they are in Python. */
#ifndef MP_SYNC_FORMATS_H
#define MP_SYNC_FORMATS_H

#include "shared.h"

#include <string.h>
#include <wchar.h>

typedef enum { SIGNED, UNSIGNED, FLOAT, DOUBLE, BOOLEAN, BYTE_CHAR, WIDE_CHAR } Class;

typedef struct {
    char code; /* that of the struct module; 'c' and 'u' are characters */
    Class class;
    Py_ssize_t size;
    const char *buffer; /* the code in the buffer protocol */
} Format;

/* One item, apart from its memory. */
typedef union {
    char bytes[8];
    int8_t i8;
    uint8_t u8;
    int16_t i16;
    uint16_t u16;
    int32_t i32;
    uint32_t u32;
    int64_t i64;
    uint64_t u64;
    float f;
    double d;
    _Bool b;
    wchar_t w;
} Item;

/* A single load, or store, of what is aligned. */
static inline void
copy_item(char *to, const char *from, Py_ssize_t size)
{
    switch (size) {
    case 1:
        *to = *from;
        break;
    case 2:
        memcpy(to, from, 2);
        break;
    case 4:
        memcpy(to, from, 4);
        break;
    default:
        memcpy(to, from, 8);
    }
}

/* NULL, with an exception, if there is none of that name. */
const Format *format_of(PyObject *code);

PyObject *to_python(const Format *format, const Item *item);
/* As ctypes converts: integers lose their upper bits.  Whether it can be. */
int from_python(const Format *format, PyObject *value, Item *item);

#endif
