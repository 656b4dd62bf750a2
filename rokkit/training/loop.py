"""The training loop: evaluate, keep the best, stop early, resume bit by bit."""

import dataclasses
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rokkit.errors import ArtefactError, ConfigError, TrainingError, unknown_name
from rokkit.paths import shown
from rokkit.training.checkpoint import LAST, load_checkpoint, save_checkpoint
from rokkit.training.compilation import CompiledLoss, check_compilation
from rokkit.training.config import TrainConfig
from rokkit.training.early_stopping import EarlyStopping
from rokkit.training.optim import make_optimizer
from rokkit.training.order import Order
from rokkit.training.seeds import random_state, restore_random_state, seed_everything

FORMAT = 1  # of a checkpoint
log = logging.getLogger(__name__)

Progress = Callable[[int, int, dict[str, Any]], None]  # (step, steps at most, fields)
Row = dict[str, int | float]


@runtime_checkable
class Task(Protocol):
    """What is trained, on what, and how it is judged."""

    @property
    def module(self) -> nn.Module:
        """Everything with parameters; the loop sets its mode."""
        ...

    def loss(self, batch_rows: Int[Tensor, "B"]) -> Float[Tensor, ""]:
        """Mean loss of the training rows `batch_rows`, float32."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Metrics on validation data; called in eval mode, without gradients.

        It must not draw random numbers: a run may be resumed on either side of it.
        """
        ...


@runtime_checkable
class Keeps(Protocol):
    """A task that holds on to something of its last evaluation, if that was the best so far."""

    def keep(self) -> None:
        """Called after an `evaluate` that was better than all before it."""
        ...


@dataclass(frozen=True)
class FitResult:
    """What came of a training."""

    history: list[Row]  # one row per evaluation: step, epoch (from 1), train_loss, metrics
    best_step: int
    best_epoch: int
    best_metric: float
    seconds: float  # of training and evaluation, over all resumptions
    steps: int  # taken in all
    finished: bool = True  # False: it left early because of stop_after_steps
    processor_seconds: float = 0.0  # the same, of this process's threads: not what others took


@dataclass
class _State:
    """Where a training stands; all of it is in a checkpoint."""

    stopping: EarlyStopping
    step: int = 0
    history: list[Row] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)  # weights and buffers, on the CPU
    loss_sum: Tensor | None = None  # since the last evaluation; stays on the device
    loss_steps: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    finished: bool = False


def fit(
    task: Task,
    n_rows: int,
    config: TrainConfig,
    *,
    seed: int,
    folder: Path | None = None,
    progress: Progress | None = None,
    stop_after_steps: int | None = None,
) -> FitResult:
    """Train `task.module` on `n_rows` rows; at the end it holds its best weights, in eval mode.

    Every global generator is seeded with `seed` first, so the outcome is a function of the initial
    weights, the data, the config and the seed.

    With a `folder`, `last.pt` is kept in it, and a call that finds one goes on from there: weights,
    history and predictions are then bit-equal to those of a run that was never interrupted (same
    device, thread count and torch version). A finished one is only read.

    With `config.compile` all but parts that have loops of their own (`compilation.EAGER`) runs
    through torch.compile; evaluations and a last, smaller batch do not. Dropout and UBR then
    draw other numbers.

    `progress(step, steps, fields)` is called after each step; it decides itself how often to
    show something. `fields` holds epoch, epochs and the last row of the history.

    `stop_after_steps` leaves once so many steps have been taken in all, after writing a
    checkpoint; the module then holds the current weights.

    Raises TrainingError if the loss or the monitored metric is no longer a finite number (looked
    at once per evaluation) or torch cannot compile it, ConfigError if the task lacks that metric or
    nothing can be compiled here, and ArtefactError if `last.pt` is damaged, belongs to another
    training or cannot be written.
    """
    order = Order(n_rows, config.batch_size, seed)
    seed_everything(seed)
    trainer = _Trainer(task, config, order, folder)
    trainer.resume()
    state = trainer.state
    total = config.epochs * order.steps
    try:
        if not state.finished:
            trainer.compile()
        while not state.finished and not _reached(state.step, stop_after_steps):
            begun, begun_working = time.perf_counter(), time.process_time()
            before, worked = state.seconds, state.processor_seconds
            epoch = state.step // order.steps
            permutation = order.permutation(epoch).to(trainer.device)
            for within in range(state.step % order.steps, order.steps):
                trainer.take_step(permutation[order.batch(within)])
                last = within == order.steps - 1
                if within in trainer.evaluate_after:
                    trainer.evaluate(epoch + 1)
                    state.finished = state.stopping.exhausted or state.step == total
                state.seconds = before + time.perf_counter() - begun
                state.processor_seconds = worked + time.process_time() - begun_working
                if progress is not None:
                    shown_fields = state.history[-1] if state.history else {}
                    progress(
                        state.step,
                        total,
                        shown_fields | {"epoch": epoch + 1, "epochs": config.epochs},
                    )
                leaving = state.finished or _reached(state.step, stop_after_steps)
                every = config.checkpoint_every
                if leaving or (state.step % every == 0 if every else last):
                    trainer.save()
                if leaving:
                    break
    finally:
        trainer.close()
    if state.finished:
        task.module.load_state_dict(state.best)
        task.module.eval()
    stopping = state.stopping
    return FitResult(
        history=state.history,
        best_step=stopping.best_step,
        best_epoch=stopping.best_epoch,
        best_metric=math.nan if stopping.best is None else stopping.best,
        seconds=state.seconds,
        processor_seconds=state.processor_seconds,
        steps=state.step,
        finished=state.finished,
    )


