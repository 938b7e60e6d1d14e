"""`SharedMemoryManager`: blocks of shared memory that end with a manager."""

from __future__ import annotations

from mp_managers._desk import Desk
from mp_managers._manager import BaseManager
from mp_managers._server import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, ClassVar, TypeVar

    from mp_managers._table import Leases
    from mp_sharedctypes.shared_memory import ShareableList, SharedMemory

    ItemT = TypeVar("ItemT", bound=int | float | bool | str | bytes | None)


class SharedMemoryServer(Server):
    """Keeps blocks, and unlinks them when it stops."""

    def __init__(self, *args: Any) -> None:
        self._blocks: dict[str, SharedMemory] = {}
        super().__init__(*args)

    def _new_block(self, leases: Leases, size: int) -> SharedMemory:
        from mp_sharedctypes.shared_memory import SharedMemory  # an extra

        block = SharedMemory(create=True, size=size)
        self._blocks[block.name] = block
        return block

    def _new_list(self, leases: Leases, items: Iterable[Any]) -> ShareableList[Any]:
        from mp_sharedctypes.shared_memory import ShareableList

        made: ShareableList[Any] = ShareableList(items)
        self._blocks[made.shm.name] = made.shm
        return made

    def _track(self, leases: Leases, name: str) -> None:
        from mp_sharedctypes.shared_memory import SharedMemory

        if name not in self._blocks:
            self._blocks[name] = SharedMemory(name, track=False)

    def _release(self, leases: Leases, name: str) -> None:
        self._free(name)

    def _list(self, leases: Leases) -> list[str]:
        return list(self._blocks)

    def _free(self, name: str) -> None:
        block = self._blocks.pop(name)
        try:
            block.unlink()
        except FileNotFoundError:
            pass  # somebody else has
        block.close()

    def stop(self) -> None:
        """Serve nobody any more, and unlink the blocks."""
        super().stop()
        for name in list(self._blocks):
            self._free(name)

    _functions: ClassVar[dict[str, Any]] = {
        **Desk._functions,
        "new_block": _new_block,
        "new_list": _new_list,
        # The words of the standard library.
        "list_segments": _list,
        "release_segment": _release,
        "track_segment": _track,
    }


class SharedMemoryManager(BaseManager):
    """Makes blocks of shared memory and keeps them until it is shut down.

    It needs ``mp-managers[shared]``.  The blocks are the manager's process's: they
    outlive whoever has asked for them, and end with it, however that ends.  They come
    over Unix domain sockets only.
    """

    _Server: ClassVar[type[Server]] = SharedMemoryServer

    def SharedMemory(self, size: int) -> SharedMemory:
        """A new block.

        Args:
            size: bytes, at least one.

        Raises:
            ValueError: the size is not positive, or the manager was not started.
            OSError: there is no room.
        """
        return self._ask("new_block", size)  # type: ignore[no-any-return]

    def ShareableList(self, sequence: Iterable[ItemT]) -> ShareableList[ItemT]:
        """A new list in shared memory, of the items of *sequence*.

        Raises:
            ValueError: the manager was not started.
            OSError: there is no room.
        """
        return self._ask("new_list", list(sequence))  # type: ignore[no-any-return]

    def _ask(self, what: str, *args: Any) -> Any:
        try:
            link = self._connected().my_link()
        except AssertionError as error:  # a ValueError where this class is documented
            raise ValueError(*error.args) from None
        return link.call(None, what, args, {})


SharedMemoryManager.__module__ = "mp_managers"
