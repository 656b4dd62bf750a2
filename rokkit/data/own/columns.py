"""Columns of a log of one's own, as codes of their distinct values: no Python object per row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rokkit.errors import DataError

# 012 is a text: as a number it would be the same as 12. A join makes 12.0 of 12.
WHOLE = r"^-?(0|[1-9]\d{0,17})(\.0*)?$"
NUMBER = r"^-?(0|[1-9]\d{0,14})(\.\d*)?([eE][-+]?\d+)?$"  # as exact as a float can be


@dataclass(frozen=True)
class Column:
    """A column of N rows as codes."""

    name: str
    codes: NDArray[np.int32]  # [N] position in `values`; -1 where missing
    values: "pd.Index[int | float | str]"  # distinct: all int64, all float64 or all texts

    def require_ids(self) -> None:
        """Raise DataError if the values are fractions, which are measurements and no ids."""
        if self.values.dtype.kind == "f":
            shown = next(float(v) for v in self.values if not float(v).is_integer())
            raise DataError(
                f"column {self.name!r} holds the fraction {shown}; a field needs texts or whole "
                "numbers. Bucket the column before (say, prices by decile), or leave it out."
            )

    def rows(self, keep: NDArray[np.bool_]) -> "NDArray[np.int64] | pd.Categorical":
        """The values of the rows with `keep`: whole numbers as int64, all else as categories."""
        codes = self.codes[keep]
        if self.values.dtype.kind == "i" and (codes >= 0).all():
            return self.values.to_numpy(np.int64)[codes]
        return pd.Categorical.from_codes(codes, categories=self.values)


def encoded(values: pa.Array, name: str) -> pa.DictionaryArray:
    """A piece of a column as codes of texts, int64 or float64; DataError for any other type."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        if pa.types.is_string(kind.value_type) and pa.types.is_int32(kind.index_type):
            return values
        return encoded(values.dictionary_decode(), name)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        wanted = pa.int64()
    elif pa.types.is_floating(kind):
        wanted, values = pa.float64(), pc.if_else(pc.is_finite(values), values, None)
    elif pa.types.is_null(kind) or _is_text(kind):
        wanted = pa.string()
    else:
        raise DataError(
            f"column {name!r} is of type {kind}; expected texts or whole numbers. Convert or "
            "bucket the column before, or leave it out."
        )
    try:
        return values.cast(wanted).dictionary_encode()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"column {name!r} (type {kind}) cannot be read as {wanted} ({error}). Write it as "
            "texts or as whole numbers of at most 18 digits."
        ) from None


def joined(pieces: Sequence[pa.DictionaryArray], name: str, missing: Sequence[str]) -> Column:
    """The column of all `pieces`; empty texts and those of `missing` are missing values.

    Texts that all are whole numbers become numbers, and so do whole floats.
    """
    whole = pa.chunked_array(pieces).unify_dictionaries()
    codes = np.concatenate(
        [p.indices.fill_null(-1).to_numpy(zero_copy_only=False) for p in whole.chunks]
    )
    try:
        settled = _settled(whole.chunk(0).dictionary, missing)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"column {name!r} holds a number too large to be exact ({error}). Write it as texts."
        ) from None
    # Two texts may be one number, and one of them may stand for missing.
    to_value, values = pd.factorize(_index(settled))
    if values.dtype.kind == "i":
        values = values.astype(np.int64)
    table = np.append(to_value, -1).astype(np.int32)  # the last entry serves the code -1
    return Column(name, table[codes], values)


def whole_numbers(values: pa.Array) -> tuple[pa.Array, str | None]:
    """(`values` as int64, null where they are no whole numbers; a fraction, if there is one)."""
    if pa.types.is_null(values.type) or _is_text(values.type):
        texts = values.cast(pa.string())
        whole = pc.match_substring_regex(texts, WHOLE)
        strange = pc.filter(texts, pc.invert(whole))
        fractions = pc.filter(strange, pc.match_substring_regex(strange, r"^-?\d+\.\d*[1-9]\d*$"))
        numbers = _from_texts(pc.if_else(whole, texts, None))
        return numbers, fractions[0].as_py() if len(fractions) else None
    if pa.types.is_floating(values.type):
        held = pc.if_else(pc.is_finite(values), values, None)
        strange = pc.filter(held, pc.not_equal(held, pc.floor(held)))
        if len(strange):
            return pa.nulls(len(held), pa.int64()), str(strange[0].as_py())
        return held.cast(pa.int64()), None
    return values.cast(pa.int64()), None


def _settled(values: pa.Array, missing: Sequence[str]) -> pa.Array:
    """Distinct values as int64, float64 or texts, null where they stand for missing."""
    if pa.types.is_floating(values.type):
        if not _all_whole(values):
            return values
        values = values.cast(pa.int64())
    texts = values.cast(pa.string())
    void = pc.is_in(texts, value_set=pa.array(["", *missing], pa.string()))
    if pa.types.is_integer(values.type):
        return pc.if_else(void, None, values)
    texts = pc.if_else(void, None, texts)
    if texts.null_count == len(texts):
        return texts
    if _all(texts, WHOLE):
        return _from_texts(texts)
    if _all(texts, NUMBER):
        numbers = texts.cast(pa.float64())
        # Without a fraction they are texts such as 1e5, which can be part of a hash.
        return texts if _all_whole(numbers) else numbers
    return texts


def _from_texts(texts: pa.Array) -> pa.Array:
    """Texts that match `WHOLE` as int64."""
    return pc.replace_substring_regex(texts, r"\.0*$", "").cast(pa.int64())


def _all_whole(numbers: pa.Array) -> bool:
    return bool(pc.all(pc.equal(numbers, pc.floor(numbers)), min_count=0).as_py())


def _all(texts: pa.Array, pattern: str) -> bool:
    """Whether all texts that are not missing match."""
    return bool(pc.all(pc.match_substring_regex(texts, pattern), min_count=0).as_py())


def _index(values: pa.Array) -> "pd.Index[int | float | str]":
    """As pandas has it; numbers with gaps stay exact."""
    if pa.types.is_integer(values.type):
        numbers: pd.Index[int] = pd.Index(values.to_pandas(types_mapper={pa.int64(): "Int64"}.get))
        return numbers
    return pd.Index(values.to_pandas())


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )
