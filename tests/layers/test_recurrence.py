"""The compiled recurrences against torch's own operations, states and gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import rokkit.layers.recurrence as recurrence
import rokkit.layers.recurrence_blocks as recurrence_blocks
import rokkit.layers.recurrent as recurrent
from rokkit.layers import AUGRU, GRU, PackedRows
from rokkit.layers.recurrence_kernel import SPAN, exponentials

B, T, DIM = 6, 7, 5
COUNTS = torch.tensor([3, 0, 7, 1, 4, 7])
MASK = torch.arange(T) < COUNTS[:, None]
# Of a state: below, at, past a vector, and past a strip of the kernel.
WIDTHS = pytest.mark.parametrize("width", [1, 3, 8, 13, 32, 40])
SPREADS = {32: 0.3, 40: 0.3}  # of weights: sums of many large products saturate the gates


def shaken(module, std=0.7):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=std)
    return module


def gradients(outcome, *wanted):
    torch.manual_seed(5)
    return torch.autograd.grad(outcome, wanted, torch.randn(outcome.shape))


@pytest.fixture
def by_torch(monkeypatch):
    """Lets torch's operations take over."""

    def take_over():
        for module in (recurrence, recurrent):
            monkeypatch.setattr(module, "loops_apply", lambda tensor: False)

    return take_over


@WIDTHS
def test_the_gru_is_that_of_torch(by_torch, width):
    torch.manual_seed(0)
    layer = shaken(GRU(DIM, width), SPREADS.get(width, 0.7))
    inputs = torch.randn(B, T, DIM, requires_grad=True)
    found = layer(inputs, COUNTS) * MASK[..., None]
    found_gradients = gradients(found, inputs, *layer.parameters())
    by_torch()
    expected = layer(inputs, COUNTS) * MASK[..., None]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    expected_gradients = gradients(expected, inputs, *layer.parameters())
    torch.testing.assert_close(found_gradients, expected_gradients, rtol=1e-4, atol=1e-5)


@WIDTHS
def test_the_augru_is_that_of_torch(by_torch, width):
    torch.manual_seed(0)
    layer = shaken(AUGRU(DIM, width), SPREADS.get(width, 0.7))
    inputs = torch.randn(B, T, DIM, requires_grad=True)
    weights = (torch.rand(B, T) * MASK).requires_grad_()
    asked = (inputs, weights, *layer.parameters())
    found = layer(inputs, weights, COUNTS)
    found_gradients = gradients(found, *asked)
    whole = layer(inputs, weights)  # no count: every step is one of a behaviour
    whole_gradients = gradients(whole, *asked)
    by_torch()
    expected = layer(inputs, weights)
    expected_gradients = list(gradients(expected, *asked))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(whole, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(whole_gradients, tuple(expected_gradients), rtol=1e-4, atol=1e-5)
    expected_gradients[1] = expected_gradients[1] * MASK  # padding has no weight to learn
    torch.testing.assert_close(found_gradients, tuple(expected_gradients), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [GRU, AUGRU])
def test_a_row_does_not_depend_on_the_others_or_on_padding(make):
    torch.manual_seed(0)
    layer, inputs, weights = shaken(make(DIM, 4)), torch.randn(B, T, DIM), torch.rand(B, T)

    def states(rows, steps):
        given = (inputs[rows, :steps], COUNTS[rows])
        if make is GRU:
            return layer(*given)[:, -1]
        return layer(given[0], weights[rows, :steps], given[1])

    together = states(slice(None), T)
    for row in range(B):
        one = slice(row, row + 1)
        torch.testing.assert_close(states(one, T)[0], together[row])
        if COUNTS[row] > 0:
            torch.testing.assert_close(states(one, int(COUNTS[row]))[0], together[row])
    assert not together[1].any()


def many():
    """More rows than a block has, of all counts, with a last group that is not full."""
    torch.manual_seed(1)
    counts = torch.randint(0, 51, (101,))
    counts[:2] = torch.tensor([0, 50])
    return torch.randn(101, 50, DIM, requires_grad=True), torch.rand(101, 50), counts


@pytest.mark.parametrize("make", [GRU, AUGRU])
def test_many_rows_are_as_torch_has_them(by_torch, make):
    inputs, weights, counts = many()
    layer, mask = make(DIM, 8), torch.arange(50) < counts[:, None]

    def outcome():
        if make is AUGRU:
            return layer(inputs, weights * mask, counts)
        return layer(inputs, counts) * mask[..., None]

    found = outcome()
    found_gradients = gradients(found, inputs, *layer.parameters())
    by_torch()
    expected = outcome()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    expected_gradients = gradients(expected, inputs, *layer.parameters())
    for one, other in zip(found_gradients, expected_gradients, strict=True):  # sums of thousands
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(1 + other.abs().max()))


