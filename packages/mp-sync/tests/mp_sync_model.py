"""A model of the protocols over words, of which every interleaving can be tried.

A process is a program of numbered steps.  One step is what the hardware or the kernel
does at once: an atomic operation, or going to sleep if a word still has a value.  A
state is the shared words, the sleepers, and of each process its step and registers.
From each state, each process that is awake may do its next step; one that is killed
does none any more.  `explore` goes through all states that can be reached.

The steps are those of ``native/*.c``, in their order; sequential consistency is
assumed, as the operations that the orderings matter for have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

Registers: TypeAlias = tuple[int, ...]
DONE = -1


class State(NamedTuple):
    """All there is at a moment.

    Attributes:
        words: shared memory.
        steps: of each process, the number of its next step, or DONE.
        registers: of each process.
        asleep: of each process, the index of the word that it sleeps on, or None.
        dead: the processes that were killed.
    """

    words: tuple[int, ...]
    steps: tuple[int, ...]
    registers: tuple[Registers, ...]
    asleep: tuple[int | None, ...]
    dead: frozenset[int]

    def word(self, index: int, value: int) -> State:
        """With a word changed."""
        words = list(self.words)
        words[index] = value
        return self._replace(words=tuple(words))

    def go(self, who: int, step: int, *registers: int) -> State:
        """With a process at another step; its registers stay if none are given."""
        steps = list(self.steps)
        steps[who] = step
        state = self._replace(steps=tuple(steps))
        if registers:
            changed = list(self.registers)
            changed[who] = registers
            state = state._replace(registers=tuple(changed))
        return state

    def sleep(self, who: int, index: int, seen: int) -> State:
        """FUTEX_WAIT: asleep if the word has the value; goes on at the same step."""
        if self.words[index] != seen:
            return self
        asleep = list(self.asleep)
        asleep[who] = index
        return self._replace(asleep=tuple(asleep))

    def wake(self, index: int, count: int) -> Iterator[State]:
        """FUTEX_WAKE: whichever of the sleepers, dead ones included."""
        sleepers = [who for who, word in enumerate(self.asleep) if word == index]
        if len(sleepers) <= count:
            yield self._awake(sleepers)
        else:
            for who in sleepers:
                assert count == 1
                yield self._awake([who])

    def _awake(self, who: list[int]) -> State:
        asleep = [None if i in who else word for i, word in enumerate(self.asleep)]
        return self._replace(asleep=tuple(asleep))


#: The states after the next step of a process.
Program: TypeAlias = Callable[[State, int], Iterator[State]]


class Found(AssertionError):
    """A state that must not be."""


def explore(
    programs: list[Program],
    words: tuple[int, ...],
    check: Callable[[State], None],
    at_rest: Callable[[State], None],
    *,
    kills: int = 0,
    slices: bool = False,
) -> int:
    """Go through all interleavings; how many states there are.

    Args:
        programs: of each process.
        words: shared memory at the beginning.
        check: raises if a state is wrong.
        at_rest: raises if a state is wrong in which nobody can do anything.
        kills: how many of the processes may be killed, each while it sleeps or before
            it runs again after it was woken.
        slices: whether sleepers wake up by themselves when nobody else can go on.
    """
    count = len(programs)
    first = State(words, (0,) * count, ((0,),) * count, (None,) * count, frozenset())
    seen = {first}
    todo = [first]
    while todo:
        state = todo.pop()
        check(state)
        after = list(_successors(state, programs))
        if not after and slices:
            waking = [
                who
                for who in range(count)
                if state.asleep[who] is not None and who not in state.dead
            ]
            after = [state._awake([who]) for who in waking]
        if not after:
            at_rest(state)
        if len(state.dead) < kills:
            after += [
                state._replace(dead=state.dead | {who})
                for who in range(count)
                if who not in state.dead and state.steps[who] in SLEEPING
            ]
        for each in after:
            if each not in seen:
                seen.add(each)
                todo.append(each)
    return len(seen)


def _successors(state: State, programs: list[Program]) -> Iterator[State]:
    for who, program in enumerate(programs):
        awake = state.asleep[who] is None and who not in state.dead
        if awake and state.steps[who] != DONE:
            yield from program(state, who)


#: Steps at which a process has just slept, in all programs: where it may be killed.
WOKEN = 50
SLEEPING = range(WOKEN, WOKEN + 10)

# -------------------------------------------------------------------------------- lock

FREE, HELD, HELD_WAITED = 0, 1, 2
LOCK, INSIDE = 0, 1  # words: the lock, and how many are in the critical section


def locker(*, forget_waiters: bool = False) -> Program:
    """Takes a lock and lets go of it, as lock.c does.

    Args:
        forget_waiters: a mistake: whoever has waited takes the lock as HELD.
    """
    taken = HELD if forget_waiters else HELD_WAITED

    def program(state: State, who: int) -> Iterator[State]:
        word, step = state.words[LOCK], state.steps[who]
        if step == 0:  # compare and exchange
            free = word == FREE
            yield state.word(LOCK, HELD if free else word).go(who, 3 if free else 1)
        elif step in (1, WOKEN):  # exchange: before the sleep and after it
            new = HELD_WAITED if step == 1 else taken
            if word == FREE:
                yield state.word(LOCK, new).go(who, 3)
            else:
                yield state.word(LOCK, HELD_WAITED).go(who, 2)
        elif step == 2:
            yield state.go(who, WOKEN).sleep(who, LOCK, HELD_WAITED)
        elif step == 3:
            yield state.word(INSIDE, state.words[INSIDE] + 1).go(who, 4)
        elif step == 4:
            yield state.word(INSIDE, state.words[INSIDE] - 1).go(who, 5)
        elif step == 5:  # exchange
            yield state.word(LOCK, FREE).go(who, 6 if word == HELD_WAITED else DONE)
        elif step == 6:
            for after in state.wake(LOCK, 1):
                yield after.go(who, DONE)

    return program


# ------------------------------------------------------------------------------- event

EVENT, WAITERS = 0, 1


def waiter(*, announce: bool = True) -> Program:
    """Waits for an event, as event.c does; its register is what it first saw.

    Args:
        announce: not to do so is a mistake.
    """

    def program(state: State, who: int) -> Iterator[State]:
        word, step = state.words[EVENT], state.steps[who]
        (first,) = state.registers[who]
        if step == 0:
            yield state.go(who, DONE if word & 1 else 1, word)
        elif step == 1:
            yield state.word(WAITERS, state.words[WAITERS] + announce).go(who, 2)
        elif step == 2:
            yield state.go(who, WOKEN).sleep(who, EVENT, first)
        elif step == WOKEN:
            yield state.word(WAITERS, state.words[WAITERS] - announce).go(who, 3)
        elif step == 3:
            yield state.go(who, 1 if word == first else DONE)

    return program


def setter(*, clears: bool = False, looks_first: bool = False) -> Program:
    """Sets an event, and may clear it at once.

    Args:
        looks_first: a mistake: the look for waiters comes before the change.
    """

    def program(state: State, who: int) -> Iterator[State]:
        word, step = state.words[EVENT], state.steps[who]
        waiters = state.words[WAITERS]
        if step == 0:
            yield state.go(who, 1, waiters if looks_first else -1)
        elif step == 1:  # compare and exchange, until it succeeds
            if word & 1:
                yield state.go(who, DONE)
            else:
                yield state.word(EVENT, word + 2 | 1).go(who, 2)
        elif step == 2:
            (seen,) = state.registers[who]
            found = waiters if seen < 0 else seen
            yield state.go(who, 3 if found else 4)
        elif step == 3:
            for after in state.wake(EVENT, 10):
                yield after.go(who, 4)
        elif step == 4:
            if clears:
                state = state.word(EVENT, word & ~1)
            yield state.go(who, DONE)

    return program


# --------------------------------------------------------------------------- condition

# The lock of a condition is one step here: it was modelled above.
MUTEX, SEQUENCE, NEXT, WAITING, GRANTS, BELOW, LINE, GONE_ON = range(8)


def _may_go(words: tuple[int, ...], ticket: int) -> bool:
    return ticket < words[LINE] or (words[GRANTS] > 0 and ticket < words[BELOW])


def condition_waiter(*, reads_late: bool = False) -> Program:
    """Waits for a condition, as condition.c does; registers: ticket, sequence.

    Args:
        reads_late: a mistake: the sequence is read after the lock was let go of.
    """

    def program(state: State, who: int) -> Iterator[State]:
        words, step = state.words, state.steps[who]
        if step == 0:
            if not words[MUTEX]:
                yield state.word(MUTEX, 1).go(who, 1)
        elif step == 1:  # within the lock, so that nobody sees what is in between
            ticket = words[NEXT]
            state = state.word(NEXT, ticket + 1).word(WAITING, words[WAITING] + 1)
            if not words[WAITING]:
                state = state.word(LINE, ticket).word(GRANTS, 0)
            yield state.go(who, 2, ticket, words[SEQUENCE])
        elif step == 2:
            yield state.word(MUTEX, 0).go(who, 6 if reads_late else 3)
        elif step == 6:
            yield state.go(who, 3, state.registers[who][0], words[SEQUENCE])
        elif step == 3:
            ticket, seen = state.registers[who]
            go = not reads_late and _may_go(words, ticket)
            yield (
                state.go(who, 4)
                if go
                else state.go(who, WOKEN).sleep(who, SEQUENCE, seen)
            )
        elif step == WOKEN:
            ticket, _ = state.registers[who]
            yield state.go(
                who, 4 if _may_go(words, ticket) else 3, ticket, words[SEQUENCE]
            )
        elif step == 4:
            if not words[MUTEX]:
                yield state.word(MUTEX, 1).go(who, 5)
        elif step == 5:
            ticket, _ = state.registers[who]
            if not _may_go(words, ticket):
                yield state.go(who, 2, ticket, words[SEQUENCE])
                return
            if not ticket < words[LINE]:
                state = state.word(GRANTS, words[GRANTS] - 1)
                state = state.word(WAITING, words[WAITING] - 1)
            yield state.word(GONE_ON, words[GONE_ON] + 1).word(MUTEX, 0).go(who, DONE)

    return program


def notifier(*numbers: int, after: int) -> Program:
    """Waits until so many have tickets, then notifies, each time in its own lock."""

    def program(state: State, who: int) -> Iterator[State]:
        words, step = state.words, state.steps[who]
        turn, part = divmod(step, 4)
        if step == 0 and words[NEXT] < after:
            return
        if part == 0:
            if not words[MUTEX]:
                yield state.word(MUTEX, 1).go(who, step + 1)
        elif part == 1:
            n, waiting = numbers[turn], words[WAITING]
            grants = words[GRANTS] + n
            if waiting and grants >= waiting:
                state = state.word(LINE, words[NEXT]).word(WAITING, 0).word(GRANTS, 0)
            elif waiting:
                state = state.word(BELOW, words[NEXT]).word(GRANTS, grants)
            if waiting:
                state = state.word(SEQUENCE, words[SEQUENCE] + 1)
            yield state.go(who, step + 1)
        elif part == 2:
            yield state.word(MUTEX, 0).go(who, step + 1)
        else:
            last = turn + 1 == len(numbers)
            n = 1 if numbers[turn] == 1 else 10
            for each in state.wake(SEQUENCE, n):
                yield each.go(who, DONE if last else step + 1)

    return program
