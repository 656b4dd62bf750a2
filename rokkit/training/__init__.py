"""Feeding, training and predicting."""

from rokkit.training.config import TrainConfig
from rokkit.training.ctr import CTRTask, predict
from rokkit.training.device import resolve_device
from rokkit.training.feed import Feed
from rokkit.training.loop import FitResult, Progress, Task, fit
from rokkit.training.seeds import seed_everything

__all__ = [
    "CTRTask",
    "Feed",
    "FitResult",
    "Progress",
    "Task",
    "TrainConfig",
    "fit",
    "predict",
    "resolve_device",
    "seed_everything",
]
