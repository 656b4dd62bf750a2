"""The source of models that rokkit does not own: a module's class, a cell's cell, and their key."""

import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from small_study import spec

from rokkit.experiments import KnowledgeSpec, ModelSpec, RunSpec
from rokkit.experiments.foreign import foreign_sources, source_of
from rokkit.models import MODELS, list_models
from rokkit.notebook_process import execute_notebook

CELL = """
@register_backbone("own", config=BackboneConfig)
class Own(LR):
    def forward(self, batch, embedding, extra=None):
        return super().forward(batch, embedding, extra) * 1.0
"""
TEACHER = """
@register_teacher("own", config=RIMConfig)
class Own(RIM):
    def aggregate(self, batch, embedding):
        return super().aggregate(batch, embedding) * 1.0
"""
IMPORTS = """
from rokkit.models import BackboneConfig, HeadConfig, register_backbone, register_teacher
from rokkit.models.lr import LR
from rokkit.models.rim import RIM, RIMConfig
"""


@pytest.fixture
def run_cell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Runs a text as a kernel runs a cell: in __main__, which has no file, from a made-up one."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    before = set(list_models())
    names: dict[str, Any] = {"__name__": "__main__"}
    made: list[str] = []

    def run(text: str) -> dict[str, Any]:
        file = f"ipykernel_1/{hash(text)}.py"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        made.append(file)
        exec(compile(text, file, "exec"), names)
        return names

    run(IMPORTS)
    yield run
    for name in set(list_models()) - before:
        MODELS.remove(name)
    for file in made:
        linecache.cache.pop(file, None)


def own(**knowledge: Any) -> RunSpec:
    return replace(spec("LR"), model=ModelSpec.of("own"), **knowledge)


def test_the_source_of_a_class_of_a_module_is_its_own() -> None:
    text = source_of(KnowledgeSpec)
    assert text.startswith("@dataclass(frozen=True, kw_only=True)\nclass KnowledgeSpec:")
    assert "class RunSpec" not in text


def test_the_source_of_a_class_of_a_cell_is_the_cell(run_cell: Callable[[str], Any]) -> None:
    text = "SCALE = 2\n" + CELL
    assert source_of(run_cell(text)["Own"]) == text
    shown = CELL.replace("def forward", "@property\n    def forward")
    assert source_of(run_cell(shown)["Own"]) == shown


def test_a_class_without_a_text_has_none() -> None:
    assert source_of(type("Typed", (), {"__module__": "__main__", "width": 3})) == ""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(IMPORTS + CELL.replace('"own"', '"prompted"'), names)
    try:
        assert source_of(names["Own"]) == ""
        assert foreign_sources("prompted") == []
    finally:
        MODELS.remove("prompted")


def test_an_edited_cell_is_another_run_and_the_old_text_the_old_one(
    run_cell: Callable[[str], Any],
) -> None:
    """Kills: results of the class as it was before the reader changed it."""
    run_cell(CELL)
    before = own().key("f")
    run_cell(CELL.replace("1.0", "2.0"))
    assert own().key("f") != before
    run_cell(CELL)
    assert own().key("f") == before


def test_an_edited_teacher_is_another_knowledge_base_and_another_user(
    run_cell: Callable[[str], Any],
) -> None:
    run_cell(TEACHER)
    user = spec("MLP+ROK", teacher="own")
    construction, plain = user.parents()[0], spec("MLP")
    keys = [one.key("f") for one in (user, construction, plain)]
    run_cell(TEACHER.replace("1.0", "2.0"))
    again = [one.key("f") for one in (user, construction, plain)]
    assert [a == b for a, b in zip(keys, again, strict=True)] == [False, False, True]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("class Base(LR):\n    def twice(self, x):\n        return 2 * x\n", "2 * x"),
        (
            "from dataclasses import dataclass\n"
            "@dataclass(frozen=True, kw_only=True)\n"
            "class Settings(BackboneConfig):\n"
            "    def twice(self, x):\n"
            "        return 2 * x\n",
            "2 * x",
        ),
    ],
    ids=["base", "config"],
)
def test_what_a_class_inherits_from_other_cells_and_its_settings_count(
    before: str, after: str, run_cell: Callable[[str], Any]
) -> None:
    used = CELL.replace("(LR)", "(Base)") if "Base(LR)" in before else CELL
    used = used.replace("=BackboneConfig", "=Settings") if "Settings" in before else used
    keys = []
    for text in (before, before.replace(after, "3 * x")):
        run_cell(text)
        run_cell(used)
        keys.append(own().key("f"))
        assert foreign_sources("own") == [used, text]
    assert keys[0] != keys[1]


@pytest.mark.parametrize("name", ["lr", "rim", "gbdt"])
def test_of_rokkits_own_models_nothing_is_covered(name: str) -> None:
    assert foreign_sources(name) == []


def test_a_kernel_keeps_the_text_of_its_cells(tmp_path: Path) -> None:
    """The keys of a model in a real kernel, defined, changed, and changed back."""
    key = """
        from rokkit.experiments import DataSpec, ModelSpec, RunSpec
        print(RunSpec(data=DataSpec.of("made"), model=ModelSpec.of("own")).key("f"))
    """
    cells = [IMPORTS, CELL, key, CELL.replace("1.0", "2.0"), key, CELL, key]
    made = [nbformat.v4.new_code_cell(textwrap.dedent(text).strip()) for text in cells]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "own.ipynb")
    copy = tmp_path / "copy.ipynb"
    assert execute_notebook(tmp_path / "own.ipynb", copy, {}, lambda cell, cells: None) is None
    outputs = [c.outputs[0].text for c in nbformat.read(copy, as_version=4).cells if c.outputs]
    first, second, third = outputs
    assert first == third != second