def _reached(step: int, limit: int | None) -> bool:
    return limit is not None and step >= limit


class _Trainer:
    """The pieces that a step, an evaluation and a checkpoint share."""

    def __init__(self, task: Task, config: TrainConfig, order: Order, folder: Path | None) -> None:
        self.task = task
        self.config = config
        self.order = order
        self.path = None if folder is None else folder / LAST
        self.device = next(task.module.parameters()).device
        self.optimizer = make_optimizer(task.module, config)
        self.loss: Callable[[Tensor], Tensor] = task.loss
        self.state = _State(EarlyStopping(config.monitor, config.patience))
        times = min(config.evaluations_per_epoch, order.steps)
        self.evaluate_after = {math.ceil(order.steps * (i + 1) / times) - 1 for i in range(times)}
        task.module.train()

    def compile(self) -> None:
        """Have the loss compiled, if the config says so."""
        if self.config.compile:
            check_compilation(self.device.type)
            self.loss = CompiledLoss(self.task.loss, self.task.module, self.order.batch(0).stop)

    def close(self) -> None:
        """Leave the module as it was found, but for its weights."""
        self.optimizer.close()
        if isinstance(self.loss, CompiledLoss):
            self.loss.close()

    def take_step(self, rows: Int[Tensor, "B"]) -> None:
        """One step of the optimizer."""
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.amp):
            loss = self.loss(rows)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        state = self.state
        state.step += 1
        # Added up where it lies: reading it here would wait for the device at every step.
        held = loss.detach().float()
        state.loss_sum = held if state.loss_sum is None else state.loss_sum + held
        state.loss_steps += 1

    def evaluate(self, epoch: int) -> None:
        """Judge the current weights and keep them if they are the best."""
        state, monitor = self.state, self.config.monitor
        assert state.loss_sum is not None
        loss = state.loss_sum.item() / state.loss_steps
        if not math.isfinite(loss):
            raise TrainingError(
                f"the mean training loss up to step {state.step} is {loss}; expected a finite "
                f"number. Lower learning_rate (now {self.config.learning_rate}), or switch amp off."
            )
        self.task.module.eval()
        with torch.no_grad():
            metrics = self.task.evaluate()
        self.task.module.train()
        if monitor not in metrics:
            raise ConfigError("monitor: " + unknown_name("metric", monitor, metrics))
        if not math.isfinite(metrics[monitor]):
            raise TrainingError(
                f"validation {monitor} at step {state.step} is {metrics[monitor]}; expected a "
                f"finite number. Lower learning_rate (now {self.config.learning_rate})."
            )
        if state.stopping.update(metrics[monitor], step=state.step, epoch=epoch):
            self.optimizer.settle()
            held = self.task.module.state_dict()
            state.best = {name: value.to("cpu", copy=True) for name, value in held.items()}
            if isinstance(self.task, Keeps):
                self.task.keep()
        state.history.append({"step": state.step, "epoch": epoch, "train_loss": loss} | metrics)
        log.debug("step %d: %s", state.step, state.history[-1])
        state.loss_sum, state.loss_steps = None, 0

    def save(self) -> None:
        """Write a checkpoint, if there is a folder for it."""
        if self.path is None:
            return
        state = self.state
        content = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
        content["stopping"] = dataclasses.asdict(state.stopping)
        content |= {
            "identity": self._identity(),
            "module": self.task.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": random_state(self.device),
        }
        save_checkpoint(self.path, content)

    def resume(self) -> None:
        """Take up the checkpoint, if there is one."""
        if self.path is None or not self.path.exists():
            return
        content = load_checkpoint(self.path)
        if content.pop("identity", None) != self._identity():
            raise ArtefactError(
                f"{shown(self.path)} was written by another training (other settings, seed, rows "
                "or parameters). Remove it: training then starts over."
            )
        self.task.module.load_state_dict(content.pop("module"))
        self.optimizer.load_state_dict(content.pop("optimizer"))
        restore_random_state(content.pop("random"), self.device)
        stopping = EarlyStopping(**content.pop("stopping"))
        self.state = _State(stopping=stopping, **content)
        if self.state.loss_sum is not None:
            self.state.loss_sum = self.state.loss_sum.to(self.device)
        log.info("resumed %s at step %d", shown(self.path), self.state.step)

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with to be taken up."""
        shapes = {name: list(value.shape) for name, value in self.task.module.state_dict().items()}
        config = dataclasses.asdict(self.config)
        if not self.config.compile:  # a checkpoint may be older than this setting
            del config["compile"]
        return {
            "format": FORMAT,
            "config": config,
            "seed": self.order.seed,
            "n_rows": self.order.n_rows,
            "shapes": shapes,
        }
