"""Table 5: seconds by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_study import made_report, settle

from rokkit.experiments import Report, phases_figure, phases_reading, phases_table
from rokkit.experiments.grouping import Stopwatch

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


def test_what_others_took_of_the_machine_is_no_cost(make: Make) -> None:
    """Seconds of a run's own threads, if every run has them and none was done by a GPU."""
    alone, shared = (make("DIN", s, timings={"train": 10.0}) for s in (0, 1))
    here = {"device": "cpu"}
    measured = [
        replace(alone, processor={"train": 4.0}, details=here),
        replace(shared, processor={"train": 5.0}, details=here),
    ]
    watch = Stopwatch.of(measured)
    assert watch.kind == "processor time"
    assert [watch.seconds(r, "train") for r in measured] == [4.0, 5.0]
    assert np.isnan(watch.seconds(alone, "teacher"))
    searched = replace(measured[0], timings={"train": 10.0, "retrieval": 2.0})
    assert watch.seconds(searched, "retrieval") == 2.0  # measured by the wall's clock alone
    # A seed of before there was such a clock is left out; a system of such seeds alone decides.
    watch = Stopwatch.of([alone, measured[1]])
    assert watch.median([alone, measured[1]], "train") == 5.0
    for other in (alone, replace(measured[0], details={"device": "cuda"})):
        watch = Stopwatch.of([make("MLP", 0, timings={"train": 1.0}), other])
        assert watch.kind == "wall time"
        assert watch.seconds(measured[0], "train") == 10.0
