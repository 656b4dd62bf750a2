"""Where compiled loops can take the place of torch's operations."""

import torch
from torch import Tensor

from rokkit.machine import compiles

MANY = 512  # rows from which on a loop pays without a way back too; few are asked for one by one


def loops_apply(tensor: Tensor) -> bool:
    """True for float32 on the CPU, while nothing is traced, where numba is installed."""
    return (
        tensor.device.type == "cpu"
        and tensor.dtype == torch.float32
        and not torch.compiler.is_compiling()
        and compiles()
    )


def worth_a_loop(tensor: Tensor) -> bool:
    """True where a layer over the rows of `tensor` gains by loops and blocks of its own.

    Not under autocast, which chooses the type of each product itself.
    """
    return (
        loops_apply(tensor)
        and not torch.is_autocast_enabled(tensor.device.type)
        and (torch.is_grad_enabled() or tensor.shape[0] >= MANY)
    )
