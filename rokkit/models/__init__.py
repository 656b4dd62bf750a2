"""One file per system of the paper, and the registry of them."""

from rokkit.models import din, lr, mlp, rim  # noqa: F401  (registers them)
from rokkit.models.base import (
    Backbone,
    BackboneConfig,
    CTRModel,
    HeadConfig,
    Teacher,
    parameter_counts,
)
from rokkit.models.registry import (
    MODELS,
    create_model,
    list_models,
    model_entry,
    register_backbone,
    register_teacher,
)

__all__ = [
    "MODELS",
    "Backbone",
    "BackboneConfig",
    "CTRModel",
    "HeadConfig",
    "Teacher",
    "create_model",
    "list_models",
    "model_entry",
    "parameter_counts",
    "register_backbone",
    "register_teacher",
]
