"""The stored neighbours of each sample: searched once, read ever after."""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from rokkit.config import require
from rokkit.data.samples import PARTS, Samples
from rokkit.errors import ArtefactError, ConfigError, unknown_name
from rokkit.files import folder_aside, load_array, read_json, save_array, write_json
from rokkit.paths import shown
from rokkit.retrieval.bm25 import FORMAT, BM25Index, Progress, check_k

TARGETS = tuple(name for name in PARTS if name != "pool")


@dataclass(frozen=True)
class Neighbours:
    """The K best pool rows of each of N samples, best first. Arrays are memory-mapped."""

    ids: NDArray[np.int32]  # [N, K] rows of the pool; -1 where fewer than K rows match
    scores: NDArray[np.float32]  # [N, K]; 0 there


def neighbours(
    samples: Samples,
    part: str,
    k: int,
    fields: tuple[str, ...] | None = None,
    progress: Progress | None = None,
) -> Neighbours:
    """The `k` nearest pool rows of every sample of `part` ("train", "val" or "test").

    `fields` are the names of the fields to match on (None: those of the schema); their order does
    not matter. Index and table are kept in the samples' folder, under names made of what they
    depend on, and read from there the next time; processes that ask at once wait for the first.
    `progress(done, total)` is called as samples are answered.

    Nothing but the split in time keeps a sample from what came after it, so the pool itself, whose
    rows would find themselves, is refused (RIM's protocol: no target is in the pool).

    Raises ConfigError for a part or field that does not exist and for a `k` outside 1..pool rows,
    and ArtefactError for stored files that are damaged.
    """
    columns = _check(samples, part, k, fields)
    table = _table_folder(samples, part, k, columns)
    if not table.is_dir():
        table.parent.mkdir(exist_ok=True)
        with FileLock(table.parent / f".{table.name}.lock"):
            if not table.is_dir():  # while this process waited, another may have been at work
                _write_table(samples, part, k, columns, table, progress)
    return _read_table(table, (len(samples.part(part)), k))


def neighbour_meta(
    samples: Samples, part: str, k: int, fields: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """What is known of a stored table: how it was made and what it cost.

    Keys: "format", "part", "k", "fields", "queries", "pool_rows", "build_seconds" (of the index)
    and "search_seconds" (both wall time), "rows_touched" (mean per query).

    Raises ArtefactError if `neighbours` has not been called for it.
    """
    meta = read_json(
        _table_folder(samples, part, k, _check(samples, part, k, fields)) / "meta.json"
    )
    found: dict[str, Any] = meta
    return found


def open_index(samples: Samples, fields: tuple[str, ...] | None = None) -> BM25Index:
    """The index of the pool on `fields` (None: those of the schema), built if it is not stored.

    Raises ConfigError for a field that does not exist and ArtefactError for damaged files.
    """
    return _index(samples, _field_columns(samples, fields))


def _check(samples: Samples, part: str, k: int, fields: tuple[str, ...] | None) -> tuple[int, ...]:
    """The columns to search; ConfigError for what cannot be asked for."""
    if part not in TARGETS:
        raise ConfigError("neighbours: " + unknown_name("part", part, TARGETS))
    check_k(k, len(samples.pool))
    return _field_columns(samples, fields)


def _field_columns(samples: Samples, fields: tuple[str, ...] | None) -> tuple[int, ...]:
    names = samples.schema.retrieval if fields is None else fields
    require(len(names) > 0, "fields", fields, "at least one field")
    require(len(set(names)) == len(names), "fields", fields, "distinct fields")
    return tuple(sorted(samples.schema.column(name) for name in names))


def _key(**parts: Any) -> str:
    text = json.dumps({"format": FORMAT, "engine": "bm25", **parts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _table_folder(samples: Samples, part: str, k: int, columns: tuple[int, ...]) -> Path:
    # The samples' folder stands for their fingerprint, so the key does not hold it.
    key = _key(part=part, k=int(k), columns=columns)
    return samples.folder / "neighbours" / f"{part}-k{k}-{key}"


def _index(samples: Samples, columns: tuple[int, ...]) -> BM25Index:
    folder = samples.folder / "index" / f"bm25-{_key(columns=columns)}"
    if not folder.is_dir():
        folder.parent.mkdir(exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if not folder.is_dir():
                BM25Index.build(samples.pool.x, columns).save(folder)
    index = BM25Index.open(folder)
    if index.n_rows != len(samples.pool) or index.fields != columns:
        raise ArtefactError(
            f"{shown(folder)} indexes {index.n_rows} rows on columns {index.fields}; expected "
            f"{len(samples.pool)} rows on {columns}. Remove the folder and run again."
        )
    return index


def _write_table(
    samples: Samples,
    part: str,
    k: int,
    columns: tuple[int, ...],
    folder: Path,
    progress: Progress | None,
) -> None:
    index = _index(samples, columns)
    q = samples.part(part).x
    begun = time.perf_counter()
    ids, scores, touched = index.search_with_effort(q, k, progress=progress)
    meta = {
        "format": FORMAT,
        "part": part,
        "k": int(k),
        "fields": [samples.schema.fields[c].name for c in columns],
        "queries": len(q),
        "pool_rows": index.n_rows,
        "build_seconds": index.build_seconds,
        "search_seconds": time.perf_counter() - begun,
        "rows_touched": float(touched.mean()) if len(q) else 0.0,
    }
    with folder_aside(folder) as draft:
        save_array(draft / "ids.npy", ids)
        save_array(draft / "scores.npy", scores)
        write_json(draft / "meta.json", meta)


def _read_table(folder: Path, shape: tuple[int, int]) -> Neighbours:
    ids, scores = load_array(folder / "ids.npy"), load_array(folder / "scores.npy")
    for name, array, dtype in (("ids", ids, np.int32), ("scores", scores, np.float32)):
        if array.shape != shape or array.dtype != dtype:
            raise ArtefactError(
                f"{shown(folder)}/{name}.npy is {array.dtype} {array.shape}; expected "
                f"{np.dtype(dtype)} {shape}. Remove the folder and run again."
            )
    return Neighbours(ids, scores)
