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
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rokkit.data import Samples, load
from rokkit.data.profile import value_counts
from rokkit.evaluation import evaluate
from rokkit.experiments.aids import Aid, Trained
from rokkit.experiments.environment import environment, peak_memory
from rokkit.experiments.inputs import Inputs
from rokkit.experiments.report import HISTORY, PREDICTIONS, REPORT
from rokkit.experiments.spec import KnowledgeSpec, ModelSpec, RunSpec
from rokkit.experiments.status import ProgressFile
from rokkit.experiments.weights import count_parameters, load_base, load_model, save_weights
from rokkit.files import aside, read_json, save_array, write_json
from rokkit.knowledge import (
    ConstructTask,
    KnowledgeBase,
    Projector,
    collapse_level,
    draw_pool_rows,
    effective_rank,
    imitation_r2,
    teacher_attention,
    teacher_representations,
    with_knowledge,
)
from rokkit.layers import FieldEmbedding
from rokkit.models import (
    Teacher,
    build_config,
    create_model,
    is_estimator,
    model_entry,
    with_extra,
)
from rokkit.training import Feed, FitResult, fit, predict, seed_everything
from rokkit.training.compilation import check_compilation
from rokkit.training.ctr import EVALUATION_ROWS

TARGETS = ("train", "val", "test")


@dataclass
class Clock:
    """Seconds by name, of wall time and of this process's threads."""

    seconds: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Add the block's seconds under `name`."""
        start, working = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start, time.process_time() - working)

    def add(self, name: str, seconds: float, processor: float) -> None:
        """Seconds that were taken elsewhere, such as before a run was resumed."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self.processor[name] = self.processor.get(name, 0.0) + processor


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
    if spec.compiles:  # `fit` asks too, but after what may be a long search
        check_compilation(torch.device(device).type)
    started, clock = datetime.now(UTC), Clock()
    with clock.time("total"):
        samples = load(spec.data.name, **dict(spec.data.options))
        inputs = Inputs(spec, samples, device, parents[-1] if spec.encoder else None)
        if spec.model is None:
            assert spec.knowledge is not None
            found = _construct(spec, spec.knowledge, inputs, folder, parents[0], clock, progress)
        elif is_estimator(spec.model.name):
            found = _estimate(spec, spec.model, inputs, folder, clock, progress)
        else:
            found = _train(spec, spec.model, inputs, folder, parents, clock, progress)
        save_weights(folder, found.weights)
        _write_history(folder / HISTORY, found.fit.history)
    timings = _earlier("timings", spec, parents) | clock.seconds
    if inputs.retrieval:
        timings["retrieval"] = sum(inputs.retrieval.values())
    write_json(
        folder / REPORT,
        {
            "metrics": found.metrics,
            "timings": timings,
            "processor": _earlier("processor", spec, parents) | clock.processor,
            "parameters": found.parameters,
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

    weights: dict[str, Tensor]
    parameters: dict[str, int]  # table, dense, total, trainable
    fit: FitResult
    metrics: dict[str, dict[str, float]]

    @classmethod
    def of(cls, module: nn.Module, fit: FitResult, metrics: dict[str, dict[str, float]]) -> "Found":
        """What the training of `module` yields."""
        return cls(module.state_dict(), count_parameters(module), fit, metrics)


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
    aid = Aid(spec, inputs, parents)
    model: Trained
    if (extra := aid.extra("train")) is not None:
        model = with_extra(model_spec.name, schema, extra, **config)
    elif spec.knowledge is None:
        model = create_model(model_spec.name, schema, **config)
    else:
        base = load_base(parents[0], spec.knowledge, inputs.samples)
        model = with_knowledge(model_spec.name, schema, base, spec.knowledge.use, **config)
    own = model.embedding
    if inputs.table is not None and isinstance(own, FieldEmbedding):  # without f beside it
        model.backbone.adopt(own, inputs.table)
    model.backbone.read_pool(inputs.samples.pool.x)
    model = model.to(inputs.device)
    # What a base knows of the samples is a part of training, like all that comes of the base.
    with clock.time("train" if spec.knowledge else "load"):
        train, judge = (aid.feed_of(model, part) for part in ("train", aid.selects_on()))
        task = aid.task(model, train, judge)
    result = fit(task, len(train), spec.training, seed=spec.seed, folder=folder, progress=progress)
    clock.add("train", result.seconds, result.processor_seconds)
    metrics = {}
    with clock.time("predict"):
        for part, name in PREDICTIONS.items():
            if part == judge.part and task.predictions is not None:
                predictions = task.predictions  # of the weights that the model holds again
            else:
                feed = judge if part == judge.part else aid.feed_of(model, part)
                predictions = predict(model, feed)
            save_array(folder / name, predictions.astype(np.float32, copy=False))
            metrics[part] = _measure(inputs.samples, part, predictions)
    return Found.of(model, result, metrics)


def _estimate(
    spec: RunSpec,
    model_spec: ModelSpec,
    inputs: Inputs,
    folder: Path,
    clock: Clock,
    progress: ProgressFile,
) -> Found:
    """A system that is no network. It is quick, so a killed run starts anew."""
    model = model_entry(model_spec.name).target(
        build_config(model_spec.name, dict(model_spec.config))
    )
    samples = inputs.samples
    with clock.time("train"):
        model.fit(
            samples.train,
            samples.val,
            seed=spec.seed,
            threads=torch.get_num_threads(),
            progress=progress,
        )
    metrics = {}
    with clock.time("predict"):
        for part, name in PREDICTIONS.items():
            predictions = model.predict(np.asarray(samples.part(part).x))
            save_array(folder / name, predictions)
            metrics[part] = _measure(samples, part, predictions)
    # An evaluation a round, but a tenth of them is enough for a curve.
    every = max(1, len(model.history) // 100)
    history: list[dict[str, int | float]] = [
        {"step": i + 1, "epoch": i + 1, "loss": row["log_loss"], **row}
        for i, row in enumerate(model.history)
        if i % every == 0 or i + 1 == model.best_round
    ]
    result = FitResult(
        history=history,
        best_step=model.best_round,
        best_epoch=model.best_round,
        best_metric=model.history[model.best_round - 1]["auc"],
        seconds=clock.seconds["train"],
        steps=len(model.history),
    )
    weights = {name: torch.from_numpy(values.copy()) for name, values in model.state().items()}
    parameters = {"table": 0, "dense": model.leaves}
    parameters |= dict.fromkeys(("total", "trainable"), model.leaves)
    return Found(weights, parameters, result, metrics)


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

    With `construct.pool_rows` it does so on rows of the pool as well. r of val selects the epoch; r
    of test is computed for the report alone.
    """
    settings = knowledge.construct
    drawn: dict[str, NDArray[np.int64]] = {}  # by the part whose samples they follow
    if settings.pool_rows:
        pool = len(inputs.samples.pool)
        drawn["train"] = draw_pool_rows(pool, settings.pool_rows, spec.seed)
    teacher = load_model(teacher_folder, knowledge.teacher, inputs.samples).to(inputs.device)
    assert isinstance(teacher.backbone, Teacher)
    width, blocks = teacher.backbone.representation_dim, teacher.backbone.representation_blocks
    r, attention = {}, {}
    with clock.time("represent"):
        for part in TARGETS:
            read = inputs.feed(part, frozenset(teacher.needs), pool_rows=drawn.get(part))
            r[part] = teacher_representations(teacher, read)
            if settings.positive == "attn":
                attention[part] = teacher_attention(teacher, read)
    # The base reads x alone: its batches gather no neighbours, only the positives' rows.
    feeds = {
        part: inputs.feed(part, frozenset(), ranked=True, pool_rows=drawn.get(part))
        for part in TARGETS
    }
    seed_everything(spec.seed)
    base = KnowledgeBase(inputs.samples.schema, knowledge.base, width).to(inputs.device)
    task = ConstructTask(
        base,
        Projector(width).to(inputs.device),
        settings,
        train=feeds["train"],
        val=feeds["val"],
        r_train=r["train"],
        r_val=r["val"],
        blocks=blocks,
        attention_train=attention.get("train"),
        attention_val=attention.get("val"),
    )
    result = fit(
        task,
        len(feeds["train"]),
        knowledge.construct_training,
        seed=spec.seed,
        folder=folder,
        progress=progress,
    )
    clock.add("construct", result.seconds, result.processor_seconds)
    with clock.time("predict"):
        metrics = {
            part: measure_base(
                base, feeds[part], r[part], blocks, warm=warm_items(inputs.samples, part)
            )
            for part in PREDICTIONS
        }
    return Found.of(base, result, metrics)


