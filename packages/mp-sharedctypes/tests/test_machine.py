"""Processes make, give, drop, fork, die; what a living one has never changes."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import Any

assert sys.platform == "linux"

import mp_sharedctypes_targets as targets
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mp_connection import Connection, Pipe
from mp_sharedctypes import Array, RawArray, RawValue, Value


def make(kind: str, content: int) -> Any:
    """An object that says in each of its parts what it should be."""
    if kind == "RawValue":
        return RawValue("q", content)
    if kind == "Value":
        return Value("q", content)
    if kind == "RawArray":
        return RawArray("q", [content] * 9)
    return Array("q", [content] * 600)  # its memory is its own


def read(obj: Any) -> set[int]:
    """What it says."""
    return {obj.value} if hasattr(obj, "value") else set(obj[:])


def write(obj: Any, content: int) -> None:
    if hasattr(obj, "value"):
        obj.value = content
    else:
        obj[:] = [content] * len(obj)


def serve(connection: Connection[Any, Any]) -> None:
    """Do what is asked for, with objects of this process's own, until the end."""
    objects: dict[int, Any] = {}
    while True:
        try:
            command, key, *rest = connection.recv()
        except EOFError:
            os._exit(0)
        if command == "make":
            objects[key] = make(*rest)
        elif command == "drop":
            objects.pop(key)
            gc.collect()
        elif command == "write":
            write(objects[key], rest[0])
        elif command == "give":
            connection.send(objects[key])
            continue
        elif command == "take":
            objects[key] = connection.recv()
        elif command == "fork":
            ends = rest[0]
            if os.fork() == 0:
                connection.close()
                connection = ends
                continue
            ends.close()
            del ends, rest
        connection.send({key: read(obj) for key, obj in objects.items()})


class Machine(RuleBasedStateMachine):
    """The model: which process has which objects, and what they say."""

    def __init__(self) -> None:
        super().__init__()
        self.contents: dict[int, int] = {}
        self.processes: dict[int, tuple[int, Connection[Any, Any], set[int]]] = {}
        self.next = 0
        self.new_process()

    def number(self) -> int:
        self.next += 1
        return self.next

    def new_process(self) -> None:
        ours, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            for _, connection, _ in self.processes.values():
                connection.close()
            ours.close()
            try:
                serve(theirs)
            finally:
                os._exit(1)
        theirs.close()
        self.processes[self.number()] = pid, ours, set()

    def ask(self, process: int, *command: object) -> Any:
        connection = self.processes[process][1]
        connection.send(command)
        assert connection.poll(targets.SECONDS)
        return connection.recv()

    def check(self, process: int, answer: dict[int, set[int]]) -> None:
        owned = self.processes[process][2]
        assert answer == {key: {self.contents[key]} for key in owned}

    def pick(self, index: int) -> int:
        return sorted(self.processes)[index % len(self.processes)]

    def pick_object(self, index: int) -> tuple[int, int] | None:
        processes = self.processes.items()
        pairs = sorted((p, key) for p, (*_, owned) in processes for key in owned)
        return pairs[index % len(pairs)] if pairs else None

    @rule(
        index=st.integers(0, 9),
        kind=st.sampled_from(["RawValue", "Value", "RawArray", "Array"]),
        count=st.integers(1, 12),
    )
    def make(self, index: int, kind: str, count: int) -> None:
        process = self.pick(index)
        for _ in range(count):
            key = self.number()
            self.contents[key] = key
            self.processes[process][2].add(key)
            self.check(process, self.ask(process, "make", key, kind, key))

    @rule(index=st.integers(0, 99))
    def drop(self, index: int) -> None:
        if found := self.pick_object(index):
            process, key = found
            self.processes[process][2].discard(key)
            self.check(process, self.ask(process, "drop", key))

    @rule(index=st.integers(0, 99))
    def write(self, index: int) -> None:
        if found := self.pick_object(index):
            process, key = found
            self.contents[key] = self.number()
            self.check(process, self.ask(process, "write", key, self.contents[key]))

    @rule(index=st.integers(0, 99), to=st.integers(0, 9))
    def give(self, index: int, to: int) -> None:
        if found := self.pick_object(index):
            giver, key = found
            taker = self.pick(to)
            obj = self.ask(giver, "give", key)
            assert read(obj) == {self.contents[key]}
            connection = self.processes[taker][1]
            connection.send(("take", key))
            connection.send(obj)
            del obj
            self.processes[taker][2].add(key)
            assert connection.poll(targets.SECONDS)
            self.check(taker, connection.recv())

    @precondition(lambda self: len(self.processes) < 5)
    @rule(index=st.integers(0, 9))
    def fork(self, index: int) -> None:
        """Of a process with all that it has."""
        process = self.pick(index)
        ours, theirs = Pipe()
        self.check(process, self.ask(process, "fork", 0, theirs))
        theirs.close()
        owned = set(self.processes[process][2])
        self.processes[self.number()] = 0, ours, owned

    @precondition(lambda self: len(self.processes) > 1)
    @rule(index=st.integers(0, 9))
    def end(self, index: int) -> None:
        """A child of ours is killed; that of another ends."""
        process = self.pick(index)
        pid, connection, _ = self.processes.pop(process)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        connection.close()
        if not any(pid for pid, *_ in self.processes.values()):
            self.new_process()

    @invariant()
    def nothing_changes_under_anybody(self) -> None:
        for process in self.processes:
            self.check(process, self.ask(process, "look", 0))

    def teardown(self) -> None:
        for pid, connection, _ in self.processes.values():
            if pid:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            connection.close()
        self.processes.clear()


def test_contents_never_change_under_a_living_owner() -> None:
    examples = int(os.environ.get("MP_MACHINE_EXAMPLES", "8"))  # more: other ones
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            derandomize=examples == 8,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
