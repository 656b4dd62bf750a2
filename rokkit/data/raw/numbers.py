"""Texts to whole numbers, without a Python object per row."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MISSING = np.iinfo(np.int64).min  # stands for an empty text
UNREADABLE = MISSING + 1  # stands for a text that is no whole number

# A join with missing rows turns 2661 into 2661.0.
FLOAT = r"^[+-]?[0-9]+\.0*$"


@dataclass(frozen=True)
class Numbers:
    """The numbers of a column of texts."""

    values: NDArray[np.int64]  # [n], with MISSING and UNREADABLE in their places
    floats: int  # how many were written as floats

    @property
    def missing(self) -> NDArray[np.bool_]:
        """[n]: where the text was empty."""
        found: NDArray[np.bool_] = self.values == MISSING
        return found

    @property
    def unreadable(self) -> NDArray[np.bool_]:
        """[n]: where the text was no whole number."""
        found: NDArray[np.bool_] = self.values == UNREADABLE
        return found


def whole_numbers(texts: pa.Array) -> Numbers:
    """The whole numbers that `texts` [n] spell: zero-padded, with spaces around, or as "12.0"."""
    try:
        return Numbers(_integers(texts), 0)
    except pa.ArrowInvalid:
        pass
    texts = pc.ascii_trim_whitespace(texts)
    empty = pc.equal(texts, "").to_numpy(zero_copy_only=False)
    texts = pc.if_else(pa.array(empty), "0", texts)
    try:
        values, floats = _integers(texts), 0
    except pa.ArrowInvalid:
        values, floats = _one_by_one(texts)
    values[empty] = MISSING
    return Numbers(values, floats)


def _one_by_one(texts: pa.Array) -> tuple[NDArray[np.int64], int]:
    """(numbers, how many were floats), where some texts are no plain numbers."""
    float_like = pc.match_substring_regex(texts, FLOAT)
    texts = pc.if_else(float_like, pc.replace_substring_regex(texts, r"\.0*$", ""), texts)
    # Eighteen digits always fit 64 bits; an id or time with more is none.
    readable = pc.match_substring_regex(texts, r"^-?[0-9]{1,18}$")
    values = _integers(pc.if_else(readable, texts, "0"))
    unreadable = ~readable.to_numpy(zero_copy_only=False)
    values[unreadable] = UNREADABLE
    found = float_like.to_numpy(zero_copy_only=False)
    return values, int((found & ~unreadable).sum())


def _integers(texts: pa.Array) -> NDArray[np.int64]:
    values: NDArray[np.int64] = pc.cast(texts, pa.int64()).to_numpy(zero_copy_only=False)
    return values if values.flags.writeable else values.copy()
