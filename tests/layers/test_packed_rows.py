"""Behaviours without the padding between them, against the padded ones."""

import pytest
import torch

from rokkit.layers import PackedRows, Rows
from rokkit.layers.attended import products
from rokkit.layers.attention import masked_softmax

T = 6
COUNTS = torch.tensor([3, 0, 6, 1, 4, 0])
MASK = torch.arange(T) < COUNTS[:, None]


def test_rows_lie_one_after_the_other():
    rows = PackedRows.of(MASK)
    assert rows.count.tolist() == COUNTS.tolist()
    assert rows.first.tolist() == [0, 3, 3, 9, 10, 14]
    assert rows.end.tolist() == [3, 3, 9, 10, 14, 14]
    assert rows.row.tolist() == torch.arange(6).repeat_interleave(COUNTS).tolist()


def test_padded_rows_end_where_the_next_begin():
    rows = Rows.padded(COUNTS, 6, T)
    assert rows.first.tolist() == [0, 6, 12, 18, 24, 30]
    assert rows.end.tolist() == [6, 12, 18, 24, 30, 36]
    assert Rows.padded(None, 2, T).count.tolist() == [T, T]


def test_what_is_packed_can_be_unpacked():
    padded = torch.randn(6, T, 2)
    rows = PackedRows.of(MASK)
    packed = rows.pack(padded)
    assert torch.equal(packed, padded[MASK])
    assert torch.equal(rows.unpack(packed), padded * MASK[..., None])


def test_the_softmax_is_that_of_a_mask():
    scores = torch.randn(6, T)
    found = PackedRows.of(MASK).softmax(scores[MASK])
    torch.testing.assert_close(found, masked_softmax(scores, MASK)[MASK])


@pytest.mark.parametrize("mask", [MASK, torch.zeros_like(MASK), torch.ones_like(MASK)])
def test_products_are_those_of_each_row(mask):
    rows = PackedRows.of(mask)
    q, k = torch.randn(6, 5, requires_grad=True), torch.randn(len(rows.row), 5, requires_grad=True)
    found, expected = products(q, k, rows.row), (q[rows.row] * k).sum(1)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(len(k))
    torch.testing.assert_close(
        torch.autograd.grad(found, (q, k), weights), torch.autograd.grad(expected, (q, k), weights)
    )
    with torch.no_grad():
        torch.testing.assert_close(products(q, k, rows.row), expected)
