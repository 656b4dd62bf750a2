"""Attention against loops in numpy, and what padding may not do."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rokkit.layers import (
    ActivationUnit,
    BehaviourAttention,
    BilinearUnit,
    NeighbourAttention,
    attention,
    masked_softmax,
)

COUNTS = torch.tensor([3, 0, 5, 1, 4])  # behaviours per row


@pytest.fixture
def inputs():
    """q [5, 4], keys [5, 5, 4] and the mask of COUNTS; keys of padding are noise."""
    torch.manual_seed(0)
    return torch.randn(5, 4), torch.randn(5, 5, 4), torch.arange(5) < COUNTS[:, None]


def shaken(unit):
    """The unit with random weights and Dice statistics, so that nothing hides behind a zero."""
    with torch.no_grad():
        for parameter in unit.parameters():
            parameter.normal_(std=0.7)
        for dice in getattr(unit, "dices", []):
            dice.norm.running_mean.normal_()
            dice.norm.running_var.uniform_(0.5, 2)
    return unit


def four_way_scores(unit, q, k, training):
    """Scores of k [n, D] for q [n, D] by one matrix over [q, k, q − k, q∘k], as the text has it."""
    n = {name: value.double().numpy() for name, value in unit.state_dict().items()}
    d = q.shape[1]
    w_q, (w_k, w_p) = n["query.weight"], np.split(n["key.weight"], 2, axis=1)
    w_minus = np.random.default_rng(0).normal(size=w_q.shape)  # any: the sum takes it away again
    w = np.concatenate([w_q - w_minus, w_k + w_minus, w_minus, w_p], axis=1)
    assert w.shape[1] == 4 * d
    s = np.concatenate([q, k, q - k, q * k], axis=1) @ w.T + n["query.bias"]
    for i in range(2):
        mean, var = n[f"dices.{i}.norm.running_mean"], n[f"dices.{i}.norm.running_var"]
        if training:
            mean, var = s.mean(0), s.var(0)
        p = 1 / (1 + np.exp(-(s - mean) / np.sqrt(var + 1e-5)))
        s = p * s + (1 - p) * n[f"dices.{i}.alpha"] * s
        s = s @ n[f"linears.{i}.weight"].T + n.get(f"linears.{i}.bias", 0)
    return s[:, 0]


def attended(scores_of, q, keys, mask):
    """Σ softmax(scores) k by loops; `scores_of` sees the behaviours of all rows at once."""
    q, keys, mask = q.double().numpy(), keys.double().numpy(), mask.numpy()
    rows = np.repeat(np.arange(len(q)), mask.sum(1))
    scores = scores_of(q[rows], keys[mask])
    phi = np.zeros_like(q)
    for row in range(len(q)):
        own = scores[rows == row]
        if len(own):
            weights = np.exp(own - own.max())
            phi[row] = (weights / weights.sum()) @ keys[row][mask[row]]
    return phi


@pytest.mark.parametrize("training", [True, False])
def test_din_unit_equals_the_four_way_concatenation(inputs, training):
    # Kills a wrong split of the first layer, q − k turned round, and statistics over padding.
    q, keys, mask = inputs
    unit = shaken(ActivationUnit(4, (6, 3))).train(training)
    expected = attended(lambda a, b: four_way_scores(unit, a, b, training), q, keys, mask)
    found = BehaviourAttention(unit).train(training)(q, keys, mask)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    assert not found[1].any()


def test_bilinear_unit_is_its_equation(inputs):
    q, keys, mask = inputs
    unit = shaken(BilinearUnit(4))
    w, b = unit.query.weight.double().detach().numpy(), unit.query.bias.double().detach().numpy()
    expected = attended(lambda a, k: ((a @ w.T + b) * k).sum(1), q, keys, mask)
    found = BehaviourAttention(unit)(q, keys, mask)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("make", [lambda: ActivationUnit(4, (6, 3)), lambda: BilinearUnit(4)])
def test_packing_padding_away_changes_nothing(inputs, training, make, monkeypatch):
    # Values, gradients and Dice's running statistics.
    _, keys, mask = inputs
    states = []
    for fixed in (False, True):
        monkeypatch.setattr(attention, "fixed_shapes", lambda _, fixed=fixed: fixed)
        torch.manual_seed(1)
        unit = shaken(make())
        layer = BehaviourAttention(unit).train(training)
        q = inputs[0].clone().requires_grad_()
        phi = layer(q, keys, mask)
        phi.square().sum().backward()
        grads = {name: p.grad for name, p in unit.named_parameters()}
        states.append((phi, q.grad, grads, dict(unit.named_buffers())))
    torch.testing.assert_close(*states, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_padding_is_not_looked_at(inputs, training):
    q, keys, mask = inputs
    layer = BehaviourAttention(shaken(ActivationUnit(4, (6, 3)))).train(training)
    scrambled = torch.where(mask[..., None], keys, torch.full_like(keys, 1e4))
    torch.testing.assert_close(layer(q, keys, mask), layer(q, scrambled, mask))


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_of_users_without_behaviours_gives_zeros_and_finite_gradients(training):
    layer = BehaviourAttention(ActivationUnit(4, (6, 3))).train(training)
    q = torch.randn(3, 4, requires_grad=True)
    phi = layer(q, torch.randn(3, 2, 4), torch.zeros(3, 2).bool())
    phi.sum().backward()
    assert torch.equal(phi, torch.zeros(3, 4))
    assert torch.equal(q.grad, torch.zeros(3, 4))
    assert all(torch.isfinite(b).all() for b in layer.buffers())


@pytest.mark.parametrize("scale", [True, False])
def test_neighbour_weights_are_a_softmax_of_products(inputs, scale):
    x, s, mask = inputs
    layer = NeighbourAttention(4, scale)
    w, b = (p.double().detach().numpy() for p in layer.query.parameters())
    found = layer(x, s, mask).detach().numpy()
    for row, count in enumerate(COUNTS.tolist()):
        asked = w @ x[row].double().numpy() + b
        scores = np.array([asked @ s[row, k].double().numpy() for k in range(count)])
        exp = np.exp(scores / (2 if scale else 1))  # √4 = 2
        np.testing.assert_allclose(found[row, :count], exp / exp.sum(), rtol=1e-4)
        assert not found[row, count:].any()


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=5))
def test_masked_softmax_is_the_softmax_of_what_is_kept(mask):
    mask = torch.tensor(mask)
    scores = torch.randn(mask.shape, generator=torch.Generator().manual_seed(0)) * 10
    weights = masked_softmax(scores, mask)
    for row in range(len(mask)):
        torch.testing.assert_close(weights[row][mask[row]], scores[row][mask[row]].softmax(0))
        assert not weights[row][~mask[row]].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_masked_softmax_of_huge_scores_is_finite_in_every_precision(dtype):
    # Kills a mask value such as −1e6 or −2³²: real scores can lie below it, or it overflows.
    scores = torch.tensor([[-3e4, -2e4, 9.0], [1.0, 1, 1]], dtype=dtype, requires_grad=True)
    weights = masked_softmax(scores, torch.tensor([[True, True, False], [False] * 3]))
    weights.sum().backward()
    assert weights.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert torch.isfinite(scores.grad).all()
