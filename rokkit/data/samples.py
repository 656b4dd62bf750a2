"""Samples on disk: four parts, one history per user, a schema and a data card."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rokkit.data.schema import Schema
from rokkit.errors import ArtefactError, DataError, RokkitError, unknown_name
from rokkit.files import load_array, read_json, save_array, write_json
from rokkit.paths import shown

if TYPE_CHECKING:
    import pandas as pd

PartName = Literal["pool", "train", "val", "test"]
PARTS: tuple[PartName, ...] = get_args(PartName)
HISTORY_ROWS = "history_rows.npy"


def array_path(folder: Path, part: str, kind: str) -> Path:
    """Where an array of a part lies: `kind` is x, y or time."""
    return folder / f"{part}_{kind}.npy"


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

    def check(self, schema: Schema) -> None:
        """Raise DataError unless there is one slice per user and ids fit the item fields."""
        users, columns = schema.user_field.size, schema.item_columns
        if (
            self.offsets.shape != (users + 1,)
            or self.rows.shape != (self.offsets[-1], len(columns))
            or self.offsets[0] != 0
            or (np.diff(self.offsets) < 0).any()
        ):
            raise DataError(
                f"the history has {len(self.offsets)} offsets and rows of shape {self.rows.shape}; "
                f"they do not fit {users} users and {len(columns)} item fields."
            )
        for place, column in enumerate(columns):
            f, ids = schema.fields[column], self.rows[:, place]
            if ((ids < f.offset) | (ids >= f.stop)).any():
                raise DataError(f"the history holds ids outside field {f.name!r}.")


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

    @property
    def causal(self) -> bool:
        """Whether the pool holds all rows, of which a target may see those before it alone."""
        return bool(self.card.get("causal", False))

    def user_index(self, x: NDArray[np.int32]) -> NDArray[np.int64]:
        """[N]: 0-based users of the rows `x` [N, F], as `History` counts them."""
        schema = self.schema
        return x[:, schema.user_column].astype(np.int64) - schema.user_field.offset

    @property
    def item_tuples(self) -> NDArray[np.int32]:
        """[M, C]: every item tuple that occurs in the log, ascending; negatives are drawn here."""
        return load_array(self.folder / "item_tuples.npy")

    def raw(self, x: NDArray[np.int32]) -> "pd.DataFrame":
        """The rows `x` [N, F] as a person reads them: raw values as texts, null where missing."""
        import pandas as pd  # training needs none of it, and it takes as long to import as torch

        from rokkit.data.raw_values import read_values

        values = read_values(self.folder)
        return pd.DataFrame(
            {f.name: values.reindex(x[:, i]).to_numpy() for i, f in enumerate(self.schema.fields)}
        )


def write_samples(
    folder: Path,
    schema: Schema,
    parts: dict[PartName, Part],
    history: History,
    card: dict[str, Any],
    fingerprint: str,
) -> None:
    """Write everything into `folder` (made by `files.folder_aside`, so whole or not at all).

    Arrays that were put there while they were made stay as they are.
    """
    arrays: dict[Path, NDArray[Any]] = {
        folder / "history_offsets.npy": history.offsets.astype(np.int64, copy=False),
        folder / HISTORY_ROWS: history.rows.astype(np.int32, copy=False),
    }
    for name, part in parts.items():
        arrays[array_path(folder, name, "x")] = part.x.astype(np.int32, copy=False)
        arrays[array_path(folder, name, "y")] = part.y.astype(np.int8, copy=False)
        arrays[array_path(folder, name, "time")] = part.time.astype(np.int64, copy=False)
    for path, array in arrays.items():
        if not path.exists():
            save_array(path, array)
    write_json(folder / "schema.json", schema.to_dict())
    write_json(folder / "card.json", card | {"fingerprint": fingerprint})


def read_samples(folder: Path) -> Samples:
    """Open a samples folder.

    ArtefactError that names the file or part if any is missing, truncated or does not fit the
    others: shapes, id ranges and history offsets are looked at, so a damaged id never reaches an
    embedding table.
    """
    try:
        schema = Schema.from_dict(read_json(folder / "schema.json"))
        card = read_json(folder / "card.json")
        found = {name: _read_part(folder, name, schema) for name in PARTS}
        history = _read_history(folder, schema)
        fingerprint = str(card["fingerprint"])
    except ArtefactError:
        raise
    except (RokkitError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"{shown(folder)} is damaged ({error}). Remove the folder and build again."
        ) from None
    return Samples(
        schema=schema,
        pool=found["pool"],
        train=found["train"],
        val=found["val"],
        test=found["test"],
        history=history,
        card=card,
        fingerprint=fingerprint,
        folder=folder,
    )


def _read_part(folder: Path, name: str, schema: Schema) -> Part:
    x, y, time = (load_array(array_path(folder, name, kind)) for kind in ("x", "y", "time"))
    if not len(x) == len(y) == len(time):
        raise ArtefactError(
            f"{shown(folder)}: part {name!r} has {len(x)} rows, {len(y)} labels and "
            f"{len(time)} times. Remove the folder and build again."
        )
    schema.check_ids(x, f"part {name!r}")
    return Part(x, y, time)


def _read_history(folder: Path, schema: Schema) -> History:
    history = History(load_array(folder / "history_offsets.npy"), load_array(folder / HISTORY_ROWS))
    history.check(schema)
    return history
