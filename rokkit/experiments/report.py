"""What a finished run left behind, and the layout of its folder.

spec.json          the spec, what its key covers, the key
report.json        metrics of val and test, timings, parameter counts, versions, device
history.csv        one row per evaluation while training
predictions.npy    float32 [N_test] click probabilities (`predictions_val.npy`: of val)
best.safetensors   weights of the best evaluation
DONE               written last: the files above with their sizes
progress.json      where a run that is going stands
last.pt            checkpoint of a run that is going or was killed
traceback.txt      why a run failed
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rokkit.errors import ArtefactError
from rokkit.experiments.spec import RunSpec, hash_of
from rokkit.files import load_array, read_json, write_json
from rokkit.paths import shown

SPEC = "spec.json"
REPORT = "report.json"
HISTORY = "history.csv"
PREDICTIONS = {"test": "predictions.npy", "val": "predictions_val.npy"}
WEIGHTS = "best.safetensors"
DONE = "DONE"
CHECKPOINT = "last.pt"
TRACEBACK = "traceback.txt"


@dataclass(frozen=True)
class Report:
    """A finished run."""

    spec: RunSpec
    key: str
    folder: Path
    metrics: dict[str, dict[str, float]]  # by part, "val" and "test"
    timings: dict[str, float]  # seconds: retrieval, teacher, construct, train, predict, total
    parameters: dict[str, int]  # table, dense, total, trainable
    details: dict[str, Any]  # epochs, versions, device, …: the rest of report.json
    cached: bool  # read, not computed by the call that returned it
    processor: dict[str, float] = field(default_factory=dict)  # as timings, of its own threads

    @property
    def label(self) -> str:
        """The run's short name."""
        return self.spec.label

    def predictions(self, part: str = "test") -> NDArray[np.float32]:
        """[N] click probabilities of `part`; ArtefactError for a construction, which has none."""
        if part not in PREDICTIONS or self.spec.model is None:
            raise ArtefactError(
                f"{shown(self.folder)} holds no predictions of {part!r}; models predict "
                f"{' and '.join(PREDICTIONS)}."
            )
        return load_array(self.folder / PREDICTIONS[part])

    def history(self) -> list[dict[str, float]]:
        """One mapping per evaluation while training; an empty cell is left out."""
        path = self.folder / HISTORY
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                rows = list(csv.DictReader(stream))
            return [{name: float(cell) for name, cell in row.items() if cell} for row in rows]
        except (OSError, ValueError, TypeError) as error:
            raise ArtefactError(
                f"{shown(path)} is damaged ({error}). {remedy(self.folder)}"
            ) from None


def seal(folder: Path) -> None:
    """Write DONE: from here on the run counts as finished."""
    files = sorted(p for p in folder.iterdir() if p.name in _KEPT)
    write_json(folder / DONE, {"files": {p.name: p.stat().st_size for p in files}})


def is_done(folder: Path) -> bool:
    """Whether the run in `folder` is finished."""
    return (folder / DONE).is_file()


def read_report(folder: Path, spec: RunSpec, fingerprint: str, *, cached: bool) -> Report:
    """The report of the finished run in `folder`.

    Raises ArtefactError that names the file if one is missing, truncated or damaged, or if the
    folder holds another run than its name says. Nothing is deleted.
    """
    held = read_json(folder / DONE)
    if not isinstance(held, dict) or not isinstance(held.get("files"), dict):
        raise ArtefactError(f"{shown(folder / DONE)} lists no files. {remedy(folder)}")
    for name, size in held["files"].items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            state = "is missing" if found is None else f"has {found} bytes, {size} were written"
            raise ArtefactError(f"{shown(path)} {state}. {remedy(folder)}")
    written = read_json(folder / SPEC)
    key = spec.key(fingerprint)
    if written.get("key") != key or hash_of(written.get("covers")) != key:
        raise ArtefactError(
            f"{shown(folder / SPEC)} is not the spec of key {key[:12]}: it was changed, or the "
            f"folder was renamed. {remedy(folder)}"
        )
    values = read_json(folder / REPORT)
    try:
        return Report(
            spec=spec,
            key=key,
            folder=folder,
            metrics=values.pop("metrics"),
            timings=values.pop("timings"),
            processor=values.pop("processor", {}),
            parameters=values.pop("parameters"),
            details=values,
            cached=cached,
        )
    except KeyError as error:
        raise ArtefactError(f"{shown(folder / REPORT)} has no {error}. {remedy(folder)}") from None


def write_spec(folder: Path, spec: RunSpec, fingerprint: str) -> None:
    """Write spec.json: readable by a person, checked when the run is read."""
    covers = spec.resolved(fingerprint)
    values = {"key": hash_of(covers), "covers": covers, "spec": spec.to_dict()}
    write_json(folder / SPEC, values | {"label": spec.label})


def remedy(folder: Path) -> str:
    """How to get rid of a broken run folder."""
    return f"Remove the run (rm -r {shown(folder)}) or ask for it with --force, and run again."


_KEPT = {SPEC, REPORT, HISTORY, WEIGHTS, *PREDICTIONS.values()}
