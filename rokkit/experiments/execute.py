"""What a run does: samples, neighbours, module, training, predictions, files.

Everything here is a function of the spec and the samples. A run that is started again in the same
folder goes on from its checkpoint (`training.fit` does that) and ends with the same bytes.
"""

import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from rokkit.data import Samples, load
from rokkit.errors import ArtefactError
from rokkit.evaluation import evaluate
from rokkit.experiments.environment import environment, peak_memory
from rokkit.experiments.report import HISTORY, PREDICTIONS, REPORT, WEIGHTS, remedy
from rokkit.experiments.spec import KnowledgeSpec, ModelSpec, RunSpec
from rokkit.experiments.status import ProgressFile
from rokkit.files import aside, read_json, save_array, write_json
from rokkit.knowledge import (
    ConstructTask,
    KnowledgeBase,
    KnowledgeModel,
    Projector,
    collapse_level,
    effective_rank,
    imitation_r2,
    teacher_representations,
    with_knowledge,
)
from rokkit.models import CTRModel, Teacher, create_model, parameter_counts
from rokkit.paths import shown
from rokkit.retrieval import Neighbours, neighbour_meta, neighbours
from rokkit.training import CTRTask, Feed, FitResult, fit, predict, seed_everything
from rokkit.training.ctr import EVALUATION_ROWS

TARGETS = ("train", "val", "test")


