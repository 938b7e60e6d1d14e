/* Robust mutexes, waited for in slices.
 *
 * Orderings.  The mutex's own operations acquire and release, so what its holder wrote,
 * here and in the user's data, is seen by the next one.  `owner` and `count` are written
 * by the holder only.  Others compare `owner` with themselves, and nobody else ever
 * writes their number there; so relaxed is enough: whatever they see, it is equal
 * exactly if they wrote it.
 */

#include "mutex.h"

/* The mutex is ours: whose data is it that we now may touch? */
static Outcome
mutex_taken(MutexState *lock, int error)
{
    if (error == EOWNERDEAD) {
        /* Noted before the mutex is declared consistent, in case we are killed here.
           No owner: it died while it took the lock or let it go, within nothing. */
        uint32_t pid = pid_of(atomic_load(&lock->owner));
        if (pid != 0) {
            atomic_store(&lock->dead, pid);
        }
        atomic_store(&lock->owner, 0);
        atomic_store(&lock->count, 0);
        pthread_mutex_consistent(&lock->mutex);
    }
    if (atomic_load_explicit(&lock->dead, memory_order_relaxed) != 0) {
        return DEAD;
    }
    atomic_store_explicit(&lock->count, 1, memory_order_relaxed);
    atomic_store_explicit(&lock->owner, me(), memory_order_relaxed);
    return GOT;
}

void
wake_waiter(MutexState *lock)
{
    /* The waiter read `sequence` before it found the mutex held.  So either it sleeps
       and is woken, or its sleep sees the change. */
    atomic_fetch_add(&lock->sequence, 1);
    wake(&lock->sequence, 1);
}

Outcome
mutex_found(MutexState *lock, int error)
{
    if (error != 0 && error != EOWNERDEAD) {
        return LOOK;
    }
    Outcome outcome = mutex_taken(lock, error);
    if (outcome == DEAD) {
        release_mutex(lock); /* so that the next waiter learns it too */
    }
    return outcome;
}

Outcome
try_mutex(void *state)
{
    return try_mutex_as(state, me());
}

Outcome
wait_mutex(void *state, int64_t deadline)
{
    MutexState *lock = state;
    atomic_fetch_add(&lock->waiters, 1);
    atomic_thread_fence(memory_order_seq_cst);
    uint32_t seen = atomic_load(&lock->sequence);
    Outcome outcome = try_mutex(lock);
    if (outcome == LOOK) {
        int late = sleep_on(&lock->sequence, seen, deadline);
        outcome = try_mutex(lock);
        if (outcome == LOOK && late) {
            outcome = TIMED_OUT;
        }
    }
    atomic_fetch_sub(&lock->waiters, 1);
    return outcome;
}

Outcome
poll_mutex(void *state)
{
    atomic_thread_fence(memory_order_seq_cst); /* after its announcement */
    return try_mutex(state);
}

static Outcome
unnamed(MutexState *lock, Outcome outcome)
{
    if (outcome == GOT) {
        atomic_store_explicit(&lock->count, 0, memory_order_relaxed);
        atomic_store_explicit(&lock->owner, 0, memory_order_relaxed);
    }
    return outcome;
}

Outcome
try_mutex_unnamed(MutexState *lock)
{
    int error = pthread_mutex_trylock(&lock->mutex);
    if (error == 0 && atomic_load_explicit(&lock->dead, memory_order_relaxed) == 0) {
        return GOT;
    }
    return unnamed(lock, mutex_found(lock, error));
}

Outcome
wait_mutex_unnamed(MutexState *lock)
{
    return unnamed(lock, take_slowly(lock, wait_mutex, FOREVER, 1));
}

int
recover_mutex(MutexState *lock)
{
    if (mutex_is_mine(lock)) {
        return 0;
    }
    int error = pthread_mutex_trylock(&lock->mutex);
    if (error != 0 && error != EOWNERDEAD) {
        return 0;
    }
    if (mutex_taken(lock, error) == GOT) { /* nobody died, or it is recovered */
        release_mutex(lock);
        return 0;
    }
    /* Owner first: killed in between, we leave a lock that has to be recovered. */
    atomic_store(&lock->count, 1);
    atomic_store(&lock->owner, me());
    atomic_store(&lock->dead, 0);
    return 1;
}

int
mutex_is_ours(MutexState *lock)
{
    return pid_of(atomic_load(&lock->owner)) == this_pid;
}

int
mutex_setup(MutexState *lock)
{
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    if (error != 0) {
        return error;
    }
    error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (error == 0) {
        error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    }
    if (error == 0) {
        error = pthread_mutex_init(&lock->mutex, &attributes);
    }
    pthread_mutexattr_destroy(&attributes);
    return error;
}
