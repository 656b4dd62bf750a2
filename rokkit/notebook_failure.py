"""Where and why a notebook failed, read from its executed copy."""

import re
from dataclasses import dataclass
from pathlib import Path

import rokkit
from rokkit.errors import ArtefactError
from rokkit.parameters import own_cells, read_notebook
from rokkit.paths import shown

PACKAGE = Path(rokkit.__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Where and why a notebook failed. Plain texts, so that it crosses processes."""

    cell: int  # from 1, in the notebook as it is committed; 0: in none
    source: str  # first line of that cell
    error: str
    where: str  # last frame inside rokkit, as file:line (function); "" if there is none


def failure_of(copy: Path, error: Exception) -> Failure:
    """What is known of the failure of the notebook whose executed copy is `copy`.

    papermill writes the copy as far as it got. `error` tells what the copy does not, such as a
    kernel that died.
    """
    number, source, text, traceback = 0, "", f"{type(error).__name__}: {error}", ""
    try:
        cells = own_cells(read_notebook(copy))
    except ArtefactError:
        cells = []
    for place, cell in enumerate(cells, start=1):
        errors = [o for o in cell.get("outputs", []) if o.output_type == "error"]
        # A cell whose kernel died is "completed" to papermill; it is the last one that began.
        if errors or cell.metadata.get("papermill", {}).get("start_time"):
            number, source = place, cell.source.partition("\n")[0]
        if errors:
            text = f"{errors[0].ename}: {errors[0].evalue}"
            traceback = "\n".join(errors[0].traceback)
            break
    return Failure(cell=number, source=source, error=text, where=last_frame(traceback))


def last_frame(traceback: str) -> str:
    """The innermost frame inside rokkit of a traceback as IPython prints it; "" if none."""
    found = ""
    for match in _FRAME.finditer(_COLOUR.sub("", traceback)):
        path = Path(match["path"]).expanduser()
        if PACKAGE in path.resolve().parents:
            found = f"{shown(path)}:{match['line']} ({match['function']})"
    return found


_COLOUR = re.compile(r"\x1b\[[0-9;]*[mK]")
_FRAME = re.compile(
    r'^\s*File "?(?P<path>[^"\n]+?)"?(?::|, line )(?P<line>\d+), in (?P<function>\w+)', re.MULTILINE
)
