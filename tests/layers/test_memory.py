"""MIMN's memory against a Turing machine written in loops over rows, steps and slots."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rokkit.layers import UserMemory, usage_variance
from rokkit.layers.addressing import address, spread, unit, write
from rokkit.layers.memory import SplitGRUCell

B, T, S, D, H = 6, 5, 4, 3, 7
COUNTS = [5, 0, 2, 1, 5, 3]
SWITCHES = [(False, False), (True, False), (False, True), (True, True)]
switches = pytest.mark.parametrize(("utilisation", "induction"), SWITCHES)


@pytest.fixture
def inputs():
    """behaviours [B, T, D], noise where padding is, and their mask."""
    torch.manual_seed(0)
    return torch.randn(B, T, D), torch.arange(T) < torch.tensor(COUNTS)[:, None]


def made(utilisation, induction):
    """A memory whose weights are large enough for every part to matter."""
    torch.manual_seed(1)
    memory = UserMemory(D, H, S, utilisation, induction)
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter.normal_(std=0.6)
        memory.start.normal_(std=0.5)
    return memory


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def softplus(v):
    return np.log1p(np.exp(v))


def softmax(v):
    return np.exp(v) / np.exp(v).sum()


def cosine(a, b):
    return a @ b / (np.sqrt(a @ a) * np.sqrt(b @ b) + 1e-8)


def gru(n, name, x, v, h):
    """One step of the cell `name` on x ⊕ v."""
    size = len(h)
    w = np.concatenate([n[f"{name}.input.weight"], n[f"{name}.carried.weight"]], 1)
    a = w @ np.concatenate([x, v]) + n[f"{name}.input.bias"]
    b = n[f"{name}.hidden.weight"] @ h + n[f"{name}.hidden.bias"]
    r, u = sigmoid(a[:size] + b[:size]), sigmoid(a[size : 2 * size] + b[size : 2 * size])
    return u * h + (1 - u) * np.tanh(a[2 * size :] + r * b[2 * size :])


def overflow(w, logits, focus):
    """Weights shifted by circular convolution, then sharpened."""
    s = softmax(logits)
    mixed = np.zeros(S)
    for slot in range(S):
        for offset, share in ((0, s[0]), (1, s[1]), (-1, s[2])):
            mixed[(slot + offset) % S] += share * w[slot]
    sharp = mixed ** (4 * (softplus(focus) + 1))
    return sharp / sharp.sum()


def turing(n, behaviours, q, utilisation, induction):
    """(output for q, sum_aggre, usage, channels) of one row of behaviours."""
    memory, keys = np.tanh(n["start"]), np.tanh(n["keys"])
    h, v = np.zeros(H), np.tanh(n["first_read"])
    aggregate, usage, channels = np.zeros((S, D)), np.zeros(S), np.zeros((S, D))

    def act(x):
        state = gru(n, "controller", x, v, h)
        told = np.concatenate([state, usage / 400]) if utilisation else state
        orders = np.clip(n["orders.weight"] @ told + n["orders.bias"], -20, 20)
        weights = []
        for head in range(2):
            k = np.tanh(orders[head * D : (head + 1) * D])
            beta = 2 * (softplus(orders[2 * D + head]) + 1)
            similar = [(cosine(k, keys[s]) + cosine(k, memory[s])) / 2 for s in range(S)]
            weights.append(softmax(beta * np.array(similar)))
        return state, told, weights, sigmoid(orders[-2 * D : -D]), np.tanh(orders[-D:])

    for x in behaviours:
        state, told, (reading, writing), erase, add = act(x)
        if utilisation:
            spreading = np.clip(n["spreading.weight"] @ told + n["spreading.bias"], -20, 20)
            writing = overflow(writing, spreading[:3], spreading[3])
        if induction:
            top = int(np.argmax(reading))
            channels[top] = gru(n, "induction.cell", x, memory[top], channels[top])
        h, v = state, reading @ memory
        memory = memory * (1 - np.outer(writing, erase)) + np.outer(writing, add)
        aggregate = aggregate + np.outer(writing, add)
        usage = usage + writing
    state, _, (reading, _), _, _ = act(q)
    output = n["output.weight"] @ np.concatenate([state, reading @ memory]) + n["output.bias"]
    return output, aggregate, usage, channels


@switches
def test_memory_is_a_turing_machine(inputs, utilisation, induction):
    # Kills a wrong head, a wrong order of read and write, padding that writes, and Σ a_t / S for
    # the mean of what was written.
    behaviours, mask = inputs
    memory, q = made(utilisation, induction), torch.randn(B, D)
    n = {name: value.double().numpy() for name, value in memory.state_dict().items()}
    state = memory(behaviours, mask)
    output = memory.recall(q, state)
    for row, count in enumerate(COUNTS):
        expected = turing(
            n, behaviours[row, :count].double().numpy(), q[row].double().numpy(),
            utilisation, induction,
        )  # fmt: skip
        found = (output[row], state.added[row] / S, state.usage[row], state.channels[row])
        wanted = (expected[0], expected[1].mean(0), *expected[2:])
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("far", ["orders", "spreading"])
def test_what_the_heads_are_told_is_clipped(inputs, far):
    # Far orders: a sharpness of 2 · (20 + 1) at most, and a spread to the power 4 · (20 + 1).
    behaviours, mask = inputs
    memory, q = made(True, True), torch.randn(B, D)
    with torch.no_grad():
        if far == "orders":
            memory.orders.weight *= 40
        else:
            memory.spreading.weight.zero_()
            memory.spreading.bias.copy_(torch.tensor([0.0, 0, 0, 100]))
    n = {name: value.double().numpy() for name, value in memory.state_dict().items()}
    state = memory(behaviours[:, :1], mask[:, :1])
    output = memory.recall(q, state)
    for row in range(B):
        own = behaviours[row, : min(COUNTS[row], 1)].double().numpy()
        expected = turing(n, own, q[row].double().numpy(), True, True)
        for found, wanted in ((output[row], expected[0]), (state.usage[row], expected[2])):
            np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-3, atol=1e-4)


def test_slots_begin_tiny_and_fixed_with_trained_keys_that_differ():
    # mimn.py: σ of 1e-5 for what slots hold, not trained, and of .5 for their keys.
    torch.manual_seed(0)
    memory = UserMemory(300, H, S)
    assert memory.start.std().item() == pytest.approx(1e-5, rel=0.1)
    assert memory.keys.std().item() == pytest.approx(0.5, rel=0.1)
    trained = dict(memory.named_parameters())
    assert "keys" in trained
    assert "start" not in trained
    for slots in (memory.start, memory.keys.detach()):
        assert torch.cdist(slots, slots).add(torch.eye(S)).min() > 1e-5


@switches
def test_padding_writes_nothing(inputs, utilisation, induction):
    behaviours, mask = inputs
    memory = made(utilisation, induction)
    scrambled = torch.where(mask[..., None], behaviours, torch.full_like(behaviours, 50))
    for a, b in zip(memory(behaviours, mask), memory(scrambled, mask), strict=True):
        assert torch.equal(a, b)
    state = memory(behaviours, mask)
    assert torch.equal(state.memory[1], memory.start.tanh())  # no behaviour at all
    assert not state.added[1].any()
    assert not state.usage[1].any()
    torch.testing.assert_close(state.usage.sum(1), torch.tensor(COUNTS).float())


def test_the_cell_is_torchs_gru_cell():
    torch.manual_seed(0)
    cell, reference = SplitGRUCell(4, 3, 5), nn.GRUCell(7, 5)
    with torch.no_grad():
        reference.weight_ih.copy_(torch.cat([cell.input.weight, cell.carried.weight], 1))
        reference.weight_hh.copy_(cell.hidden.weight)
        reference.bias_ih.copy_(cell.input.bias)
        reference.bias_hh.copy_(cell.hidden.bias)
    x, v, h = torch.randn(6, 4), torch.randn(6, 3), torch.randn(6, 5)
    torch.testing.assert_close(cell(cell.input(x), v, h), reference(torch.cat([x, v], 1), h))


def test_an_address_by_hand():
    # β = ln 3; k is along the first slot's key and content, against the second's.
    k = torch.tensor([[[2.0, 0]]])
    memory = torch.tensor([[[5.0, 0], [-1, 0], [0, 0]]])
    keys = torch.tensor([[1.0, 0], [-1, 0], [0, 1]])
    weights = address(k, torch.tensor([[3.0]]).log(), memory, keys)
    expected = torch.tensor([3, 1 / 3, 1])  # 3^1, 3^-1, 3^0: the cosine with a zero vector is 0
    torch.testing.assert_close(weights[0, 0], expected / expected.sum())


def test_a_zero_vector_has_a_finite_gradient():
    v = torch.zeros(2, 3, requires_grad=True)
    unit(v).sum().backward()
    assert torch.isfinite(v.grad).all()
    assert torch.equal(unit(v), torch.zeros(2, 3))
    scaled = torch.tensor([[3e-6, 4e-6]])  # as a memory begins: tiny, and a direction all the same
    torch.testing.assert_close(unit(scaled), torch.tensor([[0.6, 0.8]]))


def test_a_write_by_hand():
    memory = torch.tensor([[[1.0, 2], [3, 4]]])
    w, erase, add = torch.tensor([[0.5, 0]]), torch.tensor([[1.0, 0.5]]), torch.tensor([[10.0, 20]])
    expected = [[[0.5 + 5, 2 * 0.75 + 10], [3, 4]]]
    assert write(w, erase, add, memory).tolist() == expected


def test_spreading_by_hand():
    w, focus = torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([2.0])
    shift = torch.tensor([[0.5, 0.3, 0.2]])  # stay, to the next slot, to the one before
    expected = torch.tensor([[0.25, 0.09, 0, 0.04]]) / 0.38
    torch.testing.assert_close(spread(w, shift, focus), expected)


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.floats(4, 90))
def test_spread_weights_sum_to_one_with_finite_gradients(weights, focus):
    # Also where all the weight is far from a slot, whose logarithm would be −∞.
    w = torch.tensor([weights], requires_grad=True)
    shift = torch.tensor([[1.0, 0, 0]], requires_grad=True)
    found = spread(w, shift, torch.tensor([focus]))
    found.square().sum().backward()
    assert found.sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.isfinite(w.grad).all()
    assert torch.isfinite(shift.grad).all()


def test_usage_variance_by_hand():
    usage = torch.tensor([[2.0, 2, 2, 2], [4, 0, 0, 0], [0, 0, 0, 0]])
    assert usage_variance(usage).tolist() == [0, (9 + 1 + 1 + 1) / 4, 0]


def test_the_usage_penalty_moves_writes_but_no_address():
    # After one behaviour usage depends on the spreading alone; the addressed weights are detached.
    memory = made(True, False)
    state = memory(torch.randn(5, 1, D), torch.ones(5, 1).bool())
    usage_variance(state.usage).sum().backward()
    assert memory.spreading.weight.grad.any()
    assert memory.controller.input.weight.grad.any()
    assert memory.orders.weight.grad is None
    assert memory.keys.grad is None


def test_the_induction_unit_updates_the_slot_read_most_and_no_other(inputs):
    behaviours, mask = inputs
    state = made(False, True)(behaviours, mask)
    touched = state.channels.any(2).sum(1)
    assert touched[1] == 0  # no behaviours
    assert touched[3] == 1  # one
    assert (touched <= torch.tensor(COUNTS)).all()


def test_the_induction_unit_trains_itself_and_not_what_is_written(inputs):
    memory = made(False, True)
    memory(*inputs).channels.square().sum().backward()
    assert memory.induction.cell.carried.weight.grad.any()
    assert memory.orders.weight.grad is None
    assert memory.keys.grad is None


@switches
def test_a_batch_of_users_without_behaviours_trains(utilisation, induction):
    memory = UserMemory(D, H, S, utilisation, induction)
    state = memory(torch.zeros(3, 2, D), torch.zeros(3, 2).bool())
    (memory.recall(torch.randn(3, D), state).sum() + usage_variance(state.usage).sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in memory.parameters() if p.grad is not None)
    assert memory.output.weight.grad.any()
