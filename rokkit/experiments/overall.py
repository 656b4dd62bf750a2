"""Table 2: every system over all seeds, compared by paired tests, beside the paper's."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from rokkit.data.profile import profile
from rokkit.errors import ConfigError, unknown_name
from rokkit.evaluation import rel_impr
from rokkit.experiments import paper
from rokkit.experiments.comparisons import starred
from rokkit.experiments.grouping import (
    Stopwatch,
    by_system,
    means_and_spreads,
    on_test,
    samples_of,
)
from rokkit.experiments.references import with_references
from rokkit.experiments.report import Report
from rokkit.experiments.systems import ROK, system_name
from rokkit.experiments.tables import Table

# Where the paper prints the AUC of a system of ours: (table, row).
PAPER_ROWS: Mapping[str, tuple[int, str]] = {
    **{name.upper(): (2, name) for name in paper.rows(2) if name != "ROK"},  # of no one backbone
    **{name: (4, name) for name in ("LR", "MLP")},
    **{f"{name}+ROK": (4, f"ROK({name})") for name in ("LR", "MLP")},
    **{name.upper(): (3, name) for name in paper.rows(3) if name.endswith(ROK)},
}


def overall_frame(reports: Iterable[Report]) -> pd.DataFrame:
    """Every metric of every model, tidy: dataset, system, seed, split, metric, value."""
    rows = [
        (report.spec.data.name, system, report.spec.seed, split, metric, value)
        for system, held in by_system(reports).items()
        for report in held
        for split, metrics in report.metrics.items()
        for metric, value in metrics.items()
    ]
    return pd.DataFrame(rows, columns=["dataset", "system", "seed", "split", "metric", "value"])


def overall_table(reports: Sequence[Report], base: str = "DIN") -> Table:
    """Table 2: mean and spread over seeds of each system, and the paper's AUC beside it.

    Rel. Impr. is Eq. 9 on the mean test AUC against `base`, the backbone of ROK. A star marks a
    best that a paired test over seeds tells from the second at p < 0.01. Two scores without a model
    stand below as references.
    """
    held = by_system(reports)
    if base not in held:
        raise ConfigError("base of Rel. Impr.: " + unknown_name("system", base, held))
    base_auc = on_test(held[base], "auc").mean()
    rows = []
    for system, runs in held.items():
        measured = means_and_spreads(runs)
        rows.append(
            {
                "System": system,
                **measured,
                "gAUC": on_test(runs, "gauc").mean(),
                "ECE": on_test(runs, "ece").mean(),
                # Eq. 9 divides by the distance from chance; a base no better has none.
                "Rel. Impr. %": rel_impr(measured["AUC"], base_auc) if base_auc > 0.5 else np.nan,
                **{f"Paper {d}": _paper(system, d) for d in paper.DATASETS},
            }
        )
    frame = pd.DataFrame(rows)
    better: Mapping[str, Literal["max", "min"]] = {"AUC": "max", "Log-loss": "min"}
    table = Table(
        frame=frame,
        caption=f"Table 2, on {reports[0].spec.data.title}; the paper's AUC on its own data.",
        formats={
            **dict.fromkeys(("AUC", "AUC sd", "Log-loss", "Log-loss sd", "gAUC", "ECE"), "{:.4f}"),
            **{f"Paper {d}": "{:.4f}" for d in paper.DATASETS},
            "Rel. Impr. %": "{:+.2f}",
        },
        better=better,
        stars=starred(held, frame),
        notes=(
            f"Test samples; mean over seeds, sd between seeds. Rel. Impr.: Eq. 9 against {base}.",
            *paper.notes_on([PAPER_ROWS[one] for one in held if one in PAPER_ROWS], "AUC"),
        ),
    )
    samples = samples_of(reports[0].spec.data)
    # What the references count is the whole pool, which is the future too where it is causal.
    return table if samples.causal else with_references(table, profile(samples).test)


def costs_table(reports: Sequence[Report]) -> Table:
    """What each system costs: parameters, and seconds on the machine that ran it.

    Apart from Table 2, whose numbers are the same at every run.
    """
    before = {"Retrieval s": "retrieval", "Teacher s": "teacher", "Construction s": "construct"}
    held = by_system(reports)
    if any("encoder" in r.timings for runs in held.values() for r in runs):
        before = {"Encoder s": "encoder"} | before
    rows, watch = [], Stopwatch.of(reports)
    for system, runs in held.items():
        stages = {column: watch.median(runs, stage) for column, stage in before.items()}
        rows.append(
            {
                "System": system,
                "Parameters": runs[0].parameters["total"],
                "Trained": runs[0].parameters["trainable"],
                "Epochs": np.mean([r.details["epochs"] for r in runs]),
                "Train s": watch.median(runs, "train"),
                **stages,
            }
        )
    seconds = ("Train s", *before)
    return Table(
        frame=pd.DataFrame(rows),
        caption=f"Parameters, and seconds of {watch.kind} on the machine that ran it.",
        formats={
            **dict.fromkeys(("Parameters", "Trained"), "{:,}"),
            **dict.fromkeys(("Epochs", *seconds), "{:.1f}"),
        },
        notes=(
            "Seconds: the median over seeds, since a run may have had to share the machine; "
            "epochs: the mean. Retrieval: building the index and searching for all targets, done "
            "once.",
        ),
    )


def curves_frame(reports: Iterable[Report]) -> pd.DataFrame:
    """Every evaluation while training, tidy: system, seed, epoch, metric, value.

    Epochs are those that had passed: an evaluation in the middle of the second is at 1.5.
    Constructions are among them, as `KNOWLEDGE(<teacher>)`.
    """
    rows = []
    for report in reports:
        history = report.history()
        steps = max((row["step"] / row["epoch"] for row in history), default=1)  # of an epoch
        rows += [
            (system_name(report.spec), report.spec.seed, row["step"] / steps, metric, value)
            for row in history
            for metric, value in row.items()
            if metric not in ("epoch", "step")
        ]
    return pd.DataFrame(rows, columns=["system", "seed", "epoch", "metric", "value"])


def _paper(system: str, dataset: str) -> float:
    found = paper.value(*PAPER_ROWS[system], dataset, "AUC") if system in PAPER_ROWS else None
    return np.nan if found is None else found
