"""BatchNorm, ReLU and dropout at once, against the layers one after the other."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rokkit.layers import BatchNorm, Dropout, HiddenLayers, hidden_layers, rectified
from rokkit.layers.dropout import STEPS

ROWS = [2, 3, 63, 64, 65, 200]  # sums are taken 64 rows at a time


def both_ways(compute):
    """What `compute` gives at once and layer by layer, and where torch's generator stands then."""
    found = []
    for loops in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rectified, "worth_a_loop", lambda tensor, loops=loops: loops)
            torch.manual_seed(5)
            found.append((compute(), torch.random.get_rng_state()))
    return found


def filled(width: int) -> BatchNorm:
    """With nothing at 0 or 1 that could hide a mistake."""
    norm = BatchNorm(width)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return norm


def after(
    rows: int, p: float, width: int = 5, column_by_column: bool = False
) -> list[torch.Tensor]:
    """Answer, gradients and statistics of BatchNorm, ReLU and dropout."""
    layers = HiddenLayers(filled(width), nn.ReLU(), *([Dropout(p)] if p else []))
    x = torch.randn(rows, width) * 3 + 7
    if column_by_column:
        x = x.t().contiguous().t()
    x.requires_grad_()
    y = layers(x)
    wanted = [x, layers[0].weight, layers[0].bias]
    return [
        y,
        *torch.autograd.grad((y * torch.randn(rows, width)).sum(), wanted),
        *layers.buffers(),
    ]


@pytest.mark.parametrize("column_by_column", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("rows", ROWS)
def test_at_once_is_one_after_the_other(rows: int, p: float, column_by_column: bool) -> None:
    """Values, all gradients, running statistics, what is dropped and how much was drawn."""
    (one, state), (other, state_too) = both_ways(
        lambda: after(rows, p, column_by_column=column_by_column)
    )
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5)
    assert torch.equal(state, state_too)
    assert torch.equal(one[0] == 0, other[0] == 0)


@given(st.integers(2, 150), st.integers(1, 33), st.sampled_from([0.0, 0.3, 1 / STEPS]))
def test_at_once_is_one_after_the_other_at_any_size(rows: int, width: int, p: float) -> None:
    (one, _), (other, _) = both_ways(lambda: after(rows, p, width))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_it_is_torchs_own_to_double_precision() -> None:
    """Independent of BatchNorm of ours: torch's in float64, a mean far from 0."""
    torch.manual_seed(0)
    x, wanted = torch.randn(500, 4) + 100, torch.randn(500, 4)
    layers, own = HiddenLayers(BatchNorm(4), nn.ReLU()), nn.BatchNorm1d(4).double()
    found, exact = x.clone().requires_grad_(), x.double().requires_grad_()
    (layers(found) * wanted).sum().backward()
    (own(exact).relu() * wanted).sum().backward()
    torch.testing.assert_close(found.grad.double(), exact.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(layers[0].running_var.double(), own.running_var, rtol=1e-4, atol=0)
    torch.testing.assert_close(layers[0].running_mean.double(), own.running_mean)
    torch.testing.assert_close(
        layers[0].weight.grad.double(), own.weight.grad, rtol=1e-3, atol=1e-3
    )


def looped(layers: HiddenLayers, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the loops are asked."""
    asked: list[bool] = []
    real = rectified._Rectified.apply
    monkeypatch.setattr(
        rectified._Rectified, "apply", lambda *given: asked.append(True) or real(*given)
    )
    layers(x)
    return bool(asked)


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("training", True),
        ("one row", False),
        ("eval", False),
        ("no gradient", False),
        ("not affine", False),
        ("half", False),
    ],
)
def test_only_training_takes_the_loops(
    which: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    norm = BatchNorm(3, affine=which != "not affine")
    layers = HiddenLayers(norm, nn.ReLU()).train(which != "eval")
    x = torch.randn(1 if which == "one row" else 4, 3)
    if which == "half":
        layers, x = layers.double(), x.double()
    with torch.set_grad_enabled(which != "no gradient"):
        assert looped(layers, x, monkeypatch) == expected


def test_under_autocast_torch_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        layers = hidden_layers(3, (4,), batch_norm=True)
        assert not looped(layers, torch.randn(4, 3), monkeypatch)
    assert looped(layers, torch.randn(4, 3), monkeypatch)


def test_a_number_that_is_none_is_not_hidden() -> None:
    layers = HiddenLayers(BatchNorm(2), nn.ReLU())
    x = torch.randn(4, 2)
    x[1, 0] = torch.nan
    y = layers(x)
    assert y[:, 0].isnan().all()
    assert y[:, 1].isfinite().all()


def test_a_dropout_that_is_off_drops_nothing() -> None:
    layers = HiddenLayers(BatchNorm(8), nn.ReLU(), Dropout(0.9))
    layers[2].eval()
    torch.manual_seed(0)
    x = torch.randn(50, 8)
    assert (layers(x) > 0).float().mean() > 0.4
    assert not torch.equal(layers.train()(x) > 0, layers[:2](x) > 0)


def test_everything_may_be_dropped() -> None:
    layers = HiddenLayers(BatchNorm(8), nn.ReLU(), Dropout(1 - 1e-9))
    assert layers(torch.randn(9, 8)).eq(0).all()


def test_what_goes_in_stays_as_it_is() -> None:
    layers, x = HiddenLayers(BatchNorm(3), nn.ReLU(), Dropout(0.5)), torch.randn(9, 3)
    before = x.clone()
    layers(x)
    assert torch.equal(x, before)


def test_other_layers_go_on_one_after_the_other() -> None:
    torch.manual_seed(0)
    parts = [nn.Linear(3, 4), nn.ReLU(), BatchNorm(4), nn.Linear(4, 2), BatchNorm(2), nn.ReLU()]
    x = torch.randn(6, 3)
    torch.testing.assert_close(HiddenLayers(*parts)(x), nn.Sequential(*parts)(x))
    assert HiddenLayers()(x) is x


def test_rows_may_lie_along_several_dimensions() -> None:
    torch.manual_seed(0)
    layers, x = hidden_layers(3, (4, 2)), torch.randn(5, 2, 3)
    torch.testing.assert_close(layers(x), layers(x.flatten(0, 1)).view(5, 2, 2))
