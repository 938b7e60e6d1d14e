"""What the tests have workers do."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from typing import Any, NoReturn

assert sys.platform == "linux"

from mp_connection.handles import Handle, ReceivedHandle, register_reducer


def nothing() -> None:
    pass


def identity(thing: Any) -> Any:
    return thing


def square(number: int) -> int:
    return number * number


def add(first: int, second: int = 10, *, third: int = 0) -> int:
    return first + second + third


def pid(_: object = None) -> int:
    return os.getpid()


def fail(thing: object) -> NoReturn:
    raise ValueError(thing)


def fail_odd(number: int) -> int:
    if number % 2:
        raise ValueError(number)
    return number


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def pause() -> None:
    """As an initializer that takes a moment."""
    time.sleep(0.01)


def perhaps_die(chance: float) -> float:
    if random.random() < chance:
        kill_self()
    return chance


def leave(code: object) -> NoReturn:
    sys.exit(code)  # type: ignore[arg-type]


def interrupt_self(_: object = None) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)


class NoException(BaseException):
    """Not an `Exception`."""


def raise_no_exception() -> NoReturn:
    raise NoException("unusual")


def kill_self(number: int = signal.SIGKILL) -> NoReturn:
    os.kill(os.getpid(), number)
    time.sleep(10)
    raise AssertionError


def end_at_once(code: int) -> NoReturn:
    os._exit(code)


def die_at(number: int, culprit: int) -> int:
    if number == culprit:
        kill_self()
    return number


def write(path: str, text: str = "x") -> None:
    """Append to a file, in one system call."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def write_item(item: tuple[str, str]) -> str:
    path, text = item
    write(path, text)
    return text


def first_time(path: str) -> bool:
    """Whether nobody called this with the same path before."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def wait_for(path: str) -> int:
    """Wait until a file is there."""
    for _ in range(3000):
        if os.path.exists(path):
            return os.getpid()
        time.sleep(0.01)
    raise AssertionError(f"{path} never came")


def announce_and_wait(begun: str, go: str) -> int:
    write(begun + ".new", str(os.getpid()))
    os.rename(begun + ".new", begun)  # whoever sees it can read it
    return wait_for(go)


def run_and_die_once(begun: str, marker: str) -> int:
    """Note each run; the first of them ends in death."""
    write(begun)
    if first_time(marker):
        kill_self()
    return os.getpid()


class KillsReader:
    """Kills whoever unpickles it; always, or only the first time."""

    def __init__(self, marker: str | None = None) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return _kill_reader, (os.getpid(), self.marker)


def _kill_reader(creator: int, marker: str | None) -> str:
    if os.getpid() != creator and (marker is None or first_time(marker)):
        kill_self()
    return "unharmed"


class KillsWriter:
    """Kills whoever pickles it, except the process that made it."""

    def __init__(self, creator: int) -> None:
        self.creator = creator

    def __reduce__(self) -> NoReturn:
        kill_self()


def make_writer_killer(creator: int) -> KillsWriter:
    return KillsWriter(creator)


class Unloadable:
    """Pickles, and does not unpickle in any process but its maker's."""

    def __reduce__(self) -> tuple[object, ...]:
        return _refuse_elsewhere, (os.getpid(),)


def _refuse_elsewhere(creator: int) -> Unloadable:
    if os.getpid() != creator:
        raise RuntimeError(f"made in {creator}")
    return Unloadable()


def refuse_when_there(path: str) -> None:
    """Raise an exception, once a file is there."""
    wait_for(path)
    raise RuntimeError("not to be unpickled")


def make_unloadable(_: object = None) -> Unloadable:
    return Unloadable()


def make_unpicklable(_: object = None) -> dict[str, list[Any]]:
    return {"locks": [1, threading.Lock()]}


class StubbornError(Exception):
    """Pickles, and does not unpickle: its arguments are not the constructor's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


def raise_stubborn(_: object = None) -> NoReturn:
    raise StubbornError(7, "seven")


class LockedError(Exception):
    """Does not pickle."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


def raise_locked(_: object = None) -> NoReturn:
    raise LockedError


def initialize_file(path: str) -> None:
    write(path, "i")


def refuse(path: str) -> NoReturn:
    """An initializer that fails, and counts."""
    write(path)
    raise RuntimeError("no database")


def leave_at_start(path: str, code: int) -> NoReturn:
    write(path)
    os._exit(code)


def die_at_start(path: str) -> NoReturn:
    write(path)
    kill_self()


