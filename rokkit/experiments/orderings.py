"""Which of the paper's orderings hold here: every pair of systems that it orders alike on its data.

A pair counts where the paper prints an AUC for both systems and puts the same one ahead on all of
its data sets (Tables 2 to 4). Here a paired test decides, over runs of ours.
"""

from collections.abc import Iterable, Sequence
from itertools import permutations

import pandas as pd

from rokkit.experiments import paper
from rokkit.experiments.comparisons import Paired
from rokkit.experiments.grouping import by_system
from rokkit.experiments.reading import published
from rokkit.experiments.report import Report
from rokkit.experiments.tables import Table

WORDS = {"better": "holds", "worse": "reversed", "not decided": "not decided"}


def ordered_pairs(systems: Iterable[str]) -> list[tuple[str, str]]:
    """(ahead, behind) among `systems` wherever the paper has that on each of its data sets."""
    return [
        (ahead, behind)
        for ahead, behind in permutations(systems, 2)
        if len(margins := list(published(ahead, behind).values())) == len(paper.DATASETS)
        and min(margins) > 0
    ]


def orderings_table(reports: Sequence[Report], paired: Paired | None = None) -> Table:
    """A row per pair of `ordered_pairs`: the paper's least and largest margin, and ours.

    "holds" and "reversed" are the findings better and worse of `paired`, on test AUC (None: that of
    the systems of `reports`).
    """
    held = by_system(reports)
    rows, paired = [], paired or Paired(held)
    for ahead, behind in ordered_pairs(held):
        margins = list(published(ahead, behind).values())
        c = paired(ahead, behind)
        ours = (c.difference, c.low, c.high, c.p, WORDS[c.finding])
        rows.append((ahead, behind, min(margins), max(margins), *ours))
    signed = ("Paper, least", "Paper, largest", "Ours", "Low", "High")
    columns = ["Ahead in the paper", "Behind", *signed, "p (seeds)", "Here"]
    frame = pd.DataFrame(rows, columns=columns)
    counts = ", ".join(f"{(frame['Here'] == word).sum()} {word}" for word in WORDS.values())
    return Table(
        frame=frame,
        caption=f"Orderings of test AUC that the paper has on all of its data sets: {counts}.",
        formats={**dict.fromkeys(signed, "{:+.4f}"), "p (seeds)": "{:.2g}"},
        notes=(
            "The paper's margins are those of the AUCs it prints for its data sets. Ours: mean "
            "over seeds; low and high: 95 %, bootstrap over test samples and seeds, "
            f"{paired.n_boot} resamples.",
            "Decided where the interval leaves 0 out and a paired t-test over seeds has p < 0.01.",
        ),
    )
