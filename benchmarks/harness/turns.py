"""Rounds of turns: what else the machine does falls on all contenders alike."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

from harness.contenders import OutOfTheRace

T = TypeVar("T")


@dataclass(frozen=True)
class Turn:
    """What one turn took."""

    units: float  # queries, steps or samples that were done
    cpu: float  # seconds of the contender's process
    wall: float  # seconds


@dataclass(frozen=True)
class Rate:
    """Units per second over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Rate":
        """That of one value per round."""
        return cls(statistics.median(values), min(values), max(values))


def in_rounds(
    contenders: Mapping[str, Callable[[], T]], rounds: int, seed: int = 0
) -> tuple[dict[str, list[T]], dict[str, str]]:
    """(what each contender's turns gave, one per round; those that dropped out, and why).

    Each round has an order of its own. Who drops out in the middle has no turns at all.
    """
    order = np.random.default_rng(seed)
    left = dict(contenders)
    found: dict[str, list[T]] = {name: [] for name in left}
    out: dict[str, str] = {}
    for _ in range(rounds):
        for name in order.permutation(list(left)).tolist():
            try:
                found[name].append(left[name]())
            except OutOfTheRace as reason:
                out[name] = str(reason)
                del left[name], found[name]
    return found, out


def summary(turns: Mapping[str, Sequence[Turn]], ours: str) -> dict[str, dict[str, Any]]:
    """By contender: "cpu" and "wall", each a `Rate`, "times" that ours is as fast, and "turns".

    Times are ratios of units per processor second, taken round by round: a slow moment of the
    machine meets both sides of a ratio.
    """
    own = [turn.units / turn.cpu for turn in turns[ours]]
    found = {}
    for name, taken in turns.items():
        rates = [turn.units / turn.cpu for turn in taken]
        found[name] = {
            "cpu": asdict(Rate.of(rates)),
            "wall": asdict(Rate.of([turn.units / turn.wall for turn in taken])),
            "times": asdict(Rate.of([a / b for a, b in zip(own, rates, strict=True)])),
            "turns": [asdict(turn) for turn in taken],
        }
    return found
