"""Backbones and teachers by name."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from rokkit.config import build
from rokkit.data.schema import Schema
from rokkit.errors import ConfigError
from rokkit.layers import FieldEmbedding
from rokkit.models.base import Backbone, BackboneConfig
from rokkit.models.ctr import CTRModel
from rokkit.registry import Entry, Registry

B = TypeVar("B")  # unbound: a class that is no Backbone is refused with a ConfigError

MODELS: Registry[type[Backbone]] = Registry("model")
ESTIMATORS: Registry[Any] = Registry("estimator")
TEACHER_PARTS = ("aggregate", "representation_dim", "representation_blocks")


def register_backbone(
    name: str, *, config: type[Any], family: str = "other", paper: str = ""
) -> Callable[[type[B]], type[B]]:
    """Class decorator that files a Backbone under `name`.

    `config` is its dataclass of settings, with at least `embed_dim`; `family` and `paper` are for
    lists. Raises ConfigError if the class or its config cannot serve.
    """
    return _register(name, config, {"family": family, "paper": paper, "teacher": False})


def register_teacher(
    name: str, *, config: type[Any], family: str = "retrieval", paper: str = ""
) -> Callable[[type[B]], type[B]]:
    """The same for a backbone that can teach: it has `aggregate` and says how wide r is."""
    return _register(name, config, {"family": family, "paper": paper, "teacher": True})


def register_estimator(
    name: str, *, config: type[Any], family: str = "other", paper: str = ""
) -> Callable[[type[B]], type[B]]:
    """The same for a system that is no network: made of its config, with `fit` and `predict`."""
    return ESTIMATORS.register(
        name, {"family": family, "paper": paper, "teacher": False, "config": config}
    )


def list_models(pattern: str = "*") -> list[str]:
    """Sorted names of backbones and teachers that match a shell pattern."""
    return MODELS.names(pattern)


def list_estimators(pattern: str = "*") -> list[str]:
    """Sorted names of the systems that are no networks."""
    return ESTIMATORS.names(pattern)


def model_entry(name: str) -> Entry[Any]:
    """The class under `name` and its meta: "config", "family", "paper", "teacher".

    Of a backbone, a teacher or an estimator.
    """
    return ESTIMATORS.entry(name) if is_estimator(name) else MODELS.entry(name)


def is_estimator(name: str) -> bool:
    """Whether `name` is a system that is no network."""
    return name in ESTIMATORS.names()


def create_model(name: str, schema: Schema, **config: Any) -> CTRModel:
    """The model `name` with fresh weights, drawn from torch's global generator.

    Raises ConfigError, with the nearest name, for an unknown model or setting, and for a value of
    the wrong type or outside its range.
    """
    if is_estimator(name):
        raise ConfigError(
            f"{name!r} is no network: it has no embedding layer and is not trained by steps. "
            f"Take one of {', '.join(list_models())}, or run it as a system."
        )
    ready = build_config(name, config)
    embedding = FieldEmbedding(schema.n_ids, ready.embed_dim, init_std(ready))
    return CTRModel(embedding, model_entry(name).target(schema, ready))


def build_config(name: str, config: dict[str, Any]) -> Any:
    """The settings of the model `name` from a plain mapping, checked."""
    return build(model_entry(name).meta["config"], config, where=f"model {name!r}")


def init_std(config: Any) -> float:
    """σ of the id table that the settings ask for; ours if a foreign config does not say."""
    return float(getattr(config, "init_std", BackboneConfig.init_std))


def _register(name: str, config: type[Any], meta: dict[str, Any]) -> Callable[[type[B]], type[B]]:
    fields = (
        {f.name for f in dataclasses.fields(config)} if dataclasses.is_dataclass(config) else ()
    )
    if "embed_dim" not in fields:
        raise ConfigError(
            f"model {name!r}: config is {config!r}; expected a dataclass with a field embed_dim."
        )

    def add(target: type[B]) -> type[B]:
        if not (isinstance(target, type) and issubclass(target, Backbone)):
            raise ConfigError(f"model {name!r} is {target!r}; expected a subclass of Backbone.")
        lacking = [part for part in TEACHER_PARTS if not hasattr(target, part)]
        if meta["teacher"] and lacking:
            raise ConfigError(
                f"teacher {name!r}: {target.__name__} lacks {', '.join(lacking)}; "
                "a teacher gives r and says how wide it is."
            )
        MODELS.register(name, meta | {"config": config})(target)
        return target

    return add
