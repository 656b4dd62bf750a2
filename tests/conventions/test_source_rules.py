"""rokkit's source: documented, without stray prints, sinks, moves between devices or leftovers."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "rokkit"
FILES = sorted(PACKAGE.rglob("*.py"))
MODELS = sorted((PACKAGE / "models").glob("*.py"))

MAY_PRINT = {"cli.py", "nbfmt.py", "notebook.py", "progress.py"}
# They hand **config to build_config, which refuses what a model does not know.
CHECKED_CONFIG = {
    "models/registry.py create_model",
    "models/aided.py with_extra",
    "knowledge/use.py with_knowledge",
}
# Lines of a file of rokkit/models. GBDT brings its own training, for it has no loop of ours; two
# networks of UBR learn, from losses of their own.
LINES = {"rim.py": 160, "base.py": 160, "gbdt.py": 160, "ubr.py": 160}
MODEL_LINES = 130  # of the others

each_file = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def functions(path: Path) -> list[Function]:
    return [node for node in nodes(path) if isinstance(node, Function)]


def calls(path: Path) -> list[ast.Call]:
    return [node for node in nodes(path) if isinstance(node, ast.Call)]


@each_file
def test_it_prints_only_where_a_person_reads(path: Path) -> None:
    printing = [
        c.lineno for c in calls(path) if isinstance(c.func, ast.Name) and c.func.id == "print"
    ]
    assert not printing or name(path) in MAY_PRINT or name(path).startswith("commands/")


@each_file
def test_it_evaluates_no_text(path: Path) -> None:
    named = {c.func.id for c in calls(path) if isinstance(c.func, ast.Name)}
    assert not named & {"eval", "exec"}


@each_file
def test_it_never_catches_everything_silently(path: Path) -> None:
    handlers = [node for node in nodes(path) if isinstance(node, ast.ExceptHandler)]
    assert all(handler.type is not None for handler in handlers)
    for handler in handlers:
        caught = ast.unparse(handler.type) if handler.type else ""
        assert caught != "BaseException" or any(isinstance(n, ast.Raise) for n in ast.walk(handler))


@each_file
def test_no_default_can_be_changed(path: Path) -> None:
    changeable = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    for function in functions(path):
        for default in [*function.args.defaults, *function.args.kw_defaults]:
            made = isinstance(default, ast.Call) and ast.unparse(default.func) in (
                "list",
                "dict",
                "set",
            )
            assert not isinstance(default, changeable), function.name
            assert not made, function.name


@each_file
def test_nothing_is_left_to_do(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not [word for word in ("TO" + "DO", "FIX" + "ME", "XX" + "X") if word in text]


@each_file
def test_what_is_public_is_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body
    assert list(undocumented(tree)) == []


def undocumented(scope: ast.Module | ast.ClassDef) -> Iterator[str]:
    """Public functions, classes and methods without a docstring."""
    for node in scope.body:
        public = isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_")
        if not public:
            continue
        assert isinstance(node, Function | ast.ClassDef)
        if not ast.get_docstring(node):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{inner}" for inner in undocumented(node))


@pytest.mark.parametrize("package", ["models", "layers", "knowledge", "training"])
def test_no_setting_vanishes_in_a_sink(package: str) -> None:
    """A misspelt keyword has to be an error."""
    found = {
        f"{name(path)} {function.name}"
        for path in (PACKAGE / package).rglob("*.py")
        for function in functions(path)
        if function.args.kwarg is not None
    }
    assert found == {one for one in CHECKED_CONFIG if one.startswith(f"{package}/")}


@pytest.mark.parametrize("package", ["models", "layers"])
def test_models_and_layers_stay_on_the_device_they_are_on(package: str) -> None:
    for path in (PACKAGE / package).rglob("*.py"):
        for call in calls(path):
            if not isinstance(call.func, ast.Attribute):
                continue
            where = f"{name(path)}:{call.lineno}"
            assert call.func.attr not in ("cuda", "cpu", "mps"), where
            if call.func.attr == "to":  # of another type is fine
                assert all(ast.unparse(one).endswith("dtype") for one in call.args), where
                assert not call.keywords, where
            for keyword in call.keywords:  # beside something else is fine
                held = ast.unparse(keyword.value)
                assert keyword.arg != "device" or held.endswith(".device"), where


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_a_model_fits_on_a_few_pages(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LINES.get(path.name, MODEL_LINES)


def test_every_name_is_known_but_those_of_axes() -> None:
    """Ruff's check for undefined names is off for jaxtyping's shapes; here only these may be."""
    words = ["check", "--isolated", "--select", "F821", "--output-format", "json", str(ROOT)]
    found = subprocess.run(
        [sys.executable, "-m", "ruff", *words], capture_output=True, text=True, check=False
    )
    unknown = [
        (one["filename"], one["location"]["row"], one["message"])
        for one in json.loads(found.stdout)
        if one["filename"].endswith(".py")
    ]
    axes = {f"Undefined name `{symbol}`" for symbol in ("B", "N", "n", "E", "V", "G", "_", "")}
    assert unknown
    assert [one for one in unknown if one[2] not in axes] == []
