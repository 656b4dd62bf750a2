"""From the split of a schema to the rule that applies it."""

import itertools

import numpy as np
from numpy.typing import NDArray

from rokkit.config import require
from rokkit.data.own.schema import OwnSchema, SplitByColumn, SplitByFraction, SplitByTime, When
from rokkit.data.own.times import read_cut
from rokkit.data.splits import CutPoints, GlobalShares, PerUser, Shares, Split
from rokkit.errors import DataError


def split_of(split: SplitByTime | SplitByFraction, schema: OwnSchema) -> Split:
    """The rule of `split`. ConfigError for cuts that cannot be read or do not ascend."""
    if isinstance(split, SplitByFraction):
        shares = Shares(pool=split.pool, train=split.train, val=split.val, test=split.test)
        return PerUser(shares) if split.scope == "user" else GlobalShares(shares)
    unit = schema.time.unit
    cuts = {name: read_cut(cut, unit, f"split.{name}") for name, cut in _written(split).items()}
    require(
        all(a < b for a, b in itertools.pairwise(cuts.values())),
        f"split ({', '.join(cuts)})",
        [str(cut) for cut in _written(split).values()],
        "ascending times",
    )
    return CutPoints(**cuts)


def require_cuts_inside(split: SplitByTime, rule: CutPoints, times: NDArray[np.int64]) -> None:
    """Raise DataError, in the notation of the schema, for a cut outside `times` [N]."""
    first, last = times.min(), times.max()
    for name in ("train", "val", "test"):
        cut = getattr(rule, name)
        if not first < cut <= last:
            where = "at or before the first" if cut <= first else "after the last"
            raise DataError(
                f"split.{name} is {_written(split)[name]!s}, {where} time of the log (as numbers: "
                f"{cut}; the log has {first} to {last}). Choose a cut that leaves rows on both "
                "sides."
            )


def check_split(schema: OwnSchema) -> None:
    """Raise ConfigError if the split of `schema` fits no log."""
    if not isinstance(schema.split, SplitByColumn):
        split_of(schema.split, schema)


def _written(split: SplitByTime) -> dict[str, When]:
    """The cuts that are given, as they are written."""
    cuts = {"train": split.train, "val": split.val, "test": split.test, "end": split.end}
    return {name: cut for name, cut in cuts.items() if cut is not None}
