"""What a type checker says of processes.  Never run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, assert_type

import mp_process
from mp_process import (
    BaseProcess,
    ForkProcess,
    ParentProcess,
    Process,
    SpawnProcess,
    active_children,
    current_process,
    get_all_start_methods,
    get_context,
    parent_process,
    set_executable,
    set_forkserver_preload,
    set_start_method,
)


def nothing() -> None: ...


def two(number: int, text: str) -> int:
    return number


def optional(number: int, text: str = "") -> None: ...


# Arguments are checked against the target.
Process(target=nothing)
Process(target=nothing, args=())
Process(target=two, args=(1, "one"))
Process(None, two, "name", (1, "one"), daemon=True)
Process(target=optional, args=(1,))
Process(target=optional, args=(1, "one"), name="name")
Process(target=print, args=(1, "one", None))
ForkProcess(target=two, args=(1, "one"))
SpawnProcess(target=two, args=(1, "one"))

Process(target=nothing, args=(1,))  # type: ignore[arg-type]
Process(target=two, args=("one", 1))  # type: ignore[arg-type]
Process(target=two, args=(1,))  # type: ignore[arg-type]
Process(target=two, args=(1, "one", 2))  # type: ignore[arg-type]
Process(None, two, "name", ("one", 1))  # type: ignore[arg-type]
ForkProcess(target=two, args=("one", 1))  # type: ignore[arg-type]
get_context("spawn").Process(target=two, args=("one", 1))  # type: ignore[arg-type]

# What cannot be matched is let through.
Process(target=two, args=[1, "one"])
Process(target=two, args=(1,), kwargs={"text": "one"})
Process(target=two, kwargs={"number": 1, "text": "one"})
Process(None, two, None, (1,), {"text": "one"})
Process(target=two, args=(1, "one"), kwargs=None)

# The rest of the signature.
Process(group=1)  # type: ignore[call-overload]
Process(name=1)  # type: ignore[call-overload]
Process(target=1)  # type: ignore[call-overload]
Process(daemon="yes")  # type: ignore[call-overload]

process = Process(target=nothing)
assert_type(process.name, str)
assert_type(process.daemon, bool)
assert_type(process.pid, int | None)
assert_type(process.ident, int | None)
assert_type(process.exitcode, int | None)
assert_type(process.sentinel, int)
assert_type(process.startup_error, str | None)
assert_type(process.is_alive(), bool)
assert_type(process.authkey, bytes)
assert_type(process.die_with_parent, bool)
assert_type(Process(target=two, args=(1, "one"), die_with_parent=True), Process)
process.authkey = b"key"
process.authkey = "key"  # type: ignore[assignment]
process.interrupt()
process.join()
process.join(1.5)
process.name = "other"
process.daemon = True
process.name = 1  # type: ignore[assignment]
process.pid = 1  # type: ignore[misc]

assert_type(current_process(), BaseProcess)
assert_type(active_children(), list[BaseProcess])
assert_type(parent_process(), ParentProcess | None)
assert_type(get_all_start_methods(), list[Literal["fork", "spawn", "forkserver"]])
assert_type(
    mp_process.get_start_method(allow_none=True),
    Literal["fork", "spawn", "forkserver"] | None,
)
set_start_method("spawn")
set_start_method(None, force=True)
set_executable("python")
set_executable(b"python")
set_executable(Path("python"))
set_executable(1)  # type: ignore[arg-type]
set_forkserver_preload(["json"], on_error="warn")
set_forkserver_preload(("json",))
set_forkserver_preload(["json"], on_error="no")  # type: ignore[arg-type]
assert_type(mp_process.cpu_count(), int)
mp_process.freeze_support()
get_context("spawn").freeze_support()
set_start_method("thread")  # type: ignore[arg-type]
get_context("thread")  # type: ignore[arg-type]
get_context().Process(target=two, args=(1, "one"))


async def waiting() -> None:
    assert_type(await process.join_async(), None)
    await process.join_async(timeout=1.5)
    await process.join_async("1")  # type: ignore[arg-type]


class Worker(Process):
    """Overrides what a user may override."""

    def __init__(self, number: int) -> None:
        super().__init__(target=two, args=(number, "one"), daemon=True)

    def run(self) -> None:
        super().run()


# The class of a context is one to derive from.  mypy takes no base that comes out of a
# call; pyright does, and says the same of it.
class OfSpawn(get_context("spawn").Process):  # type: ignore[misc]
    """Its arguments are checked where the base is known."""


class Own(SpawnProcess):
    def run(self) -> None:
        assert_type(self.pid, int | None)


Own(target=two, args=(1, "one")).start()
Own(target=two, args=("one", 1))  # type: ignore[arg-type]
