"""Self-attention over a few tokens, in heads.

Symbols: B batch; F tokens; n heads; w width of all heads together; W = 3w.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from rokkit.layers.loops import worth_a_loop


def self_attended(qkv: Float[Tensor, "B F W"], heads: int) -> Float[Tensor, "B F w"]:
    """softmax(Q Kᵀ / √(w/n)) V per head (Vaswani et al., NeurIPS'17, §3.2); no mask.

    `qkv` has Q, K and V side by side, each in its heads side by side; `heads` n divides w.
    Compiled loops do it for a block of rows at a time, where they apply: torch's product of many
    small matrices takes longer than the larger products around it.
    """
    by_head = qkv.reshape(*qkv.shape[:2], 3, heads, -1)  # [B, F, 3, n, w / n]
    if worth_a_loop(qkv):
        attended: Tensor = _SelfAttention.apply(by_head)  # type: ignore[no-untyped-call]
        return attended.flatten(2)
    q, k, v = by_head.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, n, F, w / n]
    # torch's own function is made for long rows: over eight fields a step takes a fifth longer.
    weights = (q @ k.mT / math.sqrt(q.shape[3])).softmax(3)  # [B, n, F, F]
    mixed: Tensor = (weights @ v).transpose(1, 2).flatten(2)
    return mixed


class _SelfAttention(torch.autograd.Function):
    """[B, F, 3, n, c] -> [B, F, n, c] by the compiled loops."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor) -> Tensor:
        # What is compiled is long to import.
        from rokkit.layers.self_attention_kernel import LANES, mix, scores

        qkv = qkv.contiguous()
        b, f, _, n, c = qkv.shape
        weights, out = qkv.new_empty(-(-b // LANES), n, f, f, LANES), qkv.new_empty(b, f, n, c)
        given, held = qkv.detach().numpy(), weights.numpy()
        scores(given, held)
        weights.exp_()
        mix(given, held, out.numpy())
        ctx.save_for_backward(qkv, weights)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_out: Tensor) -> Tensor:
        from rokkit.layers.self_attention_kernel import attend_backward

        qkv, weights = ctx.saved_tensors
        of_qkv = torch.empty_like(qkv)
        held = (qkv, weights, of_out.contiguous(), of_qkv)
        attend_backward(*(t.detach().numpy() for t in held))
        return of_qkv
