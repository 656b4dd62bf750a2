"""Batches by index gather: the rows lie in memory, nothing is copied per sample in Python."""

import warnings
from collections.abc import Iterator, Set
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from rokkit.config import require
from rokkit.data.batch import Batch
from rokkit.data.samples import Samples
from rokkit.data.sampling import stream
from rokkit.errors import ConfigError, DataError, unknown_name
from rokkit.retrieval.tables import Neighbours

NEEDS = frozenset({"history", "history_negatives", "neighbours", "extra"})


class Feed:
    """One part of a data set, ready to be asked for batches.

    Symbols: N samples of the part; B of a batch; F fields; T history length; C fields of the item
    tuple; K neighbours.

    On the CPU the tensors share the samples' memory maps, so several feeds and processes hold one
    copy of the pool in the page cache; on another device each feed has its own copy.

    T is `history_length`, or the longest history there is if that is shorter: one number for all
    batches and parts. It is not trimmed batch by batch: among hundreds of users one nearly always
    fills it, finding out would stall a GPU, and a sample's result would come to depend, in its
    last bits, on the batch it is in.

    `history_negatives` are drawn once per stored behaviour, uniformly over `samples.item_tuples`,
    from a stream of their own: all parts, runs and seeds see the same ones. As with the negatives
    of the samples (RIM, `hori_split.py`) nothing checks that one differs from its positive.
    """

    def __init__(
        self,
        samples: Samples,
        part: str,
        *,
        needs: Set[str],
        neighbours: Neighbours | None = None,
        history_length: int = 50,
        pool_rows: NDArray[np.int64] | None = None,
        extra: NDArray[np.float32] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """`needs` names what a batch gathers besides x and y (a model's `needs`).

        Neighbours may be given without being needed by batches; `positives` reads them then.

        `pool_rows` [P] follow the part's own samples: the feed has N + P, and so do `neighbours`.
        x and y are then copies. Histories are refused: they are made of the pool and would hold
        the row itself.

        `extra` [N, E] are further numbers of each sample.

        Raises ConfigError for an unknown need, needed neighbours or extra that are not given,
        histories of pool rows or a history_length below 1, and DataError for neighbours or extra of
        another part or rows that the pool does not have.
        """
        for need in needs:
            if need not in NEEDS:
                raise ConfigError(unknown_name("need", need, NEEDS))
        require(history_length >= 1, "history_length", history_length, "at least 1")
        if "neighbours" in needs and neighbours is None:
            raise ConfigError(
                f"feed of {part!r}: the model reads neighbours and none are given; pass "
                "neighbours=rokkit.retrieval.neighbours(samples, part, k)."
            )
        if samples.causal and needs & {"history", "history_negatives"}:
            raise ConfigError(
                f"feed of {part!r}: the samples are causal and the model reads histories, which "
                "hold the targets themselves; take a model that reads none."
            )
        if "extra" in needs and extra is None:
            raise ConfigError(
                f"feed of {part!r}: the model reads extra numbers and none are given; pass extra=."
            )
        held = samples.part(part)
        if len(held) == 0:
            raise DataError(f"part {part!r} has no rows; widen its cut and build again.")
        self.needs = frozenset(needs)
        self.device = torch.device(device)
        self.part = part
        x, y = held.x, held.y
        if pool_rows is not None:
            self._check_pool_rows(pool_rows, len(samples.pool))
            x = np.concatenate([x, samples.pool.x[pool_rows]])
            y = np.concatenate([y, samples.pool.y[pool_rows]])
        self.labels: NDArray[np.int8] = np.asarray(y)  # [N], for metrics
        self.users: NDArray[np.int64] = samples.user_index(x)  # [N], for gAUC
        self._x = _resident(x, self.device)
        self._y = _resident(y, self.device).float()
        if self.needs & {"history", "history_negatives"}:
            self._hold_history(samples, history_length)
        if "history_negatives" in self.needs:
            self._hold_negatives(samples)
        if neighbours is not None:
            self._hold_neighbours(samples, neighbours)
        if extra is not None:
            if extra.ndim != 2 or len(extra) != len(self):
                raise DataError(
                    f"extra has shape {extra.shape}; expected [{len(self)}, E] for part {part!r}."
                )
            self._extra = _resident(extra, self.device)

    def __len__(self) -> int:
        return len(self._x)

    def chunks(self, size: int) -> Iterator[Int[Tensor, "_"]]:
        """All rows in order, `size` at a time, on the feed's device."""
        for start in range(0, len(self), size):
            yield torch.arange(start, min(start + size, len(self)), device=self.device)

    def batch(self, rows: Int[Tensor, "B"]) -> Batch:
        """The samples at `rows` (int64) of the part, with what `needs` names."""
        rows = rows.to(self.device)
        history = negatives = neighbours = labels = mask = None
        if self.needs & {"history", "history_negatives"}:
            at, held = self._places(rows)
            if "history" in self.needs:
                history = _gather(self._history_rows, at, held)
            if "history_negatives" in self.needs:
                negatives = _gather(self._item_tuples, self._negatives[at], held)
        if "neighbours" in self.needs:
            neighbours, labels, mask = self._gather_neighbours(self._neighbours[rows])
        return Batch(
            x=self._x.index_select(0, rows),
            y=self._y.index_select(0, rows),
            history=history,
            history_negatives=negatives,
            neighbours=neighbours,
            neighbour_labels=labels,
            neighbour_mask=mask,
            extra=self._extra.index_select(0, rows) if "extra" in self.needs else None,
        )

    def positives(
        self, rows: Int[Tensor, "B"], columns: Int[Tensor, "B"] | int = 0
    ) -> tuple[Int[Tensor, "B F"], Bool[Tensor, "B"]]:
        """(s_t, found): one neighbour of each row, by its rank, without gathering the others.

        Rows with no neighbour of that rank, or of rank -1, get zeros and False.
        """
        rows, ranks = rows.to(self.device), torch.as_tensor(columns, device=self.device)
        ids = self._neighbours[rows, ranks.clamp(min=0)]
        found = (ids >= 0) & (ranks >= 0)
        s = self._pool_x.index_select(0, ids.clamp(min=0)) * found[:, None]
        return s, found

    def neighbour_counts(self, rows: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        """How many neighbours each row has; they come before the padding."""
        return (self._neighbours[rows.to(self.device)] >= 0).sum(1)

    def agreeing(self, rows: Int[Tensor, "B"]) -> Bool[Tensor, "B K"]:
        """Which neighbours of each row have the row's own label; False for padding."""
        rows = rows.to(self.device)
        ids = self._neighbours[rows]
        labels = self._pool_y.index_select(0, ids.clamp(min=0).flatten()).view(ids.shape)
        return (labels == self._y.index_select(0, rows)[:, None]) & (ids >= 0)

    @property
    def has_neighbours(self) -> bool:
        """True if neighbours were given."""
        return hasattr(self, "_neighbours")

    def _check_pool_rows(self, rows: NDArray[np.int64], pool: int) -> None:
        if self.needs & {"history", "history_negatives"}:
            raise ConfigError(
                f"feed of {self.part!r}: the model reads {', '.join(sorted(self.needs))} and rows "
                "of the pool are to join, whose histories would hold the rows themselves. Take a "
                "model that reads neighbours alone, or no pool rows."
            )
        if rows.size and not 0 <= rows.min() <= rows.max() < pool:
            raise DataError(
                f"pool_rows go from {rows.min()} to {rows.max()}; the pool has {pool} rows."
            )

    def _hold_history(self, samples: Samples, length: int) -> None:
        offsets = np.asarray(samples.history.offsets)
        stop, count = offsets[1:], np.diff(offsets)
        longest = int(count.max(initial=0))
        kept = np.minimum(count, min(length, max(1, longest)))
        rows = samples.history.rows
        if len(rows) == 0:  # nothing to gather from: one row of padding stands in
            rows = np.zeros((1, rows.shape[1]), np.int32)
        self._history_rows = _resident(rows, self.device)
        # Of each user the newest `kept` behaviours, which lie at first .. first + kept.
        self._history_first = _resident(stop - kept, self.device)
        self._history_kept = _resident(kept, self.device)
        self._user = _resident(self.users, self.device)
        self._steps = torch.arange(min(length, max(1, longest)), device=self.device)

    def _hold_negatives(self, samples: Samples) -> None:
        tuples = np.asarray(samples.item_tuples)
        generator = stream(0, "history negatives")
        # Places among the tuples, not tuples: one number per behaviour.
        drawn = generator.integers(0, len(tuples), len(self._history_rows), dtype=np.int32)
        self._item_tuples = _resident(tuples, self.device)
        self._negatives = _resident(drawn, self.device)

    def _places(self, rows: Int[Tensor, "B"]) -> tuple[Int[Tensor, "B T"], Bool[Tensor, "B T"]]:
        """Where each behaviour of each row is stored, and which of them are no padding."""
        user = self._user[rows]
        held = self._steps < self._history_kept[user][:, None]
        return (self._history_first[user][:, None] + self._steps) * held, held

    def _hold_neighbours(self, samples: Samples, neighbours: Neighbours) -> None:
        n, pool = len(self), len(samples.pool)
        if neighbours.ids.ndim != 2 or len(neighbours.ids) != n:
            raise DataError(
                f"neighbours have shape {neighbours.ids.shape}; expected [{n}, K] for part "
                f"{self.part!r}. Retrieve them for this part."
            )
        if int(neighbours.ids.max(initial=-1)) >= pool:
            raise DataError(
                f"neighbours name pool row {int(neighbours.ids.max())}; the pool has {pool} rows. "
                "Remove the samples' neighbours folder and run again."
            )
        self._neighbours = _resident(neighbours.ids, self.device)
        self._pool_x = _resident(samples.pool.x, self.device)
        self._pool_y = _resident(samples.pool.y, self.device)

    def _gather_neighbours(
        self, ids: Int[Tensor, "B K"]
    ) -> tuple[Int[Tensor, "B K F"], Int[Tensor, "B K"], Bool[Tensor, "B K"]]:
        mask = ids >= 0
        # -1 must not reach the pool: it would select the last real row.
        at = ids.clamp(min=0).flatten()
        x = self._pool_x.index_select(0, at).view(*ids.shape, -1) * mask[..., None]
        labels = self._pool_y.index_select(0, at).view(ids.shape).int() * mask
        return x, labels, mask


def _gather(
    table: Int[Tensor, "M C"], at: Int[Tensor, "B T"], held: Bool[Tensor, "B T"]
) -> Int[Tensor, "B T C"]:
    """Rows of the table, zeros where nothing is held."""
    return table.index_select(0, at.flatten()).view(*at.shape, -1) * held[..., None]


def _resident(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array as a tensor; on the CPU it shares the array's memory, mapped or not."""
    with warnings.catch_warnings():
        # The maps are read-only and torch cannot say so; no code here writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(array)).to(device)
