"""A gathered batch holds, row by row, what a plain loop over the samples would put there."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from made_samples import BRANDS, ITEMS, made_neighbours, made_samples

from rokkit.data.samples import History
from rokkit.errors import ConfigError, DataError
from rokkit.retrieval.neighbours import Neighbours
from rokkit.training import Feed

BOTH = frozenset({"history", "neighbours"})


def reference(samples, table, part, row, length):
    """(history, neighbours, labels, mask) of one sample, by the definitions of Batch."""
    held = samples.part(part)
    own = samples.history.of(int(held.x[row, 0]) - 1)[-length:]
    history = np.zeros((length, 2), np.int32)
    history[: len(own)] = own
    neighbours = [samples.pool.x[i] if i >= 0 else np.zeros(4, np.int32) for i in table.ids[row]]
    labels = [samples.pool.y[i] if i >= 0 else 0 for i in table.ids[row]]
    return history, np.stack(neighbours), labels, table.ids[row] >= 0


@pytest.mark.parametrize("length", [1, 2, 50])
def test_a_batch_is_what_a_loop_would_gather(length):
    """Kills: oldest kept instead of newest, left padding, -1 taken as the last pool row."""
    samples = made_samples()
    table = made_neighbours(samples, "train")
    feed = Feed(samples, "train", needs=BOTH, neighbours=table, history_length=length)
    rows = torch.tensor([5, 0, 63, 5, 17])
    batch = feed.batch(rows)
    longest = min(length, int(np.diff(samples.history.offsets).max()))
    for place, row in enumerate(rows.tolist()):
        history, neighbours, labels, mask = reference(samples, table, "train", row, longest)
        assert batch.x[place].tolist() == samples.train.x[row].tolist()
        assert batch.y[place] == samples.train.y[row]
        assert batch.history[place].tolist() == history.tolist()
        assert batch.neighbours[place].tolist() == neighbours.tolist()
        assert batch.neighbour_labels[place].tolist() == list(labels)
        assert batch.neighbour_mask[place].tolist() == mask.tolist()
    assert batch.x.dtype == batch.history.dtype == batch.neighbours.dtype == torch.int32
    assert batch.y.dtype == torch.float32


def test_only_what_is_needed_is_gathered():
    samples = made_samples()
    table = made_neighbours(samples, "val")
    rows = torch.arange(3)
    bare = Feed(samples, "val", needs=frozenset(), neighbours=table).batch(rows)
    assert bare.history is None
    assert bare.neighbours is bare.neighbour_labels is bare.neighbour_mask is None
    assert Feed(samples, "val", needs={"history"}).batch(rows).neighbours is None
    needing = Feed(samples, "val", needs={"neighbours"}, neighbours=table).batch(rows)
    assert needing.history is None


def test_positives_are_single_columns_of_the_neighbours():
    samples = made_samples()
    table = made_neighbours(samples, "train")
    feed = Feed(samples, "train", needs=BOTH, neighbours=table)
    rows = torch.arange(len(feed))
    batch = feed.batch(rows)
    top, found = feed.positives(rows)
    assert torch.equal(top, batch.neighbours[:, 0])
    assert torch.equal(found, batch.neighbour_mask[:, 0])
    columns = rows % 4
    s, found = feed.positives(rows, columns)
    assert torch.equal(s, batch.neighbours[rows, columns])
    assert torch.equal(found, batch.neighbour_mask[rows, columns])
    assert torch.equal(feed.neighbour_counts(rows), batch.neighbour_mask.sum(1))


def test_no_history_at_all_is_one_step_of_padding(tmp_path):
    samples = with_item_tuples(made_samples(), tmp_path)
    empty = History(np.zeros(13, np.int64), np.zeros((0, 2), np.int32))
    samples = dataclasses.replace(samples, history=empty)
    needs = {"history", "history_negatives"}
    batch = Feed(samples, "train", needs=needs).batch(torch.arange(4))
    assert batch.history.tolist() == batch.history_negatives.tolist() == [[[0, 0]]] * 4


def with_item_tuples(samples, folder):
    """The samples with a file of item tuples: items 13 to 42, each with its brand."""
    items = np.arange(ITEMS)
    tuples = np.stack([13 + items, 43 + items % BRANDS], 1).astype(np.int32)
    np.save(folder / "item_tuples.npy", tuples)
    return dataclasses.replace(samples, folder=folder)


NEGATIVES = frozenset({"history", "history_negatives"})


@pytest.mark.parametrize("length", [2, 50])
def test_each_behaviour_has_a_negative_of_its_own(tmp_path, length):
    """Kills: negatives of the oldest behaviours, drawn anew per batch, part or length."""
    samples = with_item_tuples(made_samples(), tmp_path)
    drawn = {}  # of a user and the place of a behaviour from the newest
    for part, size in (("train", 64), ("val", 3), ("train", 50)):
        feed = Feed(samples, part, needs=NEGATIVES, history_length=50)
        for rows in feed.chunks(size):
            batch = feed.batch(rows)
            for user, held, own in zip(
                batch.x[:, 0].tolist(), batch.history_mask, batch.history_negatives, strict=True
            ):
                found = [tuple(ids) for ids in own[held].tolist()]
                assert not own[~held].any()
                for place, ids in enumerate(reversed(found)):
                    assert drawn.setdefault((user, place), ids) == ids
    shorter = Feed(samples, "test", needs=NEGATIVES, history_length=length)
    batch = shorter.batch(torch.arange(len(shorter)))
    assert batch.history_negatives.shape == batch.history.shape
    assert batch.history_negatives.dtype == torch.int32
    for user, own in zip(batch.x[:, 0].tolist(), batch.history_negatives, strict=True):
        found = [tuple(ids) for ids in own.tolist() if ids[0]]
        assert all(drawn[user, place] == ids for place, ids in enumerate(reversed(found)))
    assert len(set(drawn.values())) > 10
    assert all(brand == 43 + (item - 13) % BRANDS for item, brand in drawn.values())


def test_negatives_of_histories_are_uniform_over_item_tuples(tmp_path):
    # Kills a draw over behaviours, in which items often met are often drawn.
    samples = with_item_tuples(made_samples(), tmp_path)
    rows = np.repeat(samples.history.rows[:1], 30_000, 0)
    offsets = np.array([0, *[30_000] * 12])
    samples = dataclasses.replace(samples, history=History(offsets, rows))
    feed = Feed(samples, "train", needs=NEGATIVES, history_length=30_000)
    first = int((samples.train.x[:, 0] == 1).nonzero()[0][0])
    items = feed.batch(torch.tensor([first])).history_negatives[0, :, 0].numpy()
    counts = np.bincount(items - 13, minlength=ITEMS)
    assert len(counts) == ITEMS
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)


def test_negatives_of_histories_are_there_only_where_needed(tmp_path):
    samples = made_samples()  # has no item tuples: nothing may look for them
    assert (
        Feed(samples, "train", needs={"history"}).batch(torch.arange(2)).history_negatives is None
    )
    samples = with_item_tuples(samples, tmp_path)
    batch = Feed(samples, "train", needs={"history_negatives"}).batch(torch.arange(2))
    assert batch.history is None
    assert batch.history_negatives.any()


def test_memory_maps_are_read_in_place_and_without_warnings(tmp_path):
    """Two feeds over one pool must not hold two copies of it."""
    samples = made_samples()
    np.save(tmp_path / "x.npy", samples.pool.x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    samples = dataclasses.replace(samples, pool=dataclasses.replace(samples.pool, x=mapped))
    table = made_neighbours(samples, "train")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        feed = Feed(samples, "train", needs={"neighbours"}, neighbours=table)
    assert feed._pool_x.data_ptr() == mapped.ctypes.data
    batch = feed.batch(torch.tensor([9]))
    expected = reference(samples, table, "train", 9, 1)[1]
    assert batch.neighbours[0].tolist() == expected.tolist()


def test_labels_and_users_are_those_of_the_part():
    samples = made_samples()
    feed = Feed(samples, "test", needs=frozenset())
    assert len(feed) == len(samples.test)
    assert feed.labels.tolist() == samples.test.y.tolist()
    assert feed.users.tolist() == (samples.test.x[:, 0] - 1).tolist()


def test_a_rank_of_minus_1_is_no_neighbour():
    """Kills: -1 taken as the last column."""
    samples = made_samples()
    table = made_neighbours(samples, "train")
    feed = Feed(samples, "train", needs=frozenset(), neighbours=table)
    rows = torch.tensor([4, 3, 9])
    s, found = feed.positives(rows, torch.tensor([-1, 2, -1]))
    assert found.tolist() == [False, True, False]
    assert s.tolist() == [[0] * 4, samples.pool.x[table.ids[3, 2]].tolist(), [0] * 4]


def test_neighbours_that_agree_are_those_of_the_samples_own_label():
    samples = made_samples()
    table = made_neighbours(samples, "train")
    feed = Feed(samples, "train", needs=frozenset(), neighbours=table)
    rows = torch.arange(63, -1, -1)
    expected = [
        [n >= 0 and samples.pool.y[n] == samples.train.y[i] for n in table.ids[i]]
        for i in rows.tolist()
    ]
    assert feed.agreeing(rows).tolist() == expected


def test_rows_of_the_pool_follow_the_part():
    samples = made_samples()
    drawn = np.array([3, 70, 71])
    own = made_neighbours(samples, "val")
    other = Neighbours(np.array([[1, 2, -1, -1]] * 3, np.int32), np.ones((3, 4), np.float32))
    feed = Feed(
        samples,
        "val",
        needs={"neighbours"},
        neighbours=own.followed_by(other),
        pool_rows=drawn,
    )
    assert len(feed) == 32 + 3
    batch = feed.batch(torch.tensor([34, 5, 32]))
    at = [samples.pool.x[71], samples.val.x[5], samples.pool.x[3]]
    assert batch.x.tolist() == [x.tolist() for x in at]
    assert batch.y.tolist() == [samples.pool.y[71], samples.val.y[5], samples.pool.y[3]]
    assert batch.neighbours[0, :2].tolist() == samples.pool.x[1:3].tolist()
    assert batch.neighbour_mask[0].tolist() == [True, True, False, False]
    assert batch.neighbour_labels[2, :2].tolist() == samples.pool.y[1:3].tolist()
    assert batch.neighbour_mask[1].tolist() == (own.ids[5] >= 0).tolist()
    assert feed.labels.tolist() == [*samples.val.y, *samples.pool.y[drawn]]
    assert feed.users.tolist() == [*(samples.val.x[:, 0] - 1), *(samples.pool.x[drawn, 0] - 1)]
    assert [len(rows) for rows in feed.chunks(20)] == [20, 15]


def test_rows_of_the_pool_that_cannot_join_are_refused():
    samples = made_samples()
    table = made_neighbours(samples, "train")
    with pytest.raises(ConfigError, match="reads history and rows of the pool are to join"):
        Feed(samples, "train", needs={"history"}, pool_rows=np.array([1]))
    for wrong in ([80], [3, -1]):
        with pytest.raises(DataError, match="the pool has 80 rows"):
            Feed(samples, "train", needs=frozenset(), pool_rows=np.array(wrong))
    with pytest.raises(DataError, match=r"expected \[65, K\]"):
        Feed(samples, "train", needs=frozenset(), neighbours=table, pool_rows=np.array([1]))


def test_what_does_not_fit_is_refused():
    samples = made_samples()
    table = made_neighbours(samples, "train")
    with pytest.raises(ConfigError, match="Did you mean 'history'"):
        Feed(samples, "train", needs={"histori"})
    with pytest.raises(ConfigError, match="none are given"):
        Feed(samples, "train", needs={"neighbours"})
    with pytest.raises(ConfigError, match="history_length is 0"):
        Feed(samples, "train", needs=frozenset(), history_length=0)
    with pytest.raises(DataError, match=r"\[32, K\] for part 'val'"):
        Feed(samples, "val", needs=frozenset(), neighbours=table)
    beyond = Neighbours(np.full((64, 1), 80, np.int32), table.scores[:, :1])
    with pytest.raises(DataError, match="pool row 80; the pool has 80 rows"):
        Feed(samples, "train", needs=frozenset(), neighbours=beyond)
    nothing = dataclasses.replace(samples.val, x=samples.val.x[:0], y=samples.val.y[:0])
    with pytest.raises(DataError, match="part 'val' has no rows"):
        Feed(dataclasses.replace(samples, val=nothing), "val", needs=frozenset())
