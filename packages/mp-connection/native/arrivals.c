/* Receiving: an iterator over the packets of a socket. */

#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Where packets arrive: memory of each thread's own, as the call that fills it runs
   without the GIL.  It is not on the stack, which may be as small as 32 KiB, and not
   thread-local storage, which is cleared for each thread, all of it, before its first
   use: a thread pays for the pages that its packets fill. */
static pthread_key_t buffers;
static pthread_once_t made = PTHREAD_ONCE_INIT;
static int failure; /* of making the key */

static void
make_key(void)
{
    failure = pthread_key_create(&buffers, free);
}

/* The buffer of this thread; NULL with an exception if there is no memory. */
static char *
own_buffer(void)
{
    char *buffer = pthread_getspecific(buffers);
    if (buffer == NULL) {
        buffer = malloc(PACKET_SIZE);
        if (buffer == NULL || pthread_setspecific(buffers, buffer) != 0) {
            free(buffer);
            PyErr_NoMemory();
            return NULL;
        }
    }
    return buffer;
}

typedef union {
    struct cmsghdr aligned;
    char room[CMSG_SPACE(MAX_HANDLES * sizeof(int))];
} Control;

static PyObject *
arrivals_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    pthread_once(&made, make_key);
    if (failure != 0) {
        errno = failure;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    PyObject *fileno;
    int flags, bare;
    static char *names[] = {"fileno", "flags", "bare", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Oip", names, &fileno, &flags, &bare)) {
        return NULL;
    }
    Wire *wire = (Wire *)PyType_GenericAlloc(type, 0);
    if (wire != NULL) {
        wire->fileno = Py_NewRef(fileno);
        wire->flags = flags | MSG_CMSG_CLOEXEC;
        wire->bare = bare;
    }
    return (PyObject *)wire;
}

/* What `recvmsg` of a socket returns; but the ancillary data may be any sequence. */
static PyObject *
everything(struct msghdr *message, const char *buffer, Py_ssize_t size)
{
    PyObject *fields[] = {
        PyBytes_FromStringAndSize(buffer, size),
        message->msg_controllen == 0 ? PyTuple_New(0) : wire_control(message),
        PyLong_FromLong(message->msg_flags),
        Py_NewRef(Py_None),
    };
    PyObject *result = PyTuple_New(4);
    for (Py_ssize_t i = 0; i < 4; i++) {
        if (result == NULL || fields[i] == NULL) {
            Py_XDECREF(fields[i]);
            Py_CLEAR(result);
        }
        else {
            PyTuple_SetItem(result, i, fields[i]);
        }
    }
    if (result == NULL) {
        wire_close_handles(message);
    }
    return result;
}

/* Receive a packet into a buffer; its size, or -1 with an exception.

   After it nothing may run the handler of a signal, until what came is stored. */
static ssize_t
receive(const Wire *wire, int flags, char *buffer, struct msghdr *message,
    Control *control)
{
    for (;;) {
        int fd = wire_fileno(wire);
        if (fd == -1) {
            return -1;
        }
        struct iovec vector = {buffer, PACKET_SIZE};
        *message = (struct msghdr){
            .msg_iov = &vector,
            .msg_iovlen = 1,
            .msg_control = control,
            .msg_controllen = sizeof *control,
        };
        ssize_t size;
        Py_BEGIN_ALLOW_THREADS
        size = recvmsg(fd, message, flags);
        Py_END_ALLOW_THREADS
        message->msg_iov = NULL;
        if (size >= 0) {
            return size;
        }
        if (!wire_again()) {
            return -1;
        }
    }
}

static PyObject *
arrivals_next(PyObject *self)
{
    const Wire *wire = (Wire *)self;
    Control control;
    struct msghdr message;
    char *buffer = own_buffer();
    ssize_t size = -1;
    if (buffer != NULL) {
        size = receive(wire, wire->flags, buffer, &message, &control);
    }
    if (size < 0) {
        return NULL;
    }
    if (size > 0 && message.msg_controllen == 0
        && message.msg_flags == MSG_CMSG_CLOEXEC) {
        if ((unsigned char)buffer[0] == PICKLE) {
            return PyBytes_FromStringAndSize(buffer, size);
        }
        if (buffer[0] == BYTES && wire->bare) {
            return PyBytes_FromStringAndSize(buffer + 1, size - 1);
        }
    }
    if (size > 0 && buffer[0] == HEAD) {
        PyObject *whole = wire_piped(&message, buffer, size, wire->bare);
        if (whole != NULL || PyErr_Occurred()) {
            return whole;
        }
    }
    return everything(&message, buffer, size);
}

PyDoc_STRVAR(receive_doc,
"Receive one packet, with other flags; what `socket.recvmsg` returns.");

static PyObject *
arrivals_receive(PyObject *self, PyObject *argument)
{
    long flags = PyLong_AsLong(argument);
    if (flags == -1 && PyErr_Occurred()) {
        return NULL;
    }
    Control control;
    struct msghdr message;
    char *buffer = own_buffer();
    if (buffer == NULL) {
        return NULL;
    }
    ssize_t size = receive((Wire *)self, (int)flags | MSG_CMSG_CLOEXEC, buffer,
        &message, &control);
    return size < 0 ? NULL : everything(&message, buffer, size);
}

PyDoc_STRVAR(ready_doc,
"Whether there is something to receive, or the end; it does not wait.");

static PyObject *
arrivals_ready(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    int fd = wire_fileno((Wire *)self);
    if (fd == -1) {
        return NULL;
    }
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    int count = poll(&entry, 1, 0);
    return count < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyBool_FromLong(count);
}

static PyMethodDef arrivals_methods[] = {
    {"ready", arrivals_ready, METH_NOARGS, ready_doc},
    {"receive", arrivals_receive, METH_O, receive_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(arrivals_doc,
"Receives one packet each time it is asked.\n\
\n\
``for arrival in arrivals: break`` receives and stores, and no signal handler can come\n\
in between: what it raises would otherwise lose the packet.\n\
\n\
It yields bytes for a message in one packet that has neither a head nor descriptors, and\n\
what `socket.recvmsg` returns for anything else.  Of a message that lies in its pipe\n\
already, it yields the bytes, or a list of the parts in the place of the address.\n\
\n\
Args:\n\
    fileno: the method of a socket that returns its descriptor.\n\
    flags: of recvmsg(2); MSG_CMSG_CLOEXEC is always set.\n\
    bare: of a message of bytes, yield these alone; otherwise it is not among those\n\
        that are yielded as bytes.");

static PyType_Slot arrivals_slots[] = {
    {Py_tp_doc, (void *)arrivals_doc},
    {Py_tp_new, arrivals_new},
    {Py_tp_dealloc, wire_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, arrivals_next},
    {Py_tp_methods, arrivals_methods},
    {0, NULL},
};

PyType_Spec arrivals_spec = {
    .name = "mp_connection._native.Arrivals",
    .basicsize = sizeof(Wire),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = arrivals_slots,
};
