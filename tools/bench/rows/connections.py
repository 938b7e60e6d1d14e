"""Messages over `Pipe`, and ways to connect."""

from __future__ import annotations

import sys
from collections.abc import Iterator

assert sys.platform == "linux"

from bench.harness import (
    SMALL,
    Body,
    KiB,
    MiB,
    Row,
    Timed,
    acknowledged,
    add_row,
    each,
    row,
    started,
)
from bench.implementations import Implementation
from bench.targets import drain, drain_bytes, echo, echo_bytes, now, serve

AREA = "connections"


# ----------------------------------------------------------- both ends in this process
@row(AREA)
def local_object(implementation: Implementation) -> Iterator[Timed]:
    reader, writer = implementation.context().Pipe(False)
    send, receive = writer.send, reader.recv

    def both() -> None:
        send(SMALL)
        receive()

    with reader, writer:
        yield each(both)


def _local_bytes(size: int) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        reader, writer = implementation.context().Pipe(False)
        send, receive, payload = writer.send_bytes, reader.recv_bytes, b"x" * size

        def both() -> None:
            send(payload)
            receive()

        with reader, writer:
            yield each(both)

    return body


add_row(Row(AREA, "local_bytes_32", _local_bytes(32)))
add_row(Row(AREA, "local_bytes_32KiB", _local_bytes(32 * KiB)))


@row(AREA)
def create_close(implementation: Implementation) -> Iterator[Timed]:
    context = implementation.context()

    def life() -> None:
        for end in context.Pipe():
            end.close()

    yield each(life)


@row(AREA)
def poll_0(implementation: Implementation) -> Iterator[Timed]:
    reader, writer = implementation.context().Pipe(False)
    with reader, writer:
        yield each(lambda: reader.poll(0))


@row(AREA)
def wait_100(implementation: Implementation) -> Iterator[Timed]:
    """A hundred connections, of which one is ready."""
    wait = implementation.part("connection").wait
    pipes = [implementation.context().Pipe(False) for _ in range(100)]
    readers = [reader for reader, _ in pipes]
    pipes[50][1].send(1)
    yield each(lambda: wait(readers))
    for reader, writer in pipes:
        reader.close()
        writer.close()


# ----------------------------------------------------------------------- two processes
def _round_trip_object(implementation: Implementation) -> Iterator[Timed]:
    context = implementation.context()
    mine, theirs = context.Pipe()
    with mine, theirs, started(context, echo, theirs):
        send, receive = mine.send, mine.recv

        def both() -> None:
            send(SMALL)
            receive()

        yield each(both)
        mine.send(None)


add_row(Row(AREA, "round_trip_object", _round_trip_object, cpus=1))
add_row(Row(AREA, "round_trip_object_2_cpus", _round_trip_object))


@row(AREA, cpus=1)
def round_trip_bytes(implementation: Implementation) -> Iterator[Timed]:
    context = implementation.context()
    mine, theirs = context.Pipe()
    with mine, theirs, started(context, echo_bytes, theirs):
        send, receive = mine.send_bytes, mine.recv_bytes

        def both() -> None:
            send(b"x" * 32)
            receive()

        yield each(both)
        mine.send_bytes(b"")


def _one_way(payload: bytes, objects: bool) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        context = implementation.context()
        reader, writer = context.Pipe(False)
        target = drain if objects else drain_bytes
        send = writer.send if objects else writer.send_bytes
        with (
            acknowledged() as (done, end),
            reader,
            writer,
            started(context, target, reader, end),
        ):

            def timed(loops: int) -> float:
                begin = now()
                writer.send(loops)
                for _ in range(loops):
                    send(payload)
                done()
                return now() - begin

            yield timed
            writer.send(0)

    return body


add_row(Row(AREA, "one_way_objects_100", _one_way(b"x" * 100, True), cpus=1))
add_row(Row(AREA, "one_way_bytes_100", _one_way(b"x" * 100, False), cpus=1))
for label, size in (("64KiB", 64 * KiB), ("1MiB", MiB), ("64MiB", 64 * MiB)):
    add_row(Row(AREA, f"one_way_bytes_{label}", _one_way(bytes(size), False)))


@row(AREA)
def one_way_array_64MiB(implementation: Implementation) -> Iterator[Timed]:
    """An object of numpy, pickled."""
    import numpy

    array = numpy.arange(8 * MiB, dtype="f8")
    yield from _one_way(array, True)(implementation)  # type: ignore[arg-type]


# -------------------------------------------------------------------------- connecting
def _connect(family: str, key: bytes | None) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        context, connection = implementation.context(), implementation.part(AREA[:-1])
        mine, theirs = context.Pipe()
        with mine, theirs, started(context, serve, connection, family, key, theirs):
            address = mine.recv()
            client = connection.Client

            def session(message: object) -> None:
                # One round trip, as a client that only connects overruns the server.
                with client(address, family, key) as conn:
                    conn.send(message)
                    conn.recv()

            yield each(lambda: session(1))
            session(None)

    return body


for family in ("AF_UNIX", "AF_INET"):
    kind = family.partition("_")[2].lower()
    body = _connect(family, b"a key")
    add_row(Row(AREA, f"connect_{kind}_with_key", body, cpus=1))
    add_row(Row(AREA, f"connect_{kind}", _connect(family, None), cpus=1))
