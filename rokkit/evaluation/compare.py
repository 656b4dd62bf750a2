"""Is a better than b? Paired over seeds, and bootstrapped over test samples."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from rokkit.config import require
from rokkit.errors import ConfigError, DataError, unknown_name
from rokkit.evaluation.bootstrap import draw, weighted_auc, weighted_log_loss
from rokkit.evaluation.metrics import auc, log_loss
from rokkit.machine import cores

Metric = Literal["auc", "log_loss"]
METRICS = get_args(Metric)
AT_ONCE = 32  # resamples in memory at a time
SIGNIFICANT = 0.01  # the paper's level (§5.1.2)


@runtime_checkable
class Predicted(Protocol):
    """A finished run."""

    def predictions(self) -> NDArray[np.float32]:
        """[N] probabilities over the test samples."""
        ...


Runs = NDArray[Any] | Predicted | Sequence[Any]  # a sequence holds arrays or runs


@dataclass(frozen=True)
class Comparison:
    """The difference a - b of a metric (for log-loss, negative means that a is better)."""

    metric: str
    mean_a: float  # mean over seeds
    mean_b: float
    difference: float  # mean_a - mean_b
    low: float  # 95 % interval of the difference, by bootstrap over test samples and seeds
    high: float
    p_value: float | None  # two-sided paired t-test over seeds; None with one seed
    p_bootstrap: float  # two-sided, from the resamples
    n_seeds: int
    n_samples: int
    differences: tuple[float, ...]  # per seed

    @property
    def p(self) -> float:
        """`p_value` as a number: NaN with one seed."""
        return float("nan") if self.p_value is None else self.p_value

    @property
    def finding(self) -> Literal["better", "worse", "not decided"]:
        """What the comparison says of a against b.

        Decided only if both tests agree: the interval leaves 0 out, and over several seeds the
        paired test has p < 0.01, the paper's level (§5.1.2).
        """
        seeds_agree = self.p_value is None or self.p_value < SIGNIFICANT
        if self.low <= 0 <= self.high or not seeds_agree:
            return "not decided"
        return "better" if (self.difference > 0) == (self.metric == "auc") else "worse"


@dataclass(frozen=True, eq=False)
class Measured:
    """A system's metric for each of S seeds, on N test samples and on resamples of them."""

    metric: str
    labels: NDArray[Any]  # [N]
    per_seed: NDArray[np.float64]  # [S]
    resampled: NDArray[np.float64]  # [n_boot, S]
    seeds_drawn: NDArray[np.int64]  # [n_boot, S]: which seeds each resample takes

    @property
    def shown(self) -> str:
        """What was measured, for messages."""
        n_boot, seeds = self.resampled.shape
        return f"{self.metric} of {seeds} seeds on {len(self.labels)} samples, {n_boot} resamples"