def die_at_first_start(marker: str) -> None:
    if first_time(marker):
        kill_self()


def wait_at_start(path: str) -> None:
    wait_for(path)


def ignore_sigterm(_: object = None) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return os.getpid()


_remembered: list[object] = []


def remember(thing: object) -> None:
    _remembered.append(thing)


def remembered(_: object = None) -> list[object]:
    return list(_remembered)


def send_through(connection: Any, thing: object) -> None:
    connection.send(thing)
    connection.close()


def make_pipe(size: int = 0) -> Any:
    """A connection as a result, with so many bytes."""
    from mp_connection import Pipe

    receiving, sending = Pipe(duplex=False)
    sending.send("from the worker")
    sending.close()
    return (receiving, b"x" * size) if size else receiving


def write_to_channel() -> None:
    """Write nonsense where the worker's answers go."""
    import gc

    from mp_pool._worker import WorkerEnd

    for thing in gc.get_objects():
        if isinstance(thing, WorkerEnd) and thing.sock.fileno() != -1:
            thing.sock.send(b"\1nonsense")
    time.sleep(10)


def blob(size: int) -> bytes:
    return b"x" * size


def daemon_and_name() -> tuple[bool, str]:
    from mp_process import current_process

    process = current_process()
    return process.daemon, process.name


def fork_and_return() -> int:
    """Return in two processes: the worker, and a child of it that should not."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return os.getpid()


def fork_and_leave_behind(go: str) -> int:
    """Leave a child that holds all descriptors, for a while."""
    child = os.fork()
    if not child:
        try:
            wait_for(go)
        finally:
            os._exit(0)
    return child


# ---------------------------------------------------------- deaths at certain steps


def kill_after_begin(marker: str) -> None:
    """Initializer: the worker dies right after it has noted a task, once."""
    import gc

    from mp_pool._progress import INDEX, NONE
    from mp_pool._worker import WorkerEnd

    class Words:
        """As those of the worker; what is noted is a number and an index."""

        def __init__(self, words: memoryview) -> None:
            self.words = words

        def __getitem__(self, place: int) -> int:
            return self.words[place]

        def __setitem__(self, place: int, value: int) -> None:
            self.words[place] = value
            noted = self.words[0] and self.words[INDEX] != NONE
            if place <= INDEX and noted and first_time(marker):
                kill_self()

        def release(self) -> None:
            self.words.release()

    for thing in gc.get_objects():
        if isinstance(thing, WorkerEnd) and thing.sock.fileno() != -1:
            thing.progress.words = Words(thing.progress.words)  # type: ignore[assignment]


def kill_before_end(marker: str) -> None:
    """Initializer: the worker dies when it has sent an answer, once."""
    from mp_pool._progress import Progress

    end = Progress.end

    def die_and_end(self: Progress) -> None:
        if first_time(marker):
            kill_self()
        end(self)

    Progress.end = die_and_end  # type: ignore[method-assign]


def nothing_of(_: object) -> None:
    pass


def die_at_item(item: tuple[int, int]) -> int:
    return die_at(*item)


class ThreadName:
    """Unpickles to the name of the thread that does it."""

    def __reduce__(self) -> tuple[object, ...]:
        return _thread_name, ()


def _thread_name() -> str:
    return threading.current_thread().name


def make_thread_name() -> Any:
    return ThreadName()


class UnprintableError(LockedError):
    """Neither pickles nor has a text."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    __str__ = __repr__


def raise_unprintable() -> NoReturn:
    raise UnprintableError


def fail_with_note(path: str) -> None:
    try:
        os.stat(path)
    except OSError as error:
        error.add_note("a note")
        raise


def fail_in_chain() -> NoReturn:
    raise KeyError("second") from ZeroDivisionError("first")


def refuse_second(first: str, starts: str) -> None:
    """An initializer that works once."""
    if not first_time(first):
        refuse(starts)


def wait_and_end(path: str) -> NoReturn:
    wait_for(path)
    end_at_once(3)


def count_descriptors(_: object = None) -> int:
    return len(os.listdir("/proc/self/fd"))


def in_worker_thread(function: Any) -> Any:
    return function()


