"""`Generic` at run time, without `typing`, whose import costs a child five ms.

Type checkers see the real one: modules import it from `typing` under TYPE_CHECKING.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ALIAS: Any = type(list[int])  # types.GenericAlias


class Generic:
    """Base of classes that may be subscripted; the parameters mean nothing to it."""

    __slots__ = ()

    def __class_getitem__(cls, parameters: object) -> object:
        return cls if cls is Generic else _ALIAS(cls, parameters)
