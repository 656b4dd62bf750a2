"""Taobao (UserBehavior): nine days of page views, carts, favourites and purchases."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rokkit.data.raw.calendar import weekend
from rokkit.data.sources.base import register_source
from rokkit.data.sources.tianchi import Format, Tianchi, TianchiOptions, default_place

FORMAT = Format(
    file="UserBehavior.csv",
    columns={
        "user": "user_id",
        "item": "item_id",
        "category": "category_id",
        "action": "behavior",
        "time": "timestamp",
    },
    item=("item", "category"),
    retrieval=("user", "item", "category"),
    actions=("pv", "buy", "cart", "fav"),
    click="pv",
    ubr_clicks_only=True,
    ubr_history_share=0.5,
    time_unit="seconds since 1970-01-01 UTC",
    is_time=lambda time: np.ones(len(time), bool),  # any number is a moment
    usual=(1511539200, 1512316799),  # 25 November to 3 December 2017 in China
    calendar={"weekend": weekend},
    remedy=(
        "Download UserBehavior.csv.zip (Tianchi, data set 649) and put it into data/raw/taobao, or "
        "say path=<its folder, zip or file>."
    ),
    published={
        "rows": 100_150_807,
        "user": 987_994,
        "item": 4_162_024,
        "category": 9_439,
        "action": 4,
    },
)


@dataclass(frozen=True, kw_only=True)
class TaobaoOptions(TianchiOptions):
    """Cuts are 2 December, 22 h of it, and 3 December 2017 (China); RIM has the first and last."""

    train_from: int = 1512144000
    val_from: int = 1512223200
    test_from: int = 1512230400


@register_source("taobao", title="Taobao UserBehavior: nine days of one million users (yours)")
class Taobao(Tianchi):
    """Fields: user; the item tuple item, category; the context field action.

    Retrieval matches user, item and category, as RIM does. The file is grouped by user and holds
    times from 1902 to 2037, which are kept, as RIM keeps them.
    """

    Options = TaobaoOptions
    format = FORMAT

    def place(self, options: TaobaoOptions) -> Path:
        """See `Tianchi.place`."""
        return default_place("taobao", options.path)
