"""Small models for tests: as they are, with switches, and with a knowledge base in every way."""

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import pytest
import torch
from made_batches import tiny_batch
from torch import Tensor, nn
from torch.nn import functional

from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.knowledge import KnowledgeBase, KnowledgeBaseConfig, UseConfig, with_knowledge
from rokkit.models import CTRModel, build_config, create_model, list_models, model_entry

USES = {
    f"{manner}-{update}": UseConfig(manner=manner, update=update)
    for manner in ("instance", "feature", "both")
    for update in ("fix", "g", "fg")
    if (manner, update) != ("feature", "g")
} | {"both-fix-target": UseConfig(on_history=False)}
# By itself; with a base that stays, with f in histories and without; with one that is trained.
KINDS = ("plain", "both-fix", "both-fix-target", "both-fg")

REGULAR = {"batch_norm": True, "dropout": 0.1}
# Together they turn every switch of every model: test_contract_of_switches.py finds one that they
# leave out. Where a switch changes what another one does, both have a setting without the other.
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp-regular": ("mlp", REGULAR),
    "deepfm-history": ("deepfm", REGULAR | {"history": True}),
    "din-bilinear": ("din", REGULAR | {"bilinear": True}),
    "dien-aux": ("dien", {"aux_weight": 1.0}),
    "dien-mlp": ("dien", REGULAR | {"attention": "mlp", "aux_weight": 0.5}),
    "mimn-unweighted": ("mimn", {"utilisation": True, "utilisation_weight": 0.0}),
    "mimn-induction": ("mimn", REGULAR | {"induction": True}),
    "mimn-both": ("mimn", {"utilisation": True, "induction": True}),
    "hpmn-deep": ("hpmn", {"periods": (2, 2, 5)}),
    "hpmn-free": ("hpmn", REGULAR | {"covariance_weight": 0.0}),
    "sim-soft": ("sim", REGULAR | {"search": "soft"}),
    "sim-heads": ("sim", {"search": "soft", "attention": "heads"}),
    "sim-projected": ("sim", REGULAR | {"attention": "projected"}),
    "ubr-draw": ("ubr", REGULAR | {"baseline": "draw"}),
    "ubr-turns": ("ubr", {"turns": 1}),
    "fate-batch": ("fate", REGULAR | {"graph": "batch", "drop_edge": 0.0, "drop_id": 0.0}),
    "pet-node": ("pet", REGULAR | {"read_ids": False, "neighbours": 0}),
    "rim-scaled": ("rim", REGULAR | {"scale_attention": True}),
    "rim-after-linear": ("rim", {"normalisation": "after-linear"}),
    "rim-none": ("rim", {"normalisation": "none"}),
    "dert-frozen": ("dert", {"tune_table": False, "normalisation": "after-linear"}),
    "dert-tuned": (
        "dert",
        REGULAR | {"tune_table": True, "normalisation": "none", "scale_attention": True},
    ),
}


class Tiny(Protocol):
    """What the fixture `tiny` gives."""

    schema: Schema
    batch: Batch


class System(NamedTuple):
    """A model, its settings beside the defaults, and how it uses a knowledge base."""

    label: str
    name: str
    config: dict[str, Any]
    use: str

    def __str__(self) -> str:
        return f"{self.label}-{self.use}"

    def make(self, schema: Schema, **more: Any) -> nn.Module:
        """The model with fresh weights; `more` goes before its settings."""
        return make(self.name, self.use, schema, **self.config | more)

    def reads(self, part: str) -> bool:
        """Whether it reads an optional part of a batch."""
        config = build_config(self.name, self.config)
        return part in model_entry(self.name).target.needs_of(config)


def as_it_is(*uses: str) -> list[System]:
    """Every model with the default settings."""
    return [System(name, name, {}, use) for name in list_models() for use in uses]


def with_switches(*uses: str) -> list[System]:
    """Every setting of the list."""
    return [
        System(label, name, config, use)
        for label, (name, config) in SETTINGS.items()
        for use in uses
    ]


def each(systems: Iterable[System]) -> pytest.MarkDecorator:
    """A test of each of the systems."""
    return pytest.mark.parametrize("system", list(systems), ids=str)


def make(name: str, use: str, schema: Schema, **config: Any) -> nn.Module:
    """The model, or the model that uses a small knowledge base whose BatchNorm has been used."""
    torch.manual_seed(0)
    if use == "plain":
        return created(name, schema, **config)
    base = KnowledgeBase(schema, KnowledgeBaseConfig(hidden=(12,), init_std=0.3), 7)
    base(tiny_batch(seed=5).x)
    return with_knowledge(name, schema, base, USES[use], **config)


def created(name: str, schema: Schema, **config: Any) -> CTRModel:
    """The model by itself; an encoder's table is adopted where a setting says what becomes of it.

    With f joined to its embeddings a model's own table has another width, and none is adopted.
    """
    model = create_model(name, schema, **config)
    if "tune_table" in config:
        model.backbone.adopt(model.embedding, torch.randn_like(model.embedding.weight) * 0.3)
    return model


def still(name: str) -> dict[str, float]:
    """Settings at which training mode draws nothing."""
    known = {field.name for field in dataclasses.fields(model_entry(name).meta["config"])}
    chance = getattr(model_entry(name).target, "chance", {})
    return {**chance, **({"dropout": 0.0} if "dropout" in known else {})}


def whole_loss(model: nn.Module, batch: Batch) -> Tensor:
    """What a step goes down: cross-entropy, and what the model adds to it."""
    logits, penalty = model.penalised(batch)
    loss = functional.binary_cross_entropy_with_logits(logits.float(), batch.y)
    return loss if penalty is None else loss + penalty
