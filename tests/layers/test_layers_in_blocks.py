"""The compiled layers of DIN's attention, against torch's operations."""

import pytest
import torch
from torch import nn

from rokkit.layers import ActivationUnit, BehaviourAttention, Dice, attended, blocks, dice, pairs

ROWS = [0, 1, 2, 9, 64, 200]  # with blocks of 64: none, a part, just one, several


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 64)


def both_ways(module, compute):
    """What `compute` gives by blocks and by torch's operations."""
    found = []
    for loops in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "worth_a_loop", lambda tensor, loops=loops: loops)
            found.append(compute())
    return found


def assert_close(one, other):
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def filled(layer):
    """The layer with nothing at 0 or 1 that could hide a mistake."""
    with torch.no_grad():
        layer.alpha.normal_()
        layer.norm.running_mean.normal_()
        layer.norm.running_var.uniform_(0.5, 2)
    return layer


@pytest.mark.parametrize("rows", ROWS)
def test_blocks_cover_every_row_once_and_in_order(rows):
    covered = [i for block in blocks.blocks(rows) for i in range(rows)[block]]
    assert covered == list(range(rows))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", ROWS)
def test_dice_and_linear_are_torchs(training, bias, rows):
    """Values, all gradients, running statistics; s and its gradient lie column by column."""

    def compute():
        torch.manual_seed(rows)
        layer, linear = filled(Dice(5)).train(training), nn.Linear(5, 3, bias=bias)
        s = (torch.randn(5, rows) * 3 + 1).t().requires_grad_()
        answered = dice.dice_then_linear(layer, linear, s)
        loss = (answered * torch.randn(3, rows).t()).sum()
        wanted = [s, layer.alpha, *linear.parameters()]
        return [answered, *torch.autograd.grad(loss, wanted), *layer.buffers()]

    assert_close(*both_ways(dice, compute))


@pytest.mark.parametrize("rows", ROWS)
def test_the_layer_of_pairs_is_torchs(rows):
    """Values and all gradients; a target without behaviours (row 2 of 4) has none."""

    def compute():
        torch.manual_seed(rows)
        q, k = torch.randn(3, 4).t(), torch.randn(3, rows).t()  # column by column
        of_query, weight = torch.randn(4, 5), torch.randn(5, 6)
        row = torch.tensor([0, 1, 3])[torch.arange(rows) * 3 // max(rows, 1)]
        wanted = [t.requires_grad_() for t in (q, of_query, k, weight)]
        s = pairs.pair_layer(q, of_query, k, row, weight)
        loss = (s * torch.randn(5, rows).t()).sum()
        return [s, *torch.autograd.grad(loss, wanted)]

    by_blocks, by_torch = both_ways(pairs, compute)
    assert_close(by_blocks, by_torch)
    assert not by_blocks[1][2].any()


@pytest.mark.parametrize("rows", ROWS)
def test_weighted_sums_are_torchs(rows):
    """Values and both gradients; row 2 of 4 has no behaviours."""

    def compute():
        torch.manual_seed(rows)
        weights, k = torch.rand(rows, requires_grad=True), torch.randn(3, rows).t().requires_grad_()
        row = torch.tensor([0, 1, 3])[torch.arange(rows) * 3 // max(rows, 1)]
        sums = attended.weighted_sums(weights, k, row, 4)
        loss = (sums * torch.randn(3, 4).t()).sum()
        return [sums, *torch.autograd.grad(loss, [weights, k])]

    by_loop, by_torch = both_ways(attended, compute)
    assert_close(by_loop, by_torch)
    assert not by_loop[0][2].any()


@pytest.mark.parametrize("rows", [1, 511, 512, 2000])
def test_the_unit_without_a_gradient_is_the_unit_with_one(rows):
    torch.manual_seed(rows)
    unit = ActivationUnit(4, (6, 3)).eval()
    for layer in unit.dices:
        filled(layer)
    q, k, row = torch.randn(2, 4), torch.randn(rows, 4), torch.arange(rows) % 2
    with torch.no_grad():
        found = unit(q, k, row)
    assert not found.requires_grad
    torch.testing.assert_close(found, unit(q, k, row).detach(), rtol=1e-5, atol=1e-6)


def test_what_is_kept_for_the_way_back_is_no_tensor_of_pairs_or_gates():
    """Of n x H per hidden layer one tensor, of n x 2D none: the memory of a step goes by these."""
    torch.manual_seed(0)
    unit, kept = ActivationUnit(8, (16, 12)), []
    mask = torch.ones(10, 30, dtype=torch.bool)
    q, keys = torch.randn(10, 8, requires_grad=True), torch.randn(10, 30, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        BehaviourAttention(unit)(q, keys, mask).sum().backward()
    of_behaviours = {(t.data_ptr(), tuple(t.shape)) for t in kept if t.shape[:1] == (300,)}
    assert sorted(shape[1] for _, shape in of_behaviours if len(shape) == 2) == [8, 12, 16]
