"""A saved index: a folder of flat arrays and `meta.json`, which opens without being read."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rokkit.config import build
from rokkit.errors import ArtefactError, ConfigError
from rokkit.files import folder_aside, load_array, read_json, save_array, write_json
from rokkit.paths import shown
from rokkit.retrieval.segment import Segment, Slot

FORMAT = 2  # of the folder


@dataclass(frozen=True, kw_only=True)
class _Meta:
    """`meta.json` of a saved index."""

    format: int
    rows: int
    columns: int
    words: int
    lists: int
    postings: int
    build_seconds: float
    slots: tuple[Slot, ...]


def write_index(folder: Path, segment: Segment, columns: int, build_seconds: float) -> None:
    """Write the index of a pool of `columns` columns to `folder`, whole or not at all."""
    meta = _Meta(
        format=FORMAT,
        rows=len(segment),
        columns=columns,
        words=segment.rows.shape[1],
        lists=len(segment.weights),
        postings=len(segment.postings),
        build_seconds=build_seconds,
        slots=segment.slots,
    )
    with folder_aside(folder) as draft:
        for name, array in segment.arrays.items():
            save_array(draft / f"{name}.npy", array)
        write_json(draft / "meta.json", asdict(meta))


def check_free(folder: Path) -> None:
    """ConfigError if `folder` holds something already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{shown(folder)} exists. Remove it or name another folder.")


def read_index(folder: Path) -> tuple[Segment, int, float]:
    """(segment, columns, build_seconds) as written; the arrays are memory-mapped and not read.

    Raises ArtefactError that names the file if one is missing, truncated or of another format.
    """
    meta = _read_meta(folder / "meta.json")
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "starts": ((meta.lists + 1,), np.int64),
        "weights": ((meta.lists,), np.float64),
        "postings": ((meta.postings,), np.int32),
        "hints": ((meta.postings,), np.uint32),
        "rows": ((meta.rows, meta.words), np.uint64),
    }
    arrays: dict[str, NDArray[Any]] = {}
    for name, (shape, dtype) in shapes.items():
        arrays[name] = load_array(folder / f"{name}.npy")
        if arrays[name].shape != shape or arrays[name].dtype != dtype:
            raise ArtefactError(
                f"{shown(folder / name)}.npy is {arrays[name].dtype} {arrays[name].shape}; "
                f"expected {np.dtype(dtype)} {shape}. Remove its folder and run again."
            )
    if arrays["starts"][-1] != meta.postings:
        raise ArtefactError(
            f"{shown(folder)}: starts.npy counts {arrays['starts'][-1]} postings; "
            f"expected {meta.postings}. Remove the folder and run again."
        )
    return Segment(slots=meta.slots, **arrays), meta.columns, meta.build_seconds


def _read_meta(path: Path) -> _Meta:
    values = read_json(path)
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise ArtefactError(
            f"{shown(path)} has format {found}; this version reads {FORMAT}. "
            "Remove its folder and run again."
        )
    try:
        return build(_Meta, values, where=shown(path))
    except (ConfigError, TypeError) as error:
        raise ArtefactError(
            f"{shown(path)} is damaged ({error}). Remove its folder and run again."
        ) from None
