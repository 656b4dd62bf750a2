"""What a source is, and the registry of sources."""

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from rokkit.config import require
from rokkit.data.log import Log
from rokkit.errors import ConfigError, DataError
from rokkit.registry import Registry

S = TypeVar("S", bound="type[Source]")


def location(default: str | None = None) -> Any:
    """An option that says where files lie. It does not shape the samples, so it is not hashed."""
    return dataclasses.field(default=default, metadata={"location": True})


def is_location(option: "dataclasses.Field[Any]") -> bool:
    """Whether an option was declared with `location`."""
    return bool(option.metadata.get("location", False))


def later(default: Any, *, before: Any) -> Any:
    """An option that a source was given after samples had been made without it.

    At the value `before` samples are what they were without it; there it is not hashed, so that
    earlier samples keep their fingerprint. It is this value that counts, not the default.
    """
    return dataclasses.field(default=default, metadata={"before": before})


def is_as_before(option: "dataclasses.Field[Any]", value: Any) -> bool:
    """Whether an option was declared with `later` and has the value it says."""
    return "before" in option.metadata and bool(value == option.metadata["before"])


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Options that every source has; a source's own class inherits from this one."""

    users: int = 0  # size of a seeded sub-sample of users; 0: all
    train_rows: int = 0  # at most so many rows of train, drawn without order; 0: all
    val_rows: int = 0
    test_rows: int = 0
    target_rate: float = 1.0  # probability to keep a line of train, val or test; the pool stays
    seed: int = 0  # of users, negatives and sub-samples
    # All rows before test are learnt from, and find earlier ones alone.
    causal: bool = later(False, before=False)

    def __post_init__(self) -> None:
        for name in ("users", "train_rows", "val_rows", "test_rows", "seed"):
            value = getattr(self, name)
            require(value >= 0, name, value, "a number from 0")
        require(0 < self.target_rate <= 1, "target_rate", self.target_rate, "above 0, at most 1")


class Source(ABC):
    """A raw log somewhere, and how to read it.

    A source of your own: subclass, declare `Options` (a frozen, keyword-only dataclass that
    inherits from `SourceOptions`), write `files` and `read`, and decorate with `register_source`.
    """

    Options: ClassVar[type[SourceOptions]] = SourceOptions
    # Where the raw files come from: a dependency or the set-up, the user, or the source itself.
    raw: ClassVar[Literal["brought", "yours", "made"]] = "yours"
    version: ClassVar[int] = 1  # raise it when `read` changes: samples are then built anew

    def fetch(self) -> Path:
        """Download the raw log if it is not there, and say where it is.

        DataError if this source has nothing to download, or if the download fails.
        """
        raise DataError(
            f"{type(self).__name__} has nothing to fetch: its log comes with a package or is "
            "yours already. Only movielens is fetched."
        )

    @abstractmethod
    def files(self, options: Any) -> Mapping[str, Path]:
        """The raw files the log is made of, by a name that is the same on every machine.

        Their content is part of the samples' fingerprint. DataError with the remedy if the log is
        not there.
        """

    @abstractmethod
    def read(self, options: Any) -> Log:
        """The log. DataError if a file is unfit."""


REGISTRY: Registry[type[Source]] = Registry("data set")


def register_source(name: str, *, title: str = "") -> Callable[[S], S]:
    """Decorator that makes a `Source` class available to `load(name, ...)`.

    ConfigError if the class is no source, if its `Options` are not a frozen dataclass based on
    `SourceOptions`, or if the name is taken by another class.
    """

    # The name becomes part of a folder's name.
    require(re.fullmatch(r"[a-z0-9_-]+", name) is not None, "source name", name, "a-z, 0-9, _, -")

    def add(cls: S) -> S:
        if not (isinstance(cls, type) and issubclass(cls, Source)):
            raise ConfigError(
                f"source {name!r} is {cls!r}; expected a subclass of rokkit's Source."
            )
        options = cls.Options
        fits = (
            isinstance(options, type)
            and issubclass(options, SourceOptions)
            and "__dataclass_params__" in vars(options)
        )
        if not fits:
            raise ConfigError(
                f"source {name!r}: Options is {options!r}; expected a frozen, keyword-only "
                "dataclass that inherits from SourceOptions."
            )
        REGISTRY.register(name, {"title": title, "options": options})(cls)
        return cls

    return add


def list_sources(pattern: str = "*") -> list[str]:
    """Sorted names of the registered data sets that match a shell pattern."""
    return REGISTRY.names(pattern)
