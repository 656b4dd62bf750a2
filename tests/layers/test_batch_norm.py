"""BatchNorm against torch's own, and where it differs on purpose."""

import pytest
import torch
from torch import nn

from rokkit.layers import BatchNorm


def pair(affine=True):
    ours, torchs = BatchNorm(4, affine), nn.BatchNorm1d(4, affine=affine)
    if affine:
        with torch.no_grad():
            for module in (ours, torchs):
                module.weight.copy_(torch.tensor([1.0, 2, 3, 4]))
                module.bias.copy_(torch.tensor([0.5, 0, -1, 2]))
    return ours, torchs


@pytest.mark.parametrize("affine", [True, False])
def test_equals_torchs_own_with_its_running_statistics(affine):
    torch.manual_seed(0)
    ours, torchs = pair(affine)
    for _ in range(3):
        x = torch.randn(7, 4) * 3 + 1
        torch.testing.assert_close(ours(x), torchs(x))
    torch.testing.assert_close(ours.running_mean, torchs.running_mean)
    torch.testing.assert_close(ours.running_var, torchs.running_var)
    torch.testing.assert_close(ours.eval()(x), torchs.eval()(x))


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_for_statistics_use_the_running_ones(rows):
    # torch's own raises for one row, which a training's last batch may have.
    ours, _ = pair()
    ours(torch.randn(7, 4))
    before = ours.running_mean.clone()
    x = torch.randn(rows, 4)
    trained = ours.train()(x)
    assert torch.equal(ours.running_mean, before)
    assert torch.equal(trained, ours.eval()(x))


@pytest.mark.parametrize("affine", [True, False])
def test_masked_rows_count_in_no_statistic(affine):
    # Kills statistics over padding, and a biased running variance.
    torch.manual_seed(0)
    masked, packed = BatchNorm(4, affine), BatchNorm(4, affine)
    x = torch.randn(9, 4) * 2 + 3
    mask = torch.tensor([1, 0, 1, 1, 0, 1, 1, 0, 1]).bool()
    torch.testing.assert_close(masked(x, mask)[mask], packed(x[mask]))
    torch.testing.assert_close(masked.running_mean, packed.running_mean)
    torch.testing.assert_close(masked.running_var, packed.running_var)
    torch.testing.assert_close(masked.eval()(x, mask), masked(x))


@pytest.mark.parametrize("rows", [0, 1])
def test_a_mask_that_leaves_too_few_rows_is_finite_and_changes_nothing(rows):
    norm = BatchNorm(4)
    x = torch.randn(5, 4, requires_grad=True)
    y = norm(x, torch.arange(5) < rows)
    y.sum().backward()
    torch.testing.assert_close(y, x / (1 + norm.eps) ** 0.5)
    assert torch.isfinite(x.grad).all()
    assert torch.equal(norm.running_mean, torch.zeros(4))
    assert torch.equal(norm.running_var, torch.ones(4))
