"""The profile of a data set: how cold its targets are, and what two scores without a model know.

Some of an event log's negatives are drawn from the user's own history, the others evenly over item
tuples. Whether the item is in the history, and how often it occurs in the pool, therefore say
something about the label before anything is trained. Here are the counts; the AUCs are made of
them where metrics may be imported.

An item is a value of the first field of the item tuple.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rokkit.config import build, require
from rokkit.data.samples import Part, PartName, Samples
from rokkit.data.schema import Schema
from rokkit.errors import ArtefactError, RokkitError
from rokkit.files import read_json, slices, write_json
from rokkit.paths import shown

FORMAT = 1  # raise it when the same samples would give another profile
CHUNK = 4_000_000  # rows in memory at a time; parts are memory-mapped and may be far longer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many samples, and how many of them are positives."""

    samples: int
    positives: int

    def __post_init__(self) -> None:
        fits = 0 <= self.positives <= self.samples
        require(fits, "positives", self.positives, f"0 to {self.samples}, the samples")

    @property
    def negatives(self) -> int:
        """Samples with label 0."""
        return self.samples - self.positives


@dataclass(frozen=True, kw_only=True)
class PartProfile:
    """What is known of the users and items of one part's samples, in counts of these samples.

    Rows of the pool include sampled negatives, which reach nearly every item; an item without a
    positive is one that nobody was seen with. Rows of train are those that were kept.
    """

    total: Tally
    user_not_in_pool: Tally  # the user has no row in the pool
    user_not_in_pool_or_train: Tally  # nor one in train
    user_without_positive: Tally  # no positive in the pool
    item_not_in_pool: Tally  # the item has no row in the pool
    item_not_in_pool_or_train: Tally
    item_without_positive: Tally
    seen_before: Tally  # the item is in the user's history
    popularity: tuple[tuple[int, int, int], ...]
    # (pool positives of the item, positives, negatives), by ascending popularity

    def __post_init__(self) -> None:
        total = self.total
        for f in fields(self):
            one = getattr(self, f.name)
            if isinstance(one, Tally):
                fits = one.positives <= total.positives and one.negatives <= total.negatives
                require(fits, f.name, one, f"at most {total}")
        sums = tuple(sum(group[i] for group in self.popularity) for i in (1, 2))
        expected = (total.positives, total.negatives)
        require(sums == expected, "popularity's positives and negatives", sums, f"{expected}")

    def shares(self, some: Tally) -> tuple[float, float, float]:
        """`some`, a count of this part, as shares of its samples, positives and negatives.

        NaN for a label that the part does not hold.
        """
        pairs = (
            (some.samples, self.total.samples),
            (some.positives, self.total.positives),
            (some.negatives, self.total.negatives),
        )
        shares = [n / of if of else float("nan") for n, of in pairs]
        return shares[0], shares[1], shares[2]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The profile of the samples with this fingerprint."""

    fingerprint: str
    format: int
    val: PartProfile
    test: PartProfile


def profile(samples: Samples) -> Profile:
    """The profile of `samples`; measured once, then read from `profile.json` in their folder.

    A file that is damaged, of another format or of other samples is measured anew. Where the folder
    cannot be written to, the profile is measured at every call.
    """
    path = samples.folder / "profile.json"
    held = _read(path)
    if held and (held.fingerprint, held.format) == (samples.fingerprint, FORMAT):
        return held
    logger.info("measuring the profile of %s", shown(samples.folder))
    measured = measure(samples)
    if samples.folder.is_dir():
        try:
            write_json(path, asdict(measured))
        except (OSError, ArtefactError) as error:
            logger.warning("the profile was not kept: %s", error)
    return measured


def measure(samples: Samples) -> Profile:
    """The profile of `samples`, counted: a pass over the pool, and one over each other part."""
    columns = (samples.schema.user_column, samples.schema.item_columns[0])
    pool = value_counts(samples.schema, samples.pool, columns)
    train = value_counts(samples.schema, samples.train, columns)
    return Profile(
        fingerprint=samples.fingerprint,
        format=FORMAT,
        val=_measure_part(samples, "val", pool, train),
        test=_measure_part(samples, "test", pool, train),
    )


@dataclass(frozen=True)
class Counts:
    """How often each of the S values of a field occurs in a part, in the order of their ids."""

    rows: NDArray[np.int64]  # [S]
    positives: NDArray[np.int64]  # [S] in rows with label 1


def value_counts(schema: Schema, part: Part, columns: Sequence[int]) -> list[Counts]:
    """How often each value of the fields at `columns` occurs in `part`, in one pass by slices."""
    found = [
        Counts(*(np.zeros(schema.fields[column].size, np.int64) for _ in range(2)))
        for column in columns
    ]
    for rows in slices(len(part), CHUNK):
        x, positive = part.x[rows], part.y[rows] == 1
        for column, counts in zip(columns, found, strict=True):
            field = schema.fields[column]
            values = x[:, column] - field.offset
            counts.rows[:] += np.bincount(values, minlength=field.size)
            counts.positives[:] += np.bincount(values[positive], minlength=field.size)
    return found


def seen_before(samples: Samples, part: Part) -> NDArray[np.bool_]:
    """[N]: whether the item of each row of `part` is in its user's history.

    Histories are looked through by slices of users.
    """
    column = samples.schema.item_columns[0]
    item = samples.schema.fields[column]
    offsets = samples.history.offsets
    seen = np.zeros(len(part), bool)
    users = samples.user_index(part.x)
    order = np.argsort(users, kind="stable")
    users = users[order]
    first = 0
    while first < samples.schema.user_field.size:
        # As many users as fit in a slice of the histories, and one at least.
        fitting = np.searchsorted(offsets, offsets[first] + CHUNK, side="right")
        last = max(first + 1, int(fitting) - 1)
        low, high = np.searchsorted(users, (first, last))
        if low < high and offsets[first] < offsets[last]:
            rows = order[low:high]
            owner = np.repeat(np.arange(first, last), np.diff(offsets[first : last + 1]))
            behaviours = samples.history.rows[offsets[first] : offsets[last], 0] - item.offset
            met = np.sort(owner * item.size + behaviours)
            asked = users[low:high] * item.size + (part.x[rows, column] - item.offset)
            places = np.minimum(np.searchsorted(met, asked), len(met) - 1)
            seen[rows] = met[places] == asked
        first = last
    return seen


def _measure_part(
    samples: Samples, name: PartName, pool: Sequence[Counts], train: Sequence[Counts]
) -> PartProfile:
    part, schema = samples.part(name), samples.schema
    seen, popularity = seen_before(samples, part), pool[1].positives
    flags = {}  # by what they count: which column holds the value, and [S] whether it counts
    columns = (schema.user_column, schema.item_columns[0])
    for who, column, own, later in zip(("user", "item"), columns, pool, train, strict=True):
        flags[f"{who}_not_in_pool"] = column, own.rows == 0
        flags[f"{who}_not_in_pool_or_train"] = column, own.rows + later.rows == 0
        flags[f"{who}_without_positive"] = column, own.positives == 0
    # Negatives and positives, by what they are counted for.
    held = {what: np.zeros(2, np.int64) for what in ("total", "seen_before", *flags)}
    at = np.zeros((2, int(popularity.max()) + 1), np.int64)  # by label and popularity
    for rows in slices(len(part), CHUNK):
        x, y = part.x[rows], part.y[rows]
        held["total"] += np.bincount(y, minlength=2)
        held["seen_before"] += np.bincount(y[seen[rows]], minlength=2)
        for what, (column, counts) in flags.items():
            values = x[:, column] - schema.fields[column].offset
            held[what] += np.bincount(y[counts[values]], minlength=2)
        popular = popularity[x[:, columns[1]] - schema.fields[columns[1]].offset]
        for label in (0, 1):
            at[label] += np.bincount(popular[y == label], minlength=at.shape[1])
    return PartProfile(
        **{
            what: Tally(samples=int(counts.sum()), positives=int(counts[1]))
            for what, counts in held.items()
        },
        popularity=tuple(
            (int(n), int(at[1, n]), int(at[0, n])) for n in np.flatnonzero(at.sum(axis=0))
        ),
    )


def _read(path: Path) -> Profile | None:
    """The profile in the file; None if there is none that can be read."""
    try:
        held = read_json(path)
        return build(Profile, held, where=shown(path)) if isinstance(held, dict) else None
    except (RokkitError, TypeError, OSError):
        return None
