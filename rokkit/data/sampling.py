"""Seeded choices of users and lines."""

import zlib

import numpy as np
from numpy.typing import NDArray

from rokkit.errors import ConfigError


def stream(seed: int, purpose: str) -> np.random.Generator:
    """A random stream of its own for each purpose.

    So a change to one choice, such as the size of test, leaves every other draw as it was.
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def choose_users(n_users: int, wanted: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """[n_users]: True for the `wanted` users that are kept; all of them if it is 0."""
    if wanted > n_users:
        raise ConfigError(f"users is {wanted}; expected 0 (all) to {n_users}, what the log has.")
    chosen = np.full(n_users, wanted == 0)
    chosen[rng.choice(n_users, wanted, replace=False)] = True
    return chosen


def keep_lines(n: int, rate: float, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Ascending indices of the lines that are kept out of `n`.

    Each line is kept with probability `rate` (RIM, `target_sample_rate`), whatever its partner's
    fate, so pairs of positive and negative break; then at most `most` (0: any number) of these.
    """
    lines = np.arange(n) if rate >= 1 else np.flatnonzero(rng.random(n) < rate)
    if most and most < len(lines):
        lines = np.sort(rng.choice(lines, most, replace=False))
    return lines
