"""Optimizers of id tables whose step costs what its rows cost, however long the table.

A dense optimizer reads and writes every row of a table at every step, though a batch looks up a few
thousand of them. Symbols: V rows; d width; t the step, from 1.
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rokkit.errors import TrainingError
from rokkit.layers.embedding import FieldEmbedding
from rokkit.training import table_kernel

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # torch's defaults for Adam
# A row without a gradient moves by less and less, as (beta1 / sqrt(beta2))^k after k steps. All
# movements after this many add up to less than a millionth of the first.
REPLAYED = math.ceil(math.log(1e-7) / math.log(BETA1 / math.sqrt(BETA2)))


class TableOptimizer(ABC):
    """What optimizers by row share: gradients by row, summed, and where each table stands.

    From now until `close` the tables' gradients are sparse: they list what was looked up. Tables
    are float32 and on the CPU.
    """

    def __init__(self, tables: Sequence[FieldEmbedding], learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._tables = list(tables)
        self._state = [self._begin(table.weight.detach()) for table in self._tables]
        self._slots = [np.full(len(table.weight), -1, np.int32) for table in self._tables]
        for table in self._tables:
            table.sparse_gradient = True

    @abstractmethod
    def _begin(self, weight: Tensor) -> dict[str, Tensor]:
        """The state of a table that was never updated."""

    @abstractmethod
    def _update(
        self,
        weight: NDArray[np.float32],
        state: Mapping[str, Tensor],
        rows: NDArray[np.int32],
        sums: NDArray[np.float32],
    ) -> None:
        """One step of the distinct `rows`, whose gradients are `sums`."""

    def settle(self) -> None:  # noqa: B027 - one that puts nothing off has nothing to do
        """Make every row what it would be by now, had all been updated at each step."""

    def close(self) -> None:
        """Leave the tables settled, and with dense gradients again."""
        self.settle()
        for table in self._tables:
            table.sparse_gradient = False

    def zero_grad(self) -> None:
        """Forget the tables' gradients."""
        for table in self._tables:
            table.weight.grad = None

    def step(self) -> None:
        """Update the rows that have a gradient."""
        for table, state, slots in zip(self._tables, self._state, self._slots, strict=True):
            gradient = table.weight.grad
            if gradient is None:
                continue
            if not gradient.is_sparse:
                raise TrainingError(
                    f"an id table of {len(table.weight)} rows got a dense gradient: the model "
                    "reads it other than by look-ups. Take optimizer 'adam'."
                )
            ids, values = gradient._indices()[0].numpy(), gradient._values().numpy()
            rows, sums = np.empty(len(ids), np.int32), np.empty_like(values)
            count = table_kernel.add_up(ids, values, slots, rows, sums)
            self._update(table.weight.detach().numpy(), state, rows[:count], sums[:count])

    def state_dict(self) -> dict[str, Any]:
        """Tensors by table, to be saved; they are not copied."""
        return {"tables": self._state}

    def load_state_dict(self, content: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        for state, saved in zip(self._state, content["tables"], strict=True):
            for name, held in state.items():
                held.copy_(saved[name])


class LazyAdam(TableOptimizer):
    """Adam (Kingma and Ba, 2015) as torch has it, put off for each row until the row is read.

    In a step without a gradient Adam still moves a row and decays its moments; to leave that out
    would be another optimizer. Here the steps that a row has missed are replayed before it is
    looked up, in training or evaluation, so that every look-up finds what dense Adam would have
    left there, but for rounding. Before weights are read in any other way: `settle`.
    """

    def __init__(self, tables: Sequence[FieldEmbedding], learning_rate: float) -> None:
        super().__init__(tables, learning_rate)
        self._schedule = _Schedule(learning_rate)
        for place, table in enumerate(self._tables):
            table.on_reading = functools.partial(self._before_reading, place)

    def settle(self) -> None:
        """Replay what any row has missed: reads and writes whole tables."""
        for place, table in enumerate(self._tables):
            self._replay(place, np.arange(len(table.weight)))

    def close(self) -> None:
        """Leave the tables settled, with dense gradients, and no longer watched."""
        super().close()
        for table in self._tables:
            table.on_reading = None

    def _begin(self, weight: Tensor) -> dict[str, Tensor]:
        return {
            "step": torch.zeros((), dtype=torch.int64),
            "m": torch.zeros_like(weight),
            "v": torch.zeros_like(weight),
            "last": torch.zeros(len(weight), dtype=torch.int32),  # step that each row stands at
        }

    def _before_reading(self, place: int, ids: Tensor) -> None:
        self._replay(place, ids.reshape(-1).numpy())

    def _replay(self, place: int, rows: NDArray[Any]) -> None:
        state = self._state[place]
        step = int(state["step"])
        rates, roots = self._schedule.until(step)
        table_kernel.replay(
            rows,
            step,
            self._tables[place].weight.detach().numpy(),
            *(state[name].numpy() for name in ("m", "v", "last")),
            rates,
            roots,
            self._schedule.decays,
            self._schedule.root_decays,
            (BETA1, BETA2),
            EPS,
        )

    def _update(
        self,
        weight: NDArray[np.float32],
        state: Mapping[str, Tensor],
        rows: NDArray[np.int32],
        sums: NDArray[np.float32],
    ) -> None:
        step = int(state["step"].add_(1))
        rates, roots = self._schedule.until(step)
        m, v, last = (state[name].numpy() for name in ("m", "v", "last"))
        betas = (BETA1, BETA2)
        table_kernel.adam(
            rows, sums, step, weight, m, v, last, rates[step], roots[step], betas, EPS
        )


class _Schedule:
    """What Adam's steps multiply by: it depends on their number alone."""

    def __init__(self, learning_rate: float) -> None:
        skipped = np.arange(REPLAYED + 1)
        self.decays = BETA1**skipped  # of m, after k steps without a gradient
        self.root_decays = BETA2 ** (skipped / 2)  # of sqrt(v)
        self._learning_rate = learning_rate
        self._rates = self._roots = np.empty(0)

    def until(self, step: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """lr / (1 - beta1^t) and 1 / sqrt(1 - beta2^t) for t = 0 … step at least; 0 at t = 0."""
        if step >= len(self._rates):
            t = np.arange(1, max(1024, 2 * step))
            self._rates = np.append(0.0, self._learning_rate / (1 - BETA1**t))
            self._roots = np.append(0.0, 1 / np.sqrt(1 - BETA2**t))
        return self._rates, self._roots


class RowAdagrad(TableOptimizer):
    """Adagrad (Duchi et al., 2011) with one step size per row, as large tables have it.

    G <- G + mean of squares of the row's gradient; w <- w - lr g / (sqrt(G) + eps). A row without a
    gradient stays as it is, so that nothing has to be made up for; it keeps one number per row.
    """

    def _begin(self, weight: Tensor) -> dict[str, Tensor]:
        return {"squares": weight.new_zeros(len(weight))}

    def _update(
        self,
        weight: NDArray[np.float32],
        state: Mapping[str, Tensor],
        rows: NDArray[np.int32],
        sums: NDArray[np.float32],
    ) -> None:
        squares = state["squares"].numpy()
        table_kernel.adagrad(rows, sums, weight, squares, self.learning_rate, EPS)
