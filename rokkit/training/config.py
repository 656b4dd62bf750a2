"""How a model is trained."""

from dataclasses import dataclass
from typing import Literal, get_args

from rokkit.config import require

Optimizer = Literal["adam", "lazy-adam", "row-adagrad"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `fit`. Raises ConfigError for a value outside its range.

    Selection is on validation data. An evaluation counts against `patience` unless it is better
    than every one before it (§6.1: "early stopping after 3 steps").
    """

    epochs: int = 20  # at most
    batch_size: int = 512  # rows per step; 2 at least, for BatchNorm
    learning_rate: float = 1e-3  # the optimizer's step size; the middle of RIM's grid
    weight_decay: float = 0.0  # of dense weights; never of id tables, biases or norms
    patience: int = 3  # evaluations without a better score before stopping
    evaluations_per_epoch: int = 1  # evenly spaced; the last one ends the epoch
    monitor: Literal["auc", "log_loss", "loss"] = "auc"  # the metric that selects
    amp: bool = False  # forward and loss under bfloat16 autocast
    compile: bool = False  # forward and loss through torch.compile
    checkpoint_every: int = 0  # steps between checkpoints; 0 = one per epoch
    # adam: every row of an id table at every step; lazy-adam: the same but for rounding, at the
    # cost of the rows that are looked up; row-adagrad: one step size per row of a table
    optimizer: Optimizer = "adam"

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "evaluations_per_epoch"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require(self.batch_size >= 2, "batch_size", self.batch_size, "at least 2, for BatchNorm")
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "more than 0")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "at least 0")
        require(self.checkpoint_every >= 0, "checkpoint_every", self.checkpoint_every, "0 or more")
        for name, known in (
            ("monitor", ("auc", "log_loss", "loss")),
            ("optimizer", get_args(Optimizer)),
        ):
            held = getattr(self, name)
            require(held in known, name, held, f"one of {', '.join(known)}")
