"""Table 3: backbones with and without a knowledge base."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rokkit.evaluation import plain_impr, rel_impr
from rokkit.evaluation.compare import SIGNIFICANT
from rokkit.experiments import paper
from rokkit.experiments.comparisons import Paired
from rokkit.experiments.grouping import by_system, on_test
from rokkit.experiments.report import Report
from rokkit.experiments.systems import ROK
from rokkit.experiments.tables import Table


def with_and_without(backbones: Iterable[str]) -> tuple[str, ...]:
    """The systems that Table 3 needs: each backbone by itself, then with a knowledge base."""
    return tuple(name + rok for name in backbones for rok in ("", ROK))


def compatibility_table(reports: Sequence[Report]) -> Table:
    """A row per backbone X whose X and X+ROK, or X+ROK-<teacher>, are among `reports`.

    Improvements are given both ways the paper writes them: Rel. Impr. is Eq. 9, Ratio what Table 3
    prints under that name. The paper's own are ratios too.
    """
    held = by_system(reports)
    paired, over_seeds = Paired(held), Paired(held, "log_loss", n_boot=1)
    rows: list[dict[str, Any]] = []
    stars = set()
    for system in [one for one in held if ROK in one and one.partition(ROK)[0] in held]:
        name, _, teacher = system.partition(ROK)
        plain, rok = held[name], held[system]
        aucs, losses = ([on_test(r, m).mean() for r in (plain, rok)] for m in ("auc", "log_loss"))
        c = paired(system, name)
        for metric, found in (("AUC", c), ("Log-loss", over_seeds(system, name))):
            if found.p < SIGNIFICANT:
                rok_is_ahead = (found.difference > 0) == (metric == "AUC")
                stars.add((len(rows), metric + (" + ROK" if rok_is_ahead else "")))
        rows.append(
            {
                "Backbone": f"{name}, base of {teacher[1:]}" if teacher else name,
                "Seeds": c.n_seeds,
                "AUC": aucs[0],
                "AUC + ROK": aucs[1],
                "Difference": c.difference,
                "Low": c.low,
                "High": c.high,
                "p (seeds)": c.p,
                "Finding": c.finding,
                "Rel. Impr. %": rel_impr(aucs[1], aucs[0]) if aucs[0] > 0.5 else np.nan,
                "Ratio %": plain_impr(aucs[1], aucs[0]),
                "Log-loss": losses[0],
                "Log-loss + ROK": losses[1],
                "Log-loss impr. %": plain_impr(losses[1], losses[0], lower_is_better=True),
                **{f"Paper {d} %": _printed(name, system, d) for d in paper.DATASETS},
            }
        )
    four = ("AUC", "AUC + ROK", "Log-loss", "Log-loss + ROK")
    signed = ("Difference", "Low", "High")
    per_cent = ("Rel. Impr. %", "Ratio %", "Log-loss impr. %")
    printed = [f"Paper {d} %" for d in paper.DATASETS]
    return Table(
        frame=pd.DataFrame(rows),
        caption=f"Table 3 on {reports[0].spec.data.title}: backbones with and without ROK.",
        formats={
            **dict.fromkeys(four, "{:.4f}"),
            **dict.fromkeys(signed, "{:+.4f}"),
            **dict.fromkeys((*per_cent, *printed), "{:+.2f}"),
            "p (seeds)": "{:.2g}",
        },
        stars=frozenset(stars),
        notes=(
            "Test samples, mean over seeds. Difference: in AUC; low and high: 95 %, bootstrap over "
            "test samples and seeds. Finding: the interval leaves 0 out and a paired t-test over "
            "seeds has p < 0.01 (with one seed the interval alone decides). A star marks the "
            "better one of a pair where that test has p < 0.01.",
            "Rel. Impr.: Eq. 9 of the AUC. Ratio: AUC with ROK over AUC, minus 1, which Table 3 of "
            "the paper prints under the name Rel. Impr.; its values are in the last columns.",
            *paper.notes_on([(3, row) for row in paper.rows(3)], "AUC"),
        ),
    )


def _printed(name: str, system: str, dataset: str) -> float:
    """The paper's improvement, computed from the AUCs it prints; ROK there is RIM's alone."""
    row = {one.upper(): one for one in paper.rows(3)}.get(name)
    if row is None or system != name + ROK:
        return np.nan
    plain, rok = (paper.value(3, one, dataset, "AUC") for one in (row, row + ROK))
    return np.nan if plain is None or rok is None else plain_impr(rok, plain)
