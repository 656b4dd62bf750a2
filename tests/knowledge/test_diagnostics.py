"""Collapse, effective rank and R² on data whose values are known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rokkit.knowledge import collapse_level, effective_rank, imitation_r2


def normal(rows, width, seed=0):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def test_isotropic_rows_are_healthy():
    z = normal(5000, 8)
    assert collapse_level(z) < 0.01
    assert effective_rank(z) == pytest.approx(8, rel=0.01)


def test_one_direction_is_collapsed():
    # Lengths differ, directions do not.
    z = torch.tensor([[1.0, 2, -1]]) * torch.rand(50, 1, generator=torch.Generator().manual_seed(0))
    assert collapse_level(z) == pytest.approx(1, abs=1e-4)
    assert effective_rank(z) == pytest.approx(1, abs=1e-3)


def test_collapse_by_hand():
    # Directions ±e_1: spreads 1 and 0, mean 1/2, against 1/√2.
    z = torch.tensor([[3.0, 0], [-2, 0], [1, 0], [-1, 0]])
    assert collapse_level(z) == pytest.approx(1 - 0.5 * 2**0.5)


def test_equal_rows_have_rank_0_and_are_collapsed():
    z = torch.full((10, 4), 3.0)
    assert effective_rank(z) == 0
    assert collapse_level(z) == pytest.approx(1)


def test_zero_rows_are_collapsed_and_finite():
    assert collapse_level(torch.zeros(5, 3)) == 1
    assert effective_rank(torch.zeros(5, 3)) == 0


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_effective_rank_of_equal_singular_values_is_their_number(rank):
    # Kills squared singular values, and a mean that is not taken away.
    block = torch.cat([torch.eye(rank), -torch.eye(rank)])
    z = torch.cat([block, torch.zeros(2 * rank, 6 - rank)], 1) * 7 + 5
    assert effective_rank(z) == pytest.approx(rank, rel=1e-3)


def test_effective_rank_by_hand():
    # Singular values 3 and 1: shares 3/4 and 1/4, entropy .5623.
    z = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]])
    assert effective_rank(z) == pytest.approx(1.7548, abs=1e-4)


@given(st.integers(2, 20), st.integers(1, 6), st.integers(0, 99), st.floats(1e-3, 1e3))
def test_both_keep_their_bounds_and_ignore_scale(rows, width, seed, scale):
    z = normal(rows, width, seed)
    assert 0 <= collapse_level(z) <= 1
    assert collapse_level(z * scale) == pytest.approx(collapse_level(z), abs=1e-5)
    assert 1 - 1e-6 <= effective_rank(z) <= min(width, rows) + 1e-6
    assert effective_rank(z * scale) == pytest.approx(effective_rank(z), rel=1e-3)


def test_r2_per_block_by_hand():
    r = torch.tensor([[0.0, 1, 5], [2, 3, 5], [4, 2, 5]])
    z = torch.tensor([[0.0, 2, 5], [2, 2, 5], [4, 2, 5]])
    found = imitation_r2(z, r, {"features": slice(0, 2), "labels": slice(2, 3)})
    # Squares around the means: 8, 2 and 0; missed: 0, 2 and 0.
    assert found == pytest.approx({"all": 0.8, "features": 0.8, "labels": 1.0})
    assert imitation_r2(z, r, {"a": slice(0, 1), "b": slice(1, 2)})["b"] == pytest.approx(0)


def test_r2_below_zero_where_z_is_worse_than_the_mean():
    r = torch.tensor([[0.0], [2.0]])
    assert imitation_r2(-r, r, {}) == {"all": 1 - 16 / 2}


def test_r2_of_parts_of_the_samples_adds_up_to_that_of_all():
    """What is missed adds up; what varies does too, with the spread between the parts' means.

    Kills a mean of all samples in a part's R², and means over rows or dimensions of ratios.
    """
    r, z = normal(40, 3) * torch.tensor([1.0, 5, 0.2]), normal(40, 3, 1)
    r[:15] += 2
    missed = varied = 0.0
    for part in (slice(0, 15), slice(15, 40)):
        rows = r[part].double().numpy()
        varies = ((rows - rows.mean(0)) ** 2).sum()
        missed += (1 - imitation_r2(z[part], r[part], {})["all"]) * varies
        varied += varies + len(rows) * ((rows.mean(0) - r.double().numpy().mean(0)) ** 2).sum()
    assert imitation_r2(z, r, {})["all"] == pytest.approx(1 - missed / varied, rel=1e-9)


@pytest.mark.parametrize("value", [0.1, 1 / 3, -123.456])
@pytest.mark.parametrize("rows", [1, 3, 7, 1001])
def test_r2_of_rows_that_are_all_alike_is_no_quotient_of_rounding_errors(value, rows):
    """As r of cold samples is where none of them has a neighbour."""
    r = torch.full((rows, 2), value) / 0.0123
    assert imitation_r2(r + 1, r, {})["all"] == 0
    assert imitation_r2(r, r, {})["all"] == 1


def test_r2_of_a_block_that_does_not_vary():
    r = torch.full((3, 1), 2.0)
    assert imitation_r2(r, r, {})["all"] == 1
    assert imitation_r2(r + 1, r, {})["all"] == 0


def test_r2_is_the_same_after_a_shift_of_both():
    r, z = normal(50, 3), normal(50, 3, 1)
    assert imitation_r2(z + 100, r + 100, {})["all"] == pytest.approx(
        imitation_r2(z, r, {})["all"], rel=1e-4
    )
