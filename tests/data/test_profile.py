"""The profile of a data set: by hand, against brute force, and as a file beside the samples."""

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rokkit.data import profile as package
from rokkit.data.profile import Profile, Tally, measure, profile, seen_before, value_counts
from rokkit.data.samples import History, Part, Samples
from rokkit.data.schema import Field, Schema
from rokkit.errors import ConfigError

USERS, ITEMS = 4, 5
SCHEMA = Schema(
    name="made",
    fields=(
        Field(name="shop", role="context", offset=1, size=2),
        Field(name="user", role="user", offset=3, size=USERS),
        Field(name="item", role="item", offset=7, size=ITEMS),
        Field(name="cat", role="item", offset=12, size=2),
    ),
    retrieval=("user", "item"),
)
Row = tuple[int, int, int]  # user and item, 0-based, and label


def part(rows: list[Row]) -> Part:
    x = [(1 + i % 2, 3 + user, 7 + item, 12 + item % 2) for i, (user, item, _) in enumerate(rows)]
    return Part(
        np.array(x, np.int32).reshape(-1, 4),
        np.array([label for *_, label in rows], np.int8),
        np.arange(len(rows), dtype=np.int64),
    )


def made(pool: list[Row], train: list[Row], val: list[Row], test: list[Row]) -> Samples:
    """Samples whose histories are the pool's positives."""
    positives = sorted((row for row in pool if row[2]), key=lambda row: row[0])
    lengths = np.bincount([user for user, *_ in positives], minlength=USERS)
    return Samples(
        SCHEMA,
        *map(part, (pool, train, val, test)),
        History(np.r_[0, np.cumsum(lengths)], part(positives).x[:, 2:]),
        {"name": "made"},
        "of these",
        Path("/nonexistent"),
    )


# Users 0 and 1 have a history, 2 has a negative alone, 3 nothing. Items 0, 1 and 2 have positives,
# 3 has a negative alone, 4 nothing. Train has user 3 and item 4.
POOL = [(0, 0, 1), (0, 3, 0), (0, 1, 1), (1, 0, 1), (1, 2, 1), (2, 0, 0), (0, 1, 1)]
TRAIN = [(3, 0, 1), (0, 4, 0)]
TEST = [
    (0, 0, 1),  # seen, popularity 2
    (0, 2, 1),  # another's item, popularity 1
    (1, 3, 0),  # an item with a negative alone
    (2, 1, 0),  # a user with a negative alone, popularity 2
    (3, 4, 1),  # user and item are in train alone
    (1, 2, 0),  # seen, popularity 1
    (1, 0, 1),  # seen, popularity 2
]


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    return replace(made(POOL, TRAIN, [(0, 0, 1), (3, 1, 0)], TEST), folder=tmp_path)


def tally(samples: int, positives: int) -> Tally:
    return Tally(samples=samples, positives=positives)


def test_by_hand(samples: Samples) -> None:
    """Kills: counts over positives where rows are meant, and the other way round."""
    found = measure(samples).test
    assert found.total == tally(7, 4)
    assert found.user_not_in_pool == tally(1, 1)
    assert found.user_not_in_pool_or_train == tally(0, 0)
    assert found.user_without_positive == tally(2, 1)
    assert found.item_not_in_pool == tally(1, 1)
    assert found.item_not_in_pool_or_train == tally(0, 0)
    assert found.item_without_positive == tally(2, 1)
    assert found.seen_before == tally(3, 2)
    assert found.popularity == ((0, 1, 1), (1, 1, 1), (2, 2, 1))
    assert found.shares(found.seen_before) == (3 / 7, 2 / 4, 1 / 3)
    val = measure(samples).val
    assert val.total == tally(2, 1)
    assert val.user_not_in_pool == tally(1, 0)
    assert val.popularity == ((2, 1, 1),)


def test_a_share_of_nothing_is_not_a_number() -> None:
    found = measure(made(POOL, TRAIN, [(0, 0, 1)], TEST)).val
    of_samples, of_positives, of_negatives = found.shares(found.seen_before)
    assert (of_samples, of_positives) == (1.0, 1.0)
    assert np.isnan(of_negatives)


some_row = st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1), st.integers(0, 1))
some_rows = st.lists(some_row, min_size=1, max_size=30)


