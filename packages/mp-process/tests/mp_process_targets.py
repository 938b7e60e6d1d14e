"""What the children of the tests run.  It imports nothing that takes long."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import atexit
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import mp_process
from mp_connection import Connection
from mp_connection.handles import Handle, ReceivedHandle

Report = Connection[Any, Any]


def noop(*args: object, **kwargs: object) -> None:
    """End at once."""


def sleep(seconds: float = 60.0) -> None:
    """Sleep, in pieces: a signal just before one of them does not cut it short."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))


def exit_with(code: object) -> None:
    sys.exit(code)  # type: ignore[arg-type]


def exit_at_once(code: int) -> None:
    os._exit(code)


def die_by(number: int) -> None:
    signal.signal(number, signal.SIG_DFL) if number not in (9, 19) else None
    os.kill(os.getpid(), number)
    time.sleep(60)


def fail(text: str) -> None:
    raise LookupError(text)


def append(path: str, text: str = "x") -> None:
    """Count a run: one write, at the end of the file."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(fd, text.encode())
    os.close(fd)


def append_and_sleep(path: str, seconds: float = 60.0) -> None:
    append(path)
    time.sleep(seconds)


def send(report: Report, *values: object) -> None:
    report.send(values)


def say_and_sleep(report: Report, seconds: float = 60.0) -> None:
    """Say who we are, and run on."""
    report.send(os.getpid())
    sleep(seconds)


def say_and_wait(report: Report) -> None:
    """Say who we are, and end when told."""
    report.send(os.getpid())
    report.poll(30)


def ignore_sigterm(report: Report) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say_and_sleep(report)


def describe(report: Report) -> None:
    """What a process knows of itself and of its parent."""
    this = mp_process.current_process()
    parent = mp_process.parent_process()
    assert parent is not None
    report.send(
        {
            "name": this.name,
            "pid": this.pid,
            "ident": this.ident,
            "daemon": this.daemon,
            "alive": this.is_alive(),
            "exitcode": this.exitcode,
            "repr": repr(this),
            "class": type(this).__name__,
            "parent name": parent.name,
            "parent pid": parent.pid,
            "parent ident": parent.ident,
            "parent alive": parent.is_alive(),
            "parent repr": repr(parent),
            "children": len(mp_process.active_children()),
            "method": mp_process.get_start_method(allow_none=True),
            "argv": sys.argv,
            "path": sys.path,
            "directory": os.getcwd(),
        }
    )
    report.poll(30)


def errors_of_self(report: Report) -> None:
    """What goes wrong when a process treats itself as its child."""
    this = mp_process.current_process()
    found = []
    for call in (this.start, this.join, this.terminate, this.kill, this.close):
        try:
            call()
        except Exception as error:
            found.append(type(error).__name__)
    report.send(found)


def grandchild(report: Report, method: Any, daemon: bool = False) -> None:
    """Start a process; send what it says, or the error."""
    ctx = mp_process.get_context(method)
    process = ctx.Process(target=describe, args=(report,), daemon=daemon)
    try:
        process.start()
    except AssertionError as error:
        report.send(error)
    else:
        process.join(30)


def grandchild_of_a_freed_daemon(report: Report, method: Any) -> None:
    mp_process.current_process()._config["daemon"] = False
    grandchild(report, method)


def trace(report: Report) -> None:
    """What a tool does to the processes that begin from here."""
    original = mp_process.BaseProcess._bootstrap

    def bootstrap(process: mp_process.BaseProcess, *args: Any) -> int:
        report.send("before")
        code = original(process, *args)
        report.send(f"after {code}")
        return code

    mp_process.BaseProcess._bootstrap = bootstrap  # type: ignore[assignment,method-assign]


class Traced:
    """A target that takes the tool along to where nothing is inherited."""

    def __init__(self, report: Report, code: int) -> None:
        self.report, self.code = report, code

    def __reduce__(self) -> tuple[object, ...]:
        return _traced, (self.report, self.code)

    def __call__(self) -> None:
        self.report.send("target")
        sys.exit(self.code)


def _traced(report: Report, code: int) -> Traced:
    trace(report)
    return Traced(report, code)


def open_files() -> list[str]:
    """Descriptors above standard error, and what they are."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # that of the listing
            continue
        if int(name) > 2:
            found.append(f"{name} {link}")
    return found


def children() -> list[int]:
    """The processes that this one has to wait for, ended ones among them."""
    found: list[int] = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children") as file:
            found += map(int, file.read().split())
    return found


def send_mask(report: Report) -> None:
    """Whether SIGINT is blocked."""
    report.send(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))


def send_open_files(report: Report) -> None:
    report.send((report.fileno(), open_files()))


class Unreadable:
    """Cannot be unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return _refuse, ()


def _refuse() -> None:
    raise LookupError("this cannot be unpickled")


class Subclass(mp_process.Process):
    """Overrides `run`, and keeps something from before the base was initialised."""

    def __init__(self, report: Report, **options: Any) -> None:
        self.before = "before"
        super().__init__(**options)
        self.after = "after"
        self.report = report

    def run(self) -> None:
        self.report.send((self.before, self.after, self.name, type(self).__name__))
        sys.exit(5)


class Odd(mp_process.Process):
    """Equal to everything, and not hashable."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


