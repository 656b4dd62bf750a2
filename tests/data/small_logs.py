"""Small logs and sources for the tests of the data layer."""

from typing import Any

import pandas as pd
from hypothesis import strategies as st

from rokkit.data import (
    CutPoints,
    EventLog,
    ImpressionLog,
    LogField,
    Negatives,
    Origin,
    PerUser,
    Shares,
)

FIELDS = (
    LogField("user", "user"),
    LogField("item", "item"),
    LogField("cat", "item"),
    LogField("shop", "context"),
)
CATEGORY = {10: "x", 11: "y", 12: "y", 13: "x"}
CUTS = CutPoints(train=10, val=20, test=30)


def origin(rows: int) -> Origin:
    return Origin(licence="none", licence_note="made for a test", rows_read=rows)


def frame(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Rows of (user, item, shop, time[, label])."""
    names = ["user", "item", "shop", "time", "label"][: len(rows[0])]
    table = pd.DataFrame(rows, columns=names)
    table["cat"] = [CATEGORY[item] for item in table["item"]]
    return table


def event_log(rows: list[tuple[Any, ...]], share: float = 0.5, split: Any = CUTS) -> EventLog:
    return EventLog(
        frame=frame(rows),
        fields=FIELDS,
        retrieval=("user", "item"),
        time="time",
        time_unit="ticks",
        split=split,
        negatives=Negatives(history_share=share),
        origin=origin(len(rows)),
    )


def impression_log(rows: list[tuple[Any, ...]], split: Any = None) -> ImpressionLog:
    return ImpressionLog(
        frame=frame(rows),
        fields=FIELDS,
        retrieval=("user", "item"),
        time="time",
        time_unit="ticks",
        split=split or PerUser(Shares()),
        label="label",
        origin=origin(len(rows)),
    )


# (user, item, shop, time), not in time order; rows 0, 2 and 3 share a time.
HAND_EVENTS: list[tuple[Any, ...]] = [
    ("b", 11, 1, 5),
    ("a", 10, 1, 1),
    ("a", 12, 2, 5),
    ("a", 10, 1, 5),
    ("b", 10, 1, 12),
    ("a", 11, 2, 13),
    ("b", 12, 1, 22),
    ("a", 13, 1, 31),
]


@st.composite
def event_rows(draw: st.DrawFn, distinct_times: bool = False) -> list[tuple[Any, ...]]:
    """Random purchases with at least one row in each part of `CUTS`."""
    users = draw(st.integers(1, 4))
    times = draw(st.lists(st.integers(0, 39), min_size=4, max_size=40, unique=distinct_times))
    times += [t for t in (5, 15, 25, 35) if t not in times]
    times = draw(st.permutations(times))
    some = st.tuples(
        st.sampled_from("abcd"[:users]), st.sampled_from(sorted(CATEGORY)), st.integers(1, 3)
    )
    return [(*draw(some), time) for time in times]


@st.composite
def impression_rows(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Random ratings; every user has at least 20, both labels in turn."""
    rows = []
    for user in "abc"[: draw(st.integers(1, 3))]:
        for i in range(draw(st.integers(20, 30))):
            item = draw(st.sampled_from(sorted(CATEGORY)))
            rows.append((user, item, draw(st.integers(1, 2)), draw(st.integers(0, 9)), i % 2))
    return draw(st.permutations(rows))
