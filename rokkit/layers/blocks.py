"""A long tensor a block of rows at a time, so that what lies between stays in the cache."""

from collections.abc import Iterator

BLOCK = 2048  # rows: half a megabyte of 64 columns


def blocks(rows: int) -> Iterator[slice]:
    """The slices that cover `rows` rows, in order."""
    return (slice(start, min(start + BLOCK, rows)) for start in range(0, rows, BLOCK))
