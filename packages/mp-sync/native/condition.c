/* Waiting for a condition and notifying: mp_sync._turns, in C.
 *
 * That module tells the idea.  Both work on the same words, which only the holder of the
 * lock changes, so that the lock orders everything; `sequence` alone is looked at by
 * those who sleep.  A waiter reads it while it holds the lock.  So a notification, which
 * comes after, changes it after that look, and the kernel's comparison sees the change
 * or the wake finds the sleeper.
 */

#include "locks.h"
#include "numbers.h"

enum { SEQUENCE, NEXT, WAITING, GRANTS, GRANTED_BELOW, LINE };

/* Relaxed: the lock orders them. */
#define GET(words, index)                                                             \
    atomic_load_explicit(&(words)->words[index], memory_order_relaxed)
#define SET(words, index, value)                                                      \
    atomic_store_explicit(&(words)->words[index], (value), memory_order_relaxed)

/* Tickets start again at zero after 2**32. */
static int
below(uint32_t ticket, uint32_t line)
{
    uint32_t distance = line - ticket;
    return distance > 0 && distance < UINT32_C(1) << 31;
}

static int
may_go(WordsState *words, uint32_t ticket)
{
    return below(ticket, GET(words, LINE))
           || (GET(words, GRANTS) > 0 && below(ticket, GET(words, GRANTED_BELOW)));
}

/* Whether there is one to be had, which then is taken. */
static int
take_grant(WordsState *words, uint32_t ticket)
{
    if (!may_go(words, ticket)) {
        return 0;
    }
    if (!below(ticket, GET(words, LINE))) {
        SET(words, GRANTS, GET(words, GRANTS) - 1);
        SET(words, WAITING, GET(words, WAITING) - 1);
    }
    return 1;
}

static void
withdraw(WordsState *words, uint32_t ticket)
{
    if (!below(ticket, GET(words, LINE))) {
        uint32_t waiting = GET(words, WAITING) - 1;
        SET(words, WAITING, waiting);
        if (GET(words, GRANTS) > waiting) {
            SET(words, GRANTS, waiting);
        }
    }
}

/* Sleep until there may be a grant; 1 when the time is over, -1 with an exception. */
static int
sleep_for_grant(WordsState *words, uint32_t ticket, uint32_t seen, int64_t deadline)
{
    int late = 0;
    while (!late && !may_go(words, ticket)) {
        Py_BEGIN_ALLOW_THREADS
        late = sleep_on(&words->words[SEQUENCE], seen, deadline);
        Py_END_ALLOW_THREADS
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
        seen = atomic_load(&words->words[SEQUENCE]);
    }
    return late;
}

typedef struct {
    uint32_t (*depth)(PyObject *lock);
    void (*let_go)(PyObject *lock);
    Outcome (*take_back)(PyObject *lock, uint32_t depth);
} LockFunctions;

static const LockFunctions of_lock = {lock_depth, lock_let_go, lock_take_back};
static const LockFunctions of_rlock = {rlock_depth, rlock_let_go, rlock_take_back};

/* How the lock is held, and by whom; NULL with an exception if not by the caller. */
static const LockFunctions *
held(PyObject *const *args, Py_ssize_t count, const char *who, uint32_t *depth)
{
    const LockFunctions *functions = NULL;
    if (count == 3 && PyObject_TypeCheck(args[0], lock_type)) {
        functions = &of_lock;
    }
    else if (count == 3 && PyObject_TypeCheck(args[0], rlock_type)) {
        functions = &of_rlock;
    }
    if (functions == NULL || !PyObject_TypeCheck(args[1], words_type)) {
        PyErr_SetString(PyExc_TypeError, "a lock, words and a number are expected");
        return NULL;
    }
    *depth = functions->depth(args[0]);
    if (*depth == 0) {
        PyErr_Format(PyExc_RuntimeError, "who %s has to hold the lock", who);
        return NULL;
    }
    return functions;
}

static PyObject *
condition_wait(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    uint32_t depth;
    int64_t deadline;
    const LockFunctions *functions = held(args, count, "waits for a condition", &depth);
    if (functions == NULL || !deadline_of(args[2], &deadline)) {
        return NULL;
    }
    PyObject *lock = args[0];
    WordsState *words = STATE(WordsState, args[1]);
    uint32_t ticket = GET(words, NEXT);
    SET(words, NEXT, ticket + 1);
    uint32_t waiting = GET(words, WAITING);
    SET(words, WAITING, waiting + 1);
    if (waiting == 0) {
        SET(words, LINE, ticket); /* nobody's is above; so it never lags by 2**31 */
        SET(words, GRANTS, 0);
    }
    for (;;) {
        uint32_t seen = GET(words, SEQUENCE);
        functions->let_go(lock);
        int late = sleep_for_grant(words, ticket, seen, deadline);
        if (late < 0) {
            PyObject *type, *value, *traceback;
            PyErr_Fetch(&type, &value, &traceback);
            Outcome outcome = functions->take_back(lock, depth);
            if (outcome == GOT) {
                withdraw(words, ticket);
            }
            PyErr_Restore(type, value, traceback);
            return NULL;
        }
        Outcome outcome = functions->take_back(lock, depth);
        if (outcome != GOT) {
            return taken(outcome, ((Shared *)lock)->state);
        }
        if (take_grant(words, ticket)) {
            Py_RETURN_TRUE;
        }
        if (late) {
            withdraw(words, ticket);
            Py_RETURN_FALSE;
        }
    }
}

static PyObject *
condition_notify(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    uint32_t depth;
    if (held(args, count, "notifies those who wait", &depth) == NULL) {
        return NULL;
    }
    long n = PyLong_AsLong(args[2]);
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    WordsState *words = STATE(WordsState, args[1]);
    uint32_t waiting = GET(words, WAITING);
    if (n <= 0 || waiting == 0) {
        Py_RETURN_NONE;
    }
    if (n > EVERYBODY) {
        n = EVERYBODY;
    }
    uint64_t grants = (uint64_t)GET(words, GRANTS) + (uint64_t)n;
    if (grants >= waiting) {
        SET(words, LINE, GET(words, NEXT));
        SET(words, WAITING, 0);
        SET(words, GRANTS, 0);
        n = EVERYBODY;
    }
    else {
        SET(words, GRANTED_BELOW, GET(words, NEXT));
        SET(words, GRANTS, (uint32_t)grants);
    }
    Word *sequence = &words->words[SEQUENCE];
    atomic_fetch_add(sequence, 1);
    /* Those who are woken need the lock.  So they are left asleep until the caller lets
       go of it; should that be done by another process, they look after their slice.
       The word may be unmapped by then: the kernel then finds nobody, and nothing is
       read. */
    Shared *lock = (Shared *)args[0];
    if (lock->notified != NULL && lock->notified != sequence) {
        wake_notified(args[0]); /* another condition of the same lock */
    }
    int before = lock->notified == NULL ? 0 : lock->notified_count;
    lock->notified_count = n > EVERYBODY - before ? EVERYBODY : before + (int)n;
    lock->notified = sequence;
    Py_RETURN_NONE;
}

PyMethodDef condition_functions[] = {
    {"condition_wait", FAST(condition_wait), PyDoc_STR(
     "Wait, given the lock, the words of the condition, and seconds or None.")},
    {"condition_notify", FAST(condition_notify), PyDoc_STR(
     "Notify, given the lock, the words of the condition, and how many.")},
    {NULL, NULL, 0, NULL},
};
