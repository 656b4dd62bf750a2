"""Dropout's masks: their rate, their scale, their gradient, and where torch's own are used."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from rokkit.layers import Dropout, dropped


@given(p=st.floats(0, 1), shape=st.lists(st.integers(0, 5), max_size=3))
def test_every_element_is_dropped_or_scaled(p, shape):
    rate = round(p * 65536) / 65536
    found = dropped(torch.ones(shape), p)
    assert found.shape == tuple(shape)
    assert found.dtype == torch.float32
    values = {round(v, 4) for v in found.flatten().tolist()}
    assert values <= {0.0} | ({round(1 / (1 - rate), 4)} if rate < 1 else set())


@pytest.mark.parametrize("p", [0.0, 0.05, 0.2, 0.5, 0.9])
def test_the_rate_is_p_in_every_column_and_neighbours_are_independent(p):
    torch.manual_seed(0)
    rows = 40_000
    zero = (dropped(torch.ones(rows, 7), p) == 0).double()
    error = 5 * (p * (1 - p) / rows) ** 0.5  # five standard errors
    assert (zero.mean(0) - p).abs().max() <= error + 2**-17
    flat = zero.flatten() - p
    for lag in (1, 2, 3, 4, 7):
        assert abs((flat[lag:] * flat[:-lag]).mean()) <= 5 * p * (1 - p) / (7 * rows - lag) ** 0.5


def test_the_mean_is_kept():
    torch.manual_seed(0)
    assert dropped(torch.ones(200_000), 0.3).mean().item() == pytest.approx(1, abs=0.01)


def test_the_gradient_goes_through_what_was_kept():
    torch.manual_seed(1)
    x = torch.randn(50, 3, requires_grad=True)
    y = dropped(x, 0.25)
    y.sum().backward()
    assert torch.equal(x.grad, torch.where(y == 0, 0.0, 4 / 3))
    assert torch.allclose(y, x * x.grad)
    assert 0 < (y == 0).sum() < y.numel()


def test_the_seed_decides():
    def drawn(seed):
        torch.manual_seed(seed)
        return dropped(torch.ones(64), 0.5), dropped(torch.ones(64), 0.5)

    first, second = drawn(3)
    again, _ = drawn(3)
    other, _ = drawn(4)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)


def test_bfloat16_stays_bfloat16():
    found = dropped(torch.ones(100, dtype=torch.bfloat16), 0.5)
    assert found.dtype == torch.bfloat16
    assert set(found.tolist()) == {0.0, 2.0}


def test_double_precision_is_not_lost():
    x = torch.full((100,), 1 + 2**-40, dtype=torch.float64)
    assert dropped(x, 0.5).max() == 2 * x[0]


def test_the_module_acts_in_training_mode_alone():
    layer, x = Dropout(0.5), torch.randn(20, 20)
    assert (layer(x) == 0).any()
    layer.eval()
    assert layer(x) is x


def test_a_rate_of_zero_draws_nothing():
    torch.manual_seed(0)
    wanted = torch.rand(1)
    torch.manual_seed(0)
    x = torch.randn(0)
    assert dropped(x, 0.0) is x
    assert torch.equal(torch.rand(1), wanted)


def test_other_devices_use_torch(monkeypatch):
    asked = []
    monkeypatch.setattr(functional, "dropout", lambda x, p: asked.append(p) or x)
    dropped(torch.ones(3, device="meta"), 0.25)
    assert asked == [0.25]
