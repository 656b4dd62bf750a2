"""Where knowledge helps: test AUC by how well the item is known."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rokkit.data import Samples
from rokkit.data.profile import value_counts
from rokkit.experiments.grouping import auc_among, samples_of
from rokkit.experiments.report import Report
from rokkit.experiments.tables import Table

GROUPS = ("among the train targets", "in the pool alone", "nowhere")


def warmth(samples: Samples) -> NDArray[np.int8]:
    """[N]: the group of each test sample's item, an index into GROUPS."""
    schema = samples.schema
    column = schema.item_columns[0]
    train, pool = (
        value_counts(schema, part, (column,))[0].rows for part in (samples.train, samples.pool)
    )
    items = np.asarray(samples.test.x)[:, column] - schema.fields[column].offset
    return np.select([train[items] > 0, pool[items] > 0], [0, 1], 2).astype(np.int8)


def warmth_table(variants: Mapping[str, Sequence[Report]]) -> Table:
    """A row per group of items: its share of test samples, and each variant's AUC on it.

    Means over seeds; empty where a group lacks a class.
    """
    first = next(iter(variants.values()))[0]
    samples = samples_of(first.spec.data)
    y, group = np.asarray(samples.test.y), warmth(samples)
    predictions = {name: [r.predictions() for r in held] for name, held in variants.items()}
    rows = []
    for code, name in enumerate(GROUPS):
        here = group == code
        aucs = {variant: auc_among(y, held, here) for variant, held in predictions.items()}
        rows.append({"Item": name, "Test samples": int(here.sum()), **aucs})
    return Table(
        frame=pd.DataFrame(rows),
        caption="Test AUC by where the sample's item occurs.",
        formats={"Test samples": "{:,}"} | dict.fromkeys(variants, "{:.4f}"),
        notes=("Means over seeds; AUC compares the samples of a group with each other alone.",),
    )


def calibration_table(variants: Mapping[str, Sequence[Report]]) -> Table:
    """A row per variant: log-loss and expected calibration error on test, means over seeds."""
    rows = [
        {
            "System": name,
            "Log-loss": float(np.mean([r.metrics["test"]["log_loss"] for r in held])),
            "ECE": float(np.mean([r.metrics["test"]["ece"] for r in held])),
            "Mean p": float(np.mean([r.predictions().mean() for r in held])),
            "Positive rate": float(np.asarray(samples_of(held[0].spec.data).test.y).mean()),
        }
        for name, held in variants.items()
    ]
    return Table(
        frame=pd.DataFrame(rows),
        caption="How far predicted probabilities can be taken for what they say.",
        formats=dict.fromkeys(("Log-loss", "ECE", "Mean p", "Positive rate"), "{:.4f}"),
        better={"Log-loss": "min", "ECE": "min"},
        notes=("Test samples, means over seeds.",),
    )
