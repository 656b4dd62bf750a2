"""What claims are tested by: comparisons among runs of a study, and verdicts made of them.

A verdict is computed and never typed in: it holds no text but what its comparisons say.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from scipy import special

from rokkit.errors import RokkitError
from rokkit.evaluation import Comparison, contrast
from rokkit.evaluation.compare import SIGNIFICANT, Metric
from rokkit.experiments.report import Report
from rokkit.experiments.resamples import Resamples
from rokkit.experiments.runs import Runs
from rokkit.experiments.settings import Settings
from rokkit.experiments.spec import RunSpec
from rokkit.experiments.systems import system_spec

Word = Literal["holds", "does not hold", "not decided", "not run"]
WORDS: dict[str, Word] = {
    "better": "holds",
    "worse": "does not hold",
    "not decided": "not decided",
}
DECIDES: tuple[Word, ...] = ("does not hold", "not decided", "holds")  # the first there is


class NotRunError(RokkitError):
    """Runs that a claim needs are not there, or not among the systems of the study."""


@dataclass(frozen=True)
class Finding:
    """One tested statement: what, by how much, how sure."""

    what: str  # `DIN+ROK - DIN`
    word: Word
    effect: float  # positive where the claim is right
    low: float = np.nan  # 95 %
    high: float = np.nan
    p_value: float = np.nan  # over seeds
    seeds: int = 0
    unit: str = "AUC"


@dataclass(frozen=True)
class Verdict:
    """What the findings of a claim come to.

    It holds if all of them do, and does not if one is decided the other way; the weakest finding
    stands for it.
    """

    findings: tuple[Finding, ...]
    missing: str = ""  # why there are none

    @property
    def word(self) -> Word:
        """The verdict."""
        words = {one.word for one in self.findings}
        return next((word for word in DECIDES if word in words), "not run")

    @property
    def weakest(self) -> Finding | None:
        """The finding that decides: the least effect among those with the verdict's word."""
        held = [one for one in self.findings if one.word == self.word]
        return min(held, key=lambda one: one.effect, default=None)


@dataclass(frozen=True)
class Side:
    """A system, and settings in which it differs from the study."""

    system: str
    changes: tuple[tuple[str, Any], ...] = ()
    name: str = ""  # as findings call it; empty: the system's
    teacher: bool = False  # not the system but the teacher that its base was constructed from

    @classmethod
    def of(cls, system: "str | Side", name: str = "", **changes: Any) -> "Side":
        """`Side.of("MLP+ROK", "ROK(MLP)", manner="instance")`."""
        if isinstance(system, Side):
            return system
        return cls(system, tuple(sorted(changes.items())), name)

    @property
    def shown(self) -> str:
        """What findings call it."""
        return self.name or self.system


@dataclass
class Evidence:
    """Runs of one study, asked for side by side. `runs` reads or executes specs, as `Runs` does."""

    settings: Settings
    runs: Callable[[Sequence[RunSpec]], list[Report]]
    _held: dict[Side, list[Report]] = field(default_factory=dict)
    _resamples: Resamples = field(default_factory=Resamples)

    def having(self, systems: Sequence[str]) -> list[str]:
        """Those of `systems` that the study has; NotRunError if it has none of them."""
        own = {one.upper() for one in self.settings.systems}
        found = [one for one in systems if one.upper() in own]
        if not found:
            raise NotRunError(f"the study has none of {', '.join(systems)}")
        return found

    def specs(self, side: str | Side) -> list[RunSpec]:
        """What the runs of a side are, one per seed."""
        side = Side.of(side)
        settings = replace(self.settings, **dict(side.changes))
        specs = [system_spec(side.system, settings, seed) for seed in settings.seeds]
        if not side.teacher:
            return specs
        return [one for one in (spec.teacher for spec in specs) if one is not None]

    def reports(self, side: str | Side) -> list[Report]:
        """The runs of a side, one per seed."""
        side = Side.of(side)
        if side not in self._held:
            self._held[side] = self.runs(self.specs(side))
        return self._held[side]

    def _contrast(self, one: Side, other: Side, metric: Metric) -> Comparison:
        measured = (self._resamples(self.reports(s), metric, name=s.shown) for s in (one, other))
        return contrast(*measured)

    def no_worse(self, one: str | Side, than: str | Side, distance: float) -> Finding:
        """Whether the test AUC of `one` is at most `distance` behind: its 95 % interval decides.

        The effect is how much nearer than that it is.
        """
        a, b = Side.of(one), Side.of(than)
        c = self._contrast(a, b, "auc")
        low, high = c.low + distance, c.high + distance
        word: Word = "holds" if low > 0 else "does not hold" if high < 0 else "not decided"
        what = f"{a.shown} - {b.shown}, against -{distance:g}"
        return Finding(what, word, c.difference + distance, low, high, seeds=c.n_seeds)

    def better(self, one: str | Side, than: str | Side, metric: Metric = "auc") -> Finding:
        """Whether `one` is better on test samples, paired over seeds, with an interval."""
        a, b = Side.of(one), Side.of(than)
        c = self._contrast(a, b, metric)
        sign = 1 if metric == "auc" else -1
        return Finding(
            what=f"{a.shown} - {b.shown}",
            word=WORDS[c.finding],
            effect=sign * c.difference,
            low=min(sign * c.low, sign * c.high),
            high=max(sign * c.low, sign * c.high),
            p_value=c.p,
            seeds=c.n_seeds,
            unit="AUC" if metric == "auc" else "log-loss",
        )


def ratio_below(what: str, ratios: Sequence[float], limit: float, unit: str) -> Finding:
    """Whether ratios, one per seed, are below `limit`: `above` of the logarithm of limit / ratio.

    The effect is limit / ratio - 1: how far below it they lie.
    """
    found = above(what, list(-np.log(np.asarray(ratios, float))), -float(np.log(limit)), unit)
    effect, low, high = (float(np.expm1(v)) for v in (found.effect, found.low, found.high))
    return replace(found, effect=effect, low=low, high=high)


def above(what: str, values: Sequence[float], limit: float, unit: str) -> Finding:
    """Whether values, one per seed, lie above `limit`: a one-sample t-test of their difference.

    With one seed nothing is decided.
    """
    beyond = np.asarray(values, float) - limit
    mean, n = float(beyond.mean()), len(beyond)
    if n < 2:
        return Finding(what, "not decided", mean, seeds=n, unit=unit)
    error = max(float(beyond.std(ddof=1)) / n**0.5, 1e-12)
    p = float(2 * special.stdtr(n - 1, -abs(mean) / error))
    reach = float(special.stdtrit(n - 1, 0.975)) * error
    word: Word = "not decided"
    if p < SIGNIFICANT:
        word = "holds" if mean > 0 else "does not hold"
    return Finding(what, word, mean, mean - reach, mean + reach, p, n, unit)


def only_read(runs: Runs) -> Callable[[Sequence[RunSpec]], list[Report]]:
    """Reads finished runs; NotRunError that names those which are not there."""

    def read(specs: Sequence[RunSpec]) -> list[Report]:
        wanted = set(specs)
        missing = [p.label for p in runs.plan(specs) if p.spec in wanted and not p.done]
        if missing:
            raise NotRunError(f"not run: {', '.join(missing)}")
        return runs(specs)

    return read
