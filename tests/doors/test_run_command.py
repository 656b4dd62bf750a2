"""rokkit run: everything is checked before a notebook starts; what failed says how to go on."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_notebooks import code, written

from rokkit import runner
from rokkit.cli import main
from rokkit.commands.screen import Screen, doing, percent, runs_note, where
from rokkit.experiments.status import Standing
from rokkit.notebook_failure import Failure
from rokkit.overview import notebooks_folder
from rokkit.runner import Going, Outcome, State, Task

Executed = list[tuple[list[Task], int]]


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> Executed:
    """The batches that were to be executed; none of them is, and all of them pass."""
    seen: Executed = []

    def execute(batch: Sequence[Task], *, jobs: int, watch: Callable[[State], None]) -> list[Any]:
        seen.append((list(batch), jobs))
        return [Outcome(task=task, seconds=1.0) for task in batch]

    monkeypatch.setattr(runner, "execute", execute)
    return seen


@pytest.fixture
def mine(toy: str, tmp_path: Path) -> str:
    """A notebook of one's own, which trains on the made data set."""
    cell = (
        f'dataset: str = "{toy}"\nk: int = 3\njobs: int = 1\n'
        'device: str = "cpu"\ncolour: str = "red"'
    )
    return str(written(tmp_path / "mine.ipynb", "# Mine", code(cell, "parameters")))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", "alhpa=0.3"], "-p: parameter 'alhpa' is not known. Did you mean 'alpha'?"),
        (["-p", "colou=blue"], "parameter 'colou' is not known. Did you mean 'colour'?"),
        (["-p", "k=many"], "k is 'many' (str); expected int."),
        (["-p", "k=0"], "k is 0; expected at least 1."),
        (["-p", "k=1", "-p", "k=2"], "-p: 'k' is given twice."),
        (["-p", "seeds=[0"], "-p: the value of 'seeds=[0' cannot be read as YAML."),
        (["-p", "dataset=jurney"], "data set 'jurney' is not known. Did you mean 'journey'?"),
        (["-p", "systems=[RIMM]"], "system 'RIMM' is not known. Did you mean 'RIM'?"),
        (["-p", "data_options=[usres=3]"], "setting 'usres' is not known. Did you mean 'users'?"),
        (["-p", "model_options=[lr.hiden=3]"], "hiden"),
        (["-p", "dataset=movielens"], "rokkit data fetch movielens"),
        (["--params", "params/smokee.yaml"], "smokee.yaml does not exist"),
        (["--jobs", "0"], "jobs is 0; expected a number from 1."),
        (["-p", "jobs=0"], "jobs is 0"),
        (["10_overal"], "notebook '10_overal' is not known. Did you mean '10_overall'?"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_notebook_starts(
    words: list[str],
    message: str,
    mine: str,
    executed: Executed,
    places: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", mine, *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert executed == []
    assert not places.exists()


def test_the_file_gives_way_to_the_command_line(
    mine: str, executed: Executed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = tmp_path / "own.yaml"
    params.write_text("study: own\nk: 4\nalpha: 0.5\n")
    words = ["run", mine, "--params", str(params), "-p", "k=5", "-p", "colour=blue", "--jobs", "3"]
    assert main(words) == 0
    ((batch, jobs),) = executed
    (task,) = batch
    assert jobs == 3
    assert task.parameters == {"study": "own", "k": 5, "alpha": 0.5, "colour": "blue", "jobs": 3}
    assert "1 notebooks done in" in capsys.readouterr().out


def test_copies_go_to_the_study_or_where_out_says(
    mine: str, executed: Executed, places: Path, tmp_path: Path
) -> None:
    main(["run", mine])
    main(["run", mine, "-p", "study=own"])
    main(["run", mine, "--out", str(tmp_path / "here")])
    assert [batch[0].copy for batch, _ in executed] == [
        places / "executed" / "toy" / "mine.ipynb",
        places / "executed" / "own" / "mine.ipynb",
        tmp_path / "here" / "mine.ipynb",
    ]


@pytest.mark.usefixtures("places")
def test_without_names_every_notebook_is_executed_and_what_trains_goes_first(
    executed: Executed,
) -> None:
    assert main(["run", "--params", "params/smoke.yaml", "-p", "jobs=2"]) == 0
    ((batch, jobs),) = executed
    assert jobs == 2
    assert {task.notebook for task in batch} == set(notebooks_folder().glob("*.ipynb"))
    assert [task.trains for task in batch] == sorted((t.trains for t in batch), reverse=True)
    assert {task.name for task in batch if task.alone} == {"17_inference", "99_claims"}
    assert [task.name for task in batch[:2]] == ["18_protocol", "19_beyond"]
    trains = {task.name: task.parameters.get("jobs") for task in batch if task.trains}
    assert trains["10_overall"] == 2
    assert all("jobs" not in task.parameters for task in batch if not task.trains)


def fail(monkeypatch: pytest.MonkeyPatch, failures: Mapping[str, Failure]) -> None:
    """Notebooks of these names fail."""

    def execute(batch: Sequence[Task], *, jobs: int, watch: Callable[[State], None]) -> list[Any]:
        return [Outcome(task=t, seconds=1.0, failure=failures.get(t.name)) for t in batch]

    monkeypatch.setattr(runner, "execute", execute)


def test_a_failed_notebook_says_where_why_and_how_to_resume(
    mine: str, places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = Failure(
        cell=5, source="session.runs()", error="ValueError: bad\nworse", where="rokkit/a.py:3 (f)"
    )
    fail(monkeypatch, {"mine": failure})
    copy = written(places / "executed" / "toy" / "mine.ipynb", "# Mine")
    assert main(["run", mine, "-p", "seeds=[0]"]) == 1
    out = capsys.readouterr().out
    assert out.strip().splitlines()[:7] == [
        "mine failed in cell 5: session.runs()",
        "  ValueError: bad",
        "  worse",
        "  at rokkit/a.py:3 (f)",
        f"  executed copy: {copy}",
        f"  resume: rokkit run {mine} -p 'seeds=[0]'",
        "  (finished runs are read; one that was going continues from its checkpoint)",
    ]
    assert "1 of 1 notebooks failed in" in out


@pytest.mark.usefixtures("places")
def test_a_notebook_of_the_project_is_resumed_by_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(monkeypatch, {"01_data": Failure(cell=0, source="", error="KeyError: 'x'", where="")})
    assert main(["run", "01_data", "00_start_here", "--params", "params/smoke.yaml"]) == 1
    out = capsys.readouterr().out
    assert "01_data failed\n  KeyError: 'x'\n" in out
    assert "resume: rokkit run 01_data --params params/smoke.yaml\n" in out
    assert "1 of 2 notebooks failed in" in out


def test_the_summary_counts_what_was_written(
    mine: str,
    executed: Executed,
    places: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = "runs/toy/lr-s0-ab"
    held = {
        "results/own/overall.csv": "",
        "results/own/overall.md": "",
        f"{done}/spec.json": '{"spec": {"model": {}}}',
        f"{done}/report.json": '{"processor": {"train": 90, "total": 120}}',
        f"{done}/DONE": "",
    }
    for name, text in held.items():
        (places / name).parent.mkdir(parents=True, exist_ok=True)
        (places / name).write_text(text)
    assert main(["run", mine, "-p", "study=own"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    told = {line[0]: " ".join(line[2:]) for line in lines if line}
    assert told["tables"] == "10 files written"  # the costs of the batch among them
    assert "| train | a model |" in " ".join(_words(places / "results/own/batch_stages.md"))
    os.utime(places / done / "DONE", (1000, 1000))
    before = (places / "results/own/batch_notebooks.md").read_text()
    assert main(["run", mine, "-p", "study=own"]) == 0
    assert (places / "results/own/batch_notebooks.md").read_text() == before
    assert "| mine " in (places / "results/own/batch_cached.md").read_text()
    assert told["notebooks"] == "1 executed copies"
    assert told["runs"] == "1 finished, 1 of them now"
    assert "figures" not in told


def _words(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split()


def going(name: str, cell: int, cells: int) -> Going:
    task = Task(notebook=Path(f"{name}.ipynb"), copy=Path("x"), parameters={})
    return Going(task, None, None, 0.0, cell, cells)  # type: ignore[arg-type]


def standing(**fields: Any) -> Standing:
    made = {"pid": 1, "total": 48, "done": 12, "cached": 2, "failed": 0, "seconds": 9.0}
    running = {"din+rok-s1-abc": {"epoch": 3, "epochs": 20}, "lr-s0-def": {}}
    return Standing(**(made | {"running": running, "left": 250.0} | fields))


def stand(places: Path, name: str, **fields: Any) -> None:
    """A call of `Runs` of this process stands so."""
    path = places / "runs" / ".status" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(vars(standing(pid=os.getpid(), **fields))))


def test_notes_of_the_screen() -> None:
    assert where(going("10_overall", 6, 14)) == "10_overall cell 6/14"
    assert where(going("10_overall", 0, 0)) == "10_overall"
    assert [percent(going("a", cell, 10)) for cell in (0, 1, 6, 10)] == [0, 0, 50, 90]
    assert doing(standing()) == "din+rok-s1 epoch 3/20, lr-s0"
    assert runs_note(standing()) == "runs 12/48 · din+rok-s1 epoch 3/20, lr-s0 · 4:10 left"
    assert runs_note(standing(running={}, left=None)) == "runs 12/48"


@pytest.mark.usefixtures("places")
def test_in_a_log_a_notebook_has_a_line_when_it_starts_and_when_it_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, two = going("a", 1, 5), going("b", 1, 5)
    failure = Failure(cell=1, source="", error="", where="")
    ended = [
        Outcome(task=one.task, seconds=42.0),
        Outcome(task=two.task, seconds=61.0, failure=failure),
    ]
    with Screen([one.task, two.task], mode="lines") as screen:
        screen.show(State(waiting=[two.task], going=[one]))
        screen.show(State(waiting=[two.task], going=[one]))
        screen.show(State(going=[two], outcomes=ended[:1]))
        screen.show(State(outcomes=ended))
    assert capsys.readouterr().out.splitlines() == [
        "a  started",
        "b  started",
        "a  done in 42 s · 1 notebook left",
        "b  failed in 1:01 · 0 notebooks left",
    ]


def test_in_a_log_the_runs_have_a_line_per_tenth(
    places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Screen([going("a", 1, 5).task], mode="lines") as screen:
        for done in (5, 6, 10):
            stand(places, "a", total=10, done=done)
            screen.show(State())
    lines = [line.split(" · ")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["  runs 5/10 (50 %)", "  runs 6/10 (60 %)", "  runs 10/10 (100 %)"]


def test_the_runs_of_two_notebooks_have_lines_of_their_own(
    places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kills a bar that starts anew whenever another notebook has more left."""
    with Screen([going("a", 1, 5).task], mode="lines") as screen:
        for done in (1, 2):
            for name, total in (("a", 10), ("b", 4)):
                stand(places, name, total=total, done=done)
            screen.show(State())
    lines = [line.split(" · ")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "  runs 1/10 (10 %)",
        "  runs 1/4 (25 %)",
        "  runs 2/10 (20 %)",
        "  runs 2/4 (50 %)",
    ]
