"""What the three public logs of the paper have in common: columns, dirt, and two protocols.

Tmall, Taobao and Alipay are event logs of one shop system, published on Tianchi. Their files are
read in batches into columns on disk, so their length does not matter.
"""

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rokkit.config import require
from rokkit.data.log import EventLog, LogField, Origin
from rokkit.data.negatives import Negatives
from rokkit.data.raw.csv import Layout, read_batches
from rokkit.data.raw.duplicates import count_duplicates
from rokkit.data.raw.numbers import MISSING, whole_numbers
from rokkit.data.raw.places import RawFile, find
from rokkit.data.raw.spool import Spool
from rokkit.data.raw.tally import Tally
from rokkit.data.sources.base import Source, SourceOptions, location
from rokkit.data.splits import CutPoints, LeaveLast, Split
from rokkit.paths import data_root

Mask = NDArray[np.bool_]
Times = NDArray[np.int64]

logger = logging.getLogger(__name__)

LICENCE = "research use, under the terms of Tianchi"
LICENCE_NOTE = (
    "The log belongs to Alibaba and is published on Tianchi for research. It may not be passed on; "
    "whoever uses it downloads it there and accepts its terms."
)


@dataclass(frozen=True, kw_only=True)
class TianchiOptions(SourceOptions):
    """Where the files lie, and which protocol of this line of work makes samples of them."""

    path: str | None = location()  # folder, zip or file; None: <data>/raw/<name>
    protocol: Literal["rim", "ubr"] = "rim"  # cuts in time; or each user's last three behaviours
    train_from: int  # rim: first time of train, in the log's own notation
    val_from: int
    test_from: int
    clicks_only: bool = False  # only clicks are events, and the action is no field
    history_negative_share: float | None = None  # of target negatives; None: the protocol's
    target_rate: float = 0.1  # RIM's; UBR uses all targets, so set it to 1 with protocol=ubr

    def __post_init__(self) -> None:
        super().__post_init__()
        share = self.history_negative_share
        if share is not None:
            require(0 <= share <= 1, "history_negative_share", share, "a probability from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Format:
    """One of the raw logs: its file, what its columns are, and what was published of it."""

    file: str
    columns: Mapping[str, str]  # field -> column of the file, in the file's order
    item: tuple[str, ...]  # the item tuple; its first field is the item
    retrieval: tuple[str, ...]
    actions: tuple[str, ...]  # the known values of the action column
    click: str
    ubr_clicks_only: bool
    ubr_history_share: float
    time_unit: str
    is_time: Callable[[Times], Mask]  # which times can be times at all
    usual: tuple[int, int]  # first and last time that the publisher's description allows
    calendar: Mapping[str, Callable[[Times], NDArray[np.int8]]]  # UBR's fields made of the time
    remedy: str  # where to get the file
    published: Mapping[str, int]  # rows, and the number of values of each field


@dataclass
class Attributes:
    """More fields of a row, such as a user's age: their values and how to look them up."""

    values: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    # (user [n], tally) -> codes [n] into `values`, -1 where missing, by field
    look_up: Callable[[Times, Tally], Mapping[str, NDArray[np.int8]]] = lambda user, tally: {}


class Tianchi(Source):
    """A raw log of Tianchi as an event log: every behaviour is a positive.

    An empty text is a value of its own (RIM): nothing is filled in. Repeated rows are repeated
    events. A row is dropped, and counted, only if it has no user or time, or a value that cannot be
    read. Rows of equal time and user keep the order of the file.

    Protocol `rim` (default): absolute cuts in time as RIM has them; validation is the last stretch
    of train. Half of the target negatives are from the user's history. Protocol `ubr`: each user's
    last three behaviours are train, val and test, users with fewer than four are left out, fields
    of the calendar take the place of the action.

    DEVIATION(§5.1.1): under `ubr` the pool gets a negative per positive, as under `rim`; UBR's
    database holds positives only, and a teacher that aggregates labels has nothing to learn there.
    """

    Options = TianchiOptions
    format: ClassVar[Format]

    def file(self, options: Any) -> RawFile:
        """The log itself, wherever it lies."""
        return find(self.place(options), self.format.file, self.format.remedy)

    @abstractmethod
    def place(self, options: Any) -> Path:
        """The folder, zip or file that the options name."""

    def files(self, options: Any) -> Mapping[str, Path]:
        """See `Source.files`."""
        return {self.format.file: self.file(options).path}

    def attributes(self, options: Any, tally: Tally) -> Attributes:
        """Fields that are not in the log itself."""
        return Attributes()

    def negative_fields(self, options: Any) -> tuple[str, ...] | None:
        """The item fields that a negative takes over; None: all."""
        return None

    def read(self, options: Any) -> EventLog:
        """See `Source.read`."""
        form, ubr, tally = self.format, options.protocol == "ubr", Tally()
        clicks = options.clicks_only or (ubr and form.ubr_clicks_only)
        attributes = self.attributes(options, tally)
        calendar = form.calendar if ubr else {}
        spool = Spool(
            {
                **dict.fromkeys((f for f in form.columns if f != "action"), np.int64),
                **dict.fromkeys(("action", *attributes.values, *calendar), np.int8),
            },
            data_root() / "samples",
        )
        layout = Layout(names=tuple(form.columns.values()))
        for batch in read_batches(self.file(options), layout, tally):
            rows = _rows(batch, form, tally)
            rows = _kept(rows, clicks, ubr, form, tally)
            rows |= attributes.look_up(rows["user"], tally)
            rows |= {name: of_time(rows["time"]) for name, of_time in calendar.items()}
            spool.append(rows)
        columns = spool.columns()
        tally.repair(
            "exact repeats of another row (kept: each is an event)", count_duplicates(columns)
        )
        known: dict[str, tuple[str, ...] | tuple[int, ...]]
        known = {"action": form.actions, **attributes.values}
        context = [*attributes.values, *calendar]
        if not (clicks or ubr):
            context.insert(0, "action")
        share = options.history_negative_share
        if share is None:
            share = form.ubr_history_share if ubr else 0.5
        return EventLog(
            frame=_frame(columns, known),
            fields=(
                LogField("user", "user"),
                *(LogField(name, "item") for name in form.item),
                *(LogField(name, "context") for name in context),
            ),
            retrieval=form.retrieval,
            time="time",
            time_unit=form.time_unit,
            split=_split(options),
            ties="user",
            negatives=Negatives(history_share=share, only=self._only(options)),
            origin=Origin(
                licence=LICENCE,
                licence_note=LICENCE_NOTE,
                rows_read=tally.rows,
                dropped=tally.dropped,
                repaired=tally.repaired,
                notes=_notes(form, tally.rows),
            ),
        )

    def _only(self, options: Any) -> tuple[str, ...] | None:
        only = self.negative_fields(options)
        if only is not None:
            logger.warning(
                "idcat_negatives is on: negatives keep the other item fields of their positive, "
                "which gives the label away. Use it only to see what that is worth."
            )
        return only


def default_place(name: str, path: str | None) -> Path:
    """The given path, or where the raw files of the data set `name` are looked for."""
    return data_root() / "raw" / name if path is None else Path(path).expanduser()


def _rows(batch: pa.RecordBatch, form: Format, tally: Tally) -> dict[str, NDArray[Any]]:
    """The readable rows of a batch, by field."""
    rows: dict[str, NDArray[Any]] = {}
    floats: dict[str, Mask] = {}
    keep = np.ones(len(batch), bool)

    def drop(reason: str, where: Mask) -> None:
        nonlocal keep
        tally.drop(reason, int((where & keep).sum()))
        keep = keep & ~where

    for name, column in form.columns.items():
        texts = batch.column(column)
        if name == "action":
            rows[name], floats[column] = _action_codes(texts, form.actions)
            drop(f"{column} is none of {', '.join(form.actions)}", rows[name] < 0)
            continue
        numbers = whole_numbers(texts)
        rows[name], floats[column] = numbers.values, numbers.floats
        drop(f"{column} is no whole number", numbers.unreadable)
        if name in ("user", "time"):
            drop(f"{column} is empty", numbers.missing)
        if name == "time":
            drop(f"{column} is no date", ~form.is_time(numbers.values))
    for column, found in floats.items():
        what = f"{column} written as a float, such as 12.0 (read as 12)"
        tally.repair(what, int((found & keep).sum()))
    return {name: values[keep] for name, values in rows.items()}


def _kept(
    rows: dict[str, NDArray[Any]], clicks: bool, ubr: bool, form: Format, tally: Tally
) -> dict[str, NDArray[Any]]:
    """The rows that the protocol makes events of."""
    keep = np.ones(len(rows["time"]), bool)
    if clicks:
        keep = rows["action"] == form.actions.index(form.click)
        tally.drop("behaviours other than clicks", int((~keep).sum()))
    first, last = form.usual
    early, late = keep & (rows["time"] < first), keep & (rows["time"] > last)
    if ubr:
        tally.drop(f"times before {first}, the first of the published span", int(early.sum()))
        keep &= ~early
        tally.repair(f"times after {last}, the last of the published span (kept)", int(late.sum()))
    else:
        tally.repair(
            f"times outside the published span {first} to {last} (kept as RIM does: early ones "
            "are in the pool, late ones in test)",
            int((early | late).sum()),
        )
    if keep.all():
        return rows
    return {name: values[keep] for name, values in rows.items()}


def _action_codes(texts: pa.Array, actions: tuple[str, ...]) -> tuple[NDArray[np.int8], Mask]:
    """(position among `actions` [n], -1 for anything else; which were written as floats [n])."""
    texts = pc.ascii_trim_whitespace(texts)
    codes = _positions(texts, actions)
    if (codes >= 0).all():
        return codes, np.zeros(len(codes), bool)
    whole = _positions(pc.replace_substring_regex(texts, r"^([0-9]+)\.0*$", r"\1"), actions)
    return whole, (codes < 0) & (whole >= 0)


def _positions(texts: pa.Array, values: tuple[str, ...]) -> NDArray[np.int8]:
    codes = pc.fill_null(pc.index_in(texts, pa.array(values)), -1)
    found: NDArray[np.int8] = codes.to_numpy(zero_copy_only=False).astype(np.int8)
    return found


def _frame(
    columns: dict[str, NDArray[Any]], values: Mapping[str, tuple[str, ...] | tuple[int, ...]]
) -> pd.DataFrame:
    """The columns as a frame, without copies where nothing is missing."""
    ready: dict[str, Any] = {}
    for name, column in columns.items():
        if name in values:
            ready[name] = pd.Categorical.from_codes(column, list(values[name]))
        elif column.dtype == np.int64 and len(column) and column.min() == MISSING:
            ready[name] = pd.arrays.IntegerArray(column, column == MISSING)
        elif column.dtype == np.int8:
            ready[name] = pd.Categorical.from_codes(column, range(int(column.max(initial=0)) + 1))
        else:
            ready[name] = column
    return pd.DataFrame(ready, copy=False)


def _split(options: Any) -> Split:
    if options.protocol == "ubr":
        return LeaveLast()
    return CutPoints(train=options.train_from, val=options.val_from, test=options.test_from)


def _notes(form: Format, rows_read: int) -> tuple[str, ...]:
    if rows_read == form.published["rows"]:
        return ()
    return (
        f"{form.file} has {rows_read:,} rows; the published file has {form.published['rows']:,}.",
    )
