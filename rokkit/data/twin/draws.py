"""Seeded draws that give the same numbers on every machine.

Only operations that IEEE 754 rounds exactly are used (products, quotients, square roots), never
`exp`, `log` or `pow`, whose last bit differs from processor to processor.
"""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HEAD = 0.2  # share of draws that `flattened` makes uniform


def stream(seed: int, purpose: str, block: int = 0) -> np.random.Generator:
    """A random stream of its own for each purpose in each block."""
    return np.random.default_rng([seed, block, zlib.crc32(purpose.encode())])


def power(u: Floats, p: int) -> Floats:
    """u^p for p a power of 2."""
    while p > 1:
        u = u * u
        p //= 2
    return u


def root(u: Floats, p: int) -> Floats:
    """The inverse of `power`."""
    while p > 1:
        u = np.sqrt(u)
        p //= 2
    return u


def ranks(rng: np.random.Generator, sizes: Ints, p: int) -> Ints:
    """[N]: for each of `sizes` [N] a rank below it; low ranks are the more frequent, the higher p.

    The share of ranks below r is (r / size)^(1/p).
    """
    return (sizes * power(rng.random(len(sizes)), p)).astype(np.int64)


def apportion(weights: Ints, total: int) -> Ints:
    """`total` things given out in proportion to whole `weights` [N], by rounding running sums."""
    upto = np.cumsum(weights)
    edges = np.concatenate([[0], upto * total // max(int(upto[-1]), 1)])
    return np.diff(edges)


def flattened(u: Floats, p: int) -> Floats:
    """`power` with a flat head: the shares of ranks for u in [0, 1), below 1.

    No rank is more than 1 / HEAD times as frequent as the mean, where `power` would give the very
    first a large part of all draws; the tail is as long as that of `power`.
    """
    found: Floats = (1 - HEAD) * power(u, p) + HEAD * u
    return found


class Lottery:
    """Draws from a table of whole weights."""

    def __init__(self, weights: Sequence[int] | Ints) -> None:
        self._upto = np.cumsum(np.asarray(weights, np.int64))

    def draw(self, rng: np.random.Generator, n: int) -> Ints:
        """[n] positions in the table."""
        tickets = rng.integers(0, int(self._upto[-1]), n)
        return np.searchsorted(self._upto, tickets, side="right").astype(np.int64)


class Scatter:
    """A one-to-one map of 0..n-1 onto scattered raw ids in 1..most."""

    def __init__(self, n: int, most: int) -> None:
        self.most = max(n, most)
        # Near the golden section of the range, so that neighbours land far apart.
        factor = max(1, self.most * 618_034 // 1_000_000)
        while np.gcd(factor, self.most) != 1:
            factor += 1
        self.factor = factor

    def __call__(self, index: Ints) -> Ints:
        """Raw ids of the indices."""
        return (index * self.factor + self.most // 3) % self.most + 1


def mix(values: Ints, salt: int) -> Ints:
    """[N] whole numbers below 2^62 that look random but depend on `values` and `salt` alone.

    The finaliser of the generator SplitMix64.
    """
    x = values.astype(np.uint64) + np.uint64((salt * 0x9E3779B97F4A7C15 + 1) % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(2)).astype(np.int64)
