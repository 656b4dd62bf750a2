"""The notebooks: thin, in one form, and with parameters that mean what the settings mean."""

import ast
import re
import typing
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest

from rokkit.config import check_type
from rokkit.experiments import Settings
from rokkit.nbfmt import CHECKED, canonical, text
from rokkit.parameters import declared

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
CELLS, LINES = 14, 12  # at most, of a notebook and of a cell
MODELS = FOLDER / "90_add_your_backbone.ipynb"  # it alone defines something: models
MODEL_LINES = 20  # at most, of a cell that defines one, blank lines and docstring included
START = FOLDER / "00_start_here.ipynb"  # it stands for no part of the paper
DATA = FOLDER / "01_data.ipynb"  # it runs nothing
CLOSING = "## Paper, departures, references"
RUNS = {"runs", "runs_of", "verdicts"}  # what executes or reads runs, by its last name
PLANS = {"plan", "plan_of"}
HINTS = typing.get_type_hints(Settings)

each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
each_parameter = pytest.mark.parametrize(
    ("path", "one"),
    [(path, one) for path in PATHS for one in declared(path)],
    ids=lambda value: getattr(value, "stem", None) or value.name,
)


def cells(path: Path, kind: str | None = None) -> list[Any]:
    held = nbformat.read(path, as_version=4).cells
    return [cell for cell in held if kind in (None, cell.cell_type)]


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def nodes(path: Path) -> list[ast.AST]:
    """Every node of every code cell."""
    return [node for cell in cells(path, "code") for node in ast.walk(ast.parse(cell.source))]


def test_there_are_notebooks() -> None:
    assert PATHS
    assert all(re.fullmatch(r"\d\d_[a-z_]+", path.stem) for path in PATHS)


@each_notebook
def test_it_is_in_canonical_form(path: Path) -> None:
    held = nbformat.read(path, as_version=4)
    assert path.read_text(encoding="utf-8") == text(canonical(held)), "python -m rokkit.nbfmt"


@each_notebook
def test_it_begins_with_title_parameters_and_begin(path: Path) -> None:
    first, second, third = cells(path)[:3]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert set(tags(second)) - {"alone", "long"} == {"parameters"}
    assert "notebook.begin(globals())" in third.source
    assert sum("parameters" in tags(cell) for cell in cells(path)) == 1


@each_parameter
def test_a_parameter_is_a_setting_with_its_meaning_and_type(path: Path, one: Any) -> None:
    assert one.name in HINTS
    assert one.comment == Settings.doc(one.name)
    assert one.annotation == type(one.value).__name__
    check_type(one.value, HINTS[one.name], where=path.name)


@each_notebook
def test_no_parameter_is_declared_twice(path: Path) -> None:
    names = [one.name for one in declared(path)]
    assert len(set(names)) == len(names)
    assert names[:2] == ["dataset", "study"]


@each_notebook
def test_it_is_short(path: Path) -> None:
    assert len(cells(path)) <= CELLS
    for cell in cells(path, "code"):
        most = MODEL_LINES if path == MODELS and defined(cell) else LINES
        assert "parameters" in tags(cell) or len(cell.source.splitlines()) <= most, cell.id
        assert cell.source.strip()


def defined(cell: Any) -> list[ast.AST]:
    """What the cell defines: functions and classes."""
    made = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    return [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, made)]


@each_notebook
def test_it_defines_nothing(path: Path) -> None:
    assert path == MODELS or not [cell.id for cell in cells(path, "code") if defined(cell)]


def test_a_cell_that_defines_a_model_does_nothing_else() -> None:
    """One backbone and one teacher, registered, each in a cell of its own."""
    held = [ast.parse(cell.source).body for cell in cells(MODELS, "code") if defined(cell)]
    decorators = []
    for body in held:
        (model,) = body
        assert isinstance(model, ast.ClassDef)
        (decorator,) = model.decorator_list
        assert isinstance(decorator, ast.Call)
        decorators.append(ast.unparse(decorator.func))
    assert decorators == ["register_backbone", "register_teacher"]


@each_notebook
def test_it_runs_no_shell_and_no_magic(path: Path) -> None:
    for cell in cells(path, "code"):
        ast.parse(cell.source)  # ! and % are no Python
        assert "get_ipython" not in cell.source


@each_notebook
def test_it_holds_no_path(path: Path) -> None:
    texts = [n.value for n in nodes(path) if isinstance(n, ast.Constant) and type(n.value) is str]
    found = [one for one in texts if re.search(r"[/\\~]|\.(ipynb|yaml|csv|parquet|npy)$", one)]
    assert found == []


@each_notebook
def test_it_imports_rokkit_alone(path: Path) -> None:
    """And torch, where models are defined."""
    allowed = {"rokkit", "torch"} if path == MODELS else {"rokkit"}
    for node in nodes(path):
        if isinstance(node, ast.Import):
            assert all(name.name.partition(".")[0] in allowed for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] in allowed