def signal_itself(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


class Sealed:
    """Owns a descriptor; only a registered reducer can pickle it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> Any:
        raise TypeError("sealed")


def reduce_sealed(sealed: Sealed) -> tuple[Any, ...]:
    return rebuild_sealed, (Handle(sealed.fd),)


def rebuild_sealed(handle: ReceivedHandle) -> Sealed:
    return Sealed(handle.take())


def read_sealed(report: Report, sealed: Sealed) -> None:
    os.lseek(sealed.fd, 0, os.SEEK_SET)
    report.send(os.read(sealed.fd, 100))


def send_keys(report: Report, method: Any) -> None:
    report.send(mp_process.current_process().authkey)
    if method is not None:
        process = mp_process.get_context(method).Process(
            target=send_keys, args=(report, None)
        )
        process.start()
        process.join(30)


def catch(report: Report) -> None:
    try:
        say_and_sleep(report)
    except KeyboardInterrupt:
        report.send("interrupted")
        sys.exit(7)


class Held:
    """Something that is of use as long as nobody has collected it."""

    def __init__(self) -> None:
        self.gone = weakref.ref(self)

    def __reduce__(self) -> tuple[object, ...]:
        return Held, ()

    def work(self, report: Report, *_: object, **__: object) -> None:
        say_and_wait(report)


def count_threads(report: Report) -> None:
    report.send((len(os.listdir("/proc/self/task")), threading.active_count()))


def start_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(0.01,)).start()


def leave_threads(path: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def late(text: str, seconds: float) -> None:
        time.sleep(seconds)
        append(path, text)

    threading.Thread(target=late, args=("a", 0.1)).start()
    threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
    ThreadPoolExecutor(1).submit(late, "b", 0.2)
    sys.exit(3)


def register_callback(path: str) -> None:
    atexit.register(append, path, "child")


def register_failing_callback(path: str) -> None:
    atexit.register(append, path, "child")
    atexit.register(fail, "a failing callback")
    sys.exit(6)


def finalize(path: str) -> None:
    weakref.finalize(finalize, append, path, "child")


def fork_and_ask(report: Report) -> None:
    pid = os.fork()
    if pid == 0:
        parent = mp_process.parent_process()
        assert parent is not None
        parent.join(0.01)
        report.send((parent.pid, parent.is_alive()))
        os._exit(0)
    os.waitpid(pid, 0)


def say_handler(report: Report) -> None:
    report.send(
        (
            signal.getsignal(signal.SIGINT) is signal.default_int_handler,
            signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL,
        )
    )


def say_new_modules(report: Report) -> None:
    before: set[str] = sys.before  # type: ignore[attr-defined]
    report.send(sorted(set(sys.modules) - before))


def is_there(name: str) -> None:
    sys.exit(name in sys.modules)


def nested() -> None:
    process = mp_process.get_context("spawn").Process(target=exit_with, args=(3,))
    process.start()
    process.join(30)
    sys.exit(process.exitcode)


class Ends:
    """Unpickling it raises what a closed channel raises, too."""

    def __init__(self, error: type[Exception], text: str) -> None:
        self.error, self.text = error, text

    def __reduce__(self) -> tuple[object, ...]:
        return raise_it, (self.error, self.text)


def raise_it(error: type[Exception], text: str) -> None:
    raise error(text)


def send_environment(report: Report, method: Any) -> None:
    names = ["OLD", "GONE", "ADDED"]
    values = [os.environ.get(f"MP_PROCESS_{name}") for name in names]
    inner = os.environ.get("MP_PROCESS_INNER", "")
    import subprocess

    # What programs that are started see, which is the C library's copy.
    seen = subprocess.run(
        ["sh", "-c", "printf %s $MP_PROCESS_INNER"], capture_output=True, check=True
    ).stdout.decode()
    report.send((*values, inner, seen))
    if method is not None:
        os.environ["MP_PROCESS_INNER"] = "changed"
        process = mp_process.get_context(method).Process(
            target=send_environment, args=(report, None)
        )
        process.start()
        process.join(30)


class Length(int):
    """Travels as bytes and arrives as a number below 251."""

    def __new__(cls, data: bytes) -> Length:
        self = super().__new__(cls, len(data) % 251)
        self.data = data
        return self

    data: bytes

    def __reduce__(self) -> tuple[Callable[[bytes], Length], tuple[bytes]]:
        return Length, (self.data,)


def fork_and_leave(report: Report) -> None:
    pid = os.fork()
    if pid == 0:
        report.close()
        time.sleep(30)
        os._exit(0)
    report.send(pid)


def send_native_ids(report: Report) -> None:
    """What `threading` says of the main thread, and what the kernel says."""
    send(report, threading.main_thread().native_id, threading.get_native_id())
