"""Where runs stand, for their own process and for a watcher in another one.

A run writes `progress.json` into its folder; a call of `Runs` writes how many runs it has left
into `<root>/.status/`. Both are small, written in one piece and at most about once a second.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rokkit.errors import ArtefactError
from rokkit.files import read_json, write_json
from rokkit.paths import runs_root

PROGRESS = "progress.json"
STATUS = ".status"
SECONDS_BETWEEN = 1.0  # between two writes of one file

Fields = dict[str, Any]
Kind = Literal["start", "progress", "done", "cached", "failed"]


@dataclass(frozen=True, kw_only=True)
class RunEvent:
    """Something that happened to one run of a call of `Runs`."""

    kind: Kind
    label: str
    done: int  # runs that are finished by now, cached ones included
    total: int
    seconds: float  # since the call began
    left: float | None = None  # seconds until all are done, estimated; None: nothing to go by
    fields: Fields = field(default_factory=dict)  # epoch, step, metrics, … as training reports them


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a call of `Runs` is at, as a watcher reads it."""

    pid: int
    total: int
    done: int
    cached: int
    failed: int
    running: dict[str, dict[str, Any]]  # folder name -> the last fields of its progress
    seconds: float
    left: float | None


class ProgressFile:
    """A run's progress, as `training.fit` reports it: kept in `progress.json` of its folder.

    It is called after every step, so it passes on and writes at most once a second.
    """

    def __init__(self, folder: Path, also: Callable[[Fields], None] | None = None) -> None:
        self.path = folder / PROGRESS
        self.also = also
        self.written = float("-inf")

    def __call__(self, step: int, steps: int, fields: Fields) -> None:
        """Training has taken `step` of at most `steps`."""
        now = time.monotonic()
        if now - self.written < SECONDS_BETWEEN:
            return
        self.written = now
        held = plain({"step": step, "steps": steps} | fields)
        write_json(self.path, held)
        if self.also is not None:
            self.also(held)


def read_progress(folder: Path) -> dict[str, Any]:
    """The last progress of the run in `folder`; empty if it wrote none."""
    try:
        found = read_json(folder / PROGRESS)
    except ArtefactError:
        return {}
    return found if isinstance(found, dict) else {}


def write_standing(root: Path, name: str, standing: Standing) -> None:
    """Tell watchers about a call of `Runs`."""
    write_json(root / STATUS / f"{name}.json", asdict(standing))


def end_standing(root: Path, name: str) -> None:
    """The call is over."""
    (root / STATUS / f"{name}.json").unlink(missing_ok=True)


def standings(root: Path | None = None) -> list[Standing]:
    """Every call of `Runs` that is going on this machine under `root` (default: `runs_root`).

    Files that a killed process left are removed.
    """
    folder = (root or runs_root()) / STATUS
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            standing = Standing(**read_json(path))
        except (ArtefactError, TypeError):  # being removed, or of another version
            continue
        if _alive(standing.pid):
            found.append(standing)
        else:
            path.unlink(missing_ok=True)
    return found


def plain(fields: Fields) -> dict[str, Any]:
    """`fields` as JSON can hold them: numbers and texts; NaN and the rest are left out."""
    kept: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, (str, bool, int)) or (
            isinstance(value, float) and abs(value) < float("inf")
        ):
            kept[name] = value
    return kept


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's, so it lives
        return True
    return True