def warm_items(samples: Samples, part: str) -> NDArray[np.bool_]:
    """[N]: whether the item of each sample of `part` occurs among the train targets.

    An item is a value of the first item field. Rows of the pool count for nothing here, not even
    where the base imitates r of them: what is cold stays so, and what they do for it shows.
    """
    column = samples.schema.item_columns[0]
    (train,) = value_counts(samples.schema, samples.train, (column,))
    items = samples.part(part).x[:, column] - samples.schema.fields[column].offset
    found: NDArray[np.bool_] = train.rows[items] > 0
    return found


def measure_base(
    base: KnowledgeBase,
    feed: Feed,
    r: NDArray[np.float32],
    blocks: Mapping[str, slice],
    *,
    warm: NDArray[np.bool_],
) -> dict[str, float]:
    """How well z imitates r [N, R] of `feed`, in the space the base was trained in.

    "r2" over all dimensions and "r2_<block>" per block of r, "r2_warm" and "r2_cold" over all
    dimensions of the samples in and outside `warm` [N] (each around the mean of r over these
    samples; absent where there are none), "collapse" and "effective_rank" of z.
    """
    base.eval()
    with torch.no_grad():
        z = torch.cat([base(feed.batch(rows).x).float() for rows in feed.chunks(EVALUATION_ROWS)])
        wanted = base.standardised(torch.from_numpy(r).to(feed.device))
        r2 = imitation_r2(z, wanted, blocks)
        for name, some in (("warm", warm), ("cold", ~warm)):
            if some.any():
                rows = torch.from_numpy(np.flatnonzero(some)).to(feed.device)
                r2[name] = imitation_r2(z[rows], wanted[rows], {})["all"]
        return {
            **{"r2" if name == "all" else f"r2_{name}": float(v) for name, v in r2.items()},
            "collapse": float(collapse_level(z)),
            "effective_rank": float(effective_rank(z)),
        }


def _measure(samples: Samples, part: str, p: NDArray[np.float32]) -> dict[str, float]:
    held = samples.part(part)
    x, y = np.asarray(held.x), np.asarray(held.y)
    return evaluate(y, p, samples.user_index(x))


def _earlier(
    kind: Literal["timings", "processor"], spec: RunSpec, parents: Sequence[Path]
) -> dict[str, float]:
    """Seconds that the parents took, by what they are to the run.

    "teacher" and, for a model with knowledge, "construct"; "encoder" where neighbours are dense.
    """
    found: dict[str, float] = {}
    for parent, folder in zip(spec.parents(), parents, strict=True):
        timings = read_json(folder / REPORT).get(kind, {})
        if not timings:  # of before there was any other clock than that on the wall
            continue
        if parent == spec.encoder:
            found["encoder"] = timings["train"]
            continue
        kept = ("retrieval", "teacher", "construct", "encoder")
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
