"""What a type checker has to object to in a program on mp-connection.  Never run."""

from __future__ import annotations

from telegraph import Clerk, Desk, Receipt, Telegram, hand_in, serve

from mp_connection import Client, Connection, Listener, Pipe, get_logger, wait


def ends(desk: Desk, clerk: Clerk) -> None:
    desk.send("words")  # error: mypy[arg-type] pyright[reportArgumentType]
    clerk.send(("lost", 1))  # error: mypy[arg-type] pyright[reportArgumentType]
    # error: mypy[assignment] pyright[reportAssignmentType]
    text: str = desk.recv()
    # error: mypy[arg-type] pyright[reportArgumentType]
    hand_in(clerk, 1)
    # error: mypy[arg-type] pyright[reportArgumentType]
    serve(desk, 1)
    # error: mypy[arg-type] pyright[reportArgumentType]
    desk.recv(timeout="a minute")
    # error: mypy[arg-type] pyright[reportArgumentType]
    desk.send_bytes("text")
    # error: mypy[attr-defined] pyright[reportAttributeAccessIssue,reportUnknownMemberType]
    desk.receive()
    del text


def pipes() -> None:
    # error: mypy[assignment] pyright[reportAssignmentType]
    near: Connection[int, str] = Pipe()
    # error: mypy[arg-type] pyright[reportArgumentType]
    Pipe("both")
    del near


def listeners(listener: Listener[Receipt, Telegram]) -> None:
    # error: mypy[assignment] pyright[reportAssignmentType]
    desk: Desk = listener.accept()
    # error: mypy[arg-type] pyright[reportArgumentType]
    Listener[int, int](authkey="text")
    # error: mypy[arg-type] pyright[reportArgumentType]
    Client("/a/path", authkey="text")
    # error: mypy[call-arg] pyright[reportCallIssue]
    Client()
    # error: mypy[misc] pyright[reportAttributeAccessIssue]
    listener.address = "/another"
    del desk


async def awaiting(desk: Desk) -> None:
    await desk.asend(1)  # error: mypy[arg-type] pyright[reportArgumentType]
    # error: mypy[assignment] pyright[reportAssignmentType]
    number: int = await desk.arecv()
    del number


def others() -> None:
    # error: mypy[type-var] pyright[reportArgumentType,reportCallIssue]
    wait(["a name"])
    # error: mypy[call-arg] pyright[reportCallIssue]
    get_logger("mine")
