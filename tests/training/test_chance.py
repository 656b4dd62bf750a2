"""Seeds, generators and devices."""

import random

import numpy as np
import pytest
import torch

from rokkit.errors import ConfigError
from rokkit.training import resolve_device, seed_everything
from rokkit.training.order import Order
from rokkit.training.seeds import random_state, restore_random_state

CPU = torch.device("cpu")


def draws():
    return torch.rand(3).tolist(), np.random.random(3).tolist(), random.random()  # noqa: NPY002


def test_a_seed_fixes_every_generator():
    seed_everything(5)
    first = draws()
    seed_everything(5)
    assert draws() == first
    seed_everything(6)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_a_state_brings_every_generator_back(tmp_path):
    """Also after torch has written and read it as plain data, and after an odd normal draw."""
    np.random.normal()  # noqa: NPY002 - leaves half a pair behind
    torch.save(random_state(CPU), tmp_path / "s")
    expected = draws(), np.random.normal()  # noqa: NPY002
    draws()
    restore_random_state(torch.load(tmp_path / "s", weights_only=True), CPU)
    assert (draws(), np.random.normal()) == expected  # noqa: NPY002


def test_a_seed_must_fit_numpy():
    with pytest.raises(ConfigError, match="seed is -1"):
        seed_everything(-1)


def test_the_order_draws_from_no_global_generator():
    seed_everything(0)
    before = torch.get_rng_state()
    Order(10, 4, 0).permutation(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_orders_of_neighbouring_seeds_and_epochs_are_unrelated():
    """Kills seed + epoch: epoch 1 of seed 0 would be epoch 0 of seed 1."""
    orders = {tuple(Order(50, 4, s).permutation(e).tolist()) for s in range(4) for e in range(4)}
    assert len(orders) == 16


def test_devices():
    assert resolve_device("cpu") == CPU
    with pytest.raises(ConfigError, match="Did you mean 'cuda'"):
        resolve_device("cudda")
    with pytest.raises(ConfigError, match="'mps:1' is not known"):
        resolve_device("mps:1")


def test_auto_takes_what_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == CPU
    for name in ("cuda", "mps"):
        with pytest.raises(ConfigError, match=f"device is '{name}'.*'auto' or 'cpu'"):
            resolve_device(name)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto").type == "cuda"
    assert resolve_device("cuda:1").index == 1
    with pytest.raises(ConfigError, match="cuda:0 to cuda:1"):
        resolve_device("cuda:2")
