"""Table 1 and what the data figures draw, by hand from a small data set."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_study import settle

from rokkit.data import Part, Samples, load
from rokkit.data.profile import profile
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
from rokkit.experiments.data_table import profile_table
from rokkit.experiments.references import reference_aucs


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


def test_the_profile_shows_test_and_val_each_by_label(samples: Samples) -> None:
    """Kills: columns exchanged; a row of another count."""
    table = profile_table(samples)
    frame = table.frame.set_index("Profile")
    assert list(frame.columns) == [
        "test",
        "test positives",
        "test negatives",
        "val",
        "val positives",
        "val negatives",
    ]
    held = profile(samples)
    rows = {
        "share: user without a row in the pool": "user_not_in_pool",
        "share: user without a row in pool or train": "user_not_in_pool_or_train",
        "share: user without a positive in the pool": "user_without_positive",
        "share: item without a row in the pool": "item_not_in_pool",
        "share: item without a row in pool or train": "item_not_in_pool_or_train",
        "share: item without a positive in the pool": "item_without_positive",
        "share: item in the user's history": "seen_before",
    }
    for row, field in rows.items():
        shares = [one.shares(getattr(one, field)) for one in (held.test, held.val)]
        assert frame.loc[row].tolist() == [*shares[0], *shares[1]]
    assert 0 < frame.at["share: item in the user's history", "test"] < 1
    for name, auc in reference_aucs(held.test).items():
        assert frame.at[f"AUC: {name}", "test"] == auc
        assert frame.at[f"AUC: {name}", "val"] == reference_aucs(held.val)[name]
        texts = table.texts()[list(frame.index).index(f"AUC: {name}")]
        assert texts[2:4] == texts[5:] == ["–", "–"]
    assert len(frame) == len(rows) + 2
    assert table.notes[0].startswith("An item is a value of 'item'.")


def test_cold_users_and_items_are_seen_in_the_profile(samples: Samples) -> None:
    pool = samples.pool
    kept = (pool.x[:, 0] != 1) & (pool.x[:, 1] != 21)  # the first user and the first item
    smaller = replace(samples, pool=Part(pool.x[kept], pool.y[kept], pool.time[kept]))
    smaller = replace(smaller, fingerprint="smaller")
    frame = profile_table(smaller).frame.set_index("Profile")
    test = samples.test
    rows = {"user": test.x[:, 0] == 1, "item": test.x[:, 1] == 21}
    for who, cold in rows.items():
        name = f"share: {who} without a row in the pool"
        assert frame.at[name, "test"] == cold.mean() > 0
        assert frame.at[name, "test positives"] == cold[test.y == 1].mean()
        assert frame.at[name, "test negatives"] == cold[test.y == 0].mean()
        assert frame.at[f"share: {who} without a row in pool or train", "test"] == 0


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


def at_times(samples: Samples, times: Mapping[str, Sequence[int]]) -> Samples:
    """The samples with rows at other times."""
    made = {
        name: Part(np.zeros((len(t), 4), np.int32), np.zeros(len(t), np.int8), np.sort(t))
        for name, t in times.items()
    }
    return replace(samples, **made)


def test_times_far_from_all_others_are_counted_and_not_drawn(samples: Samples) -> None:
    """Kills: a core of all parts together, which would leave out the small parts."""
    times = {
        "pool": [-500_000, -70_000, *np.repeat(np.arange(1000), 90)],
        "train": [*range(1000, 1100)],
        "val": [*range(1100, 1150)],
        "test": [*np.repeat(np.arange(1150, 1200), 40), 1700, 90_000],
    }
    frame = events_frame(at_times(samples, times), bins=12)
    far = frame[~np.isfinite(frame["time"])]
    assert far.to_numpy().tolist() == [["pool", -np.inf, 2], ["test", np.inf, 1]]
    near = frame[np.isfinite(frame["time"])]
    # The core is 0 to 1199; 1700 lies outside it by less than half of that.
    assert near["time"].min() == 0
    assert near["time"].max() == 11 * 1701 / 12
    expected = {name: len(t) for name, t in times.items()}
    assert frame.groupby("part")["samples"].sum().to_dict() == expected
    assert near.query("part == 'test'")["samples"].sum() == 2001


def test_a_log_without_far_times_is_drawn_whole(samples: Samples) -> None:
    """Kills: the ends that are cut off whatever they are."""
    times = {
        "pool": np.arange(50_000),
        "train": np.arange(50_000, 50_100),
        "val": np.arange(50_100, 50_103),
        "test": np.arange(50_103, 50_200),
    }
    frame = events_frame(at_times(samples, times), bins=10)
    assert np.isfinite(frame["time"]).all()
    assert frame["time"].min() == 0
    assert frame["samples"].sum() == 50_200
    counts, _ = np.histogram(times["pool"], np.linspace(0, 50_200, 11))
    assert frame.query("part == 'pool'")["samples"].tolist() == counts.tolist()


def test_a_log_of_one_moment_is_one_slice(samples: Samples) -> None:
    times = {name: [5] * 2000 for name in ("pool", "train", "val", "test")}
    frame = events_frame(at_times(samples, times))
    assert frame["time"].tolist() == [5.0] * 4
    assert frame["samples"].tolist() == [2000] * 4


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
