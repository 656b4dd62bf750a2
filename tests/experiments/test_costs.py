"""Table 5: seconds by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_study import made_report, settle

from rokkit.experiments import Report, phases_figure, phases_reading, phases_table

Make = Callable[..., Report]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    settle(tmp_path, monkeypatch)
    return lambda system, seed, **how: made_report(tmp_path, system, seed, **how)


def test_table_5_by_hand(make: Make) -> None:
    """Kills: phase 1 without the teacher or the search, ratios turned round, mixed-up systems."""
    rok = {"retrieval": 3.0, "teacher": 5.0, "construct": 2.0, "train": 8.0}
    reports = [
        make("DIN", 0, timings={"train": 9.0}),
        make("DIN", 1, timings={"train": 10.0}),
        make("DIN", 2, timings={"train": 300.0}),  # had to share the machine
        make("DIN+ROK", 0, timings=rok),
        make("DIN+ROK", 1, timings=rok | {"train": 6.0}),
        make("DIN+ROK", 2, timings=rok | {"train": 7.0}),
        make("LR", 0, timings={"train": 1.0}),
    ]
    table = phases_table(reports)
    (row,) = table.frame.to_dict("records")
    assert row["Backbone"] == "DIN"
    assert (row["Search s"], row["Teacher s"], row["Construction s"]) == (3, 5, 2)
    assert (row["Phase 1 s"], row["Phase 2 s"], row["Total s"]) == (10, 7, 17)
    assert row["Without ROK s"] == 10
    assert row["Phase 2 / without"] == pytest.approx(0.7)
    assert row["Total / without"] == pytest.approx(1.7)
    assert "Tmall: 156 + 201 = 357 against 327" in table.notes[1]
    assert "phase 2 takes less time than training without ROK" in phases_reading(table).lines[0]
    slower = phases_table([*reports[:3], make("DIN+ROK", 0, timings=rok | {"train": 12.0})])
    assert "phase 2 takes no less time" in phases_reading(slower).lines[0]
    drawn = [bar.get_width() for bar in phases_figure(table.frame).axes[0].patches]
    assert drawn == [3, 5, 2, 7, 10]
