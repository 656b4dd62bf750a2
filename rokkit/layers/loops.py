"""Where compiled loops can take the place of torch's operations."""

import torch
from torch import Tensor

from rokkit.machine import compiles


def loops_apply(tensor: Tensor) -> bool:
    """True for float32 on the CPU, while nothing is traced, where numba is installed."""
    return (
        tensor.device.type == "cpu"
        and tensor.dtype == torch.float32
        and not torch.compiler.is_compiling()
        and compiles()
    )
