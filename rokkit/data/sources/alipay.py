"""Alipay (IJCAI-16): five months of clicks and purchases, which are Taobao's in truth."""

from dataclasses import dataclass
from pathlib import Path

from rokkit.data.raw.calendar import half_month, is_year_month_day, season
from rokkit.data.sources.base import register_source
from rokkit.data.sources.tianchi import Format, Tianchi, TianchiOptions, default_place

FORMAT = Format(
    file="ijcai2016_taobao.csv",
    columns={
        "user": "use_ID",
        "seller": "sel_ID",
        "item": "ite_ID",
        "category": "cat_ID",
        "action": "act_ID",
        "time": "time",
    },
    item=("item", "seller", "category"),
    retrieval=("user", "seller", "item", "category"),
    actions=("0", "1"),  # click, buy
    click="0",
    ubr_clicks_only=True,
    ubr_history_share=0.8,
    time_unit="date yyyymmdd",
    is_time=is_year_month_day,
    usual=(20150701, 20151130),
    calendar={"season": season, "half_month": half_month},
    remedy=(
        "Download IJCAI16_data.zip (Tianchi, data set 53) and put it into data/raw/alipay, or say "
        "path=<its folder, zip or file>."
    ),
    published={
        "rows": 44_528_127,
        "user": 963_923,
        "item": 2_353_207,
        "seller": 10_000,
        "category": 72,
        "action": 2,
    },
)


@dataclass(frozen=True, kw_only=True)
class AlipayOptions(TianchiOptions):
    """Cuts are 20, 24 and 25 November 2015; RIM has the first and last."""

    train_from: int = 20151120
    val_from: int = 20151124
    test_from: int = 20151125
    idcat_negatives: bool = False  # negatives keep the seller of their positive: a leak


@register_source("alipay", title="Alipay (IJCAI-16): five months of one million users (yours)")
class Alipay(Tianchi):
    """Fields: user; the item tuple item, seller, category; the context field action.

    Retrieval matches user, seller, item and category, as RIM does. The publisher took 1 to 20
    November out, so three weeks lie between pool and train.
    """

    Options = AlipayOptions
    format = FORMAT

    def place(self, options: AlipayOptions) -> Path:
        """See `Tianchi.place`."""
        return default_place("alipay", options.path)

    def negative_fields(self, options: AlipayOptions) -> tuple[str, ...] | None:
        """See `Tianchi.negative_fields`."""
        return ("item", "category") if options.idcat_negatives else None
