/* A mutex of which the kernel tells when its holder dies: RLock and Lock(robust=True).
 *
 * The kernel marks the mutex when the thread that holds it ends, however it ends
 * (robust_list in futex(2)), which no word of ours can learn.  Waiters sleep on
 * `sequence` and not in the mutex, where a signal would not wake them.
 */
#ifndef MP_SYNC_MUTEX_H
#define MP_SYNC_MUTEX_H

#include <pthread.h>

#include "taking.h"

typedef struct {
    pthread_mutex_t mutex;
    Owner owner; /* set after the mutex is taken, cleared before it is let go */
    Word count;
    Word waiters;
    Word sequence;
    Word dead; /* the process that died in possession, until somebody recovers */
} MutexState;

int mutex_setup(MutexState *lock); /* an errno */

Outcome try_mutex(void *state);
Outcome wait_mutex(void *state, int64_t deadline);
/* As a waiter that does not sleep, and what it then sleeps on. */
Outcome poll_mutex(void *state);
/* The same, but held by nobody who would be missed; release_mutex undoes both. */
Outcome try_mutex_unnamed(MutexState *lock);
Outcome wait_mutex_unnamed(MutexState *lock);
int recover_mutex(MutexState *lock);
/* Whether a thread of this process holds it: its list of robust mutexes, which the
   kernel walks when the thread ends, leads through this memory. */
int mutex_is_ours(MutexState *lock);

/* What a lock that was not simply free was: its errno says. */
Outcome mutex_found(MutexState *lock, int error);
void wake_waiter(MutexState *lock);

/* Take it, at once; *who* is the caller. */
static inline Outcome
try_mutex_as(MutexState *lock, uint64_t who)
{
    int error = pthread_mutex_trylock(&lock->mutex);
    if (error != 0 || atomic_load_explicit(&lock->dead, memory_order_relaxed) != 0) {
        return mutex_found(lock, error);
    }
    atomic_store_explicit(&lock->count, 1, memory_order_relaxed);
    atomic_store_explicit(&lock->owner, who, memory_order_relaxed);
    return GOT;
}

/* Let go of what is held once. */
static inline void
release_mutex(MutexState *lock)
{
    atomic_store_explicit(&lock->count, 0, memory_order_relaxed);
    atomic_store_explicit(&lock->owner, 0, memory_order_relaxed);
    pthread_mutex_unlock(&lock->mutex);
    /* The mutex is free before we look for waiters, and a waiter announces itself
       before it looks at the mutex: one of the two sees the other.  Both fences are
       needed, as the unlocking store and the locking load alone order nothing; but for
       x86, where any exchange, as unlocking a robust mutex is one, is a fence too. */
#if defined(__x86_64__)
    atomic_signal_fence(memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
    if (atomic_load_explicit(&lock->waiters, memory_order_relaxed) > 0) {
        wake_waiter(lock);
    }
}

static inline int
mutex_is_mine(MutexState *lock)
{
    return atomic_load_explicit(&lock->owner, memory_order_relaxed) == me();
}

#endif
