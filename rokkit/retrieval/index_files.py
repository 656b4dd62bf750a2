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

FORMAT = 1  # of the folder, and of what a search answers
LEFT_OUT_IF_EMPTY = ("grouped",)


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
    grouped: int = 0  # rows stored again; folders from before rows could be grouped do not say
    grouped_slot: int = -1


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
        grouped=len(segment.grouped),
        grouped_slot=segment.grouped_slot,
    )
    with folder_aside(folder) as draft:
        for name, array in segment.arrays.items():
            if len(array) or name not in LEFT_OUT_IF_EMPTY:
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
        "rows": ((meta.rows, meta.words), np.uint64),
        "grouped": ((meta.grouped, meta.words), np.uint64),
    }
    arrays: dict[str, NDArray[Any]] = {}
    for name, (shape, dtype) in shapes.items():
        if name in LEFT_OUT_IF_EMPTY and not shape[0]:
            arrays[name] = np.empty(shape, dtype)
            continue
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
    _check_grouped(folder, meta, arrays["starts"])
    segment = Segment(slots=meta.slots, grouped_slot=meta.grouped_slot, **arrays)
    return segment, meta.columns, meta.build_seconds


def _check_grouped(folder: Path, meta: _Meta, starts: NDArray[np.int64]) -> None:
    """ArtefactError unless as many rows are grouped as the lists of their slot hold."""
    expected = 0
    if 0 <= meta.grouped_slot < len(meta.slots):
        in_lists = meta.slots[meta.grouped_slot].held(starts)
        expected = in_lists.stop - in_lists.start
    if meta.grouped != expected or not -1 <= meta.grouped_slot < len(meta.slots):
        raise ArtefactError(
            f"{shown(folder)}/meta.json says {meta.grouped} rows are grouped by slot "
            f"{meta.grouped_slot}, whose lists hold {expected}. Remove the folder and run again."
        )


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
