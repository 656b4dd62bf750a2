"""The notebooks of the project, and where each stands in a study."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from rokkit.errors import ArtefactError
from rokkit.parameters import own_cells, read_notebook
from rokkit.paths import executed_root, root

COUNTED = re.compile(r"^\d+ runs: (\d+) read, (\d+) executed$", re.MULTILINE)


def notebooks_folder() -> Path:
    """Where the notebooks lie."""
    return root() / "notebooks"


def overview(study: str) -> pd.DataFrame:
    """Columns notebook, about, state, executed: a row per notebook of the project.

    State, from the executed copy that `rokkit run` keeps: "fresh"; "stale", the notebook was
    changed since; "failed"; "running or stopped"; "never run".
    """
    rows = []
    for path in sorted(notebooks_folder().glob("*.ipynb")):
        held = read_notebook(path)
        state, when = standing(held, executed_root() / study / path.name)
        rows.append((path.stem, title(held), state, when))
    return pd.DataFrame(rows, columns=["notebook", "about", "state", "executed"])


def standing(held: Any, copy: Path) -> tuple[str, str]:
    """(state, time of the execution) of the notebook `held`, whose executed copy is `copy`."""
    try:
        executed = read_notebook(copy)
    except ArtefactError:
        return "never run", ""
    about = executed.metadata.get("papermill", {})
    end = about.get("end_time")
    when = f"{datetime.fromisoformat(end).astimezone():%Y-%m-%d %H:%M}" if end else ""
    if not end:
        return "running or stopped", when
    if about.get("exception") or any(_cut_short(cell) for cell in own_cells(executed)):
        return "failed", when
    return ("fresh" if _sources(executed) == _sources(held) else "stale"), when


def counted(read: int, executed: int) -> str:
    """The line by which a notebook tells of its runs; `runs_of` reads it again."""
    return f"{read + executed} runs: {read} read, {executed} executed"


def runs_of(copy: Path) -> tuple[int, int]:
    """Runs that an executed notebook read and executed, as its cells say; zeros without a copy."""
    try:
        held = read_notebook(copy)
    except ArtefactError:
        return 0, 0
    outputs = [output for cell in held.cells for output in cell.get("outputs", [])]
    texts = [output.text for output in outputs if output.output_type == "stream"]
    found = [match.groups() for text in texts for match in COUNTED.finditer(text)]
    return sum(int(read) for read, _ in found), sum(int(done) for _, done in found)


def title(held: Any) -> str:
    """The first heading of a notebook."""
    for cell in held.cells:
        match = re.search(r"^#+\s+(.+)$", cell.source, re.MULTILINE)
        if cell.cell_type == "markdown" and match:
            return match.group(1).strip()
    return ""


def _cut_short(cell: Any) -> bool:
    """Whether the kernel died in this cell or before it; papermill notes no exception then."""
    began = cell.metadata.get("papermill", {}).get("start_time", "not told")
    times = cell.metadata.get("execution", {})
    return began is None or bool(times and "shell.execute_reply" not in times)


def _sources(held: Any) -> list[str]:
    return [cell.source for cell in own_cells(held)]
