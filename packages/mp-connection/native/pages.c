/* Large messages whose bytes are not copied on their way: a pipe of pages.
 *
 * vmsplice(2) puts the sender's own pages into a pipe, and its receiver copies them from
 * there: one copy, where a socket takes two.  Until they are received the pages are the
 * sender's memory still.  So the sender waits for that, or takes back what nobody has
 * received (`withdraw`).
 */

#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Room that anybody may have (pipe(7), pipe-max-size). */
#define MUCH_ROOM (1 << 20)

/* Where pages go that are taken back: some times the same memory. */
#define SINK 65536

typedef struct {
    PyObject_HEAD
    int reader;
    int writer;
    pid_t owner;
    int room;
    int lent; /* whether pages of the sender's may be in the pipe */
    int over; /* whether the receiver has closed its end */
} Pages;

/* Whether this system has said that it lends no pages.  Copying into a pipe then does for
   the message that found out; a pair of sockets is faster for the next. */
static volatile int forbidden;

static PyObject *
pages_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    Py_ssize_t room;
    static char *names[] = {"room", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "n", names, &room)) {
        return NULL;
    }
    if (forbidden) {
        errno = ENOSYS;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Pages *pages = (Pages *)PyType_GenericAlloc(type, 0);
    if (pages == NULL) {
        return NULL;
    }
    pages->reader = pages->writer = -1;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF(pages);
        return NULL;
    }
    pages->reader = ends[0];
    pages->writer = ends[1];
    pages->owner = getpid();
    int wanted = room < MOST_ROOM ? (int)room : MOST_ROOM;
    /* As much as there is: how much that is, the caller asks (`room`). */
    pages->room = fcntl(pages->writer, F_SETPIPE_SZ, wanted);
    if (pages->room < 0 && wanted > MUCH_ROOM) {
        pages->room = fcntl(pages->writer, F_SETPIPE_SZ, MUCH_ROOM);
    }
    if (pages->room < 0) {
        pages->room = fcntl(pages->writer, F_GETPIPE_SZ);
    }
    return (PyObject *)pages;
}

/* Take what is in the pipe out of it; how much that was, or -1 with errno.

   One call takes all: between two, the receiver might read what follows the first.
   The end for it is opened only now, as one that was kept would hide that the receiver
   is gone. */
static ssize_t
withdraw(Pages *pages)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", pages->writer);
    char *sink = malloc(SINK);
    if (sink == NULL) {
        errno = ENOMEM;
        return -1;
    }
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ssize_t size = -1;
    if (fd >= 0) {
        struct iovec vectors[MOST_ROOM / SINK + 1];
        int count = sizeof vectors / sizeof *vectors;
        for (int i = 0; i < count; i++) {
            vectors[i] = (struct iovec){sink, SINK};
        }
        do {
            size = readv(fd, vectors, count);
        } while (size < 0 && errno == EINTR);
        if (size < 0 && errno == EAGAIN) {
            size = 0;
        }
        int kept = errno;
        close(fd);
        errno = kept;
    }
    free(sink);
    if (size >= 0) {
        pages->lent = 0;
    }
    return size;
}

static void
close_reader(Pages *pages)
{
    if (pages->reader != -1) {
        close(pages->reader);
        pages->reader = -1;
    }
}

/* Close both ends; whether no page of the sender's can be received any more. */
static int
shut(Pages *pages)
{
    int settled = 1;
    close_reader(pages);
    if (pages->writer != -1) {
        /* A forked child has the end as well, and it is not its message. */
        if (pages->lent && pages->owner == getpid()) {
            settled = withdraw(pages) >= 0;
        }
        /* As long as the receiver's end is on its way, the room counts against what this
           user's pipes may have in all.  (Not while something is in there.) */
        if (!pages->over && pages->owner == getpid()) {
            fcntl(pages->writer, F_SETPIPE_SZ, 1);
        }
        close(pages->writer);
        pages->writer = -1;
    }
    return settled;
}

