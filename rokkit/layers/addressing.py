"""How a Neural Turing Machine finds, reads and writes the slots of its memory (as MIMN has it).

Symbols: B batch; A heads; S slots; D width of a slot; K the keys of the slots; M their content.

Inner products are taken as sums: matrices this small are slower to multiply.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

EPS = 1e-8  # below it a norm counts as this: the cosine with a zero vector is 0


def unit(v: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
    """v/‖v‖; the zero vector stays zero, with a finite gradient."""
    return functional.normalize(v, dim=-1, eps=EPS)


def address(
    keys: Float[Tensor, "B A D"],
    sharpness: Float[Tensor, "B A"],
    memory: Float[Tensor, "B S D"],
    slot_keys: Float[Tensor, "S D"],
) -> Float[Tensor, "B A S"]:
    """softmax_s β · ½(cos(k, K_s) + cos(k, M_s)) for each head; the K_s have norm 1 already."""
    directions = (unit(memory) + slot_keys) / 2
    similarity = (unit(keys)[:, :, None] * directions[:, None]).sum(3)
    return (sharpness[:, :, None] * similarity).softmax(2)


def read(weights: Float[Tensor, "B S"], memory: Float[Tensor, "B S D"]) -> Float[Tensor, "B D"]:
    """Σ_s w_s M_s."""
    return (weights[:, :, None] * memory).sum(1)


def write(
    weights: Float[Tensor, "B S"],
    erase: Float[Tensor, "B D"],
    add: Float[Tensor, "B D"],
    memory: Float[Tensor, "B S D"],
) -> Float[Tensor, "B S D"]:
    """M ∘ (1 − w eᵀ) + w aᵀ; a slot of weight 0 stays as it is."""
    w = weights[:, :, None]
    return memory * (1 - w * erase[:, None]) + w * add[:, None]


def spread(
    weights: Float[Tensor, "B S"], shift: Float[Tensor, "B 3"], focus: Float[Tensor, "B"]
) -> Float[Tensor, "B S"]:
    """w̃^γ/Σ w̃^γ, where w̃_s = s_0 w_s + s_1 w_{s-1} + s_2 w_{s+1}, the slots in a ring.

    (capacity_overflow of mimn.py: a write may move to a slot beside the one addressed.)
    """
    stay, up, down = shift[:, :, None].unbind(1)
    mixed = stay * weights + up * weights.roll(1, 1) + down * weights.roll(-1, 1)
    least = torch.finfo(mixed.dtype).tiny  # the gradient of log 0 is no number
    return (focus[:, None] * mixed.clamp(min=least).log()).softmax(1)


def usage_variance(usage: Float[Tensor, "B S"]) -> Float[Tensor, "B"]:
    """(1/S) Σ_s (u_s − mean u)² of each row: 0 where all slots were written to alike."""
    return usage.float().var(1, correction=0)
