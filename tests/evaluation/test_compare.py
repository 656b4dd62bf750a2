"""Comparisons: known differences, symmetry, and the bootstrap against a plain one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rokkit.errors import ConfigError, DataError
from rokkit.evaluation import auc, bootstrap, compare, contrast, log_loss, measure
from rokkit.evaluation.bootstrap import draw, weighted_auc, weighted_log_loss


def made(seeds, n, strength, *, seed=0):
    """Labels [n], and probabilities [seeds, n] that know `strength` of them."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 2, n)
    logits = strength * (2 * y - 1) + generator.normal(size=(seeds, n))
    return y, (1 / (1 + np.exp(-logits))).astype(np.float32)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 3)),
        min_size=2,
        max_size=30,
    ).filter(lambda s: {y for y, _, w in s if w} == {0, 1})
)
def test_weighted_metrics_are_those_of_the_repeated_samples(samples):
    """The reference repeats each sample as often as it was drawn and calls the plain metric."""
    y, p, counts = (np.array(held) for held in zip(*samples, strict=True))
    runs, counts = np.stack([p, p[::-1]]).astype(np.float32), counts.astype(np.int32)
    repeated = np.repeat(np.arange(len(y)), counts)
    for weighted, plain in ((weighted_auc, auc), (weighted_log_loss, log_loss)):
        expected = [plain(y[repeated], run[repeated]) for run in runs]
        assert weighted(y, runs)(counts) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 9))
def test_without_a_compiler_the_aucs_are_equal_to_the_bit(seed, n, values):
    generator = np.random.default_rng(seed)
    y = generator.permutation(np.arange(n) % 2)
    runs = generator.integers(0, values, (3, n)).astype(np.float32)
    counts = draw(y, generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "compiles", lambda: False)
        plain = weighted_auc(y, runs)(counts)
    assert bootstrap.compiles()
    assert plain.tolist() == weighted_auc(y, runs)(counts).tolist()


def test_draw_keeps_both_classes_and_the_number_of_samples():
    y, generator = np.array([0, 0, 0, 1]), np.random.default_rng(0)
    for _ in range(200):
        counts = draw(y, generator)
        assert counts.sum() == 4
        assert 0 < counts @ y < 4


@pytest.mark.parametrize("metric", ["auc", "log_loss"])
def test_differences_are_those_of_the_seeds(metric):
    y, a = made(3, 400, 1.0)
    _, b = made(3, 400, 0.3, seed=1)
    plain = {"auc": auc, "log_loss": log_loss}[metric]
    expected = [plain(y, p) - plain(y, q) for p, q in zip(a, b, strict=True)]
    found = compare(a, b, y, metric, n_boot=50)
    assert found.differences == pytest.approx(expected)
    assert found.difference == pytest.approx(np.mean(expected))
    assert found.mean_a - found.mean_b == pytest.approx(found.difference)
    assert found.p_value == pytest.approx(stats.ttest_1samp(expected, 0).pvalue)
    assert (found.n_seeds, found.n_samples) == (3, 400)


@pytest.mark.parametrize("metric", ["auc", "log_loss"])
def test_swapping_the_systems_mirrors_the_comparison(metric):
    y, a = made(2, 300, 0.8)
    b = made(2, 300, 0.5, seed=2)[1]
    one, other = compare(a, b, y, metric, n_boot=99), compare(b, a, y, metric, n_boot=99)
    assert one.difference == -other.difference
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-12)
    assert one.p_value == other.p_value
    assert one.p_bootstrap == other.p_bootstrap


def test_equal_systems_do_not_differ():
    y, a = made(2, 200, 0.5)
    found = compare(a, a, y, n_boot=50)
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert (found.p_value, found.p_bootstrap) == (1.0, 1.0)


def test_pairing_by_sample_narrows_the_interval():
    """Kills resampling a and b apart: the systems share their noise, so it must cancel."""
    y, a = made(1, 500, 1.0)
    b = np.clip(a * 0.999, 0, 1)
    b[0, ::50] = 0.5
    found = compare(a, b, y, n_boot=200)
    alone = compare(a, np.full_like(a, 0.5), y, n_boot=200)
    assert found.high - found.low < 0.3 * (alone.high - alone.low)


