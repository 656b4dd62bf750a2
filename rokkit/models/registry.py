"""Backbones and teachers by name."""

from collections.abc import Callable
from typing import Any, TypeVar

from rokkit.config import build
from rokkit.data.schema import Schema
from rokkit.errors import ConfigError
from rokkit.layers import FieldEmbedding
from rokkit.models.admission import check_class, check_config, check_name, check_teacher
from rokkit.models.base import Backbone, BackboneConfig
from rokkit.models.ctr import CTRModel
from rokkit.registry import Entry, Registry

B = TypeVar("B")  # unbound: a class that is no Backbone is refused with a ConfigError

MODELS: Registry[type[Backbone]] = Registry("model")
ESTIMATORS: Registry[Any] = Registry("estimator")


def register_backbone(
    name: str, *, config: type[Any], family: str = "other", paper: str = ""
) -> Callable[[type[B]], type[B]]:
    """Class decorator that files a Backbone under `name`.

    `config` is its dataclass of settings, with at least `embed_dim`; `family` and `paper` are for
    lists. Raises ConfigError if the name, the class or its config cannot serve.
    """
    return _register(name, config, {"family": family, "paper": paper, "teacher": False})


def register_teacher(
    name: str, *, config: type[Any], family: str = "retrieval", paper: str = ""
) -> Callable[[type[B]], type[B]]:
    """The same for a backbone that can teach: it has `aggregate` and says how wide r is.

    Its `representation_dim` and `representation_blocks` are properties, or set by its `__init__`.
    """
    return _register(name, config, {"family": family, "paper": paper, "teacher": True})


def register_estimator(
    name: str, *, config: type[Any], family: str = "other", paper: str = ""
) -> Callable[[type[B]], type[B]]:
    """The same for a system that is no network: made of its config, with `fit` and `predict`."""
    check_name(name, MODELS.names())
    return ESTIMATORS.register(
        name, {"family": family, "paper": paper, "teacher": False, "config": config}
    )


def model_entry(name: str) -> Entry[Any]:
    """The class under `name` and its meta: "config", "family", "paper", "teacher".

    Of a backbone, a teacher or an estimator.
    """
    return ESTIMATORS.entry(name) if is_estimator(name) else MODELS.entry(name)


def is_estimator(name: str) -> bool:
    """Whether `name` is a system that is no network."""
    return name in ESTIMATORS.names()


def is_dense(name: str) -> bool:
    """Whether the neighbours that `name` is made for are those of a dense engine."""
    return bool(getattr(model_entry(name).target, "dense", False))


def create_model(name: str, schema: Schema, **config: Any) -> CTRModel:
    """The model `name` with fresh weights, drawn from torch's global generator.

    Raises ConfigError, with the nearest name, for an unknown model or setting, and for a value of
    the wrong type or outside its range.
    """
    if is_estimator(name):
        raise ConfigError(
            f"{name!r} is no network: it has no embedding layer and is not trained by steps. "
            f"Take one of {', '.join(MODELS.names())}, or run it as a system."
        )
    ready = build_config(name, config)
    embedding = FieldEmbedding(schema.n_ids, ready.embed_dim, init_std(ready))
    entry = model_entry(name)
    backbone = entry.target(schema, ready)
    if entry.meta["teacher"]:
        check_teacher(name, backbone, type(backbone).__name__)
    return CTRModel(embedding, backbone)


def build_config(name: str, config: dict[str, Any]) -> Any:
    """The settings of the model `name` from a plain mapping, checked."""
    return build(model_entry(name).meta["config"], config, where=f"model {name!r}")


def init_std(config: Any) -> float:
    """σ of the id table that the settings ask for; ours if a foreign config does not say."""
    return float(getattr(config, "init_std", BackboneConfig.init_std))


def _register(name: str, config: type[Any], meta: dict[str, Any]) -> Callable[[type[B]], type[B]]:
    check_name(name, ESTIMATORS.names())
    check_config(name, config)

    def add(target: type[B]) -> type[B]:
        checked = check_class(name, target, teacher=meta["teacher"])
        MODELS.register(name, meta | {"config": config})(checked)
        return target

    return add
