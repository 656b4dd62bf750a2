"""One file per system of the paper, and the registry of them."""

from rokkit.models import (  # noqa: F401  (registers them)
    deepfm,
    dert,
    dien,
    din,
    fate,
    gbdt,
    hpmn,
    lr,
    mimn,
    mlp,
    pet,
    rim,
    sim,
    ubr,
)
from rokkit.models.aided import AidedModel, with_extra
from rokkit.models.base import (
    Backbone,
    BackboneConfig,
    HeadConfig,
    Teacher,
)
from rokkit.models.ctr import CTRModel, parameter_counts
from rokkit.models.listing import list_estimators, list_models, list_systems, list_teachers
from rokkit.models.registry import (
    MODELS,
    build_config,
    create_model,
    is_dense,
    is_estimator,
    model_entry,
    register_backbone,
    register_estimator,
    register_teacher,
)

__all__ = [
    "MODELS",
    "AidedModel",
    "Backbone",
    "BackboneConfig",
    "CTRModel",
    "HeadConfig",
    "Teacher",
    "build_config",
    "create_model",
    "is_dense",
    "is_estimator",
    "list_estimators",
    "list_models",
    "list_systems",
    "list_teachers",
    "model_entry",
    "parameter_counts",
    "register_backbone",
    "register_estimator",
    "register_teacher",
    "with_extra",
]
