"""What was retrieved for test samples, rank by rank, and how a teacher weighs it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rokkit.experiments.grouping import by_teacher, samples_of, spread
from rokkit.experiments.inputs import Inputs
from rokkit.experiments.report import Report
from rokkit.experiments.tables import Table
from rokkit.experiments.weights import load_model
from rokkit.knowledge import teacher_attention
from rokkit.knowledge.teaching import Attentive


def retrieved_frame(teacher: Report, parents: Sequence[Report] = ()) -> pd.DataFrame:
    """A row per rank of the neighbours of test samples, means over those that have one.

    Columns: rank, found (share of samples with a neighbour of that rank), score, label (share of
    positives), agrees (share with the sample's own label), same user, same item, and weight where
    the teacher weighs its neighbours. `parents` are the finished `teacher.spec.parents()`.
    """
    spec, samples = teacher.spec, samples_of(teacher.spec.data)
    assert spec.model is not None
    inputs = Inputs(spec, samples, "cpu", parents[-1].folder if spec.encoder else None)
    held = inputs.retrieved("test")
    ids, scores = np.asarray(held.ids), np.asarray(held.scores)
    x, y = np.asarray(samples.test.x), np.asarray(samples.test.y)
    model = load_model(teacher.folder, spec.model, samples)
    weights = None
    if isinstance(model.backbone, Attentive):
        weights = teacher_attention(model, inputs.feed("test", frozenset(model.needs)))
    schema = samples.schema
    user, item = schema.user_column, schema.item_columns[0]
    rows = []
    for rank in range(ids.shape[1]):
        found = ids[:, rank] >= 0
        at = ids[found, rank]
        theirs, labels = np.asarray(samples.pool.x)[at], np.asarray(samples.pool.y)[at]
        row = {
            "rank": rank + 1,
            "found": float(found.mean()),
            "score": _mean(scores[found, rank]),
            "label": _mean(labels),
            "agrees": _mean(labels == y[found]),
            "same user": _mean(theirs[:, user] == x[found, user]),
            "same item": _mean(theirs[:, item] == x[found, item]),
        }
        if weights is not None:
            row["weight"] = _mean(weights[found, rank])
        rows.append(row)
    return pd.DataFrame(rows)


def retrieved_table(frame: pd.DataFrame, at: Sequence[int] = (1, 2, 5, 10, 20, 50)) -> Table:
    """`retrieved_frame` at some ranks."""
    kept = frame[frame["rank"].isin(at)].reset_index(drop=True)
    return Table(
        frame=kept,
        caption="The neighbours of test samples by rank.",
        formats={c: "{:.3f}" for c in kept.columns if c != "rank"},
        notes=(
            "found: share of samples that have so many; the rest are means over those. agrees: the "
            "neighbour has the sample's own label, .5 where it says nothing. weight: the teacher's "
            "attention.",
        ),
    )


def imitation_table(constructions: Sequence[Report]) -> Table:
    """A row per teacher and block of its r: R² of imitation on val and test, mean over bases."""
    rows = []
    for teacher, bases in by_teacher(constructions).items():
        for name in [n for n in bases[0].metrics["test"] if n.partition("_")[0] == "r2"]:
            values = {
                part: np.array([r.metrics[part].get(name, np.nan) for r in bases])
                for part in ("val", "test")
            }
            rows.append(
                {
                    "Teacher": teacher,
                    "Of": "all of r" if name == "r2" else name.removeprefix("r2_"),
                    "Bases": len(bases),
                    "R² val": float(values["val"].mean()),
                    "R²": float(values["test"].mean()),
                    "R² sd": spread(values["test"]),
                }
            )
    return Table(
        frame=pd.DataFrame(rows),
        caption="Imitation of r, of its blocks, and for warm and cold items.",
        formats=dict.fromkeys(("R² val", "R²", "R² sd"), "{:.3f}"),
        notes=(
            "R² on test samples where it is not said otherwise; mean over bases, sd between them. "
            "warm, cold: the item is among the train targets or not.",
        ),
    )


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
