"""Who may import whom: data knows no model, and only experiments knows a run folder."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "rokkit"

# Packages that a package may import, beside the core modules at the top of rokkit.
ALLOWED = {
    "data": set(),
    "retrieval": {"data"},
    "layers": set(),
    "models": {"data", "layers"},
    "evaluation": set(),
    "training": {"data", "retrieval", "layers", "evaluation"},
    "knowledge": {"data", "layers", "models", "training"},
    "serving": {"layers", "data", "models", "knowledge"},
    "experiments": {
        "data",
        "retrieval",
        "layers",
        "models",
        "evaluation",
        "training",
        "knowledge",
        "serving",
    },
}
CORE = {
    "config",
    "errors",
    "files",
    "machine",
    "compiled",
    "prefetch",
    "paths",
    "registry",
}  # what packages share
DOORS = {"cli", "commands", "doctor", "notebook", "overview", "runner"}  # where a person enters
TOOLS = {
    "html_report",
    "nbfmt",
    "notebook_failure",
    "notebook_process",
    "parameters",
    "progress",
}


def imports(path: Path) -> set[str]:
    """Everything that the file imports, a name as `module.name`; in functions as well."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def files(part: str) -> list[Path]:
    """The files of a package or module of rokkit."""
    folder = PACKAGE / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{part}.py"]


def parts(of: str) -> set[str]:
    """The packages and modules of rokkit that one of them imports."""
    own = {name for path in files(of) for name in imports(path) if name.startswith("rokkit.")}
    found = {name.split(".")[1] for name in own} - {of, "__version__"}
    return {
        name for name in found if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()
    }


def test_every_part_of_rokkit_has_its_place() -> None:
    held = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert held - {"__init__"} == set(ALLOWED) | CORE | DOORS | TOOLS


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    assert parts(package) - CORE <= ALLOWED[package]


def test_below_is_an_order() -> None:
    """No two packages import each other, however far around."""
    done: set[str] = set()
    waiting = dict(ALLOWED)
    while waiting:
        free = [name for name, below in waiting.items() if below <= done]
        assert free, f"a circle among {sorted(waiting)}"
        for name in free:
            done.add(name)
            del waiting[name]


@pytest.mark.parametrize("module", sorted(CORE))
def test_the_core_imports_the_core_alone(module: str) -> None:
    assert parts(module) <= CORE


@pytest.mark.parametrize("module", sorted(TOOLS))
def test_what_serves_notebooks_imports_no_package(module: str) -> None:
    assert not parts(module) & set(ALLOWED)


def test_only_doors_import_experiments() -> None:
    everyone = set(ALLOWED) | CORE | DOORS | TOOLS
    assert {part for part in everyone if "experiments" in parts(part)} <= DOORS


def test_only_experiments_and_doors_know_a_run_folder() -> None:
    knowing = {
        path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for path in PACKAGE.rglob("*.py")
        if "rokkit.paths.runs_root" in imports(path)
    }
    assert knowing <= {"experiments"} | DOORS


def test_data_knows_tensors_but_no_networks() -> None:
    using = {path.name for path in files("data") if any(_torch(name) for name in imports(path))}
    assert using == {"batch.py"}
    for path in files("data"):
        assert not any(name.startswith("torch.nn") for name in imports(path)), path


def test_metrics_need_no_torch() -> None:
    for path in files("evaluation"):
        assert not any(_torch(name) for name in imports(path)), path


def test_search_needs_torch_only_where_numba_is_missing() -> None:
    using = {path.name for path in files("retrieval") if any(map(_torch, imports(path)))}
    assert using == {"ragged.py"}
    assert _importers("rokkit.retrieval.ragged") == {"loops.py"}


def test_numba_is_looked_for_before_it_is_needed() -> None:
    using = {path.name for path in PACKAGE.rglob("*.py") if any(map(_numba, imports(path)))}
    assert using == {"machine.py", "compiled.py", "prefetch.py", "kernel.py"}
    kernels = {
        "attended",
        "bootstrap",
        "chain",
        "dice",
        "embedding",
        "neighbour",
        "pairs",
        "products",
        "rectified",
        "recurrence",
        "recurrence_row",
        "self_attention",
        "table",
    }
    users = {"kernel.py"} | {f"{name}_kernel.py" for name in kernels}
    assert _importers("rokkit.compiled") == users
    assert _importers("rokkit.prefetch") == {"kernel.py", "embedding_kernel.py", "table_kernel.py"}
    assert _importers("rokkit.retrieval.kernel") == {"loops.py"}
    assert _importers("rokkit.evaluation.bootstrap_kernel") == {"bootstrap.py"}
    assert _importers("rokkit.layers.attended_kernel") == {"attended.py"}
    assert _importers("rokkit.layers.dice_kernel") == {"dice.py"}
    assert _importers("rokkit.layers.embedding_kernel") == {"embedding.py"}
    assert _importers("rokkit.layers.neighbour_kernel") == {"neighbour_attention.py"}
    assert _importers("rokkit.layers.pairs_kernel") == {"pairs.py"}
    assert _importers("rokkit.layers.products_kernel") == {"products.py"}
    assert _importers("rokkit.serving.chain_kernel") == {"one_row.py"}
    assert _importers("rokkit.layers.rectified_kernel") == {"rectified.py"}
    of_recurrences = {"recurrence_blocks.py", "recurrence_row_kernel.py"}
    assert _importers("rokkit.layers.recurrence_kernel") == of_recurrences
    assert _importers("rokkit.layers.recurrence_row_kernel") == {"recurrence.py"}
    assert _importers("rokkit.layers.self_attention_kernel") == {"self_attention.py"}
    assert _importers("rokkit.layers.recurrence_blocks") == {"recurrence.py"}
    assert _importers("rokkit.training.table_kernel") == {"table_optim.py"}
    assert _importers("rokkit.training.table_optim") == {"optim.py"}


def test_only_the_runner_starts_papermill() -> None:
    using = {p.name for p in PACKAGE.rglob("*.py") if any(_papermill(n) for n in imports(p))}
    assert using == {"notebook_process.py"}


def _importers(module: str) -> set[str]:
    """Names of the files of rokkit that import the module."""
    return {
        path.name
        for path in PACKAGE.rglob("*.py")
        if any(name == module or name.startswith(f"{module}.") for name in imports(path))
    }


def _numba(name: str) -> bool:
    return name.partition(".")[0] in ("numba", "llvmlite")


def _torch(name: str) -> bool:
    return name.partition(".")[0] == "torch"


def _papermill(name: str) -> bool:
    return name.partition(".")[0] == "papermill"
