"""ctypes objects in shared memory, and blocks of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

assert sys.platform == "linux"

from bench.harness import Body, KiB, MiB, Row, Timed, add_row, each, row, together
from bench.implementations import Implementation
from bench.targets import count_up, now

AREA = "shared ctypes"


# The loops are here, as a call would cost more than what is measured.
def _get(kind: str) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        value = getattr(implementation.context(), kind)("i", 0)

        def timed(loops: int) -> float:
            turns = range(loops)
            begin = now()
            for _ in turns:
                value.value  # noqa: B018
            return now() - begin

        yield timed

    return body


def _set(kind: str) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        value = getattr(implementation.context(), kind)("i", 0)

        def timed(loops: int) -> float:
            turns = range(loops)
            begin = now()
            for _ in turns:
                value.value = 7
            return now() - begin

        yield timed

    return body


for prefix, kind in (("", "Value"), ("raw_", "RawValue")):
    add_row(Row(AREA, f"{prefix}value_get", _get(kind)))
    add_row(Row(AREA, f"{prefix}value_set", _set(kind)))


@row(AREA)
def value_locked_add(implementation: Implementation) -> Iterator[Timed]:
    value = implementation.context().Value("i", 0)

    def timed(loops: int) -> float:
        begin = now()
        count_up(value, loops)
        return now() - begin

    yield timed


@row(AREA)
def value_locked_add_2(implementation: Implementation) -> Iterator[Timed]:
    """Two processes at once."""
    context = implementation.context()
    value = context.Value("i", 0)
    yield lambda loops: together(context, [(count_up, (value, loops))] * 2)


@row(AREA)
def array_get(implementation: Implementation) -> Iterator[Timed]:
    array = implementation.context().Array("d", 4000)

    def timed(loops: int) -> float:
        turns = range(loops)
        begin = now()
        for _ in turns:
            array[17]
        return now() - begin

    yield timed


@row(AREA)
def array_set(implementation: Implementation) -> Iterator[Timed]:
    array = implementation.context().Array("d", 4000)

    def timed(loops: int) -> float:
        turns = range(loops)
        begin = now()
        for _ in turns:
            array[17] = 1.0
        return now() - begin

    yield timed


@row(AREA)
def array_slice_get(implementation: Implementation) -> Iterator[Timed]:
    """A thousand doubles."""
    array = implementation.context().Array("d", 4000)
    yield each(lambda: array[100:1100])


@row(AREA)
def array_slice_set(implementation: Implementation) -> Iterator[Timed]:
    array = implementation.context().Array("d", 4000)
    thousand = [1.0] * 1000

    def action() -> None:
        array[100:1100] = thousand

    yield each(action)


@row(AREA)
def value_create(implementation: Implementation) -> Iterator[Timed]:
    make = implementation.context().Value
    yield each(lambda: make("i", 0))


@row(AREA)
def raw_value_create(implementation: Implementation) -> Iterator[Timed]:
    make = implementation.context().RawValue
    yield each(lambda: make("i", 0))


def _block(size: int) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        make = implementation.part("shared_memory").SharedMemory

        def life() -> None:
            first = make(create=True, size=size)
            second = make(first.name)
            second.close()
            first.close()
            first.unlink()

        yield each(life)

    return body


for label, size in (("4KiB", 4 * KiB), ("64MiB", 64 * MiB)):
    add_row(Row(AREA, f"shared_memory_life_{label}", _block(size)))
