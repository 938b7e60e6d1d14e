/* Items of memory: their formats, and what they are in Python. */

#include "formats.h"

static const Format formats[] = {
    {'b', SIGNED, sizeof(signed char), "b"},
    {'B', UNSIGNED, sizeof(unsigned char), "B"},
    {'h', SIGNED, sizeof(short), "h"},
    {'H', UNSIGNED, sizeof(unsigned short), "H"},
    {'i', SIGNED, sizeof(int), "i"},
    {'I', UNSIGNED, sizeof(unsigned int), "I"},
    {'l', SIGNED, sizeof(long), "l"},
    {'L', UNSIGNED, sizeof(unsigned long), "L"},
    {'q', SIGNED, sizeof(long long), "q"},
    {'Q', UNSIGNED, sizeof(unsigned long long), "Q"},
    {'f', FLOAT, sizeof(float), "f"},
    {'d', DOUBLE, sizeof(double), "d"},
    {'?', BOOLEAN, sizeof(_Bool), "?"},
    {'c', BYTE_CHAR, 1, "c"},
    {'u', WIDE_CHAR, sizeof(wchar_t), sizeof(wchar_t) == 4 ? "w" : "u"},
};

const Format *
format_of(PyObject *code)
{
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(code, &length);
    if (text == NULL) {
        return NULL;
    }
    for (size_t i = 0; length == 1 && i < sizeof formats / sizeof *formats; i++) {
        if (formats[i].code == text[0]) {
            return &formats[i];
        }
    }
    PyErr_Format(PyExc_ValueError, "there is no format %R", code);
    return NULL;
}

PyObject *
to_python(const Format *format, const Item *item)
{
    switch (format->class) {
    case SIGNED:
        return PyLong_FromLongLong(format->size == 1   ? item->i8
                                   : format->size == 2 ? item->i16
                                   : format->size == 4 ? item->i32
                                                       : item->i64);
    case UNSIGNED:
        return format->size == 8 ? PyLong_FromUnsignedLongLong(item->u64)
                                 : PyLong_FromLong(format->size == 1   ? item->u8
                                                   : format->size == 2 ? item->u16
                                                                       : (long)item->u32);
    case FLOAT:
        return PyFloat_FromDouble(item->f);
    case DOUBLE:
        return PyFloat_FromDouble(item->d);
    case BOOLEAN:
        return PyBool_FromLong(item->bytes[0] != 0);
    case BYTE_CHAR:
        return PyBytes_FromStringAndSize(item->bytes, 1);
    default:
        return PyUnicode_FromWideChar(&item->w, 1);
    }
}

int
from_python(const Format *format, PyObject *value, Item *item)
{
    item->u64 = 0;
    switch (format->class) {
    case SIGNED:
    case UNSIGNED: {
        uint64_t number = PyLong_AsUnsignedLongLongMask(value);
        if (number == (uint64_t)-1 && PyErr_Occurred()) {
            return 0;
        }
        switch (format->size) {
        case 1:
            item->u8 = (uint8_t)number;
            break;
        case 2:
            item->u16 = (uint16_t)number;
            break;
        case 4:
            item->u32 = (uint32_t)number;
            break;
        default:
            item->u64 = number;
        }
        return 1;
    }
    case FLOAT:
    case DOUBLE: {
        double number = PyFloat_AsDouble(value);
        if (number == -1.0 && PyErr_Occurred()) {
            return 0;
        }
        if (format->class == FLOAT) {
            item->f = (float)number;
        }
        else {
            item->d = number;
        }
        return 1;
    }
    case BOOLEAN: {
        int truth = PyObject_IsTrue(value);
        item->b = truth > 0;
        return truth >= 0;
    }
    case BYTE_CHAR:
        if (PyBytes_Check(value) && PyBytes_Size(value) == 1) {
            item->bytes[0] = PyBytes_AsString(value)[0];
            return 1;
        }
        if (PyByteArray_Check(value) && PyByteArray_Size(value) == 1) {
            item->bytes[0] = PyByteArray_AsString(value)[0];
            return 1;
        }
        if (PyLong_Check(value)) {
            long number = PyLong_AsLong(value);
            if (number >= 0 && number < 256) {
                item->bytes[0] = (char)number;
                return 1;
            }
            PyErr_Clear();
        }
        PyErr_SetString(PyExc_TypeError,
            "one character bytes, bytearray, or an integer in range(256) is expected");
        return 0;
    default:
        if (PyUnicode_Check(value) && PyUnicode_GetLength(value) == 1) {
            item->w = (wchar_t)PyUnicode_ReadChar(value, 0);
            return 1;
        }
        PyErr_SetString(PyExc_TypeError, "a string of one character is expected");
        return 0;
    }
}
