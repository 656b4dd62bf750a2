"""What trained models gain from rows that were logged after they were trained, as they are."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rokkit.config import require
from rokkit.data import Samples
from rokkit.evaluation import auc, contrast, measure
from rokkit.experiments.aids import Aid
from rokkit.experiments.inputs import Inputs
from rokkit.experiments.report import Report
from rokkit.experiments.resamples import Resamples
from rokkit.experiments.spec import COUNTED
from rokkit.experiments.tables import Table
from rokkit.experiments.weights import load_aided, load_run
from rokkit.training import predict


def fresh_predictions(reports: Sequence[Report], samples: Samples) -> NDArray[np.float32]:
    """[S, N]: p of the test samples, each by all rows that are strictly earlier.

    `reports` are of one system, a seed each, and `samples` those that they were trained on, but
    causal: what the model searches or counts is then the pool, train, val and the test rows before
    the sample. Its weights stay as they are.
    """
    require(samples.causal, "causal of the samples", samples.causal, "samples with causal=true")
    found: list[NDArray[np.float32]] = []
    counts: NDArray[np.float32] | None = None  # of samples, so that all seeds have the same
    for report in reports:
        spec = report.spec
        counted = spec.aid is not None and spec.aid.kind in COUNTED
        load = load_aided if counted else load_run
        model, aid = load(report.folder, spec, samples), Aid(spec, Inputs(spec, samples, "cpu"), ())
        if counted:
            counts = aid.extra("test") if counts is None else counts
            feed = aid.feed("test", frozenset(model.needs), counts)
        else:
            feed = aid.feed_of(model, "test")
        found.append(predict(model, feed))
    return np.stack(found)


def freshness_table(variants: Mapping[str, Sequence[Report]], samples: Samples) -> Table:
    """A row per variant: test AUC by the pool it was trained with, and by all rows known before.

    `samples` are causal, as `fresh_predictions` has them. Early and late: the difference in AUC
    among the earlier and the later half of the test samples.
    """
    y, resamples = np.asarray(samples.test.y), Resamples()
    later = np.argsort(np.argsort(np.asarray(samples.test.time), kind="stable")) >= len(y) // 2
    rows = []
    for name, held in variants.items():
        old = np.stack([report.predictions() for report in held])
        new = fresh_predictions(held, samples)
        c = contrast(measure(new, y, name=f"fresh {name}"), resamples(held, name=name))
        pairs = list(zip(new, old, strict=True))
        halves = [
            np.mean([auc(y[half], n[half]) - auc(y[half], o[half]) for n, o in pairs])
            for half in (~later, later)
        ]
        numbers = (c.mean_b, c.mean_a, c.difference, c.low, c.high, c.p, c.finding, *halves)
        rows.append((name, c.n_seeds, *numbers))
    columns = ["System", "Seeds", "AUC, pool", "AUC, fresh", "Difference", "Low", "High"]
    frame = pd.DataFrame(rows, columns=[*columns, "p (seeds)", "Finding", "Early", "Late"])
    return Table(
        frame=frame,
        caption="Models as they were trained, by the pool and by all that was logged before.",
        formats={
            **dict.fromkeys(("AUC, pool", "AUC, fresh"), "{:.4f}"),
            **dict.fromkeys(("Difference", "Low", "High", "Early", "Late"), "{:+.4f}"),
            "p (seeds)": "{:.2g}",
        },
        notes=(
            "Test AUC, means over seeds. Fresh: what is searched or counted is every row strictly "
            "earlier than the sample, those of train, val and test among them, and no weight is "
            "trained again. A model that reads neither has nothing to gain. Finding: as elsewhere.",
            "Early, late: the difference among the earlier and the later half of the test samples.",
        ),
    )
