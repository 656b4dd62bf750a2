"""The list of settings that the contract runs with turns every switch of every model."""

import dataclasses
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
import torch
from made_batches import tiny_batch
from made_models import SETTINGS, Tiny, make

from rokkit.data.schema import Schema
from rokkit.errors import ConfigError
from rokkit.models import HeadConfig, list_estimators, list_models, model_entry

ABOVE_0 = "above 0"


def choices(hint: Any) -> tuple[Any, ...]:
    """All values that a setting of this type can have, if they can be told."""
    if hint is bool:
        return (False, True)
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(value for one in get_args(hint) for value in choices(one))
    return ()


def switches(config: type) -> Iterator[tuple[str, Any]]:
    """Each switch with each value away from its default.

    A number that may be 0 is a switch too: at 0 a loss or a limit is left out.
    """
    hints = get_type_hints(config)
    for field in dataclasses.fields(config):
        hint, default = hints[field.name], field.default
        yield from ((field.name, value) for value in choices(hint) if value != default)
        if hint in (int, float) and default == 0:
            yield field.name, ABOVE_0
        elif hint in (int, float) and admits(config, field.name, hint(0)):
            yield field.name, 0


def admits(config: type, name: str, value: float) -> bool:
    """Whether the setting may have this value."""
    try:
        config(**{name: value})
    except ConfigError:
        return False
    return True


def turned(value: Any) -> Any:
    """A value of the list as `switches` has it."""
    return ABOVE_0 if type(value) in (int, float) and value > 0 else value


@pytest.mark.parametrize("name", list_models())
def test_every_switch_of_a_model_is_turned_by_a_setting_of_the_list(name: str) -> None:
    held = [config for model, config in SETTINGS.values() if model == name]
    listed = {(key, turned(value)) for config in held for key, value in config.items()}
    assert set(switches(model_entry(name).meta["config"])) - listed == set()


@pytest.mark.parametrize("name", list_estimators())
def test_the_only_switch_of_an_estimator_is_what_its_contract_runs_over(name: str) -> None:
    hints = get_type_hints(model_entry(name).meta["config"])
    assert {setting for setting, hint in hints.items() if choices(hint)} == {"encoding"}


def test_a_new_switch_is_seen() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Grown(HeadConfig):
        off: bool = False
        on: bool = True
        way: Literal["a", "b", "c"] = "b"
        maybe: Literal["d"] | None = None
        weight: float = 0.0
        share: float = 0.5
        width: int = 3

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.width < 1:
                raise ConfigError("width")

    assert set(switches(Grown)) - set(switches(HeadConfig)) == {
        ("off", True),
        ("on", False),
        ("way", "a"),
        ("way", "c"),
        ("maybe", "d"),
        ("weight", ABOVE_0),
        ("share", 0),
    }


TURNED = [
    (name, config, switch)
    for name, config in SETTINGS.values()
    for switch, value in config.items()
    if value != getattr(model_entry(name).meta["config"](), switch)
]


@pytest.mark.parametrize(("name", "config", "switch"), TURNED)
def test_a_switch_changes_the_model(
    name: str, config: dict[str, Any], switch: str, tiny: Tiny
) -> None:
    # Kills a switch that nothing reads, by which all the contract would hold.
    default = getattr(model_entry(name).meta["config"](), switch)
    assert seen(name, tiny.schema, config) != seen(name, tiny.schema, {**config, switch: default})


def seen(name: str, schema: Schema, config: dict[str, Any]) -> list[Any]:
    """What is trained of a model, what two steps of training see, and what it predicts."""
    model, batch = make(name, "plain", schema, init_std=0.3, **config), tiny_batch(k=12)
    torch.manual_seed(1)
    steps = [model.penalised(batch) for _ in range(2)]
    found: list[Any] = [(key, p.shape, p.requires_grad) for key, p in model.named_parameters()]
    found += [(y.tolist(), None if p is None else p.item()) for y, p in steps]
    return [*found, model.eval()(batch).tolist()]
