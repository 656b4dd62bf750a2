"""Gated recurrences by compiled loops, some rows at a time, where they apply.

Symbols: B batch; T steps; n places, those of padding included if there is any; D of an input;
H of a state; G = 3H.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rokkit.layers.loops import loops_apply
from rokkit.layers.packing import Rows

Affine = tuple[Tensor, Tensor]  # matrix and bias


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
        rows = Rows.padded(count, *inputs.shape[:2])
        return self.over(inputs.flatten(0, 1), rows).view(*inputs.shape[:2], -1)

    def over(self, inputs: Float[Tensor, "n D"], rows: Rows) -> Float[Tensor, "n H"]:
        """The same of inputs that lie as `rows` says; where `loops_apply`."""
        entering = self.weight_ih_l0, self.bias_ih_l0
        staying = self.weight_hh_l0, self.bias_hh_l0
        return recur(inputs, None, entering, staying, rows, torch_order=True)[0]


def recur(
    inputs: Float[Tensor, "n D"],
    weights: Float[Tensor, "n"] | None,
    entering: Affine,
    staying: Affine,
    rows: Rows,
    *,
    torch_order: bool,
) -> tuple[Float[Tensor, "n H"], Float[Tensor, "B H"]]:
    """All states, and the last ones, of the equations in `recurrence_kernel`; where `loops_apply`.

    `entering` is [G, D] and [G], `staying` [G, H] and [G]. In float32 under autocast too. All
    weights are 1 if there are none.
    """
    inputs, weights = inputs.float(), None if weights is None else weights.float()
    learning = torch.is_grad_enabled()
    if len(rows.count) == 1 and not learning:
        return _of_one_row(inputs, weights, entering, staying, rows, torch_order)
    from rokkit.layers.recurrence_blocks import Recurrence  # what is compiled is long to import

    states, last = Recurrence.apply(  # type: ignore[no-untyped-call]
        inputs, weights, *entering, *staying, rows, torch_order, learning
    )
    return states, last


def _of_one_row(
    inputs: Tensor,
    weights: Tensor | None,
    entering: Affine,
    staying: Affine,
    rows: Rows,
    torch_order: bool,
) -> tuple[Float[Tensor, "n H"], Float[Tensor, "1 H"]]:
    """What `recur` gives where there is one row, and no way back."""
    from rokkit.layers.recurrence_row_kernel import run_row  # what is compiled is long to import

    by_input, input_bias = entering
    by_state, state_bias = staying
    states = inputs.new_empty(len(inputs), by_state.shape[1])
    last = inputs.new_zeros(1, by_state.shape[1])
    its = slice(int(rows.first[0]), int(rows.first[0] + rows.count[0]))
    # Into a given tensor, which autocast leaves alone.
    entered = inputs.new_empty(0, len(by_input))
    torch.addmm(input_bias, inputs[its], by_input.t(), out=entered)
    shares = inputs.new_empty(0) if weights is None else weights[its].contiguous()
    given = (entered, shares, by_state.t().contiguous(), state_bias)
    run_row(*(t.detach().numpy() for t in given), torch_order, states[its].numpy(), last[0].numpy())
    states[its.stop :] = last  # padding leaves it as it is
    return states, last
