"""What a backbone is given in place of a knowledge base: r, soft labels, the pool, its counts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_study import lineage, settle, spec, yields

from rokkit.data import known_counts, load
from rokkit.data.pair_statistics import pair_statistics
from rokkit.data.pool_statistics import pool_statistics
from rokkit.errors import ConfigError, DataError
from rokkit.evaluation import auc
from rokkit.experiments import Runs, RunSpec, system_name
from rokkit.experiments.aids import Aid
from rokkit.experiments.inputs import Inputs
from rokkit.experiments.spec import AidSpec, ModelSpec
from rokkit.experiments.systems import parse_system
from rokkit.experiments.weights import load_model
from rokkit.knowledge import teacher_representations
from rokkit.models import create_model, with_extra
from rokkit.training import CTRTask, Feed, predict
from rokkit.training.ctr import SoftTask

SYSTEMS = (
    *("LR+R", "MLP+R-PET", "MLP+SOFT", "MLP+POOL", "RIM+POOL"),
    *("MLP+STATS", "MLP+PAIRS", "MLP+PEEK"),
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return settle(tmp_path, monkeypatch)


@pytest.mark.parametrize("system", SYSTEMS)
def test_it_runs_the_same_way_twice_and_is_read_again(place: Path, system: str) -> None:
    one = spec(system)
    runs = Runs(place, device="cpu")
    (report,) = runs([one])
    assert system == system_name(one) == system_name(report.spec)
    assert 0 <= report.metrics["test"]["auc"] <= 1
    assert RunSpec.from_dict(one.to_dict()) == one
    assert runs([one])[0].cached
    again = Runs(place.parent / "again", device="cpu")([one])
    assert yields([report]) == yields(again)


def test_each_has_a_key_of_its_own_and_the_teacher_as_a_parent() -> None:
    plain, r, pet, soft = (spec(s) for s in ("MLP", "MLP+R", "MLP+R-PET", "MLP+SOFT"))
    heavy = spec("MLP+SOFT", soft_weight=0.9)
    pool, stats, pairs = spec("MLP+POOL"), spec("MLP+STATS"), spec("MLP+PAIRS")
    every = (plain, r, pet, soft, heavy, pool, stats, pairs)
    assert len({one.key("") for one in every}) == len(every)
    assert lineage(r)[0] == lineage(soft)[0] == spec("RIM")
    assert lineage(pet)[0] == spec("PET")
    assert pool.parents() == stats.parents() == pairs.parents() == ()
    assert "neighbours" in r.needs
    assert "neighbours" not in soft.needs
    assert "aid" not in plain.resolved("")  # keys of earlier runs stay what they are


def test_r_is_the_teachers_own(place: Path) -> None:
    """Kills: r of another part, z in place of r, an untrained teacher."""
    one = spec("MLP+R")
    (teacher,) = Runs(place, device="cpu")([spec("RIM")])
    (report,) = Runs(place, device="cpu")([one])
    samples = load("small")
    inputs = Inputs(one, samples, "cpu")
    aid = Aid(one, inputs, [teacher.folder])
    model = load_model(teacher.folder, teacher.spec.model, samples)
    for part in ("train", "test"):
        expected = teacher_representations(model, inputs.feed(part, frozenset(model.needs)))
        np.testing.assert_array_equal(aid.extra(part), expected)
    weights = load_file(report.folder / "best.safetensors")
    r = aid.extra("train")
    np.testing.assert_allclose(weights["mean"], r.mean(0), atol=1e-5)
    np.testing.assert_allclose(weights["std"], r.std(0), atol=1e-5)


def test_the_pool_joins_the_train_samples_alone(place: Path) -> None:
    samples, one = load("small"), spec("RIM+POOL")
    inputs = Inputs(one, samples, "cpu")
    aid = Aid(one, inputs, [])
    needs = frozenset({"neighbours"})
    assert len(aid.feed("train", needs)) == len(samples.train) + len(samples.pool)
    assert len(aid.feed("val", needs)) == len(samples.val)
    feed = aid.feed("train", needs)
    np.testing.assert_array_equal(feed.labels[len(samples.train) :], samples.pool.y)
    # No row of the pool is its own neighbour.
    ids = inputs._retriever.pool_neighbours(np.arange(len(samples.pool)), 3).ids
    assert not (np.asarray(ids) == np.arange(len(samples.pool))[:, None]).any()


def test_only_peeking_selects_on_test_data(place: Path) -> None:
    """Kills: peeking that does not, val metrics measured on test, others that peek."""
    specs = [spec("MLP+PEEK", epochs=3), spec("MLP", epochs=3)]
    peek, plain = Runs(place, device="cpu")(specs)
    seen = [row["auc"] for row in peek.history()]
    assert max(seen) == pytest.approx(peek.metrics["test"]["auc"])
    assert max(row["auc"] for row in plain.history()) == pytest.approx(plain.metrics["val"]["auc"])
    assert seen != [row["auc"] for row in plain.history()]
    assert peek.metrics["test"]["auc"] >= plain.metrics["test"]["auc"]
    y, p = np.asarray(load("small").val.y), np.load(peek.folder / "predictions_val.npy")
    assert peek.metrics["val"]["auc"] == pytest.approx(auc(y, p))


def test_statistics_by_hand(place: Path) -> None:
    """Kills: counts of train or test, another field's, a rate without its prior."""
    samples = load("small")
    pool_x, pool_y = np.asarray(samples.pool.x), np.asarray(samples.pool.y)
    test = np.asarray(samples.test.x)
    found = pool_statistics(samples, "test")
    assert found.shape == (len(test), 2 * samples.schema.n_fields)
    assert found.dtype == np.float32
    for row in (0, 7, 19):
        for i in range(samples.schema.n_fields):
            same = pool_x[:, i] == test[row, i]
            rate = (pool_y[same].sum() + 10 * pool_y.mean()) / (same.sum() + 10)
            assert found[row, 2 * i : 2 * i + 2] == pytest.approx(
                [np.log1p(same.sum()), rate], rel=1e-6
            )


