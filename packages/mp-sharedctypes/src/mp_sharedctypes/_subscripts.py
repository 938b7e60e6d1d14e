"""What makes classes subscriptable at run time, without `typing`.

Type checkers see `typing.Generic` and the type variables; the modules import them under
TYPE_CHECKING, since the import costs each child five milliseconds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: types.GenericAlias, without an import.
GenericAlias: Any = type(list[int])


class Generic:
    """Base of classes that may be subscripted; the parameters mean nothing to it."""

    __slots__ = ()

    def __class_getitem__(cls, parameters: object) -> object:
        return cls if cls is Generic else GenericAlias(cls, parameters)
