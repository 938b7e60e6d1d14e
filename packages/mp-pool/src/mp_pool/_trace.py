"""Trace files: Chrome's trace-event format, as Perfetto and chrome://tracing read it.

Each worker appends its own events, a few in one system call, so that lines of several
never mix.  The format lets the closing bracket be missing: a pool that ends by a crash
leaves a file that opens.
"""

from __future__ import annotations

import json
import os
from time import monotonic_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Tracer:
    """Appends events to a file.

    Args:
        path: the file.
        group: the process under which all events are shown.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str, group: int) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._fd = os.open(path, flags, 0o666)
        self._group = group
        self._lines: list[str] = []

    @classmethod
    def begin(cls, path: str) -> Tracer:
        """Begin a new file, in the process that has the pool."""
        with open(path, "w") as file:
            file.write("[\n")
        tracer = cls(path, os.getpid())
        tracer.name("process_name", "mp_pool.Pool")
        tracer.flush()
        return tracer

    def name(self, kind: str, name: str) -> None:
        """Say how the process or this worker is called."""
        self._add({"ph": "M", "name": kind, "args": {"name": name}})

    def happened(self, what: str, worker: int) -> None:
        """Something happened to a worker just now."""
        event = {"ph": "i", "s": "t", "name": what, "ts": monotonic_ns() / 1e3}
        self._add(event, worker)
        self.flush()

    def traced(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """A function whose calls are noted."""

        def call(*args: Any, **kwds: Any) -> Any:
            begin = monotonic_ns()
            try:
                return function(*args, **kwds)
            finally:
                took = (monotonic_ns() - begin) / 1e3
                event = {"ph": "X", "cat": "task", "name": name}
                self._add(event | {"ts": begin / 1e3, "dur": took})

        return call

    def _add(self, event: dict[str, Any], worker: int | None = None) -> None:
        event["pid"] = self._group
        event["tid"] = os.getpid() if worker is None else worker
        self._lines.append(json.dumps(event) + ",\n")

    def flush(self) -> None:
        """Write what was added."""
        lines, self._lines = self._lines, []
        data = "".join(lines).encode()
        while data:
            data = data[os.write(self._fd, data) :]

    def end(self) -> None:
        """Close the list of events, once all workers are gone, and the file."""
        event = {"ph": "M", "name": "process_sort_index", "args": {"sort_index": 0}}
        os.write(self._fd, json.dumps(event | {"pid": self._group}).encode() + b"\n]\n")
        self.close()

    def close(self) -> None:
        """Close the file.  A second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd != -1:
            os.close(fd)
