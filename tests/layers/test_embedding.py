"""Id tables."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from rokkit.errors import ConfigError
from rokkit.layers import FieldEmbedding, IdEmbedding, JoinedEmbedding, together


def test_an_id_becomes_its_row_and_padding_becomes_zeros():
    table = FieldEmbedding(5, 3)
    ids = torch.tensor([[0, 4], [2, 0]], dtype=torch.int32)
    expected = torch.stack([table.weight[[0, 4]], table.weight[[2, 0]]])
    assert torch.equal(table(ids), expected)
    assert torch.equal(table(ids)[0, 0], torch.zeros(3))


def test_padding_stays_zero_under_an_optimizer():
    # Kills a table that gives row 0 a gradient, which training would move away from zero.
    table = FieldEmbedding(5, 3)
    optimizer = torch.optim.Adam(table.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (table(torch.tensor([0, 1, 0])) - 1).square().sum().backward()
        optimizer.step()
    assert torch.equal(table.weight[0], torch.zeros(3))
    assert not torch.equal(table.weight[1], torch.zeros(3))


def test_a_repeated_id_sums_its_gradients():
    table = FieldEmbedding(4, 2)
    table(torch.tensor([[1, 1], [3, 1]])).sum().backward()
    assert torch.equal(table.weight.grad, torch.tensor([[0, 0], [3, 3], [0, 0], [1, 1.0]]))


@settings(max_examples=30)
@given(
    shapes=st.lists(st.sampled_from([(0,), (1,), (7,), (4, 3), (5, 2, 3)]), min_size=1, max_size=3),
    kind=st.sampled_from([torch.int32, torch.int64]),
    seed=st.integers(0, 99),
)
def test_gradients_have_the_bits_of_torchs_own(shapes, kind, seed):
    generator = torch.Generator().manual_seed(seed)
    table, plain = FieldEmbedding(6, 3), FieldEmbedding(6, 3)
    for shape in shapes:  # several look-ups of one table add up
        ids = torch.randint(0, 6, shape, generator=generator).to(kind)
        factor = torch.randn(3, *shape, generator=generator).movedim(0, -1)  # not contiguous
        (table(ids) * factor).sum().backward()
        functional.embedding(ids, plain.weight, padding_idx=0).mul(factor).sum().backward()
    assert torch.equal(table.weight.grad, plain.weight.grad)


def test_a_sparse_gradient_lists_what_was_looked_up():
    table = FieldEmbedding(5, 2)
    table.sparse_gradient = True
    ids = torch.tensor([[3, 0], [3, 1]], dtype=torch.int32)
    (table(ids) * torch.arange(8.0).view(2, 2, 2)).sum().backward()
    assert table.weight.grad._indices().tolist() == [[3, 0, 3, 1]]
    assert table.weight.grad._values().tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_std_is_that_of_the_rows():
    torch.manual_seed(0)
    std = FieldEmbedding(2000, 10, std=0.3).weight[1:].std().item()
    assert std == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize("values", [(0, 3, 0.1), (5, 0, 0.1), (5, 3, -0.1)])
def test_sizes_out_of_range_are_refused(values):
    with pytest.raises(ConfigError, match="expected at least"):
        FieldEmbedding(*values)


def test_joined_tables_lie_side_by_side():
    own, other = FieldEmbedding(5, 3), FieldEmbedding(5, 2)
    joined, ids = JoinedEmbedding(own, other), torch.tensor([[1, 4], [0, 2]])
    assert joined.dim == 5
    assert torch.equal(joined(ids)[..., :3], own(ids))
    assert torch.equal(joined(ids)[..., 3:], other(ids))
    assert torch.equal(joined.of_history(ids), joined(ids))


def test_without_on_history_a_history_sees_zeros_for_the_other_table():
    own, other = FieldEmbedding(5, 3), FieldEmbedding(5, 2)
    joined, ids = JoinedEmbedding(own, other, on_history=False), torch.tensor([[1, 4], [0, 2]])
    assert torch.equal(joined.of_history(ids)[..., :3], own(ids))
    assert torch.equal(joined.of_history(ids)[..., 3:], torch.zeros(2, 2, 2))
    assert torch.equal(joined(ids)[..., 3:], other(ids))


@pytest.mark.parametrize("sparse", [True, False])
def test_a_target_and_its_history_are_looked_up_at_once(sparse):
    read, table = [], FieldEmbedding(6, 2)
    table.sparse_gradient, table.on_reading = sparse, lambda ids: read.append(ids.tolist())
    x, history = torch.tensor([[1, 2], [3, 0]]), torch.tensor([[[4], [2]], [[0], [0]]])
    own, others = together(table, x, history)
    assert torch.equal(own, table.weight[x])
    assert torch.equal(others, table.weight[history])
    assert read == [[1, 2, 3, 0, 4, 2, 0, 0]]
    (own.sum() + 10 * others.sum()).backward()
    gradient = table.weight.grad.to_dense() if sparse else table.weight.grad
    assert gradient[1:].tolist() == [[1, 1], [11, 11], [1, 1], [10, 10], [0, 0]]


@pytest.mark.parametrize("on_history", [True, False])
def test_at_once_a_history_sees_no_more_of_joined_tables(on_history):
    joined = JoinedEmbedding(FieldEmbedding(6, 2), FieldEmbedding(6, 3), on_history)
    x, history = torch.tensor([1, 2]), torch.tensor([[4], [2]])
    found = together(joined, x, history)
    assert torch.equal(found[0], joined(x))
    assert torch.equal(found[1], joined.of_history(history))
    assert found[1][..., 2:].any().item() is on_history


def test_both_kinds_are_id_embeddings():
    table = FieldEmbedding(5, 3)
    assert isinstance(table, IdEmbedding)
    assert isinstance(JoinedEmbedding(table, table), IdEmbedding)


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
@pytest.mark.parametrize("shape", [(0,), (40,), (0, 3), (7, 5, 2)])
def test_rows_found_with_gradients_are_those_found_without(kind, shape):
    table = FieldEmbedding(9, 3)
    ids = torch.randint(0, 9, shape, dtype=kind)
    found = table(ids)
    assert found.requires_grad
    assert torch.equal(found, table.weight[ids.long()])
    with torch.no_grad():
        assert torch.equal(table(ids), found)


@pytest.mark.parametrize("wrong", [-1, 9])
def test_an_id_that_is_no_row_is_refused(wrong):
    ids = torch.zeros(50, dtype=torch.int64)
    ids[30] = wrong
    with pytest.raises(IndexError, match=f"id {wrong} is no row of a table of 9 ids"):
        FieldEmbedding(9, 3)(ids)