static void
pages_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    shut((Pages *)self);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* The writing end; -1 with an exception if it is closed. */
static int
writer_of(const Pages *pages)
{
    if (pages->writer == -1) {
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return pages->writer;
}

/* A pipe that nobody reads is a signal, which MSG_NOSIGNAL is not there to prevent: keep
   it from this thread, and take it back if the call has raised it. */
static ssize_t
put(int fd, const struct iovec *vector, int lend)
{
    sigset_t pipe_signal, before, pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    sigpending(&pending);
    ssize_t size = -1;
    int failed = ENOSYS;
    if (lend) {
        size = vmsplice(fd, vector, 1, SPLICE_F_NONBLOCK);
        failed = errno;
        if (size < 0 && (failed == ENOSYS || failed == EPERM)) {
            forbidden = 1;
        }
    }
    /* Memory that has no pages, such as a device's; or a system that forbids it. */
    if (size < 0 && failed != EAGAIN && failed != EPIPE && failed != EINTR) {
        size = writev(fd, vector, 1);
        failed = errno;
    }
    if (size < 0 && failed == EPIPE && !sigismember(&pending, SIGPIPE)) {
        const struct timespec none = {0, 0};
        while (sigtimedwait(&pipe_signal, NULL, &none) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = failed;
    return size;
}

PyDoc_STRVAR(send_doc,
"Put bytes into the pipe, as many as there is room for.\n\
\n\
Args:\n\
    data: a buffer, which is not to change before it was received or withdrawn.\n\
    start: where to begin in it.\n\
    milliseconds: how long to wait for room.\n\
    lend: whether to put the pages, and not copies.\n\
\n\
Returns:\n\
    The place where to go on.\n\
\n\
Raises:\n\
    BlockingIOError: there was no room.\n\
    BrokenPipeError: the receiver has closed its end.\n\
    OSError: this end is closed.");

static PyObject *
pages_send(PyObject *self, PyObject *args)
{
    Pages *pages = (Pages *)self;
    Py_buffer view;
    Py_ssize_t start;
    int milliseconds, lend;
    if (!PyArg_ParseTuple(args, "y*nip", &view, &start, &milliseconds, &lend)) {
        return NULL;
    }
    Py_ssize_t place = -1;
    if (start < 0 || start > view.len) {
        PyErr_SetString(PyExc_ValueError, "the place is not in the buffer");
    }
    else {
        struct iovec vector = {(char *)view.buf + start, (size_t)(view.len - start)};
        for (;;) {
            int fd = writer_of(pages);
            if (fd == -1) {
                break;
            }
            ssize_t size;
            pages->lent |= lend;
            Py_BEGIN_ALLOW_THREADS
            size = put(fd, &vector, lend);
            if (size < 0 && errno == EAGAIN && milliseconds > 0) {
                struct pollfd entry = {.fd = fd, .events = POLLOUT};
                if (poll(&entry, 1, milliseconds) >= 0) {
                    size = put(fd, &vector, lend);
                }
            }
            Py_END_ALLOW_THREADS
            if (size >= 0) {
                place = start + size;
                break;
            }
            if (!wire_again()) {
                break;
            }
        }
    }
    PyBuffer_Release(&view);
    return place < 0 ? NULL : PyLong_FromSsize_t(place);
}

PyDoc_STRVAR(unread_doc, "How many bytes in the pipe nobody has read yet.");

static PyObject *
pages_unread(PyObject *self, PyObject *none)
{
    (void)none;
    int fd = writer_of((Pages *)self);
    if (fd == -1) {
        return NULL;
    }
    int unread = 0;
    if (ioctl(fd, FIONREAD, &unread) < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromLong(unread);
}

PyDoc_STRVAR(taken_doc,
"Wait until the receiver closes its end, as it has read all or gives up.\n\
\n\
Args:\n\
    milliseconds: how long to wait.\n\
\n\
Returns:\n\
    None if it has not; otherwise the bytes that it left unread.\n\
\n\
Raises:\n\
    OSError: this end is closed.");

static PyObject *
pages_taken(PyObject *self, PyObject *milliseconds)
{
    Pages *pages = (Pages *)self;
    long most = PyLong_AsLong(milliseconds);
    if (most == -1 && PyErr_Occurred()) {
        return NULL;
    }
    for (;;) {
        int fd = writer_of(pages);
        if (fd == -1) {
            return NULL;
        }
        struct pollfd entry = {.fd = fd}; /* POLLERR comes unasked */
        int ready;
        Py_BEGIN_ALLOW_THREADS
        ready = poll(&entry, 1, (int)most);
        Py_END_ALLOW_THREADS
        if (ready == 0) {
            Py_RETURN_NONE;
        }
        if (ready > 0) {
            pages->lent = 0; /* nobody is left to receive any */
            pages->over = 1;
            return pages_unread(self, NULL);
        }
        if (!wire_again()) {
            return NULL;
        }
    }
}

PyDoc_STRVAR(withdraw_doc,
"Take back what nobody has received; the bytes that were left.\n\
\n\
Raises:\n\
    OSError: that is not possible, as there is no /proc or no descriptor left; or this\n\
        end is closed.");

static PyObject *
pages_withdraw(PyObject *self, PyObject *none)
{
    (void)none;
    Pages *pages = (Pages *)self;
    if (writer_of(pages) == -1) {
        return NULL;
    }
    ssize_t size;
    Py_BEGIN_ALLOW_THREADS
    size = withdraw(pages);
    Py_END_ALLOW_THREADS
    return size < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromSsize_t(size);
}

PyDoc_STRVAR(announce_doc,
"Send a packet with the receiver's end, and close that here.\n\
\n\
Args:\n\
    fileno: the method of a socket that returns its descriptor.\n\
    packet: the packet.\n\
    flags: of sendmsg(2).\n\
\n\
Raises:\n\
    OSError: that of sendmsg(2), and nothing was sent; or the socket is closed.");

static PyObject *
pages_announce(PyObject *self, PyObject *args)
{
    Pages *pages = (Pages *)self;
    Wire wire = {0};
    Py_buffer packet;
    int flags;
    if (!PyArg_ParseTuple(args, "Oy*i", &wire.fileno, &packet, &flags)) {
        return NULL;
    }
    union {
        struct cmsghdr aligned;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {{0}};
    struct iovec vector = {packet.buf, (size_t)packet.len};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control,
    };
    control.aligned.cmsg_level = SOL_SOCKET;
    control.aligned.cmsg_type = SCM_RIGHTS;
    control.aligned.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.aligned), &pages->reader, sizeof(int));
    ssize_t sent = -1;
    int fd;
    while ((fd = wire_fileno(&wire)) != -1) {
        Py_BEGIN_ALLOW_THREADS
        sent = sendmsg(fd, &message, flags);
        Py_END_ALLOW_THREADS
        if (sent >= 0 || !wire_again()) {
            break;
        }
    }
    PyBuffer_Release(&packet);
    if (sent < 0) {
        return NULL;
    }
    close_reader(pages);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(keep_doc,
"Let what is in the pipe be received when this end is closed, as its memory stays.");

static PyObject *
pages_keep(PyObject *self, PyObject *none)
{
    (void)none;
    ((Pages *)self)->lent = 0;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(let_go_doc, "Close the receiver's end here, when it is on its way.");

static PyObject *
pages_let_go(PyObject *self, PyObject *none)
{
    (void)none;
    close_reader((Pages *)self);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(close_doc,
"Take back what nobody has received, and close what is open.\n\
\n\
Returns:\n\
    False if nothing could be taken back: a receiver may come upon pages of this\n\
    process's memory as long as it likes.");

static PyObject *
pages_close(PyObject *self, PyObject *none)
{
    (void)none;
    return PyBool_FromLong(shut((Pages *)self));
}

PyDoc_STRVAR(fileno_doc, "The end that is written to; -1 when closed.");

static PyObject *
pages_fileno(PyObject *self, PyObject *none)
{
    (void)none;
    return PyLong_FromLong(((Pages *)self)->writer);
}

PyDoc_STRVAR(far_doc, "The receiver's end; -1 when closed.");

static PyObject *
pages_far(PyObject *self, PyObject *none)
{
    (void)none;
    return PyLong_FromLong(((Pages *)self)->reader);
}

PyDoc_STRVAR(room_doc, "How many bytes the pipe holds, if they lie on whole pages.");

static PyObject *
pages_room(PyObject *self, PyObject *none)
{
    (void)none;
    Pages *pages = (Pages *)self;
    if (writer_of(pages) == -1) {
        return NULL;
    }
    return PyLong_FromLong(pages->room);
}

PyDoc_STRVAR(offset_doc, "Where in its page a buffer begins.");

static PyObject *
pages_offset(PyObject *type, PyObject *data)
{
    (void)type;
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    size_t offset = (size_t)view.buf % (size_t)sysconf(_SC_PAGESIZE);
    PyBuffer_Release(&view);
    return PyLong_FromSize_t(offset);
}

static PyMethodDef pages_methods[] = {
    {"send", pages_send, METH_VARARGS, send_doc},
    {"taken", pages_taken, METH_O, taken_doc},
    {"unread", pages_unread, METH_NOARGS, unread_doc},
    {"withdraw", pages_withdraw, METH_NOARGS, withdraw_doc},
    {"announce", pages_announce, METH_VARARGS, announce_doc},
    {"keep", pages_keep, METH_NOARGS, keep_doc},
    {"let_go", pages_let_go, METH_NOARGS, let_go_doc},
    {"close", pages_close, METH_NOARGS, close_doc},
    {"fileno", pages_fileno, METH_NOARGS, fileno_doc},
    {"far", pages_far, METH_NOARGS, far_doc},
    {"offset", pages_offset, METH_O | METH_STATIC, offset_doc},
    {"room", pages_room, METH_NOARGS, room_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(pages_doc,
"A pipe for one message, whose ends it owns.\n\
\n\
Args:\n\
    room: bytes that it should hold; how many it does says `room`.\n\
\n\
Raises:\n\
    OSError: there are no descriptors left, or no pages can be lent here.");

static PyType_Slot pages_slots[] = {
    {Py_tp_doc, (void *)pages_doc},
    {Py_tp_new, pages_new},
    {Py_tp_dealloc, pages_dealloc},
    {Py_tp_methods, pages_methods},
    {0, NULL},
};

PyType_Spec pages_spec = {
    .name = "mp_connection._native.Pages",
    .basicsize = sizeof(Pages),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = pages_slots,
};
