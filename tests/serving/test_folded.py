"""rokkit.serving.folded: the same answers, by fewer operations."""

import copy
from typing import Any

import pytest
import torch
from made_batches import tiny_batch, tiny_schema
from test_programs import BATCHES, EACH, RICH, SERVED, named, program_of
from torch import nn

from rokkit.layers import BatchNorm, Dice
from rokkit.layers.readout import Readout
from rokkit.models import create_model
from rokkit.serving.folded import FoldedDice, folded

NORMED = {"batch_norm": True, "dropout": 0.5}
CASES = [(name, use, NORMED) for name, use, _ in EACH if name != "lr"]
CASES += [(name, "both", NORMED | RICH.get(name, {})) for name in SERVED if name != "lr"]


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_folded_model_answers_as_it_did(case: tuple[str, str, dict[str, Any]]) -> None:
    model, _ = program_of(*case)
    before = copy.deepcopy(model.state_dict())
    made = folded(model)
    assert not any(isinstance(one, (Dice, nn.Dropout)) for one in made.modules())
    assert not any(p.requires_grad for p in made.parameters())
    model.eval()
    for what, batch in BATCHES.items():
        with torch.no_grad():
            expected, found = model(batch), made(batch)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, msg=what)
    after = model.state_dict()
    assert all(torch.equal(after[name], held) for name, held in before.items())


def test_of_a_head_three_linear_layers_and_two_activations_are_left() -> None:
    made = folded(create_model("mlp", tiny_schema(), hidden=(6, 5), **NORMED))
    kinds = [type(one) for one in made.backbone.head.layers]
    assert kinds == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, Readout]


def test_a_teacher_is_folded_too() -> None:
    torch.manual_seed(0)
    model = create_model("rim", tiny_schema(), embed_dim=4, init_std=0.5, **NORMED)
    batch = tiny_batch(12)
    model(batch)
    with torch.no_grad():
        torch.testing.assert_close(folded(model)(batch), model.eval()(batch))


def test_by_hand() -> None:
    """x = 3 through w = 2, mean 1, variance 4 - eps, scale 5, shift 7: 5 (6 - 1) / 2 + 7 = 19.5."""
    linear, norm = nn.Linear(1, 1, bias=False), BatchNorm(1)
    with torch.no_grad():
        linear.weight.fill_(2)
        norm.running_mean.fill_(1)
        norm.running_var.fill_(4 - norm.eps)
        norm.weight.fill_(5)
        norm.bias.fill_(7)
    made = folded(nn.Sequential(nn.Sequential(linear, norm, nn.Dropout(0.5))))
    assert made(torch.tensor([[3.0]])).item() == pytest.approx(19.5)
    assert isinstance(made[0], nn.Sequential)
    assert len(made[0]) == 1


def test_dice_by_hand() -> None:
    """s = 3, mean 1, variance 4 - eps: p = sigmoid(1); alpha .25: 3 (.25 + .75 p)."""
    dice = Dice(1)
    with torch.no_grad():
        dice.norm.running_mean.fill_(1)
        dice.norm.running_var.fill_(4 - dice.norm.eps)
        dice.alpha.fill_(0.25)
    p = 1 / (1 + 2.718281828**-1)
    found = FoldedDice(dice)(torch.tensor([[3.0]])).item()
    assert found == pytest.approx(3 * (0.25 + 0.75 * p), rel=1e-6)
