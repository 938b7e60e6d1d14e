/* Large messages: many packets in one call. */

#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

/* How long one call goes on once it has carried something, in nanoseconds: with a slice
   of waiting before, it is over before a deadline that nobody looks at meanwhile. */
#define LONGEST 100000000

static int64_t
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

PyDoc_STRVAR(send_doc,
"Send a buffer in packets, as many as there is room for.\n\
\n\
Args:\n\
    fileno: the method of a socket that returns its descriptor.\n\
    data: the buffer.\n\
    start: where the first packet begins.\n\
    fragment: bytes in a packet.\n\
    flags: of send(2).\n\
\n\
Returns:\n\
    Where the next packet begins.\n\
\n\
Raises:\n\
    OSError: that of send(2), if nothing was sent; or the socket is closed.");

static PyObject *
send_fragments(PyObject *module, PyObject *args)
{
    (void)module;
    Wire wire = {0};
    Py_buffer view;
    Py_ssize_t start, fragment;
    int flags;
    if (!PyArg_ParseTuple(
            args, "Oy*nni", &wire.fileno, &view, &start, &fragment, &flags)) {
        return NULL;
    }
    Py_ssize_t done = start;
    int64_t end = now() + LONGEST;
    int failed = start < 0 || fragment < 1;
    if (failed) {
        PyErr_SetString(PyExc_ValueError, "a place and a length are not negative");
    }
    while (!failed && done < view.len) {
        int fd = wire_fileno(&wire);
        if (fd == -1) {
            failed = 1;
            break;
        }
        size_t size = (size_t)(view.len - done < fragment ? view.len - done : fragment);
        ssize_t sent;
        Py_BEGIN_ALLOW_THREADS
        sent = send(fd, (char *)view.buf + done, size, flags);
        Py_END_ALLOW_THREADS
        if (sent >= 0) {
            done += sent;
            if (now() > end) {
                break;
            }
        }
        else if (done > start) {
            break; /* the next call finds out */
        }
        else {
            failed = !wire_again();
        }
    }
    PyBuffer_Release(&view);
    return failed ? NULL : PyLong_FromSsize_t(done);
}

/* Receive one packet; wait until *end* at most, or for a slice if that is 0. */
static ssize_t
receive_packet(int fd, struct msghdr *message, int flags, int64_t end)
{
    struct msghdr asked = *message;
    int all = flags | MSG_TRUNC | MSG_CMSG_CLOEXEC;
    if (end == 0) {
        return recvmsg(fd, message, all);
    }
    ssize_t size = recvmsg(fd, message, all | MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN && !(flags & MSG_DONTWAIT)) {
        int64_t left = end - now();
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        if (left > 0 && poll(&entry, 1, (int)(left / 1000000)) > 0) {
            *message = asked;
            return recvmsg(fd, message, all | MSG_DONTWAIT);
        }
        errno = EAGAIN;
    }
    return size;
}

PyDoc_STRVAR(receive_doc,
"Receive packets into a buffer, one after the other.\n\
\n\
Args:\n\
    fileno: the method of a socket that returns its descriptor.\n\
    view: the buffer, writable.\n\
    reserve: stop when less than this is left of it, or nothing.\n\
    flags: of recvmsg(2).\n\
    handles: whether descriptors may come; otherwise they are dropped.\n\
\n\
Returns:\n\
    The bytes received; more than the buffer holds if a packet was longer than what was\n\
    left of it; none at the end of the stream.  And None, or the ancillary data of the\n\
    packet that ended this, which is not counted.\n\
\n\
Raises:\n\
    OSError: that of recvmsg(2), if nothing was received.");

static PyObject *
receive_fragments(PyObject *module, PyObject *args)
{
    (void)module;
    Wire wire = {0};
    Py_buffer view;
    Py_ssize_t reserve;
    int flags, handles;
    if (!PyArg_ParseTuple(
            args, "Ow*nip", &wire.fileno, &view, &reserve, &flags, &handles)) {
        return NULL;
    }
    union {
        struct cmsghdr aligned;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {0};
    Py_ssize_t done = 0;
    int64_t end = now() + LONGEST;
    int failed = 0, resets = 0, came = 0;
    for (;;) {
        int fd = wire_fileno(&wire);
        if (fd == -1) {
            if (done > 0) {
                PyErr_Clear(); /* the next call finds out */
            }
            failed = done == 0;
            break;
        }
        struct iovec vector = {(char *)view.buf + done, (size_t)(view.len - done)};
        message = (struct msghdr){
            .msg_iov = &vector,
            .msg_iovlen = 1,
            .msg_control = handles ? &control : NULL,
            .msg_controllen = handles ? sizeof control : 0,
        };
        ssize_t size;
        Py_BEGIN_ALLOW_THREADS
        size = receive_packet(fd, &message, flags, done > 0 ? end : 0);
        Py_END_ALLOW_THREADS
        if (size < 0) {
            /* The far end was closed while it had packets unread: that is reported
               once, before what it had sent. */
            if (errno == ECONNRESET && resets++ == 0) {
                continue;
            }
            if (done > 0) {
                break; /* the next call finds out */
            }
            if (!wire_again()) {
                failed = 1;
                break;
            }
            continue;
        }
        came = handles
               && (message.msg_controllen > 0 || (message.msg_flags & MSG_CTRUNC));
        if (came || size == 0) {
            break;
        }
        done += size;
        Py_ssize_t left = view.len - done;
        if (left <= 0 || left < reserve || now() > end) {
            break;
        }
    }
    PyBuffer_Release(&view);
    if (failed) {
        return NULL;
    }
    PyObject *beside = came ? wire_control(&message) : Py_NewRef(Py_None);
    PyObject *result = beside == NULL ? NULL : Py_BuildValue("nN", done, beside);
    if (result == NULL && came) {
        wire_close_handles(&message);
    }
    return result;
}

PyMethodDef fragment_functions[] = {
    {"send_fragments", send_fragments, METH_VARARGS, send_doc},
    {"receive_fragments", receive_fragments, METH_VARARGS, receive_doc},
    {NULL, NULL, 0, NULL},
};
