"""Settings are frozen dataclasses; this module fills them from plain mappings, strictly."""

import dataclasses
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import yaml

from rokkit.errors import ConfigError, unknown_name

C = TypeVar("C")


def build(cls: type[C], values: Mapping[str, Any], *, where: str) -> C:
    """An instance of the dataclass `cls` from `values`.

    Raises ConfigError for a key that is not a field (with the nearest one) and for a value whose
    type does not fit the annotation. Range checks belong to `__post_init__` of `cls`; its
    ConfigError passes through. `where` names the origin in messages, such as a file.
    """
    hints = typing.get_type_hints(cls)
    fields = [f.name for f in dataclasses.fields(cls) if f.init]  # type: ignore[arg-type]
    ready = {}
    for name, value in values.items():
        if name not in fields:
            raise ConfigError(f"{where}: " + unknown_name("setting", name, fields))
        ready[name] = check_type(value, hints[name], where=f"{where}: {name}")
    return cls(**ready)


def check_type(value: Any, annotation: Any, *, where: str) -> Any:
    """`value`, as the type that `annotation` asks for; ConfigError if it does not fit.

    An int fits a float, a list fits a tuple; nothing else is converted (a bool is no int).
    """
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        for option in args:
            try:
                return check_type(value, option, where=where)
            except ConfigError:
                continue
        raise _misfit(value, annotation, where)
    if annotation is type(None):
        if value is None:
            return None
    elif origin is typing.Literal:
        if value in args:
            return value
        if isinstance(value, str):
            raise ConfigError(f"{where}: " + unknown_name("value", value, map(str, args)))
    elif annotation is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif annotation is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif origin in (tuple, list) or annotation in (tuple, list):
        if isinstance(value, Sequence) and not isinstance(value, str):
            kinds = _kinds(annotation, len(value))
            if len(kinds) != len(value):
                raise _misfit(value, annotation, where)
            items = [
                check_type(v, kind, where=f"{where}[{i}]")
                for i, (v, kind) in enumerate(zip(value, kinds, strict=True))
            ]
            return tuple(items) if tuple in (origin, annotation) else items
    elif origin is dict or annotation is dict:
        if isinstance(value, Mapping):
            return dict(value)
    elif dataclasses.is_dataclass(annotation):
        if isinstance(value, annotation):  # type: ignore[arg-type]
            return value
        if isinstance(value, Mapping):
            return build(annotation, value, where=where)  # type: ignore[arg-type]
    elif isinstance(value, annotation):
        return value
    raise _misfit(value, annotation, where)


def options(pairs: Sequence[str], *, where: str) -> dict[str, Any]:
    """A mapping from texts such as `["train_rows=80000", "split=global"]`.

    Values are read as YAML scalars. ConfigError for a text without `=`, a repeated key or a value
    that is no YAML.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{where}: {pair!r} is not an option; write it as key=value.")
        if key.strip() in found:
            raise ConfigError(f"{where}: {key.strip()!r} is given twice.")
        try:
            found[key.strip()] = read_yaml(text)
        except yaml.YAMLError:
            raise ConfigError(f"{where}: the value of {pair!r} cannot be read as YAML.") from None
    return found


def read_yaml(text: str) -> Any:
    """The value of a YAML text; 1e-3 is a number, which YAML 1.1 takes for a text.

    yaml.YAMLError if it cannot be read.
    """
    return yaml.load(text, Loader=_Loader)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """PyYAML's safe loader, with the numbers people write."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def require(ok: bool, name: str, value: Any, expected: str) -> None:
    """Raise ConfigError that names the setting, its value and what was expected, unless `ok`."""
    if not ok:
        raise ConfigError(f"{name} is {value!r}; expected {expected}.")


def _kinds(annotation: Any, n: int) -> Sequence[Any]:
    """What each of `n` items has to be; tuple[A, B] asks for an A and a B, whatever n is."""
    args = typing.get_args(annotation)
    if typing.get_origin(annotation) is tuple and Ellipsis not in args:
        return args
    return [args[0] if args else Any] * n


def _misfit(value: Any, annotation: Any, where: str) -> ConfigError:
    wanted = getattr(annotation, "__name__", None) if not typing.get_args(annotation) else None
    return ConfigError(
        f"{where} is {value!r} ({type(value).__name__}); expected {wanted or annotation}."
    )
