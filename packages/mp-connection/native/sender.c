/* Sending: one packet, of one buffer. */

#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Up to here a packet is sent at a go without giving up the GIL, if there is room for
   it.  That takes 1 us, and a thread that gives it up beside one which computes gets it
   back after 5 ms. */
#define SHORT 4096

static PyObject *
sender_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *fileno;
    static char *names[] = {"fileno", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O", names, &fileno)) {
        return NULL;
    }
    Wire *wire = (Wire *)PyType_GenericAlloc(type, 0);
    if (wire != NULL) {
        wire->fileno = Py_NewRef(fileno);
    }
    return (PyObject *)wire;
}

static ssize_t
send_vector(int fd, struct iovec *vector, int count, int flags)
{
    if (count == 1) {
        return send(fd, vector->iov_base, vector->iov_len, flags);
    }
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = count};
    return sendmsg(fd, &message, flags);
}

/* Send a packet; -1 with an exception if that fails. */
static int
send_packet(const Wire *wire, struct iovec *vector, int count, int flags)
{
    int quick = vector[count - 1].iov_len <= SHORT ? MSG_DONTWAIT : 0;
    for (;;) {
        int fd = wire_fileno(wire);
        if (fd == -1) {
            return -1;
        }
        ssize_t sent = -1;
        if (quick) {
            sent = send_vector(fd, vector, count, flags | MSG_DONTWAIT);
        }
        if (!quick || (sent < 0 && errno == EAGAIN && !(flags & MSG_DONTWAIT))) {
            Py_BEGIN_ALLOW_THREADS
            sent = send_vector(fd, vector, count, flags);
            Py_END_ALLOW_THREADS
        }
        if (sent >= 0) {
            return 0;
        }
        if (!wire_again()) {
            return -1;
        }
    }
}

static PyObject *
send_data(const Wire *wire, PyObject *const *args, Py_ssize_t count, int headed)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "data and flags are needed");
        return NULL;
    }
    long flags = PyLong_AsLong(args[1]);
    if (flags == -1 && PyErr_Occurred()) {
        return NULL;
    }
    Py_buffer view;
    if (PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    char head = BYTES;
    char joined[1 + SHORT];
    struct iovec vectors[] = {{&head, 1}, {view.buf, (size_t)view.len}};
    int result;
    if (!headed) {
        result = send_packet(wire, &vectors[1], 1, (int)flags);
    }
    else if (view.len <= SHORT) { /* cheaper to copy than to gather */
        joined[0] = head;
        if (view.len > 0) {
            memcpy(joined + 1, view.buf, (size_t)view.len);
        }
        struct iovec whole = {joined, (size_t)view.len + 1};
        result = send_packet(wire, &whole, 1, (int)flags);
    }
    else {
        result = send_packet(wire, vectors, 2, (int)flags);
    }
    PyBuffer_Release(&view);
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(send_doc,
"Send a buffer as one packet; takes the buffer and the flags of send(2).");

static PyObject *
sender_send(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return send_data((Wire *)self, args, count, 0);
}

PyDoc_STRVAR(send_bytes_doc, "As `send`, with the tag of a message of bytes before it.");

static PyObject *
sender_send_bytes(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return send_data((Wire *)self, args, count, 1);
}

static PyMethodDef sender_methods[] = {
    {"send", (PyCFunction)(void (*)(void))sender_send, METH_FASTCALL, send_doc},
    {"send_bytes", (PyCFunction)(void (*)(void))sender_send_bytes, METH_FASTCALL,
        send_bytes_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(sender_doc,
"Sends packets to a socket.\n\
\n\
Args:\n\
    fileno: the method of a socket that returns its descriptor.");

static PyType_Slot sender_slots[] = {
    {Py_tp_doc, (void *)sender_doc},
    {Py_tp_new, sender_new},
    {Py_tp_dealloc, wire_dealloc},
    {Py_tp_methods, sender_methods},
    {0, NULL},
};

PyType_Spec sender_spec = {
    .name = "mp_connection._native.Sender",
    .basicsize = sizeof(Wire),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = sender_slots,
};
