/* Large messages that lie in a pipe already when they are announced: one call for all. */

#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* No more than a pipe holds, and than the memory that a lie about the length may cost. */
#define LONGEST (1 << 21)

/* The head of a message of one part, as `mp_connection._framing` packs it. */
typedef struct __attribute__((packed)) {
    uint8_t tag, pickled, transport, pad;
    uint32_t ahead, parts; /* in a pipe no descriptors follow, but bytes went ahead */
    uint64_t length;
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

PyObject *
wire_piped(struct msghdr *message, const char *packet, Py_ssize_t size, int bare)
{
    Head head;
    int fd = pipe_of(message);
    if (fd == -1 || size < (Py_ssize_t)sizeof head) {
        return NULL;
    }
    memcpy(&head, packet, sizeof head);
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || head.transport != PIPE
        || head.parts != 1 || head.pickled > 1 || !(head.pickled || bare)
        || head.ahead >= head.length || head.length > LONGEST
        || (size_t)size < sizeof head + head.ahead) {
        return NULL;
    }
    int there = 0;
    int mode = fcntl(fd, F_GETFL);
    if (mode == -1 || !(mode & O_NONBLOCK) || ioctl(fd, FIONREAD, &there) < 0
        || there < 0 || (uint64_t)there != head.length - head.ahead) {
        return NULL;
    }
    PyObject *whole = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)head.length);
    if (whole == NULL) {
        PyErr_Clear(); /* who goes on says so */
        return NULL;
    }
    /* One call reads all of it, unless its sender takes it back before: then nothing.
       Without giving up the GIL, so that no thread forks meanwhile: the child would have
       the end of the pipe, and hold the sender up. */
    char *bytes = PyBytes_AsString(whole);
    memcpy(bytes, packet + sizeof head, head.ahead);
    ssize_t got = read(fd, bytes + head.ahead, (size_t)there);
    if (got <= 0) {
        Py_DECREF(whole);
        return NULL;
    }
    wire_close_handles(message); /* which tells the sender */
    if (got != there || (head.pickled && bytes[0] != (char)PICKLE)) {
        Py_DECREF(whole);
        errno = EPROTO; /* it is lost, which none of ours brings about */
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return whole;
}
