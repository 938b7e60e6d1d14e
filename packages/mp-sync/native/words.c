/* Who is calling, kept true across forks. */

#include "words.h"

#include <pthread.h>

uint32_t this_pid;
_Thread_local uint32_t this_tid NEAR;

static void
forked(void)
{
    /* The C library calls this in every child of fork(2), whoever forks. */
    this_pid = (uint32_t)getpid();
    this_tid = 0;
}

int
words_setup(void)
{
    this_pid = (uint32_t)getpid();
    return pthread_atfork(NULL, NULL, forked) == 0;
}
