"""The inference benchmark: the forms of our models, a run at a size of no meaning, the goals."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ctr import inference_page as report
from ctr import synth
from ctr.arrays import Arrays
from ctr.frameworks import Case
from ctr.frameworks.our_forms import NEIGHBOURS, stages
from ctr.frameworks.ours import Ours
from rokkit.retrieval import BM25Index
from rokkit.serving.onnx import missing_packages

ROOT = Path(__file__).resolve().parents[2]
EXPORTED = ["pt2", *(["onnx"] if not missing_packages() else [])]


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    folder = tmp_path_factory.mktemp("arrays")
    parts = {"train": 300, "val": 40, "test": 40}
    synth.make(folder, parts, world=synth.World.of_rows(2000), seed=0)
    return Arrays.open(folder)


def built(arrays: Arrays, folder: Path, model: str, form: str) -> Ours:
    ours = Ours()
    ours.load()
    ours.build(arrays, Case(model=model, form=form), folder)
    return ours


def answer(ours: Ours, rows: slice) -> Any:
    """What the stages, one after the other, make of `rows`; the model is the same every time."""
    torch.manual_seed(0)
    value: Any = rows
    with torch.no_grad():
        for _, work in stages(ours):
            value = work(value)
    return np.asarray(value).reshape(-1)


@pytest.mark.parametrize("form", EXPORTED)
def test_an_exported_model_answers_as_the_eager_one(
    form: str, arrays: Arrays, tmp_path: Path
) -> None:
    rows = slice(3, 10)
    eager = answer(built(arrays, tmp_path, report.KNOWLEDGE, "eager"), rows)
    ours = built(arrays, tmp_path, report.KNOWLEDGE, form)
    np.testing.assert_allclose(answer(ours, rows), eager, atol=1e-5)
    assert ours.bytes["artefact"] > 2000 * (8 + 8) * 4  # both tables


def test_rim_answers_with_what_its_search_finds(arrays: Arrays, tmp_path: Path) -> None:
    ours = built(arrays, tmp_path, "rim", "eager")
    (_, search), (_, look_up), (_, forward) = stages(ours)
    rows = slice(5, 9)
    batch = look_up(search(rows))
    schema, pool, test = ours.samples.schema, ours.samples.train, ours.samples.test
    ids, _ = BM25Index.build(pool.x, schema.retrieval_columns).search(test.x[rows], NEIGHBOURS)
    assert np.array_equal(batch.neighbour_mask, ids >= 0)
    found = np.where((ids >= 0)[..., None], pool.x[ids], 0)
    assert np.array_equal(batch.neighbours, found)
    assert np.array_equal(batch.neighbour_labels, np.where(ids >= 0, pool.y[ids], 0))
    assert forward(batch).shape == (4,)
    assert ours.bytes["pool"] == 300 * (6 * 4 + 1)
    assert ours.bytes["index"] > 300 * 5 * 4


def called(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "inference.py"), *words]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=env, capture_output=True, text=True)


def test_a_quick_run_measures_and_keeps_every_case(tmp_path: Path) -> None:
    done = called("--quick", "--models", "rim", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "inference.json").read_text())["cases"]
    assert set(cases) == {"din, batch 1", "din, batch 16"}  # which RIM is compared with
    for case in cases.values():
        assert set(case["latency"]) == {"ours, DIN, eager", "ours, RIM, search included"}
        for one in case["latency"].values():
            assert 0 < one["p50"]["median"] <= one["p99"]["median"]
            assert len(one["rounds"]) == 2
        assert set(case["bytes"]["ours, RIM, search included"]) == {"index", "pool"}
        assert set(case["latency"]["ours, RIM, search included"]["stages"]) == {
            "search",
            "look-up",
            "forward",
        }
    text = (tmp_path / "inference.md").read_text()
    assert report.page(cases).rstrip() + "\n" == text
    assert text in done.stdout
    assert "met |" not in text  # no goal is of this size


def held(forward: list[float], p50: list[float] | None = None) -> Any:
    rounds = [{"forward": a, "p50": b} for a, b in zip(forward, p50 or forward, strict=True)]
    return {"stages": {"forward": {"median": float(np.median(forward))}}, "rounds": rounds}


def case(**latency: Any) -> Any:
    return {
        "latency": latency,
        "feature_rows": report.FEATURE_ROWS,
        "pool_rows": report.POOL_ROWS,
    }


def judged(cases: dict[str, Any]) -> dict[str, tuple[float | None, str]]:
    return {goal.text: (goal.measured, goal.verdict) for goal in report.goals(cases)}


def test_nothing_measured_is_no_goal_met() -> None:
    found = report.goals({})
    assert len(found) == 6
    assert {goal.verdict for goal in found} == {"not measured"}


def test_goals_are_judged_for_one_row() -> None:
    latency = {
        report.ours_name("din", "eager"): held([0.1, 0.2, 0.1], [0.2, 0.2, 0.2]),
        report.ours_name("din+rok", "eager"): held([0.11, 0.22, 0.2]),
        report.ours_name("din+rok", "pt2"): held([0.3]),
        report.ours_name("din+rok", "onnx"): held([0.05]),
        report.OURS_NAMES["rim"]: held([0.1] * 3, [0.5, 0.3, 0.5]),
    }
    found = judged(
        {
            "din, batch 1": case(**latency),
            "deepfm, batch 1": case(**{report.ours_name("deepfm", "eager"): held([0.08])}),
            "dien, batch 1024": case(**{report.ours_name("dien", "eager"): held([0.1])}),
        }
    )
    more, verdict = found.pop("What ROK adds to DIN, eager")
    assert more == pytest.approx(10)  # of the median round, not of medians
    assert verdict == "met"
    assert found == {
        "DeepFM, eager, forward p50": (0.08, "not met"),
        "DIN, eager, forward p50": (0.1, "met"),
        "DIEN, eager, forward p50": (None, "not measured"),
        "DIN+ROK, exported, forward p50": (0.05, "met"),
        "RIM, search and look-up included, of DIN with its look-up": (2.5, "not met"),
    }


def test_a_case_of_another_size_meets_no_goal() -> None:
    small = case(**{report.ours_name("deepfm", "eager"): held([0.01])}) | {"pool_rows": 2000}
    assert {verdict for _, verdict in judged({"deepfm, batch 1": small}).values()} == {
        "not measured"
    }
