"""Where behaviours lie that are held without the padding between them, or with it.

Symbols: B rows; T places of each, padding included; n behaviours, or places, over all rows.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Row b has `count[b]` behaviours from `first[b]` on, and padding from there to `end[b]`."""

    first: Int[Tensor, "B"]
    count: Int[Tensor, "B"]
    end: Int[Tensor, "B"]

    @classmethod
    def padded(cls, count: Int[Tensor, "B"] | None, rows: int, steps: int) -> "Rows":
        """B = `rows` rows of T = `steps` places each; without `count` each has a behaviour."""
        end = torch.arange(1, rows + 1) * steps
        return cls(end - steps, torch.full_like(end, steps) if count is None else count, end)


@dataclass(frozen=True)
class PackedRows(Rows):
    """Rows without padding between them: behaviour i of all lies at `place[i]` of the padded ones.

    It is of row `row[i]`. `mask` holds where the padded ones have a behaviour.
    """

    place: Int[Tensor, "n"]
    row: Int[Tensor, "n"]
    mask: Bool[Tensor, "B T"]

    @classmethod
    def of(cls, mask: Bool[Tensor, "B T"]) -> "PackedRows":
        """Those of a mask under which each row's behaviours come first."""
        count = mask.sum(1)
        end = count.cumsum(0)
        place = mask.flatten().nonzero().squeeze(1)
        return cls(end - count, count, end, place, place // mask.shape[1], mask)

    def pack(self, padded: Tensor) -> Tensor:
        """[n, …] of [B, T, …]."""
        return padded.flatten(0, 1).index_select(0, self.place)

    def unpack(self, packed: Tensor) -> Tensor:
        """[B, T, …] of [n, …], zero at padding."""
        return unpacked(packed, self.place, self.mask)

    def softmax(self, scores: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        """That of each row's own."""
        return packed_softmax(scores, self.place, self.mask)


def unpacked(packed: Tensor, place: Int[Tensor, "n"], mask: Bool[Tensor, "B T"]) -> Tensor:
    """[B, T, …] of what lies at `place` of the flattened mask, [n, …]; zero elsewhere."""
    spread = packed.new_zeros(mask.numel(), *packed.shape[1:])
    return spread.index_copy(0, place, packed).view(*mask.shape, *packed.shape[1:])


def packed_softmax(
    scores: Float[Tensor, "n"], place: Int[Tensor, "n"], mask: Bool[Tensor, "B T"]
) -> Float[Tensor, "n"]:
    """Softmax over the scores of each row, which lie at `place` of the flattened mask."""
    spread = scores.new_full((mask.numel(),), torch.finfo(scores.dtype).min)
    weights = spread.index_copy(0, place, scores).view(mask.shape).softmax(1)
    return weights.flatten().index_select(0, place)
