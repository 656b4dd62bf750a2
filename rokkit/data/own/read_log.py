"""From a table and its schema to a log: rows that cannot be used are dropped and counted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rokkit.data.log import EventLog, ImpressionLog, Log, Origin
from rokkit.data.negatives import Negatives
from rokkit.data.own.columns import Column, encoded, joined
from rokkit.data.own.given import GivenEventLog, GivenImpressionLog, GivenParts
from rokkit.data.own.labels import NO_LABEL, UNREADABLE, labels, matches
from rokkit.data.own.schema import DrawnNegatives, OwnSchema, PartValues, SplitByColumn, SplitByTime
from rokkit.data.own.splits import require_cuts_inside, split_of
from rokkit.data.own.table import Table
from rokkit.data.own.times import EXPECTED, TIME_UNITS, read_times
from rokkit.data.samples import PARTS
from rokkit.data.splits import CutPoints, Split
from rokkit.errors import DataError
from rokkit.paths import shown

VALUES_SHOWN = 5  # of the split column, in the reasons why rows were dropped


def read_log(schema: OwnSchema, table: Table) -> Log:
    """The rows of `table`. DataError or ConfigError if they do not fit `schema`."""
    raw = _Raw.read(schema, table)
    drop = _Drop(len(raw.time))
    drop(raw.columns[schema.user].codes < 0, f"no {schema.user} (the user)")
    drop(raw.columns[schema.item[0]].codes < 0, f"no {schema.item[0]} (the item)")
    drop(~raw.has_time, f"no {schema.time.column} (the time)")
    drop(~raw.readable, f"unreadable {schema.time.column} (unit: {schema.time.unit})")
    numbers: dict[str, NDArray[Any]] = {schema.time.column: raw.time}
    if schema.label is not None:
        name = schema.label.column
        numbers[name] = labels(raw.columns.pop(name), schema.label)
        drop(numbers[name] == NO_LABEL, f"no {name} (the label)")
        drop(numbers[name] == UNREADABLE, f"unreadable {name} (the label)")
    if isinstance(schema.split, SplitByColumn):
        column = raw.columns.pop(schema.split.column)
        numbers[column.name] = _parts(column, schema.split.values, drop)
    drop.require_rows(table)

    columns: dict[str, Any] = {}
    notes = []
    for field in schema.fields:
        held = raw.columns.pop(field.name)
        held.require_ids()
        gaps = int((held.codes[drop.keep] < 0).sum())
        if gaps:
            notes.append(f"{gaps:,} rows have no {field.name}; missing is a value of its own.")
        columns[field.name] = held.rows(drop.keep)
    frame = pd.DataFrame(columns | {name: held[drop.keep] for name, held in numbers.items()})
    if table.malformed:
        drop.dropped["malformed lines, with another number of fields"] = table.malformed
    further = table.further_lines(len(raw.time))
    if further > 0:
        notes.append(
            f"{further:,} lines are empty or lie inside quoted texts. A stray quote swallows the "
            "lines up to the next one; csv: {quotes: false} takes quotes as they are."
        )
    return _log(schema, frame, _origin(schema, table.malformed + len(raw.time), drop, notes))


@dataclass
class _Raw:
    """What the file holds: every column but the time as codes."""

    columns: dict[str, Column]
    time: NDArray[np.int64]  # [N] in the unit of TIME_UNITS
    has_time: NDArray[np.bool_]  # [N]
    readable: NDArray[np.bool_]  # [N] whether the time is

    @classmethod
    def read(cls, schema: OwnSchema, table: Table) -> "_Raw":
        """Read `table` piece by piece; DataError if it has no rows or no readable time."""
        names = [column for role, column in schema.roles() if role != "time"]
        pieces: dict[str, list[pa.DictionaryArray]] = {name: [] for name in names}
        time, has_time, readable = [], [], []
        strange: str | None = None
        for piece in table.pieces([*names, schema.time.column]):
            for name in names:
                pieces[name].append(encoded(piece.column(name), name))
            held, there = _without_missing(piece.column(schema.time.column), schema)
            times = read_times(held, schema.time.unit, schema.time.column)
            if strange is None and (there & ~times.readable).any():
                strange = str(held[int(np.argmax(there & ~times.readable))].as_py())
            time.append(times.values)
            has_time.append(there)
            readable.append(times.readable)
        if sum(map(len, time)) == 0:
            lines = f" but {table.malformed} malformed lines" if table.malformed else ""
            raise DataError(
                f"events {shown(table.path)} has no rows{lines}.{table.example} Expected a header "
                "and rows; look at the csv settings of the schema."
            )
        found = cls({}, np.concatenate(time), np.concatenate(has_time), np.concatenate(readable))
        if not found.readable.any():
            raise DataError(
                f"no time can be read: column {schema.time.column!r} "
                + (f"holds {strange!r}" if strange else "is empty")
                + f"; unit: {schema.time.unit} expects {EXPECTED[schema.time.unit]}. Correct "
                "time.unit or the column."
            )
        for name in names:
            found.columns[name] = joined(pieces.pop(name), name, schema.missing)
        return found


class _Drop:
    """Which rows are kept, and why the others are not: a row counts for its first reason."""

    def __init__(self, rows: int) -> None:
        self.keep = np.ones(rows, bool)
        self.dropped: dict[str, int] = {}

    def __call__(self, rows: NDArray[np.bool_], reason: str) -> None:
        n = int((rows & self.keep).sum())
        if n:
            self.dropped[reason] = n
            self.keep &= ~rows

    def require_rows(self, table: Table) -> None:
        """Raise DataError if nothing is kept."""
        if not self.keep.any():
            reasons = "; ".join(f"{n:,}: {reason}" for reason, n in self.dropped.items())
            raise DataError(
                f"no row of {shown(table.path)} can be used ({reasons}). Look at the columns that "
                "the schema names, and at what it takes for missing."
            )


def _without_missing(values: pa.Array, schema: OwnSchema) -> tuple[pa.Array, NDArray[np.bool_]]:
    """(a piece of the time column, which of its rows hold something)."""
    if pa.types.is_temporal(values.type):
        return values, values.is_valid().to_numpy(zero_copy_only=False)
    coded = encoded(values, schema.time.column)
    texts = coded.dictionary.cast(pa.string())
    void = pc.is_in(texts, value_set=pa.array(["", *schema.missing], pa.string()))
    there = np.append(~void.to_numpy(zero_copy_only=False), False)
    return coded, there[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]


def _parts(column: Column, wanted: PartValues, drop: _Drop) -> NDArray[np.int8]:
    """[N]: index into PARTS; rows that are in none are dropped."""
    table = np.full(len(column.values) + 1, -1, np.int8)  # the last entry serves the code -1
    for code, part in enumerate(PARTS):
        where = f"split.values.{part} (column {column.name!r})"
        table[:-1][matches(column.values, wanted.of(part), where)] = code
    drop(column.codes < 0, f"no {column.name} (the part)")
    outside = np.flatnonzero(table[:-1] < 0)
    for code in outside[:VALUES_SHOWN]:
        drop(column.codes == code, f"{column.name} is {column.values[code]!s}, which is no part")
    found = table[column.codes]
    drop(found < 0, f"{column.name} has another value that is no part")
    return found


def _log(schema: OwnSchema, frame: pd.DataFrame, origin: Origin) -> Log:
    shared: dict[str, Any] = {
        "fields": schema.fields,
        "retrieval": schema.retrieval_fields,
        "time": schema.time.column,
        "time_unit": TIME_UNITS[schema.time.unit],
        "origin": origin,
        "ties": "user",
    }
    if schema.label is None:
        drawn = schema.negatives or DrawnNegatives()
        shared["negatives"] = Negatives(history_share=drawn.history_share)
    else:
        shared["label"] = schema.label.column
    times = frame[schema.time.column].to_numpy()
    if isinstance(schema.split, SplitByColumn):
        part = frame[schema.split.column].to_numpy()
        # So that a user's rows of one moment lie in the order of their parts.
        frame = frame.iloc[np.argsort(part, kind="stable")]
        given = GivenEventLog if schema.label is None else GivenImpressionLog
        unset = GivenParts("user", *(np.empty(0, np.int64),) * 2, np.empty(0, np.int8))
        return given(frame=frame, split=unset, part=schema.split.column, **shared)
    rule: Split = split_of(schema.split, schema)
    if isinstance(schema.split, SplitByTime) and isinstance(rule, CutPoints):
        require_cuts_inside(schema.split, rule, times)
    kind = EventLog if schema.label is None else ImpressionLog
    return kind(frame=frame, split=rule, **shared)


def _origin(schema: OwnSchema, rows: int, drop: _Drop, notes: list[str]) -> Origin:
    told = [f"Name: {schema.name}."] if schema.name else []
    if schema.label is not None:
        positive = "1" if schema.label.positive is None else schema.label.positive
        shown_rule = ", ".join(map(str, positive)) if isinstance(positive, tuple) else positive
        told.append(f"The label is 1 where {schema.label.column} is {shown_rule}.")
    return Origin(
        licence=schema.licence,
        licence_note=schema.licence_note,
        rows_read=rows,
        dropped=tuple(drop.dropped.items()),
        notes=(*told, *notes),
    )
