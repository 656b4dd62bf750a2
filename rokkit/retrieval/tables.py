"""Tables of neighbours on disk, whichever engine filled them: what may be asked, kept and read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rokkit.config import require
from rokkit.data.samples import PARTS, Samples
from rokkit.errors import ArtefactError, ConfigError, DataError, unknown_name
from rokkit.files import folder_aside, load_array, made_once, save_array, write_json
from rokkit.paths import shown

TARGETS = tuple(name for name in PARTS if name != "pool")

# ids [N, K], scores [N, K] and what is worth knowing of the search
Answer = tuple[NDArray[np.int32], NDArray[np.float32], dict[str, Any]]


@dataclass(frozen=True)
class Neighbours:
    """The K best pool rows of each of N samples, best first. Arrays are memory-mapped."""

    ids: NDArray[np.int32]  # [N, K] rows of the pool; -1 where fewer than K rows match
    scores: NDArray[np.float32]  # [N, K]; 0 there

    def followed_by(self, other: "Neighbours") -> "Neighbours":
        """Those of these samples and then those of `other`, of the same K; copies in memory."""
        return Neighbours(
            np.concatenate([self.ids, other.ids]), np.concatenate([self.scores, other.scores])
        )


def check_target(part: str) -> None:
    """ConfigError unless `part` may be searched for as a whole."""
    if part not in TARGETS:
        raise ConfigError("neighbours: " + unknown_name("part", part, TARGETS))


def check_pool_rows(rows: NDArray[np.int64], k: int, pool: int) -> NDArray[np.int64]:
    """[P]: `rows` of a pool of `pool` rows, as int64.

    ConfigError for a `k` that leaves nothing out, DataError for rows that the pool does not have.
    """
    require(k < pool, "k", k, f"at most {pool - 1}, the pool's rows but for the one searched for")
    rows = np.ascontiguousarray(rows, np.int64)
    if rows.ndim != 1 or (rows.size and not 0 <= rows.min() <= rows.max() < pool):
        raise DataError(f"rows are {rows}; expected numbers of the pool's {pool} rows.")
    return rows


def field_columns(samples: Samples, fields: tuple[str, ...] | None) -> tuple[int, ...]:
    """Columns of the fields called `fields` (None: those of the schema), ascending.

    ConfigError for none, for one given twice and for one that does not exist.
    """
    names = samples.schema.retrieval if fields is None else fields
    require(len(names) > 0, "fields", fields, "at least one field")
    require(len(set(names)) == len(names), "fields", fields, "distinct fields")
    return tuple(sorted(samples.schema.column(name) for name in names))


def without_itself(
    ids: NDArray[np.int32], scores: NDArray[np.float32], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Each answer [P, k + 1] without `rows`, or without its last where k equal rows lie earlier."""
    kept = np.argsort(ids == rows[:, None], axis=1, kind="stable")[:, :-1]
    return np.take_along_axis(ids, kept, 1), np.take_along_axis(scores, kept, 1)


def stored(folder: Path, shape: tuple[int, int], search: Callable[[], Answer]) -> Neighbours:
    """The table of `shape` in `folder`, searched for first if it is not there yet.

    ArtefactError if what is there does not fit.
    """

    def make() -> None:
        ids, scores, meta = search()
        with folder_aside(folder) as draft:
            save_array(draft / "ids.npy", ids)
            save_array(draft / "scores.npy", scores)
            write_json(draft / "meta.json", meta)

    made_once(folder, make)
    ids, scores = load_array(folder / "ids.npy"), load_array(folder / "scores.npy")
    for name, array, dtype in (("ids", ids, np.int32), ("scores", scores, np.float32)):
        if array.shape != shape or array.dtype != dtype:
            raise ArtefactError(
                f"{shown(folder)}/{name}.npy is {array.dtype} {array.shape}; expected "
                f"{np.dtype(dtype)} {shape}. Remove the folder and run again."
            )
    return Neighbours(ids, scores)
