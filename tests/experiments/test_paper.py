"""The published numbers: pinned by the arithmetic that the paper itself defines."""

import pytest

from rokkit.errors import ConfigError
from rokkit.evaluation import plain_impr, rel_impr
from rokkit.experiments import paper

TABLE_2 = [
    "GBDT",
    "DeepFM",
    "FATE",
    "HPMN",
    "MIMN",
    "DIN",
    "DIEN",
    "SIM",
    "UBR",
    "RIM",
    "DERT",
    "ROK",
]
TABLE_3 = ("DeepFM", "DIN", "DIEN")


def rounds_to(exact: float, printed: float) -> bool:
    """Whether `printed` (two decimals) is `exact` rounded, up to the print's own last digit."""
    return abs(exact - printed) <= 0.0051


@pytest.mark.parametrize("dataset", paper.DATASETS)
@pytest.mark.parametrize("system", TABLE_2)
def test_table_2_follows_eq_9(system: str, dataset: str) -> None:
    """A mistyped AUC or Rel. Impr. in any of the 36 pairs fails here."""
    auc = paper.value(2, system, dataset, "AUC")
    base = paper.value(2, paper.BACKBONE[dataset], dataset, "AUC")
    printed = paper.value(2, system, dataset, "Rel. Impr.")
    assert rounds_to(rel_impr(auc, base), printed)


@pytest.mark.parametrize("dataset", paper.DATASETS)
@pytest.mark.parametrize("backbone", TABLE_3)
def test_table_3_auc_follows_the_plain_ratio_and_not_eq_9(backbone: str, dataset: str) -> None:
    old = paper.value(3, backbone, dataset, "AUC")
    new = paper.value(3, f"{backbone}+ROK", dataset, "AUC")
    printed = paper.value(3, backbone, dataset, "AUC Rel. Impr.")
    assert rounds_to(plain_impr(new, old), printed)
    assert not rounds_to(rel_impr(new, old), printed)


@pytest.mark.parametrize("dataset", paper.DATASETS)
@pytest.mark.parametrize("backbone", TABLE_3)
def test_table_3_log_loss_follows_its_ratio_but_for_one_cell(backbone: str, dataset: str) -> None:
    old = paper.value(3, backbone, dataset, "LL")
    new = paper.value(3, f"{backbone}+ROK", dataset, "LL")
    printed = paper.value(3, backbone, dataset, "LL Rel. Impr.")
    exact = plain_impr(new, old, lower_is_better=True)
    if (backbone, dataset) == ("DIEN", "Tmall"):
        assert printed == 20.50
        assert round(exact, 2) == 16.99
        assert any("16.99" in note for note in paper.notes(3, backbone, dataset, "LL Rel. Impr."))
    else:
        assert rounds_to(exact, printed)


@pytest.mark.parametrize("dataset", ["Tmall", "Alipay"])
@pytest.mark.parametrize("head", ["LR", "MLP"])
def test_table_4_follows_the_plain_ratio(head: str, dataset: str) -> None:
    new = paper.value(4, f"ROK({head})", dataset, "AUC")
    for row in (head, f"RIM({head})"):
        old = paper.value(4, row, dataset, "AUC")
        assert rounds_to(plain_impr(new, old), paper.value(4, row, dataset, "Rel. Impr."))


@pytest.mark.parametrize("dataset", paper.DATASETS)
def test_table_5_sums(dataset: str) -> None:
    phases = [paper.value(5, f"Phase {i}", dataset, "Minutes") for i in (1, 2)]
    assert sum(phases) == paper.value(5, "Total", dataset, "Minutes")


@pytest.mark.parametrize("dataset", paper.DATASETS)
def test_tables_2_3_and_6_agree_where_no_note_says_otherwise(dataset: str) -> None:
    rows = {"DIN": "DIN", "DIEN": "DIEN", "DeepFM": "DeepFM", "UBR": "UBR", "RIM": "RIM"}
    for row in [*rows, "DERT"]:
        in_2 = paper.value(2, row, dataset, "AUC")
        for table in (3, 6):
            other = paper.value(table, row, dataset, "AUC")
            if other is not None and other != in_2:
                assert (row, dataset) == ("DeepFM", "Tmall")
                assert paper.notes(2, row, dataset, "AUC")


def test_table_6_adds_between_4_and_22_hundredths_of_a_millisecond() -> None:
    extra = sorted(
        round(
            paper.value(6, f"{b}+ROK", d, "Milliseconds") - paper.value(6, b, d, "Milliseconds"), 2
        )
        for b in TABLE_3
        for d in paper.DATASETS
    )
    assert extra == [0.04, 0.04, 0.04, 0.07, 0.12, 0.13, 0.15, 0.18, 0.22]


def test_table_1() -> None:
    assert paper.value(1, "Data set", "Tmall", "Features") == 1_529_676
    assert paper.value(1, "Data set", "Alipay", "Users") == 498_308


@pytest.mark.parametrize(
    ("table", "cells"), [(1, 15), (2, 108), (3, 54), (4, 20), (5, 15), (6, 63)]
)
def test_every_cell_is_there_once(table: int, cells: int) -> None:
    """54 = 18 AUC + 18 LL + 18 ratios; 20 = 12 AUC + 8 ratios; 63 = 27 + 27 + 9."""
    frame = paper.published(table)
    assert len(frame) == cells
    assert not frame.duplicated(["row", "dataset", "column"]).any()


def test_a_cell_the_paper_leaves_empty_is_none() -> None:
    assert paper.value(4, "LR", "Taobao", "AUC") is None
    assert paper.value(2, "no such row", "Tmall", "AUC") is None


def test_every_note_is_about_a_cell_that_exists() -> None:
    for note in paper.NOTES:
        frame = paper.published(note.table)
        covered = [note.covers(note.table, r.row, r.dataset, r.column) for r in frame.itertuples()]
        assert any(covered), note.text


@pytest.mark.parametrize("note", paper.NOTES, ids=lambda note: f"{note.table}: {note.text[:30]}")
def test_every_row_data_set_and_column_of_a_note_is_one_of_its_table(note: paper.Note) -> None:
    """Kills: a column under another name, which would leave some of the note's cells without it."""
    frame = paper.published(note.table)
    assert set(note.rows) <= set(frame["row"])
    assert set(note.datasets) <= set(frame["dataset"])
    assert set(note.columns) <= set(frame["column"])


def test_the_note_on_searches_covers_their_own_column() -> None:
    for row in ("UBR", "RIM", "DERT"):
        for column in ("Milliseconds", "Retrieval milliseconds"):
            assert any("O(N log N)" in one for one in paper.notes(6, row, "Taobao", column))


def test_a_table_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="table is 7; expected 1 to 6"):
        paper.published(7)


def test_notes_stand_once_below_a_table_that_shows_their_cells() -> None:
    shown = paper.notes_on([(2, "DeepFM"), (2, "MLP"), (3, "DIN+ROK")], "AUC")
    assert shown == (
        "The paper's Table 2, DeepFM on Tmall: Tables 3 and 6 print AUC 0.8585, Table 3 log-loss "
        "0.4803, for the same system.",
        "The paper's Table 3, DIN+ROK on Tmall: AUC above RIM's 0.9151, log-loss worse than its "
        "0.3697: ranking and calibration disagree.",
    )
    assert paper.notes_on([(5, "Total")], "Minutes")[0].startswith("The paper's Table 5, Total: ")
    assert paper.notes_on([(2, "RIM")], "AUC") == ()
