"""What can be registered, and what a teacher may leave to its `__init__`."""

from dataclasses import dataclass

import pytest
import torch

from rokkit.errors import ConfigError
from rokkit.models import (
    MODELS,
    BackboneConfig,
    create_model,
    list_estimators,
    list_models,
    register_backbone,
    register_estimator,
    register_teacher,
)
from rokkit.models.lr import LR


@pytest.fixture(autouse=True)
def registered():
    """Names that are forgotten again."""
    before = set(list_models())
    yield
    for name in set(list_models()) - before:
        MODELS.remove(name)


class Late(LR):
    """Teaches the first neighbour's first field; r is laid out when the model is made."""

    needs = frozenset({"neighbours"})

    def __init__(self, schema, config, extra_dim=0):
        super().__init__(schema, config, extra_dim)
        self.representation_dim = config.embed_dim
        self.representation_blocks = {"first": slice(0, config.embed_dim)}

    def aggregate(self, batch, embedding):
        return embedding(batch.neighbours)[:, 0, 0]


@pytest.mark.parametrize(
    "name", ["DCN", "Dcn", "my model", "a+rok", "mlp.two", "a/b", "", "-a", "a-", "2nd", "a--b"]
)
def test_a_name_that_systems_options_or_folders_cannot_hold_is_refused(name):
    """Kills: a model that is listed but that no system can name, as systems ignore case."""
    for register in (register_backbone, register_teacher, register_estimator):
        with pytest.raises(ConfigError, match="small letters and digits") as caught:
            register(name, config=BackboneConfig)(LR)
        assert f"model {name!r}: " in str(caught.value)
    assert name not in list_models() + list_estimators()


@pytest.mark.parametrize("name", ["dcn", "dcn2", "my-model", "my_model", "a-b_c"])
def test_other_names_are_taken(name):
    register_backbone(name, config=BackboneConfig)(LR)
    assert name in list_models()


def test_networks_and_estimators_share_their_names():
    """Kills: a backbone called gbdt, which every run would take for the trees."""
    with pytest.raises(ConfigError, match=r"model 'gbdt': .*taken"):
        register_backbone("gbdt", config=BackboneConfig)(LR)
    with pytest.raises(ConfigError, match=r"model 'din': .*taken"):
        register_estimator("din", config=BackboneConfig)(LR)
    assert "gbdt" not in list_models()
    assert "din" not in list_estimators()


def test_a_teacher_may_lay_r_out_when_it_is_made(tiny):
    register_teacher("late", config=BackboneConfig)(Late)
    model = create_model("late", tiny.schema, embed_dim=6)
    expected = model.embedding(tiny.batch.neighbours[:, 0, :1]).squeeze(1)
    assert torch.equal(model.aggregate(tiny.batch), expected)
    assert model.backbone.representation_dim == 6


def test_a_teacher_that_does_not_say_how_wide_r_is_is_refused_when_it_is_made(tiny):
    class Silent(Late):
        def __init__(self, schema, config, extra_dim=0):
            LR.__init__(self, schema, config, extra_dim)
            self.representation_dim = config.embed_dim

    register_teacher("silent", config=BackboneConfig)(Silent)
    with pytest.raises(ConfigError, match=r"Silent lacks representation_blocks; .*__init__ sets"):
        create_model("silent", tiny.schema)


def test_a_teacher_without_aggregate_is_refused_at_once():
    with pytest.raises(ConfigError, match="LR lacks aggregate, representation_dim, representatio"):
        register_teacher("mute", config=BackboneConfig)(LR)


def test_settings_without_a_width_of_embeddings_are_refused():
    @dataclass
    class Bare:
        hidden: int = 3

    for config in (Bare, dict):
        with pytest.raises(ConfigError, match="expected a dataclass with a field embed_dim"):
            register_backbone("bare", config=config)(LR)


def test_what_is_no_backbone_is_refused():
    with pytest.raises(ConfigError, match=r"'other' is .*expected a subclass of Backbone"):
        register_backbone("other", config=BackboneConfig)(torch.nn.Linear)
