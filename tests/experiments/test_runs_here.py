"""Runs of what a notebook or script defines itself: in this process, whatever the executor."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from small_study import Inline, Small, settle, spec, yields

from rokkit.experiments import ModelSpec, Report, RunError, RunEvent, Runs, RunSpec
from rokkit.experiments import runs as module
from rokkit.models import MODELS, BackboneConfig, register_backbone, register_teacher
from rokkit.models.lr import LR
from rokkit.models.rim import RIM, RIMConfig


@pytest.fixture(scope="module", autouse=True)
def models() -> Iterator[None]:
    """A backbone, one that cannot run and a teacher of a notebook; a teacher of this module."""

    class Typed(LR):
        pass

    class Broken(LR):
        def forward(self, batch: Any, embedding: Any, extra: Any = None) -> Any:
            raise ValueError("not like this")

    class Noted(RIM):
        pass

    class Tutor(RIM):
        pass

    for one in (Typed, Broken, Noted):
        one.__module__ = "__main__"
    register_backbone("typed", config=BackboneConfig)(Typed)
    register_backbone("broken", config=BackboneConfig)(Broken)
    register_teacher("noted", config=RIMConfig)(Noted)
    register_teacher("tutor", config=RIMConfig)(Tutor)
    yield
    for name in ("typed", "broken", "noted", "tutor"):
        MODELS.remove(name)


def lr_like(name: str, seed: int = 0) -> RunSpec:
    return replace(spec("LR", seed), model=ModelSpec.of(name, {"embed_dim": 4}))


@dataclass(frozen=True)
class Alone:
    """Runs done in one process, some of them of a notebook's models."""

    asked: list[RunSpec]
    reports: list[Report]
    said: list[str]


