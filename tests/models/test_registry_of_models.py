"""Choosing a model by name, refusing what cannot be, and bringing one's own."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional

from rokkit.errors import ConfigError
from rokkit.knowledge import KnowledgeBase, KnowledgeBaseConfig, UseConfig, with_knowledge
from rokkit.models import (
    MODELS,
    Backbone,
    BackboneConfig,
    create_model,
    list_models,
    model_entry,
    parameter_counts,
    register_backbone,
    register_teacher,
)


def test_the_systems_of_the_paper_are_there():
    assert {"lr", "mlp", "din", "rim"} <= set(list_models())
    assert list_models("di[nm]*") == ["din"]
    assert [n for n in ("lr", "mlp", "din", "rim") if model_entry(n).meta["teacher"]] == ["rim"]


def test_an_unknown_model_names_the_nearest(tiny):
    with pytest.raises(ConfigError, match=r"model 'dinn' is not known.*Did you mean 'din'"):
        create_model("dinn", tiny.schema)


def test_an_unknown_setting_names_the_nearest(tiny):
    with pytest.raises(ConfigError, match=r"model 'din'.*'embd_dim'.*Did you mean 'embed_dim'"):
        create_model("din", tiny.schema, embd_dim=8)


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("lr", "embed_dim", 0),
        ("lr", "embed_dim", 2.5),
        ("lr", "embed_dim", True),
        ("lr", "init_std", 0.0),
        ("mlp", "hidden", ()),
        ("mlp", "hidden", (8, 0)),
        ("mlp", "hidden", "200-80"),
        ("mlp", "dropout", 1.0),
        ("mlp", "dropout", -0.1),
        ("mlp", "batch_norm", 1),
        ("din", "attention_hidden", ()),
        ("din", "attention_hidden", (-1,)),
        ("din", "bilinear", "yes"),
        ("rim", "init_std", -1.0),
        ("rim", "normalisation", "after-linaer"),
        ("rim", "scale_attention", None),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(tiny, name, setting, value):
    with pytest.raises(ConfigError, match=setting):
        create_model(name, tiny.schema, **{setting: value})


def test_settings_reach_the_model(tiny):
    model = create_model("mlp", tiny.schema, embed_dim=4, hidden=[5, 3], init_std=2)
    assert model.embedding.weight.shape == (tiny.schema.n_ids, 4)
    assert 1.5 < model.embedding.weight.std().item() < 2.5
    # (4 fields x 4) x 5 + 5, 5 x 3 + 3, 3 + 1
    assert parameter_counts(model) == {"table": 105 * 4, "dense": 107, "total": 420 + 107}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("din", {"attention_hidden": (80, 40), "bilinear": False}),
        ("dien", {"state_dim": 32, "attention_hidden": (80, 40), "aux_weight": 0.0}),
        ("hpmn", {"state_size": 32, "hops": 3, "covariance_weight": pytest.approx(128e-5)}),
        ("mimn", {"slots": 4, "state_size": 32, "utilisation": False, "induction": False}),
        ("mimn", {"utilisation_weight": 1e-3}),
        ("sim", {"search": "hard", "short": 10, "hard_top": 100}),
        ("sim", {"attention": "unit", "heads": 4, "attention_dim": 64}),
        ("ubr", {"top": 20}),
        ("rim", {"scale_attention": False, "normalisation": "affine-input", "init_std": 0.1}),
        ("pet", {"rounds": 3}),
        ("dert", {"tune_table": False}),
        ("deepfm", {"history": False}),
    ],
)
def test_defaults_are_those_that_are_documented(name, expected):
    # Of public code, or for stated reasons others: a changed one makes another system of each.
    config = model_entry(name).meta["config"]()
    shared = {"embed_dim": 16, "hidden": (200, 80), "dropout": 0.0, "batch_norm": False}
    for setting, value in (shared | expected).items():
        assert getattr(config, setting) == value, setting


def test_settings_are_checked_without_the_registry_too():
    with pytest.raises(ConfigError, match=r"dropout is 1.5; expected a share from 0 to below 1"):
        model_entry("rim").meta["config"](dropout=1.5)


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    """Not a BackboneConfig: any dataclass with embed_dim serves."""

    embed_dim: int = 6


class Toy(Backbone):
    """Sum of the fields, dotted with a vector."""

    needs = frozenset({"neighbours"})

    def __init__(self, schema, config, extra_dim=0):
        super().__init__(schema, config, extra_dim)
        self.head = nn.Linear(config.embed_dim + extra_dim, 1)

    def represent(self, batch, embedding):
        return embedding(batch.x).sum(1)

    def forward(self, batch, embedding, extra=None):
        phi = self.represent(batch, embedding)
        return self.head(phi if extra is None else torch.cat([phi, extra], 1)).squeeze(1)


class ToyTeacher(Toy):
    """Teaches the sum of the first neighbour."""

    @property
    def representation_dim(self):
        return self.config.embed_dim

    @property
    def representation_blocks(self):
        return {"features": slice(None)}

    def aggregate(self, batch, embedding):
        return embedding(batch.neighbours[:, 0]).sum(1)


@pytest.fixture
def registered():
    """Names that are forgotten again."""
    before = set(list_models())
    yield
    for name in set(list_models()) - before:
        MODELS.remove(name)


@pytest.mark.usefixtures("registered")
def test_a_backbone_from_outside_works_with_and_without_knowledge(tiny):
    assert register_backbone("toy", config=ToyConfig, family="mine", paper="none")(Toy) is Toy
    assert "toy" in list_models()
    assert model_entry("toy").meta == {
        "config": ToyConfig,
        "family": "mine",
        "paper": "none",
        "teacher": False,
    }
    assert create_model("toy", tiny.schema, embed_dim=8)(tiny.batch).shape == (12,)
    base = KnowledgeBase(tiny.schema, KnowledgeBaseConfig(dim=3), 7)
    for manner in ("instance", "feature", "both"):
        model = with_knowledge("toy", tiny.schema, base, UseConfig(manner=manner))
        loss = functional.binary_cross_entropy_with_logits(model(tiny.batch), tiny.batch.y)
        loss.backward()
        assert model.own.weight.grad.any()
        assert model.own.dim == (6 if manner == "instance" else 3)


@pytest.mark.usefixtures("registered")
def test_a_teacher_from_outside_aggregates(tiny):
    register_teacher("toy-teacher", config=ToyConfig)(ToyTeacher)
    model = create_model("toy-teacher", tiny.schema)
    expected = model.embedding(tiny.batch.neighbours[:, 0]).sum(1)
    assert torch.equal(model.aggregate(tiny.batch), expected)
    assert model_entry("toy-teacher").meta["teacher"]


@pytest.mark.usefixtures("registered")
def test_what_cannot_serve_is_refused_when_it_is_registered():
    with pytest.raises(ConfigError, match="lacks aggregate, representation_dim"):
        register_teacher("toy", config=ToyConfig)(Toy)
    with pytest.raises(ConfigError, match="subclass of Backbone"):
        register_backbone("toy", config=ToyConfig)(nn.Linear)
    with pytest.raises(ConfigError, match="field embed_dim"):
        register_backbone("toy", config=KnowledgeBaseConfig)
    with pytest.raises(ConfigError, match="already registered"):
        register_backbone("din", config=BackboneConfig)(Toy)
    assert "toy" not in list_models()
