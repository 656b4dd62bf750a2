"""Variants of one system side by side: what a setting is worth, paired over seeds.

A variant is a name, or a value of a setting, and its runs, one per seed:
`{"Fix": reports, "Upd g": reports}`, `{0.0: reports, 0.5: reports}`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from rokkit.evaluation import auc, batched_auc
from rokkit.experiments import paper
from rokkit.experiments.comparisons import Paired, starred
from rokkit.experiments.grouping import means_and_spreads, samples_of
from rokkit.experiments.reading import Reading, told
from rokkit.experiments.report import Report
from rokkit.experiments.tables import Table

Name = TypeVar("Name", str, float)


def variants_frame(variants: Mapping[Name, Sequence[Report]]) -> pd.DataFrame:
    """Every metric of every variant, tidy: variant, seed, split, metric, value."""
    rows = [
        (variant, report.spec.seed, split, metric, value)
        for variant, reports in variants.items()
        for report in reports
        for split, metrics in report.metrics.items()
        for metric, value in metrics.items()
    ]
    return pd.DataFrame(rows, columns=["variant", "seed", "split", "metric", "value"])


def variants_table(
    variants: Mapping[Name, Sequence[Report]],
    against: Name,
    caption: str,
    *,
    name: str = "Variant",
    published: Mapping[Name, tuple[int, str]] | None = None,
) -> Table:
    """A row per variant: test AUC and log-loss, and its difference in AUC from `against`.

    `name` heads the variants; `published` says which (table, row) of the paper one stands beside.
    Raises ConfigError if `against` is no variant, or has no seed in common with one.
    """
    rows, paired = [], paired_variants(variants)
    for variant, reports in variants.items():
        row: dict[str, Any] = {name: variant, **means_and_spreads(reports)}
        if variant != against:
            c = paired(str(variant), str(against))
            row |= {"Difference": c.difference, "Low": c.low, "High": c.high}
            row["p (seeds)"] = c.p
            row["Finding"] = c.finding
        for dataset in paper.DATASETS if published else ():
            at = (published or {}).get(variant)
            value = None if at is None else paper.value(*at, dataset, "AUC")
            row[f"Paper {dataset}"] = np.nan if value is None else value
        rows.append(row)
    frame = pd.DataFrame(rows)
    most = max(len(reports) for reports in variants.values())
    unranked = {i for i, reports in enumerate(variants.values()) if len(reports) < most}
    signed = dict.fromkeys(("Difference", "Low", "High"), "{:+.4f}")
    beside: list[str] = [f"Paper {d}" for d in paper.DATASETS] if published else []
    plain = ("AUC", "AUC sd", "Log-loss", "Log-loss sd", *beside)
    return Table(
        frame=frame,
        caption=caption,
        formats=dict.fromkeys(plain, "{:.4f}") | signed | {"p (seeds)": "{:.2g}"},
        better={"AUC": "max", "Log-loss": "min"},
        stars=starred({str(v): runs for v, runs in variants.items()}, frame, unranked),
        unranked=frozenset(unranked),
        notes=(
            f"Test samples; mean over seeds, sd between seeds. Difference: in AUC, from {against}; "
            "low and high: 95 %, bootstrap over test samples and seeds.",
            "Finding: the interval leaves 0 out and a paired t-test over seeds has p < 0.01 (with "
            "one seed the interval alone decides). Best and second are among the rows of most "
            "seeds; a star marks a best that the test tells from the second.",
        ),
    )


def variants_reading(
    variants: Mapping[Name, Sequence[Report]], against: Name, name: str = ""
) -> Reading:
    """Each variant against one of them, a sentence each; `name` is the setting they vary."""
    paired = paired_variants(variants)
    texts = {variant: f"{name} {variant}".strip() for variant in variants}
    return Reading(
        tuple(
            told(texts[variant], texts[against], paired(str(variant), str(against)))
            for variant in variants
            if variant != against
        )
    )


def batched_table(
    variants: Mapping[Name, Sequence[Report]], batch_sizes: Sequence[int] = (100, 512)
) -> Table:
    """Test AUC as it is, and as means over batches of consecutive samples, means over seeds."""
    rows = []
    for variant, reports in variants.items():
        y = np.asarray(samples_of(reports[0].spec.data).test.y)
        p = [report.predictions() for report in reports]
        row = {"Variant": variant, "AUC": np.mean([auc(y, one) for one in p])}
        row |= {f"by {n}": np.mean([batched_auc(y, one, n) for one in p]) for n in batch_sizes}
        rows.append(row)
    columns = ("AUC", *(f"by {n}" for n in batch_sizes))
    return Table(
        frame=pd.DataFrame(rows),
        caption="Test AUC, and the mean AUC of batches of so many consecutive test samples.",
        formats=dict.fromkeys(columns, "{:.4f}"),
        notes=("Means over seeds. Samples are in the order of the test part.",),
    )


def best_on_validation(variants: Mapping[Name, Sequence[Report]], metric: str = "auc") -> Name:
    """The variant with the best mean validation metric; the first of equals. No test data."""
    sign = 1 if metric == "auc" else -1
    means = {v: sign * np.mean([r.metrics["val"][metric] for r in variants[v]]) for v in variants}
    return max(means, key=lambda variant: means[variant])


def bases_table(bases: Mapping[Name, Sequence[Report]], name: str) -> Table:
    """What knowledge bases learnt, a row per value of the setting `name`: means over seeds.

    `bases` holds construction runs. R² of imitation and the collapse level are of test samples.
    """
    columns = {"r2": "R²", "r2_warm": "R² warm", "r2_cold": "R² cold", "collapse": "Collapse"}
    rows = []
    for value, held in bases.items():
        measured = {
            column: np.mean([r.metrics["test"].get(metric, np.nan) for r in held])
            for metric, column in columns.items()
        }
        rows.append({name: value, "Seeds": len(held), **measured})
    return Table(
        frame=pd.DataFrame(rows),
        caption=f"Knowledge bases by {name}: imitation of r and spread of z, on test samples.",
        formats=dict.fromkeys(columns.values(), "{:.3f}"),
        notes=(
            "R²: 1 where z equals r, 0 where it is no better than the mean of r. Warm: the item is "
            "among the train targets. Collapse: 0 where the directions of z are spread evenly, 1 "
            "where all are the same.",
        ),
    )


def paired_variants(variants: Mapping[Name, Sequence[Report]]) -> Paired:
    """Comparisons among variants, by their names as texts."""
    return Paired({str(name): held for name, held in variants.items()}, kind="variant")
