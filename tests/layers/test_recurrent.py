"""Recurrences and the auxiliary loss against loops in numpy and torch's own GRU."""

import numpy as np
import pytest
import torch
from torch import nn

from rokkit.layers import AUGRU, NextBehaviour, StateActivationUnit, StateAttention

B, T, DIM, H = 5, 6, 4, 3
COUNTS = torch.tensor([3, 0, 6, 1, 4])  # behaviours per row
MASK = torch.arange(T) < COUNTS[:, None]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def shaken(module):
    """The module with random weights, so that nothing hides behind a small one."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.8)
    return module


def arrays(module):
    return {name: value.double().numpy() for name, value in module.state_dict().items()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def augru_by_hand(layer, inputs, weights):
    """The last state of each row, one row, step and gate at a time."""
    n = arrays(layer)
    w_u, w_r, w_c = np.split(n["entering.weight"], 3)
    b_u, b_r, b_c = np.split(n["entering.bias"], 3)
    u_u, u_r, u_c = np.split(n["staying.weight"], 3)
    states = []
    for row, attention in zip(inputs.double().numpy(), weights.double().numpy(), strict=True):
        h = np.zeros(H)
        for i, a in zip(row, attention, strict=True):
            u = sigmoid(w_u @ i + u_u @ h + b_u)
            r = sigmoid(w_r @ i + u_r @ h + b_r)
            c = np.tanh(w_c @ i + r * (u_c @ h) + b_c)
            h = (1 - a * u) * h + a * u * c
        states.append(h)
    return np.stack(states)


def test_augru_is_its_equations():
    layer = shaken(AUGRU(DIM, H))
    inputs, weights = torch.randn(B, T, DIM), torch.rand(B, T)
    expected = augru_by_hand(layer, inputs, weights)
    np.testing.assert_allclose(layer(inputs, weights).detach(), expected, rtol=1e-4, atol=1e-5)


def test_augru_with_full_attention_is_a_gru():
    # Kills the form of the public code, in which a = 1 forgets the state. torch's second gate is
    # the share that stays, 1 − u, and comes after the reset gate.
    layer, gru = shaken(AUGRU(DIM, H)), nn.GRU(DIM, H, batch_first=True)
    with torch.no_grad():
        for ours, theirs in (
            (layer.entering.weight, gru.weight_ih_l0),
            (layer.entering.bias, gru.bias_ih_l0),
            (layer.staying.weight, gru.weight_hh_l0),
        ):
            u, r, c = ours.chunk(3)
            theirs.copy_(torch.cat([r, -u, c]))
        gru.bias_hh_l0.zero_()
    inputs = torch.randn(B, T, DIM)
    torch.testing.assert_close(layer(inputs, torch.ones(B, T)), gru(inputs)[1][0])


def test_a_step_without_attention_leaves_the_state_as_it_is():
    # Kills the form of the public code, which moves a state by 1 − u at a = 0.
    layer, inputs, weights = shaken(AUGRU(DIM, H)), torch.randn(B, T, DIM), torch.rand(B, T)
    weights[:, [1, 4]] = 0
    kept = torch.tensor([0, 2, 3, 5])
    torch.testing.assert_close(layer(inputs, weights), layer(inputs[:, kept], weights[:, kept]))
    assert not layer(inputs, torch.zeros(B, T)).any()


def test_the_weights_of_states_are_a_softmax_of_products():
    layer = shaken(StateAttention(DIM, H))
    q, states = torch.randn(B, DIM), torch.randn(B, T, H)
    found, w = layer(q, states, MASK).detach().numpy(), arrays(layer)["query.weight"]
    for row, count in enumerate(COUNTS.tolist()):
        scores = states[row, :count].double().numpy() @ (w @ q[row].double().numpy())
        exp = np.exp(scores)
        np.testing.assert_allclose(found[row, :count], exp / exp.sum(), rtol=1e-4)
        assert not found[row, count:].any()


@pytest.mark.parametrize("training", [True, False])
def test_the_activation_unit_sees_no_padding(training):
    # Kills scores softmaxed before masking and padding in Dice's statistics.
    layer = shaken(StateActivationUnit(DIM, H, (6, 5))).train(training)
    q, states = torch.randn(B, DIM), torch.randn(B, T, H)
    held = torch.where(MASK[..., None], states, 1e3)
    found = layer(q, held, MASK)
    asked = layer.query(q)
    scores = layer.unit(asked, states[MASK], torch.arange(B).repeat_interleave(COUNTS))
    for row, own in enumerate(scores.split(COUNTS.tolist())):
        torch.testing.assert_close(found[row, : COUNTS[row]], own.softmax(0), rtol=1e-4, atol=1e-5)
        assert not found[row, COUNTS[row] :].any()


def test_the_query_of_the_activation_unit_passes_a_prelu():
    layer, q = shaken(StateActivationUnit(DIM, H, (6,))), torch.randn(B, DIM)
    n = arrays(layer.query)
    y = q.double().numpy() @ n["0.weight"].T + n["0.bias"]
    expected = np.where(y > 0, y, n["1.weight"] * y)
    np.testing.assert_allclose(layer.query(q).detach(), expected, rtol=1e-4, atol=1e-5)
    assert (StateActivationUnit(DIM, H, (6,)).query[1].weight == 0.1).all()


def auxiliary_by_hand(layer, states, behaviours, negatives, counts=COUNTS):
    """The mean over pairs of behaviours, one pair at a time."""
    n = arrays(layer)

    def p(h, e):
        y = np.concatenate([n["state.weight"], n["behaviour.weight"]], 1) @ np.concatenate([h, e])
        y = n["rest.1.weight"] @ sigmoid(y + n["state.bias"]) + n["rest.1.bias"]
        return sigmoid(n["rest.3.weight"] @ sigmoid(y) + n["rest.3.bias"])[0]

    h, e, other = (part.double().numpy() for part in (states, behaviours, negatives))
    losses = [
        -np.log(p(h[row, t], e[row, t + 1])) - np.log(1 - p(h[row, t], other[row, t + 1]))
        for row, count in enumerate(counts.tolist())
        for t in range(count - 1)
    ]
    return np.mean(losses)


def parts():
    return torch.randn(B, T, H), torch.randn(B, T, DIM), torch.randn(B, T, DIM)


def test_the_auxiliary_loss_is_its_equation():
    # Kills a state that is shown its own behaviour, and a mean over padding.
    layer, held = shaken(NextBehaviour(H, DIM, (7, 5))), parts()
    expected = auxiliary_by_hand(layer, *held)
    np.testing.assert_allclose(layer(*held, MASK).detach(), expected, rtol=1e-4)


def test_padding_does_not_reach_the_auxiliary_loss():
    layer, held = shaken(NextBehaviour(H, DIM)), parts()
    noisy = [torch.where(MASK[..., None], part, 50) for part in held]
    assert torch.equal(layer(*noisy, MASK), layer(*held, MASK))
    longer = [torch.cat([part, torch.zeros_like(part)], 1) for part in held]
    mask = torch.cat([MASK, torch.zeros_like(MASK)], 1)
    torch.testing.assert_close(layer(*longer, mask), layer(*held, MASK))


@pytest.mark.parametrize("length", [T, 1])
def test_without_two_behaviours_there_is_nothing_to_learn(length):
    layer = NextBehaviour(H, DIM)
    held = [part[:, :length].requires_grad_() for part in parts()]
    loss = layer(*held, torch.arange(length) < torch.tensor([1, 0, 1, 1, 0])[:, None])
    loss.backward()
    assert loss.item() == 0
    assert not any(part.grad.any() for part in held)


def test_the_auxiliary_net_has_the_widths_of_the_public_code():
    widths = [m.out_features for m in NextBehaviour(H, DIM).modules() if isinstance(m, nn.Linear)]
    assert widths == [100, 100, 50, 1]  # the first two are one layer over h ⊕ e
