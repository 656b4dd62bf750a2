"""Gated recurrences by compiled loops, one row at a time, where they apply.

Symbols: B batch; T steps; D of an input; H of a state.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rokkit.layers.loops import loops_apply


class GRU(nn.GRU):
    """torch's GRU of one layer over rows whose behaviours come first, `count` of them, or all.

    States after a row's last behaviour mean nothing.
    """

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, in_dim: int, state_dim: int) -> None:
        super().__init__(in_dim, state_dim, batch_first=True)

    def forward(  # type: ignore[override]
        self, inputs: Float[Tensor, "B T D"], count: Int[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B T H"]:
        """The states h_1 … h_T, from zero."""
        if not loops_apply(inputs):
            states: Tensor = super().forward(inputs)[0]
            return states
        entering = nn.functional.linear(inputs, self.weight_ih_l0, self.bias_ih_l0)
        weights = entering.new_ones(entering.shape[:2])
        return recur(entering, weights, self.weight_hh_l0, self.bias_hh_l0, count, torch_order=True)


def recur(
    entering: Float[Tensor, "B T G"],
    weights: Float[Tensor, "B T"],
    staying: Float[Tensor, "G H"],
    bias: Float[Tensor, "G"],
    count: Int[Tensor, "B"] | None,
    *,
    torch_order: bool,
) -> Float[Tensor, "B T H"]:
    """The states of the equations in `recurrence_kernel`, G = 3H; where `loops_apply`.

    In float32 under autocast too.
    """
    if count is None:
        count = torch.full(weights.shape[:1], weights.shape[1])
    states: Tensor = _Recurrence.apply(  # type: ignore[no-untyped-call]
        entering.float(),
        weights.float(),
        staying,
        bias,
        count,
        torch_order,
        torch.is_grad_enabled(),
    )
    return states


class _Recurrence(torch.autograd.Function):
    """Keeps the gates of each step for the way back, if there is one."""

    @staticmethod
    def forward(
        ctx: Any,
        entering: Tensor,
        weights: Tensor,
        staying: Tensor,
        bias: Tensor,
        count: Tensor,
        torch_order: bool,
        learning: bool,
    ) -> Tensor:
        from rokkit.layers.recurrence_kernel import run  # what is compiled is long to import

        (n, steps), width = weights.shape, staying.shape[1]
        entering, weights = entering.contiguous(), weights.contiguous()
        states = entering.new_empty(n, steps, width)
        kept = n if learning else 0
        gates = entering.new_empty(kept, steps, 4 * width)
        across = staying.t().contiguous()
        given = (t.detach().numpy() for t in (entering, weights, across, bias, count))
        run(*given, torch_order, states.numpy(), gates.numpy())
        ctx.save_for_backward(weights, staying, count, states, gates)
        ctx.torch_order = torch_order
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_states: Tensor) -> tuple[Tensor | None, ...]:
        from rokkit.layers.recurrence_kernel import run_backward

        weights, staying, count, states, gates = ctx.saved_tensors
        (n, steps), width = weights.shape, staying.shape[1]
        of_entering, of_held = (states.new_empty(n, steps, k * width) for k in (3, 1))
        of_weights = torch.empty_like(weights)
        given = (of_states.contiguous(), weights, staying.contiguous(), count)
        run_backward(
            *(t.detach().numpy() for t in given),
            ctx.torch_order,
            *(t.detach().numpy() for t in (states, gates, of_entering, of_held, of_weights)),
        )
        of_gates, of_held = of_entering.flatten(0, 1)[:, : 2 * width], of_held.flatten(0, 1)
        before = nn.functional.pad(states[:, :-1], (0, 0, 1, 0)).flatten(0, 1)
        of_staying = torch.cat([of_gates.t() @ before, of_held.t() @ before])
        of_bias = torch.cat([of_gates.sum(0), of_held.sum(0)])
        return of_entering, of_weights, of_staying, of_bias, None, None, None
