"""Boosted trees: what goes in, what comes out, and where they are refused."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rokkit.data.samples import Part
from rokkit.errors import ConfigError
from rokkit.evaluation import auc, log_loss
from rokkit.models import (
    build_config,
    create_model,
    is_estimator,
    list_estimators,
    list_models,
    model_entry,
)
from rokkit.models.encodings import TargetEncoding


def made(n, seed=0, noise=0.1):
    """Rows with two fields; the label is whether the first id is odd, but for some noise."""
    rng = np.random.default_rng(seed)
    x = np.stack([rng.integers(1, 41, n), rng.integers(41, 61, n)], 1).astype(np.int32)
    y = ((x[:, 0] % 2 == 1) ^ (rng.random(n) < noise)).astype(np.int8)
    return Part(x, y, np.arange(n))


def grown(name="gbdt", *, seed=0, threads=1, n=3000, **config):
    model = model_entry(name).target(build_config(name, config))
    model.fit(made(n), made(1000, seed=1), seed=seed, threads=threads)
    return model


def test_it_is_a_system_but_no_network(tiny):
    assert list_estimators() == ["gbdt", "gbdt-target"]
    assert is_estimator("gbdt")
    assert "gbdt" not in list_models()
    with pytest.raises(ConfigError, match="'gbdt' is no network"):
        create_model("gbdt", tiny.schema)


def test_it_learns_and_stops_at_the_best_round():
    model, test = grown(rounds=400, patience=5), made(2000, seed=2)
    p = model.predict(test.x)
    assert p.dtype == np.float32
    assert auc(test.y, p) > 0.88  # the noise leaves .9
    losses = [row["log_loss"] for row in model.history]
    assert len(losses) < 400
    assert model.best_round == 1 + int(np.argmin(losses)) == len(losses) - 5
    # What is reported is what the kept trees give.
    val = made(1000, seed=1)
    q = np.clip(model.predict(val.x).astype(float), 1e-15, 1)
    nats = -(val.y * np.log(q) + (1 - val.y) * np.log(1 - q)).mean()
    assert nats == pytest.approx(min(losses), abs=1e-6)
    assert auc(val.y, q.astype(np.float32)) == pytest.approx(
        model.history[model.best_round - 1]["auc"], abs=1e-6
    )


def test_the_trees_are_a_function_of_the_seed_whatever_the_threads():
    one, two = grown(threads=1), grown(threads=2)
    np.testing.assert_array_equal(one.state()["trees"], two.state()["trees"])
    np.testing.assert_array_equal(one.predict(made(99).x), two.predict(made(99).x))


@pytest.mark.parametrize("name", ["gbdt", "gbdt-target"])
def test_what_it_writes_makes_the_same_model_again(name):
    model, again = grown(name), model_entry(name).target(build_config(name, {}))
    again.restore(model.state())
    rows = made(99, seed=3).x
    rows[0] = 60, 5  # the second never seen there
    np.testing.assert_array_equal(again.predict(rows), model.predict(rows))
    assert again.leaves == model.leaves


def test_the_variant_has_a_name_of_its_own():
    """Kills: a row GBDT that reads click rates, beside the paper's, which reads ids."""
    ids, rates = (build_config(name, {}) for name in ("gbdt", "gbdt-target"))
    assert (ids.encoding, rates.encoding) == ("ids", "target")


def test_leaves_are_counted_over_the_kept_trees():
    model = grown(rounds=7, patience=7, leaves=4)
    assert model.leaves == model.best_round * 4


def test_the_learning_rate_scales_what_a_tree_adds():
    x, y = made(200, seed=2).x, made(3000).y
    begun = np.log(y.mean() / (1 - y.mean()))
    slow, fast = (grown(rounds=1, learning_rate=rate).predict(x) for rate in (0.1, 0.3))
    added = [np.log(p / (1 - p)) - begun for p in (slow, fast)]
    assert np.ptp(added[0]) > 0.01
    np.testing.assert_allclose(added[1], 3 * added[0], rtol=1e-3, atol=1e-4)


def test_leaves_hold_as_many_rows_as_set():
    assert grown(rounds=1, leaves=8, rows_in_leaf=100).leaves == 8
    assert grown(rounds=1, leaves=8, rows_in_leaf=1200).leaves == 2  # of 3,000


