"""Attention of a target over behaviours in several heads, by products.

Symbols: B batch; K behaviours; n of them that are no padding, over the whole batch; D width of a
target and of a behaviour; A heads; W width of all of them, h = W / A of one.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rokkit.config import require
from rokkit.layers.attention import ActivationUnit, BehaviourAttention, masked_softmax
from rokkit.layers.packing import unpacked

Attention = Literal["unit", "heads", "projected"]  # DIN's, and both of HeadAttention


class HeadAttention(nn.Module):
    """SIM's Exact Search Unit: φ = concat_i Σ_k softmax_k⟨W_b^i z_k, W_a^i q⟩ z_k, [B, A·D].

    (Pi et al., CIKM'20, §3.3.) W_a^i and W_b^i are [h, D]. As the paper has it, products are not
    scaled and z is not projected where it is summed; it names neither A nor h. With `projected` it
    is the attention of Vaswani et al. (NIPS'17, §3.2.2), as in LongCTR's SIM: products divided by
    √h, and φ = W_o concat_i W_v^i Σ_k …, [B, D]. No layer has a bias.

    No behaviour is ever projected: ⟨W_b z, W_a q⟩ = ⟨z, W_bᵀ W_a q⟩, and W_v is applied to what was
    summed, so that a row takes A·D·K products, not D·W·K.
    """

    def __init__(self, dim: int, heads: int, width: int, *, projected: bool = False) -> None:
        """`dim` is D, `heads` A, `width` W. Raises ConfigError if W is no multiple of A."""
        super().__init__()
        require(width % heads == 0, "attention_dim", width, f"a multiple of {heads} heads")
        self.heads = heads
        self.factor = (width // heads) ** -0.5 if projected else 1.0
        self.query = nn.Linear(dim, width, bias=False)  # W_a of all heads
        self.key = nn.Linear(dim, width, bias=False)  # W_b
        self.value = nn.Linear(dim, width, bias=False) if projected else None  # W_v
        self.out = nn.Linear(width, dim, bias=False) if projected else None  # W_o

    def forward(
        self, q: Float[Tensor, "B D"], keys: Float[Tensor, "B K D"], mask: Bool[Tensor, "B K"]
    ) -> Float[Tensor, "B P"]:
        """φ; zero for a row without any behaviour."""
        scores = torch.bmm(self.asked(q), keys.transpose(1, 2))
        weights = masked_softmax(scores, mask[:, None].expand_as(scores))
        return self.joined(torch.bmm(weights, keys))

    def packed(
        self,
        q: Float[Tensor, "B D"],
        k: Float[Tensor, "n D"],
        place: Int[Tensor, "n"],
        mask: Bool[Tensor, "B K"],
    ) -> Float[Tensor, "B P"]:
        """The same of the behaviours k alone, which lie at `place` of the flattened mask."""
        phi: Tensor = self(q, unpacked(k, place, mask), mask)
        return phi

    def asked(self, q: Float[Tensor, "B D"]) -> Float[Tensor, "B A D"]:
        """W_b^iᵀ W_a^i q of each head, divided by √h with `projected`."""
        asked = self.query(q).view(q.shape[0], self.heads, -1).transpose(0, 1)  # [A, B, h]
        key = self.key.weight.view(self.heads, -1, q.shape[1])  # [A, h, D]
        return torch.bmm(asked, key * self.factor).transpose(0, 1)

    def joined(self, sums: Float[Tensor, "B A D"]) -> Float[Tensor, "B P"]:
        """φ, of what each head summed."""
        if self.value is None or self.out is None:
            return sums.flatten(1)
        value = self.value.weight.view(self.heads, -1, sums.shape[2])  # [A, h, D]
        held = torch.bmm(sums.transpose(0, 1), value.transpose(1, 2))  # [A, B, h]
        phi: Tensor = self.out(held.transpose(0, 1).flatten(1))
        return phi


def target_attention(
    kind: Attention, dim: int, hidden: tuple[int, ...], heads: int, width: int
) -> BehaviourAttention | HeadAttention:
    """The attention of that kind over behaviours of width `dim`; `hidden` is of the unit alone."""
    if kind == "unit":
        return BehaviourAttention(ActivationUnit(dim, hidden))
    return HeadAttention(dim, heads, width, projected=kind == "projected")
