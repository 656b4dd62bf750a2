"""Table 1: what the data set holds, ours beside the paper's; and what the data figures draw."""

import itertools

import numpy as np
import pandas as pd

from rokkit.data import Samples
from rokkit.data.samples import PARTS
from rokkit.experiments import paper
from rokkit.experiments.tables import Table

COUNTS = ("Users", "Items", "Samples", "Fields", "Features")


def card_table(samples: Samples) -> Table:
    """The data card as texts, by what they are."""
    card = samples.card
    history = card["history"]
    rows = [
        ("data set", str(card["name"])),
        ("licence", str(card["licence"])),
        ("", str(card["licence_note"])),
        ("options", ", ".join(f"{k}={v}" for k, v in card["options"].items())),
        ("rows read", f"{card['rows_read']:,}"),
        *(("dropped", f"{d['rows']:,}: {d['reason']}") for d in card["dropped"]),
        (
            "history",
            f"mean {history['mean']:.1f}, median {history['p50']:.0f}, 95 % at most "
            f"{history['p95']:.0f}, empty {history['empty_share']:.1%}",
        ),
        *(("note", note) for note in card["notes"]),
        *(("raw file", f"{name} {digest}") for name, digest in card["source_files"].items()),
    ]
    return Table(
        frame=pd.DataFrame(rows, columns=["Card", "Content"]),
        caption=f"Data card of {card['name']}.",
    )


def data_table(samples: Samples) -> Table:
    """Table 1 of the paper with a first row of ours. Different data: only the columns agree."""
    card = samples.card
    ours = [int(card[name.lower()]) for name in COUNTS]
    rows = [[card["name"], "here", *ours]]
    for dataset in paper.DATASETS:
        cells = [paper.value(1, "Data set", dataset, column) for column in COUNTS]
        rows.append([dataset, "paper", *(int(c) for c in cells if c is not None)])
    frame = pd.DataFrame(rows, columns=["Data set", "From", *COUNTS])
    return Table(
        frame=frame,
        caption="Table 1: statistics of the data sets; the paper's are other data.",
        formats=dict.fromkeys(COUNTS, "{:,}"),
        notes=paper.notes(1, "Data set", "Tmall", "Fields")
        + paper.notes(1, "Data set", "Tmall", "Features"),
    )


def parts_table(samples: Samples) -> Table:
    """The four parts: rows, positives, users, items and their span in time."""
    rows = []
    for name in PARTS:
        part = samples.card["parts"][name]
        rows.append(
            [
                name,
                int(part["rows"]),
                float(part["positive_rate"]),
                int(part["users"]),
                int(part["items"]),
                part["time_first"],
                part["time_last"],
            ]
        )
    columns = ["Part", "Rows", "Positive rate", "Users", "Items", "First", "Last"]
    return Table(
        frame=pd.DataFrame(rows, columns=columns),
        caption=f"Parts of {samples.card['name']}, in time order ({samples.card['time_unit']}).",
        formats={"Rows": "{:,}", "Users": "{:,}", "Items": "{:,}", "Positive rate": "{:.4f}"},
    )


def events_frame(samples: Samples, bins: int = 60) -> pd.DataFrame:
    """Rows of each part in `bins` equal slices of time: columns part, time, samples."""
    times = {name: np.asarray(samples.part(name).time) for name in PARTS}
    held = [t for t in times.values() if len(t)]
    low, high = min(int(t.min()) for t in held), max(int(t.max()) for t in held)
    edges = np.linspace(low, high + 1, bins + 1)
    rows = []
    for name, time in times.items():
        counts, _ = np.histogram(time, edges)
        rows += [(name, edges[i], int(n)) for i, n in enumerate(counts) if n]
    return pd.DataFrame(rows, columns=["part", "time", "samples"])


def cuts(samples: Samples) -> dict[str, float]:
    """First time of train, val and test, where the part before ends before it.

    Empty where each user's log is cut by itself: the parts overlap in time then.
    """
    times = {name: np.asarray(samples.part(name).time) for name in PARTS}
    return {
        later: float(times[later].min())
        for earlier, later in itertools.pairwise(PARTS)
        if times[earlier].max() < times[later].min()
    }


def long_tail_frame(samples: Samples) -> pd.DataFrame:
    """Pool rows of each item, most frequent first: columns rank, rows.

    An item is a value of the first field of the item tuple. At most 1,000 ranks are kept, evenly
    on the logarithmic scale they are drawn on.
    """
    column = samples.schema.item_columns[0]
    counts = np.bincount(np.asarray(samples.pool.x[:, column]))
    held = np.sort(counts[counts > 0])[::-1]
    ranks = np.unique(np.geomspace(1, max(1, len(held)), 1000).round().astype(int))
    return pd.DataFrame({"rank": ranks, "rows": held[ranks - 1]})


def history_frame(samples: Samples) -> pd.DataFrame:
    """Cumulative share of users by length of their history: columns length, share."""
    lengths = np.diff(np.asarray(samples.history.offsets))
    values, counts = np.unique(lengths, return_counts=True)
    return pd.DataFrame({"length": values, "share": counts.cumsum() / len(lengths)})
