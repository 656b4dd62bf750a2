"""Notebooks made in memory, as a person writes them and as papermill leaves them."""

from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def code(source: str, *tags: str, **more: Any) -> Any:
    """A code cell."""
    return new_code_cell(source, metadata={"tags": list(tags)} if tags else {}, **more)


def notebook(*cells: Any, **metadata: Any) -> Any:
    """A notebook of `cells`; a text is a markdown cell."""
    made = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    return new_notebook(cells=made, metadata={"kernelspec": KERNEL, **metadata})


def written(path: Path, *cells: Any, **metadata: Any) -> Path:
    """A notebook of `cells` at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook(*cells, **metadata), path)
    return path


def executed(cell: Any, *, began: bool = True, error: list[str] | None = None) -> Any:
    """`cell` as papermill leaves it; `error` is the traceback of a ValueError."""
    start = "2026-03-04T05:06:06.000000+00:00" if began else None
    cell.metadata["papermill"] = {"status": "completed", "start_time": start}
    if error is not None:
        cell.outputs = [new_output("error", ename="ValueError", evalue="bad", traceback=error)]
    return cell
