"""Runs: specs in, reports out; executed once, parents first, the same bytes on any executor."""

import shutil
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_study import Inline, contents, lineage, settle, spec, yields

from rokkit.data import load
from rokkit.errors import ArtefactError, ConfigError
from rokkit.evaluation import evaluate
from rokkit.experiments import (
    Report,
    RunError,
    RunEvent,
    Runs,
    base_unchanged,
    bases_unchanged,
)
from rokkit.models import MODELS, register_teacher
from rokkit.models.rim import RIM, RIMConfig

USER = spec("MLP+ROK")
CONSTRUCTION = USER.parents()[0]
ASKED = [spec("LR"), USER, spec("RIM"), spec("MLP"), USER]
MODEL_FILES = {
    "DONE",
    "best.safetensors",
    "history.csv",
    "predictions.npy",
    "predictions_val.npy",
    "report.json",
    "spec.json",
}


@dataclass(frozen=True)
class Study:
    """The runs of ASKED, and what happened while they ran."""

    runs: Path
    reports: list[Report]
    events: list[RunEvent]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    with pytest.MonkeyPatch.context() as patch:
        runs = settle(tmp_path_factory.mktemp("study"), patch)
        events: list[RunEvent] = []
        yield Study(runs, Runs(progress=events.append)(ASKED), events)


def by_label(reports: list[Report]) -> dict[str, Report]:
    return {report.label: report for report in reports}


def test_reports_come_in_the_order_of_the_specs_repetitions_included(study: Study) -> None:
    assert [report.spec for report in study.reports] == ASKED
    assert [report.cached for report in study.reports] == [False] * 5


def test_every_run_is_executed_once_and_its_parents_before_it(study: Study) -> None:
    """Kills: a teacher trained for itself and again for the base; file order instead of needs."""
    begun = [event.label for event in study.events if event.kind == "start"]
    assert sorted(begun) == ["knowledge-rim-s0", "lr-s0", "mlp+rok-s0", "mlp-s0", "rim-s0"]
    assert begun[:2] == ["rim-s0", "knowledge-rim-s0"]
    over = [(event.kind, event.label) for event in study.events if event.kind != "progress"]
    for parent, child in (("rim-s0", "knowledge-rim-s0"), ("knowledge-rim-s0", "mlp+rok-s0")):
        assert over.index(("done", parent)) < over.index(("start", child))


def test_what_learns_from_the_pool_begins_before_what_nobody_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(tmp_path, monkeypatch)
    events: list[RunEvent] = []
    Runs(progress=events.append)([spec(one) for one in ("LR", "RIM", "MLP+POOL")])
    assert [e.label for e in events if e.kind == "start"] == ["mlp+pool-s0", "lr-s0", "rim-s0"]


def test_events_count_what_is_done(study: Study) -> None:
    assert {event.total for event in study.events} == {5}
    assert [event.done for event in study.events if event.kind == "done"] == [1, 2, 3, 4, 5]
    assert [event.done for event in study.events if event.kind == "start"] == [0, 1, 2, 3, 4]
    assert [event.done for event in study.events] == sorted(e.done for e in study.events)
    first = next(event for event in study.events if event.kind == "progress")
    assert first.fields == {"step": 1, "steps": 16, "epoch": 1, "epochs": 2}
    assert study.events[-1].left == 0


def test_a_run_leaves_these_files_and_no_others(study: Study) -> None:
    folders = sorted(p for p in (study.runs / "small").iterdir() if p.name != ".locks")
    assert len(folders) == 5
    for folder in folders:
        predicted = {"predictions.npy", "predictions_val.npy"}
        expected = MODEL_FILES - predicted if "knowledge-" in folder.name else MODEL_FILES
        assert {p.name for p in folder.iterdir()} == expected, folder.name
    report = study.reports[0]
    assert report.folder.name == f"lr-s0-{report.key[:12]}"
    assert not list(study.runs.glob(".status/*"))


def test_a_second_call_reads_and_touches_nothing(study: Study) -> None:
    before, events = contents(study.runs), []
    again = Runs(progress=events.append)(ASKED)
    assert [report.cached for report in again] == [True] * 5
    assert [replace(report, cached=False) for report in again] == study.reports
    assert contents(study.runs) == before
    assert events == []


def test_a_call_that_is_partly_done_executes_the_rest(study: Study, tmp_path: Path) -> None:
    events: list[RunEvent] = []
    shutil.copytree(study.runs, tmp_path / "runs")
    reports = Runs(tmp_path / "runs", progress=events.append)([spec("LR"), spec("LR", 1)])
    assert [report.cached for report in reports] == [True, False]
    told = [(e.kind, e.label, e.done, e.total) for e in events if e.kind != "progress"]
    assert told == [
        ("cached", "lr-s0", 1, 2),
        ("start", "lr-s1", 1, 2),
        ("done", "lr-s1", 2, 2),
    ]


