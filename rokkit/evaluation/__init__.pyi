"""Metrics, improvements and comparisons: arrays in, floats out."""

from .compare import Comparison, Measured, compare, contrast, measure
from .improvement import plain_impr, rel_impr
from .metrics import (
    UserAUC,
    auc,
    batched_auc,
    ece,
    evaluate,
    gauc,
    log_loss,
    user_auc,
)

__all__ = [
    "Comparison",
    "Measured",
    "UserAUC",
    "auc",
    "batched_auc",
    "compare",
    "contrast",
    "ece",
    "evaluate",
    "gauc",
    "log_loss",
    "measure",
    "plain_impr",
    "rel_impr",
    "user_auc",
]