@given(some_rows, some_rows, some_rows, some_rows, st.integers(1, 12))
def test_any_samples_in_slices_of_any_size(
    pool: list[Row], train: list[Row], val: list[Row], test: list[Row], chunk: int
) -> None:
    """Kills: a slice that is left out or counted twice, and users mixed up between slices."""
    samples = made(pool, train, val, test)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "CHUNK", chunk)
        found = measure(samples)
        seen = seen_before(samples, samples.test)
        (counts,) = value_counts(SCHEMA, samples.pool, [2])
    for rows, one in ((val, found.val), (test, found.test)):

        def count(rows: list[Row]) -> Tally:
            return tally(len(rows), sum(label for *_, label in rows))

        assert one.total == count(rows)
        for place, who in enumerate(("user", "item")):
            held = {row[place] for row in pool}
            later = held | {row[place] for row in train}
            liked = {row[place] for row in pool if row[2]}
            for what, known in (
                ("not_in_pool", held),
                ("not_in_pool_or_train", later),
                ("without_positive", liked),
            ):
                expected = count([row for row in rows if row[place] not in known])
                assert getattr(one, f"{who}_{what}") == expected
        pairs = {(user, item) for user, item, label in pool if label}
        assert one.seen_before == count([row for row in rows if row[:2] in pairs])
    assert seen.tolist() == [row[:2] in pairs for row in test]
    popularity = [sum(row[1] == item and row[2] for row in pool) for item in range(ITEMS)]
    assert counts.positives.tolist() == popularity
    assert counts.rows.tolist() == [sum(row[1] == item for row in pool) for item in range(ITEMS)]
    for n, positives, negatives in found.test.popularity:
        labels = [label for _, item, label in test if popularity[item] == n]
        assert (positives, negatives) == (sum(labels), len(labels) - sum(labels))
    groups = [n for n, *_ in found.test.popularity]
    assert groups == sorted({popularity[item] for _, item, _ in test})


def test_it_is_measured_once(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills: a cache that is written but never read."""
    first = profile(samples)
    assert sorted(p.name for p in samples.folder.iterdir()) == ["profile.json"]
    monkeypatch.setattr(package, "measure", lambda _: pytest.fail("measured again"))
    assert profile(samples) == first
    assert first == measure(samples)


def spoilt(text: str, how: str) -> str:
    """The file, damaged or of something else in one way."""
    held = json.loads(text)
    if how == "cut off":
        return text[: len(text) // 2]
    if how == "no mapping":
        return "[1, 2]"
    if how == "a key is missing":
        del held["test"]["seen_before"]
    elif how == "a key too many":
        held["more"] = 1
    elif how == "a text for a number":
        held["val"]["total"]["samples"] = "2"
    elif how == "more than there are":
        held["test"]["seen_before"] = {"samples": 9, "positives": 3}
    elif how == "popularity is too short":
        held["test"]["popularity"].pop()
    elif how == "of other samples":
        held["fingerprint"] = "of others"
    elif how == "of another format":
        held["format"] += 1
    return json.dumps(held)


@pytest.mark.parametrize(
    "how",
    [
        "cut off",
        "no mapping",
        "a key is missing",
        "a key too many",
        "a text for a number",
        "more than there are",
        "popularity is too short",
        "of other samples",
        "of another format",
    ],
)
def test_a_file_that_does_not_fit_is_measured_anew(samples: Samples, how: str) -> None:
    first = profile(samples)
    path = samples.folder / "profile.json"
    whole = path.read_text()
    path.write_text(spoilt(whole, how))
    assert path.read_text() != whole
    assert profile(samples) == first
    assert path.read_text() == whole


def test_a_folder_that_cannot_be_written_to_costs_the_file_alone(
    samples: Samples, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(package, "write_json", refuse)
    with caplog.at_level(logging.WARNING):
        assert profile(samples) == measure(samples)
    assert "not kept: read-only" in caplog.text
    assert list(samples.folder.iterdir()) == []
    gone = replace(samples, folder=samples.folder / "gone")
    assert profile(gone) == measure(samples)
    assert not gone.folder.exists()


def test_counts_that_contradict_each_other_are_refused(samples: Samples) -> None:
    with pytest.raises(ConfigError, match="positives is 3; expected 0 to 2"):
        tally(2, 3)
    found = measure(samples)
    with pytest.raises(ConfigError, match=r"seen_before is Tally\(samples=7, positives=3\)"):
        replace(found.test, seen_before=tally(7, 3))  # four negatives of three
    with pytest.raises(ConfigError, match=r"negatives is \(3, 2\); expected \(4, 3\)"):
        replace(found.test, popularity=found.test.popularity[1:])


def test_the_file_holds_whole_numbers(samples: Samples) -> None:
    found: Profile = profile(samples)
    held = json.loads((samples.folder / "profile.json").read_text())
    assert held == json.loads(json.dumps(asdict(found)))
    assert held["test"]["popularity"] == [[0, 1, 1], [1, 1, 1], [2, 2, 1]]
