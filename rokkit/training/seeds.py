"""Chance: seeded in one place, saved and put back as a whole."""

import random
from typing import Any

import numpy as np
import torch

from rokkit.config import require


def seed_everything(seed: int) -> None:
    """Seed torch on all devices, NumPy's global generator and Python's.

    rokkit itself draws from torch alone; the other two are for models brought by the user.
    """
    require(0 <= seed < 2**32, "seed", seed, "0 to 2**32 - 1")
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the global generator is what is seeded


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of every generator that a step on `device` may draw from.

    It holds tensors and plain numbers only, so `torch.load(weights_only=True)` reads it.
    """
    _, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest],
        "python": random.getstate(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put back what `random_state` returned."""
    torch.set_rng_state(state["torch"])
    keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(  # noqa: NPY002
        ("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss)
    )
    random.setstate(state["python"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    elif device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])
