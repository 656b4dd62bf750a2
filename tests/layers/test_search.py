"""Search among behaviours against loops and against the index of the pool."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rokkit.layers import (
    MatchSearch,
    ProductSearch,
    QueryAttention,
    best,
    inverse_frequencies,
    match_scores,
    newest,
    search,
    taken,
)
from rokkit.retrieval import BM25Index


def by_loops(history, scores, found, k):
    """The rows that `best` should give, as lists of tuples without padding."""
    rows = []
    for row in range(len(history)):
        places = [t for t in range(history.shape[1]) if found[row, t]]
        places.sort(key=lambda t, row=row: (-scores[row, t].item(), -t))
        rows.append([tuple(history[row, t].tolist()) for t in places[:k]])
    return rows


def without_padding(ids):
    """[B, K, C] as lists of tuples; fails if padding comes before an id."""
    rows = []
    for row in ids.tolist():
        kept = [tuple(one) for one in row if one[0] != 0]
        assert row == [list(one) for one in kept] + [[0] * len(row[0])] * (len(row) - len(kept))
        rows.append(kept)
    return rows


@given(seed=st.integers(0, 10_000), t=st.integers(1, 9), k=st.integers(1, 12))
def test_the_best_are_found_and_of_equals_the_newer(seed, t, k):
    torch.manual_seed(seed)
    history = 1 + torch.randperm(4 * t * 2).view(4, t, 2).int()
    scores = torch.randint(-1, 3, (4, t)).float()  # ties abound
    found = torch.rand(4, t) < 0.6
    even = torch.zeros_like(scores)
    for held, by in ((best(scores, found, k), scores), (newest(found, k), even)):
        ids = taken(history, held)
        assert ids.shape == (4, min(k, t), 2)
        assert ids.dtype == history.dtype
        assert without_padding(ids) == by_loops(history, by, found, k)
        assert all(len(set(row)) == len(row) for row in held[0].tolist())


def test_the_newest_come_first():
    history = torch.tensor([[[1], [2], [3], [4], [0]], [[5], [0], [0], [0], [0]]])
    found = taken(history, newest(history[..., 0] != 0, 2))
    assert found.tolist() == [[[4], [3]], [[5], [0]]]  # not the padding at the end


def test_match_scores_are_sums_over_equal_chosen_fields():
    idf = torch.tensor([9.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    target = torch.tensor([[1, 3, 5], [1, 3, 5]])
    history = torch.tensor([[[1, 3, 5], [1, 4, 5], [2, 4, 6], [0, 0, 0]]] * 2)
    chosen = torch.tensor([[True, True, True], [False, True, False]])
    found = match_scores(history, target, chosen, idf)
    assert found.tolist() == [[21, 17, 0, 0], [4, 0, 0, 0]]


def test_a_missing_value_matches_no_padding():
    # Kills padding that counts as a behaviour because a target's field holds 0 as well.
    scores = match_scores(
        torch.tensor([[[1, 0], [0, 0]]]),
        torch.tensor([[2, 0]]),
        torch.ones(1, 2, dtype=torch.bool),
        torch.ones(3),
    )
    assert not scores.any()


def test_idf_is_that_of_the_index():
    # BM25Index counts and scores by itself: a row's score there is the sum that is taken here.
    generator = np.random.default_rng(0)
    pool = np.stack([1 + generator.integers(0, 9, 200), 10 + generator.integers(0, 4, 200)], 1)
    pool = pool.astype(np.int32)
    ids, scores = BM25Index.build(pool).search(pool[:20], 30)
    idf = torch.from_numpy(inverse_frequencies(pool, (0, 1), 14))
    for query, rows, expected in zip(pool[:20], ids, scores, strict=True):
        found = match_scores(
            torch.from_numpy(pool[rows])[None],
            torch.from_numpy(query)[None],
            torch.ones(1, 2, dtype=torch.bool),
            idf,
        )
        np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_idf_by_hand_and_in_slices(monkeypatch):
    monkeypatch.setattr(search, "ROWS_AT_ONCE", 2)
    pool = np.array([[1, 7, 3], [1, 7, 4], [2, 7, 3], [1, 7, 3], [2, 7, 3]], np.int32)
    found = inverse_frequencies(pool, (0, 2), 8)
    n = np.array([0, 3, 2, 4, 1, 0, 0, 0])  # the middle column is not counted
    np.testing.assert_allclose(found, np.log(1 + (5 - n + 0.5) / (n + 0.5)), rtol=1e-6)
    assert (found > 0).all()


@pytest.fixture
def small_search():
    """Columns 1 and 2 of three fields of 2, 5 and 3 values: ids 1-2, 3-7, 8-10."""
    return MatchSearch((1, 2), (2, 5, 3), 2)


def test_the_most_similar_behaviours_are_found(small_search):
    history = torch.tensor([[[3, 8], [4, 8], [3, 9], [5, 8], [6, 9], [0, 0]]])
    x = torch.tensor([[1, 3, 8]])
    both, first, second, none = (
        small_search(history, x, torch.tensor([chosen])).tolist()
        for chosen in ((True, True), (True, False), (False, True), (False, False))
    )
    assert both == [[[3, 8], [3, 9]]]  # an item of five is rarer than a brand of three
    assert first == [[[3, 9], [3, 8]]]  # equals: the newer first
    assert second == [[[5, 8], [4, 8]]]
    assert none == [[[6, 9], [5, 8]]]  # the newest


def test_what_matches_nowhere_is_not_found(small_search):
    history = torch.tensor([[[4, 9], [3, 9]], [[4, 9], [5, 10]]])
    x = torch.tensor([[1, 3, 8], [2, 3, 8]])
    ids = small_search(history, x, torch.ones(2, 2, dtype=torch.bool))
    assert ids.tolist() == [[[3, 9], [0, 0]], [[0, 0], [0, 0]]]


def test_ids_count_as_the_pool_has_them(small_search):
    history = torch.tensor([[[3, 9], [4, 8], [0, 0]]])
    x, chosen = torch.tensor([[1, 3, 8]]), torch.ones(1, 2, dtype=torch.bool)
    assert small_search(history, x, chosen)[0, 0].tolist() == [3, 9]
    small_search.read_pool(np.array([[1, 3, 9], [1, 3, 9], [2, 3, 10], [2, 4, 8]], np.int32))
    assert small_search(history, x, chosen)[0, 0].tolist() == [4, 8]  # item 3 is everywhere
    held = small_search.state_dict()["idf"]
    assert held.shape == (11,)
    assert held[3].item() == pytest.approx(np.log(1 + 1.5 / 3.5))


def test_product_search_is_its_equation():
    torch.manual_seed(0)
    layer, q, keys = ProductSearch(4), torch.randn(3, 4), torch.randn(3, 5, 4)
    mask = torch.arange(5) < torch.tensor([5, 2, 0])[:, None]
    scores, pooled = layer(q, keys, mask)
    w_a, w_b = (w.detach().numpy() for w in (layer.query.weight, layer.key.weight))
    for row in range(3):
        total = np.zeros(4)
        for t in range(5):
            k = keys[row, t].numpy()
            s = (w_b @ k) @ (w_a @ q[row].numpy()) if mask[row, t] else 0
            assert scores[row, t].item() == pytest.approx(s, abs=1e-5)
            total += s * k
        np.testing.assert_allclose(pooled[row, :4].detach(), total, rtol=1e-4, atol=1e-5)
    assert torch.equal(pooled[:, 4:], q)
    assert not scores.requires_grad
    pooled.square().sum().backward()
    assert layer.query.weight.grad.any()
    assert layer.key.weight.grad.any()


def test_query_attention_is_its_equation():
    torch.manual_seed(0)
    layer, x, keys = QueryAttention(6, 4), torch.randn(3, 6), torch.randn(3, 5, 4)
    counts = torch.tensor([5, 2, 0])
    found = layer(x, keys, torch.arange(5) < counts[:, None]).detach().numpy()
    w, b = layer.query.weight.detach().numpy(), layer.query.bias.detach().numpy()
    for row, count in enumerate(counts):
        e = [np.exp((w @ x[row].numpy() + b) @ k.numpy()) for k in keys[row, :count]]
        expected = np.zeros(4)
        for weight, k in zip(e, keys[row], strict=False):
            expected += weight / sum(e) * k.numpy()
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)
