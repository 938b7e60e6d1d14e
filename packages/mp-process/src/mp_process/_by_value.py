"""Messages whose functions and classes need not be importable (`by_value=True`).

The pickler is that of cloudpickle; the receiver needs it as well, but nothing else.
"""

from __future__ import annotations

from mp_connection.channel import message_reductions, pickle_with_handles
from mp_connection.handles import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BytesIO
    from pickle import PickleBuffer

    from mp_connection.channel import Message

_PROTOCOL = 5

_MISSING = (
    "by_value=True needs cloudpickle, which is not installed:"
    ' pip install "mp-process[cloudpickle]"'
)

try:
    import cloudpickle  # type: ignore[import-untyped,import-not-found,unused-ignore]
except ModuleNotFoundError as error:
    if error.name != "cloudpickle":
        raise
    raise ModuleNotFoundError(_MISSING, name="cloudpickle") from None


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc,unused-ignore]
    """Cloudpickle's, for a message that may carry descriptors."""

    def __init__(
        self, file: BytesIO, buffer_callback: Callable[[PickleBuffer], object] | None
    ) -> None:
        # Before the base class looks for it: an attribute of its class hides the place
        # where the C pickler would see a later one.
        self.dispatch_table = {
            **cloudpickle.Pickler.dispatch_table,
            **message_reductions(),
        }
        super().__init__(file, _PROTOCOL, buffer_callback)
        self.handles: list[int] = []

    def persistent_id(self, obj: object) -> int | None:
        if type(obj) is not Handle:
            return None
        self.handles.append(obj.fd)
        return len(self.handles) - 1


def pickle_by_value(obj: object, name: str) -> Message:
    """As `mp_connection.channel.pickle_message`, with functions and classes by value.

    Those that other processes can import by their name travel by that: all but the
    ones of the main module, lambdas and what is defined within functions.

    Args:
        obj: what to send.
        name: what an error calls it.

    Raises:
        UnpicklableError: part of the object cannot be pickled; the error says which.
    """
    return pickle_with_handles(obj, name, _Pickler)
