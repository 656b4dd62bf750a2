"""rokkit.nbfmt: one form for committed notebooks, whatever a person or papermill left in them."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from made_notebooks import code, notebook, written
from nbformat.v4 import new_output

from rokkit.nbfmt import CHECKED, canonical, main, text


def used() -> Any:
    """A notebook after papermill and a person were at work on it."""
    outputs = [
        new_output("stream", name="stdout", text="one\n"),
        new_output("stream", name="stdout", text="two\n"),
        new_output("stream", name="stderr", text="a warning\n"),
        new_output("execute_result", {"text/plain": "3", "text/html": "<b>3</b>"}),
        new_output("display_data", {"text/plain": "<Figure>", "image/png": "AAAA"}),
    ]
    outputs[3]["execution_count"] = 41
    return notebook(
        "# Title\n",
        code("x: int = 1  # a number\n\n", "parameters", execution_count=7),
        code("x = 5", "injected-parameters"),
        code("failed here", "papermill-error-cell-tag"),
        code("x", outputs=outputs[:1], execution_count=8),
        code("print('one')", CHECKED, outputs=outputs, execution_count=9),
        papermill={"duration": 3.2},
        widgets={},
    )


def test_ids_count_up_and_only_tags_are_kept() -> None:
    given = used()
    given.cells[5].metadata["papermill"] = {"status": "completed"}
    given.cells[5].metadata["collapsed"] = True
    cells = canonical(given).cells
    assert [cell.id for cell in cells] == ["c01", "c02", "c03", "c04"]
    assert [cell.metadata for cell in cells] == [
        {},
        {"tags": ["parameters"]},
        {},
        {"tags": [CHECKED]},
    ]


def test_cells_of_papermill_are_dropped_and_sources_lose_outer_lines() -> None:
    sources = [cell.source for cell in canonical(used()).cells]
    assert sources == ["# Title", "x: int = 1  # a number", "x", "print('one')"]


def test_only_checked_outputs_stay_without_what_differs_between_runs() -> None:
    _, parameters, plain, checked = canonical(used()).cells
    for cell in (parameters, plain):
        assert (cell.outputs, cell.execution_count) == ([], None)
    assert checked.execution_count == 3  # the third code cell
    assert checked.outputs == [
        {"output_type": "stream", "name": "stdout", "text": "one\ntwo\n"},
        {"output_type": "stream", "name": "stderr", "text": "a warning\n"},
        {
            "output_type": "execute_result",
            "data": {"text/plain": "3"},
            "metadata": {},
            "execution_count": 3,
        },
        {"output_type": "display_data", "data": {"text/plain": "<Figure>"}, "metadata": {}},
    ]


def test_a_checked_cell_without_outputs_has_no_count() -> None:
    cell = canonical(notebook(code("1", CHECKED, execution_count=4))).cells[0]
    assert (cell.outputs, cell.execution_count) == ([], None)


def test_notebook_metadata_name_the_kernel_and_nothing_else() -> None:
    made = canonical(used())
    assert made.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert (made.nbformat, made.nbformat_minor) == (4, 5)


def test_canonical_is_idempotent_valid_and_leaves_the_original_alone() -> None:
    given = used()
    before = nbformat.writes(given)
    once = canonical(given)
    assert nbformat.writes(given) == before
    assert text(canonical(once)) == text(once)
    nbformat.validate(once)
    assert text(once).endswith("}\n")
    assert not text(once).endswith("\n\n")


def test_check_changes_nothing_and_a_rewrite_satisfies_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "notebooks" / "a.ipynb"
    path.parent.mkdir()
    nbformat.write(used(), path)
    hidden = written(tmp_path / "notebooks" / ".ipynb_checkpoints" / "a.ipynb", "# Old")
    before, left = path.read_text(), hidden.read_text()

    assert main(["--check", "notebooks"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "notebooks/a.ipynb: not canonical",
        "run: python -m rokkit.nbfmt notebooks/a.ipynb",
    ]
    assert path.read_text() == before

    assert main(["notebooks"]) == 0
    assert capsys.readouterr().out == "notebooks/a.ipynb: rewritten\n"
    assert path.read_text() == text(canonical(used()))

    assert main(["--check", "notebooks"]) == 0
    assert main([str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert hidden.read_text() == left


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ipynb", "not json", "a.ipynb cannot be read as a notebook"),
        ("a.ipynb", "[1, 2]", "a.ipynb cannot be read as a notebook"),
        ("a.ipynb", None, "the notebook a.ipynb does not exist"),
        ("a.txt", "text", "a.txt is neither a folder nor a notebook (.ipynb)."),
        ("nowhere", None, "nowhere is neither a folder nor a notebook (.ipynb)."),
    ],
)
def test_what_is_no_notebook_is_refused_by_name(
    name: str,
    content: str | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_text(content)
    assert main([name]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("nbfmt: ")
    assert message in said.err
