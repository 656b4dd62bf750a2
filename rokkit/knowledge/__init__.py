"""ROK itself: the knowledge base, its construction and its use."""

from rokkit.knowledge.base import (
    KnowledgeBase,
    KnowledgeBaseConfig,
    Projector,
    split_embedding_dim,
)
from rokkit.knowledge.construct import ConstructConfig, ConstructTask, draw_pool_rows
from rokkit.knowledge.diagnostics import collapse_level, effective_rank, imitation_r2
from rokkit.knowledge.losses import construction_loss, contrastive_loss, imitation_loss
from rokkit.knowledge.positives import Positive
from rokkit.knowledge.teaching import knowledge_of, teacher_attention, teacher_representations
from rokkit.knowledge.use import KnowledgeModel, UseConfig, with_knowledge

__all__ = [
    "ConstructConfig",
    "ConstructTask",
    "KnowledgeBase",
    "KnowledgeBaseConfig",
    "KnowledgeModel",
    "Positive",
    "Projector",
    "UseConfig",
    "collapse_level",
    "construction_loss",
    "contrastive_loss",
    "draw_pool_rows",
    "effective_rank",
    "imitation_loss",
    "imitation_r2",
    "knowledge_of",
    "split_embedding_dim",
    "teacher_attention",
    "teacher_representations",
    "with_knowledge",
]
