"""Reports of a study, gathered by system."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rokkit import evaluation
from rokkit.data import Samples, load
from rokkit.errors import ConfigError
from rokkit.experiments.report import Report
from rokkit.experiments.spec import DataSpec
from rokkit.experiments.systems import system_name


def by_system(reports: Iterable[Report]) -> dict[str, list[Report]]:
    """The models among `reports` by system, in order of appearance, each by seed.

    Raises ConfigError if a system has two runs with the same seed: a sweep over another setting
    would be averaged away.
    """
    found: dict[str, list[Report]] = {}
    for report in reports:
        if report.spec.model is not None:
            found.setdefault(system_name(report.spec), []).append(report)
    for system, held in found.items():
        held.sort(key=lambda r: r.spec.seed)
        seeds = [r.spec.seed for r in held]
        if len(set(seeds)) < len(seeds):
            raise ConfigError(
                f"{system} has seeds {seeds}; expected each once. Runs that differ in another "
                "setting need a table of their own."
            )
    return found


def by_teacher(constructions: Iterable[Report]) -> dict[str, list[Report]]:
    """Knowledge bases by their teacher's name, in order of appearance."""
    found: dict[str, list[Report]] = {}
    for one in constructions:
        assert one.spec.knowledge is not None
        found.setdefault(one.spec.knowledge.teacher.name.upper(), []).append(one)
    return found


def means_and_spreads(reports: Sequence[Report]) -> dict[str, float]:
    """Test AUC and log-loss, mean over seeds and spread between them, by the tables' columns."""
    auc, loss = (on_test(reports, metric) for metric in ("auc", "log_loss"))
    return {
        "Seeds": len(reports),
        "AUC": float(auc.mean()),
        "AUC sd": spread(auc),
        "Log-loss": float(loss.mean()),
        "Log-loss sd": spread(loss),
    }


def on_test(reports: Iterable[Report], metric: str) -> NDArray[np.float64]:
    """A metric on test samples, one value per report."""
    return np.array([report.metrics["test"][metric] for report in reports])


def auc_among(
    y: NDArray[np.integer], predictions: Sequence[NDArray[np.float32]], here: NDArray[np.bool_]
) -> float:
    """AUC of the samples `here` among themselves, a mean over seeds; NaN where a class lacks."""
    if not 0 < y[here].sum() < here.sum():
        return float("nan")
    return float(np.mean([evaluation.auc(y[here], p[here]) for p in predictions]))


def spread(values: NDArray[np.float64]) -> float:
    """Standard deviation between seeds; NaN for a single one."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


@dataclass(frozen=True)
class Stopwatch:
    """Seconds of the stages of runs: of their own threads where they were run so, or of wall time.

    On a processor a run's own threads tell what it costs whatever else the machine does; a GPU's
    work is in neither but the wall's.
    """

    processor: bool

    @classmethod
    def of(cls, reports: Iterable[Report]) -> "Stopwatch":
        """The processor's if each system has a run that was measured by it."""
        return cls(all(any(map(_by_processor, held)) for held in by_system(reports).values()))

    @property
    def kind(self) -> str:
        """ "processor time" or "wall time"."""
        return "processor time" if self.processor else "wall time"

    def seconds(self, report: Report, stage: str) -> float:
        """Of one stage; NaN if the run has none of it, or was not measured so.

        A search is measured by the wall's clock alone.
        """
        if not self.processor:
            return report.timings.get(stage, float("nan"))
        if not _by_processor(report):
            return float("nan")
        return report.processor.get(stage, report.timings.get(stage, float("nan")))

    def median(self, reports: Iterable[Report], stage: str) -> float:
        """Over the runs that have it; NaN if none has."""
        found = [s for s in (self.seconds(r, stage) for r in reports) if not np.isnan(s)]
        return float(np.median(found)) if found else float("nan")


def _by_processor(report: Report) -> bool:
    return bool(report.processor) and report.details.get("device") == "cpu"


def samples_of(data: DataSpec) -> Samples:
    """The samples that a run was trained and measured on."""
    return load(data.name, **dict(data.options))
