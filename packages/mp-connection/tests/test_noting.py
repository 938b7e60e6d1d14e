"""Noting which task runs, by the extension; without it there is nothing that does."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from mp_connection import _backend, noting
from mp_connection.noting import noter

if TYPE_CHECKING:
    from mp_connection.noting import Noter


@pytest.fixture
def words() -> memoryview:
    return memoryview(bytearray(64)).cast("Q")


def noter_of(word: memoryview) -> Noter:
    if noting.native is None:
        pytest.skip("MP_CONNECTION_BACKEND=portable")
    found = noter(word)
    assert found is not None
    return found


def test_it_is_the_extension_that_does_it(
    words: memoryview, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert noting.native is _backend.native
    monkeypatch.setattr(noting, "native", None)
    assert noter(words[2:3]) is None


def test_each_task_is_noted_before_it_is_handed_out(words: memoryview) -> None:
    note = noter_of(words[2:3])
    noted = note.over("abc", 5)
    assert [(task, words[2]) for task in noted] == [("a", 5), ("b", 6), ("c", 7)]
    assert words.tolist() == [0, 0, 7, 0, 0, 0, 0, 0]  # nothing is noted at the end
    assert next(noted, None) is None
    assert list(note.over([1], 2**64 - 1)) == [1]
    assert words[2] == 2**64 - 1


def test_an_error_of_the_tasks_comes_out_and_notes_nothing(words: memoryview) -> None:
    def tasks() -> Iterator[int]:
        yield 1
        raise KeyError

    noted = noter_of(words[3:4]).over(tasks(), 8)
    assert next(noted) == 1
    with pytest.raises(KeyError):
        next(noted)
    assert words[3] == 8


def test_memory_that_was_released_is_not_written_to() -> None:
    memory = bytearray(8)
    note = noter_of(memoryview(memory))
    noted = note.over([1, 2], 1)
    assert next(noted) == 1
    with pytest.raises(BufferError):
        memory.clear()  # somebody may write to it still
    note.release()
    note.release()
    memory.clear()
    with pytest.raises(ValueError, match="is released"):
        next(noted)


def test_dropping_it_releases_the_memory() -> None:
    memory = bytearray(8)
    noter_of(memoryview(memory))
    memory.clear()


@pytest.mark.parametrize(
    ("memory", "error"),
    [
        (bytes(8), BufferError),
        (bytearray(4), ValueError),
        (memoryview(bytearray(16))[1:9], ValueError),
        ("text", TypeError),
    ],
)
def test_it_needs_a_word(memory: memoryview, error: type[Exception]) -> None:
    with pytest.raises(error):
        noter_of(memory)


def test_what_it_cannot_note_is_refused(words: memoryview) -> None:
    note = noter_of(words[3:4])
    with pytest.raises(TypeError):
        note.over(5, 0)  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        note.over([], -1)
    with pytest.raises(TypeError):
        note.over([])  # type: ignore[call-arg]
