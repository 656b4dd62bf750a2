"""The engines that are compared. `engine(name)` makes one; what it needs is imported there.

An engine takes the pool once (`build`) and answers queries (`search`): ids int32 [b, k], best
first, -1 where there is no hit, and its own scores float32 [b, k].
"""

import importlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
Answer = tuple[Ids, NDArray[np.float32]]

OURS = "ours"
# Name, module and class. Lucene's process is Java's own (see `lucene`).
PYTHON = {
    OURS: "ours:Ours",
    "term at a time": "exhaustive:TermAtATime",
    "row by row": "exhaustive:RowByRow",
    "scipy": "products:Scipy",
    "sparse_dot_topn": "products:SparseDotTopn",
    "bm25s": "bm25s_engine:Bm25s",
    "tantivy": "tantivy_engine:Tantivy",
}
# More rows than this are not handed to an engine that would need days or more memory than is usual.
MOST_ROWS = {
    "row by row": 2_000_000,
    "bm25s": 2_000_000,
    "scipy": 20_000_000,
    "sparse_dot_topn": 20_000_000,
    "tantivy": 20_000_000,
}
# Row ids have to be ours one by one; of the others, who order ties as they please, scores alone.
SAME_ORDER = (OURS, "lucene", "tantivy", "term at a time", "row by row")


class Engine(Protocol):
    """What `serve` runs. An engine that keeps itself on disk has `open` besides."""

    per_idf: float  # its score of a row, divided by the sum of the idf

    def prepare(self) -> None:
        """Compile what is compiled, so that building is timed without it."""

    def build(self, x: Ids, folder: Path) -> int:
        """Take the rows `x` [N, F]; the bytes that are held for searching."""

    def search(self, q: Ids, k: int) -> Answer:
        """The k best rows of each query [b, F]."""


def engine(name: str) -> Any:
    """The engine `name`; ImportError where its package is not installed."""
    module, _, kind = PYTHON[name].partition(":")
    return getattr(importlib.import_module(f"search.engines.{module}"), kind)()


def folder_bytes(folder: Path) -> int:
    """Size of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