@dataclass
class Clock:
    """Seconds by name."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Add the block's seconds under `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent


def execute(
    spec: RunSpec,
    folder: Path,
    parents: Sequence[Path],
    *,
    device: str,
    progress: ProgressFile,
) -> None:
    """Do the run of `spec` and write its files into `folder`, all but DONE.

    `parents` are the folders of the finished `spec.parents()`, in that order. `progress` is called
    with what training reports. Raises whatever goes wrong.
    """
    started, clock = datetime.now(UTC), Clock()
    with clock.time("total"):
        inputs = Inputs(spec, load(spec.data.name, **dict(spec.data.options)), device)
        if spec.model is None:
            assert spec.knowledge is not None
            found = _construct(spec, spec.knowledge, inputs, folder, parents[0], clock, progress)
        else:
            found = _train(spec, spec.model, inputs, folder, parents, clock, progress)
        save_weights(folder, found.module)
        _write_history(folder / HISTORY, found.fit.history)
    timings = _earlier(parents) | clock.seconds
    if inputs.retrieval:
        timings["retrieval"] = sum(inputs.retrieval.values())
    write_json(
        folder / REPORT,
        {
            "metrics": found.metrics,
            "timings": timings,
            "parameters": count_parameters(found.module),
            "epochs": max((int(row.get("epoch", 0)) for row in found.fit.history), default=0),
            "steps": found.fit.steps,
            "best_epoch": found.fit.best_epoch,
            "best_step": found.fit.best_step,
            "best_metric": found.fit.best_metric,
            "peak_memory": peak_memory(),
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            **environment(device),
        },
    )


@dataclass(frozen=True)
class Found:
    """What training yields."""

    module: nn.Module
    fit: FitResult
    metrics: dict[str, dict[str, float]]


class Inputs:
    """The feeds of a run: samples, and neighbours where somebody reads them."""

    def __init__(self, spec: RunSpec, samples: Samples, device: str) -> None:
        self.spec = spec
        self.samples = samples
        self.device = device
        self.retrieval: dict[str, float] = {}  # seconds by part

    def feed(self, part: str, needs: frozenset[str], *, ranked: bool = False) -> Feed:
        """The samples of `part` with what `needs` names.

        `ranked` gives the feed neighbours that its batches do not gather.
        """
        held = self._neighbours(part) if ranked or "neighbours" in needs else None
        return Feed(
            self.samples,
            part,
            needs=needs,
            neighbours=held,
            history_length=self.spec.history_length,
            device=self.device,
        )

    def _neighbours(self, part: str) -> Neighbours:
        fields = self.spec.retrieval.fields or None
        found = neighbours(self.samples, part, self.spec.retrieval.k, fields)
        meta = neighbour_meta(self.samples, part, self.spec.retrieval.k, fields)
        self.retrieval[part] = meta["search_seconds"] + meta["build_seconds"]
        return found


def _train(
    spec: RunSpec,
    model_spec: ModelSpec,
    inputs: Inputs,
    folder: Path,
    parents: Sequence[Path],
    clock: Clock,
    progress: ProgressFile,
) -> Found:
    """A backbone or a teacher, with or without a knowledge base (§4.4)."""
    schema, config = inputs.samples.schema, dict(model_spec.config)
    seed_everything(spec.seed)
    model: CTRModel | KnowledgeModel
    if spec.knowledge is None:
        model = create_model(model_spec.name, schema, **config)
    else:
        base = load_base(parents[0], spec.knowledge, inputs.samples)
        model = with_knowledge(model_spec.name, schema, base, spec.knowledge.use, **config)
    model = model.to(inputs.device)
    with clock.time("load"):
        train, val = (inputs.feed(part, frozenset(model.needs)) for part in ("train", "val"))
    with clock.time("train"):
        result = fit(
            CTRTask(model, train, val),
            len(train),
            spec.training,
            seed=spec.seed,
            folder=folder,
            progress=progress,
        )
    metrics = {}
    with clock.time("predict"):
        for part, name in PREDICTIONS.items():
            feed = val if part == "val" else inputs.feed(part, frozenset(model.needs))
            predictions = predict(model, feed)
            save_array(folder / name, predictions.astype(np.float32, copy=False))
            metrics[part] = _measure(inputs.samples, part, predictions)
    return Found(model, result, metrics)


def _construct(
    spec: RunSpec,
    knowledge: KnowledgeSpec,
    inputs: Inputs,
    folder: Path,
    teacher_folder: Path,
    clock: Clock,
    progress: ProgressFile,
) -> Found:
    """The knowledge base: it imitates the teacher's r on train samples (§4.3).

    r of val selects the epoch; r of test is computed for the report alone.
    """
    teacher = load_model(teacher_folder, knowledge.teacher, inputs.samples).to(inputs.device)
    assert isinstance(teacher.backbone, Teacher)
    width, blocks = teacher.backbone.representation_dim, teacher.backbone.representation_blocks
    with clock.time("represent"):
        r = {
            part: teacher_representations(teacher, inputs.feed(part, frozenset(teacher.needs)))
            for part in TARGETS
        }
    # The base reads x alone: its batches gather no neighbours, only the positives' rows.
    feeds = {part: inputs.feed(part, frozenset(), ranked=True) for part in TARGETS}
    seed_everything(spec.seed)
    base = KnowledgeBase(inputs.samples.schema, knowledge.base, width).to(inputs.device)
    task = ConstructTask(
        base,
        Projector(width).to(inputs.device),
        knowledge.construct,
        train=feeds["train"],
        val=feeds["val"],
        r_train=r["train"],
        r_val=r["val"],
        blocks=blocks,
    )
    with clock.time("construct"):
        result = fit(
            task,
            len(feeds["train"]),
            knowledge.construct_training,
            seed=spec.seed,
            folder=folder,
            progress=progress,
        )
    with clock.time("predict"):
        metrics = {part: measure_base(base, feeds[part], r[part], blocks) for part in PREDICTIONS}
    return Found(base, result, metrics)


def measure_base(
    base: KnowledgeBase, feed: Feed, r: NDArray[np.float32], blocks: Mapping[str, slice]
) -> dict[str, float]:
    """How well z imitates r [N, R] of `feed`, in the space the base was trained in.

    "r2" over all dimensions and "r2_<block>" per block of r, "collapse" and "effective_rank" of z.
    """
    base.eval()
    with torch.no_grad():
        z = torch.cat([base(feed.batch(rows).x).float() for rows in feed.chunks(EVALUATION_ROWS)])
        wanted = base.standardised(torch.from_numpy(r).to(feed.device))
        r2 = imitation_r2(z, wanted, blocks)
        return {
            **{"r2" if name == "all" else f"r2_{name}": float(v) for name, v in r2.items()},
            "collapse": float(collapse_level(z)),
            "effective_rank": float(effective_rank(z)),
        }


def load_model(folder: Path, spec: ModelSpec, samples: Samples) -> CTRModel:
    """The model that the finished run in `folder` trained, in eval mode, on the CPU."""
    model = create_model(spec.name, samples.schema, **dict(spec.config))
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


def save_weights(folder: Path, module: nn.Module) -> None:
    """Write the weights and buffers of `module`, each tensor by itself, on the CPU."""
    state = {k: v.detach().cpu().contiguous().clone() for k, v in module.state_dict().items()}
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


def _measure(samples: Samples, part: str, p: NDArray[np.float32]) -> dict[str, float]:
    held = samples.part(part)
    x, y = np.asarray(held.x), np.asarray(held.y)
    return evaluate(y, p, samples.user_index(x))


def _earlier(parents: Sequence[Path]) -> dict[str, float]:
    """Seconds that the parents took: "teacher" and, for a model with knowledge, "construct"."""
    found: dict[str, float] = {}
    for folder in parents:
        timings = read_json(folder / REPORT)["timings"]
        kept = ("retrieval", "teacher", "construct")
        found |= {name: timings[name] for name in kept if name in timings}
        if "teacher" not in timings:  # the parent is the teacher itself
            found["teacher"] = timings["train"]
    return found


def _write_history(path: Path, rows: Sequence[dict[str, float]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with aside(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
