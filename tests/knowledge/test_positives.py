"""Which neighbour is s_t: each way against a loop over the table."""

import dataclasses

import numpy as np
import pytest
import torch
from made_samples import made_neighbours, made_samples

from rokkit.errors import ConfigError, DataError
from rokkit.knowledge.positives import (
    Positives,
    attention_ranks,
    positive_shares,
    same_label_ranks,
)
from rokkit.retrieval.neighbours import Neighbours
from rokkit.training import Feed

SAMPLES = made_samples(200, pool=150)


def feed_of(ids=None):
    """All of train, or its first rows with these neighbours."""
    if ids is None:
        table = made_neighbours(SAMPLES, "train")
        return Feed(SAMPLES, "train", needs=frozenset(), neighbours=table)
    table = Neighbours(np.asarray(ids, np.int32), np.zeros(np.shape(ids), np.float32))
    part = SAMPLES.train
    short = dataclasses.replace(part, x=part.x[: len(ids)], y=part.y[: len(ids)])
    samples = dataclasses.replace(SAMPLES, train=short)
    return Feed(samples, "train", needs=frozenset(), neighbours=table)


def weights_of(feed, seed=0):
    """Any weights at all, also where there is only padding."""
    generator = np.random.default_rng(seed)
    return generator.random((len(feed), 4), dtype=np.float32)


def by_loop(positive, attention):
    """(row of the pool or -1) of each train sample."""
    found = []
    for i, ids in enumerate(made_neighbours(SAMPLES, "train").ids.tolist()):
        held = [n for n in ids if n >= 0]
        if positive == "same_label":
            held = [n for n in held if SAMPLES.pool.y[n] == SAMPLES.train.y[i]]
        elif positive == "attn" and held:
            held = [held[max(range(len(held)), key=lambda k: attention[i, k])]]
        found.append(held[0] if held else -1)
    return found


@pytest.mark.parametrize("positive", ["top", "attn", "same_label"])
def test_each_way_is_its_definition(positive):
    feed = feed_of()
    attention = weights_of(feed)
    rows = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    before = torch.get_rng_state()
    s, found = Positives(feed, positive, attention).of(rows)
    assert torch.equal(torch.get_rng_state(), before)
    expected = by_loop(positive, attention)
    for place, row in enumerate(rows.tolist()):
        assert found[place] == (expected[row] >= 0)
        wanted = SAMPLES.pool.x[expected[row]].tolist() if found[place] else [0] * 4
        assert s[place].tolist() == wanted
    # Were two ways the same on these samples, one could stand for the other.
    assert expected != by_loop("top" if positive != "top" else "attn", attention)


def test_of_equal_weights_the_better_rank_is_taken_and_padding_never():
    feed = feed_of([[5, 6, 7], [5, 6, -1], [-1, -1, -1], [5, 6, 7]])
    attention = np.array([[0.2, 0.4, 0.4], [0.3, 0.2, 0.9], [1, 1, 1], [0, 0, 0]], np.float32)
    assert attention_ranks(feed, attention).tolist() == [1, 0, -1, 0]


def test_the_best_neighbour_of_the_same_label_or_none():
    ones, zeros = (np.flatnonzero(SAMPLES.pool.y == label).tolist() for label in (1, 0))
    assert SAMPLES.train.y[:4].tolist()[:2] == [0, 1]
    feed = feed_of(
        [
            [ones[0], zeros[0], zeros[1]],  # of a 0: the second
            [ones[2], ones[0], zeros[0]],  # of a 1: the first
        ]
    )
    assert same_label_ranks(feed).tolist() == [1, 0]
    none = feed_of([[ones[0], ones[1], -1], [-1, -1, -1]])
    assert same_label_ranks(none).tolist() == [-1, -1]
    s, found = Positives(none, "same_label").of(torch.tensor([1, 0]))
    assert not found.any()
    assert not s.any()


def test_random_positives_are_any_of_those_found():
    """Row i has up to i % 5 neighbours; none of the padding may be drawn."""
    feed = feed_of()
    rows = torch.arange(200)
    counts = feed.neighbour_counts(rows)
    seen = {n: set() for n in range(5)}
    original = feed.positives

    def spy(rows, columns):
        for n, column in zip(counts.tolist(), columns.tolist(), strict=True):
            seen[n].add(column)
        return original(rows, columns)

    feed.positives = spy
    positives = Positives(feed, "random")
    for _ in range(20):
        positives.of(rows)
    assert seen == {0: {0}, 1: {0}, 2: {0, 1}, 3: {0, 1, 2}, 4: {0, 1, 2, 3}}


