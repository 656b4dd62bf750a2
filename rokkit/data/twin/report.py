"""What a twin holds: the truth that a reader of its files can be compared with."""

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from rokkit.data.twin.behaviour import Rows
from rokkit.data.twin.calendar import Calendar
from rokkit.data.twin.catalogue import Catalogue
from rokkit.data.twin.formats import BY_NAME
from rokkit.data.twin.lines import Lines
from rokkit.data.twin.options import TwinOptions
from rokkit.data.twin.sizes import Sizes

PARTS = ("pool", "train", "test")


@dataclass(frozen=True, kw_only=True)
class TwinReport:
    """Counts of the files as written; a line that breaks off counts as if it were whole."""

    files: dict[str, int]  # name -> bytes
    rows: int  # lines of the log, header apart
    users: int  # distinct, as are the next four
    items: int
    categories: int
    sellers: int  # 0: the format has none
    brands: int  # the missing brand is not one of them; 0: the format has none
    sessions: int
    repeats: int  # rows planted as a return to an item of the user's, before copies were made
    actions: dict[str, int]  # raw value -> rows
    parts: dict[str, int]  # pool, train, test by RIM's cut points -> rows
    burst: int  # rows of 11 November, where the format has that day
    time_first: int  # smallest raw time
    time_last: int
    dirt: dict[str, int]  # kind -> rows (brand, time, copies) or users (age, gender) hit
    options: dict[str, Any]  # all knobs

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return dataclasses.asdict(self)


class Tally:
    """Counts over blocks; memory grows with items, not with rows."""

    def __init__(self, options: TwinOptions, sizes: Sizes, calendar: Calendar) -> None:
        self.options = options
        self.sizes = sizes
        self.calendar = calendar
        self.items = np.zeros(sizes.items, np.bool_)
        self.categories = np.zeros(sizes.categories, np.bool_)
        self.sellers = np.zeros(sizes.sellers, np.bool_)
        self.brands = np.zeros(sizes.brands, np.bool_)
        self.actions = np.zeros(len(BY_NAME[options.format].actions), np.int64)
        self.parts = np.zeros(len(PARTS), np.int64)
        self.burst = 0
        self.rows = self.users = self.sessions = self.repeats = 0
        self.first, self.last = np.iinfo(np.int64).max, np.iinfo(np.int64).min
        self.dirt: Counter[str] = Counter()

    def add(self, rows: Rows, lines: Lines, catalogue: Catalogue) -> None:
        """Count a block."""
        self.rows += len(lines.user)
        self.users += int(rows.user[-1]) + 1
        self.sessions += int(rows.session[-1]) + 1
        self.repeats += int(rows.repeat.sum())
        self.items[lines.item] = True
        self.categories[lines.category] = True
        if len(self.sellers):
            self.sellers[catalogue.seller[lines.shelf]] = True
        if len(self.brands):
            self.brands[catalogue.brand[lines.shelf[lines.branded]]] = True
        self.actions += np.bincount(lines.action, minlength=len(self.actions))
        part = np.searchsorted(np.asarray(self.calendar.cuts), lines.time, side="right")
        self.parts += np.bincount(part, minlength=len(PARTS))
        if self.calendar.burst >= 0:
            self.burst += int((lines.time == self.calendar.codes[self.calendar.burst]).sum())
        self.first = min(self.first, int(lines.time.min()))
        self.last = max(self.last, int(lines.time.max()))
        self.dirt.update(lines.dirt)

    def report(self, files: dict[str, int]) -> TwinReport:
        """The counts so far."""
        raw = [value for value, _ in BY_NAME[self.options.format].actions]
        return TwinReport(
            files=files,
            rows=self.rows,
            users=self.users,
            items=int(self.items.sum()),
            categories=int(self.categories.sum()),
            sellers=int(self.sellers.sum()),
            brands=int(self.brands.sum()),
            sessions=self.sessions,
            repeats=self.repeats,
            actions=dict(zip(raw, self.actions.tolist(), strict=True)),
            parts=dict(zip(PARTS, self.parts.tolist(), strict=True)),
            burst=self.burst,
            time_first=self.first,
            time_last=self.last,
            dirt=dict(self.dirt),
            options=dataclasses.asdict(self.options),
        )