def compare(
    a: Runs,
    b: Runs,
    y: ArrayLike,
    metric: Metric | str = "auc",
    *,
    n_boot: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare two systems on the same N test samples with labels `y` [N].

    `a` and `b` are probabilities [N] or [S, N], one row per seed, or S runs with `.predictions()`.
    Row s of `a` is paired with row s of `b`: give both in the order of the seeds.

    Two sources of chance, two tests. `p_value` asks whether the difference would survive other
    training seeds on these test samples. `low`, `high` and `p_bootstrap` ask whether it would
    survive other test samples too: each of the `n_boot` resamples draws N samples and S seed
    pairs, with replacement, and both systems are measured on the same draw. The interval is the
    percentile interval; it treats samples as independent, though those of one user are not, and
    with few seeds it understates the spread over seeds by about 1 / S.
    `p_bootstrap` is never below 2 / (n_boot + 1): more resamples resolve smaller ones.

    Raises ConfigError for an unknown metric or n_boot < 1, and DataError for predictions that do
    not fit each other or `y`, hold NaN, or where `y` has a single class.
    """
    held = [
        measure(runs, y, metric, n_boot=n_boot, seed=seed, name=name)
        for runs, name in ((a, "a"), (b, "b"))
    ]
    return contrast(*held)


def measure(
    runs: Runs,
    y: ArrayLike,
    metric: Metric | str = "auc",
    *,
    n_boot: int = 1000,
    seed: int = 0,
    name: str = "runs",
) -> Measured:
    """One system as `compare` takes it, measured on the whole test set and on each resample.

    For many comparisons among few systems: each is measured once, `contrast` is then free.
    Equal `y`, `n_boot`, `seed` and S give equal resamples, whatever the system. `name` stands in
    messages. Raises as `compare` does.
    """
    if metric not in METRICS:
        raise ConfigError(unknown_name("metric", metric, METRICS))
    require(n_boot >= 1, "n_boot", n_boot, "at least 1")
    labels, stacked = np.asarray(y), _stacked(runs, name)
    if stacked.shape[1] != len(labels):
        raise DataError(
            f"{name} has shape {stacked.shape} and y {labels.shape}; expected the same test "
            "samples, [S, N] and [N]."
        )
    point = auc if metric == "auc" else log_loss
    per_seed = np.array([point(labels, p) for p in stacked])
    resampled, seeds_drawn = _resample(labels.astype(np.int64), stacked, metric, n_boot, seed)
    return Measured(metric, labels, per_seed, resampled, seeds_drawn)


def contrast(a: Measured, b: Measured) -> Comparison:
    """`compare` of two systems that are measured already.

    Raises DataError unless both were measured in the same way: metric, labels, seeds, resamples.
    """
    alike = (
        a.metric == b.metric
        and np.array_equal(a.labels, b.labels)
        and np.array_equal(a.seeds_drawn, b.seeds_drawn)
    )
    if not alike:
        raise DataError(
            f"a is {a.shown} and b {b.shown}; expected the same seeds and the same test samples, "
            "metric and resamples."
        )
    differences = a.per_seed - b.per_seed
    drawn = np.take_along_axis(a.resampled - b.resampled, a.seeds_drawn, axis=1)
    resampled = np.array([row.mean() for row in drawn])
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Comparison(
        metric=a.metric,
        mean_a=float(a.per_seed.mean()),
        mean_b=float(b.per_seed.mean()),
        difference=float(differences.mean()),
        low=float(low),
        high=float(high),
        p_value=_paired_t(differences),
        p_bootstrap=_two_sided(resampled),
        n_seeds=len(differences),
        n_samples=len(a.labels),
        differences=tuple(map(float, differences)),
    )


def _stacked(runs: Runs, name: str) -> NDArray[np.float32]:
    """[S, N] from any of the accepted forms."""
    if not isinstance(runs, np.ndarray):
        held = runs if isinstance(runs, Sequence) else [runs]
        rows = [r.predictions() if hasattr(r, "predictions") else np.asarray(r) for r in held]
        if rows and rows[0].ndim == 0:  # a plain list of numbers
            rows = [np.asarray(rows)]
        if len({np.shape(r) for r in rows}) != 1:
            raise DataError(
                f"{name}: runs have shapes {[np.shape(r) for r in rows]}; expected at least one, "
                "and all over the same test samples."
            )
        runs = np.stack(rows)
    stacked = np.atleast_2d(runs).astype(np.float32)
    if stacked.ndim != 2:
        raise DataError(f"{name} has shape {runs.shape}; expected [S, N] or [N].")
    return stacked


def _resample(
    y: NDArray[np.int64], runs: NDArray[np.float32], metric: str, n_boot: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The metric of each seed under each resample, and the seeds it takes; [n_boot, S] both."""
    weigh = weighted_auc if metric == "auc" else weighted_log_loss
    measured = weigh(y, runs)
    generator = np.random.default_rng(seed)
    seeds = len(runs)
    found, taken = np.empty((n_boot, seeds)), np.empty((n_boot, seeds), np.int64)
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, n_boot, AT_ONCE):
            here = range(start, min(start + AT_ONCE, n_boot))
            # Drawn one after the other, so that the answer does not depend on the number of cores.
            draws = [(draw(y, generator), generator.integers(0, seeds, seeds)) for _ in here]
            found[here.start : here.stop] = list(pool.map(measured, (c for c, _ in draws)))
            taken[here.start : here.stop] = [s for _, s in draws]
    return found, taken


def _paired_t(differences: NDArray[np.float64]) -> float | None:
    n = len(differences)
    if n < 2:
        return None
    spread = differences.std(ddof=1)
    if spread == 0:  # the t-statistic is 0 / 0 or infinite
        return 1.0 if differences[0] == 0 else 0.0
    t = differences.mean() / (spread / np.sqrt(n))
    return float(2 * special.stdtr(n - 1, -abs(t)))


def _two_sided(resampled: NDArray[np.float64]) -> float:
    """The share of resamples on the far side of 0, doubled; one is added, so it is never 0."""
    far = min((resampled <= 0).sum(), (resampled >= 0).sum())
    return float(min(1.0, 2 * (far + 1) / (len(resampled) + 1)))