def test_a_spec_that_differs_in_what_it_does_not_use_is_the_same_run(study: Study) -> None:
    report = Runs()([spec("LR", history_length=7, k=5, alpha=0.5)])[0]
    assert report.cached
    assert report.folder == study.reports[0].folder


def test_metrics_are_those_of_the_kept_predictions(study: Study) -> None:
    """Kills: metrics of float64 predictions, of the last epoch, or of another part."""
    samples = load("small")
    for report in study.reports:
        for part in ("val", "test"):
            held = samples.part(part)
            p = report.predictions(part)
            assert p.dtype == np.float32
            assert len(p) == len(held)
            found = evaluate(held.y, p, samples.user_index(held.x))
            assert report.metrics[part] == found


def test_the_kept_weights_are_those_of_the_best_evaluation(study: Study) -> None:
    for report in by_label(study.reports).values():
        history = report.history()
        best = max(row["auc"] for row in history)
        assert report.metrics["val"]["auc"] == best == report.details["best_metric"]
        assert [row["step"] for row in history] == [8, 16]  # 120 rows, batches of 16, 2 epochs
        assert (report.details["epochs"], report.details["steps"]) == (2, 16)


def test_seconds_of_teacher_construction_and_search_reach_the_user(study: Study) -> None:
    """Kills: costs of knowledge that are lost because a parent was read."""
    teacher, user = by_label(study.reports)["rim-s0"], by_label(study.reports)["mlp+rok-s0"]
    construction = Runs()([CONSTRUCTION])[0]
    assert construction.cached
    assert construction.timings["teacher"] == teacher.timings["train"]
    for name in ("teacher", "construct", "retrieval"):
        assert user.timings[name] == construction.timings[name] > 0
    assert construction.processor["teacher"] == teacher.processor["train"] > 0
    for name in ("teacher", "construct"):
        assert user.processor[name] == construction.processor[name] > 0
    assert "retrieval" not in by_label(study.reports)["mlp-s0"].timings


def test_parameters_are_counted(study: Study) -> None:
    held = {name: report.parameters for name, report in by_label(study.reports).items()}
    ids = load("small").schema.n_ids
    table, head = ids * 4, 4 * 4 + 1
    assert held["lr-s0"] == {
        "table": table,
        "dense": head,
        "total": table + head,
        "trainable": table + head,
    }
    user = held["mlp+rok-s0"]
    construction = Runs()([CONSTRUCTION])[0].parameters
    assert user["total"] - user["trainable"] == construction["total"]


def test_a_construction_has_no_predictions_and_says_so(study: Study) -> None:
    construction = Runs()([CONSTRUCTION])[0]
    assert {"r2", "r2_features", "r2_labels", "collapse"} <= set(construction.metrics["test"])
    with pytest.raises(ArtefactError, match=r"knowledge-rim-s0.* holds no predictions of 'test'"):
        construction.predictions()
    with pytest.raises(ArtefactError, match="no predictions of 'pool'; models predict test and"):
        study.reports[0].predictions("pool")


def test_two_processes_yield_the_same_bytes_as_one(study: Study, tmp_path: Path) -> None:
    events: list[RunEvent] = []
    reports = Runs(tmp_path / "runs", jobs=2, progress=events.append)(ASKED)
    assert [report.spec for report in reports] == ASKED
    assert yields(reports) == yields(study.reports)
    assert [r.metrics for r in reports] == [r.metrics for r in study.reports]
    assert [event.done for event in events if event.kind == "done"] == [1, 2, 3, 4, 5]


def test_a_pool_of_threads_yields_the_same_bytes_and_stays_open(
    study: Study, tmp_path: Path
) -> None:
    """Kills: threads that draw from each other's generators; an executor that is shut down."""
    asked = [spec("MLP", seed, dropout=0.3) for seed in range(4)]
    alone = Runs(tmp_path / "alone")(asked)
    with ThreadPoolExecutor(3) as pool:
        together = Runs(tmp_path / "together", executor=pool)(asked)
        assert pool.submit(int, "7").result() == 7
    assert yields(together) == yields(alone)


@pytest.fixture
def foreign() -> Iterator[None]:
    """A teacher of this module."""

    class Tutor(RIM):
        pass

    register_teacher("tutor", config=RIMConfig)(Tutor)
    yield
    MODELS.remove("tutor")


