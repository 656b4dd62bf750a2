"""rokkit.overview: where each notebook stands, told by the copy that was executed last."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest
from made_notebooks import code, executed, notebook, written
from nbformat.v4 import new_output

from rokkit.overview import notebooks_folder, overview, runs_of, standing, title

END = "2026-03-04T05:06:07.000000+00:00"
SHOWN = f"{datetime.fromisoformat(END).astimezone():%Y-%m-%d %H:%M}"


def held(last: str = "print(x)") -> Any:
    return notebook(
        "intro\n\n# The title\n\n## Not this", code("x: int = 1", "parameters"), code(last)
    )


@pytest.fixture
def standing_of(tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """The standing of `held()` for a copy of `cells` with papermill's notes."""

    def of(cells: list[Any], **papermill: Any) -> tuple[str, str]:
        copy = tmp_path / "copy.ipynb"
        nbformat.write(notebook(*cells, papermill=papermill), copy)
        return standing(held(), copy)

    return of


def with_parameters(cells: list[Any]) -> list[Any]:
    """`cells` as papermill hands them to the kernel."""
    return [*cells[:2], code("x = 5", "injected-parameters"), *cells[2:]]


def test_a_copy_of_the_same_sources_is_fresh(standing_of: Callable[..., Any]) -> None:
    cells = with_parameters(held().cells)
    assert standing_of(cells, end_time=END, exception=None) == ("fresh", SHOWN)


def test_a_copy_of_other_sources_is_stale(standing_of: Callable[..., Any]) -> None:
    cells = with_parameters(held("print(x + 1)").cells)
    assert standing_of(cells, end_time=END, exception=None) == ("stale", SHOWN)


def test_a_copy_with_an_exception_is_failed(standing_of: Callable[..., Any]) -> None:
    cells = [code("An error", "papermill-error-cell-tag"), *with_parameters(held().cells)]
    assert standing_of(cells, end_time=END, exception=True) == ("failed", SHOWN)


def test_a_copy_whose_kernel_died_is_failed(standing_of: Callable[..., Any]) -> None:
    """papermill notes no exception then: cells after the death never began, or one never ended."""
    title, parameters, last = held().cells
    unreached = [executed(title), executed(parameters), executed(last, began=False)]
    assert standing_of(unreached, end_time=END, exception=None) == ("failed", SHOWN)
    cells = [executed(cell) for cell in held().cells]
    assert standing_of(cells, end_time=END, exception=None) == ("fresh", SHOWN)
    cells[2].metadata["execution"] = {"iopub.execute_input": END}
    assert standing_of(cells, end_time=END, exception=None) == ("failed", SHOWN)
    cells[2].metadata["execution"]["shell.execute_reply"] = END
    assert standing_of(cells, end_time=END, exception=None) == ("fresh", SHOWN)


def test_a_copy_without_an_end_is_running_or_was_stopped(standing_of: Callable[..., Any]) -> None:
    assert standing_of(held().cells, end_time=None) == ("running or stopped", "")


@pytest.mark.parametrize("content", [None, "{"])
def test_without_a_readable_copy_it_was_never_run(tmp_path: Path, content: str | None) -> None:
    copy = tmp_path / "copy.ipynb"
    if content is not None:
        copy.write_text(content)
    assert standing(held(), copy) == ("never run", "")


def test_runs_are_counted_over_the_cells_of_a_copy(tmp_path: Path) -> None:
    texts = ["30 runs: 6 read, 24 executed\n", "runs 2/9\n9 runs: 9 read, 0 executed\nother\n"]
    cells = [code("session.runs()") for _ in texts]
    for cell, text in zip(cells, texts, strict=True):
        cell.outputs = [new_output("stream", name="stdout", text=text)]
    assert runs_of(written(tmp_path / "a.ipynb", "# A", *cells)) == (15, 24)
    assert runs_of(written(tmp_path / "b.ipynb", "# B")) == (0, 0)
    assert runs_of(tmp_path / "gone.ipynb") == (0, 0)


def test_the_title_is_the_first_heading() -> None:
    assert title(held()) == "The title"
    assert title(notebook(code("# no heading"), "text")) == ""


def test_the_overview_has_a_row_per_notebook_of_the_project(places: Path) -> None:
    found = overview("own")
    paths = sorted(notebooks_folder().glob("*.ipynb"))
    assert list(found["notebook"]) == [path.stem for path in paths]
    assert all(found["about"])
    assert set(found["state"]) == {"never run"}
    first = nbformat.read(paths[0], as_version=4)
    written(places / "executed" / "own" / paths[0].name, *first.cells, papermill={"end_time": END})
    again = overview("own")
    assert again.iloc[0].tolist() == [paths[0].stem, title(first), "fresh", SHOWN]
    assert set(again["state"][1:]) == {"never run"}
    assert set(overview("another")["state"]) == {"never run"}
