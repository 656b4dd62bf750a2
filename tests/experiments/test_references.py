"""Reference rows: their AUC by hand and against the scores they stand for, and their place."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from small_study import settle

from rokkit.data import load
from rokkit.data.profile import PartProfile, Tally, profile
from rokkit.experiments import Table, save_table
from rokkit.experiments.references import reference_aucs, with_references


def made(seen: tuple[int, int], popularity: tuple[tuple[int, int, int], ...]) -> PartProfile:
    """A part of which `seen` (positives, negatives) were seen before; nothing else counts."""
    positives, negatives = (sum(group[i] for group in popularity) for i in (1, 2))
    none = Tally(samples=0, positives=0)
    return PartProfile(
        total=Tally(samples=positives + negatives, positives=positives),
        user_not_in_pool=none,
        user_not_in_pool_or_train=none,
        user_without_positive=none,
        item_not_in_pool=none,
        item_not_in_pool_or_train=none,
        item_without_positive=none,
        seen_before=Tally(samples=sum(seen), positives=seen[0]),
        popularity=popularity,
    )


PART = made(seen=(1, 2), popularity=((0, 1, 3), (7, 3, 1)))


def test_by_hand() -> None:
    """Kills: seen and unseen exchanged; positives and negatives exchanged; ties left out."""
    aucs = reference_aucs(PART)
    # Of 16 pairs, seen before puts 1 * 2 right and has 1 * 2 + 3 * 2 ties.
    assert aucs["seen before"] == (2 + 8 / 2) / 16
    # Popularity puts 3 * 3 right and has 1 * 3 + 3 * 1 ties.
    assert aucs["pool popularity"] == (9 + 6 / 2) / 16
    assert list(aucs) == ["seen before", "pool popularity"]


some_groups = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=6)


@given(some_groups, st.data())
def test_an_auc_of_counts_is_the_auc_of_the_samples(
    groups: list[tuple[int, int]], data: st.DataObject
) -> None:
    groups = [*groups, (1, 1)]  # both labels
    steps = data.draw(st.lists(st.integers(1, 50), min_size=len(groups), max_size=len(groups)))
    popularity = tuple((int(n), *group) for n, group in zip(np.cumsum(steps), groups, strict=True))
    aucs = reference_aucs(made((0, 0), popularity))
    y = [label for _, a, b in popularity for label in [1] * a + [0] * b]
    score = [np.log1p(n) for n, a, b in popularity for _ in range(a + b)]
    assert aucs["pool popularity"] == pytest.approx(roc_auc_score(y, score))
    assert aucs["seen before"] == 0.5


def test_on_samples_they_are_the_auc_of_their_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills: the profile of another part; popularity that counts all rows of the pool."""
    settle(tmp_path, monkeypatch)
    samples = load("small")
    test, pool = samples.test, samples.pool
    seen = [
        item in samples.history.of(user)[:, 0]
        for user, item in zip(samples.user_index(test.x), test.x[:, 1], strict=True)
    ]
    popularity = [((pool.x[:, 1] == item) & (pool.y == 1)).sum() for item in test.x[:, 1]]
    aucs = reference_aucs(profile(samples).test)
    assert aucs["seen before"] == pytest.approx(roc_auc_score(test.y, seen))
    assert aucs["pool popularity"] == pytest.approx(roc_auc_score(test.y, np.log1p(popularity)))
    assert aucs["seen before"] > 0.6  # users like the same items again


@pytest.fixture
def table() -> Table:
    """Two systems, both worse than one reference and better than the other."""
    frame = pd.DataFrame(
        {
            "System": ["LR", "DIN"],
            "Seeds": [2, 3],
            "AUC": [0.50, 0.55],
            "AUC sd": [0.01, np.nan],
            "Rows": [1000, 2000],
        },
        index=[4, 9],
    )
    return Table(
        frame=frame,
        caption="Made",
        formats={"AUC": "{:.4f}", "AUC sd": "{:.4f}", "Rows": "{:,}"},
        better={"AUC": "max"},
        stars=frozenset({(1, "AUC")}),
        notes=("A note.",),
    )


def test_references_stand_below_and_are_never_ranked(table: Table) -> None:
    """Kills: a reference that is the best (0.75 here) or the second."""
    found = with_references(table, PART)
    assert found.texts() == [
        ["LR", "2", "0.5000", "0.0100", "1,000"],
        ["DIN", "3", "0.5500*", "–", "2,000"],
        ["seen before (reference)", "–", "0.3750", "–", "–"],
        ["pool popularity (reference)", "–", "0.7500", "–", "–"],
    ]
    assert found.ranks() == {(1, "AUC"): "best", (0, "AUC"): "second"} == table.ranks()
    assert found.stars == table.stars
    assert found.caption == "Made"
    assert found.notes[0] == "A note."
    assert "Seen before: 1 if the item is in the user's history" in found.notes[1]
    assert "positives of the item in the pool" in found.notes[1]
    assert len(table.frame) == 2  # the table itself is as it was


def test_a_tie_with_a_reference_marks_the_system_alone(table: Table) -> None:
    tied = replace(table, frame=table.frame.assign(AUC=[0.375, 0.75]))
    ranks = with_references(tied, PART).ranks()
    assert ranks == {(1, "AUC"): "best", (0, "AUC"): "second"}


def test_all_files_hold_them(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROKKIT_RESULTS", str(tmp_path))
    folder = save_table(with_references(table, PART), "made", "study").parent
    text = {ending: (folder / f"made.{ending}").read_text() for ending in ("csv", "md", "tex")}
    assert text["csv"].splitlines() == [
        "System,Seeds,AUC,AUC sd,Rows",
        "LR,2,0.5,0.01,1000",
        "DIN,3,0.55,,2000",
        "seen before (reference),,0.375,,",
        "pool popularity (reference),,0.75,,",
    ]
    assert text["md"].splitlines()[:6] == [
        "| System                      | Seeds |           AUC | AUC sd |  Rows |",
        "| --------------------------- | ----: | ------------: | -----: | ----: |",
        "| LR                          |     2 | <u>0.5000</u> | 0.0100 | 1,000 |",
        "| DIN                         |     3 |   **0.5500*** |      – | 2,000 |",
        "| seen before (reference)     |     – |        0.3750 |      – |     – |",
        "| pool popularity (reference) |     – |        0.7500 |      – |     – |",
    ]
    assert "pool popularity (reference) & -- & 0.7500 & -- & --" in text["tex"]
    held = json.loads((folder / "made.json").read_text())
    assert held["rows"][0][:2] == ["LR", 2]
    assert held["rows"][2] == ["seen before (reference)", None, 0.375, None, None]
    assert held["stars"] == [[1, "AUC"]]
    html = with_references(table, PART)._repr_html_()
    assert html.count("font-weight: bold") == 1
    assert "pool popularity (reference)" in html
