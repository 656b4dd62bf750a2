"""Table 1: what the data set holds, ours beside the paper's; and what the data figures draw."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rokkit.data import Samples
from rokkit.data.profile import profile, value_counts
from rokkit.data.samples import PARTS
from rokkit.experiments import paper
from rokkit.experiments.references import REFERENCES, reference_aucs
from rokkit.experiments.tables import Table

COUNTS = ("Users", "Items", "Samples", "Fields", "Features")
OUTLYING = 1000  # at most one row in so many of a part can be one of those far from all others


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


def profile_table(samples: Samples) -> Table:
    """How cold the targets are, and the AUC of two scores without a model, on test and val.

    Shares are of all samples, of the positives and of the negatives of a part.
    """
    held = profile(samples)
    parts = {"test": held.test, "val": held.val}
    what = {
        "user without a row in the pool": "user_not_in_pool",
        "user without a row in pool or train": "user_not_in_pool_or_train",
        "user without a positive in the pool": "user_without_positive",
        "item without a row in the pool": "item_not_in_pool",
        "item without a row in pool or train": "item_not_in_pool_or_train",
        "item without a positive in the pool": "item_without_positive",
        "item in the user's history": "seen_before",
    }
    rows: list[list[str | float]] = []
    for text, field in what.items():
        shares = [part.shares(getattr(part, field)) for part in parts.values()]
        rows.append([f"share: {text}", *itertools.chain(*shares)])
    aucs = [reference_aucs(part) for part in parts.values()]
    for name in aucs[0]:
        cells = [(one[name], np.nan, np.nan) for one in aucs]
        rows.append([f"AUC: {name}", *itertools.chain(*cells)])
    columns = [f"{part}{of}" for part in parts for of in ("", " positives", " negatives")]
    item = samples.schema.fields[samples.schema.item_columns[0]].name
    return Table(
        frame=pd.DataFrame(rows, columns=["Profile", *columns]),
        caption=f"Profile of {samples.card['name']}: how cold its targets are, and what two scores "
        "without a model know of them.",
        formats=dict.fromkeys(columns, "{:.4f}"),
        notes=(
            f"An item is a value of {item!r}. Rows of the pool include sampled negatives, if there "
            "are any; rows of train are those that were kept.",
            REFERENCES,
        ),
    )


def events_frame(samples: Samples, bins: int = 60) -> pd.DataFrame:
    """Rows of each part in `bins` equal slices of time: columns part, time, samples.

    Where a log holds a few times far from all others, they would leave nothing to see: only the
    stretch of `_stretch` is cut into slices. What lies before it is counted at time -inf, what
    lies after it at inf.
    """
    low, high = _stretch([samples.part(name).time for name in PARTS])
    edges = np.linspace(low, high + 1, bins + 1)
    starts = np.concatenate([[-np.inf], edges[:-1], [np.inf]])
    rows = []
    for name in PARTS:
        time = samples.part(name).time
        # Times ascend; integers, because a search for floats would copy them all as floats.
        places = np.searchsorted(time, np.ceil(edges).astype(np.int64))
        counts = np.diff(places, prepend=0, append=len(time))
        rows += [(name, at, int(n)) for at, n in zip(starts, counts, strict=True) if n]
    return pd.DataFrame(rows, columns=["part", "time", "samples"])


def cuts(samples: Samples) -> dict[str, float]:
    """First time of train, val and test, where the part before ends before it.

    Empty where each user's log is cut by itself: the parts overlap in time then.
    """
    times = {name: samples.part(name).time for name in PARTS}
    return {
        later: float(times[later][0])
        for earlier, later in itertools.pairwise(PARTS)
        if times[earlier][-1] < times[later][0]
    }


def long_tail_frame(samples: Samples) -> pd.DataFrame:
    """Pool rows of each item, most frequent first: columns rank, rows.

    An item is a value of the first field of the item tuple. At most 1,000 ranks are kept, evenly
    on the logarithmic scale they are drawn on.
    """
    (counted,) = value_counts(samples.schema, samples.pool, samples.schema.item_columns[:1])
    counts = counted.rows
    held = np.sort(counts[counts > 0])[::-1]
    ranks = np.unique(np.geomspace(1, max(1, len(held)), 1000).round().astype(int))
    return pd.DataFrame({"rank": ranks, "rows": held[ranks - 1]})


def history_frame(samples: Samples) -> pd.DataFrame:
    """Cumulative share of users by length of their history: columns length, share."""
    lengths = np.diff(np.asarray(samples.history.offsets))
    values, counts = np.unique(lengths, return_counts=True)
    return pd.DataFrame({"length": values, "share": counts.cumsum() / len(lengths)})


def _stretch(times: Sequence[NDArray[np.int64]]) -> tuple[int, int]:
    """First and last time to draw, of parts with the ascending `times`.

    The core is the shortest stretch with 99.9 % of each part's rows. What lies outside it by no
    more than half its length is drawn as well, so the core fills half of the axis or more, and a
    log without far times is drawn whole.
    """
    cores = [_core(time) for time in times]
    low, high = min(low for low, _ in cores), max(high for _, high in cores)
    reach = (high - low) // 2
    ends = [np.searchsorted(time, (low - reach, high + reach + 1)) for time in times]
    inside = [time[start:end] for time, (start, end) in zip(times, ends, strict=True)]
    return min(int(time[0]) for time in inside), max(int(time[-1]) for time in inside)


def _core(time: NDArray[np.int64]) -> tuple[int, int]:
    """First and last of the shortest stretch of the ascending `time` with 99.9 % of its rows."""
    spare = len(time) // OUTLYING
    lows, highs = time[: spare + 1], time[len(time) - spare - 1 :]
    start = int(np.argmin(highs - lows))
    return int(lows[start]), int(highs[start])