def test_seed_pairs_are_resampled_too():
    """Two seeds with opposite differences: samples alone would give an interval without 0.2."""
    y = np.tile([0, 1], 500)
    good = np.where(y == 1, 0.9, 0.1)
    a, b = np.stack([good, 1 - good]), np.stack([1 - good, good])
    found = compare(a, b, y, n_boot=200)
    assert found.difference == 0
    assert (found.low, found.high) == (-1.0, 1.0)
    assert found.p_bootstrap > 0.9


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """100 data sets of known difference 0 (two equally good systems): 95 % within a few."""
    covered = 0
    for trial in range(100):
        generator = np.random.default_rng(trial)
        y = generator.integers(0, 2, 150)
        a, b = (1 / (1 + np.exp(-(y - 0.5 + generator.normal(size=150)))) for _ in range(2))
        found = compare(a, b, y, n_boot=200, seed=trial)
        covered += found.low <= 0 <= found.high
    assert 88 <= covered <= 100


def test_a_clear_difference_is_found_and_a_single_seed_has_no_t_test():
    y, a = made(1, 2000, 1.5)
    found = compare(a[0], np.random.default_rng(5).uniform(size=2000), y, n_boot=200)
    assert found.p_value is None
    assert found.low > 0.2
    assert found.p_bootstrap == pytest.approx(2 / 201)


def test_the_same_difference_at_every_seed_is_no_division_by_zero():
    y = np.tile([0, 1], 10)
    good = np.where(y == 1, 0.9, 0.1)
    found = compare(np.stack([good] * 3), np.full((3, 20), 0.5), y, n_boot=20)
    assert found.p_value == 0.0


def test_finished_runs_and_lists_are_taken():
    class Run:
        def __init__(self, p):
            self.p = p

        def predictions(self):
            return self.p

    y, a = made(2, 100, 1.0)
    b = made(2, 100, 0.2, seed=3)[1]
    expected = compare(a, b, y, n_boot=20)
    assert compare([Run(p) for p in a], list(b), y, n_boot=20) == expected
    assert compare(Run(a[0]), list(map(float, b[0])), y, n_boot=20) == compare(
        a[0], b[0], y, n_boot=20
    )


def test_resamples_are_a_function_of_the_seed():
    y, a = made(2, 100, 1.0)
    b = made(2, 100, 0.2, seed=3)[1]
    assert compare(a, b, y, n_boot=20, seed=4) == compare(a, b, y, n_boot=20, seed=4)
    assert compare(a, b, y, n_boot=20, seed=4).low != compare(a, b, y, n_boot=20, seed=5).low


def test_what_cannot_be_compared_is_refused():
    y, a = made(2, 50, 1.0)
    with pytest.raises(ConfigError, match="Did you mean 'auc'"):
        compare(a, a, y, "aucc")
    with pytest.raises(ConfigError, match="n_boot is 0"):
        compare(a, a, y, n_boot=0)
    with pytest.raises(DataError, match="same seeds and the same test samples"):
        compare(a, a[:1], y)
    with pytest.raises(DataError, match=r"has shape .*expected the same test samples"):
        compare(a, a, y[:-1])
    with pytest.raises(DataError, match="runs have shapes"):
        compare([a[0], a[0][:-1]], a, y)
    with pytest.raises(DataError, match="both classes"):
        compare(a, a, np.ones(50, int))
    with pytest.raises(DataError, match="NaN"):
        compare(np.full((2, 50), np.nan), a, y)


@pytest.mark.parametrize("metric", ["auc", "log_loss"])
def test_a_system_measured_once_is_compared_as_if_measured_for_each_pair(metric):
    y, a = made(3, 200, 1.0)
    b, c = (made(3, 200, s, seed=7)[1] for s in (0.2, 0.6))
    one, two, three = (measure(p, y, metric, n_boot=40, seed=2) for p in (a, b, c))
    assert contrast(one, two) == compare(a, b, y, metric, n_boot=40, seed=2)
    assert contrast(one, three) == compare(a, c, y, metric, n_boot=40, seed=2)
    # Against a reference: every resample by hand, both systems under the same draw.
    generator = np.random.default_rng(2)
    for row in one.resampled - two.resampled:
        counts = draw(y, generator)
        generator.integers(0, 3, 3)
        at = np.repeat(np.arange(len(y)), counts)
        point = {"auc": auc, "log_loss": log_loss}[metric]
        expected = [point(y[at], p[at]) - point(y[at], q[at]) for p, q in zip(a, b, strict=True)]
        assert row == pytest.approx(expected, abs=1e-6)


def test_systems_measured_in_different_ways_are_not_compared():
    y, a = made(2, 100, 1.0)
    one = measure(a, y, n_boot=20)
    for other in (
        measure(a, y, "log_loss", n_boot=20),
        measure(a, y, n_boot=21),
        measure(a, y, n_boot=20, seed=1),
        measure(a, 1 - y, n_boot=20),
        measure(a[:1], y, n_boot=20),
    ):
        with pytest.raises(DataError, match="same seeds and the same test samples"):
            contrast(one, other)