def test_progress_is_told_of_every_round():
    told = []
    model = model_entry("gbdt").target(build_config("gbdt", {"rounds": 3}))
    model.fit(made(500), made(200, 1), progress=lambda *said: told.append(said))
    assert [(done, total) for done, total, _ in told] == [(1, 3), (2, 3), (3, 3)]
    assert [row for _, _, row in told] == model.history


def test_target_encoding_finds_what_ids_in_no_order_hide():
    """Forty ids with alternating labels: the rate of each is one split, their order is not."""
    ids, rates = (grown(encoding=e, rounds=20, patience=20, leaves=2) for e in ("ids", "target"))
    test = made(2000, seed=2)
    assert auc(test.y, rates.predict(test.x)) > auc(test.y, ids.predict(test.x)) + 0.05


def test_target_encoding_by_hand():
    x = np.array([[1, 5], [1, 6], [2, 5], [1, 5]], np.int32)
    y = np.array([1, 0, 1, 1], np.int8)
    encoding = TargetEncoding(folds=2, prior_rows=1.0, seed=0)
    encoding.fit(x, y)
    # Of all rows: rate .75; id 1 is positive in 2 of 3, 5 in 3 of 3, 2 in 1 and 6 in 0 of 1.
    found = encoding.encode(np.array([[1, 5], [2, 6], [9, 99]], np.int32))
    expected = [
        [(2 + 0.75) / 4, (3 + 0.75) / 4, np.log(4), np.log(4)],
        [(1 + 0.75) / 2, (0 + 0.75) / 2, np.log(2), np.log(2)],
        [0.75, 0.75, 0, 0],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=4, max_size=30))
def test_a_train_row_is_encoded_by_the_other_folds(rows):
    """Kills an encoding that holds the row's own label."""
    x = np.array([[i] for i, _ in rows], np.int32)
    y = np.array([label for _, label in rows], np.int8)
    encoding = TargetEncoding(folds=3, prior_rows=2.0, seed=7)
    encoded = encoding.fit(x, y)
    fold = np.random.default_rng(7).permutation(len(x)) % 3
    for i in range(len(x)):
        others = (x[:, 0] == x[i, 0]) & (fold != fold[i])
        n, clicks = others.sum(), y[others].sum()
        np.testing.assert_allclose(
            encoded[i], [(clicks + 2 * y.mean()) / (n + 2), np.log1p(n)], rtol=1e-6
        )


def test_pure_noise_is_not_learned_from_encodings():
    """With the own label inside, an id that occurs once would give it away."""
    rng = np.random.default_rng(0)
    n = 2000
    x = np.arange(1, n + 1, dtype=np.int32)[:, None]
    y = rng.integers(0, 2, n).astype(np.int8)
    encoded = TargetEncoding(folds=5, prior_rows=1.0, seed=0).fit(x, y)
    assert abs(auc(y, encoded[:, 0]) - 0.5) < 0.05


@pytest.mark.parametrize("encoding", ["ids", "target"])
def test_on_pure_noise_it_stays_unsure(encoding: str) -> None:
    """Kills trees grown without early stopping, which are sure of what they have by heart."""
    train, val, test = (made(n, seed, 0.5) for n, seed in ((3000, 0), (2000, 1), (4000, 2)))
    model = model_entry("gbdt").target(build_config("gbdt", {"encoding": encoding, "rounds": 200}))
    model.fit(train, val)
    assert log_loss(test.y, model.predict(test.x)) <= np.log(2) + 0.01


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("rounds", 0),
        ("patience", 0),
        ("rows_in_leaf", 0),
        ("leaves", 1),
        ("folds", 1),
        ("learning_rate", 0.0),
        ("learning_rate", 1.5),
        ("prior_rows", -1.0),
        ("encoding", "target-mean"),
    ],
)
def test_settings_outside_their_range_are_refused(setting, value):
    with pytest.raises(ConfigError, match=setting):
        build_config("gbdt", {setting: value})


def test_no_label_of_val_enters_the_encoding():
    train, val = made(400), made(200, 1)
    turned = Part(val.x, 1 - val.y, val.time)
    encodings = []
    for judged in (val, turned):
        model = model_entry("gbdt").target(
            build_config("gbdt", {"encoding": "target", "rounds": 2})
        )
        model.fit(train, judged)
        encodings.append(model._entered(val.x))
    np.testing.assert_array_equal(*encodings)
    assert len(list(itertools.chain(*encodings))) == 400
