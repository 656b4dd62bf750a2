"""The one form in which notebooks are committed, so that a diff shows what a person changed.

    python -m rokkit.nbfmt notebooks            rewrite
    python -m rokkit.nbfmt --check notebooks    exit code 1 if a notebook is in another form

Cell ids count up from c01. Metadata keep the tags and the kernel's name. Outputs are dropped, but
for cells tagged `nbval-check-output`, which nbval compares with what they print when run; their
execution count is their place among the code cells, because nbval fails a cell with outputs and
no count. Cells that papermill added are dropped.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import nbformat

from rokkit.errors import ConfigError, RokkitError
from rokkit.files import write_text
from rokkit.parameters import own_cells, read_notebook
from rokkit.paths import shown

CHECKED = "nbval-check-output"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def canonical(notebook: Any) -> Any:
    """A copy of `notebook` in its committed form; canonical(canonical(n)) equals canonical(n)."""
    cells = []
    place = 0
    for number, cell in enumerate(own_cells(notebook), start=1):
        code = cell.cell_type == "code"
        place += code
        made: dict[str, Any] = {
            "cell_type": cell.cell_type,
            "id": f"c{number:02d}",
            "metadata": {"tags": _tags(cell)} if _tags(cell) else {},
            "source": cell.source.strip("\n"),
        }
        if code:
            outputs = _outputs(cell, place) if CHECKED in _tags(cell) else []
            made |= {"outputs": outputs, "execution_count": place if outputs else None}
        cells.append(made)
    metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    return nbformat.from_dict(
        {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    )


def text(notebook: Any) -> str:
    """A notebook as it is written to disk."""
    return str(nbformat.writes(notebook, version=nbformat.NO_CONVERT)).rstrip("\n") + "\n"


def changed(paths: Iterable[Path], *, write: bool) -> list[Path]:
    """The notebooks that are not in canonical form; rewritten if `write`."""
    found = []
    for path in paths:
        wanted = text(canonical(read_notebook(path)))
        if path.read_text(encoding="utf-8") != wanted:
            found.append(path)
            if write:
                write_text(path, wanted)
    return found


def notebooks(paths: Iterable[Path]) -> list[Path]:
    """The notebooks at `paths`: files as they are, folders searched (checkpoints left out)."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            held = path.rglob("*.ipynb")
            found += sorted(p for p in held if ".ipynb_checkpoints" not in p.parts)
        elif path.suffix == ".ipynb":
            found.append(path)
        else:
            raise ConfigError(f"{shown(path)} is neither a folder nor a notebook (.ipynb).")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 if all is well."""
    parser = argparse.ArgumentParser(prog="python -m rokkit.nbfmt", description=_FIRST_LINE)
    parser.add_argument("paths", nargs="+", type=Path, help="notebooks, or folders of them")
    parser.add_argument("--check", action="store_true", help="change nothing, exit with 1 instead")
    options = parser.parse_args(argv)
    try:
        found = changed(notebooks(options.paths), write=not options.check)
    except RokkitError as error:
        print(f"nbfmt: {error}", file=sys.stderr)
        return 2
    for path in found:
        print(f"{shown(path)}: {'not canonical' if options.check else 'rewritten'}")
    if found and options.check:
        print(f"run: python -m rokkit.nbfmt {' '.join(shown(path) for path in found)}")
    return 1 if found and options.check else 0


_FIRST_LINE = (__doc__ or "").partition("\n")[0]


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def _outputs(cell: Any, place: int) -> list[dict[str, Any]]:
    """Outputs without what differs from run to run; texts of one stream joined."""
    made: list[dict[str, Any]] = []
    for output in cell.get("outputs", []):
        kind = output.output_type
        if kind == "stream":
            last = made[-1] if made else {}
            if last.get("output_type") == "stream" and last["name"] == output.name:
                last["text"] += output.text
            else:
                made.append({"output_type": kind, "name": output.name, "text": output.text})
        elif kind in ("execute_result", "display_data"):
            data = {"text/plain": output.data.get("text/plain", "")}
            count = {"execution_count": place} if kind == "execute_result" else {}
            made.append({"output_type": kind, "data": data, "metadata": {}, **count})
    return made


if __name__ == "__main__":
    raise SystemExit(main())
