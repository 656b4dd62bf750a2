"""A gated recurrence a block of rows at a time: what lies between products and loops stays cached.

Symbols: B rows; n places, those of padding included if there is any; D of an input; H of a state,
H' its strips (see the kernel); G = 3H.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from rokkit.layers.packing import Rows
from rokkit.layers.recurrence_kernel import LANES, ROWS, SPAN, run, run_backward

PLACES = 2048  # of a block


class Recurrence(torch.autograd.Function):
    """All states and the last ones; gates are kept for the way back, if there is one.

    Products go into given tensors throughout, which autocast leaves alone.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weights: Tensor | None,
        entering: Tensor,
        entering_bias: Tensor,
        staying: Tensor,
        staying_bias: Tensor,
        rows: Rows,
        torch_order: bool,
        learning: bool,
    ) -> tuple[Tensor, Tensor]:
        """[n, H] and [B, H], from inputs [n, D], weights [n], matrices [G, D] and [G, H]."""
        inputs, width = inputs.contiguous(), staying.shape[1]
        shares = inputs.new_empty(0) if weights is None else weights.contiguous()
        blocks, strips = list(_blocks(rows)), -(-width // LANES)
        states = inputs.new_empty(len(inputs), strips, LANES)
        last = inputs.new_empty(len(rows.count), strips, LANES)
        by_input, by_bias = _filled(entering).flatten(0, 1).t(), _filled(entering_bias).flatten()
        matrix, bias = _in_strips(_filled(staying).transpose(1, 2)), _filled(staying_bias)
        entered, kept = inputs.new_empty(_most(blocks), 3 * strips * LANES), []
        for block in blocks:
            at = block.places
            x = entered[: at.stop - at.start]
            torch.addmm(by_bias, inputs[at], by_input, out=x)
            gates = inputs.new_empty(4 * strips * SPAN * block.steps if learning else 0)
            x, biases = x.view(-1, 3, strips, LANES), bias.view(3, strips, LANES)
            given, found = (x, shares[at], matrix, biases), (states[at], last[block.rows], gates)
            run(*_arrays(*given), *block.where, torch_order, *_arrays(*found))
            kept.append(gates)
        ctx.save_for_backward(inputs, weights, entering, staying, states)
        ctx.kept, ctx.blocks, ctx.torch_order = kept, blocks, torch_order
        ctx.set_materialize_grads(False)
        return states.flatten(1)[:, :width], last.flatten(1)[:, :width]

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_states: Tensor | None, of_last: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Gradients by all that a number can be changed of."""
        inputs, weights, entering, staying, states = ctx.saved_tensors
        width, strips = staying.shape[1], states.shape[1]
        whole = strips * LANES
        shares = inputs.new_empty(0) if weights is None else weights.contiguous()
        of_shares, of_inputs = torch.empty_like(shares), torch.empty_like(inputs)
        matrix, by_gates = _in_strips(_filled(staying)), _filled(entering).roll(1, 0).flatten(0, 1)
        of_entering, of_staying = torch.zeros_like(by_gates), inputs.new_zeros(3 * whole, whole)
        of_bias = inputs.new_zeros(4 * strips * SPAN)
        pre, before = (inputs.new_empty(_most(ctx.blocks), k * whole) for k in (4, 1))
        of_states, of_last = (_gradient(t, strips) for t in (of_states, of_last))
        for block, gates in zip(ctx.blocks, ctx.kept, strict=True):
            at = block.places
            of_pre, h = pre[: at.stop - at.start], before[: at.stop - at.start]
            given = (of_states[at], of_last[block.rows], shares[at], matrix)
            places = (of_pre.view(-1, 4, strips, LANES), h.view(-1, strips, LANES))
            found = (states[at], gates, *places, of_bias, of_shares[at])
            run_backward(*_arrays(*given), *block.where, ctx.torch_order, *_arrays(*found))
            torch.mm(of_pre[:, : 3 * whole], by_gates, out=of_inputs[at])
            of_entering.addmm_(of_pre[:, : 3 * whole].t(), inputs[at])
            of_staying.addmm_(of_pre[:, whole:].t(), h)
        of_c, of_0, of_1, of_held = of_bias.view(4, strips, -1, LANES).sum(2).flatten(1)[:, :width]
        return (
            of_inputs,
            None if weights is None else of_shares,
            of_entering.view(3, whole, -1)[:, :width].roll(-1, 0).flatten(0, 1),
            torch.cat([of_0, of_1, of_c]),
            of_staying.view(3, whole, whole)[:, :width, :width].flatten(0, 1),
            torch.cat([of_0, of_1, of_held]),
            None,
            None,
            None,
        )


@dataclass(frozen=True)
class _Block:
    """Some rows; `where` are first, count and end of each among the block's places, and an order.

    `steps` are those that its gates are kept of.
    """

    rows: slice
    places: slice
    where: tuple[NDArray[np.int64], ...]
    steps: int


def _blocks(rows: Rows) -> Iterator[_Block]:
    """Rows of up to PLACES places together, or few with more."""
    first, count, end = _arrays(rows.first, rows.count, rows.end)
    begin = 0
    while begin < len(count):
        stop = int(np.searchsorted(end, first[begin] + PLACES, side="right"))
        if stop < len(count):  # each ROWS rows are looked at together
            stop = min(max(stop - (stop - begin) % ROWS, begin + ROWS), len(count))
        its, start = slice(begin, stop), int(first[begin])
        order = np.argsort(-count[its], kind="stable")
        where = (first[its] - start, count[its], end[its] - start, order)
        steps = int(count[its][order[::ROWS]].sum())
        yield _Block(its, slice(start, int(end[stop - 1])), where, steps)
        begin = stop


def _most(blocks: list[_Block]) -> int:
    """Places of the largest."""
    return max((block.places.stop - block.places.start for block in blocks), default=0)


def _arrays(*tensors: Tensor) -> Iterator[NDArray[Any]]:
    return (tensor.detach().numpy() for tensor in tensors)


def _gradient(gradient: Float[Tensor, "m H"] | None, strips: int) -> Tensor:
    """[m, H', LANES], or empty if there is none."""
    if gradient is None:
        return torch.empty(0, strips, LANES)
    missing = strips * LANES - gradient.shape[1]
    wide = functional.pad(gradient, (0, missing)) if missing else gradient
    return wide.contiguous().view(-1, strips, LANES)


def _filled(parameter: Float[Tensor, "G *_"]) -> Float[Tensor, "3 _ *_"]:
    """Its three gates, each with zeros up to whole strips."""
    each = parameter.detach().view(3, -1, *parameter.shape[1:])
    missing = -each.shape[1] % LANES
    return functional.pad(each, (0, 0) * (each.dim() - 2) + (0, missing)) if missing else each


def _in_strips(matrices: Float[Tensor, "3 I J"]) -> Float[Tensor, "_"]:
    """What `_add_products` of the kernel wants for each gate: all rows of a strip of columns."""
    rows, columns = (-size % LANES for size in matrices.shape[1:])
    wide = functional.pad(matrices, (0, columns, 0, rows)) if rows or columns else matrices
    return wide.reshape(3, wide.shape[1], -1, LANES).transpose(1, 2).flatten()
