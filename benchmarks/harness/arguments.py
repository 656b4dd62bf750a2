"""The two arguments that every benchmark takes; `rokkit bench` passes them on."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results"


def parser(about: str) -> argparse.ArgumentParser:
    """A parser with `--quick` and `--output`, described by a module's docstring."""
    made = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--quick", action="store_true", help="a size that only shows that it works; nothing is kept"
    )
    made.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where results are kept (default: benchmarks/results; with --quick: nowhere)",
    )
    return made


def parsed(
    made: argparse.ArgumentParser, full: Mapping[str, Any], quick: Mapping[str, Any]
) -> argparse.Namespace:
    """What is asked for; what is not given is taken from `full`, or `quick` with --quick."""
    asked = made.parse_args()
    for name, value in (quick if asked.quick else full).items():
        if getattr(asked, name) is None:
            setattr(asked, name, value)
    return asked


def kept_in(asked: argparse.Namespace) -> Path | None:
    """The folder for results; None if nothing is to be kept."""
    if asked.output is not None or asked.quick:
        folder: Path | None = asked.output
        return folder
    return RESULTS


def size(text: str) -> int:
    """A number of rows: 1000000 or 1e6."""
    return int(float(text))
