"""Tmall (IJCAI-15): half a year of behaviours up to Double-11, with users' age and gender."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rokkit.data.raw.calendar import half_month, is_month_day, season
from rokkit.data.raw.csv import Layout, read_batches
from rokkit.data.raw.numbers import MISSING, whole_numbers
from rokkit.data.raw.places import RawFile, find
from rokkit.data.raw.tally import Tally
from rokkit.data.sources.base import register_source
from rokkit.data.sources.tianchi import (
    Attributes,
    Format,
    Tianchi,
    TianchiOptions,
    default_place,
)
from rokkit.errors import DataError

FORMAT = Format(
    file="user_log_format1.csv",
    columns={
        "user": "user_id",
        "item": "item_id",
        "category": "cat_id",
        "seller": "seller_id",
        "brand": "brand_id",
        "time": "time_stamp",
        "action": "action_type",
    },
    item=("item", "category", "seller", "brand"),
    retrieval=("user", "item", "category", "seller", "brand"),
    actions=("0", "1", "2", "3"),  # click, cart, buy, favourite
    click="0",
    ubr_clicks_only=False,
    ubr_history_share=0.5,
    time_unit="date mmdd",
    is_time=is_month_day,
    usual=(511, 1112),
    calendar={"season": season, "half_month": half_month},
    remedy=(
        "Download data_format1.zip (Tianchi, data set 42) and put it into data/raw/tmall, or say "
        "path=<its folder or zip>."
    ),
    published={
        "rows": 54_925_330,
        "user": 424_170,
        "item": 1_090_390,
        "category": 1_658,
        "seller": 4_995,
        "brand": 8_444,
        "action": 4,
        "age": 10,
        "gender": 4,
    },
)
USERS_FILE = "user_info_format1.csv"
USERS = Layout(names=("user_id", "age_range", "gender"))
ATTRIBUTES = {"age": "age_range", "gender": "gender"}
MOST_VALUES = 100  # of an attribute; the published file has ten


@dataclass(frozen=True, kw_only=True)
class TmallOptions(TianchiOptions):
    """Cuts are 1, 10 and 11 November; RIM has the first and last. Test is Double-11 and a day."""

    train_from: int = 1101
    val_from: int = 1110
    test_from: int = 1111
    idcat_negatives: bool = False  # negatives keep seller and brand of their positive: a leak


@register_source("tmall", title="Tmall (IJCAI-15): half a year up to Double-11 (yours)")
class Tmall(Tianchi):
    """Fields: user; the item tuple item, category, seller, brand; context: action, age, gender.

    Retrieval matches user, item, category, seller and brand, as RIM does. Age and gender come from
    the users' file; they are missing for a user without an entry or with an empty one.
    """

    Options = TmallOptions
    format = FORMAT

    def place(self, options: TmallOptions) -> Path:
        """See `Tianchi.place`."""
        return default_place("tmall", options.path)

    def files(self, options: TmallOptions) -> Mapping[str, Path]:
        """See `Source.files`."""
        return {**super().files(options), USERS_FILE: self._users_file(options).path}

    def negative_fields(self, options: TmallOptions) -> tuple[str, ...] | None:
        """See `Tianchi.negative_fields`."""
        return ("item", "category") if options.idcat_negatives else None

    def attributes(self, options: TmallOptions, tally: Tally) -> Attributes:
        """See `Tianchi.attributes`."""
        # No event is lost with a user's entry, so these are not among the rows dropped.
        of_users = Tally()
        table = _users(self._users_file(options), of_users)
        for what, rows in of_users.dropped:
            tally.repair(f"left out of {USERS_FILE}: {what}", rows)
        for what, rows in of_users.repaired:
            tally.repair(f"{USERS_FILE}: {what}", rows)
        values, codes = {}, {}
        for name, column in ATTRIBUTES.items():
            found, distinct = pd.factorize(table[column], sort=True, use_na_sentinel=True)
            if len(distinct) > MOST_VALUES:
                raise DataError(
                    f"{USERS_FILE} has {len(distinct)} values of {column}; expected a few. "
                    "Compare it with the original archive."
                )
            values[name] = tuple(int(value) for value in distinct)
            # The last entry serves users without an entry, whose place is -1.
            codes[name] = np.append(found, -1).astype(np.int8)
        index = pd.Index(table["user_id"].to_numpy(np.int64))

        def look_up(user: NDArray[np.int64], tally: Tally) -> Mapping[str, NDArray[np.int8]]:
            place = index.get_indexer(user)
            tally.repair(
                f"user without an entry in {USERS_FILE} (age and gender are missing)",
                int((place < 0).sum()),
            )
            return {name: of_entry[place] for name, of_entry in codes.items()}

        return Attributes(values, look_up)

    def _users_file(self, options: TmallOptions) -> RawFile:
        place = self.place(options)
        # A path to the log itself means the folder that it lies in.
        log = self.file(options)
        folder = place.parent if place.is_file() and log.member is None else place
        return find(folder, USERS_FILE, FORMAT.remedy)


def _users(file: RawFile, tally: Tally) -> pd.DataFrame:
    """The users' table, the first entry of each: user_id and nullable whole numbers."""
    frames = []
    for batch in read_batches(file, USERS, tally):
        columns: dict[str, Any] = {}
        drop = np.zeros(len(batch), bool)
        floats: dict[str, NDArray[np.bool_]] = {}
        for name in USERS.names:
            numbers = whole_numbers(batch.column(name))
            drop |= numbers.unreadable
            if name == "user_id":
                drop |= numbers.missing
            floats[name] = numbers.floats
            columns[name] = pd.arrays.IntegerArray(numbers.values, numbers.values == MISSING)
        tally.drop("entries that cannot be read", int(drop.sum()))
        for name, found in floats.items():
            what = f"{name} written as a float, such as 12.0 (read as 12)"
            tally.repair(what, int((found & ~drop).sum()))
        frames.append(pd.DataFrame(columns)[~drop])
    if not frames:
        return pd.DataFrame({name: pd.array([], dtype="Int64") for name in USERS.names})
    table = pd.concat(frames, ignore_index=True)
    first = table.drop_duplicates("user_id")
    tally.drop("second entries of a user", len(table) - len(first))
    return first
