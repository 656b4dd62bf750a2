"""What a model sees of B samples at once."""

from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B samples, on one device.

    Symbols: B batch, F fields, T history length, C fields of the item tuple, K neighbours.
    Padding is id 0 throughout: in `history` after the last behaviour (oldest first, the newest T
    kept), in `neighbours` where fewer than K rows were found.
    """

    x: Int[Tensor, "B F"]  # global ids of the target
    y: Float[Tensor, "B"] | None = None  # label, 0.0 or 1.0
    history: Int[Tensor, "B T C"] | None = None  # item tuples of the user's pool positives
    history_negatives: Int[Tensor, "B T C"] | None = None  # one drawn for each; 0 where padded
    neighbours: Int[Tensor, "B K F"] | None = None  # pool rows, best first
    neighbour_labels: Int[Tensor, "B K"] | None = None  # their labels, 0 or 1; 0 where padded
    neighbour_mask: Bool[Tensor, "B K"] | None = None  # True where there is a neighbour
    extra: Float[Tensor, "B E"] | None = None  # further numbers of each sample, for the head

    @property
    def history_mask(self) -> Bool[Tensor, "B T"]:
        """True where the history holds a behaviour."""
        assert self.history is not None
        return self.history[..., 0] != 0

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Int[Tensor, "n"] | slice) -> "Batch":
        """The samples at `rows`."""
        held: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        taken: dict[str, Any] = {k: None if v is None else v[rows] for k, v in held.items()}
        return Batch(**taken)

    def to(self, device: torch.device | str) -> "Batch":
        """The same samples on `device`."""
        held: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {k: None if v is None else v.to(device) for k, v in held.items()}
        return Batch(**moved)
