"""Whether two engines find the same: row by row, or up to the order of rows of equal score."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.engines import SAME_ORDER, Answer

# Float32 sums that are formed in another order, from idf computed in single precision.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Agreement:
    """Of one engine with ours."""

    queries: int
    identical: int  # queries with the same rows in the same order
    worst: float  # largest relative difference of two scores of one rank
    ordered: bool  # whether ties are asked to be ours

    @property
    def holds(self) -> bool:
        """Whether the answers are the same.

        An engine that orders ties as we do may yet swap rows whose scores differ by less than the
        rounding of its own sums; no more than one query in a hundred is let pass for that.
        """
        same_rows = self.identical >= 0.99 * self.queries or not self.ordered
        return self.worst <= TOLERANCE and same_rows

    def kept(self) -> Mapping[str, Any]:
        """As plain values."""
        return asdict(self) | {"holds": self.holds}


def read(path: str, n: int, k: int) -> Answer:
    """The answer [n, k] that an engine wrote to `path`.ids and `path`.scores."""
    ids = np.fromfile(Path(f"{path}.ids"), "<i4").reshape(n, k)
    return ids, np.fromfile(Path(f"{path}.scores"), "<f4").reshape(n, k)


def agreement(name: str, ours: Answer, theirs: Answer, per_idf: float) -> Agreement:
    """How far the answer of engine `name`, whose scores are `per_idf` of ours, is ours."""
    a, b = ours[1].astype(np.float64), theirs[1] / per_idf
    worst = np.abs(a - b) / np.maximum(np.maximum(a, b), np.finfo(np.float32).tiny)
    return Agreement(
        queries=len(a),
        identical=int((ours[0] == theirs[0]).all(axis=1).sum()),
        worst=float(worst.max(initial=0)),
        ordered=name.startswith(SAME_ORDER),
    )
