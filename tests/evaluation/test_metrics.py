"""Metrics against hand-computed numbers, their definitions and scikit-learn."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from rokkit.errors import ConfigError, DataError
from rokkit.evaluation import auc, ece, evaluate, gauc, log_loss, user_auc

# Few distinct scores, so that ties are the rule.
SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])
SAMPLES = st.lists(st.tuples(st.integers(0, 1), SCORES, st.integers(0, 3)), min_size=2, max_size=40)


def by_definition(y, p):
    """P(a positive scores above a negative), a tie one half, over all pairs."""
    wins = [
        1.0 if p[i] > p[j] else 0.5 if p[i] == p[j] else 0.0
        for i in range(len(y))
        for j in range(len(y))
        if y[i] == 1 and y[j] == 0
    ]
    return sum(wins) / len(wins) if wins else None


def test_auc_by_hand():
    # Pairs (positive, negative): .8>.3, .8>.5, .5>.3 win, .5=.5 ties: 3.5 of 4.
    assert auc([0, 1, 0, 1], [0.3, 0.5, 0.5, 0.8]) == 0.875


def test_auc_of_a_constant_is_one_half():
    """Kills ranking by position: sorted labels and equal scores would score 0 or 1."""
    assert auc([0, 0, 1, 1, 1], [0.7] * 5) == 0.5
    assert auc([1, 1, 1, 0, 0], [0.7] * 5) == 0.5


@given(SAMPLES)
def test_auc_is_its_definition_and_sklearns(samples):
    y, p, _ = map(np.array, zip(*samples, strict=True))
    assume(0 < y.sum() < len(y))
    assert auc(y, p) == pytest.approx(by_definition(y, p), abs=1e-12)
    assert auc(y, p) == pytest.approx(roc_auc_score(y, p), abs=1e-12)


@given(SAMPLES)
def test_auc_depends_on_order_alone_and_flips_with_it(samples):
    y, p, _ = map(np.array, zip(*samples, strict=True))
    assume(0 < y.sum() < len(y))
    assert auc(y, 10 * p - 3) == auc(y, p)
    assert auc(y, -p) == pytest.approx(1 - auc(y, p), abs=1e-12)
    shuffle = np.random.default_rng(0).permutation(len(y))
    assert auc(y[shuffle], p[shuffle]) == auc(y, p)


def test_auc_keeps_differences_below_float32s_resolution_of_one():
    """Kills casting to float32: both scores would become 0.5 and tie."""
    assert auc([0, 1], [0.5, 0.5 + 1e-12]) == 1.0


def test_auc_does_not_overflow_on_int8_labels():
    """Labels lie on disk as int8; 300 positives summed in int8 wrap round."""
    y = np.r_[np.zeros(300, np.int8), np.ones(300, np.int8)]
    assert auc(y, np.arange(600, dtype=np.float32)) == 1.0


def test_log_loss_by_hand_and_against_sklearn():
    assert log_loss([1, 0], [0.8, 0.4]) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)
    generator = np.random.default_rng(1)
    y, p = generator.integers(0, 2, 500), generator.uniform(0.001, 0.999, 500)
    assert log_loss(y, p) == pytest.approx(sklearn_log_loss(y, p), rel=1e-12)


def test_log_loss_of_a_certain_mistake_is_that_of_the_clip():
    assert log_loss([1], [0.0]) == pytest.approx(-np.log(1e-7))
    assert log_loss([0], np.float32([1.0])) == pytest.approx(-np.log(1e-7))


def test_a_constant_half_costs_ln_2():
    assert log_loss([0, 1, 1], [0.5] * 3) == pytest.approx(np.log(2))


def test_gauc_by_hand():
    # User 7: pairs .2<.9 and .2<.1 no -> 1/2, weight 3. User 8: 1, weight 2. User 9: one class.
    y = [0, 1, 1, 0, 1, 1]
    p = [0.2, 0.9, 0.1, 0.3, 0.4, 0.5]
    user = [7, 7, 7, 8, 8, 9]
    found = user_auc(y, p, user)
    assert found.gauc == pytest.approx((3 * 0.5 + 2 * 1.0) / 5)
    assert found.users == 2
    assert found.skipped_users == pytest.approx(1 / 3)
    assert found.skipped_rows == pytest.approx(1 / 6)


@given(SAMPLES)
def test_gauc_is_a_loop_over_users(samples):
    y, p, user = map(np.array, zip(*samples, strict=True))
    total = weight = 0.0
    for u in set(user):
        own = user == u
        value = by_definition(y[own], p[own])
        if value is not None:
            total, weight = total + value * own.sum(), weight + own.sum()
    assume(weight > 0)
    assert gauc(y, p, user) == pytest.approx(total / weight, abs=1e-12)


def test_gauc_of_one_user_is_auc_and_ties_do_not_cross_users():
    y, p = [0, 1, 1, 0, 1], [0.5, 0.5, 0.7, 0.6, 0.2]
    assert gauc(y, p, [3] * 5) == pytest.approx(auc(y, p))
    # Equal scores on both sides of a border between users: pairs within users only.
    assert gauc([0, 1, 0, 1], [0.1, 0.5, 0.5, 0.9], [1, 1, 2, 2]) == 1.0


def test_ece_by_hand():
    # Two bins. Below .5: mean p .2, rate .5, 2 samples. Above: mean p .8, rate 1, 2 samples.
    assert ece([0, 1, 1, 1], [0.1, 0.3, 0.7, 0.9], bins=2) == pytest.approx(0.25)
    # The edge belongs to the bin above it, and 1 to the last bin.
    assert ece([1, 0], [0.5, 0.4], bins=2) == pytest.approx((0.5 + 0.4) / 2)
    assert ece([1, 1], [1.0, 1.0]) == 0.0


def test_ece_does_not_cancel_between_bins():
    """Kills |mean y - mean p| over everything, which is 0 here."""
    assert ece([1, 0], [0.1, 0.9], bins=2) == pytest.approx(0.9)


def test_evaluate_holds_each_metric():
    y, p, user = [0, 1, 0, 1], [0.2, 0.9, 0.6, 0.4], [1, 1, 2, 2]
    assert evaluate(y, p, user) == {
        "auc": auc(y, p),
        "log_loss": log_loss(y, p),
        "ece": ece(y, p),
        "gauc": 0.5,
        "gauc_skipped_users": 0.0,
    }


def test_evaluate_leaves_gauc_out_where_no_user_has_both_classes():
    found = evaluate([0, 1], [0.2, 0.9], [1, 2])
    assert found["auc"] == 1.0
    assert "gauc" not in found
    with pytest.raises(DataError, match="none of the 2 users"):
        gauc([0, 1], [0.2, 0.9], [1, 2])
    with pytest.raises(DataError, match="one per label"):
        evaluate([0, 1], [0.2, 0.9], [1])


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([1, 1], [0.1, 0.2], "2 of 2 labels are positive"),
        ([0, 0], [0.1, 0.2], "0 of 2 labels are positive"),
        ([0, 1], [0.1, float("nan")], "1 of 2 predictions are NaN"),
        ([0, 2], [0.1, 0.2], "labels hold 2|labels hold np.int64"),
        ([0, 1], [0.1], "two equal"),
        ([], [], "non-empty"),
    ],
)
def test_auc_refuses(y, p, message):
    with pytest.raises(DataError, match=message):
        auc(y, p)


def test_probabilities_are_asked_for_where_logits_make_no_sense():
    for metric in (log_loss, ece):
        with pytest.raises(DataError, match="sigmoid"):
            metric([0, 1], [-1.0, 2.0])
    with pytest.raises(ConfigError, match="bins is 0"):
        ece([0, 1], [0.1, 0.2], bins=0)
