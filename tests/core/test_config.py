"""rokkit.config: settings are filled strictly, and messages name the remedy."""

from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rokkit.config import build, check_type, options
from rokkit.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Inner:
    width: int = 3


@dataclass(frozen=True, kw_only=True)
class Outer:
    alpha: float = 0.5
    seeds: tuple[int, ...] = (0,)
    kind: Literal["fix", "g"] = "fix"
    path: str | None = None
    inner: Inner = Inner()


def test_values_take_the_declared_types() -> None:
    made = build(Outer, {"alpha": 1, "seeds": [1, 2], "inner": {"width": 7}}, where="test")
    assert made == Outer(alpha=1.0, seeds=(1, 2), inner=Inner(width=7))
    assert isinstance(made.alpha, float)
    assert isinstance(made.seeds, tuple)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alhpa": 1.0}, "'alhpa' is not known. Did you mean 'alpha'?"),
        ({"inner": {"widht": 1}}, "inner: setting 'widht' is not known. Did you mean 'width'?"),
        ({"alpha": "much"}, "f.yaml: alpha is 'much' (str); expected float."),
        ({"alpha": True}, "alpha is True (bool); expected float."),
        ({"seeds": [1, "two"]}, "seeds[1] is 'two' (str); expected int."),
        ({"seeds": 3}, "seeds is 3 (int)"),
        ({"seeds": "012"}, "seeds is '012' (str)"),
        ({"kind": "fx"}, "value 'fx' is not known. Did you mean 'fix'?"),
        ({"path": 3}, "path is 3 (int)"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(Outer, values, where="f.yaml")
    assert message in str(caught.value)


def test_options_are_read_as_yaml_scalars() -> None:
    assert options(["a=1", "b = 0.5", "c=global", "d=", "e=true", "f=x=y"], where="--option") == {
        "a": 1,
        "b": 0.5,
        "c": "global",
        "d": None,
        "e": True,
        "f": "x=y",
    }


@pytest.mark.parametrize("pairs", [["a"], ["=1"], ["a=1", "a=2"]])
def test_malformed_options_are_refused(pairs: list[str]) -> None:
    with pytest.raises(ConfigError, match="--option"):
        options(pairs, where="--option")


@given(st.integers())
def test_an_int_is_a_float_but_a_float_is_no_int(value: int) -> None:
    assert check_type(value, float, where="v") == float(value)
    with pytest.raises(ConfigError):
        check_type(float(value), int, where="v")
