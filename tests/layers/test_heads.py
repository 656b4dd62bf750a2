"""Attention in heads against loops and against torch's, and what padding may not do."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from rokkit.errors import ConfigError
from rokkit.layers import (
    BehaviourAttention,
    FieldEmbedding,
    HeadAttention,
    attention,
    found,
    target_attention,
)

B, K, D = 5, 6, 8
COUNTS = torch.tensor([3, 0, 6, 1, 4])  # behaviours per row


@pytest.fixture
def inputs():
    """q [B, D], keys [B, K, D] and the mask of COUNTS; keys of padding are noise."""
    torch.manual_seed(0)
    q, keys = torch.randn(B, D, requires_grad=True), torch.randn(B, K, D, requires_grad=True)
    return q, keys, torch.arange(K) < COUNTS[:, None]


def by_loops(layer, heads, q, keys, mask):
    """concat_i Σ_k softmax_k⟨W_b^i z_k, W_a^i q⟩ z_k, row by row and head by head."""
    w_a, w_b = (w.detach().double().numpy() for w in (layer.query.weight, layer.key.weight))
    phi = np.zeros((len(q), heads, D))
    for row, own in enumerate(mask):
        z, target = keys[row][own].detach().double().numpy(), q[row].detach().double().numpy()
        for i, (a, b) in enumerate(zip(np.split(w_a, heads), np.split(w_b, heads), strict=True)):
            weights = np.exp([(b @ one) @ (a @ target) for one in z])
            phi[row, i] = (weights / weights.sum()) @ z if len(z) else 0
    return phi.reshape(len(q), -1)


@pytest.mark.parametrize(("heads", "width"), [(1, 3), (1, 12), (2, 6), (3, 3)])
def test_heads_are_their_equation(inputs, heads, width):
    q, keys, mask = inputs
    layer = HeadAttention(D, heads, width)
    expected = by_loops(layer, heads, q, keys, mask)
    np.testing.assert_allclose(layer(q, keys, mask).detach(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_projected_heads_are_those_of_torch(inputs, heads):
    """Value and gradients. Kills: √D or √W for √h, heads joined in another order."""
    q, keys, mask = inputs
    layer, rows = HeadAttention(D, heads, D, projected=True), COUNTS > 0
    weights = [layer.query.weight, layer.key.weight, layer.value.weight, layer.out.weight]
    expected, _ = functional.multi_head_attention_forward(
        q[None, rows],
        keys[rows].transpose(0, 1),
        keys[rows].transpose(0, 1),
        D,
        heads,
        None,
        None,
        None,
        None,
        False,
        0.0,
        weights[3],
        None,
        key_padding_mask=~mask[rows],
        use_separate_proj_weight=True,
        q_proj_weight=weights[0],
        k_proj_weight=weights[1],
        v_proj_weight=weights[2],
    )
    answered = layer(q, keys, mask)
    torch.testing.assert_close(answered[rows], expected[0], rtol=1e-4, atol=1e-6)
    torch.manual_seed(1)
    along = torch.randn(int(rows.sum()), D)
    of = [q, keys, *weights]
    ours = torch.autograd.grad((answered[rows] * along).sum(), of)
    theirs = torch.autograd.grad((expected[0] * along).sum(), of)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("projected", [False, True])
def test_padding_and_the_order_of_behaviours_change_nothing(inputs, projected):
    q, keys, mask = inputs
    layer = HeadAttention(D, 2, 6, projected=projected)
    phi = layer(q, keys, mask)
    assert phi.shape == (B, D if projected else 2 * D)
    assert not phi[1].any()  # nobody's behaviours
    other = torch.where(mask[..., None], keys, 1e6)
    torch.testing.assert_close(layer(q, other, mask), phi)
    turned = layer(q, keys.flip(1), mask.flip(1))
    torch.testing.assert_close(turned, phi, rtol=1e-5, atol=1e-6)
    of_keys = torch.autograd.grad(phi.sum(), keys)[0]
    assert not of_keys[~mask].any()
    assert torch.isfinite(of_keys).all()


@pytest.mark.parametrize("kind", ["unit", "heads", "projected"])
def test_packed_among_all_and_with_fixed_shapes_are_one(inputs, kind, monkeypatch):
    q, keys, mask = inputs
    torch.manual_seed(2)
    layer = target_attention(kind, D, (4,), 2, 6).eval()
    assert isinstance(layer, BehaviourAttention if kind == "unit" else HeadAttention)
    place = torch.stack([torch.randperm(K)[:4] for _ in range(B)])
    held = place, mask.gather(1, place)

    def answers():
        return found.attend_among((layer, layer), q, keys, (held, held))

    phi, again = answers()
    assert torch.equal(phi, again)
    packed = held[1].flatten().nonzero().squeeze(1)
    k = found.taken(keys, held).flatten(0, 1)[packed]
    torch.testing.assert_close(layer.packed(q, k, packed, held[1]), phi, rtol=1e-5, atol=1e-6)
    for module in (attention, found):
        monkeypatch.setattr(module, "fixed_shapes", lambda _: True)
    torch.testing.assert_close(answers()[0], phi, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fixed", [True, False])
def test_only_what_was_found_is_looked_up(inputs, fixed, monkeypatch):
    """Kills: keys of one part in the other's answer."""
    monkeypatch.setattr(found, "fixed_shapes", lambda _: fixed)
    history = torch.tensor([[[1], [2], [3]], [[4], [0], [0]], [[0], [0], [0]]])
    mask, table, looked_up = history[..., 0] != 0, FieldEmbedding(5, D, std=1.0), []
    table.on_reading = lambda ids: looked_up.extend(ids.flatten().tolist())
    short = torch.tensor([[2], [0], [0]]), mask[:, :1]
    long = torch.tensor([[0, 2], [0, 1], [0, 1]]), mask[:, :2]
    layers, q = [HeadAttention(D, 1, 4) for _ in range(2)], inputs[0][:3]
    keys = table(found.picked(history, (short, long))).flatten(-2)
    answers = found.attend_picked(layers, q, keys, (short, long))
    keys = table.weight[history.squeeze(2)]
    among = found.attend_among(layers, q, keys, (short, long))
    torch.testing.assert_close(answers, among, rtol=1e-5, atol=1e-6)
    assert sorted(i for i in looked_up if i) == [1, 3, 3, 4, 4]
    assert (0 in looked_up) is fixed


@pytest.mark.parametrize(("heads", "width"), [(2, 5), (4, 2)])
def test_a_width_that_heads_cannot_share_is_refused(heads, width):
    with pytest.raises(ConfigError, match=f"attention_dim is {width}; expected a multiple of"):
        HeadAttention(D, heads, width)
