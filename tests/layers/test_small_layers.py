"""MLP, affine, Dice and pairwise products."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rokkit.errors import ConfigError
from rokkit.layers import MLP, Affine, BatchNorm, Dice, Dropout, pair_count, pairwise_products
from rokkit.layers.readout import Readout


def test_mlp_is_linear_relu_linear():
    mlp = MLP(2, (3,), 1)
    with torch.no_grad():
        mlp.hidden[0].weight.copy_(torch.tensor([[1.0, 0], [0, 1], [1, 1]]))
        mlp.hidden[0].bias.copy_(torch.tensor([0.0, 0, -4]))
        mlp.out.weight.copy_(torch.tensor([[1.0, 10, 100]]))
        mlp.out.bias.fill_(0.5)
    # relu(1), relu(-2), relu(1 - 2 - 4); relu(2), relu(3), relu(2 + 3 - 4)
    assert mlp(torch.tensor([[1.0, -2], [2, 3]])).tolist() == [[1.5], [132.5]]


def test_mlp_puts_norm_before_relu_and_dropout_after_it():
    kinds = [type(layer) for layer in MLP(2, (3, 4), 1, dropout=0.5, batch_norm=True).hidden]
    assert kinds == [nn.Linear, BatchNorm, nn.ReLU, Dropout] * 2


@pytest.mark.parametrize("batch_norm", [False, True])
def test_mlp_has_no_bias_that_a_norm_takes_away_again(batch_norm):
    layers = MLP(2, (3, 4), 1, batch_norm=batch_norm).hidden
    biases = [layer.bias is not None for layer in layers if isinstance(layer, nn.Linear)]
    assert biases == [not batch_norm] * 2


def test_mlp_without_hidden_layers_is_linear():
    mlp = MLP(2, (), 3)
    x = torch.randn(4, 2)
    assert torch.equal(mlp(x), mlp.out(x))


@pytest.mark.parametrize("settings", [{"hidden": (0,)}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_mlp_out_of_range_is_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        MLP(2, **{"hidden": (3,), "out_dim": 1} | settings)


def test_affine_scales_and_shifts_and_begins_as_the_identity():
    affine = Affine(2)
    x = torch.tensor([[1.0, 2], [3, 4]])
    assert torch.equal(affine(x), x)
    with torch.no_grad():
        affine.weight.copy_(torch.tensor([2.0, -1]))
        affine.bias.copy_(torch.tensor([0.0, 1]))
    assert affine(x).tolist() == [[2, -1], [6, -3]]


def reference_dice(s, alpha, mean, var):
    p = 1 / (1 + np.exp(-(s - mean) / np.sqrt(var + 1e-5)))
    return p * s + (1 - p) * alpha * s


@pytest.mark.parametrize("training", [True, False])
def test_dice_is_its_equation(training):
    # Kills p and 1 − p exchanged, which α = 0 alone would not show.
    torch.manual_seed(0)
    dice = Dice(3).train(training)
    with torch.no_grad():
        dice.alpha.copy_(torch.tensor([0.0, 0.3, -0.5]))
    s = torch.randn(8, 3) * 2 + 1
    n = s.double().numpy()
    mean, var = (n.mean(0), n.var(0)) if training else (np.zeros(3), np.ones(3))
    expected = reference_dice(n, np.array([0.0, 0.3, -0.5]), mean, var)
    np.testing.assert_allclose(dice(s).detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_dice_with_a_mask_equals_dice_of_the_kept_rows():
    torch.manual_seed(0)
    masked, packed = Dice(3), Dice(3)
    s, mask = torch.randn(8, 3), torch.arange(8) % 3 != 0
    torch.testing.assert_close(masked(s, mask)[mask], packed(s[mask]))
    torch.testing.assert_close(masked.norm.running_var, packed.norm.running_var)


@given(st.integers(1, 5), st.integers(2, 6), st.integers(1, 4))
def test_pairwise_products_are_all_i_below_j_in_order(rows, m, d):
    v = torch.randn(rows, m, d, generator=torch.Generator().manual_seed(m))
    expected = [
        [sum(float(a * b) for a, b in zip(one[i], one[j], strict=True))
         for i in range(m) for j in range(i + 1, m)]
        for one in v
    ]  # fmt: skip
    found = pairwise_products(v)
    assert found.shape == (rows, pair_count(m))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_to_one_number_stays_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    one, x = Readout(7), torch.randn(5, 7, requires_grad=True)
    expected = x @ one.weight.t() + one.bias
    of_x, of_weight = torch.autograd.grad(expected.sum(), (x, one.weight))
    with torch.autocast("cpu", torch.bfloat16):
        found, half = one(x), one(x.bfloat16())
        assert torch.is_autocast_enabled("cpu")
    assert found.dtype == half.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(half, x.bfloat16().float() @ one.weight.t() + one.bias)
    got = torch.autograd.grad(found.sum(), (x, one.weight))
    torch.testing.assert_close(got, (of_x, of_weight))
