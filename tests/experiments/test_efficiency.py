"""What is left of the argument from efficiency, in sentences made of measurements."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_study import SETTINGS, settle

from rokkit.experiments import Evidence, Report, Runs, Table, efficiency_reading
from rokkit.experiments import efficiency as module
from rokkit.experiments.evidence import only_read

STUDY = replace(SETTINGS, systems=("DIN", "RIM", "DIN+ROK"), backbone="DIN", seeds=(0,))
MILLISECONDS = {"DIN": 0.5, "DIN+ROK": 0.6, "RIM": 1.0}
MEGABYTES = {"DIN": (2.0, 0, 0, 2.5), "DIN+ROK": (3.0, 0, 0, 3.5), "RIM": (4.0, 10, 6, 20.0)}


def test_the_sentences_hold_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def latency(reports: Sequence[Report], **_: Any) -> pd.DataFrame:
        rows: list[list[Any]] = [["RIM", 1, "search", 0.25]]
        for batch in (1, 1024):
            rows += [[system, batch, "total", ms * batch] for system, ms in MILLISECONDS.items()]
        return pd.DataFrame(rows, columns=["system", "batch", "stage", "p50"])

    def footprint(reports: Sequence[Report]) -> Table:
        rows = [[system, *held] for system, held in MEGABYTES.items()]
        columns = ["System", "weights MB", "pool MB", "index MB", "all MB"]
        return Table(frame=pd.DataFrame(rows, columns=columns), caption="")

    monkeypatch.setattr(module, "measured_latency", latency)
    monkeypatch.setattr(module, "footprint_table", footprint)
    evidence = Evidence(STUDY, Runs(settle(tmp_path, monkeypatch), device="cpu"))
    auc = {system: evidence.reports(system)[0].metrics["test"]["auc"] for system in STUDY.systems}
    time, theirs, memory, accuracy, _ = efficiency_reading(evidence).lines
    assert "RIM answers for one sample in 1.00 ms, 0.250 ms of it the search" in time
    assert "RIM takes 2.0 times as long as DIN, DIN+ROK 1.20 times" in time
    assert "RIM, nearly all of it a search through Elasticsearch" in theirs
    assert "RIM keeps 16.0 MB of pool and index beside its weights (4.0 MB)" in memory
    assert "DIN+ROK holds 3.5 MB in all, DIN 2.5 MB" in memory
    assert f"{auc['RIM'] - auc['DIN+ROK']:+.4f}, ROK gains {auc['DIN+ROK'] - auc['DIN']:+.4f}" in (
        accuracy
    )


def test_without_its_runs_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(settle(tmp_path, monkeypatch), device="cpu")
    (line,) = efficiency_reading(Evidence(STUDY, only_read(runs))).lines
    assert line.startswith("Nothing to say of efficiency: not run: rim-s0")
