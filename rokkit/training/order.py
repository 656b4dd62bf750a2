"""The order in which an epoch visits the rows: a function of the seed and the epoch alone."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from rokkit.config import require


@dataclass(frozen=True)
class Order:
    """Shuffled batches of N rows.

    No generator is carried along, so a resumed run finds its place from a step number.

    All rows are used. A last batch of a single row would stop BatchNorm, which needs two to tell
    a spread, so that row joins the batch before it.
    """

    n_rows: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        require(self.n_rows >= 2, "training rows", self.n_rows, "at least 2, for BatchNorm")

    @property
    def steps(self) -> int:
        """Batches in one epoch."""
        full, rest = divmod(self.n_rows, self.batch_size)
        return max(1, full + (rest > 1))

    def permutation(self, epoch: int) -> Int[Tensor, "N"]:
        """All rows, in the order of the 0-based `epoch`, on the CPU."""
        mixed = np.random.SeedSequence([self.seed, epoch]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(mixed >> np.uint64(1)))
        return torch.randperm(self.n_rows, generator=generator)

    def batch(self, step: int) -> slice:
        """Which part of the permutation the 0-based `step` of an epoch takes."""
        last = step == self.steps - 1
        start = step * self.batch_size
        return slice(start, self.n_rows if last else start + self.batch_size)
