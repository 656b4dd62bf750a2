"""The knobs of a twin: ranges, names, what they are hashed to; and its seeded draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rokkit.data.twin import Quirks, TwinOptions
from rokkit.data.twin.draws import (
    Lottery,
    Scatter,
    apportion,
    flattened,
    power,
    ranks,
    root,
    stream,
)
from rokkit.errors import ConfigError


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("rows", 999),
        ("seed", -1),
        ("item_tail", 3),
        ("taste_share", 1.1),
        ("repeat_share", -0.1),
        ("taste_life", 0.0),
        ("tastes", 0),
        ("styles", 0),
        ("memory", 0),
        ("session_length", 0.5),
        ("dirt", -1.0),
    ],
)
def test_a_value_outside_its_range_is_named(knob: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{knob} is {value}; expected"):
        TwinOptions(format="tmall", **{knob: value})  # type: ignore[arg-type]


def test_an_unknown_format_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'taobao'"):
        TwinOptions(format="taobo")  # type: ignore[arg-type]


@pytest.mark.parametrize("quirk", ["zero_padded", "float_brands"])
def test_quirks_of_columns_that_are_not_there(quirk: str) -> None:
    quirks = Quirks(**{quirk: True})
    assert TwinOptions(format="tmall", quirks=quirks).quirks == quirks
    with pytest.raises(ConfigError, match=f"quirks.{quirk} is True"):
        TwinOptions(format="alipay", quirks=quirks)


def test_every_knob_is_in_the_digest() -> None:
    plain = TwinOptions(format="taobao")
    others = [
        TwinOptions(format="tmall"),
        TwinOptions(format="taobao", rows=1001),
        TwinOptions(format="taobao", seed=1),
        TwinOptions(format="taobao", dirt=0.0),
        TwinOptions(format="taobao", quirks=Quirks(bom=True)),
    ]
    assert len({one.digest for one in [plain, *others]}) == 6
    assert TwinOptions(format="taobao").digest == plain.digest


@given(st.integers(1, 5_000), st.integers(0, 10_000))
def test_scattered_ids_are_one_to_one(n: int, spare: int) -> None:
    ids = Scatter(n, n + spare)(np.arange(n))
    assert len(np.unique(ids)) == n
    assert ids.min() >= 1
    assert ids.max() <= n + spare


@given(st.lists(st.integers(1, 2**24), min_size=1, max_size=50), st.integers(0, 200_000))
def test_apportioned_shares_add_up(weights: list[int], total: int) -> None:
    given_out = apportion(np.array(weights), total)
    assert given_out.sum() == total
    exact = np.array(weights) / sum(weights) * total
    assert (np.abs(given_out - exact) <= 1 + 1e-6).all()


@pytest.mark.parametrize("p", [1, 2, 4, 8, 16, 32])
def test_a_tail_has_the_exponent_it_says(p: int) -> None:
    u = np.array([0.0, 0.25, 0.5, 1.0])
    assert power(u, p) == pytest.approx(u**p)
    assert root(power(u, p), p) == pytest.approx(u)
    assert flattened(u, p) == pytest.approx(0.8 * u**p + 0.2 * u)
    drawn = ranks(stream(0, "test"), np.full(100_000, 50), p)
    assert drawn.min() == 0
    assert drawn.max() <= 49
    below = (drawn < 5).mean()
    assert below == pytest.approx(0.1 ** (1 / p), abs=0.01)


def test_a_lottery_follows_its_weights() -> None:
    drawn = Lottery([1, 0, 3]).draw(stream(1, "test"), 40_000)
    assert set(drawn.tolist()) == {0, 2}
    assert (drawn == 2).mean() == pytest.approx(0.75, abs=0.01)


def test_streams_differ_by_seed_purpose_and_block() -> None:
    first = [
        stream(*of).integers(0, 2**62)
        for of in ((0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1), (0, "a", 0))
    ]
    assert len(set(first)) == 4
    assert first[0] == first[-1]
