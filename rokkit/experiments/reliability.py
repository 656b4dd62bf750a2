"""Reliability: how often what is predicted with p happens, bin by bin of p."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rokkit.evaluation.metrics import BINS, bin_of
from rokkit.experiments.grouping import samples_of
from rokkit.experiments.report import Report


def reliability_frame(variants: Mapping[str, Sequence[Report]], bins: int = BINS) -> pd.DataFrame:
    """A row per variant and equally wide bin of p that holds a prediction of a test sample.

    Columns: system, bin, predictions (over all seeds), p (their mean), rate (share of positives).
    """
    frames = []
    for name, reports in variants.items():
        labels = np.asarray(samples_of(reports[0].spec.data).test.y)
        p = np.concatenate([r.predictions() for r in reports]).astype(np.float64)
        y = np.tile(labels, len(reports))
        index = bin_of(p, bins)
        n, of_p, of_y = (np.bincount(index, weights=w, minlength=bins) for w in (None, p, y))
        held = np.flatnonzero(n)
        columns = {"predictions": n[held], "p": of_p[held] / n[held], "rate": of_y[held] / n[held]}
        frames.append(pd.DataFrame({"system": name, "bin": held, **columns}))
    return pd.concat(frames, ignore_index=True)
