"""The worker's side of the line to the driver of curves."""

from __future__ import annotations

import socket
import sys

assert sys.platform == "linux"


class Holder:
    """Lets the driver look at all processes when they are at their largest.

    Args:
        fd: of a socket to the driver; it becomes this object's.
    """

    def __init__(self, fd: int) -> None:
        self._line = socket.socket(fileno=fd)
        # A child that outlives us must not hold up the driver.
        self._line.set_inheritable(False)
        self.looking = self._line.recv(1) == b"m"

    def hold(self) -> None:
        """Stay as things are until the driver has looked, if it wants to."""
        if self.looking:
            self._line.sendall(b"hold\n")
            self._line.recv(1)

    def finish(self, seconds: float) -> None:
        """Tell the result."""
        self._line.sendall(f"{seconds!r}\n".encode())
