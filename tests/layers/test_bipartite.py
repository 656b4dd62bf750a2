"""Messages between samples and ids against an incidence matrix, which the layers never make."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rokkit.layers import id_nodes, to_ids, to_samples

shapes = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(0, 10_000))


def drawn(rows, fields, seed):
    """(ids [B, F] with many repeats, samples [B, 3], ids' messages [B, F, 3], kept [B, F])."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 3, (rows, fields), generator=generator).int()
    ids += 10 * torch.arange(fields)  # of one field each
    samples = torch.randn(rows, 3, generator=generator).double()
    messages = torch.randn(rows, fields, 3, generator=generator).double()
    return ids, samples, messages, torch.rand(rows, fields, generator=generator) < 0.5


def incidence(ids, kept):
    """[B, 64]: 1 where a sample has an id along an edge that is kept."""
    matrix = np.zeros((len(ids), 64))
    for t, i in zip(*np.nonzero(kept.numpy()), strict=True):
        matrix[t, int(ids[t, i])] = 1
    return matrix


@given(shapes)
def test_nodes_are_equal_where_ids_are(shape):
    ids, *_ = drawn(*shape)
    nodes, flat = id_nodes(ids).flatten(), ids.flatten()
    assert nodes.dtype == torch.int64
    assert torch.equal(nodes[:, None] == nodes, flat[:, None] == flat)
    assert sorted(set(nodes.tolist())) == list(range(len(flat.unique())))


@given(shapes)
def test_an_id_gets_the_mean_over_its_samples(shape):
    ids, samples, _, kept = drawn(*shape)
    edges = incidence(ids, kept)
    table = edges.T @ samples.numpy() / np.maximum(edges.sum(0), 1)[:, None]
    found = to_ids(samples, id_nodes(ids), kept)
    np.testing.assert_allclose(found.numpy(), table[ids.numpy()], atol=1e-12)


@given(shapes)
def test_a_sample_gets_the_mean_over_its_ids(shape):
    _, _, messages, kept = drawn(*shape)
    found = to_samples(messages, kept)
    for t, row in enumerate(messages.numpy()):
        held = row[kept[t].numpy()]
        np.testing.assert_allclose(found[t].numpy(), held.mean(0) if len(held) else np.zeros(3))


@given(shapes)
def test_without_a_mask_every_edge_is_kept(shape):
    ids, samples, messages, kept = drawn(*shape)
    every, nodes = torch.ones_like(kept), id_nodes(ids)
    torch.testing.assert_close(to_samples(messages), to_samples(messages, every))
    torch.testing.assert_close(to_ids(samples, nodes), to_ids(samples, nodes, every))


@pytest.mark.parametrize("fields", [1, 3])
def test_gradients_are_those_of_finite_differences(fields):
    ids, samples, messages, kept = drawn(4, fields, 0)
    nodes = id_nodes(ids)
    assert torch.autograd.gradcheck(lambda s: to_ids(s, nodes, kept), samples.requires_grad_())
    assert torch.autograd.gradcheck(lambda m: to_samples(m, kept), messages.requires_grad_())
