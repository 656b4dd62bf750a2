"""The names of all that is registered."""

from rokkit.models.registry import ESTIMATORS, MODELS, model_entry


def list_models(pattern: str = "*") -> list[str]:
    """Sorted names of backbones and teachers that match a shell pattern."""
    return MODELS.names(pattern)


def list_estimators(pattern: str = "*") -> list[str]:
    """Sorted names of the systems that are no networks."""
    return ESTIMATORS.names(pattern)


def list_systems(pattern: str = "*") -> list[str]:
    """Names of all that can be run by itself: of the networks, then of the others."""
    return list_models(pattern) + list_estimators(pattern)


def list_teachers() -> list[str]:
    """Sorted names of the networks that can teach."""
    return [name for name in list_models() if model_entry(name).meta["teacher"]]
