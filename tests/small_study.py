"""A small data set, small runs on it and made-up reports, for the tests of experiments."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from numpy.typing import NDArray

from rokkit.data import (
    ImpressionLog,
    LogField,
    Origin,
    PerUser,
    Shares,
    Source,
    SourceOptions,
    load,
    register_source,
)
from rokkit.evaluation import evaluate
from rokkit.experiments import Report, Runs, RunSpec, Settings, system_spec
from rokkit.experiments import execute as execution
from rokkit.files import save_array
from rokkit.training import loop

USERS, ITEMS = 20, 12


@dataclass(frozen=True, kw_only=True)
class SmallOptions(SourceOptions):
    rows: int = 40  # of each user
    noise: float = 0.1  # share of labels that are turned round


@register_source("small", title="Made for tests")
class Small(Source):
    """Users like items of their own parity."""

    Options = SmallOptions

    def files(self, options: SmallOptions) -> Mapping[str, Path]:
        return {}

    def read(self, options: SmallOptions) -> ImpressionLog:
        generator = np.random.default_rng(options.seed)
        n = USERS * options.rows
        user, item = np.repeat(np.arange(USERS), options.rows), generator.integers(0, ITEMS, n)
        liked = (user + item) % 2 == 0
        turned = generator.random(n) < options.noise
        frame = pd.DataFrame(
            {
                "user": user,
                "item": item,
                "brand": item % 5,
                "day": generator.integers(0, 7, n),
                "time": np.tile(np.arange(options.rows), USERS),
                "label": (liked != turned).astype(int),
            }
        )
        return ImpressionLog(
            frame=frame,
            fields=(
                LogField("user", "user"),
                LogField("item", "item"),
                LogField("brand", "item"),
                LogField("day", "context"),
            ),
            retrieval=("user", "item"),
            time="time",
            time_unit="ticks",
            split=PerUser(Shares()),
            label="label",
            origin=Origin(
                licence="none",
                licence_note="made for a test",
                rows_read=n,
                dropped=(("torn lines", 3),),
            ),
        )


SETTINGS = Settings(
    dataset="small",
    systems=("LR", "MLP", "RIM", "MLP+ROK"),
    backbone="MLP",
    seeds=(0,),
    k=3,
    history_length=5,
    embed_dim=4,
    hidden=(8,),
    dropout=0.1,
    epochs=2,
    batch_size=16,
    learning_rate=0.01,
    base_hidden=(8,),
    base_dropout=0.1,
    construct_epochs=2,
    construct_batch_size=16,
    construct_learning_rate=0.01,
    device="cpu",
)


def spec(system: str, seed: int = 0, **settings: Any) -> RunSpec:
    """The small run of `system`: `spec("MLP+ROK", update="fg")`."""
    return system_spec(system, replace(SETTINGS, **settings), seed)


def often_saved(one: RunSpec, every: int = 2) -> RunSpec:
    """`one`, it and its parents with a checkpoint after `every` steps."""
    knowledge = one.knowledge
    if knowledge is not None:
        knowledge = replace(
            knowledge,
            teacher_training=replace(knowledge.teacher_training, checkpoint_every=every),
            construct_training=replace(knowledge.construct_training, checkpoint_every=every),
        )
    training = replace(one.training, checkpoint_every=every)
    return replace(one, training=training, knowledge=knowledge)


def settle(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Data, runs and results lie below `folder` from now on; says where runs are."""
    for name in ("DATA", "RUNS", "RESULTS"):
        patch.setenv(f"ROKKIT_{name}", str(folder / name.lower()))
    return folder / "runs"


def params_file(settings: Settings, path: Path) -> Path:
    """Writes `settings` as a file for the commands."""
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def lineage(one: RunSpec) -> list[RunSpec]:
    """`one` and everything it needs, parents first."""
    return [before for parent in one.parents() for before in lineage(parent)] + [one]


def yields(reports: Sequence[Report]) -> list[dict[str, bytes]]:
    """What runs end with, byte by byte: weights, history and predictions."""
    names = ("best.safetensors", "history.csv", "predictions.npy", "predictions_val.npy")
    return [
        {name: (r.folder / name).read_bytes() for name in names if (r.folder / name).exists()}
        for r in reports
    ]


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below `folder` with its time of change and its bytes."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) for p in files}


class Inline(Executor):
    """Runs a job when it is submitted and remembers it; it notices being shut down."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.closed = False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.jobs.append(args[0])
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.closed = True


def made_predictions(strength: float, seed: int = 0) -> NDArray[np.float32]:
    """Probabilities of the test samples of `small` that know `strength` of the labels."""
    y = np.asarray(load("small").test.y)
    logits = strength * (2.0 * y - 1) + np.random.default_rng(seed).normal(size=len(y))
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def made_report(
    folder: Path,
    system: str,
    seed: int,
    predictions: NDArray[np.float32] | None = None,
    *,
    timings: dict[str, float] | None = None,
    total: int = 100,
    **metrics: float,
) -> Report:
    """A report of a run that never was; metrics that are not given are those of predictions."""
    one = spec(system, seed)
    here = folder / f"{one.label}-made"
    p = made_predictions(1.0, seed) if predictions is None else predictions
    save_array(here / "predictions.npy", p)
    test = load("small").test
    measured = evaluate(np.asarray(test.y), p, np.asarray(test.x)[:, 0])
    return Report(
        spec=one,
        key=one.label,
        folder=here,
        metrics={"val": dict(measured), "test": measured | metrics},
        timings={"train": 1.0} if timings is None else timings,
        parameters={"table": 60, "dense": total - 60, "total": total, "trainable": total},
        details={"epochs": 2},
        cached=False,
    )


def live(data: Path, runs: Path, asked: Sequence[RunSpec], place: str, at: int) -> None:
    """Executes `asked` and is killed when it comes to `place` for the `at`-th time.

    A place is "step" of a training, "weights" or "history", each before it is written.
    """
    owner, name = {
        "step": (loop._Trainer, "take_step"),
        "weights": (execution, "save_weights"),
        "history": (execution, "_write_history"),
    }[place]
    real, calls = getattr(owner, name), []

    def deadly(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(owner, name, deadly)
    _alone(data)
    Runs(runs, device="cpu")(asked)


def race(data: Path, runs: Path, asked: Sequence[RunSpec], begin: Any, told: Any) -> None:
    """Wants `asked` at the same time as the others at the barrier `begin`; tells what it read."""
    _alone(data)
    slow_down(0.03)
    begin.wait(60)
    told.put([report.cached for report in Runs(runs, device="cpu")(asked)])


def slow_down(seconds: float) -> None:
    """Each step of a training sleeps first."""
    real = loop._Trainer.take_step

    def slow(trainer: Any, rows: Any) -> None:
        time.sleep(seconds)
        real(trainer, rows)

    loop._Trainer.take_step = slow  # type: ignore[method-assign]


def _alone(data: Path) -> None:
    os.environ["ROKKIT_DATA"] = str(data)
    torch.set_num_threads(1)


if os.environ.get("SMALL_SLEEP"):  # slows a worker process down
    slow_down(float(os.environ["SMALL_SLEEP"]))
