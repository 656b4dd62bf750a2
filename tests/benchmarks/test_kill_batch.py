"""tools/kill_batch.py: what of a killed batch has to be the same, and what cannot be."""

import json
import re
import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_study import SETTINGS, made_predictions, settle

from rokkit.experiments import (
    CLAIMS,
    Runs,
    claims_table,
    costs_table,
    findings_table,
    overall_table,
    run_specs,
    save_table,
)
from rokkit.experiments.batch import notebooks_table, stages_table
from rokkit.experiments.evidence import Finding, Verdict
from rokkit.experiments.ledger import Claim
from rokkit.files import save_array

ROOT = Path(__file__).resolve().parents[2]
TOOL: dict[str, Any] = runpy.run_path(str(ROOT / "tools" / "kill_batch.py"))
OF_CLOCKS = {
    "shorter-phase-2",
    "total-time",
    "search-dominates",
    "search-is-slow",
    "faster-than-search",
    "faster-than-dense",
    "negligible",
}
Batch = Callable[..., dict[str, bytes]]


def judged(seconds: float, turned: str) -> dict[Claim, Verdict]:
    """A finding for each claim; those on times depend on `seconds`, `turned` is another."""
    found = {}
    for claim in CLAIMS:
        effect = seconds if claim.name in OF_CLOCKS else 0.25
        if claim.name == turned:
            effect = -effect
        word = "holds" if effect > 0 else "does not hold"
        found[claim] = Verdict((Finding(f"{claim.name}, compared", word, effect),))
    return found


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """Leaves a folder as `rokkit run` does, and gives the outcome of it."""

    def left(name: str, seconds: float, turned: str = "", known: float | None = None) -> Any:
        folder = tmp_path / name
        settle(folder, monkeypatch)
        runs = run_specs(replace(SETTINGS, systems=("LR", "MLP"), backbone="MLP", epochs=1))
        reports = Runs(device="cpu")([run.spec for run in runs])
        if known is not None:
            save_array(reports[0].folder / "predictions.npy", made_predictions(known))
        timed = [replace(r, timings={k: seconds for k in r.timings}) for r in reports]
        verdicts = judged(seconds, turned)
        tables = {
            "overall": overall_table(timed, "MLP"),
            "costs": costs_table(timed),
            "claims": claims_table(verdicts, "s"),
            "findings": findings_table(verdicts, "s"),
            "batch_notebooks": notebooks_table({"10_overall": (seconds, 0, 2)}, seconds),
            "batch_stages": stages_table([report.folder for report in reports]),
        }
        for of, table in tables.items():
            save_table(table, of, "s")
        return TOOL["outcome"](folder)

    return left


def test_time_is_left_out_and_the_rest_is_compared(batch: Batch) -> None:
    quick, slow = batch("quick", 1.5), batch("slow", 12345.0)
    assert quick == slow
    names = {Path(name).name for name in quick}
    formats = {f"overall.{ending}" for ending in ("csv", "json", "md", "tex")}
    assert names == {*TOOL["KEPT"], *formats, "claims.csv", "findings.csv"}
    for name in ("claims", "findings"):
        held = quick[f"results/s/{name}.csv"].decode()
        missing = {claim.name for claim in CLAIMS if claim.says not in held}
        assert missing == OF_CLOCKS


@pytest.mark.parametrize(
    ("change", "files"),
    [
        ({"turned": "convergence"}, {"claims.csv", "findings.csv"}),
        ({"turned": "boosts-backbone"}, {"claims.csv", "findings.csv"}),
        ({"turned": "total-time"}, set()),
        ({"known": 3.0}, {"predictions.npy"}),
    ],
)
def test_what_is_another_shows(batch: Batch, change: dict[str, Any], files: set[str]) -> None:
    one, other = batch("one", 1.5), batch("other", 1.5, **change)
    assert {Path(name).name for name in one if one[name] != other[name]} == files


def test_tables_and_runs_that_are_missing_show(batch: Batch, tmp_path: Path) -> None:
    one = batch("one", 1.5)
    for path in (tmp_path / "one" / "results" / "s").glob("findings.*"):
        path.unlink()
    assert set(one) - set(TOOL["outcome"](tmp_path / "one")) == {"results/s/findings.csv"}


def test_no_committed_table_of_seconds_is_compared() -> None:
    """Kills: a new table with seconds in it, which no two batches have in common."""
    clock = re.compile(r"\b(s|ms|seconds|minutes)\b", re.IGNORECASE)
    timed = {
        path.stem
        for path in (ROOT / "results").glob("*/*.json")
        if any(clock.search(column) for column in json.loads(path.read_text())["columns"])
    }
    timed -= {"tuning"}  # of another command
    assert timed <= set(TOOL["OF_SECONDS"])
    assert {"costs", "inference", "training_time", "batch_notebooks", "batch_stages"} <= timed


def test_the_page_says_what_was_killed_when() -> None:
    starts = [TOOL["Start"](12.34, True, ["10_overall"]), TOOL["Start"](50.0, False, ["a", "b"])]
    lines = TOOL["page"](starts, ["10_overall"], "ends", "where").splitlines()
    assert "| 1 | 10_overall | 12.3 |" in lines
    assert "| 2 | a, b | done before 50.0 |" in lines
    assert lines[-3:] == ["ends", "", "where"]


def test_a_notebook_that_is_done_is_read_from_what_the_batch_says() -> None:
    log = "10_overall  started\n10_overall  done in 53 s · 2 notebooks left\n16 notebooks done in 1"
    assert TOOL["FINISHED"].findall(log) == ["10_overall"]
