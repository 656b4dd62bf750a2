"""Named things that can be chosen by a string: backbones, teachers, sources, engines.

A registry is filled by a decorator, also from a notebook cell or a user's own package.
"""

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from rokkit.errors import ConfigError, unknown_name

T = TypeVar("T")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """What a registry holds under one name."""

    name: str
    target: T
    meta: dict[str, Any] = field(default_factory=dict)


class Registry(Generic[T]):
    """A mapping from names to registered objects of one kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry[T]] = {}

    def register(self, name: str, meta: dict[str, Any] | None = None) -> Callable[[T], T]:
        """Decorator that files its object under `name`.

        Registering the same qualified object again replaces it, so that a notebook cell can be
        run twice; another object under a taken name raises ConfigError.
        """

        def add(target: T) -> T:
            held = self._entries.get(name)
            if held is not None and _identity(held.target) != _identity(target):
                raise ConfigError(
                    f"{self.kind} {name!r} is already registered by {_identity(held.target)}; "
                    f"{_identity(target)} needs another name."
                )
            self._entries[name] = Entry(name, target, dict(meta or {}))
            return target

        return add

    def entry(self, name: str) -> Entry[T]:
        """The entry under `name`; ConfigError with the nearest name if there is none."""
        if name not in self._entries:
            raise ConfigError(unknown_name(self.kind, name, self._entries))
        return self._entries[name]

    def get(self, name: str) -> T:
        """The object registered under `name`."""
        return self.entry(name).target

    def names(self, pattern: str = "*") -> list[str]:
        """Sorted names that match a shell pattern."""
        return sorted(fnmatch.filter(self._entries, pattern))

    def remove(self, name: str) -> None:
        """Forget `name` (tests and notebooks that clean up after themselves)."""
        self.entry(name)
        del self._entries[name]


def _identity(target: Any) -> str:
    return f"{getattr(target, '__module__', '?')}.{getattr(target, '__qualname__', repr(target))}"
