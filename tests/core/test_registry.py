"""rokkit.registry: names, nearest names, and registering twice."""

import pytest

from rokkit.errors import ConfigError
from rokkit.registry import Registry


def filled() -> Registry[type]:
    registry: Registry[type] = Registry("animal")
    registry.register("heron", {"legs": 2})(int)
    registry.register("horse")(str)
    return registry


def test_names_and_meta() -> None:
    registry = filled()
    assert registry.names() == ["heron", "horse"]
    assert registry.names("hor*") == ["horse"]
    assert registry.get("heron") is int
    assert registry.entry("heron").meta == {"legs": 2}


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"animal 'hores' is not known\. Did you mean 'horse'\?"):
        filled().get("hores")


def test_taken_name_is_refused_but_a_cell_may_run_twice() -> None:
    registry = filled()
    with pytest.raises(ConfigError, match=r"already registered by builtins\.str"):
        registry.register("horse")(float)
    first = type("Mine", (), {"__module__": "__main__"})
    second = type("Mine", (), {"__module__": "__main__"})
    registry.register("mine")(first)
    registry.register("mine")(second)
    assert registry.get("mine") is second


def test_remove() -> None:
    registry = filled()
    registry.remove("horse")
    assert registry.names() == ["heron"]
    with pytest.raises(ConfigError):
        registry.remove("horse")
