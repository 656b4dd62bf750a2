"""What systems make of items that the user has met before: where sampled negatives repeat, too."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rokkit.data.profile import seen_before
from rokkit.experiments.grouping import auc_among, samples_of
from rokkit.experiments.report import Report
from rokkit.experiments.tables import Table

TELLS, SEEN, UNSEEN, ALL = "Tells seen from new", "AUC, seen", "AUC, new", "AUC, all"


def repeats_table(variants: Mapping[str, Sequence[Report]]) -> Table:
    """A row per variant: how its p goes with repetition, and its AUC where the item repeats or not.

    An item is seen if it is in the user's history. "Tells seen from new" is the AUC of 1 − p as a
    score of being seen: above .5, the model takes what was seen for a negative. Means over seeds;
    empty where a group lacks a class.
    """
    first = next(iter(variants.values()))[0]
    samples = samples_of(first.spec.data)
    y, seen = np.asarray(samples.test.y), seen_before(samples, samples.test)
    new = ~seen
    groups = {SEEN: seen, UNSEEN: new, ALL: np.ones_like(seen)}
    rows = []
    for name, reports in variants.items():
        held = [report.predictions() for report in reports]
        aucs = {column: auc_among(y, held, here) for column, here in groups.items()}
        tells = auc_among(new.astype(y.dtype), held, groups[ALL])
        rows.append({"System": name, TELLS: tells, **aucs})
    shares = " and ".join(
        f"{100 * y[here].mean():.0f} % of the {word}"
        for word, here in (("seen", seen), ("new", new))
        if here.any()
    )
    return Table(
        frame=pd.DataFrame(rows),
        caption="Test AUC by whether the item is in the user's history.",
        formats=dict.fromkeys((TELLS, *groups), "{:.4f}"),
        better=dict.fromkeys(groups, "max"),
        notes=(
            f"Seen: {seen.sum():,} of {len(seen):,} test samples. Positive: {shares}.",
            "Tells seen from new: AUC of 1 − p, where what is looked for is that an item was seen; "
            ".5 says nothing of it. Means over seeds.",
        ),
    )
