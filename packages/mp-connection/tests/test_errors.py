"""The error classes: what they derive from, and that they cross process boundaries."""

from __future__ import annotations

import copy
import pickle

import pytest

import mp_connection
from mp_connection import errors

CLASSES: list[type[errors.ProcessError]] = [
    getattr(errors, name) for name in errors.__all__
]


def again(error: errors.ProcessError, protocol: int = 5) -> errors.ProcessError:
    revived: errors.ProcessError = pickle.loads(pickle.dumps(error, protocol))
    assert type(revived) is type(error)
    return revived


class Stubborn(Exception):
    """Can be pickled, but not unpickled."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(first + second)


class Unpicklable(Exception):
    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("no")

    def __str__(self) -> str:
        raise ValueError("no text either")


class Detailed(errors.ChannelClosedError):
    def __init__(self, name: str, *, peer: str) -> None:
        super().__init__(9, name)
        self.peer = peer


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_is_a_process_error_of_the_public_module(kind: type) -> None:
    assert issubclass(kind, errors.ProcessError)
    assert kind.__module__ == "mp_connection"
    assert getattr(mp_connection, kind.__name__) is kind
    assert kind.__doc__


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_pickles_with_attributes_notes_and_cause(
    kind: type[errors.ProcessError], protocol: int
) -> None:
    error = kind("what happened")
    error.__cause__ = ValueError("why")
    error.add_note("where")
    error.detail = [1]  # type: ignore[attr-defined]
    revived = again(error, protocol)
    assert revived.args == ("what happened",)
    assert str(revived) == "what happened"
    assert repr(revived.__cause__) == "ValueError('why')"
    assert revived.__notes__ == ["where"]
    assert revived.detail == [1]  # type: ignore[attr-defined]
    assert again(copy.copy(error)).args == error.args


def test_operating_system_errors_keep_their_numbers_and_names() -> None:
    error = again(errors.ChannelClosedError(9, "closed", "/some/file"))
    assert isinstance(error, OSError)
    assert (error.errno, error.strerror, error.filename) == (9, "closed", "/some/file")


def test_unpicklable_errors_keep_the_path() -> None:
    error = again(errors.UnpicklableError("no", "args[0].callback"))
    assert isinstance(error, errors.UnpicklableError)
    assert (error.args, error.path) == (("no",), "args[0].callback")


def test_buffer_too_short_keeps_the_message() -> None:
    assert again(errors.BufferTooShort(b"whole message")).args == (b"whole message",)


def test_subclasses_with_a_constructor_of_their_own_are_revived() -> None:
    error = again(Detailed("closed", peer="other"))
    assert isinstance(error, Detailed)
    assert (error.errno, error.peer) == (9, "other")


def test_a_chain_of_causes_arrives_whole() -> None:
    error = errors.ProcessError("outer")
    error.__cause__ = errors.HandleError("middle")
    error.__cause__.__cause__ = KeyError("inner")
    cause = again(error).__cause__
    assert isinstance(cause, errors.HandleError)
    assert repr(cause.__cause__) == "KeyError('inner')"


def test_a_cause_that_cannot_be_unpickled_becomes_text() -> None:
    error = errors.ProcessError("outer")
    error.__cause__ = Stubborn(1, 2)
    assert repr(again(error).__cause__) == "ProcessError('Stubborn: 3')"


def test_a_cause_that_cannot_be_pickled_becomes_text() -> None:
    error = errors.ProcessError("outer")
    error.__cause__ = Unpicklable()
    assert repr(again(error).__cause__) == "ProcessError('Unpicklable')"
    error.__cause__ = KeyError(lambda: 0)
    assert str(again(error).__cause__).startswith("KeyError: <function")


def test_classes_are_caught_by_what_users_catch_already() -> None:
    assert issubclass(errors.ChannelClosedError, OSError)
    assert issubclass(errors.FramingError, OSError)
    assert issubclass(errors.HandleError, RuntimeError)
    for base in (pickle.PicklingError, AttributeError, TypeError):
        assert issubclass(errors.UnpicklableError, base)


def test_the_timeout_error_is_not_the_built_in_one() -> None:
    assert not issubclass(errors.TimeoutError, TimeoutError)
