"""A gathered batch holds, row by row, what a plain loop over the samples would put there."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from made_samples import made_neighbours, made_samples

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


def test_no_history_at_all_is_one_step_of_padding():
    samples = made_samples()
    empty = History(np.zeros(13, np.int64), np.zeros((0, 2), np.int32))
    samples = dataclasses.replace(samples, history=empty)
    batch = Feed(samples, "train", needs={"history"}).batch(torch.arange(4))
    assert batch.history.tolist() == [[[0, 0]]] * 4


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
