"""The retrieval benchmark as a whole: a run at a size of no meaning, its page and its goals."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from search import report
from search.hard_shapes import SHAPES

ROOT = Path(__file__).resolve().parents[2]


def called(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "retrieval.py"), *words]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """(folder of the results, what was said) of a quick run."""
    folder = tmp_path_factory.mktemp("results")
    return folder, called("--quick", "--output", str(folder), "--shapes", "one-user-owns-half")


def test_a_quick_run_measures_and_keeps_every_case(
    run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = run
    assert done.returncode == 0, done.stderr
    cases = json.loads((folder / "retrieval.json").read_text())["cases"]
    wanted = {"tmall-like, 2,000 rows, rim5", "one-user-owns-half, 2,000 rows, five"}
    assert set(cases) == wanted
    for case in cases.values():
        exact, speed = case["exact"]["10"], case["speed"]["10"]
        assert set(exact) == set(report.EXHAUSTIVE)
        assert all(one["identical"] == one["queries"] > 0 for one in exact.values())
        assert set(speed) == {"ours", "ours, before", *report.EXHAUSTIVE}
        assert all(len(one["turns"]) == 2 for one in speed.values())
        assert speed["ours"]["times"] == {"median": 1, "low": 1, "high": 1}
        for call in case["latency"]["10"].values():
            assert 0 < call["p50"]["median"] <= call["p99"]["median"]
        assert case["opening"]["ours"] > 0
        assert case["building"]["ours"]["bytes"] > 2000 * 5 * 4  # the postings alone
        assert case["left_out"] == []
        assert {"machine", "versions", "command", "date"} == set(case["about"])
        assert len(case["load"]) == 2


def test_the_page_is_made_of_what_is_kept(
    run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = run
    text = (folder / "retrieval.md").read_text()
    cases = json.loads((folder / "retrieval.json").read_text())["cases"]
    assert report.page(cases).rstrip() + "\n" == text
    assert text in done.stdout
    assert "| not measured |" in text  # no goal is of this size
    assert "met |" not in text.replace("not measured", "")
    assert str(folder) not in text


def test_an_engine_that_is_not_known_is_refused_with_the_nearest() -> None:
    done = called("--quick", "--only", "tantivi")
    assert done.returncode == 1
    assert "engine 'tantivi' is not known. Did you mean 'tantivy'?" in done.stderr


def case(times: dict[str, float], p50: float = 5.0, p99: float = 40.0, opening: float = 0.2) -> Any:
    """A case in which ours is so many times as fast."""
    speed = {name: {"times": {"median": value}} for name, value in times.items()}
    latency = {"ours": {"p50": {"median": p50}, "p99": {"median": p99}}}
    return {"speed": {"10": speed}, "latency": {"10": latency}, "opening": {"ours": opening}}


def verdicts(cases: dict[str, Any]) -> dict[str, str]:
    return {goal.text: goal.verdict for goal in report.goals(cases)}


def test_nothing_measured_is_no_goal_met() -> None:
    found = verdicts({})
    assert set(found.values()) == {"not measured"}
    assert len(found) == 5 + 2 + len(SHAPES) + 1


def test_goals_are_judged_by_the_case_they_name() -> None:
    found = verdicts(
        {
            "tmall-like, 1,000,000 rows, rim5": case(
                {"lucene 9.9.1": 44.0, "lucene 10.5.2": 29.0, "tantivy": 41.0, "scipy": 39.0}
            ),
            "tmall-like, 1,000,000 rows, all9": case({"lucene 10.5.2": 25.0}),
            "tmall-like, 55,000,000 rows, rim5": case({}, p50=6.0, p99=51.0),
            "tmall-like, 10,000,000 rows, rim5": case({}, opening=0.02),
            "uniform-20, 1,000,000 rows, five": case({"term at a time": 3.0, "row by row": 0.9}),
            "uniform-1000, 1,000,000 rows, five": case({"term at a time": 1.0, "row by row": 9.0}),
            "all-rows-equal, 2,000 rows, five": case({"term at a time": 0.1}),
        }
    )
    # The fastest Lucene counts, and of the exhaustive searches the better one.
    assert found == {
        "1 M rows, five fields, against lucene": "not met",
        "1 M rows, five fields, against tantivy": "met",
        "1 M rows, five fields, against scipy": "not met",
        "1 M rows, five fields, against bm25s": "not measured",
        "1 M rows, nine fields, against lucene": "met",
        "55 M rows, five fields, p50 of a call": "met",
        "55 M rows, five fields, p99 of a call": "not met",
        "1 M rows, uniform-1000, against the better exhaustive search": "met",
        "1 M rows, uniform-20, against the better exhaustive search": "not met",
        "1 M rows, one-value-everywhere, against the better exhaustive search": "not measured",
        "1 M rows, all-rows-equal, against the better exhaustive search": "not measured",
        "1 M rows, one-user-owns-half, against the better exhaustive search": "not measured",
        "10 M rows, opening": "met",
    }
