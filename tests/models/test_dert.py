"""DERT: RIM over a table that it adopts."""

import pytest
import torch
from torch.nn import functional

from rokkit.errors import ConfigError
from rokkit.models import create_model, parameter_counts
from rokkit.training import TrainConfig
from rokkit.training.optim import make_optimizer


def encoder(schema):
    """A table as a trained RIM has it."""
    torch.manual_seed(5)
    return create_model("rim", schema, init_std=0.4)


@pytest.fixture(params=[False, True], ids=["frozen", "tuned"])
def dert(request, tiny):
    model = create_model("dert", tiny.schema, tune_table=request.param)
    model.backbone.adopt(model.embedding, encoder(tiny.schema).embedding.weight)
    return model


def test_it_is_rim_with_the_encoders_table(tiny, dert):
    rim = encoder(tiny.schema)
    rim.backbone.load_state_dict(dert.backbone.state_dict())
    assert torch.equal(dert(tiny.batch), rim(tiny.batch))
    assert torch.equal(dert.aggregate(tiny.batch), rim.aggregate(tiny.batch))
    assert parameter_counts(dert) == parameter_counts(rim)
    assert dert.backbone.representation_blocks == rim.backbone.representation_blocks


def test_a_frozen_table_stays_and_a_tuned_one_moves(tiny, dert):
    held = encoder(tiny.schema).embedding.weight
    before = {name: value.clone() for name, value in dert.state_dict().items()}
    optimizer = make_optimizer(dert, TrainConfig(weight_decay=0.1, learning_rate=0.01))
    for _ in range(3):
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(dert(tiny.batch), tiny.batch.y).backward()
        optimizer.step()
    tuned = dert.backbone.config.tune_table
    assert torch.equal(dert.embedding.weight, held) != tuned
    moved = {
        name for name, value in dert.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved == {name for name in before if tuned or not name.startswith("embedding.")}


def test_the_encoder_keeps_a_table_of_its_own(tiny):
    # Kills two models that share one tensor, of which training one would change the other.
    model, rim = create_model("dert", tiny.schema, tune_table=True), encoder(tiny.schema)
    model.backbone.adopt(model.embedding, rim.embedding.weight)
    with torch.no_grad():
        model.embedding.weight.add_(1)
    assert torch.equal(rim.embedding.weight, encoder(tiny.schema).embedding.weight)
    assert rim.embedding.weight.requires_grad


def test_a_table_of_another_shape_is_refused(tiny):
    model = create_model("dert", tiny.schema, embed_dim=8)
    with pytest.raises(ConfigError, match=r"table is \(105, 16\) and DERT's \(105, 8\)"):
        model.backbone.adopt(model.embedding, encoder(tiny.schema).embedding.weight.detach())
