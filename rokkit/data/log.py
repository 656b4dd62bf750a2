"""A raw log: what a source hands over, and what becomes of it under a protocol.

Two kinds exist. An `ImpressionLog` says of every row whether it was a positive. An `EventLog` holds
only what happened, so negatives are drawn for it.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rokkit.data.negatives import Negatives
from rokkit.data.schema import Role
from rokkit.data.splits import Split
from rokkit.errors import DataError, unknown_name


@dataclass(frozen=True)
class LogField:
    """One categorical column of a log, and what it is for."""

    name: str
    role: Role


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a log comes from; it is stored in the data card."""

    licence: str
    licence_note: str
    rows_read: int
    dropped: tuple[tuple[str, int], ...] = ()  # (reason, rows)
    repaired: tuple[tuple[str, int], ...] = ()  # (what was repaired or is odd but kept, rows)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Log:
    """Rows in file order: raw values, roles, times and the way the rows are split.

    `frame` has a column per field (integers, texts or categories; a missing value is a value of its
    own) and the integer column `time`. Rows of equal time keep the order of the frame; with
    `ties="user"` they go by user first, so that only the order of one user's rows of one moment
    can matter.

    Raises DataError if the frame is empty, lacks a column or holds times that are not integers.
    """

    kind: ClassVar[Literal["impressions", "events"]]

    frame: pd.DataFrame
    fields: tuple[LogField, ...]
    retrieval: tuple[str, ...]
    time: str
    time_unit: str
    split: Split
    origin: Origin
    ties: Literal["file", "user"] = "file"

    def __post_init__(self) -> None:
        for name in (*(f.name for f in self.fields), self.time):
            self._require_column(name)
        if len(self.frame) == 0:
            raise DataError(
                "the log is empty. Expected at least one row in each of pool, train, val and test; "
                "look at the raw file and at what the source drops."
            )
        self.times()

    def times(self) -> NDArray[np.int64]:
        """[N]: the time of each row, in `time_unit`."""
        return _integers(self.frame[self.time], "time")

    def _require_column(self, name: str) -> None:
        if name not in self.frame.columns:
            known = [str(c) for c in self.frame.columns]
            raise DataError("the log lacks a column: " + unknown_name("column", name, known))


@dataclass(frozen=True, kw_only=True)
class ImpressionLog(Log):
    """A log with a label per row; nothing is sampled."""

    kind = "impressions"

    label: str  # column of 0 and 1

    def __post_init__(self) -> None:
        self._require_column(self.label)
        super().__post_init__()
        self.labels()

    def labels(self) -> NDArray[np.int8]:
        """[N]: 0 or 1. DataError for anything else."""
        values = _integers(self.frame[self.label], "label")
        strange = np.setdiff1d(values, [0, 1])
        if len(strange):
            raise DataError(
                f"label column {self.label!r} holds {strange[0]}; expected 0 and 1 only. "
                "Turn the raw value into a label in the source."
            )
        return values.astype(np.int8)


@dataclass(frozen=True, kw_only=True)
class EventLog(Log):
    """A log of positives; one negative per positive is drawn as `negatives` says."""

    kind = "events"

    negatives: Negatives = field(default_factory=Negatives)


def _integers(column: "pd.Series[Any]", what: str) -> NDArray[np.int64]:
    """The column as int64; DataError that shows the first value that is no whole number."""
    whole_type = column.dtype == bool or pd.api.types.is_integer_dtype(column.dtype)
    if whole_type and not column.isna().any():
        exact: NDArray[np.int64] = column.to_numpy(np.int64)
        return exact
    numbers: NDArray[np.float64]
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    # Only true numbers count: a text "12" may hide texts that cannot be read.
    whole = np.isfinite(numbers) & (np.floor(numbers) == numbers)
    if not pd.api.types.is_numeric_dtype(column.dtype):
        whole[:] = False
    bad = np.flatnonzero(~whole)
    if len(bad):
        raise DataError(
            f"{what} column {column.name!r} (type {column.dtype}) holds "
            f"{column.iloc[int(bad[0])]!r} in row {int(bad[0])}; expected whole numbers without "
            "gaps. Convert the column in the source."
        )
    return numbers.astype(np.int64)
