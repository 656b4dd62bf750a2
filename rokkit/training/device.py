"""Which device the tensors live on."""

import torch

from rokkit.errors import ConfigError, unknown_name

DEVICES = ("auto", "cpu", "cuda", "mps")


def resolve_device(name: str) -> torch.device:
    """The device called `name`; "auto" takes CUDA, else MPS, else the CPU, whichever is there.

    Raises ConfigError for an unknown name and for a device that torch does not find here.
    """
    kind, _, number = name.partition(":")
    if kind not in DEVICES or (number and (kind != "cuda" or not number.isdigit())):
        raise ConfigError(unknown_name("device", name, DEVICES))
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if kind == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if present[d]))
    if not present[kind]:
        raise ConfigError(
            f"device is {name!r}, but torch {torch.__version__} finds none here. Set device to "
            "'auto' or 'cpu', or install a torch build for it."
        )
    if number and int(number) >= torch.cuda.device_count():
        raise ConfigError(
            f"device is {name!r}; expected cuda:0 to cuda:{torch.cuda.device_count() - 1}."
        )
    return torch.device(name)
