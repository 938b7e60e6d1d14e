/* Packets in one call: what `socket` objects do in several.
 *
 * The types here are for the messages that nearly all programs send: short, without
 * descriptors, in one packet.  Whatever is not one of these they hand on as it came, to
 * the code that knows all of the protocol; so do the functions that carry the bytes of
 * large messages.
 *
 * They own no descriptor.  Each call asks the socket for its number, as another thread
 * may have closed it meanwhile, and the number may stand for something else by then.
 */
#ifndef MP_CONNECTION_WIRE_H
#define MP_CONNECTION_WIRE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* What is built on 3.12 or later runs on 3.11 too, where this object is counted; the
   macro of newer headers returns it uncounted, whatever the limited API asks for. */
#undef Py_RETURN_NONE
#define Py_RETURN_NONE return Py_NewRef(Py_None)

/* The first byte of a packet (mp_connection._framing). */
#define PICKLE 0x80
#define BYTES 0x00
#define HEAD 0x01

/* The transport of a message in a pipe (the same). */
#define PIPE 3

/* The longest packet (mp_connection._packets_linux). */
#define PACKET_SIZE (65536 + 12 + 8 * 1000)
/* The most room that a pipe of pages asks for, and so the longest message that lies in one:
   twice what anybody may have (pipe(7), pipe-max-size), as a message of so much lies on a
   page more than that has. */
#define MOST_ROOM (1 << 21)
/* SCM_MAX_FD of the Linux kernel: descriptors in one packet (unix(7)). */
#define MAX_HANDLES 253

typedef struct {
    PyObject_HEAD
    PyObject *fileno; /* the method of a socket */
    int flags;
    int bare;
} Wire;

extern PyType_Spec arrivals_spec;
extern PyType_Spec sender_spec;
extern PyType_Spec noter_spec;
extern PyType_Spec blank_spec;
extern PyType_Spec pages_spec;
extern PyType_Spec noted_spec; /* the state of the module is its type */

extern PyMethodDef blank_functions[];
extern PyMethodDef fragment_functions[];

/* The descriptor; -1 with an exception if it is closed. */
int wire_fileno(const Wire *wire);
/* After a call that failed: whether to make it again, as it was a signal that ended it;
   otherwise an exception is set, by the call or by the handler. */
int wire_again(void);
void wire_dealloc(PyObject *self);

struct msghdr;
/* A message that lies in its pipe already: its bytes, or what stands for its packet, with
   its parts in the place of an address.  NULL for any other, of which nothing has been
   read; with an exception for one that is none. */
PyObject *wire_piped(
    struct msghdr *message, const char *packet, Py_ssize_t size, int bare);
/* The ancillary data of a message, as `recvmsg` of a socket returns it. */
PyObject *wire_control(struct msghdr *message);
/* Close the descriptors in it, if nobody will ever know of them. */
void wire_close_handles(struct msghdr *message);

#endif
