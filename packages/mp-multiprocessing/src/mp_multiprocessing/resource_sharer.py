"""What third parties use of the standard package's module of this name.

There descriptors are fetched from a thread; here they travel with the message.
"""

from __future__ import annotations

from mp_multiprocessing.reduction import DupFd as DupFd

__all__ = ("DupFd",)
