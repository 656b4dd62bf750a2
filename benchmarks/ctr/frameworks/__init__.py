"""The frameworks that are compared. `framework(name)` makes one; what it needs is imported there.

All take the same settings: embedding 16, hidden layers 200-80 with ReLU, an attention of 64-16 with
Dice, Adam at 1e-3, no weight decay, no dropout. Where a framework has a part fixed, its file says
so.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ctr.arrays import Arrays

OURS = "ours"
PLAIN = "torch"
# Module and class, and the models that it has.
FRAMEWORKS = {
    OURS: "ours:Ours",
    "fuxictr": "fuxictr_peer:FuxiCTR",
    "recbole": "recbole_peer:RecBole",
    "deepctr-torch": "deepctr_peer:DeepCTR",
    "torch-rechub": "rechub_peer:RecHub",
    PLAIN: "plain:Plain",
}
MODELS = ("lr", "deepfm", "din", "dien", "sim")
# RecBole's DIEN draws its own negatives and refuses data that are split already; only FuxiCTR has
# SIM besides us; torch-rechub has no LR.
HAS = {
    OURS: MODELS,
    "fuxictr": MODELS,
    "recbole": ("lr", "deepfm", "din"),
    "deepctr-torch": ("lr", "deepfm", "din", "dien"),
    "torch-rechub": ("deepfm", "din", "dien"),
}
PEERS = tuple(name for name in HAS if name != OURS)
EMBEDDING, HIDDEN, ATTENTION = 16, (200, 80), (64, 16)
SEQUENCE = ("din", "dien", "sim")  # models that read histories
SHORT, TOP = 10, 20  # SIM: the newest behaviours, and those that its search finds
HEADS, ATTENTION_DIM = 1, 64  # SIM: heads of its attentions, and the width of their products
EVALUATION_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is built."""

    model: str
    batch: int = 512
    seed: int = 0
    optimizer: str = ""  # ours: adam, lazy-adam or row-adagrad; a peer takes torch's Adam
    learning_rate: float = 1e-3
    amp: bool = False
    form: str = "eager"  # ours, when it answers: eager, pt2, onnx or compiled
    variant: str = ""  # ours: of SIM "unit", DIN's units, or "hard", them and search by category


Stage = tuple[str, Callable[[Any], Any]]


class Framework(Protocol):
    """What `serve` runs."""

    package: str  # the distribution whose version is told

    def load(self) -> None:
        """Import what a user imports; nothing heavy is imported before."""

    def build(self, arrays: Arrays, case: Case, folder: Path) -> None:
        """Make the model and whatever its own loop takes; scratch files go to `folder`."""

    def epoch(self) -> None:
        """Once over the training rows, by the framework's own loader and loop."""

    def predict(self, part: str) -> NDArray[np.floating[Any]]:
        """[n]: probabilities of a part, in order."""

    def stages(self) -> list[Stage]:
        """How test rows (a slice) become an answer, step by step."""


def framework(name: str) -> Any:
    """The framework `name`; its `load` raises ImportError where its package is not installed."""
    module, _, kind = FRAMEWORKS[name].partition(":")
    return getattr(importlib.import_module(f"ctr.frameworks.{module}"), kind)()
