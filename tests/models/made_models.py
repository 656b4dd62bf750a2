"""Small models for tests, by themselves and with a knowledge base in every way of use."""

import torch
from made_batches import tiny_batch

from rokkit.knowledge import KnowledgeBase, KnowledgeBaseConfig, UseConfig, with_knowledge
from rokkit.models import create_model

USES = {
    f"{manner}-{update}": UseConfig(manner=manner, update=update)
    for manner in ("instance", "feature", "both")
    for update in ("fix", "g", "fg")
    if (manner, update) != ("feature", "g")
} | {"both-fix-target": UseConfig(on_history=False)}
# By itself; with a base that stays, with f in histories and without; with one that is trained.
KINDS = ("plain", "both-fix", "both-fix-target", "both-fg")


def make(name, use, schema, **config):
    """The model, or the model that uses a small knowledge base whose BatchNorm has been used."""
    torch.manual_seed(0)
    if use == "plain":
        return create_model(name, schema, **config)
    base = KnowledgeBase(schema, KnowledgeBaseConfig(hidden=(12,), init_std=0.3), 7)
    base(tiny_batch(seed=5).x)
    return with_knowledge(name, schema, base, USES[use], **config)
