"""The compiled attention over neighbours against the same by torch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rokkit.layers import FieldEmbedding, JoinedEmbedding, NeighbourAttention, neighbour_attention

FIELDS, WIDTH = 3, 2


def made(seed, b, k, ids_up_to=6):
    """A layer, a table, and inputs with padding among the ids and rows with fewer neighbours."""
    torch.manual_seed(seed)
    table = FieldEmbedding(ids_up_to + 1, WIDTH, std=1.0)
    layer = NeighbourAttention(FIELDS * WIDTH, scale=seed % 2 == 1)
    ids = torch.randint(0, ids_up_to + 1, (b, k, FIELDS), dtype=torch.int32)
    mask = torch.rand(b, k) < 0.7
    x = torch.randn(b, FIELDS * WIDTH, requires_grad=True)
    return layer, table, x, ids * mask[..., None], mask


def answers(layer, table, x, ids, mask, embedding=None):
    """What comes out, and the gradients of a loss that reads both outputs."""
    found, weights = layer.over_ids(x, ids, mask, embedding or table)
    generator = torch.Generator().manual_seed(1)
    loss = (found * torch.randn(found.shape, generator=generator)).sum()
    loss = loss + (weights * torch.randn(weights.shape, generator=generator)).sum()
    wanted = [x, *layer.parameters(), table.weight]
    asked = [one for one in wanted if one.requires_grad]
    return found, weights, *torch.autograd.grad(loss, asked)


@settings(max_examples=60)
@given(seed=st.integers(0, 999), b=st.integers(0, 5), k=st.integers(1, 6))
def test_it_is_what_torch_makes_of_the_embeddings(seed, b, k):
    given_ = made(seed, b, k)
    found = answers(*given_)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbour_attention, "loops_apply", lambda weight: False)
        expected = answers(*given_)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert not found[-1][0].any()  # padding


def test_by_hand():
    """Two neighbours with products 0 and ln 3: weights 1/4 and 3/4."""
    table, layer = FieldEmbedding(4, 1), NeighbourAttention(1)
    with torch.no_grad():
        table.weight[:] = torch.tensor([[0.0], [0.0], [1.0], [5.0]])
        layer.query.weight[:], layer.query.bias[:] = 0.0, torch.tensor(3.0).log()
    ids, mask = torch.tensor([[[1], [2], [3]]]), torch.tensor([[True, True, False]])
    found, weights = layer.over_ids(torch.zeros(1, 1), ids, mask, table)
    torch.testing.assert_close(weights, torch.tensor([[0.25, 0.75, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.75]]))


def test_a_row_without_neighbours_gives_zeros_and_moves_nothing():
    layer, table, x, ids, _ = made(0, 3, 4)
    found, weights, *gradients = answers(layer, table, x, ids, torch.zeros(3, 4, dtype=torch.bool))
    assert not found.any()
    assert not weights.any()
    assert not any(gradient.any() for gradient in gradients)


def test_what_lies_outside_the_mask_is_not_read():
    layer, table, x, ids, mask = made(2, 5, 6)
    other = torch.where(mask[..., None], ids, torch.randint_like(ids, 7))
    for one, two in zip(
        answers(layer, table, x, ids, mask), answers(layer, table, x, other, mask), strict=True
    ):
        assert torch.equal(one, two)


def test_a_sparse_gradient_is_the_dense_one_by_look_up():
    layer, table, x, ids, mask = made(3, 4, 5)
    dense = answers(layer, table, x, ids, mask)[-1]
    table.sparse_gradient = True
    sparse = answers(layer, table, x, ids, mask)[-1]
    assert sparse.is_sparse
    torch.testing.assert_close(sparse.to_dense(), dense)


def test_a_frozen_table_takes_no_gradient():
    layer, table, x, ids, mask = made(4, 4, 5)
    expected = answers(layer, table, x, ids, mask)
    table.requires_grad_(False)
    for one, other in zip(answers(layer, table, x, ids, mask), expected, strict=False):
        assert torch.equal(one, other)


def test_the_table_is_told_what_will_be_read():
    layer, table, x, ids, mask = made(5, 2, 3)
    told = []
    table.on_reading = told.append
    layer.over_ids(x, ids, mask, table)
    assert torch.equal(told[0], ids)


def test_two_tables_side_by_side_take_torchs_way():
    layer, table, x, ids, mask = made(6, 3, 4)
    own, other = FieldEmbedding(7, 1), FieldEmbedding(7, 1)
    with torch.no_grad():
        table.weight.copy_(torch.cat([own.weight, other.weight], 1))
    joined = layer.over_ids(x, ids, mask, JoinedEmbedding(own, other))
    for one, two in zip(joined, layer.over_ids(x, ids, mask, table), strict=True):
        torch.testing.assert_close(one, two)