@each_notebook
def test_it_claims_something_after_all_else_is_done(path: Path) -> None:
    claims = [cell for cell in cells(path) if "claim" in tags(cell)]
    unchecked = [cell for cell in cells(path, "code") if CHECKED not in tags(cell)]
    assert [cell.id for cell in claims] == [unchecked[-1].id]
    assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(claims[0].source)))


@each_notebook
def test_a_claim_is_about_something_that_was_measured(path: Path) -> None:
    """Kills: claims that hold of whatever the cells before have made, such as counts of seeds."""
    if path in (START, DATA):
        return
    called = {ast.unparse(call.func) for call in calls(claim(path))}
    measured = {"experiments.plausible", "experiments.bases_unchanged"}
    (begun,) = [cell for cell in cells(path, "code") if "parameters" in tags(cell)]
    frozen = "update: str" in begun.source and uses_bases(path)
    assert called & measured or "table.frame" in claim(path)
    assert not frozen or "experiments.bases_unchanged" in called


@each_notebook
def test_it_shows_the_plan_of_its_runs_before_it_runs_them(path: Path) -> None:
    places: dict[str, list[int]] = {"runs": [], "plans": []}
    for place, cell in enumerate(cells(path, "code")):
        for call in calls(cell.source):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            places["runs"] += [place] * (name in RUNS)
            places["plans"] += [place] * (name in PLANS)
    assert bool(places["plans"]) == (path != DATA)
    assert not places["runs"] or min(places["plans"]) <= min(places["runs"])


@each_notebook
def test_it_prints_what_is_checked_and_only_there_output_is_kept(path: Path) -> None:
    checked = [cell for cell in cells(path, "code") if CHECKED in tags(cell)]
    kept = [cell for cell in cells(path, "code") if cell.outputs]
    assert [cell.id for cell in kept] == [cell.id for cell in checked]
    (cell,) = checked
    (output,) = cell.outputs
    assert (output.output_type, output.name) == ("stream", "stdout")
    printed = output.text
    assert len(printed.splitlines()) == cell.source.count("print(")
    assert not re.search(r"\d\.\d*[1-9]|\w[/\\]\w", printed), "a measured number, or a path"


@each_notebook
def test_it_closes_with_the_paper_departures_and_references(path: Path) -> None:
    last = cells(path)[-1]
    closes = last.cell_type == "markdown" and last.source.startswith(CLOSING)
    assert closes == (path != START)
    if closes:
        said = last.source.removeprefix(CLOSING).strip()
        assert "§" in said
        assert "Departures" in said
        assert "](../docs/deviations.md)" in said
        assert re.search(r"^References: \*", said, re.MULTILINE)
        assert len(said.splitlines()) <= 8


@each_notebook
def test_it_says_what_it_asks_and_how_long_that_takes(path: Path) -> None:
    first = cells(path)[0].source
    assert path == START or "?" in first
    assert re.search(r"seconds|minute", first, re.IGNORECASE)
    assert path == START or "](../results/movielens/batch_notebooks.md)" in first


def claim(path: Path) -> str:
    """The source of the claim cell."""
    (cell,) = [cell for cell in cells(path, "code") if "claim" in tags(cell)]
    return str(cell.source)


def calls(source: str) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


def uses_bases(path: Path) -> bool:
    """Whether it trains backbones that use a knowledge base, and holds their reports."""
    held = "\n".join(cell.source for cell in cells(path, "code"))
    return "constructions()" in held and path != FOLDER / "03_knowledge_base.ipynb"


@each_notebook
def test_tags_are_known_ones(path: Path) -> None:
    assert {tag for cell in cells(path) for tag in tags(cell)} <= {
        "parameters",
        "alone",
        "long",
        "claim",
        "nbval-check-output",
    }


@each_notebook
def test_links_lead_somewhere(path: Path) -> None:
    prose = "\n".join(cell.source for cell in cells(path, "markdown"))
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
        assert (path.parent / target).is_file(), target


def test_each_notebook_leads_to_the_next_and_back() -> None:
    for before, after in pairwise(PATHS):
        assert f"Next: [{after.stem}]({after.name})" in cells(before)[0].source
        assert f"Previous: [{before.stem}]({before.name})" in cells(after)[0].source


@each_notebook
def test_no_result_is_typed_into_the_prose(path: Path) -> None:
    for cell in cells(path, "markdown"):
        assert not re.search(r"\b\d\.\d{3}|\d\s?%", cell.source), cell.id


@each_notebook
def test_it_is_listed_in_the_readme(path: Path) -> None:
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert f"[{path.stem}](notebooks/{path.name})" in readme
