"""rokkit.runner: finding notebooks, who gets how many processes, and what becomes of each."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import papermill
import pytest
from made_notebooks import code, written

from rokkit.errors import ArtefactError, ConfigError
from rokkit.notebook_failure import Failure
from rokkit.overview import notebooks_folder, standing
from rokkit.runner import Outcome, State, Task, execute, find, tasks

PARAMETERS = code("x: int = 1  # a number\nname: str = 'a'  # a text", "parameters")
WORK = code("assert x == 5\nprint(x * 2, name)")


def source(nb: Path, at: int) -> str:
    return str(nbformat.read(nb, as_version=4).cells[at].source)


def task(folder: Path, name: str, **more: bool) -> Task:
    """A task whose notebook does not exist: it fails before a kernel starts."""
    path = folder / f"{name}.ipynb"
    return Task(notebook=path, copy=folder / "out" / path.name, parameters={}, **more)


class Batch(NamedTuple):
    """Four notebooks that were executed two at a time, and what was seen meanwhile."""

    folder: Path
    outcomes: dict[str, Outcome]
    states: list[State]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """One notebook passes, one fails inside rokkit, the kernel of one dies, one is gone."""
    folder = tmp_path_factory.mktemp("batch")
    bad = "from rokkit.config import options\n\noptions(['no pair'], where='here')"
    asked = [
        written(folder / "passes.ipynb", "# Passes", PARAMETERS, WORK),
        written(folder / "raises.ipynb", "# Raises", code(bad), code("print('never')")),
        written(folder / "dies.ipynb", "# Dies", code("import os\nos._exit(3)"), code("1")),
    ]
    states: list[State] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JPY_SESSION_NAME", "a notebook that a person opened")
        made = tasks(asked, {"x": 5, "name": "b"}, folder / "out", jobs=2)
        made.append(task(folder, "gone"))
        outcomes = execute(made, jobs=2, watch=states.append)
    return Batch(folder, {one.task.name: one for one in outcomes}, states)


def test_a_notebook_that_passes_has_no_failure(batch: Batch) -> None:
    outcome = batch.outcomes["passes"]
    assert outcome.failure is None
    assert outcome.seconds > 0
    copy = nbformat.read(outcome.task.copy, as_version=4)
    assert copy.cells[3].outputs == [{"output_type": "stream", "name": "stdout", "text": "10 b\n"}]


def test_a_failing_cell_is_named_with_its_error_and_the_frame(batch: Batch) -> None:
    failure = batch.outcomes["raises"].failure
    assert failure is not None
    assert (failure.cell, failure.source) == (2, "from rokkit.config import options")
    assert failure.error.startswith("ConfigError: here: 'no pair' is not an option")
    path, line, function = failure.where.replace(":", " ").split(" ")
    assert (path, function) == ("rokkit/config.py", "(options)")
    assert int(line) > 1


def test_a_kernel_that_dies_is_placed_at_its_cell(batch: Batch) -> None:
    failure = batch.outcomes["dies"].failure
    assert failure is not None
    assert (failure.cell, failure.source, failure.where) == (2, "import os", "")
    assert "Kernel died" in failure.error


def test_the_copies_tell_the_overview_what_became_of_them(batch: Batch) -> None:
    states = {
        name: standing(nbformat.read(one.task.notebook, as_version=4), one.task.copy)[0]
        for name, one in batch.outcomes.items()
        if name != "gone"
    }
    assert states == {"passes": "fresh", "raises": "failed", "dies": "failed"}


def test_executed_copies_are_kept_and_originals_untouched(batch: Batch) -> None:
    copies = sorted(path.name for path in (batch.folder / "out").iterdir())
    assert copies == ["dies.ipynb", "passes.ipynb", "raises.ipynb"]
    for name in ("dies", "passes", "raises"):
        held = nbformat.read(batch.folder / f"{name}.ipynb", as_version=4)
        assert all(not cell.get("outputs") for cell in held.cells)
        assert "papermill" not in held.metadata


def test_what_watches_sees_each_notebook_wait_go_and_end(batch: Batch) -> None:
    first, last = batch.states[0], batch.states[-1]
    assert [len(first.waiting), len(first.going)] == [2, 2]
    assert [len(last.waiting), len(last.going), len(last.outcomes)] == [0, 0, 4]
    for state in batch.states:
        assert len(state.going) <= 2
        assert len(state.waiting) + len(state.going) + len(state.outcomes) == 4
    # The parameters that papermill injects are a cell more.
    seen = {one.cells for state in batch.states for one in state.going if one.cells}
    assert seen <= {3, 4}


def test_papermill_alone_gives_the_same_cells(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    alone = batch.folder / "alone.ipynb"
    papermill.execute_notebook(
        str(batch.folder / "passes.ipynb"),
        str(alone),
        parameters={"x": 5, "name": "b"},
        progress_bar=False,
    )
    ours = batch.outcomes["passes"].task.copy
    pair = [nbformat.read(path, as_version=4).cells for path in (alone, ours)]
    for cells in pair:
        assert [cell.metadata.get("tags") for cell in cells][1:3] == [
            ["parameters"],
            ["injected-parameters"],
        ]
    told = [
        [(c.source, c.get("outputs"), c.get("execution_count")) for c in cells] for cells in pair
    ]
    assert told[0] == told[1]
    assert 'x = 5\nname = "b"' in source(alone, 2)


def test_a_notebook_that_vanished_fails_without_stopping_the_others(batch: Batch) -> None:
    failure = batch.outcomes["gone"].failure
    assert failure is not None
    assert (failure.cell, failure.where) == (0, "")
    assert "gone.ipynb" in failure.error


def test_a_killed_process_is_told_apart_from_a_failing_cell(tmp_path: Path) -> None:
    def kill(state: State) -> None:
        for one in state.going:
            os.kill(one.process.pid, signal.SIGKILL)

    (outcome,) = execute([task(tmp_path, "gone")], jobs=1, watch=kill)
    assert outcome.failure == Failure(
        cell=0,
        source="",
        error=(
            "its process ended with code -9, most likely out of memory; run again with fewer jobs"
        ),
        where="",
    )


def test_if_the_watcher_raises_the_processes_are_stopped(tmp_path: Path) -> None:
    seen: list[Any] = []

    def stop(state: State) -> None:
        seen.extend(one.process for one in state.going)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute([task(tmp_path, "gone")], jobs=1, watch=stop)
    assert len(seen) == 1
    assert not seen[0].is_alive()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_takes_its_notebooks_along(tmp_path: Path, end: signal.Signals) -> None:
    """The process of a notebook and its kernel, in the middle of a cell."""
    asleep = tmp_path / "asleep"
    cell = f"import os, time, pathlib\npathlib.Path({str(asleep)!r}).write_text(str(os.getpid()))"
    written(tmp_path / "sleeps.ipynb", "# Sleeps", code(f"{cell}\ntime.sleep(600)"))
    program = (
        "import signal\nfrom pathlib import Path\nfrom rokkit.runner import execute, tasks\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also under nohup\n"
        "    path = Path('sleeps.ipynb').resolve()\n"
        "    execute(tasks([path], {}, path.parent / 'out', 1), jobs=1)\n"
    )
    (tmp_path / "program.py").write_text(program)
    process = subprocess.Popen(
        [sys.executable, "program.py"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        _wait_for(lambda: asleep.exists() and asleep.read_text() != "")
        process.send_signal(end)
        _, said = process.communicate(timeout=30)
        assert said.rstrip().endswith("KeyboardInterrupt")
        _wait_for(lambda: not _lives(int(asleep.read_text())))
    finally:
        process.kill()


def test_what_is_ignored_stays_ignored_and_handlers_come_back(tmp_path: Path) -> None:
    """As under nohup."""
    inside: list[Any] = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ends = (signal.SIGTERM, signal.SIGHUP)
        execute(
            [task(tmp_path, "gone")],
            jobs=1,
            watch=lambda state: inside.append([signal.getsignal(one) for one in ends]),
        )
        assert inside[0] == [signal.default_int_handler, signal.SIG_IGN]
        assert [signal.getsignal(one) for one in ends] == [signal.SIG_DFL, signal.SIG_IGN]
    finally:
        signal.signal(signal.SIGHUP, before)


def _wait_for(ready: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_no_names_find_every_notebook_of_the_project() -> None:
    assert find([]) == sorted(notebooks_folder().glob("*.ipynb"))


def test_notebooks_are_found_by_name_with_ending_and_by_path(tmp_path: Path) -> None:
    own = written(tmp_path / "mine.ipynb", "# Mine")
    names = ["10_overall", str(own), "10_overall.ipynb", "01_data"]
    assert find(names) == [
        notebooks_folder() / "10_overall.ipynb",
        own,
        notebooks_folder() / "01_data.ipynb",
    ]


@pytest.mark.parametrize("name", ["10_overal", "10_overal.ipynb", "notebooks/10_overal"])
def test_an_unknown_notebook_is_refused_with_the_nearest_name(name: str) -> None:
    with pytest.raises(ConfigError, match=r"is not known\. Did you mean '10_overall'"):
        find([name])


def test_a_folder_without_notebooks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"holds no notebooks\. Name one by its path"):
        find([])


@pytest.fixture
def five(tmp_path: Path) -> list[Path]:
    """Five notebooks: the second measures time, the third trains, the last for long."""
    trains = "jobs: int = 1  # processes\nk: int = 3  # neighbours"
    return [
        written(tmp_path / "a.ipynb", "# A", code("k: int = 3  # neighbours", "parameters")),
        written(tmp_path / "b.ipynb", "# B", code(trains, "parameters", "alone")),
        written(tmp_path / "c.ipynb", "# C", code(trains, "parameters")),
        written(tmp_path / "d.ipynb", "# D"),
        written(tmp_path / "e.ipynb", "# E", code(trains, "parameters", "long")),
    ]


def test_what_trains_goes_first_with_all_processes_and_what_measures_after_it(
    five: list[Path], tmp_path: Path
) -> None:
    made = tasks(five, {"k": 5, "jobs": 7}, tmp_path / "out", 4)
    assert [(one.name, one.trains, one.alone, dict(one.parameters)) for one in made] == [
        ("e", True, False, {"k": 5, "jobs": 4}),
        ("c", True, False, {"k": 5, "jobs": 4}),
        ("b", True, True, {"k": 5, "jobs": 4}),
        ("a", False, False, {"k": 5}),
        ("d", False, False, {"k": 5}),
    ]
    assert [one.copy for one in made] == [tmp_path / "out" / f"{n}.ipynb" for n in "ecbad"]


def test_with_one_process_the_order_is_the_one_given(five: list[Path], tmp_path: Path) -> None:
    assert [one.name for one in tasks(five, {}, tmp_path, 1)] == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("jobs", "most"),
    [
        (1, [{"a"}, {"b"}, {"c"}, {"d"}, {"e"}]),
        (2, [{"a", "b"}, {"b", "c"}, {"d"}, {"e"}]),
        (8, [{"a", "b"}, {"b", "c"}, {"d"}, {"e"}]),
    ],
)
def test_two_that_train_go_side_by_side_and_one_that_measures_by_itself(
    tmp_path: Path, jobs: int, most: list[set[str]]
) -> None:
    """Kills: a third that trains, anything beside a measurement, more notebooks than jobs."""
    batch = [task(tmp_path, name, trains=True) for name in "abc"]
    batch += [task(tmp_path, "d", trains=True, alone=True), task(tmp_path, "e")]
    seen: list[set[str]] = []

    def watch(state: State) -> None:
        seen.append({one.task.name for one in state.going})

    outcomes = execute(batch, jobs=jobs, watch=watch)
    assert {one.task.name for one in outcomes} == set("abcde")
    allowed = [*most, {"a", "c"}]
    assert all(any(going <= one for one in allowed) for going in seen)
    assert most[0] in seen


def test_a_task_of_no_notebook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text("text")
    with pytest.raises(ArtefactError, match=r"a\.ipynb cannot be read as a notebook"):
        tasks([tmp_path / "a.ipynb"], {}, tmp_path, 1)
