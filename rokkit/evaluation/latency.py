"""How long calls take, measured in turns: what slows the machine down meets all of them alike."""

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from rokkit.config import require

Seconds = NDArray[np.float64]


def in_turns(
    calls: Mapping[str, Callable[[int], Mapping[str, float]]], rounds: int, warm_up: int = 20
) -> dict[str, dict[str, Seconds]]:
    """Seconds of each call and stage: `{call: {stage: [rounds]}}`.

    A call is given the number of the round and returns the seconds of its stages (see `Stages`).
    In each round every call has one turn. `warm_up` rounds come first and are not kept.
    """
    require(rounds >= 1, "rounds", rounds, "at least 1")
    require(warm_up >= 0, "warm_up", warm_up, "at least 0")
    kept: dict[str, dict[str, list[float]]] = {name: {} for name in calls}
    for i in range(-warm_up, rounds):
        for name, call in calls.items():
            stages = call(i % rounds)
            for stage, seconds in stages.items() if i >= 0 else ():
                kept[name].setdefault(stage, []).append(seconds)
    return {n: {s: np.array(v) for s, v in stages.items()} for n, stages in kept.items()}


class Stages:
    """A stopwatch for the stages of one call: `stages.lap("search")` ends a stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """The time since the last lap, or the start, is that of `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