def test_random_positives_are_uniform_and_drawn_for_each_row_by_itself():
    """The rows of four neighbours: 40 of them, 250 times."""
    feed = feed_of()
    rows = torch.nonzero(feed.neighbour_counts(torch.arange(200)) == 4).squeeze(1)
    positives, drawn = Positives(feed, "random"), []
    original = feed.positives
    feed.positives = lambda rows, ranks: drawn.append(ranks) or original(rows, ranks)
    torch.manual_seed(0)
    for _ in range(250):
        positives.of(rows)
    ranks = torch.stack(drawn)  # [250, 40]
    shares = torch.bincount(ranks.flatten(), minlength=4) / ranks.numel()
    assert shares.tolist() == pytest.approx([0.25] * 4, abs=0.025)  # 5 standard deviations
    first, second = ranks[:, :-1], ranks[:, 1:]
    assert (first == second).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert (ranks[:-1] == ranks[1:]).float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_those_drawn_once_are_the_numbers_of_the_generator():
    """floor(u · neighbours) of one u per sample, by NumPy; then the row of the table."""
    positives = Positives(feed_of(), "random")
    ids = made_neighbours(SAMPLES, "train").ids
    u = torch.rand(200, generator=torch.Generator().manual_seed(7)).numpy()
    ranks = np.floor(u * (ids >= 0).sum(1, dtype=np.float32)).astype(int)
    expected = ids[np.arange(200), ranks]
    assert (expected >= 0).tolist() == [i % 5 > 0 and ids[i, 0] >= 0 for i in range(200)]
    positives.fix(torch.Generator().manual_seed(7))
    rows = torch.arange(199, -1, -1)
    s, found = positives.of(rows)
    for place, row in enumerate(rows.tolist()):
        assert found[place] == (expected[row] >= 0)
        wanted = SAMPLES.pool.x[expected[row]].tolist() if found[place] else [0] * 4
        assert s[place].tolist() == wanted


def test_random_positives_can_be_drawn_once_for_all():
    positives = Positives(feed_of(), "random")
    rows = torch.arange(200)
    assert not torch.equal(positives.of(rows)[0], positives.of(rows)[0])
    positives.fix(torch.Generator().manual_seed(0))
    before = torch.get_rng_state()
    assert torch.equal(positives.of(rows)[0], positives.of(rows)[0])
    assert torch.equal(torch.get_rng_state(), before)
    again = Positives(feed_of(), "random")
    again.fix(torch.Generator().manual_seed(0))
    assert torch.equal(again.of(rows)[0], positives.of(rows)[0])


def test_shares_of_positives():
    """Of four rows: one equal to its neighbour, one without any, two with another row."""
    samples = made_samples(64, pool=80)
    x = samples.train.x[:4].copy()
    x[0] = samples.pool.x[7]
    train = dataclasses.replace(samples.train, x=x, y=samples.train.y[:4])
    samples = dataclasses.replace(samples, train=train)
    ids = np.array([[7, 8], [-1, -1], [8, 9], [9, 8]], np.int32)
    samples.pool.x[8:10, 0] = 1 + (x[2:, 0]) % 12  # another user, so another row
    table = Neighbours(ids, ids.astype(np.float32))
    feed = Feed(samples, "train", needs=frozenset(), neighbours=table)
    assert positive_shares(feed) == {"identical": 0.25, "without": 0.25}
    ranks = torch.tensor([1, -1, -1, 0])
    assert positive_shares(feed, ranks) == {"identical": 0.0, "without": 0.5}


def test_weights_that_are_missing_or_do_not_fit_are_refused():
    feed = feed_of()
    with pytest.raises(ConfigError, match=r"no weights are given for part 'train'"):
        Positives(feed, "attn")
    good = weights_of(feed)
    wide = np.concatenate([good, good[:, :1]], 1)
    for wrong in (good[:-1], good[0], good * np.nan, good[:, :3], wide):
        with pytest.raises(DataError, match=r"expected \[200, 4\] finite numbers"):
            Positives(feed, "attn", wrong)
