"""r of rows of the pool, through the real search: the row itself has no say in it."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from made_samples import made_samples

from rokkit.knowledge import draw_pool_rows, teacher_attention, teacher_representations
from rokkit.models import create_model
from rokkit.retrieval import neighbours, pool_neighbours
from rokkit.training import Feed

K, D = 4, 3
ROWS = np.array([0, 7, 8, 41, 79])


@pytest.fixture
def samples(tmp_path):
    """A pool of 80 rows, of which 7, 8, 30 and 41 are equal in every field."""
    made = made_samples(40)
    made.pool.x[[8, 30, 41]] = made.pool.x[7]
    return dataclasses.replace(made, folder=tmp_path)


def teacher_of(samples, name):
    torch.manual_seed(0)
    config = {"scale_attention": True} if name == "rim" else {}
    return create_model(name, samples.schema, embed_dim=D, init_std=0.8, **config)


def feed_of(samples, rows=ROWS):
    table = neighbours(samples, "train", K).followed_by(pool_neighbours(samples, rows, K))
    return Feed(samples, "train", needs={"neighbours"}, neighbours=table, pool_rows=rows)


def nearest(samples, x, without=None):
    """The K best rows of the pool by the definition of BM25 on user and item."""
    pool = samples.pool.x.tolist()
    held = [Counter(column) for column in zip(*pool, strict=True)]
    found = []
    for n, row in enumerate(pool):
        same = [held[c][row[c]] for c in (0, 1) if row[c] == x[c]]
        if same and n != without:
            idf = [np.log(1 + (len(pool) - m + 0.5) / (m + 0.5)) for m in same]
            found.append((-float(np.float32(sum(idf))), n))
    return [n for _, n in sorted(found)[:K]]


def rims_r(teacher, samples, x, ids):
    """r_f and r_l of one row by RIM's equations, and the weights."""
    n = {name: value.double().numpy() for name, value in teacher.state_dict().items()}
    table = n["embedding.weight"]
    s = [table[samples.pool.x[i]].flatten() for i in ids]
    q = n["backbone.attention.query.weight"] @ table[x].flatten()
    q = q + n["backbone.attention.query.bias"]
    a = np.exp([q @ one / np.sqrt(len(q)) for one in s])
    a = a / a.sum()
    labels = [n["backbone.labels.weight"][samples.pool.y[i]] for i in ids]
    both = [np.concatenate([one, label]) for one, label in zip(s, labels, strict=True)]
    return sum(weight * one for weight, one in zip(a, both, strict=True)), a


def test_r_and_weights_of_a_pool_row_are_rims_over_the_other_rows(samples):
    teacher, feed = teacher_of(samples, "rim"), feed_of(samples)
    r, weights = teacher_representations(teacher, feed), teacher_attention(teacher, feed)
    asked = [(x, None) for x in samples.train.x] + [(samples.pool.x[n], n) for n in ROWS]
    assert len(r) == len(weights) == len(asked) == 45
    for i, (x, itself) in enumerate(asked):
        ids = nearest(samples, x, itself)
        expected, a = rims_r(teacher, samples, x, ids)
        assert r[i] == pytest.approx(expected, abs=1e-5)
        assert weights[i] == pytest.approx([*a, *[0] * (K - len(a))], abs=1e-6)
    # Rows that equal the row are its neighbours, earlier and later ones.
    assert nearest(samples, samples.pool.x[8], 8)[:3] == [7, 30, 41]


@pytest.mark.parametrize("name", ["rim", "pet"])
def test_a_rows_own_label_does_not_reach_its_r(samples, name):
    teacher = teacher_of(samples, name)
    before = teacher_representations(teacher, feed_of(samples))[40:]
    for place, row in enumerate(ROWS):
        y = samples.pool.y.copy()
        y[row] = 1 - y[row]
        other = dataclasses.replace(samples, pool=dataclasses.replace(samples.pool, y=y))
        after = teacher_representations(teacher, feed_of(other))[40:]
        assert (after[place] == before[place]).all()
        # It is no label that nobody reads: those it is a neighbour of see the change.
        if row in (7, 8, 41):
            twins = [p for p, n in enumerate(ROWS) if n in (7, 8, 41) and n != row]
            assert (after[twins] != before[twins]).any(1).all()


@pytest.mark.parametrize("name", ["rim", "pet"])
def test_train_targets_are_represented_as_without_pool_rows(samples, name):
    teacher = teacher_of(samples, name)
    own = Feed(samples, "train", needs={"neighbours"}, neighbours=neighbours(samples, "train", K))
    r = teacher_representations(teacher, feed_of(samples, draw_pool_rows(80, 30, 0)))
    assert r.shape[0] == 70
    np.testing.assert_allclose(r[:40], teacher_representations(teacher, own), atol=1e-6)


def test_val_and_test_have_no_say_in_what_is_imitated(samples):
    teacher = teacher_of(samples, "rim")
    before = teacher_representations(teacher, feed_of(samples))
    shuffled = {
        part: dataclasses.replace(held, x=held.x[::-1].copy(), y=1 - held.y)
        for part, held in (("val", samples.val), ("test", samples.test))
    }
    folder = samples.folder / "other"
    folder.mkdir()
    other = dataclasses.replace(samples, **shuffled, folder=folder)
    assert (teacher_representations(teacher, feed_of(other)) == before).all()
