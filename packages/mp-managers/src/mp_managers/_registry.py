"""What a manager class can make: its registered types."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeAlias

    Registry: TypeAlias = dict[str, "Registration"]


class Registration:
    """A type that a manager can share objects of.

    Attributes:
        callable: makes an object; None if only results of methods are of this type.
        exposed: the methods that may be called; None for all that are public.
        method_to_typeid: those that return proxies, and of which type.
        proxytype: makes a proxy; None for an automatic one.
    """

    __slots__ = ("callable", "exposed", "method_to_typeid", "proxytype")

    def __init__(
        self,
        callable: Callable[..., Any] | None,
        exposed: Sequence[str] | None,
        method_to_typeid: Mapping[str, str] | None,
        proxytype: Callable[..., Any] | None,
    ) -> None:
        self.callable = callable
        self.exposed = exposed
        self.method_to_typeid = method_to_typeid
        self.proxytype = proxytype

    def make(self, args: Sequence[Any], kwds: Mapping[str, Any]) -> Any:
        """The object that somebody has asked for.

        Raises:
            TypeError: there is no callable, and not exactly one argument.
            Exception: whatever the callable raises.
        """
        if self.callable is not None:
            return self.callable(*args, **kwds)
        if len(args) != 1 or kwds:
            raise TypeError("a type without a callable takes the object itself")
        return args[0]

    def methods(self, obj: object) -> tuple[str, ...]:
        """The methods of an object that may be called."""
        exposed = self.exposed
        names = public_methods(obj) if exposed is None else list(exposed)
        return (*names, *(self.method_to_typeid or ()))


def public_methods(obj: object) -> list[str]:
    """The names of an object's methods, but for those that begin with ``_``."""
    return [
        name
        for name in dir(obj)
        if not name.startswith("_") and callable(getattr(obj, name, None))
    ]
