"""ROK itself: the knowledge base, its construction and its use."""

from rokkit.knowledge.base import (
    KnowledgeBase,
    KnowledgeBaseConfig,
    Projector,
    split_embedding_dim,
)
from rokkit.knowledge.construct import ConstructConfig, ConstructTask, teacher_representations
from rokkit.knowledge.diagnostics import collapse_level, effective_rank, imitation_r2
from rokkit.knowledge.losses import construction_loss, contrastive_loss, imitation_loss
from rokkit.knowledge.use import KnowledgeModel, UseConfig, with_knowledge

__all__ = [
    "ConstructConfig",
    "ConstructTask",
    "KnowledgeBase",
    "KnowledgeBaseConfig",
    "KnowledgeModel",
    "Projector",
    "UseConfig",
    "collapse_level",
    "construction_loss",
    "contrastive_loss",
    "effective_rank",
    "imitation_loss",
    "imitation_r2",
    "split_embedding_dim",
    "teacher_representations",
    "with_knowledge",
]
