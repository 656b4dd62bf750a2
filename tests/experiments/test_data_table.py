"""Table 1 and what the data figures draw, by hand from a small data set."""

from pathlib import Path

import numpy as np
import pytest
from small_study import settle

from rokkit.data import Samples, load
from rokkit.experiments import (
    card_table,
    cuts,
    data_table,
    events_frame,
    history_frame,
    long_tail_frame,
    paper,
    parts_table,
)


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Samples:
    """20 users of 40 rows each, split per user into 28, 6, 2 and 4."""
    settle(tmp_path, monkeypatch)
    return load("small")


def test_ours_stands_above_the_papers(samples: Samples) -> None:
    table = data_table(samples)
    assert table.frame.iloc[0].tolist() == ["small", "here", 20, 12, 800, 4, 44]
    assert table.frame["From"].tolist() == ["here", "paper", "paper", "paper"]
    assert table.frame["Data set"].tolist()[1:] == list(paper.DATASETS)
    assert table.frame.iloc[1].tolist()[2:] == [424_170, 1_090_390, 54_925_331, 9, 1_529_676]
    assert table.texts()[1][4] == "54,925,331"
    assert len(table.notes) == 2


def test_parts(samples: Samples) -> None:
    frame = parts_table(samples).frame.set_index("Part")
    assert frame["Rows"].to_dict() == {"pool": 560, "train": 120, "val": 40, "test": 80}
    assert frame["Users"].tolist() == [20] * 4
    assert frame["First"].tolist() == [0, 28, 34, 36]
    assert frame["Last"].tolist() == [27, 33, 35, 39]
    for name in frame.index:
        assert frame.at[name, "Positive rate"] == np.mean(samples.part(name).y)


def test_the_card_says_where_the_rows_come_from(samples: Samples) -> None:
    rows = card_table(samples).frame.to_numpy().tolist()
    for row in (
        ["data set", "small"],
        ["licence", "none"],
        ["", "made for a test"],
        ["rows read", "800"],
        ["dropped", "3: torn lines"],
    ):
        assert row in rows
    options = dict(map(tuple, rows))["options"]
    assert "rows=40" in options
    assert "noise=0.1" in options
    lengths = np.diff(samples.history.offsets)
    history = dict(map(tuple, rows))["history"]
    assert history.startswith(f"mean {lengths.mean():.1f}, median {np.median(lengths):.0f}, ")
    assert history.endswith("empty 0.0%")


def test_slices_of_time_hold_every_row_once(samples: Samples) -> None:
    frame = events_frame(samples, bins=40)
    assert frame.groupby("part")["samples"].sum().to_dict() == {
        "pool": 560,
        "train": 120,
        "val": 40,
        "test": 80,
    }
    assert (frame["samples"] == 20).all()  # each user has one row at each time
    assert frame["time"].tolist() == list(range(40))
    assert len(events_frame(samples, bins=1)) == 4


def test_cuts_are_the_first_times_of_the_targets(samples: Samples) -> None:
    assert cuts(samples) == {"train": 28.0, "val": 34.0, "test": 36.0}


def test_the_long_tail_counts_pool_rows_of_each_item(samples: Samples) -> None:
    """Kills: counts over all parts, of users, or in ascending order."""
    frame = long_tail_frame(samples)
    _, counts = np.unique(samples.pool.x[:, 1], return_counts=True)
    assert frame["rank"].tolist() == list(range(1, 13))
    assert frame["rows"].tolist() == sorted(counts.tolist(), reverse=True)
    assert frame["rows"].sum() == 560


def test_the_history_frame_ends_at_one(samples: Samples) -> None:
    frame = history_frame(samples)
    lengths = np.diff(samples.history.offsets)
    assert lengths.sum() == samples.pool.y.sum()
    assert frame["share"].iloc[-1] == 1.0
    for length, share in frame.itertuples(index=False):
        assert share == np.mean(lengths <= length)
