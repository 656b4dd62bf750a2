"""The notations of a time column, and how they become whole numbers.

integer        whole numbers of any meaning, kept as they are
seconds        since 1970-01-01 UTC, kept
milliseconds   since 1970-01-01 UTC, kept
iso            dates or timestamps such as 2017-10-08 or 2017-10-08T11:30:00+02:00; seconds
               since 1970-01-01 UTC; fractions of a second are cut off, and a text without an
               offset is UTC
yyyymmdd       days such as 20171008; the first second of the day, UTC
"""

import datetime
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rokkit.data.own.columns import whole_numbers
from rokkit.data.own.schema import Unit, When
from rokkit.errors import ConfigError, DataError

SECONDS = "seconds since 1970-01-01 UTC"
TIME_UNITS: dict[Unit, str] = {  # as the data card says it
    "integer": "the log's own whole numbers",
    "seconds": SECONDS,
    "milliseconds": "milliseconds since 1970-01-01 UTC",
    "iso": SECONDS,
    "yyyymmdd": SECONDS,
}
EXPECTED: dict[Unit, str] = {
    "integer": "whole numbers",
    "seconds": "whole seconds since 1970-01-01 UTC",
    "milliseconds": "whole milliseconds since 1970-01-01 UTC",
    "iso": "dates such as 2017-10-08 or 2017-10-08T11:30:00",
    "yyyymmdd": "days such as 20171008",
}


@dataclass(frozen=True)
class Times:
    """Times of n rows."""

    values: NDArray[np.int64]  # [n] in the unit of `TIME_UNITS`; 0 where not readable
    readable: NDArray[np.bool_]  # [n]


def read_times(values: pa.Array, unit: Unit, column: str) -> Times:
    """The times of `values` [n]; missing ones count as not readable.

    DataError if the column's type does not go with `unit`, or for fractions of the unit.
    """
    if pa.types.is_dictionary(values.type):
        # A text is looked at once, however many rows have it.
        indices = values.indices.fill_null(0).to_numpy(zero_copy_only=False)
        distinct = read_times(values.dictionary, unit, column)
        held = values.is_valid().to_numpy(zero_copy_only=False)
        if not len(distinct.values):
            return Times(np.zeros(len(values), np.int64), held)
        return Times(distinct.values[indices], distinct.readable[indices] & held)
    if pa.types.is_temporal(values.type):
        return _of_timestamps(values, unit, column)
    if unit == "iso":
        if not _is_text(values.type):
            raise DataError(
                f"time column {column!r} is of type {values.type}; unit: iso expects "
                f"{EXPECTED[unit]}. Say which whole numbers these are: unit: seconds, "
                "milliseconds, yyyymmdd or integer."
            )
        return _of_dates(pd.DatetimeIndex(_parsed(values, "ISO8601")))
    numbers = _whole(values, unit, column)
    if unit == "yyyymmdd":
        return _of_days(numbers)
    return _of_numbers(numbers)


def read_cut(value: When, unit: Unit, name: str) -> int:
    """A cut as a time, written like the time column; ConfigError if it cannot be read."""
    written = value.isoformat() if isinstance(value, datetime.date) else value
    if isinstance(written, str) == (unit == "iso"):
        found = read_times(pa.array([written]), unit, name)
        if found.readable[0]:
            return int(found.values[0])
    raise ConfigError(
        f"{name} is {value!s}; expected it written like the time column (unit: {unit}), "
        f"{EXPECTED[unit]}."
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)
    )


def _whole(values: pa.Array, unit: Unit, column: str) -> pa.Array:
    """`values` as int64, null where they are no numbers; DataError for fractions."""
    numbers, fraction = whole_numbers(values)
    if fraction is not None:
        finer = {"seconds": "milliseconds, multiplied by 1000", "milliseconds": "seconds"}
        raise DataError(
            f"time column {column!r} holds the fraction {fraction}; unit: {unit} expects "
            f"{EXPECTED[unit]}. Round the column, or write it in {finer.get(unit, 'whole units')}."
        )
    return numbers


def _of_numbers(numbers: pa.Array) -> Times:
    readable = numbers.is_valid().to_numpy(zero_copy_only=False)
    return Times(numbers.fill_null(0).to_numpy(zero_copy_only=False), readable)


def _of_days(numbers: pa.Array) -> Times:
    distinct = numbers.dictionary_encode()
    eight = pc.and_(
        pc.greater_equal(distinct.dictionary, 1000_01_01),
        pc.less_equal(distinct.dictionary, 9999_12_31),
    )
    texts = pc.if_else(eight, distinct.dictionary, None).cast(pa.string())
    days = _of_dates(pd.DatetimeIndex(_parsed(texts, "%Y%m%d")))
    held = distinct.is_valid().to_numpy(zero_copy_only=False)
    if not len(days.values):
        return Times(np.zeros(len(numbers), np.int64), held)
    indices = distinct.indices.fill_null(0).to_numpy(zero_copy_only=False)
    return Times(days.values[indices], days.readable[indices] & held)


def _parsed(texts: pa.Array, form: str) -> pd.DatetimeIndex:
    values = pd.Index(texts.cast(pa.string()).to_pandas(), dtype="str")
    return pd.to_datetime(values, format=form, errors="coerce", utc=True)


def _of_dates(dates: pd.DatetimeIndex) -> Times:
    readable = ~np.asarray(dates.isna())
    micros = dates.as_unit("us").asi8
    return Times(np.where(readable, micros // 1_000_000, 0), readable)


def _of_timestamps(values: pa.Array, unit: Unit, column: str) -> Times:
    """Timestamps of a typed file; those with a time zone are held in UTC already."""
    kind = values.type
    if unit != "iso" or not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        raise DataError(
            f"time column {column!r} is of type {kind}; unit: {unit} expects {EXPECTED[unit]}. "
            "For dates and timestamps say unit: iso."
        )
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    micros = values.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    readable = values.is_valid().to_numpy(zero_copy_only=False)
    return Times(micros.fill_null(0).to_numpy(zero_copy_only=False) // 1_000_000, readable)
