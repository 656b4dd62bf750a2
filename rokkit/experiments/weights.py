"""Weights of runs: written once, read back into the modules they belong to."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from rokkit.data import Samples
from rokkit.errors import ArtefactError, ConfigError
from rokkit.experiments.report import WEIGHTS, remedy
from rokkit.experiments.spec import KnowledgeSpec, ModelSpec, RunSpec
from rokkit.files import aside
from rokkit.knowledge import KnowledgeBase, KnowledgeModel, with_knowledge
from rokkit.models import (
    AidedModel,
    CTRModel,
    create_model,
    is_estimator,
    parameter_counts,
    with_extra,
)
from rokkit.paths import shown


def load_model(folder: Path, spec: ModelSpec, samples: Samples) -> CTRModel:
    """The model that the finished run in `folder` trained, in eval mode, on the CPU."""
    model = create_model(spec.name, samples.schema, **dict(spec.config))
    _load_weights(model, folder)
    return model.eval()


def load_run(folder: Path, spec: RunSpec, samples: Samples) -> CTRModel | KnowledgeModel:
    """The model of the finished run in `folder`, with its knowledge base if it has one.

    In eval mode, on the CPU. Raises ConfigError for a run that holds no such model: a construction,
    an estimator, or one whose head is given further numbers.
    """
    if spec.model is None or is_estimator(spec.model.name) or spec.needs_extra:
        raise ConfigError(f"{spec.label} holds no network that reads samples alone.")
    if spec.knowledge is None:
        return load_model(folder, spec.model, samples)
    width = len(read_weights(folder)["base.r_mean"])
    base = KnowledgeBase(samples.schema, spec.knowledge.base, width)
    config = dict(spec.model.config)
    model = with_knowledge(spec.model.name, samples.schema, base, spec.knowledge.use, **config)
    _load_weights(model, folder)
    return model.eval()


def load_aided(folder: Path, spec: RunSpec, samples: Samples) -> AidedModel:
    """The model of the finished run in `folder` whose head is given further numbers.

    In eval mode, on the CPU.
    """
    assert spec.model is not None
    extra = np.zeros((1, len(read_weights(folder)["mean"])), np.float32)
    model = with_extra(spec.model.name, samples.schema, extra, **dict(spec.model.config))
    _load_weights(model, folder)
    return model.eval()


def load_base(folder: Path, spec: KnowledgeSpec, samples: Samples) -> KnowledgeBase:
    """The knowledge base that the finished construction in `folder` made, on the CPU."""
    width = len(read_weights(folder)["r_mean"])
    base = KnowledgeBase(samples.schema, spec.base, width)
    _load_weights(base, folder)
    return base.eval()


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of a finished run; ArtefactError that names the file if they are damaged."""
    path = folder / WEIGHTS
    try:
        weights: dict[str, Tensor] = load_file(path)
        return weights
    except (OSError, SafetensorError) as error:
        raise ArtefactError(f"{shown(path)} is damaged ({error}). {remedy(folder)}") from None


def save_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write weights and buffers, each tensor by itself, on the CPU."""
    state = {k: v.detach().cpu().contiguous().clone() for k, v in weights.items()}
    with aside(folder / WEIGHTS) as draft:
        draft.write_bytes(save(state))  # save_file hides a full disk in an error of its own


def count_parameters(module: nn.Module) -> dict[str, int]:
    """Numbers of parameters: in id tables, in dense layers, in total, and trained ones."""
    trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
    return parameter_counts(module) | {"trainable": trainable}


def _load_weights(module: nn.Module, folder: Path) -> None:
    try:
        module.load_state_dict(read_weights(folder))
    except RuntimeError as error:
        raise ArtefactError(
            f"{shown(folder / WEIGHTS)} does not fit its spec ({error}). {remedy(folder)}"
        ) from None
