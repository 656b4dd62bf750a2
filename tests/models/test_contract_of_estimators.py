"""What every registered system that is no network keeps, on ids and on what train says of them."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rokkit.data.samples import Part
from rokkit.evaluation import auc
from rokkit.models import build_config, list_estimators, model_entry

SYSTEMS = [(name, encoding) for name in list_estimators() for encoding in ("ids", "target")]
systems = pytest.mark.parametrize(("name", "encoding"), SYSTEMS)


def made(rows, seed=3, sure=False):
    """Rows of three fields. The label is `sure` to be 1 if the first id is odd; else it is drawn.

    By the target encoding no train row sees its own label: what it is to fit, an id has to say.
    """
    rng = np.random.default_rng(seed)
    x = np.stack([rng.integers(*span, rows) for span in ((1, 9), (9, 13), (13, 16))], 1)
    y = x[:, 0] % 2 == 1 if sure else rng.random(rows) < x[:, 0] / 9
    return Part(x.astype(np.int32), y.astype(np.int8), np.arange(rows))


def new(name, encoding, **config):
    """An estimator that may split few rows as finely as it likes."""
    settings = {"encoding": encoding, "rounds": 100, "learning_rate": 0.1, "rows_in_leaf": 1}
    return model_entry(name).target(build_config(name, settings | config))


def grown(name, encoding, rows=400, sure=False, **config):
    model = new(name, encoding, **config)
    model.fit(made(rows, sure=sure), made(200, seed=4, sure=sure), seed=1)
    return model


@systems
def test_overfits_64_rows(name, encoding):
    train = made(64, sure=True)
    assert 0 < train.y.mean() < 1
    p = grown(name, encoding, rows=64, sure=True).predict(train.x)
    assert p.dtype == np.float32
    assert p.shape == (64,)
    assert auc(train.y, p) > 0.99


@systems
def test_a_row_does_not_depend_on_those_it_is_predicted_with(name, encoding):
    model, x = grown(name, encoding), made(50, seed=5).x
    whole = model.predict(x)
    assert len(np.unique(whole)) > 5  # they depend on the row
    for parts in (np.split(x, [1, 7, 30]), list(x[:, None])):
        np.testing.assert_array_equal(np.concatenate([model.predict(p) for p in parts]), whole)
    order = np.random.default_rng(6).permutation(len(x))
    np.testing.assert_array_equal(model.predict(x[order]), whole[order])


@systems
def test_what_is_saved_loads_with_equal_predictions(name, encoding, tmp_path):
    # Kills a state without the encoding's tables, and one that stops at another tree.
    model = grown(name, encoding)
    save_file(model.state(), tmp_path / "trees.safetensors")
    other = new(name, encoding)
    other.restore(load_file(tmp_path / "trees.safetensors"))
    x = made(50, seed=5).x
    x[:5, 0] = 90  # an id that train has not
    np.testing.assert_array_equal(other.predict(x), model.predict(x))
    assert other.leaves == model.leaves


@systems
def test_equal_seeds_give_equal_states(name, encoding):
    one, two = (grown(name, encoding).state() for _ in range(2))
    assert one.keys() == two.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], two[key])


@pytest.mark.parametrize("name", list_estimators())
def test_the_encoding_is_what_the_trees_see(name):
    # Kills an encoding that is saved and never read.
    x = made(50, seed=5).x
    ids, target = (grown(name, e, rounds=3).predict(x) for e in ("ids", "target"))
    assert not np.array_equal(ids, target)
