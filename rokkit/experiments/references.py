"""Reference rows: two scores without a model, to stand below the systems of a table.

A system that does not beat them has learnt nothing that counting would not give.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rokkit.data.profile import PartProfile
from rokkit.evaluation import auc
from rokkit.experiments.tables import Rank, Table

REFERENCES = (
    "References are scores without a model. Seen before: 1 if the item is in the user's history, "
    "else 0. Pool popularity: log(1 + positives of the item in the pool)."
)


def reference_aucs(part: PartProfile) -> dict[str, float]:
    """AUC of each reference on the part, by its name.

    Any growing function of a count ranks as the count does, so the counts stand for the scores.
    """
    seen, total = part.seen_before, part.total
    unseen = total.positives - seen.positives, total.negatives - seen.negatives
    scores = {
        "seen before": ((0, *unseen), (1, seen.positives, seen.negatives)),
        "pool popularity": part.popularity,
    }
    return {name: _auc(groups) for name, groups in scores.items()}


@dataclass(frozen=True, kw_only=True)
class SystemsTable(Table):
    """A table of systems with reference rows below them: shown like the others, never ranked."""

    references: int  # so many rows at the end

    def ranks(self) -> dict[tuple[int, str], Rank]:
        """Best and second among the systems, by (row position, column); ties share a rank."""
        systems = self.frame.iloc[: len(self.frame) - self.references]
        return Table(frame=systems, caption=self.caption, better=self.better).ranks()


def with_references(table: Table, part: PartProfile) -> SystemsTable:
    """`table`, which has the columns System and AUC, with the references of `part` below.

    Their other cells are empty.
    """
    aucs = reference_aucs(part)
    n = len(table.frame)
    whole = [c for c in table.frame if pd.api.types.is_integer_dtype(table.frame[c].dtype)]
    # An empty cell turns a column of integers into one of floats.
    frame = table.frame.reset_index(drop=True).reindex(range(n + len(aucs)))
    frame.loc[n:, "System"] = [f"{name} (reference)" for name in aucs]
    frame.loc[n:, "AUC"] = list(aucs.values())
    return SystemsTable(
        frame=frame,
        caption=table.caption,
        formats={**table.formats, **dict.fromkeys(whole, "{:,.0f}")},
        better=table.better,
        stars=table.stars,
        unranked=table.unranked,
        notes=(*table.notes, REFERENCES),
        references=len(aucs),
    )


def _auc(groups: Sequence[tuple[int, int, int]]) -> float:
    """AUC of samples in groups of (score, positives, negatives)."""
    scores, positives, negatives = np.array(groups).T
    y = np.repeat([1, 0], [positives.sum(), negatives.sum()])
    return auc(y, np.concatenate([np.repeat(scores, positives), np.repeat(scores, negatives)]))
