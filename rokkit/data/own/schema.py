"""What the columns of a log of one's own are for, as its YAML file says it."""

import dataclasses
import datetime
from dataclasses import dataclass
from typing import Literal

from rokkit.config import require
from rokkit.data.log import LogField
from rokkit.data.samples import PARTS, PartName
from rokkit.errors import ConfigError, unknown_name

Scalar = str | int | float | bool
Scalars = Scalar | tuple[Scalar, ...]
When = int | str | datetime.date  # YAML makes dates of texts such as 2017-10-08
Unit = Literal["integer", "seconds", "milliseconds", "iso", "yyyymmdd"]


@dataclass(frozen=True, kw_only=True)
class TimeColumn:
    """Where the time of a row stands, and in which notation (see `own.times`)."""

    column: str
    unit: Unit


@dataclass(frozen=True, kw_only=True)
class LabelColumn:
    """Where the label of an impression stands, and which of its values are positive.

    `positive` is a value, a list of values, or a comparison with a number such as ">= 4"; without
    it the column has to hold 0 and 1.
    """

    column: str
    positive: Scalars | None = None


@dataclass(frozen=True, kw_only=True)
class DrawnNegatives:
    """How negatives of an event log are drawn (see `rokkit.data.Negatives`)."""

    history_share: float = 0.5

    def __post_init__(self) -> None:
        value = self.history_share
        require(0 <= value <= 1, "negatives.history_share", value, "a probability from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class SplitByTime:
    """First times of train, val and test, written as the time column writes them."""

    by: Literal["time"] = "time"
    train: When
    val: When
    test: When
    end: When | None = None  # first time that is no longer test; None: test takes the rest


@dataclass(frozen=True, kw_only=True)
class SplitByFraction:
    """Shares of the rows, cut at one moment for all or in each user's own time order."""

    by: Literal["fraction"] = "fraction"
    scope: Literal["global", "user"] = "global"
    pool: float = 0.7
    train: float = 0.15
    val: float = 0.05
    test: float = 0.1


@dataclass(frozen=True, kw_only=True)
class PartValues:
    """The values of a column that stand for each part."""

    pool: Scalars
    train: Scalars
    val: Scalars
    test: Scalars

    def of(self, part: PartName) -> tuple[Scalar, ...]:
        """The values that stand for `part`."""
        held: Scalars = getattr(self, part)
        return held if isinstance(held, tuple) else (held,)

    def __post_init__(self) -> None:
        taken: dict[str, str] = {}
        for part in PARTS:
            require(bool(self.of(part)), f"split.values.{part}", (), "at least one value")
            for value in self.of(part):
                if str(value) in taken:
                    raise ConfigError(
                        f"split.values: {value!r} stands for both {taken[str(value)]} and {part}; "
                        "a row can be in one part only."
                    )
                taken[str(value)] = part


@dataclass(frozen=True, kw_only=True)
class SplitByColumn:
    """A column that says which part a row is in; rows of other values are left out."""

    by: Literal["column"] = "column"
    column: str
    values: PartValues


@dataclass(frozen=True, kw_only=True)
class CsvOptions:
    """How a text file is written."""

    separator: str | None = None  # None: a tab in .tsv files, else a comma
    header: bool = True  # whether the first line names the columns
    columns: tuple[str, ...] = ()  # their names, where no line does
    encoding: str = "utf-8"
    quotes: bool = True  # whether "a, b" is one field; else quotes are characters like others

    def __post_init__(self) -> None:
        one = self.separator is None or len(self.separator) == 1
        require(one, "csv.separator", self.separator, "one character, such as ',' or '\\t'")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ConfigError(
                f"csv.encoding is {self.encoding!r}; expected a name that Python knows, such as "
                "utf-8, latin-1 or cp1252."
            ) from None
        if self.header and self.columns:
            raise ConfigError(
                "csv.columns names columns although the first line does. Set header: false if it "
                "holds data, or leave columns out."
            )
        if not self.header:
            named = "the names of all columns, since no line of the file names them"
            require(bool(self.columns), "csv.columns", self.columns, named)


@dataclass(frozen=True, kw_only=True)
class OwnSchema:
    """Columns, their roles, and how rows become samples. ConfigError if they do not fit together.

    A field of the samples has the name of its column.
    """

    user: str
    item: tuple[str, ...]  # the item tuple; the first column is the item itself
    time: TimeColumn
    kind: Literal["events", "impressions"]
    split: SplitByTime | SplitByFraction | SplitByColumn
    name: str = ""  # shown in the data card
    context: tuple[str, ...] = ()
    retrieval: tuple[str, ...] = ()  # fields that a query matches; () = user and item tuple
    label: LabelColumn | None = None
    negatives: DrawnNegatives | None = None
    licence: str = "not stated"
    licence_note: str = "Your own log: its terms are yours to know."
    missing: tuple[str, ...] = ()  # texts that mean missing, beside the empty one
    csv: CsvOptions = dataclasses.field(default_factory=CsvOptions)

    def __post_init__(self) -> None:
        require(bool(self.item), "item", (), "at least one column; the first is the item")
        self._require_kind()
        taken: dict[str, str] = {}
        for role, column in self.roles():
            if column in taken:
                raise ConfigError(
                    f"column {column!r} is both {taken[column]} and {role}. A column has one role: "
                    "remove it from one of them."
                )
            taken[column] = role
        names = [field.name for field in self.fields]
        for name in self.retrieval:
            if name not in names:
                raise ConfigError("retrieval: " + unknown_name("field", name, names))

    @property
    def fields(self) -> tuple[LogField, ...]:
        """The fields of the samples: user, item tuple, context."""
        return (
            LogField(self.user, "user"),
            *(LogField(name, "item") for name in self.item),
            *(LogField(name, "context") for name in self.context),
        )

    @property
    def retrieval_fields(self) -> tuple[str, ...]:
        """`retrieval`, or user and item tuple (RIM's query)."""
        return self.retrieval or (self.user, *self.item)

    @property
    def part_column(self) -> str | None:
        """The column that says which part a row is in, if one does."""
        return self.split.column if isinstance(self.split, SplitByColumn) else None

    def roles(self) -> list[tuple[str, str]]:
        """(role, column) of every column that is read."""
        found = [("user", self.user)]
        found += [("item", name) for name in self.item]
        found += [("context", name) for name in self.context]
        found.append(("time", self.time.column))
        if self.label is not None:
            found.append(("label", self.label.column))
        if self.part_column is not None:
            found.append(("split", self.part_column))
        return found

    def _require_kind(self) -> None:
        if self.kind == "impressions" and self.label is None:
            raise ConfigError(
                "kind is 'impressions', but no label is given. Add label: {column: ...}, or say "
                "kind: events if the log holds positives only."
            )
        if self.kind == "impressions" and self.negatives is not None:
            raise ConfigError(
                "negatives are drawn for kind: events only; this log has labels. Remove negatives."
            )
        if self.kind == "events" and self.label is not None:
            raise ConfigError(
                "kind is 'events', where every row is a positive, but a label is given. Say kind: "
                "impressions, or remove label."
            )