@pytest.mark.parametrize("make", [GRU, AUGRU])
def test_rows_without_padding_are_the_same_in_any_order(make):
    inputs, weights, counts = many()
    layer, order = shaken(make(DIM, 8)), torch.randperm(101)
    mask = torch.arange(50) < counts[:, None]

    def outcome(rows, inputs, weights):
        packed = PackedRows.of(mask[rows])
        given = [packed.pack(t[rows]) for t in ([inputs] if make is GRU else [inputs, weights])]
        found = layer.over(*given, packed)
        return packed.unpack(found) if make is GRU else found

    whole = outcome(torch.arange(101), inputs, weights)
    padded = (
        layer(inputs, counts) * mask[..., None] if make is GRU else layer(inputs, weights, counts)
    )
    torch.testing.assert_close(whole, padded)
    torch.testing.assert_close(gradients(whole, inputs), gradients(padded, inputs))
    torch.testing.assert_close(outcome(order, inputs, weights), whole[order])
    for part in order.split(30):
        torch.testing.assert_close(outcome(part, inputs, weights), whole[part])


@pytest.mark.parametrize("make", [GRU, AUGRU])
def test_under_autocast_states_are_the_same_bits(make):
    inputs, weights, counts = many()
    layer = make(DIM, 8)
    given = (inputs, counts) if make is GRU else (inputs, weights, counts)
    expected = layer(*given)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(*given), expected)


def test_a_batch_without_behaviours_teaches_nothing():
    layer, inputs = AUGRU(DIM, 4), torch.randn(B, T, DIM, requires_grad=True)
    found = layer(inputs, torch.ones(B, T), torch.zeros(B, dtype=torch.int64))
    assert not found.any()
    assert not any(one.any() for one in gradients(found, inputs, *layer.parameters()))
    rows = PackedRows.of(torch.zeros(B, T, dtype=torch.bool))
    assert not layer.over(torch.empty(0, DIM), torch.empty(0), rows).any()


def test_without_a_way_back_states_are_the_same_bits_and_nothing_is_kept(monkeypatch):
    torch.manual_seed(0)
    layer, inputs = shaken(GRU(DIM, 8)), torch.randn(B, T, DIM)
    with_gradients = layer(inputs, COUNTS)
    kept = []
    run = recurrence_blocks.run
    monkeypatch.setattr(
        recurrence_blocks, "run", lambda *given: (kept.append(given[-1].size), run(*given))
    )
    with torch.no_grad():
        assert torch.equal(layer(inputs, COUNTS), with_gradients)
    layer(inputs, COUNTS)
    steps = 7 + 1  # of the four longest rows side by side, and of the other two
    assert kept == [0, steps * 4 * SPAN]


@WIDTHS
@pytest.mark.parametrize("make", [GRU, AUGRU])
def test_a_row_by_itself_that_learns_nothing_has_the_same_states(make, width):
    """It has a loop of its own then; rows without behaviours are among those."""
    torch.manual_seed(0)
    layer = shaken(make(DIM, width), SPREADS.get(width, 0.7))
    inputs, weights = torch.randn(B, T, DIM), torch.rand(B, T)
    mask = MASK[..., None] if make is GRU else True  # a GRU's states after the last mean nothing

    def states(rows):
        given = (inputs[rows],) if make is GRU else (inputs[rows], weights[rows])
        return layer(*given, COUNTS[rows])

    with torch.no_grad():
        together = states(slice(None)) * mask
        alone = torch.cat([states(slice(row, row + 1)) for row in range(B)]) * mask
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-6)


def test_it_goes_back_twice():
    torch.manual_seed(0)
    layer, inputs = shaken(AUGRU(DIM, 3)), torch.randn(B, T, DIM, requires_grad=True)
    found = layer(inputs, torch.rand(B, T), COUNTS).sum()
    first = torch.autograd.grad(found, inputs, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(found, inputs)[0], first)


def test_weights_of_torchs_gru_can_be_loaded():
    torch.manual_seed(0)
    theirs, ours = nn.GRU(DIM, 4, batch_first=True), GRU(DIM, 4)
    ours.load_state_dict(theirs.state_dict())
    inputs = torch.randn(B, T, DIM)
    expected = theirs(inputs)[0]
    found = ours(inputs, torch.full((B,), T))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@given(st.lists(st.floats(-86, 86, width=32), min_size=1, max_size=40))
def test_exponentials_are_right_to_the_last_bits(numbers):
    x = np.array(numbers, np.float32)
    found = x.copy()
    exponentials(found, np.empty(len(x), np.int32), len(x))
    np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=1e-5)
    near = np.abs(x) < 10
    np.testing.assert_allclose(found[near], np.exp(x[near].astype(np.float64)), rtol=1e-6)


def test_exponentials_end_where_float32_ends():
    x = np.array([-1e30, -88, 88, 1e30, np.inf, -np.inf], np.float32)
    exponentials(x, np.empty(6, np.int32), 6)
    assert np.isfinite(x).all()
    assert (x[[0, 1, 5]] < 1e-37).all()
    assert (x[[2, 3, 4]] > 1e37).all()


@pytest.mark.parametrize("make", [GRU, AUGRU])
def test_a_number_that_is_none_stays_one(make):
    # A training that diverges must be seen to: a clamped NaN would look like a number again.
    layer, inputs = shaken(make(DIM, 4)), torch.randn(B, T, DIM)
    inputs[2, 1] = torch.nan
    given = (inputs, COUNTS) if make is GRU else (inputs, torch.ones(B, T), COUNTS)
    found = layer(*given)
    assert found[2].isnan().any()
    assert not found[[0, 3, 4, 5]].isnan().any()
