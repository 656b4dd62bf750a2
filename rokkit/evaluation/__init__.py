"""Metrics, improvements and comparisons: arrays in, floats out."""

from rokkit.evaluation.compare import Comparison, compare
from rokkit.evaluation.improvement import plain_impr, rel_impr
from rokkit.evaluation.metrics import UserAUC, auc, ece, evaluate, gauc, log_loss, user_auc

__all__ = [
    "Comparison",
    "UserAUC",
    "auc",
    "compare",
    "ece",
    "evaluate",
    "gauc",
    "log_loss",
    "plain_impr",
    "rel_impr",
    "user_auc",
]
