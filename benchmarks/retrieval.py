"""The search against two exhaustive engines, on one made-up pool, in one run.

    python benchmarks/retrieval.py --rows 2200000 --queries 180000

The pool is shaped like a grocery log: users and products are drawn by Zipf-like laws, and three
more fields are functions of the product. Half of the queries come from the same process, half join
a user of the log with a uniformly drawn product; some products are unseen.

Engines answer the same queries in turn, in an order drawn anew for each round, so that what else
the machine does falls on all of them. Time is CPU time of this process, one thread. The exhaustive
engines answer fewer queries; their answers are compared with the index's on those, bit for bit.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rokkit.retrieval import BM25Index

Answer = tuple[NDArray[np.int32], NDArray[np.float32]]


def zipf(rng: np.random.Generator, size: int, values: int, exponent: float) -> NDArray[np.int64]:
    """`size` draws from 0..values-1 with probabilities falling as rank^-exponent."""
    mass = np.cumsum(np.arange(1, values + 1, dtype=np.float64) ** -exponent)
    return np.searchsorted(mass / mass[-1], rng.random(size)).clip(max=values - 1)


def grocery_log(
    rows: int, queries: int, users: int, products: int, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pool [rows, 5] and queries [queries, 5] of ids that are global over fields."""
    rng = np.random.default_rng(seed)
    sizes = [users, products + products // 50, 6000, 2300, 30]
    offsets = np.concatenate([[1], 1 + np.cumsum(sizes[:-1])])
    of_product = np.stack([zipf(rng, sizes[1], size, 0.8) for size in sizes[2:]], axis=1)

    def ids(user: NDArray[np.int64], product: NDArray[np.int64]) -> NDArray[np.int32]:
        codes = np.column_stack([user, product, of_product[product]])
        return (codes + offsets).astype(np.int32)

    pool = ids(zipf(rng, rows, users, 0.5), zipf(rng, rows, products, 0.9))
    half = queries // 2
    repeated = ids(zipf(rng, half, users, 0.5), zipf(rng, half, products, 0.9))
    user = zipf(rng, queries - half, users, 0.5)
    negative = ids(user, rng.integers(0, sizes[1], queries - half))
    return pool, rng.permutation(np.concatenate([repeated, negative]))


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _accumulate(x, row, weight, scores):  # type: ignore[no-untyped-def]
    for i in range(x.shape[0]):
        total = 0.0
        for f in range(x.shape[1]):
            if x[i, f] == row[f]:
                total += weight[f]
        scores[i] = total


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _add(rows, weight, totals):  # type: ignore[no-untyped-def]
    for row in rows:
        totals[row] += weight


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _best(scores, ids, values):  # type: ignore[no-untyped-def]
    ids[:], values[:] = -1, 0.0
    last = len(ids) - 1
    for i in range(len(scores)):
        score = np.float32(scores[i])
        if score > values[last]:
            place = last
            while place > 0 and values[place - 1] < score:
                ids[place], values[place] = ids[place - 1], values[place - 1]
                place -= 1
            ids[place], values[place] = i, score


class Exhaustive:
    """What the two exhaustive engines share: weights, and the best of all scores."""

    def __init__(self, x: NDArray[np.int32]) -> None:
        self.x = x
        self.counts = np.bincount(x.ravel())
        self.scores = np.empty(len(x))

    def weights(self, row: NDArray[np.int32]) -> NDArray[np.float64]:
        """[F]: idf of the ids of a query; 0 where the pool does not hold the id."""
        counts = np.where(
            row < len(self.counts), self.counts[row.clip(max=len(self.counts) - 1)], 0
        )
        return np.where(counts > 0, np.log1p((len(self.x) - counts + 0.5) / (counts + 0.5)), 0.0)

    def best(self, k: int) -> Answer:
        """The k best of `self.scores`, cast to float32, lower row first."""
        ids, values = np.empty(k, np.int32), np.empty(k, np.float32)
        _best(self.scores, ids, values)
        return ids, values


class Scan(Exhaustive):
    """Compares the query with every row."""

    def search(self, q: NDArray[np.int32], k: int) -> Answer:
        """As `BM25Index.search`."""
        found = []
        for row in q:
            _accumulate(self.x, row, self.weights(row), self.scores)
            found.append(self.best(k))
        return np.stack([f[0] for f in found]), np.stack([f[1] for f in found])


class TermAtATime(Exhaustive):
    """Adds up every posting of the query's lists, field by field."""

    def __init__(self, x: NDArray[np.int32]) -> None:
        super().__init__(x)
        order = np.argsort(x.ravel(order="F"), kind="stable")
        self.postings = (order % len(x)).astype(np.int32)
        self.starts = np.concatenate([[0], np.cumsum(self.counts)])

    def search(self, q: NDArray[np.int32], k: int) -> Answer:
        """As `BM25Index.search`."""
        found = []
        for row in q:
            self.scores[:] = 0.0
            for value, weight in zip(row, self.weights(row), strict=True):
                if weight > 0:
                    rows = self.postings[self.starts[value] : self.starts[value + 1]]
                    _add(rows, weight, self.scores)
            found.append(self.best(k))
        return np.stack([f[0] for f in found]), np.stack([f[1] for f in found])


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of this process that `work` takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    """Run the comparison and print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_200_000)
    parser.add_argument("--queries", type=int, default=180_000)
    parser.add_argument("--exhaustive-queries", type=int, default=40)
    parser.add_argument("--users", type=int, default=2469)
    parser.add_argument("--products", type=int, default=68_509)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    pool, q = grocery_log(args.rows, args.queries, args.users, args.products, args.seed)
    few = q[: args.exhaustive_queries]
    BM25Index.build(pool[:100]).search(q[:10], 1)  # compile outside the timing
    indexes: list[BM25Index] = []
    build = cpu_seconds(lambda: indexes.append(BM25Index.build(pool)))
    index = indexes[0]
    print(f"{len(pool)} rows x {pool.shape[1]} fields, {len(q)} queries, K={args.k}, one thread")
    print(f"build {build:.2f} CPU-s, {index.n_bytes / len(pool):.1f} bytes per row")
    _, _, touched = index.search_with_effort(q, args.k)
    p50, p99 = np.percentile(touched, [50, 99])
    print(f"rows touched per query: mean {touched.mean():.0f}, p50 {p50:.0f}, p99 {p99:.0f}")

    scan, term = Scan(pool), TermAtATime(pool)
    ids, scores = index.search(few, args.k)
    for engine in (scan, term):  # also compiles them
        other_ids, other_scores = engine.search(few, args.k)
        same = np.array_equal(ids, other_ids) and np.array_equal(scores, other_scores)
        print(f"{type(engine).__name__}: answers {'equal' if same else 'DIFFERENT'}")

    engines: dict[str, tuple[int, Callable[[], object]]] = {
        "index": (len(q), lambda: index.search(q, args.k, threads=1)),
        "scan": (len(few), lambda: scan.search(few, args.k)),
        "term at a time": (len(few), lambda: term.search(few, args.k)),
    }
    rates: dict[str, list[float]] = {name: [] for name in engines}
    order = np.random.default_rng(args.seed)
    for _ in range(args.rounds):
        for name in order.permutation(list(engines)):
            n, work = engines[name]
            rates[name].append(n / cpu_seconds(work))
    fastest = float(np.median(rates["index"]))
    for name, rate in rates.items():
        median = float(np.median(rate))
        print(
            f"{name:15} {median:12.1f} queries per CPU-s "
            f"({min(rate):.1f} to {max(rate):.1f}); the index is {fastest / median:.1f} x as fast"
        )
    begun = time.perf_counter()
    index.search(q, args.k)
    print(
        f"all {len(q)} queries, threads as chosen: {time.perf_counter() - begun:.2f} s of wall time"
    )


if __name__ == "__main__":
    main()
