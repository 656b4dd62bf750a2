"""Texts to whole numbers, without a Python object per row."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MISSING = np.iinfo(np.int64).min  # stands for an empty text
UNREADABLE = MISSING + 1  # stands for a text that is no whole number

TOO_LARGE = 10**18
WHOLE = r"^-?0*[0-9]{1,18}$"
# A join with missing rows turns 2661 into 2661.0.
FLOAT = r"^-?[0-9]+\.0*$"


@dataclass(frozen=True)
class Numbers:
    """The numbers of a column of texts."""

    values: NDArray[np.int64]  # [n], with MISSING and UNREADABLE in their places
    floats: NDArray[np.bool_]  # [n]: which were written as floats

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
    """The whole numbers that `texts` [n] spell: zero-padded, with spaces around, or as "12.0".

    Ids and times have at most eighteen digits, which always fit 64 bits; more are unreadable.
    """
    plain = np.zeros(len(texts), bool)
    values = _integers(texts)
    if values is not None:
        return Numbers(values, plain)
    texts = pc.ascii_trim_whitespace(texts)
    empty = pc.equal(texts, "").to_numpy(zero_copy_only=False)
    texts = pc.if_else(pa.array(empty), "0", texts)
    values, floats = _integers(texts), plain
    if values is None:
        values, floats = _one_by_one(texts)
    values[empty] = MISSING
    return Numbers(values, floats)


def _integers(texts: pa.Array) -> NDArray[np.int64] | None:
    """[n]; None if a text is anything but a sign and digits, or has too many of them."""
    # Arrow would read 0x1F as 31. All signs and digits come before letters.
    if len(texts) and np.frombuffer(texts.buffers()[2], np.uint8).max(initial=0) > ord("9"):
        return None
    try:
        values = _cast(texts)
    except pa.ArrowInvalid:
        return None
    fits = not len(values) or -TOO_LARGE < int(values.min()) <= int(values.max()) < TOO_LARGE
    return values if fits else None


def _one_by_one(texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(numbers [n], which were floats [n]), where some texts are no plain numbers."""
    float_like = pc.match_substring_regex(texts, FLOAT)
    texts = pc.if_else(float_like, pc.replace_substring_regex(texts, r"\.0*$", ""), texts)
    readable = pc.match_substring_regex(texts, WHOLE)
    values = _cast(pc.if_else(readable, texts, "0"))
    found = readable.to_numpy(zero_copy_only=False)
    values[~found] = UNREADABLE
    return values, float_like.to_numpy(zero_copy_only=False) & found


def _cast(texts: pa.Array) -> NDArray[np.int64]:
    values: NDArray[np.int64] = pc.cast(texts, pa.int64()).to_numpy(zero_copy_only=False)
    return values if values.flags.writeable else values.copy()
