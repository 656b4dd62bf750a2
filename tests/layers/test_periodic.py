"""HPMN's memory against front-padded loops in numpy, its reader, and its regulariser by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rokkit.layers import MemoryReader, PeriodicMemory, slot_covariance
from rokkit.layers.periodic import every, last_state

D, H = 3, 4


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def gru_step(gru, x, h):
    """A step of torch's GRU in numpy; weights are stacked reset, update, candidate."""
    n = {name: p.detach().double().numpy() for name, p in gru.named_parameters()}
    a = n["weight_ih_l0"] @ x + n["bias_ih_l0"]
    b = n["weight_hh_l0"] @ h + n["bias_hh_l0"]
    size = len(h)
    r, u = sigmoid(a[:size] + b[:size]), sigmoid(a[size : 2 * size] + b[size : 2 * size])
    return (1 - u) * np.tanh(a[2 * size :] + r * b[2 * size :]) + u * h


def front_padded(memory, behaviours):
    """The states of one row by a window that ends with the last behaviour, padding before it."""
    spans = np.cumprod([1, *memory.periods])  # steps between updates of each layer
    window = int(spans[-1]) * (len(behaviours) // int(spans[-1]) + 2)
    padded = [None] * (window - len(behaviours)) + list(behaviours)
    states = [np.zeros(H) for _ in spans]
    for t, behaviour in enumerate(padded, 1):
        if behaviour is None:
            continue
        below = behaviour
        for layer, span in enumerate(spans):
            if t % span:
                break
            states[layer] = gru_step(memory.layers[layer], below, states[layer])
            below = states[layer]
    return np.stack(states)


@pytest.mark.parametrize("periods", [(2,), (2, 2), (2, 3), (3, 2, 2)])
def test_memory_is_that_of_histories_padded_at_the_front(periods):
    # Kills steps counted from the first behaviour, a wrong period, and a state after padding.
    torch.manual_seed(0)
    memory = PeriodicMemory(D, H, periods)
    counts = torch.arange(14)
    mask = torch.arange(13) < counts[:, None]
    behaviours = torch.randn(14, 13, D)
    found = memory(behaviours, mask).detach().numpy()
    assert found.shape == (14, len(periods) + 1, H)
    for row, count in enumerate(counts.tolist()):
        expected = front_padded(memory, behaviours[row, :count].double().numpy())
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)


def test_what_lies_in_padding_is_not_looked_at():
    memory = PeriodicMemory(D, H, (2, 2))
    behaviours, mask = torch.randn(6, 5, D), torch.arange(5) < torch.arange(6)[:, None]
    scrambled = torch.where(mask[..., None], behaviours, torch.full_like(behaviours, 9))
    assert torch.equal(memory(behaviours, mask), memory(scrambled, mask))


def test_a_history_without_behaviours_is_remembered_as_zeros():
    memory = PeriodicMemory(D, H, (2, 2))
    behaviours = torch.randn(2, 5, D, requires_grad=True)
    found = memory(behaviours, torch.zeros(2, 5).bool())
    found.sum().backward()
    assert torch.equal(found, torch.zeros(2, 3, H))
    assert torch.equal(behaviours.grad, torch.zeros(2, 5, D))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(1, 4))
def test_every_takes_each_periodth_step_back_from_the_last(counts, period):
    states = torch.arange(9.0)[None, :, None].expand(len(counts), -1, 1)
    taken, left = every(states, torch.tensor(counts), period)
    for row, count in enumerate(counts):
        kept = list(range(count))[::-1][::period][::-1]
        assert taken[row, : left[row], 0].tolist() == kept
    assert last_state(taken, left).squeeze(1).tolist() == [max(c - 1, 0) for c in counts]


def test_the_reader_is_its_equation():
    torch.manual_seed(0)
    reader = MemoryReader(5, H, 3, (6, 2))
    x, memory = torch.randn(4, 5), torch.randn(4, 3, H)
    n = {name: p.detach().double().numpy() for name, p in reader.named_parameters()}
    found = reader(x, memory).detach().numpy()
    for row in range(4):
        q = n["query.weight"] @ x[row].double().numpy() + n["query.bias"]
        for hop in range(3):
            scores = []
            for m in memory[row].double().numpy():
                s = np.concatenate([q, m, q - m, q * m])
                for layer in (0, 2):
                    w, b = (n[f"scores.{hop}.0.{layer}.{part}"] for part in ("weight", "bias"))
                    s = np.maximum(w @ s + b, 0)
                scores.append((n[f"scores.{hop}.1.weight"] @ s)[0])
            weights = np.exp(scores) / np.exp(scores).sum()
            q = n["step.weight"] @ q + weights @ memory[row].double().numpy()
        np.testing.assert_allclose(found[row], q, rtol=1e-4, atol=1e-5)


def test_covariance_between_layers_by_hand():
    memory = torch.tensor(
        [
            [[1.0, -1], [1, -1]],  # C = [[1, 1], [1, 1]]: √(1² + 1²)
            [[3.0, 1], [2, 6]],  # centred [1, −1] and [−2, 2]: C_01 = −2
            [[1.0, 1], [5, 9]],  # a constant layer varies with none
        ]
    )
    expected = torch.tensor([2**0.5, 8**0.5, 0])
    torch.testing.assert_close(slot_covariance(memory), expected)


def test_covariance_equals_numpys():
    memory = torch.randn(5, 4, 7, generator=torch.Generator().manual_seed(0))
    for one, found in zip(memory.double().numpy(), slot_covariance(memory), strict=True):
        c = np.cov(one, bias=True)
        assert found.item() == pytest.approx(np.linalg.norm(c - np.diag(np.diag(c))), rel=1e-5)


def test_the_gradient_of_no_covariance_is_zero_not_nan():
    # The norm's slope at 0 is not defined; an empty history is there.
    memory = torch.zeros(2, 3, H, requires_grad=True)
    slot_covariance(memory).sum().backward()
    assert torch.equal(memory.grad, torch.zeros(2, 3, H))
