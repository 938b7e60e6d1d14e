"""The allocator, against a model that knows every byte."""

from __future__ import annotations

from hypothesis import given, strategies as st

from mp_sync._freelist import GRANULE, UNIT, FreeList, rounded

SIZE = 40 * UNIT

sizes = st.integers(1, 9 * UNIT)
alignments = st.sampled_from([UNIT, 4 * UNIT, 8 * UNIT])
steps = st.lists(
    st.one_of(st.tuples(sizes, alignments), st.integers(0, 100)), max_size=60
)


def fits(used: set[int], size: int, alignment: int) -> bool:
    return any(
        not used & set(range(start, start + size, UNIT))
        for start in range(0, SIZE - size + 1, alignment)
    )


@given(steps)
def test_blocks_never_overlap_and_nothing_is_lost(
    script: list[tuple[int, int] | int],
) -> None:
    """It gives a block exactly when one fits, and never the same bytes twice."""
    free = FreeList(0, SIZE)
    blocks: list[tuple[int, int]] = []
    for step in script:
        used = {
            unit
            for offset, size in blocks
            for unit in range(offset, offset + size, UNIT)
        }
        if isinstance(step, int):
            if blocks:
                free.free(*blocks.pop(step % len(blocks)))
        else:
            size, alignment = rounded(step[0], UNIT), step[1]
            offset = free.allocate(size, alignment)
            assert (offset is not None) == fits(used, size, alignment)
            if offset is not None:
                assert offset % alignment == 0
                assert 0 <= offset <= SIZE - size
                assert not used & set(range(offset, offset + size, UNIT))
                blocks.append((offset, size))
        assert free.free_bytes() == SIZE - sum(size for _, size in blocks)
    for block in blocks:
        free.free(*block)
    assert free.allocate(SIZE, UNIT) == 0


def test_sizes_are_rounded_up() -> None:
    assert [rounded(n) for n in (0, 1, 64, 65)] == [64, 64, 64, 128]
    assert [rounded(n, UNIT) for n in (0, 1, 16, 17)] == [16, 16, 16, 32]


def test_a_range_can_be_empty() -> None:
    free = FreeList(64, 64)
    assert free.allocate(GRANULE) is None
    free.free(64, GRANULE)
    assert free.allocate(GRANULE) == 64
