"""Which parameters decay, and by how much."""

import pytest
import torch
from made_samples import made_schema
from torch import nn
from toy_models import Toy

from rokkit.errors import ConfigError
from rokkit.layers.embedding import FieldEmbedding
from rokkit.training import TrainConfig
from rokkit.training.optim import make_optimizer, parameter_groups


def test_only_dense_matrices_decay():
    model = Toy(made_schema())
    model.labels = nn.Embedding(2, 4)
    decaying, free = parameter_groups(model)
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)] for p in decaying} == {"hidden.weight", "out.weight"}
    assert {names[id(p)] for p in free} == {
        "table.weight",
        "labels.weight",
        "hidden.bias",
        "out.bias",
        "norm.weight",
        "norm.bias",
    }


def test_decay_is_the_l2_term_of_the_gradient():
    """RIM adds λ/2 ‖w‖² to the loss, which Adam then scales; AdamW would shrink w directly."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = nn.Linear(2, 2)
            self.table = FieldEmbedding(3, 2)

    def after_two_steps(decay, penalty):
        torch.manual_seed(0)
        model = Two()
        optimizer = make_optimizer(model, TrainConfig(weight_decay=decay))
        for _ in range(2):
            optimizer.zero_grad()
            loss = model.dense(model.table(torch.tensor([1, 2]))).square().sum()
            (loss + penalty / 2 * model.dense.weight.square().sum()).backward()
            optimizer.step()
        return model

    decayed, penalised = after_two_steps(0.3, 0.0), after_two_steps(0.0, 0.3)
    plain = after_two_steps(0.0, 0.0)
    assert torch.allclose(decayed.dense.weight, penalised.dense.weight, atol=1e-7)
    assert not torch.allclose(decayed.dense.weight, plain.dense.weight, atol=1e-7)


def test_untouched_ids_do_not_move():
    """Dense Adam must leave a row alone that never had a gradient; decay would pull it to 0."""
    table = FieldEmbedding(5, 2)
    before = table.weight.detach().clone()
    optimizer = make_optimizer(table, TrainConfig(weight_decay=0.5, learning_rate=0.1))
    for _ in range(3):
        optimizer.zero_grad()
        table(torch.tensor([[2, 0]])).sum().backward()
        optimizer.step()
    moved = (table.weight.detach() != before).any(1)
    assert moved.tolist() == [False, False, True, False, False]


def test_frozen_parameters_are_left_out():
    model = Toy(made_schema())
    model.table.requires_grad_(False)
    held = {
        id(p)
        for group in make_optimizer(model, TrainConfig()).param_groups
        for p in group["params"]
    }
    assert id(model.table.weight) not in held
    assert id(model.out.weight) in held
    with pytest.raises(ConfigError, match="no trainable parameter"):
        make_optimizer(model.requires_grad_(False), TrainConfig())
