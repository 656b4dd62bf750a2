"""The made clicks: what is in the arrays, and what is planted in them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ctr import synth
from ctr.arrays import Arrays
from ctr.frameworks.ours import SEARCHED, samples_of
from rokkit.evaluation import auc
from rokkit.training import Feed

PARTS = {"train": 3000, "val": 500, "test": 700}
WORLD = synth.World.of_rows(3000)


def made(folder: Path, seed: int = 0, histories: bool = True) -> Arrays:
    folder.mkdir()
    synth.make(folder, PARTS, world=WORLD, seed=seed, histories=histories)
    return Arrays.open(folder)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    return made(tmp_path_factory.mktemp("made") / "arrays")


def test_the_whole_world_has_the_rows_that_the_goals_are_of() -> None:
    assert sum(synth.World().sizes.values()) == 301_500


@pytest.mark.parametrize("rows", [2000, 100_000, 5_000_000])
def test_a_world_may_have_other_sizes(rows: int) -> None:
    assert sum(synth.World.of_rows(rows).sizes.values()) == pytest.approx(rows, rel=0.02)


def test_fields_keep_their_order_and_range(arrays: Arrays) -> None:
    assert tuple(arrays.sizes) == synth.FIELDS
    assert arrays.parts == PARTS
    for part, rows in PARTS.items():
        x, y = arrays.x(part), arrays.y(part)
        assert x.shape == (rows, 6)
        assert x.dtype == np.int32
        assert (x.min(0) >= 1).all()
        assert (x.max(0) <= list(arrays.sizes.values())).all()
        assert set(np.unique(y)) == {0, 1}


def test_parts_follow_one_another(arrays: Arrays) -> None:
    whole = np.load(arrays.folder / "x.npy")
    assert np.array_equal(np.concatenate([arrays.x(part) for part in PARTS]), whole)
    with pytest.raises(KeyError, match="'tests' is not among train, val, test"):
        arrays.x("tests")


def test_genre_goes_with_the_item_and_city_with_the_user(arrays: Arrays) -> None:
    x = np.concatenate([arrays.x(part) for part in PARTS])
    assert np.array_equal(x[:, 2], arrays.genre_of[x[:, 1]])
    pairs = np.unique(x[:, [0, 3]], axis=0)
    assert len(pairs) == len(np.unique(x[:, 0]))


def test_a_history_is_that_of_the_user_with_padding_at_its_end(arrays: Arrays) -> None:
    offsets, stored = arrays.user_histories
    items, genres, lengths = arrays.history("val")
    assert lengths.min() >= 20
    assert lengths.max() <= 50
    for row in (0, 17, 499):
        user = arrays.x("val")[row, 0] - 1
        own = stored[offsets[user] : offsets[user + 1]]
        assert lengths[row] == len(own)
        assert np.array_equal(items[row, : len(own)], own)
        assert not items[row, len(own) :].any()
    assert np.array_equal(genres, arrays.genre_of[items])
    assert not genres[items == 0].any()


def test_the_same_seed_makes_the_same_clicks(arrays: Arrays, tmp_path: Path) -> None:
    again, other = made(tmp_path / "again"), made(tmp_path / "other", seed=1)
    assert np.array_equal(again.x("test"), arrays.x("test"))
    assert np.array_equal(again.user_histories[1], arrays.user_histories[1])
    assert not np.array_equal(other.x("test"), arrays.x("test"))


def test_labels_are_drawn_from_the_truth_and_can_be_told_from_it(arrays: Arrays) -> None:
    y, truth = arrays.y("train"), arrays.truth("train")
    assert y.mean() == pytest.approx(truth.mean(), abs=0.03)
    assert 0.75 < auc(y, truth) < 0.9


def test_histories_bear_on_the_label(arrays: Arrays) -> None:
    genre = arrays.x("train")[:, 2]
    times = (arrays.history("train")[1] == genre[:, None]).sum(1)
    y = arrays.y("train")
    assert y[times >= 3].mean() > y[times == 0].mean() + 0.2


def test_without_histories_there_are_none(tmp_path: Path) -> None:
    arrays = made(tmp_path / "none", histories=False)
    assert len(arrays.user_histories[1]) == 0
    samples = samples_of(arrays)
    samples.history.check(samples.schema)


def test_ours_sees_the_same_rows_and_histories(arrays: Arrays) -> None:
    samples = samples_of(arrays)
    schema = samples.schema
    assert schema.retrieval == SEARCHED
    for part in PARTS:
        schema.check_ids(samples.part(part).x, part)
    samples.history.check(schema)
    batch = Feed(samples, "test", needs={"history"}).batch(torch.arange(PARTS["test"]))
    items, genres, _ = arrays.history("test")
    assert batch.history is not None
    item, genre = (schema.fields[schema.column(name)] for name in ("item", "genre"))
    found = batch.history.numpy()
    assert np.array_equal(np.maximum(found[..., 0] - item.offset + 1, 0), items)
    assert np.array_equal(np.maximum(found[..., 1] - genre.offset + 1, 0), genres)
