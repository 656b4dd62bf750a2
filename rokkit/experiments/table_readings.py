"""What the tables of the data, the protocol, calibration and the claims say, in sentences.

Each function reads the frames that a notebook shows; nothing here knows how they come out.
"""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pandas as pd

from rokkit.experiments.evidence import Word
from rokkit.experiments.reading import Reading
from rokkit.experiments.repeats import SEEN, TELLS, UNSEEN
from rokkit.experiments.tables import Table

HALF = 0.5
MET = "item in the user's history"


def data_reading(profile: Table, tail: pd.DataFrame, lengths: pd.DataFrame) -> Reading:
    """What `profile_table`, `long_tail_frame` and `history_frame` say of a data set."""
    test = profile.frame.set_index("Profile")["test"]

    def share(of: str) -> str:
        return f"{test[f'share: {of}']:.1%}"

    aucs = test[test.index.str.startswith("AUC: ")]
    references = ", ".join(f"{value:.4f} by {name[5:]}" for name, value in aucs.items())
    half = int(lengths.loc[lengths["share"] >= HALF, "length"].iloc[0])
    none = float(lengths.loc[lengths["length"] == 0, "share"].sum())
    return Reading(
        (
            f"Of the test samples {share('user without a row in the pool')} are of users and "
            f"{share('item without a row in the pool')} of items without a row in the pool; in "
            f"{share(MET)} the item is in the user's history.",
            f"Test AUC of what needs no model: {references}; one half says nothing.",
            f"Of {int(tail['rank'].max()):,} items in the pool the most frequent has "
            f"{int(tail['rows'].max()):,} rows, the least frequent {int(tail['rows'].min()):,}.",
            f"Half of the users have a history of at most {half:,} behaviours; {none:.1%} have "
            "none.",
        )
    )


def batched_reading(table: Table) -> Reading:
    """How far the means over batches of `batched_table` are from AUC, and whether they rank so."""
    held = table.frame.set_index("Variant")
    lines = []
    for column in held.columns.drop("AUC"):
        moved = held[column] - held["AUC"]
        lines.append(
            f"The mean AUC of batches of {column.removeprefix('by ')} less that of all samples: "
            f"{_least_to_most(moved, '{:+.4f}')}. The order of the variants "
            f"{_order(held[column], held['AUC'])}."
        )
    return Reading(tuple(lines))


def protocols_reading(table: Table) -> Reading:
    """What becomes of the order of systems, and of their leads, on the other samples of a table.

    The first row of `protocols_table` is the study's own.
    """
    held = table.frame.set_index("Samples")
    leads = [column for column in held.columns if " - " in column]
    systems = held.columns.drop(leads)
    own, others = held.iloc[0], held.iloc[1:]
    if others.empty:
        return Reading(("No other samples were asked for: the parameter protocols is empty.",))
    lines = []
    for name, row in others.iterrows():
        texts = [f"{lead} {row[lead]:+.4f} against {own[lead]:+.4f}" for lead in leads]
        lines.append(
            f"{name}, against {held.index[0]} samples. Ahead: "
            f"{row[systems].astype(float).idxmax()}, there {own[systems].astype(float).idxmax()}; "
            f"{', '.join(texts)}. The order of the systems {_order(row[systems], own[systems])}."
        )
    return Reading(tuple(lines))


def warmth_reading(table: Table, against: str = "MLP") -> Reading:
    """Who is ahead in each group of items of `warmth_table`, and by how much of `against`."""
    variants = table.frame.columns.drop(["Item", "Test samples"])
    total = int(table.frame["Test samples"].sum())
    lines = []
    for _, row in table.frame.iterrows():
        n = int(row["Test samples"])
        aucs = row[variants].astype(float)
        line = f"Items {row['Item']}: {n:,} of {total:,} test samples"
        if n and aucs.notna().any():
            gains = (aucs - aucs[against]).drop(against)
            line += f". Ahead: {aucs.idxmax()}, AUC {aucs.max():.4f}"
            line += f". Against {against}: {_least_to_most(gains, '{:+.4f}')}"
        elif n:
            line += ", of one class alone"
        lines.append(f"{line}.")
    return Reading(tuple(lines))


def repeats_reading(table: Table) -> Reading:
    """What the systems of `repeats_table` make of items that the user has met before."""
    held = table.frame.set_index("System")
    tells = held[TELLS]
    if tells.isna().all():
        return Reading(("All test samples are alike in whether the user has met the item.",))
    lines = [
        f"1 − p tells seen from new with an AUC of {_least_to_most(tells, '{:.4f}')}. Above one "
        "half a system takes what was seen for a negative: "
        f"{int((tells > HALF).sum())} of {len(tells)} do."
    ]
    for column, what in ((SEEN, "seen"), (UNSEEN, "new")):
        if held[column].notna().any():
            aucs = _least_to_most(held[column], "{:.4f}")
            lines.append(f"AUC among {what} items: {aucs}.")
    return Reading(tuple(lines))


def calibration_reading(table: Table) -> Reading:
    """Whose probabilities of `calibration_table` can be taken for what they say, and which way."""
    held = table.frame.set_index("System")
    excess = held["Mean p"] - held["Positive rate"]
    agree = held["ECE"].idxmin() == held["Log-loss"].idxmin()
    return Reading(
        (
            f"Expected calibration error: {_least_to_most(held['ECE'], '{:.4f}')}. Least log-loss: "
            f"{held['Log-loss'].idxmin()}, {'the same' if agree else 'another'} system.",
            f"Mean p is above the share of positives in {int((excess > 0).sum())} of {len(held)} "
            f"systems: {_least_to_most(excess, '{:+.4f}')}.",
        )
    )


def claims_reading(table: Table) -> Reading:
    """The claims of `claims_table` by verdict, those that are decided with what decides them."""
    lines = []
    for word in get_args(Word):
        rows = table.frame[table.frame["Verdict"] == word]
        if rows.empty:
            continue
        texts = list(rows["Claim"])
        if word in ("holds", "does not hold"):
            effects = zip(rows["Effect"], rows["Unit"], strict=True)
            texts = [f"{t} ({e:+.4f} {unit})" for t, (e, unit) in zip(texts, effects, strict=True)]
        lines.append(f"{word.capitalize()}, {len(rows)} of {len(table.frame)}: {'; '.join(texts)}.")
    return Reading(tuple(lines))


def _least_to_most(values: "pd.Series[float]", form: str) -> str:
    """`0.0354 (MLP) to 0.0461 (DIN)`."""
    ends: Sequence[object] = (values.idxmin(), values.idxmax())
    low, high = (f"{form.format(values[end])} ({end})" for end in ends)
    return low if ends[0] == ends[1] else f"{low} to {high}"


def _order(one: "pd.Series[float]", other: "pd.Series[float]") -> str:
    """Whether two columns put the same names in the same order."""
    orders = [np.argsort(-held.to_numpy(float), kind="stable").tolist() for held in (one, other)]
    return "stays" if orders[0] == orders[1] else "changes"