def test_pairs_by_hand(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills: counts of all users, of another field, of train or test, labels exchanged."""
    monkeypatch.setattr(known_counts, "CHUNK", 7)  # many slices of the pool
    samples = load("small")
    schema, pool_x = samples.schema, np.asarray(samples.pool.x)
    pool_y, test = np.asarray(samples.pool.y), np.asarray(samples.test.x)
    found = pair_statistics(samples, "test")
    assert found.shape == (len(test), 2 * len(schema.item_columns))
    assert found.dtype == np.float32
    assert found[:, 0].any()
    assert found[:, 1].any()
    own = schema.user_column
    for row in range(len(test)):
        for i, column in enumerate(schema.item_columns):
            same = (pool_x[:, own] == test[row, own]) & (pool_x[:, column] == test[row, column])
            expected = [np.log1p((pool_y[same] == label).sum()) for label in (1, 0)]
            assert found[row, 2 * i : 2 * i + 2] == pytest.approx(expected, rel=1e-6)


def test_soft_targets_mix_labels_and_probabilities(place: Path) -> None:
    """Against the two losses by hand; weight 0 is the plain task, bit by bit."""
    samples = load("small")
    torch.manual_seed(0)
    model = create_model("mlp", samples.schema, embed_dim=4, hidden=(8,)).eval()
    feed = Feed(samples, "train", needs=frozenset())
    p = np.random.default_rng(0).uniform(0.01, 0.99, len(feed)).astype(np.float32)
    rows = torch.tensor([5, 0, 11, 3])
    q = predict(model, feed)[rows.numpy()].astype(float)
    y, soft = feed.labels[rows.numpy()], p[rows.numpy()]

    def against(target: np.ndarray) -> float:
        return float(-(target * np.log(q) + (1 - target) * np.log(1 - q)).mean())

    expected = 0.7 * against(y) + 0.3 * against(soft)
    found = SoftTask(model, feed, feed, p, 0.3).loss(rows).detach()
    assert float(found) == pytest.approx(expected, rel=1e-5)
    plain = CTRTask(model, feed, feed).loss(rows)
    assert torch.equal(SoftTask(model, feed, feed, p, 0.0).loss(rows), plain)
    with pytest.raises(DataError, match="p has shape"):
        SoftTask(model, feed, feed, p[1:], 0.3)


def test_soft_labels_are_the_teachers_of_train_samples(place: Path) -> None:
    one = spec("MLP+SOFT")
    (teacher,) = Runs(place, device="cpu")([spec("RIM")])
    samples = load("small")
    inputs = Inputs(one, samples, "cpu")
    aid = Aid(one, inputs, [teacher.folder])
    model = create_model("mlp", samples.schema)
    feeds = [aid.feed(part, frozenset()) for part in ("train", "val")]
    task = aid.task(model, *feeds)
    assert isinstance(task, SoftTask)
    held = load_model(teacher.folder, teacher.spec.model, samples)
    p = predict(held, inputs.feed("train", frozenset(held.needs)))
    rows = torch.arange(len(p))
    np.testing.assert_allclose(task.targets(rows, torch.zeros(len(p))), 0.5 * p, rtol=1e-6)


def test_extra_numbers_are_standardised_and_read(place: Path) -> None:
    samples = load("small")
    n = len(samples.train)
    extra = np.random.default_rng(0).normal(3, 5, (n, 2)).astype(np.float32)
    extra[:, 1] = 4.0  # never varies
    torch.manual_seed(0)
    model = with_extra("lr", samples.schema, extra).eval()
    assert model.needs == {"extra"}
    feed = Feed(samples, "train", needs=model.needs, extra=extra)
    batch = feed.batch(torch.arange(n))
    seen = model._extra(batch)
    assert float(seen[:, 0].mean()) == pytest.approx(0, abs=1e-5)
    assert float(seen[:, 0].std(correction=0)) == pytest.approx(1, abs=1e-4)
    assert torch.equal(seen[:, 1], torch.zeros(n))
    moved = replace(batch, extra=batch.extra + torch.tensor([1.0, 0.0]))
    assert not torch.equal(model(batch), model(moved))


def test_extra_that_does_not_fit_is_refused(place: Path) -> None:
    samples = load("small")
    with pytest.raises(ConfigError, match="none are given; pass extra="):
        Feed(samples, "val", needs=frozenset({"extra"}))
    with pytest.raises(DataError, match=r"extra has shape \(3, 2\)"):
        Feed(samples, "val", needs=frozenset(), extra=np.zeros((3, 2), np.float32))
    model = with_extra("lr", samples.schema, np.zeros((3, 2), np.float32))
    with pytest.raises(ConfigError, match="the batch has no extra"):
        model(Feed(samples, "val", needs=frozenset()).batch(torch.arange(2)))


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("lr+r", ("lr", "r", "rim")),
        ("MLP+SOFT-PET", ("mlp", "soft", "pet")),
        ("MLP+POOL", ("mlp", "pool", None)),
        ("DIN+ROK", ("din", "rok", "rim")),
        ("GBDT", ("gbdt", None, None)),
    ],
)
def test_names_of_systems(system: str, expected: tuple[str, str | None, str | None]) -> None:
    assert parse_system(system) == expected


@pytest.mark.parametrize(
    ("system", "nearest"),
    [("MLP+POOOL", "MLP+POOL"), ("MLP+POOL-RIM", "MLP+POOL"), ("MLP+R-PETT", "MLP+R-PET")],
)
def test_a_wrong_name_is_answered_with_the_nearest(system: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"Did you mean '{nearest.replace('+', '.')}'"):
        parse_system(system)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="'din' reads histories"):
        spec("DIN+POOL")
    with pytest.raises(ConfigError, match="'mlp' aggregates no neighbours, so it has no r"):
        spec("MLP+R-MLP")
    with pytest.raises(ConfigError, match="'gbdt' is no network"):
        replace(spec("GBDT"), aid=AidSpec(kind="stats"))
    with pytest.raises(ConfigError, match="a model without a knowledge base"):
        replace(spec("MLP+ROK"), aid=AidSpec(kind="pool"))
    with pytest.raises(ConfigError, match="expected a teacher with 'r' and 'soft'"):
        AidSpec(kind="r")
    with pytest.raises(ConfigError, match="and none otherwise"):
        AidSpec(kind="pool", teacher=ModelSpec(name="rim"))
    with pytest.raises(ConfigError, match=r"aid\.kind is 'poool'"):
        AidSpec(kind="poool")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="soft_weight is 2"):
        spec("MLP+SOFT", soft_weight=2.0)
