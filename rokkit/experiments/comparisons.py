"""Which systems are told apart: differences in test metrics, paired over seeds, with intervals."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import pandas as pd

from rokkit.errors import ConfigError, unknown_name
from rokkit.evaluation import Comparison, contrast
from rokkit.evaluation.compare import SIGNIFICANT, Metric
from rokkit.experiments.grouping import by_system
from rokkit.experiments.report import Report
from rokkit.experiments.resamples import Resamples
from rokkit.experiments.systems import ROK
from rokkit.experiments.tables import Table

# The comparisons that come first: (system, against).
PAIRS = (("RIM", "DIN"), ("DIN+ROK", "DIN"), ("MLP+ROK", "MLP"), ("DIN+ROK", "RIM"))
PLAIN = "MLP"  # against which every system without knowledge is held


class Paired:
    """Comparisons among named sets of runs on test samples, paired over the seeds both have.

    Called with (one, against), it gives one minus against. Each set is resampled once for all of
    its pairs. Raises ConfigError for a name that is not known, and for two without a seed in
    common.
    """

    def __init__(
        self,
        held: Mapping[str, Sequence[Report]],
        metric: Metric = "auc",
        *,
        n_boot: int = 1000,
        kind: str = "system",
    ) -> None:
        """`kind` is what the names are, for messages."""
        self._held = {name: {r.spec.seed: r for r in runs} for name, runs in held.items()}
        self._kind = kind
        self._metric, self.n_boot = metric, n_boot
        self._resamples = Resamples(n_boot)

    def __call__(self, system: str, against: str) -> Comparison:
        for name in (system, against):
            if name not in self._held:
                raise ConfigError(unknown_name(self._kind, name, self._held))
        seeds = tuple(sorted(self._held[system].keys() & self._held[against].keys()))
        if not seeds:
            raise ConfigError(f"{system} and {against} have no seed in common.")
        measured = (
            self._resamples([self._held[name][seed] for seed in seeds], self._metric, name=name)
            for name in (system, against)
        )
        return contrast(*measured)


def starred(
    held: Mapping[str, Sequence[Report]], frame: pd.DataFrame, unranked: Collection[int] = ()
) -> frozenset[tuple[int, str]]:
    """Cells (row, column) of a best AUC or log-loss that a paired test tells from the second.

    `frame` has a row for each of `held`, in the same order; those at `unranked` compete for
    nothing. The test is over seeds, at p < 0.01 (§5.1.2).
    """
    found, names = set(), list(held)
    columns: dict[str, Metric] = {"AUC": "auc", "Log-loss": "log_loss"}
    for column, metric in columns.items():
        ranked = frame[column].reset_index(drop=True).drop(list(unranked))
        order = ranked.sort_values(ascending=metric != "auc", kind="stable").index[:2]
        if len(order) == 2:
            # Only the test over seeds decides, so the bootstrap is spared.
            paired = Paired(held, metric, n_boot=1)
            if paired(*(names[i] for i in order)).p < SIGNIFICANT:
                found.add((int(order[0]), column))
    return frozenset(found)


def comparison(
    reports: Iterable[Report],
    system: str,
    against: str,
    metric: Metric = "auc",
    *,
    n_boot: int = 1000,
) -> Comparison:
    """`system` minus `against`, as `Paired` has it."""
    return Paired(by_system(reports), metric, n_boot=n_boot)(system, against)


def pairs_of(systems: Iterable[str]) -> list[tuple[str, str]]:
    """What is compared among `systems`: (system, against).

    PAIRS, then each backbone with knowledge against itself without, then knowledge of another
    teacher against that of the study's own, then each other system against an MLP.
    """
    known = list(systems)
    rok = [(one, one.partition(ROK)[0]) for one in known if ROK in one]
    teachers = [(one, plain + ROK) for one, plain in rok if one != plain + ROK]
    plain = [(one, PLAIN) for one in known if ROK not in one and one != PLAIN]
    return list(dict.fromkeys([*PAIRS, *rok, *teachers, *plain]))


def comparisons(
    reports: Sequence[Report],
    pairs: Sequence[tuple[str, str]] | None = None,
    metric: Metric = "auc",
    paired: Paired | None = None,
) -> dict[tuple[str, str], Comparison]:
    """`comparison` for each pair (None: `pairs_of` the systems) whose systems were both run.

    `paired` may hold them resampled already, by the same metric.
    """
    held = by_system(reports)
    pairs = pairs_of(held) if pairs is None else pairs
    paired = paired or Paired(held, metric)
    return {pair: paired(*pair) for pair in pairs if set(pair) <= held.keys()}


def comparisons_table(found: Mapping[tuple[str, str], Comparison]) -> Table:
    """What `comparisons` found, a row per pair."""
    rows = []
    for (system, against), c in found.items():
        numbers = (c.difference, c.low, c.high, c.p, c.p_bootstrap)
        rows.append((system, against, c.n_seeds, *numbers, c.finding))
    columns = [
        "System",
        "Against",
        "Seeds",
        "Difference",
        "Low",
        "High",
        "p (seeds)",
        "p (samples)",
        "Finding",
    ]
    frame = pd.DataFrame(rows, columns=columns)
    metrics = " and ".join(dict.fromkeys(_NAMES[c.metric] for c in found.values()))
    signed = dict.fromkeys(("Difference", "Low", "High"), "{:+.4f}")
    return Table(
        frame=frame,
        caption=f"Difference in test {metrics}: system minus against.",
        formats=signed | dict.fromkeys(("p (seeds)", "p (samples)"), "{:.2g}"),
        notes=(
            "p (seeds): two-sided paired t-test over seeds. Low, high and p (samples): bootstrap "
            "over test samples and seeds, 95 %.",
            "Better or worse: the interval leaves 0 out and p (seeds) < 0.01; else not decided. "
            "With one seed there is no p, and the interval alone decides.",
        ),
    )


_NAMES = {"auc": "AUC", "log_loss": "log-loss"}
