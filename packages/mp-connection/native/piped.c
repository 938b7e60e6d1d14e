/* Large messages that lie in a pipe already when they are announced: one call for all. */

#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_PARTS 16
/* In the number that is the length of a part: that it becomes bytes. */
#define AS_BYTES (UINT64_C(1) << 63)

/* The head of a message, as `mp_connection._framing` packs it; lengths follow it. */
typedef struct __attribute__((packed)) {
    uint8_t tag, pickled, transport, pad;
    uint32_t ahead, parts; /* in a pipe no descriptors follow, but bytes went ahead */
} Head;

/* The pipe that came with a packet, if it came with nothing else but the file that may
   take what nobody receives; or -1. */
static int
pipe_of(struct msghdr *message)
{
    struct cmsghdr *first = CMSG_FIRSTHDR(message);
    if (first == NULL || first->cmsg_level != SOL_SOCKET
        || first->cmsg_type != SCM_RIGHTS || CMSG_NXTHDR(message, first) != NULL
        || (message->msg_flags & (MSG_CTRUNC | MSG_TRUNC))
        || first->cmsg_len > CMSG_LEN(2 * sizeof(int))) {
        return -1;
    }
    int fd;
    memcpy(&fd, CMSG_DATA(first), sizeof fd);
    return fd;
}

/* Whether so many bytes lie in a pipe, and reading them would not block. */
static int
is_there(int fd, uint64_t size)
{
    int there = 0;
    int mode = fcntl(fd, F_GETFL);
    return mode != -1 && (mode & O_NONBLOCK) && ioctl(fd, FIONREAD, &there) == 0
           && there > 0 && (uint64_t)there == size;
}

/* The objects that the parts of a message will be; NULL, without an exception, if there
   is no memory: who goes on says so. */
static PyObject *
blank_parts(const uint64_t *lengths, uint32_t count, struct iovec *vectors)
{
    PyObject *list = PyList_New(count);
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        Py_ssize_t size = (Py_ssize_t)(lengths[i] & ~AS_BYTES);
        int solid = i == 0 || (lengths[i] & AS_BYTES);
        PyObject *part = solid ? PyBytes_FromStringAndSize(NULL, size)
                               : PyByteArray_FromStringAndSize(NULL, size);
        if (part == NULL) {
            Py_CLEAR(list);
            break;
        }
        char *memory = solid ? PyBytes_AsString(part) : PyByteArray_AsString(part);
        vectors[i] = (struct iovec){memory, (size_t)size};
        PyList_SetItem(list, i, part);
    }
    if (list == NULL) {
        PyErr_Clear();
    }
    return list;
}

/* Put what went ahead where it belongs, and leave the rest to be read. */
static void
begin(struct iovec *vectors, const char *ahead, size_t left)
{
    for (; left > 0; vectors++) {
        size_t size = left < vectors->iov_len ? left : vectors->iov_len;
        memcpy(vectors->iov_base, ahead, size);
        vectors->iov_base = (char *)vectors->iov_base + size;
        vectors->iov_len -= size;
        ahead += size;
        left -= size;
    }
}

PyObject *
wire_piped(struct msghdr *message, const char *packet, Py_ssize_t size, int bare)
{
    Head head;
    uint64_t lengths[MOST_PARTS], whole = 0;
    int fd = pipe_of(message);
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || fd == -1
        || size < (Py_ssize_t)sizeof head) {
        return NULL;
    }
    memcpy(&head, packet, sizeof head);
    if (head.transport != PIPE || head.pickled > 1 || head.parts == 0
        || head.parts > MOST_PARTS) {
        return NULL;
    }
    size_t start = sizeof head + head.parts * sizeof *lengths;
    if ((size_t)size < start + head.ahead) {
        return NULL;
    }
    memcpy(lengths, packet + sizeof head, head.parts * sizeof *lengths);
    for (uint32_t i = 0; i < head.parts; i++) {
        if ((lengths[i] & ~AS_BYTES) > MOST_ROOM) {
            return NULL;
        }
        whole += lengths[i] & ~AS_BYTES;
    }
    if (whole > MOST_ROOM || head.ahead >= whole || !is_there(fd, whole - head.ahead)) {
        return NULL;
    }
    struct iovec vectors[MOST_PARTS];
    PyObject *parts = blank_parts(lengths, head.parts, vectors);
    if (parts == NULL) {
        return NULL;
    }
    const char *first = vectors[0].iov_base;
    size_t length = vectors[0].iov_len;
    begin(vectors, packet + start, head.ahead);
    /* One call reads all of it, unless its sender takes it back before: then nothing.
       Without giving up the GIL, so that no thread forks meanwhile: the child would have
       the end of the pipe, and hold the sender up. */
    ssize_t got = readv(fd, vectors, (int)head.parts);
    if (got <= 0) {
        Py_DECREF(parts);
        return NULL;
    }
    wire_close_handles(message); /* which tells the sender */
    PyObject *result;
    if ((uint64_t)got != whole - head.ahead) {
        errno = EPROTO; /* it is lost, which none of ours brings about */
        result = PyErr_SetFromErrno(PyExc_OSError);
    }
    else if (head.parts == 1
             && (head.pickled ? length > 0 && first[0] == (char)PICKLE : bare)) {
        result = Py_NewRef(PyList_GetItem(parts, 0));
    }
    else {
        result = Py_BuildValue(
            "y#()iO", packet, (Py_ssize_t)start, MSG_CMSG_CLOEXEC, parts);
    }
    Py_DECREF(parts);
    return result;
}