class Sealed:
    """Owns a descriptor; only a registered reducer can pickle it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> Any:
        raise TypeError("sealed")

    def read(self) -> bytes:
        return os.pread(self.fd, 100, 0)


class Spot:
    """Can be pickled without a reducer, too."""

    how = "plain"


def reduce_spot(spot: Spot) -> tuple[Any, ...]:
    return rebuild_spot, ()


def rebuild_spot() -> Spot:
    spot = Spot()
    spot.how = "reduced"
    return spot


def reduce_sealed(sealed: Sealed) -> tuple[Any, ...]:
    return rebuild_sealed, (Handle(sealed.fd),)


def rebuild_sealed(handle: ReceivedHandle) -> Sealed:
    return Sealed(handle.take())


def register() -> None:
    register_reducer(Sealed, reduce_sealed)
    register_reducer(Spot, reduce_spot)


def new_spot(arrived: Spot) -> tuple[str, Spot]:
    return arrived.how, Spot()


def copy_sealed(sealed: Sealed) -> Sealed:
    copy = Sealed(os.memfd_create("copy"))
    os.write(copy.fd, sealed.read() + b" copied")
    os.close(sealed.fd)
    return copy


def wait_if_odd(item: tuple[str, int]) -> int:
    path, number = item
    if number % 2:
        wait_for(path)
    return number


def write_and_die_at(item: tuple[int, int, str]) -> int:
    number, culprit, path = item
    write(path)
    return die_at(number, culprit)


def blob_or_death(size: int) -> bytes:
    return blob(size) if size >= 0 else kill_self()


def blob_of(_: object) -> bytes:
    return blob(1 << 20)


def nap_and_return(number: int) -> int:
    time.sleep(0.002)
    return number


def write_and_die(path: str) -> NoReturn:
    write(path)
    kill_self()


def write_and_die_once(item: tuple[str, str, int]) -> int:
    """The first with the same marker dies, once."""
    path, marker, number = item
    write(path, str(number))
    if first_time(marker):
        kill_self()
    return number


def fill_memory(size: int) -> int:
    """Use memory for a while, and for ever if it is much."""
    block = b"x" * size
    if size > 100 << 20:
        time.sleep(60)
    return len(block)


def prepare(path: str) -> None:
    from mp_pool import worker_state

    state = worker_state()
    state.path, state.count = path, 0


def count_state() -> Any:
    from mp_pool import worker_state

    state = worker_state()
    state.count += 1
    return state.count


def clean_up() -> None:
    from mp_pool import worker_state

    state = worker_state()
    write(state.path, f"{state.number}:{state.count} ")


def affinity(_: object = None) -> list[int]:
    return sorted(os.sched_getaffinity(0))


def crash() -> None:
    import ctypes
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


def fail_in_group() -> NoReturn:
    first = ValueError("first")
    first.add_note("of the first")
    group = ExceptionGroup("several", [first, KeyError("second")])
    group.add_note("of the group")
    raise group from ZeroDivisionError("the reason")


def recurse(depth: int) -> int:
    return recurse(depth + 1) + 1


def raise_memory_error(_: object) -> NoReturn:
    raise MemoryError


def print_much(size: int) -> int:
    """Write to what was standard output, which nobody reads."""
    fd = os.open(os.devnull, os.O_WRONLY)
    os.dup2(fd, 1)
    os.close(fd)
    line = b"x" * 65535 + b"\n"
    for _ in range(size // len(line)):
        os.write(1, line)
    return size


def touch_and_return(path: str) -> str:
    write(path)
    return path


def use_pool(size: int) -> list[int]:
    """Have a pool within a task."""
    from mp_pool import Pool

    with Pool(1) as pool:
        squares = pool.map(square, range(size))
    pool.join()
    return squares


def use_pool_and_die() -> NoReturn:
    from mp_pool import Pool

    pool = Pool(2)
    pool.map(square, range(10))
    kill_self()


def write_workers_and_wait(path: str) -> None:
    from mp_pool import Pool

    pool: Any = Pool(2)
    pool.map(square, range(10))
    pids = [os.getpid(), *(worker.pid for worker in pool._pool)]
    write(path, " ".join(map(str, pids)) + "\n")
    time.sleep(60)


class Large:
    """Notes in a directory how often it is pickled, and by whom unpickled."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.content = bytes(1_000_000)

    def note(self, what: str) -> None:
        name = f"{what}-{os.getpid()}-{time.monotonic_ns()}"
        write(os.path.join(self.directory, name))

    def __getstate__(self) -> dict[str, Any]:
        self.note("pickled")
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.note("unpickled")

    def add(self, number: int, more: int = 0) -> int:
        return len(self.content) + number + more

    def end(self, number: int) -> int:
        return kill_self() if number == 7 else number
