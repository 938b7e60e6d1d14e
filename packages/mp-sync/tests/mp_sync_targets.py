"""What the children of the tests run."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

import mp_sync
from mp_connection import Connection

Report: TypeAlias = Connection[Any, Any]
AnyLock: TypeAlias = mp_sync.Lock | mp_sync.RLock | mp_sync.Semaphore

SECONDS = 30.0  # longer than anything takes


def raise_counter(lock: AnyLock, memory: Any, times: int) -> None:
    """Add to a number in shared memory, in steps that another process must not see."""
    view = memory.memory()
    for _ in range(times):
        with lock:
            value = int.from_bytes(view[:8], "little")
            view[:8] = b"\xff" * 8
            view[:8] = (value + 1).to_bytes(8, "little")
    view.release()


def receive_and_raise(report: Report, times: int) -> None:
    """As above, with what is sent."""
    lock, memory = report.recv()
    raise_counter(lock, memory, times)
    report.close()


def try_to_acquire(lock: AnyLock, report: Report) -> None:
    report.send(lock.acquire(block=False))


def acquire_and_say(lock: AnyLock, report: Report) -> None:
    report.send("here")
    report.send(lock.acquire(timeout=SECONDS))
    lock.release()


def hold(lock: AnyLock, report: Report) -> None:
    """Take it, say so, and keep it until told."""
    lock.acquire()
    report.send(os.getpid())
    report.poll(SECONDS)
    lock.release()


def release(lock: AnyLock, report: Report) -> None:
    """Release what somebody else holds."""
    try:
        lock.release()
    except BaseException as error:
        report.send(type(error))
    else:
        report.send(None)


def wait_for_event(event: mp_sync.Event, report: Report) -> None:
    report.send("here")
    report.send(event.wait(SECONDS))


def set_event(event: mp_sync.Event) -> None:
    event.set()


def hold_and_die(lock: AnyLock, report: Report, depth: int = 1) -> None:
    for _ in range(depth):
        lock.acquire()
    report.send(os.getpid())
    os.kill(os.getpid(), 9)


def keep_block(block: Any, report: Report) -> None:
    """Write to a block after its maker has let go of it, and read it back later."""
    view = block.memory()
    report.recv()
    view[:] = b"x" * len(view)
    report.send("written")
    report.recv()
    report.send(bytes(view))
    view.release()


def keep_block_of_grandchild(block: Any, report: Report, method: Any) -> None:
    """Give a block that was inherited to a process of ours, and end."""
    import mp_process

    process = mp_process.get_context(method).Process(
        target=keep_block, args=(block, report)
    )
    process.start()
    os._exit(0)


def wait_for_condition(condition: mp_sync.Condition, report: Report) -> None:
    with condition:
        report.send("here")
        report.send(condition.wait(SECONDS))


def notify(condition: mp_sync.Condition, n: int) -> None:
    with condition:
        condition.notify(n)


def take_turns(condition: mp_sync.Condition, memory: Any, me: int, rounds: int) -> None:
    """Raise a number whenever it is this process's turn."""
    view = memory.memory()
    for _ in range(rounds):
        with condition:
            assert condition.wait_for(lambda: view[0] % 3 == me, SECONDS)
            view[0] += 1
            condition.notify_all()
    view.release()


def wait_and_count(condition: mp_sync.Condition, memory: Any, rounds: int) -> None:
    """Consume what another produces one by one."""
    view = memory.memory()
    for _ in range(rounds):
        with condition:
            while not view[0]:
                condition.wait()
            view[0] -= 1
            view[1] += 1
    view.release()


def meet(barrier: mp_sync.Barrier, report: Report, times: int = 1) -> None:
    """Wait there so often, and say which numbers this party got."""
    report.send("here")
    report.send([barrier.wait() for _ in range(times)])


def meet_in_vain(barrier: mp_sync.Barrier, report: Report) -> None:
    """Say what the wait ended with."""
    report.send("here")
    try:
        report.send(barrier.wait())
    except Exception as error:
        report.send(error)


def die() -> None:
    os.kill(os.getpid(), 9)
