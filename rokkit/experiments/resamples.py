"""Test metrics under resamples, kept beside the runs: notebooks compare the same runs again."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from rokkit.errors import ArtefactError
from rokkit.evaluation import Measured, measure
from rokkit.evaluation.compare import Metric
from rokkit.experiments.grouping import samples_of
from rokkit.experiments.report import Report
from rokkit.experiments.spec import DataSpec, hash_of
from rokkit.files import aside
from rokkit.paths import shown

FORMAT = 1  # raise it when equal predictions would be resampled otherwise
FOLDER = "resampled"  # beside a data set's runs
KEPT_FROM = 100  # resamples; fewer are taken sooner than read
ARRAYS = ("per_seed", "resampled", "seeds_drawn")


class Resamples:
    """`evaluation.measure` of sets of runs on their test samples, each taken once.

    What is kept lies under a hash of labels and predictions, so it is never that of other runs.
    """

    def __init__(self, n_boot: int = 1000) -> None:
        self.n_boot = n_boot
        self._labels: dict[DataSpec, NDArray[np.int8]] = {}
        self._held: dict[tuple[Metric, tuple[Path, ...]], Measured] = {}

    def __call__(
        self, reports: Sequence[Report], metric: Metric = "auc", *, name: str = "runs"
    ) -> Measured:
        """Runs of one system, one per seed. `name` stands in messages; raises as `measure` does."""
        known = metric, tuple(report.folder for report in reports)
        if known not in self._held:
            self._held[known] = self._measure(reports, metric, name)
        return self._held[known]

    def _measure(self, reports: Sequence[Report], metric: Metric, name: str) -> Measured:
        y = self._labels_of(reports[0].spec.data)
        predictions = [report.predictions() for report in reports]
        path = self._path(reports, y, predictions, metric) if self.n_boot >= KEPT_FROM else None
        if path is not None and path.exists():
            return _read(path, metric, y)
        found = measure(predictions, y, metric, n_boot=self.n_boot, name=name)
        if path is not None:
            with aside(path) as draft, draft.open("wb") as stream:
                np.savez(stream, **{array: getattr(found, array) for array in ARRAYS})
        return found

    def _labels_of(self, data: DataSpec) -> NDArray[np.int8]:
        if data not in self._labels:
            self._labels[data] = np.asarray(samples_of(data).test.y)
        return self._labels[data]

    def _path(
        self,
        reports: Sequence[Report],
        y: NDArray[np.int8],
        predictions: Sequence[NDArray[np.float32]],
        metric: Metric,
    ) -> Path:
        contents = [
            hashlib.sha256(np.ascontiguousarray(a).data).hexdigest() for a in (y, *predictions)
        ]
        covers = hash_of([FORMAT, metric, self.n_boot, contents])
        return reports[0].folder.parent / FOLDER / f"{metric}-{covers[:16]}.npz"


def _read(path: Path, metric: Metric, y: NDArray[np.int8]) -> Measured:
    try:
        with np.load(path, allow_pickle=False) as kept:
            return Measured(metric, y, **{array: kept[array] for array in ARRAYS})
    except (BadZipFile, ValueError, EOFError, OSError, KeyError) as error:
        raise ArtefactError(
            f"{shown(path)} is truncated or damaged ({error}). Remove it and run again."
        ) from None
