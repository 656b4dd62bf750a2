"""What one writes with torch alone: one table, an MLP, `torch.optim.Adam` as it comes.

It stands for every framework that updates whole tables, at sizes where the frameworks themselves
would need much memory for what this shows just as well.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctr.arrays import Arrays
from ctr.frameworks import EMBEDDING, EVALUATION_ROWS, HIDDEN, Case, Stage


class Plain:
    """The model and its loop."""

    package = "torch"

    def load(self) -> None:
        """torch."""
        import torch
        import torch.nn

        self.torch = torch

    def build(self, arrays: Arrays, case: Case, folder: Path) -> None:
        """DeepFM's products and MLP over one table."""
        nn = self.torch.nn
        self.torch.manual_seed(case.seed)
        self.arrays, self.case = arrays, case
        sizes = list(arrays.sizes.values())
        self.offsets = np.cumsum([0, *sizes[:-1]])
        self.table = nn.Embedding(1 + sum(sizes), EMBEDDING)
        nn.init.normal_(self.table.weight, std=0.01)
        widths = [len(sizes) * EMBEDDING, *HIDDEN]
        layers: list[Any] = []
        for one, two in pairwise(widths):
            layers += [nn.Linear(one, two), nn.ReLU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        self.model = nn.ModuleList([self.table, self.mlp])
        self.optimizer = self.torch.optim.Adam(self.model.parameters(), lr=case.learning_rate)
        self.x, self.y = self._x("train"), self.torch.from_numpy(arrays.y("train")).float()
        self.test_rows = arrays.parts["test"]

    def _x(self, part: str) -> Any:
        return self.torch.from_numpy(self.arrays.x(part) + self.offsets).long()

    def _logits(self, x: Any) -> Any:
        v = self.table(x)
        products = (v.sum(1) ** 2 - (v**2).sum(1)).sum(1) / 2
        return self.mlp(v.flatten(1)).squeeze(1) + products

    def epoch(self) -> None:
        """One epoch over shuffled batches."""
        loss = self.torch.nn.functional.binary_cross_entropy_with_logits
        for rows in self.torch.randperm(len(self.x)).split(self.case.batch):
            self.optimizer.zero_grad()
            loss(self._logits(self.x[rows]), self.y[rows]).backward()
            self.optimizer.step()

    def predict(self, part: str) -> NDArray[np.floating[Any]]:
        """In blocks."""
        with self.torch.no_grad():
            blocks = [self._logits(x).sigmoid() for x in self._x(part).split(EVALUATION_ROWS)]
        found: NDArray[np.floating[Any]] = self.torch.cat(blocks).numpy()
        return found

    def stages(self) -> list[Stage]:
        """The rows of a tensor; forward."""
        x = self._x("test")
        return [("look-up", lambda rows: x[rows]), ("forward", self._logits)]
