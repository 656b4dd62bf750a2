"""Tables: ranks, marks, alignment and bytes."""

import json
from pathlib import Path

import pandas as pd
import pytest

from rokkit.errors import ConfigError
from rokkit.experiments.tables import Table, aligned, read_table, save_table


@pytest.fixture
def table() -> Table:
    frame = pd.DataFrame(
        {
            "System": ["LR", "DIN", "RIM_x"],
            "AUC": [0.7, 0.75, 0.8],
            "Log-loss": [0.5, 0.4, 0.4],
            "Paper": [None, 0.8796, 0.9151],
        }
    )
    return Table(
        frame=frame,
        caption="Test AUC & log-loss",
        formats={"AUC": "{:.4f}", "Log-loss": "{:.3f}", "Paper": "{:.4f}"},
        better={"AUC": "max", "Log-loss": "min"},
        stars=frozenset({(2, "AUC")}),
        notes=("Made up.",),
    )


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROKKIT_RESULTS", str(tmp_path))
    return tmp_path


def test_best_and_second_follow_the_direction_and_share_ties(table: Table) -> None:
    """Kills: max for log-loss; a tie that marks one row only."""
    assert table.ranks() == {
        (2, "AUC"): "best",
        (1, "AUC"): "second",
        (1, "Log-loss"): "best",
        (2, "Log-loss"): "best",
        (0, "Log-loss"): "second",
    }


def test_rows_that_do_not_compete_are_not_ranked() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3]})
    found = Table(frame=frame, caption="", better={"a": "max"}, unranked=frozenset({2}))
    assert found.ranks() == {(1, "a"): "best", (0, "a"): "second"}


def test_a_missing_value_is_never_ranked() -> None:
    frame = pd.DataFrame({"a": [None, 0.5, 0.4]})
    assert Table(frame=frame, caption="", better={"a": "min"}).ranks() == {
        (2, "a"): "best",
        (1, "a"): "second",
    }


def test_markdown(table: Table) -> None:
    assert table.markdown().splitlines() == [
        "| System |           AUC |     Log-loss |  Paper |",
        "| ------ | ------------: | -----------: | -----: |",
        "| LR     |        0.7000 | <u>0.500</u> |      – |",
        "| DIN    | <u>0.7500</u> |    **0.400** | 0.8796 |",
        "| RIM_x  |   **0.8000*** |    **0.400** | 0.9151 |",
        "",
        "Test AUC & log-loss",
        "",
        "Made up.",
    ]


def test_a_pipe_in_a_cell_does_not_break_the_row() -> None:
    lines = aligned(["a"], [["x|y"]], [False])
    assert lines == ["| a    |", "| ---- |", "| x\\|y |"]


def test_latex_uses_booktabs_and_escapes(table: Table) -> None:
    text = table.latex()
    for piece in ("\\toprule", "\\midrule", "\\bottomrule", "RIM\\_x", "\\&"):
        assert piece in text
    assert "\\textbf{0.8000*}" in text
    assert "\\underline{" in text
    assert "\\begin{tabular}{lrrr}" in text


def test_html_marks_the_best_and_shows_notes(table: Table) -> None:
    text = table._repr_html_()
    assert "font-weight: bold" in text
    assert "0.8000*" in text
    assert "Made up." in text


def test_files_hold_the_numbers_and_are_the_same_bytes_twice(table: Table, results: Path) -> None:
    def written() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in (results / "study").iterdir()}

    save_table(table, "overall", "study")
    first = written()
    save_table(table, "overall", "study")
    assert written() == first
    assert sorted(first) == ["overall.csv", "overall.json", "overall.md", "overall.tex"]
    assert first["overall.csv"].decode().splitlines()[1] == "LR,0.7,0.5,"
    values = json.loads(first["overall.json"])
    assert values["rows"][0] == ["LR", 0.7, 0.5, None]
    assert values["stars"] == [[2, "AUC"]]


def test_a_saved_table_is_read_back(table: Table, results: Path) -> None:
    save_table(table, "overall", "study")
    pd.testing.assert_frame_equal(read_table("overall", "study"), table.frame, check_dtype=False)
    with pytest.raises(ConfigError, match="Did you mean 'overall'"):
        read_table("overal", "study")


def test_a_format_for_an_unknown_column_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"column 'AUK' is not known\. Did you mean 'AUC'"):
        Table(frame=pd.DataFrame({"AUC": [1.0]}), caption="", better={"AUK": "max"})
