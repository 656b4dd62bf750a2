"""Where things lie: one place decides, so that notebooks never hold a relative path.

The project root is the nearest folder above the working directory that holds rokkit's
`pyproject.toml`; outside a checkout it is the working directory. `ROKKIT_DATA` and `ROKKIT_RUNS`
move the two folders that grow.
"""

import os
import tomllib
from pathlib import Path


def root() -> Path:
    """The project folder."""
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if _is_project(folder / "pyproject.toml"):
            return folder
    return here


def data_root() -> Path:
    """Raw files and samples. `ROKKIT_DATA`, else `<root>/data`."""
    return Path(os.environ.get("ROKKIT_DATA") or root() / "data")


def runs_root() -> Path:
    """Run folders. `ROKKIT_RUNS`, else `<root>/runs`."""
    return Path(os.environ.get("ROKKIT_RUNS") or root() / "runs")


def results_root() -> Path:
    """Tables. `ROKKIT_RESULTS`, else `<root>/results`."""
    return Path(os.environ.get("ROKKIT_RESULTS") or root() / "results")


def figures_root() -> Path:
    """Figures. `ROKKIT_FIGURES`, else `<root>/figures`."""
    return Path(os.environ.get("ROKKIT_FIGURES") or root() / "figures")


def executed_root() -> Path:
    """Executed notebooks. `ROKKIT_EXECUTED`, else `<root>/executed`."""
    return Path(os.environ.get("ROKKIT_EXECUTED") or root() / "executed")


def exported_root() -> Path:
    """Models to be served. `ROKKIT_EXPORTED`, else `<root>/exported`."""
    return Path(os.environ.get("ROKKIT_EXPORTED") or root() / "exported")


def shown(path: Path) -> str:
    """A path as a person reads it: relative to the project where it lies in it."""
    try:
        return str(path.resolve().relative_to(root()))
    except ValueError:
        return str(path)


def _is_project(pyproject: Path) -> bool:
    if not pyproject.is_file():
        return False
    name = tomllib.loads(pyproject.read_text()).get("project", {}).get("name")
    return bool(name == "rokkit")