@pytest.fixture(scope="module")
def alone(models: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    with pytest.MonkeyPatch.context() as patch:
        settle(tmp_path_factory.mktemp("alone"), patch)
        asked = [lr_like("typed"), spec("LR"), spec("MLP+ROK", teacher="noted"), spec("MLP")]
        said: list[str] = []
        yield Alone(asked, Runs(tell=said.append)(asked), said)


def test_in_one_process_there_is_nothing_to_tell(alone: Alone) -> None:
    assert alone.said == []
    typed, plain, *_ = alone.reports
    assert typed.metrics == plain.metrics  # the same model under another name
    assert typed.folder != plain.folder


def test_a_plan_says_what_only_this_process_can_do(alone: Alone) -> None:
    found = {run.label: run.here for run in Runs().plan(alone.asked)}
    assert found == {
        "typed-s0": True,
        "lr-s0": False,
        "noted-s0": True,
        "knowledge-noted-s0": True,
        "mlp+rok-noted-s0": True,
        "mlp-s0": False,
    }


def test_beside_other_processes_the_bytes_are_the_same(alone: Alone, tmp_path: Path) -> None:
    """Kills: a worker that is given what it cannot import; a parent that is not waited for."""
    said: list[str] = []
    reports = Runs(tmp_path / "runs", jobs=2, tell=said.append)(alone.asked)
    assert [report.spec for report in reports] == alone.asked
    assert yields(reports) == yields(alone.reports)
    (line,) = said
    assert line.startswith("4 of 6 runs are done in this process, one at a time: ")
    assert "defined in the notebook or script itself" in line
    assert "Move it to a module" in line
    assert line.endswith("(noted-s0, knowledge-noted-s0, typed-s0, mlp+rok-noted-s0)")


def test_an_executor_is_given_the_others_and_first(alone: Alone, tmp_path: Path) -> None:
    executor, events = Inline(), list[RunEvent]()
    reports = Runs(tmp_path, executor=executor, progress=events.append)(alone.asked)
    assert yields(reports) == yields(alone.reports)
    assert [job.spec for job in executor.jobs] == [spec("LR"), spec("MLP")]
    assert all("__main__" not in job.imports for job in executor.jobs)
    begun = [event.label for event in events if event.kind == "start"]
    assert begun[:3] == ["lr-s0", "mlp-s0", "noted-s0"]
    over = [(event.kind, event.label) for event in events if event.kind != "progress"]
    for parent, child in (
        ("noted-s0", "knowledge-noted-s0"),
        ("knowledge-noted-s0", "mlp+rok-noted-s0"),
    ):
        assert over.index(("done", parent)) < over.index(("start", child))
    here = [event for event in events if event.kind == "progress" and event.label == "noted-s0"]
    assert here  # progress of a run in this process is told as it goes


def test_no_more_runs_go_at_once_than_asked_for(
    alone: Alone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills: a run here in addition to as many elsewhere as there are jobs."""
    going: list[int] = []
    submit = Runs._submit

    def counted(self: Runs, executor: Any, run: Any, plan: Any, board: Any) -> Any:
        going.append(len(board.running))  # this one included
        return submit(self, executor, run, plan, board)

    monkeypatch.setattr(Runs, "_submit", counted)
    monkeypatch.setattr(module, "local_pool", ThreadPoolExecutor)
    asked = [*alone.asked, lr_like("typed", 1), spec("LR", 1), spec("LR", 2)]
    Runs(tmp_path / "runs", jobs=2)(asked)
    assert len(going) == 9
    assert max(going) == 2


def test_without_a_run_for_them_no_processes_are_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: Alone
) -> None:
    monkeypatch.setattr(module, "local_pool", None)
    said: list[str] = []
    asked = [lr_like("typed"), lr_like("typed", 1)]
    first, _ = Runs(tmp_path / "runs", jobs=2, tell=said.append)(asked)
    assert yields([first]) == yields(alone.reports[:1])
    assert [line[:39] for line in said] == ["2 of 2 runs are done in this process, o"]
    said.clear()
    Runs(tmp_path / "runs", jobs=2, tell=said.append)(asked)
    Runs(tmp_path / "runs", jobs=2, tell=said.append)([lr_like("typed", 2)])
    assert said == []  # nothing to do; nothing to spread


def test_a_run_here_that_fails_does_not_stop_the_others(alone: Alone, tmp_path: Path) -> None:
    events: list[RunEvent] = []
    asked = [lr_like("broken"), lr_like("typed"), spec("LR")]
    with pytest.raises(RunError, match="ValueError: not like this") as caught:
        Runs(tmp_path / "runs", executor=Inline(), progress=events.append)(asked)
    (failure,) = caught.value.failures
    assert failure.label == "broken-s0"
    assert {event.label for event in events if event.kind == "done"} == {"typed-s0", "lr-s0"}


def test_a_data_set_of_a_notebook_keeps_all_its_runs_here(
    alone: Alone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Small, "__module__", "__main__")
    executor = Inline()
    asked = [spec("LR"), spec("MLP")]
    reports = Runs(tmp_path, executor=executor)(asked)
    assert executor.jobs == []
    assert yields(reports) == yields([alone.reports[1], alone.reports[3]])


def test_the_line_goes_to_the_log_if_nobody_takes_it(
    alone: Alone, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "rokkit.experiments.runs"):
        Runs(tmp_path, executor=Inline())([spec("LR"), lr_like("typed")])
    assert [record.getMessage()[:28] for record in caplog.records] == [
        "1 of 2 runs are done in this"
    ]


def test_workers_import_where_the_encoder_of_dense_neighbours_lives(
    alone: Alone, tmp_path: Path
) -> None:
    """Kills: a run on dense neighbours whose worker never heard of their encoder."""
    executor = Inline()
    Runs(tmp_path, executor=executor)([spec("DERT", encoder="tutor")])
    assert [job.spec.label for job in executor.jobs] == ["tutor-s0", "dert-s0"]
    for job in executor.jobs:
        assert set(job.imports) == {__name__, "small_study"}
