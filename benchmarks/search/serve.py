"""An engine in a process of its own: `python -m search.serve NAME`, asked line by line."""

import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.answering import serve, timed
from search.engines import engine

OPENINGS = 5


class Served:
    """The tasks of an engine. Answers are written to files as they are: ids, then scores."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.engine: Any = None  # made when it is first asked for: its package may be missing

    def tasks(self) -> Mapping[str, Callable[..., Mapping[str, Any]]]:
        """By the names under which they are asked for."""
        return {
            "build": self.build,
            "answer": self.answer,
            "search": self.search,
            "single": self.single,
            "open": self.open,
            "before": self.before,
            "touched": self.touched,
        }

    def build(self, pool: str, fields: int, folder: str) -> Mapping[str, Any]:
        """Take the first `fields` columns of the pool: seconds, bytes held."""
        self.engine = engine(self.name)
        self.engine.prepare()
        x = np.array(np.load(pool, mmap_mode="r")[:, :fields], order="C")
        self.rows, self.folder, held = len(x), Path(folder), []
        took = timed(lambda: held.append(self.engine.build(x, self.folder)))
        return took | {"bytes": held[0], "per_idf": self.engine.per_idf}

    def answer(self, queries: str, fields: int, n: int, k: int, out: str) -> Mapping[str, Any]:
        """Write what is found for the first `n` queries to `out`.ids and `out`.scores."""
        ids, scores = self.engine.search(_queries(queries, fields)[:n], k)
        ids.astype("<i4").tofile(f"{out}.ids")
        scores.astype("<f4").tofile(f"{out}.scores")
        return {}

    def search(self, queries: str, fields: int, n: int, k: int) -> Mapping[str, Any]:
        """Answer the first `n` queries at once: seconds."""
        q = _queries(queries, fields)[:n]
        return timed(lambda: self.engine.search(q, k)) | {"units": n}

    def single(self, queries: str, fields: int, n: int, k: int) -> Mapping[str, Any]:
        """Answer the first `n` queries, a call each: wall microseconds of a call."""
        q, taken = _queries(queries, fields), []
        for b in range(n):
            one = q[b : b + 1]
            begun = time.perf_counter_ns()
            self.engine.search(one, k)
            taken.append(time.perf_counter_ns() - begun)
        p50, p99 = np.percentile(taken, [50, 99]) / 1e3
        return {"p50": p50, "p99": p99}

    def open(self) -> Mapping[str, Any]:
        """Open what lies on disk, as often as says whether it is quick: median seconds."""
        if not hasattr(self.engine, "open"):
            return {"seconds": None}
        if hasattr(self.engine, "save"):
            self.engine.save(self.folder)
        taken = [timed(lambda: self.engine.open(self.folder))["wall"] for _ in range(OPENINGS)]
        return {"seconds": float(np.median(taken))}

    def before(self, queries: str, fields: int, n: int, k: int) -> Mapping[str, Any]:
        """As `search`, each query among the rows below a place in the later half of the pool."""
        q = _queries(queries, fields)[:n]
        limits = np.random.default_rng(0).integers(self.rows // 2, self.rows, n)
        return timed(lambda: self.engine.search_before(q, k, limits)) | {"units": n}

    def touched(self, queries: str, fields: int, n: int, k: int) -> Mapping[str, Any]:
        """How many rows a query looks at: mean, median, 99th percentile."""
        looked = self.engine.touched(_queries(queries, fields)[:n], k)
        p50, p99 = np.percentile(looked, [50, 99])
        return {"mean": float(looked.mean()), "p50": p50, "p99": p99}


@cache
def _queries(path: str, fields: int) -> NDArray[np.int32]:
    return np.array(np.load(path)[:, :fields], order="C")


if __name__ == "__main__":
    serve(Served(sys.argv[1]).tasks())
