/* Words of shared memory: who is calling, sleeping and waking.
 *
 * Two facts shape every wait:
 *
 * - A waiter that was woken may be killed before it runs, and its wake-up dies with it.
 *   So nobody sleeps longer than SLICE without looking at the word again.
 * - Python runs signal handlers in the main thread only, and the signal may have been
 *   delivered to another thread.  So they are looked for after each sleep, however it
 *   ended.
 *
 * A count of waiters that includes a killed one stays too high for ever.  That costs
 * each later release a system call that wakes nobody, and nothing else.
 */
#ifndef MP_SYNC_WORDS_H
#define MP_SYNC_WORDS_H

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(long) == 8, "the futex calls below are those of 64-bit systems");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2,
               "an atomic of the C library's is not shared with other processes");

#define SECOND INT64_C(1000000000)
#define SLICE (150 * SECOND / 1000)
#define FOREVER INT64_C(-1)
#define AT_ONCE INT64_C(0)
#define EVERYBODY INT32_MAX

typedef _Atomic uint32_t Word;
typedef _Atomic uint64_t Owner;

/* ------------------------------------------------------------------ who is calling */

extern uint32_t this_pid; /* the C library keeps it true in every child of fork(2) */
/* 0 until somebody asks.  Reached without a call where the C library keeps room for
   that in every thread, also for what is loaded late; musl does not. */
#ifdef __GLIBC__
#define NEAR __attribute__((tls_model("initial-exec")))
#else
#define NEAR
#endif
extern _Thread_local uint32_t this_tid NEAR;

int words_setup(void); /* whether it worked */

/* Process and thread: the kernel gives no other thread this number meanwhile. */
static inline uint64_t
me(void)
{
    if (this_tid == 0) {
        this_tid = (uint32_t)syscall(SYS_gettid);
    }
    return (uint64_t)this_pid << 32 | this_tid;
}

static inline uint32_t
pid_of(uint64_t owner)
{
    return (uint32_t)(owner >> 32);
}

/* -------------------------------------------------------------------------- waiting */

static inline int64_t
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

/* Sleep while *word* is *seen*, for a slice, to the deadline or to a signal.
   Returns whether the deadline has passed.

   Ordering: the kernel compares the word under the lock of its queue, which a wake
   takes too.  So a change of the word that is followed by a wake is either seen by the
   comparison, or the wake finds the sleeper. */
static inline int
sleep_on(Word *word, uint32_t seen, int64_t deadline)
{
    int64_t left = SLICE;
    if (deadline != FOREVER) {
        int64_t remaining = deadline - now();
        if (deadline == AT_ONCE || remaining <= 0) {
            return 1;
        }
        left = remaining < left ? remaining : left;
    }
    struct timespec time = {left / SECOND, left % SECOND};
    syscall(SYS_futex, word, FUTEX_WAIT, seen, &time, NULL, 0);
    return 0;
}

static inline void
wake(Word *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

#endif
