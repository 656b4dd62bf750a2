"""Sentences made of tables: by hand, on made-up frames, and turned round with them."""

import numpy as np
import pandas as pd
import pytest

from rokkit.experiments import (
    Table,
    batched_reading,
    calibration_reading,
    claims_reading,
    data_reading,
    protocols_reading,
    repeats_reading,
    warmth_reading,
)

NAN = float("nan")


def table(columns: str, *rows: tuple[object, ...]) -> Table:
    """A table with the columns, which bars set apart."""
    return Table(frame=pd.DataFrame(rows, columns=columns.split("|")), caption="")


def test_the_data_by_hand() -> None:
    profile = table(
        "Profile|test|val",
        ("share: user without a row in the pool", 0.015, 0.9),
        ("share: item without a row in the pool", 0.25, 0.9),
        ("share: item without a row in pool or train", 0.8, 0.9),
        ("share: item in the user's history", 0.5, 0.9),
        ("AUC: seen before", 0.4128, 0.9),
        ("AUC: pool popularity", 0.6877, 0.9),
    )
    tail = pd.DataFrame({"rank": [1, 40, 1500], "rows": [9000, 20, 3]})
    lengths = pd.DataFrame({"length": [0, 7, 12, 90], "share": [0.02, 0.4, 0.5, 1.0]})
    assert data_reading(profile, tail, lengths).lines == (
        "Of the test samples 1.5% are of users and 25.0% of items without a row in the pool; in "
        "50.0% the item is in the user's history.",
        "Test AUC of what needs no model: 0.4128 by seen before, 0.6877 by pool popularity; one "
        "half says nothing.",
        "Of 1,500 items in the pool the most frequent has 9,000 rows, the least frequent 3.",
        "Half of the users have a history of at most 12 behaviours; 2.0% have none.",
    )
    without = lengths[lengths["length"] > 0]
    assert data_reading(profile, tail, without).lines[-1].endswith("0.0% have none.")


def test_means_over_batches_by_hand() -> None:
    """Kills: the difference taken the other way, an order of values instead of names."""
    made = table("Variant|AUC|by 100|by 512", ("DIN", 0.7, 0.68, 0.71), ("RIM", 0.75, 0.67, 0.74))
    assert batched_reading(made).lines == (
        "The mean AUC of batches of 100 less that of all samples: -0.0800 (RIM) to -0.0200 (DIN). "
        "The order of the variants changes.",
        "The mean AUC of batches of 512 less that of all samples: -0.0100 (RIM) to +0.0100 (DIN). "
        "The order of the variants stays.",
    )


def test_other_samples_beside_the_study_s_own() -> None:
    made = table(
        "Samples|MLP|RIM|RIM - MLP",
        ("the study's", 0.6, 0.7, 0.1),
        ("half=1", 0.65, 0.6, -0.05),
        ("half=2", 0.5, 0.51, 0.01),
    )
    assert protocols_reading(made).lines == (
        "half=1, against the study's samples. Ahead: MLP, there RIM; RIM - MLP -0.0500 against "
        "+0.1000. The order of the systems changes.",
        "half=2, against the study's samples. Ahead: RIM, there RIM; RIM - MLP +0.0100 against "
        "+0.1000. The order of the systems stays.",
    )
    alone = Table(frame=made.frame.iloc[:1], caption="")
    assert protocols_reading(alone).lines == (
        "No other samples were asked for: the parameter protocols is empty.",
    )


def test_groups_of_items_by_hand() -> None:
    made = table(
        "Item|Test samples|MLP|MLP+ROK|RIM",
        ("among the train targets", 900, 0.6, 0.62, 0.61),
        ("in the pool alone", 1100, 0.55, 0.5, 0.54),
        ("nowhere", 3, NAN, NAN, NAN),
        ("anywhere", 0, NAN, NAN, NAN),
    )
    assert warmth_reading(made).lines == (
        "Items among the train targets: 900 of 2,003 test samples. Ahead: MLP+ROK, AUC 0.6200. "
        "Against MLP: +0.0100 (RIM) to +0.0200 (MLP+ROK).",
        "Items in the pool alone: 1,100 of 2,003 test samples. Ahead: MLP, AUC 0.5500. "
        "Against MLP: -0.0500 (MLP+ROK) to -0.0100 (RIM).",
        "Items nowhere: 3 of 2,003 test samples, of one class alone.",
        "Items anywhere: 0 of 2,003 test samples.",
    )


def test_what_was_seen_before_by_hand() -> None:
    columns = "System|Tells seen from new|AUC, seen|AUC, new|AUC, all"
    made = table(columns, ("MLP", 0.4, NAN, 0.6, 0.6), ("RIM", 0.7, NAN, 0.5, 0.8))
    assert repeats_reading(made).lines == (
        "1 − p tells seen from new with an AUC of 0.4000 (MLP) to 0.7000 (RIM). Above one half a "
        "system takes what was seen for a negative: 1 of 2 do.",
        "AUC among new items: 0.5000 (RIM) to 0.6000 (MLP).",
    )
    alike = table(columns, ("MLP", NAN, NAN, 0.6, 0.6))
    assert repeats_reading(alike).lines == (
        "All test samples are alike in whether the user has met the item.",
    )


@pytest.mark.parametrize(("loss", "said"), [(0.4, "the same"), (0.6, "another")])
def test_calibration_by_hand(loss: float, said: str) -> None:
    made = table(
        "System|Log-loss|ECE|Mean p|Positive rate",
        ("MLP", loss, 0.01, 0.52, 0.5),
        ("RIM", 0.5, 0.03, 0.47, 0.5),
    )
    least = "MLP" if loss < 0.5 else "RIM"
    assert calibration_reading(made).lines == (
        f"Expected calibration error: 0.0100 (MLP) to 0.0300 (RIM). Least log-loss: {least}, "
        f"{said} system.",
        "Mean p is above the share of positives in 1 of 2 systems: -0.0300 (RIM) to +0.0200 (MLP).",
    )


def test_claims_by_verdict() -> None:
    made = table(
        "Claim|Verdict|Effect|Unit",
        ("a is right", "not run", np.nan, ""),
        ("b is right", "holds", 0.0106, "AUC"),
        ("c is right", "not decided", 0.2, "AUC"),
        ("d is right", "holds", 0.5, "share of seconds"),
        ("e is right", "does not hold", -0.25, "log-loss"),
    )
    assert claims_reading(made).lines == (
        "Holds, 2 of 5: b is right (+0.0106 AUC); d is right (+0.5000 share of seconds).",
        "Does not hold, 1 of 5: e is right (-0.2500 log-loss).",
        "Not decided, 1 of 5: c is right.",
        "Not run, 1 of 5: a is right.",
    )
    held = Table(frame=made.frame.iloc[[1]], caption="")
    assert claims_reading(held).lines == ("Holds, 1 of 1: b is right (+0.0106 AUC).",)