@pytest.mark.usefixtures("foreign")
def test_each_job_names_the_modules_its_worker_has_to_import(study: Study, tmp_path: Path) -> None:
    """Kills: a user of a base whose worker never heard of the teacher."""
    executor = Inline()
    Runs(tmp_path, executor=executor, imports=("json",))([spec("MLP+ROK", teacher="tutor")])
    assert [job.spec.system for job in executor.jobs] == [
        "tutor",
        "knowledge-tutor",
        "mlp+rok-tutor",
    ]
    for job in executor.jobs:
        assert job.imports[0] == "json"
        assert set(job.imports) == {"json", __name__, "small_study"}
    assert not executor.closed


class Lost(Executor):
    """Never does what it is given."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_exception(ConnectionError("no route to the workers"))
        return future


def test_an_executor_that_fails_is_reported_as_such(study: Study, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="ConnectionError: no route to the workers") as caught:
        Runs(tmp_path, executor=Lost())([spec("MLP+ROK"), spec("LR")])
    assert [failure.label for failure in caught.value.failures] == ["rim-s0", "lr-s0"]
    assert caught.value.skipped == ("knowledge-rim-s0", "mlp+rok-s0")
    assert "look at its workers" in caught.value.failures[0].remedy


def test_force_does_everything_again_parents_included(study: Study, tmp_path: Path) -> None:
    shutil.copytree(study.runs, tmp_path / "runs")
    before = contents(tmp_path / "runs")
    (report,) = Runs(tmp_path / "runs", force=True)([USER])
    after = contents(tmp_path / "runs")
    assert not report.cached
    assert yields([report]) == yields([by_label(study.reports)["mlp+rok-s0"]])
    done = [name for name in before if name.endswith("DONE")]
    changed = {name.split("/")[1][:-13] for name in done if after[name] != before[name]}
    assert changed == {"rim-s0", "knowledge-rim-s0", "mlp+rok-s0"}
    assert {n.split("/")[1][:-13] for n in done} - changed == {"lr-s0", "mlp-s0"}


def test_a_plan_executes_nothing_and_lists_parents_first(study: Study, tmp_path: Path) -> None:
    plan = Runs(tmp_path / "none").plan([USER, spec("RIM"), spec("LR")])
    assert [run.label for run in plan] == ["rim-s0", "knowledge-rim-s0", "mlp+rok-s0", "lr-s0"]
    assert [run.done for run in plan] == [False] * 4
    assert plan[2].parents == (plan[1].key,)
    assert not (tmp_path / "none").exists()
    assert all(run.done for run in Runs().plan(ASKED))
    assert not any(run.done for run in Runs(force=True).plan(ASKED))


def test_fewer_than_one_job_is_refused() -> None:
    with pytest.raises(ConfigError, match="jobs is 0; expected at least 1"):
        Runs(jobs=0)


def test_a_frozen_base_is_bit_equal_in_its_user(study: Study) -> None:
    (construction,) = Runs()([CONSTRUCTION])
    user = by_label(study.reports)["mlp+rok-s0"]
    assert base_unchanged(construction, user)
    assert bases_unchanged([construction], study.reports)
    assert not bases_unchanged([], study.reports)
    assert bases_unchanged([], [study.reports[0]])  # LR uses none
    longer = replace(user, spec=replace(user.spec, history_length=9))  # which no base reads
    assert longer.spec.construction != construction.spec
    assert bases_unchanged([construction], [longer])


@pytest.mark.parametrize("update", ["g", "fg"])
def test_a_base_that_is_trained_further_is_not(study: Study, tmp_path: Path, update: str) -> None:
    shutil.copytree(study.runs, tmp_path / "runs")
    asked = spec("MLP+ROK", update=update)
    construction, user = Runs(tmp_path / "runs")([asked.parents()[0], asked])
    assert (construction.cached, user.cached) == (True, False)
    assert not base_unchanged(construction, user)
    assert not bases_unchanged([construction], [user])


@pytest.mark.parametrize("what", ["base.f.weight", "running_mean", "missing"])
def test_one_altered_tensor_is_noticed(study: Study, tmp_path: Path, what: str) -> None:
    """Kills: a comparison of parameters alone, or of the tensors both have."""
    (construction,) = Runs()([CONSTRUCTION])
    user = by_label(study.reports)["mlp+rok-s0"]
    weights = load_file(user.folder / "best.safetensors")
    base = sorted(name for name in weights if name.startswith("base."))
    if what == "missing":
        del weights[base[0]]
    else:
        name = next(n for n in base if n == what or n.endswith(what))
        weights[name].view(-1)[0] = torch.nextafter(weights[name].view(-1)[0], torch.tensor(9.0))
    save_file(weights, tmp_path / "best.safetensors")
    assert not base_unchanged(construction, replace(user, folder=tmp_path))


def test_a_lineage_is_the_plan_of_its_last_run(study: Study) -> None:
    assert [run.spec for run in Runs().plan([USER])] == lineage(USER)
