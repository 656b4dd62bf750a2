"""Samples on disk: four parts, one history per user, a schema and a data card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rokkit.data.schema import Schema
from rokkit.errors import ArtefactError, unknown_name
from rokkit.files import load_array, read_json, save_array, write_json
from rokkit.paths import shown

PartName = Literal["pool", "train", "val", "test"]
PARTS: tuple[PartName, ...] = get_args(PartName)


@dataclass(frozen=True)
class Part:
    """One part of a data set; N rows in time order of their events where the source says so."""

    x: NDArray[np.int32]  # [N, F] global ids
    y: NDArray[np.int8]  # [N] labels, 0 or 1
    time: NDArray[np.int64]  # [N] time of the event (a negative carries its positive's)

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class History:
    """Pool positives of each user, oldest first, stored once per user."""

    offsets: NDArray[np.int64]  # [U + 1]; user u (0-based) owns rows offsets[u]:offsets[u + 1]
    rows: NDArray[np.int32]  # [M, C] item tuples, global ids

    def of(self, user: int) -> NDArray[np.int32]:
        """[n, C]: the behaviours of the 0-based `user`."""
        return self.rows[self.offsets[user] : self.offsets[user + 1]]


@dataclass(frozen=True)
class Samples:
    """A data set, ready for retrieval and training. Arrays are memory-mapped."""

    schema: Schema
    pool: Part
    train: Part
    val: Part
    test: Part
    history: History
    card: dict[str, Any]  # the data card: counts, spans, what was dropped and why, notes
    fingerprint: str  # of the raw files, the options and the format
    folder: Path

    def part(self, name: str) -> Part:
        """The part called `name`."""
        if name not in PARTS:
            raise ArtefactError(unknown_name("part", name, PARTS))
        found: Part = getattr(self, name)
        return found

    def user_index(self, x: NDArray[np.int32]) -> NDArray[np.int64]:
        """[N]: 0-based users of the rows `x` [N, F], as `History` counts them."""
        schema = self.schema
        return x[:, schema.user_column].astype(np.int64) - schema.user_field.offset


def write_samples(
    folder: Path,
    schema: Schema,
    parts: dict[PartName, Part],
    history: History,
    card: dict[str, Any],
    fingerprint: str,
) -> None:
    """Write everything into `folder` (made by `files.folder_aside`, so whole or not at all)."""
    for name, part in parts.items():
        save_array(folder / f"{name}_x.npy", part.x.astype(np.int32, copy=False))
        save_array(folder / f"{name}_y.npy", part.y.astype(np.int8, copy=False))
        save_array(folder / f"{name}_time.npy", part.time.astype(np.int64, copy=False))
    save_array(folder / "history_offsets.npy", history.offsets.astype(np.int64, copy=False))
    save_array(folder / "history_rows.npy", history.rows.astype(np.int32, copy=False))
    write_json(folder / "schema.json", schema.to_dict())
    write_json(folder / "card.json", card | {"fingerprint": fingerprint})


def read_samples(folder: Path) -> Samples:
    """Open a samples folder; ArtefactError that names the file if any is missing or truncated."""
    schema = Schema.from_dict(read_json(folder / "schema.json"))
    card = read_json(folder / "card.json")
    found = {}
    for name in PARTS:
        x, y, time = (load_array(folder / f"{name}_{k}.npy") for k in ("x", "y", "time"))
        if not len(x) == len(y) == len(time):
            raise ArtefactError(
                f"{shown(folder)}: part {name!r} has {len(x)} rows, {len(y)} labels and "
                f"{len(time)} times. Remove the folder and build again."
            )
        found[name] = Part(x, y, time)
    offsets = load_array(folder / "history_offsets.npy")
    history = History(offsets, load_array(folder / "history_rows.npy"))
    return Samples(schema, *(found[p] for p in PARTS), history, card, card["fingerprint"], folder)
