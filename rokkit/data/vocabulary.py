"""From raw values to ids: sorted values of each field, numbered through over all fields."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rokkit.data.log import LogField
from rokkit.data.raw_values import Vocabulary
from rokkit.data.schema import Field
from rokkit.errors import DataError
from rokkit.files import release, slices

SLICE = 4_000_000  # rows looked at in one go, so that a pass needs little memory of its own
WIDEST_TABLE = 1 << 27  # a table of all numbers from the lowest to the highest value fits in 512 MB


def encode(
    frame: pd.DataFrame, fields: tuple[LogField, ...]
) -> tuple[NDArray[np.int32], list[Vocabulary]]:
    """(x [N, F] global ids, a vocabulary per field) of the rows of `frame`.

    Ids start at 1 and run through the fields in their order; inside a field they follow the sorted
    raw values (numbers by size, texts by code point), so they do not depend on the order of rows.
    A missing value (None, NaN, empty text) is one more value, numbered last. Each column of x is
    contiguous.

    RIM, `feateng.py`: the vocabulary covers the whole file, so nothing is out of vocabulary.

    DEVIATION(§5.1.1): ids follow the sorted values, because the order of a set of strings, which
    RIM numbers, differs from run to run.
    """
    x: NDArray[np.int32] = np.empty((len(frame), len(fields)), np.int32, order="F")
    vocabularies = []
    offset = 1
    for column, spec in enumerate(fields):
        values = _encode(frame[spec.name], x[:, column])
        x[:, column] += offset
        field = Field(name=spec.name, role=spec.role, offset=offset, size=len(values))
        vocabularies.append(Vocabulary(field, values))
        offset = field.stop
    return x, vocabularies


def _encode(column: "pd.Series[Any]", codes: NDArray[np.int32]) -> tuple[str | int | None, ...]:
    """The sorted values; writes the position of each row's value among them into `codes` [N]."""
    if column.dtype == np.int64:
        raw = column.to_numpy()
        distinct = _encode_integers(raw, codes)
        release(raw)
        return tuple(distinct.tolist())
    found, values = _factorize(column)
    codes[:] = found
    return values


def _encode_integers(values: NDArray[np.int64], codes: NDArray[np.int32]) -> NDArray[np.int64]:
    """As `_encode`, in slices and without a hash table where the numbers lie close together."""
    low, high = int(values.min()), int(values.max())
    parts = list(slices(len(values), SLICE))
    if high - low < WIDEST_TABLE:
        seen = np.zeros(high - low + 1, bool)
        for rows in parts:
            seen[values[rows] - low] = True
        distinct = np.flatnonzero(seen) + low
        rank = np.cumsum(seen, dtype=np.int32)
        for rows in parts:
            codes[rows] = rank[values[rows] - low] - 1
    else:
        distinct = np.sort(pd.unique(values))
        for rows in parts:
            codes[rows] = np.searchsorted(distinct, values[rows])
    return distinct


def _factorize(
    column: "pd.Series[Any]",
) -> tuple[NDArray[np.int32], tuple[str | int | None, ...]]:
    """(position of each row's value among the sorted values [N], the values)."""
    try:
        codes, uniques = pd.factorize(column, use_na_sentinel=True)
    except TypeError as error:
        raise _unreadable(column, f"values that cannot be compared ({error})") from None
    values: list[Any] = [_plain(column, value) for value in uniques]
    kinds = {type(value) for value in values} - {type(None)}
    if len(kinds) > 1:
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise _unreadable(column, f"values of the types {names}")
    order = sorted((i for i, v in enumerate(values) if v is not None), key=values.__getitem__)
    ranks = np.empty(len(values) + 1, np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    # The last entry serves the code -1, which is how factorize marks a missing value.
    empty = [i for i, v in enumerate(values) if v is None]
    ranks[[*empty, -1]] = len(order)
    found = [values[i] for i in order]
    if empty or (codes < 0).any():
        found.append(None)
    return ranks[codes], tuple(found)


def _plain(column: "pd.Series[Any]", value: Any) -> str | int | None:
    """A raw value as a text, an int or None; DataError if it is none of these."""
    if isinstance(value, str):
        return str(value) or None
    if isinstance(value, (bool, np.bool_, int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        # A join with missing rows turns whole numbers into floats; fractions are measurements.
        if float(value).is_integer():
            return int(value)
        raise _unreadable(column, f"the fraction {float(value)!r}")
    raise _unreadable(column, f"{value!r} ({type(value).__name__})")


def _unreadable(column: "pd.Series[Any]", found: str) -> DataError:
    return DataError(
        f"field {column.name!r} (type {column.dtype}) holds {found}; expected texts or whole "
        "numbers of one type. Convert or bucket the column in the source."
    )
