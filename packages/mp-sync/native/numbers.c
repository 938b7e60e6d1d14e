/* Words: sixteen numbers of 32 bits, for what is written in Python. */

#include "numbers.h"

#include "locks.h"

PyTypeObject *words_type;

/* The word of an index, or NULL with an exception. */
static Word *
word_at(PyObject *self, PyObject *index)
{
    Py_ssize_t at = PyLong_AsSsize_t(index);
    if (at == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (at < 0 || at >= WORDS) {
        PyErr_SetString(PyExc_IndexError, "there is no such word");
        return NULL;
    }
    return &STATE(WordsState, self)->words[at];
}

static int
expects(Py_ssize_t count, Py_ssize_t expected)
{
    if (count != expected) {
        PyErr_Format(PyExc_TypeError, "%zd arguments are expected", expected);
        return 0;
    }
    return 1;
}

static PyObject *
words_get(PyObject *self, PyObject *index)
{
    Word *word = word_at(self, index);
    return word == NULL ? NULL : PyLong_FromUnsignedLong(atomic_load(word));
}

static PyObject *
words_add(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Word *word = expects(count, 2) ? word_at(self, args[0]) : NULL;
    if (word == NULL) {
        return NULL;
    }
    long change = PyLong_AsLong(args[1]);
    if (change == -1 && PyErr_Occurred()) {
        return NULL;
    }
    return PyLong_FromUnsignedLong(atomic_fetch_add(word, (uint32_t)change));
}

static PyObject *
words_set(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Word *word = expects(count, 2) ? word_at(self, args[0]) : NULL;
    if (word == NULL) {
        return NULL;
    }
    unsigned long value = PyLong_AsUnsignedLong(args[1]);
    if (value == (unsigned long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    atomic_store(word, (uint32_t)value);
    Py_RETURN_NONE;
}

static PyObject *
words_wake(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Word *word = expects(count, 2) ? word_at(self, args[0]) : NULL;
    if (word == NULL) {
        return NULL;
    }
    long most = PyLong_AsLong(args[1]);
    if (most == -1 && PyErr_Occurred()) {
        return NULL;
    }
    atomic_fetch_add(word, 1);
    wake(word, most > EVERYBODY ? EVERYBODY : (int)most);
    Py_RETURN_NONE;
}

static PyObject *
words_sleep(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Word *word = expects(count, 3) ? word_at(self, args[0]) : NULL;
    int64_t deadline;
    if (word == NULL) {
        return NULL;
    }
    unsigned long seen = PyLong_AsUnsignedLong(args[1]);
    if ((seen == (unsigned long)-1 && PyErr_Occurred())
        || !deadline_of(args[2], &deadline))
    {
        return NULL;
    }
    int late;
    Py_BEGIN_ALLOW_THREADS
    late = sleep_on(word, (uint32_t)seen, deadline);
    Py_END_ALLOW_THREADS
    return PyErr_CheckSignals() < 0 ? NULL : PyBool_FromLong(late);
}

static PyObject *
words_seen(PyObject *self, PyObject *index)
{
    Word *word = word_at(self, index);
    return word == NULL ? NULL : address_and_value(word, atomic_load(word));
}

static PyObject *
words_attach(PyObject *type, PyObject *block)
{
    return attach((PyTypeObject *)type, Py_NewRef(block), sizeof(WordsState));
}

static PyObject *
words_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return takes_nothing(type, args, kwargs) ? make_shared(type, sizeof(WordsState))
                                             : NULL;
}

static PyMethodDef words_methods[] = {
    {"get", words_get, METH_O, PyDoc_STR("The word of an index.")},
    {"set", FAST(words_set), PyDoc_STR("Set the word of an index to a value.")},
    {"add", FAST(words_add),
     PyDoc_STR("Add to the word of an index, at once; what it was before.")},
    {"wake", FAST(words_wake),
     PyDoc_STR("Raise the word of an index, and wake so many who sleep on it.")},
    {"sleep", FAST(words_sleep),
     PyDoc_STR("Sleep on the word of an index while it has a value; seconds, or None.\n\n"
               "Returns whether the time is over.  It may return for no reason, and\n"
               "does after a slice.")},
    {"_seen", words_seen, METH_O, NULL},
    {"__reduce__", shared_reduce, METH_NOARGS, NULL},
    {"_attach", words_attach, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot words_slots[] = {
    {Py_tp_new, words_new},
    {Py_tp_dealloc, shared_dealloc},
    {Py_tp_methods, words_methods},
    {Py_tp_members, shared_members},
    {Py_tp_doc, "Sixteen numbers of 32 bits, to build upon."},
    {0, NULL},
};

PyType_Spec words_spec = {"mp_sync._native.Words", sizeof(Shared), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, words_slots};
