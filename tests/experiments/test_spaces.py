"""The spaces of r and z: what is in them, and what their numbers mean."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_study import settle, spec

from rokkit.data import load
from rokkit.errors import ConfigError
from rokkit.experiments import (
    Runs,
    layouts,
    spaces,
    spaces_figure,
    spaces_reading,
    spaces_table,
)
from rokkit.experiments.inputs import Inputs
from rokkit.experiments.spaces import Spaces, measures
from rokkit.experiments.weights import load_base, load_model


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spaces:
    place = settle(tmp_path, monkeypatch)
    one = spec("MLP+ROK").construction
    runs = Runs(place, device="cpu")
    (construction,) = runs([one])
    return spaces(construction, runs(one.parents()), 40)


def test_r_and_z_are_those_of_the_same_samples(found: Spaces) -> None:
    """Kills: r raw instead of as taught, z of other rows, labels of another order."""
    construction, samples = found.place, load("small")
    teacher = Runs(device="cpu")(construction.spec.parents())[0]
    model = load_model(teacher.folder, teacher.spec.model, samples)
    base = load_base(construction.folder, construction.spec.knowledge, samples)
    assert found.test.sum() == 40
    assert len(found.labels) == 80
    inputs = Inputs(construction.spec, samples, "cpu")
    for part, at in (("train", ~found.test), ("test", found.test)):
        feed = inputs.feed(part, frozenset(model.needs))
        batch = feed.batch(torch.arange(len(feed)))
        with torch.no_grad():
            r = base.standardised(model.aggregate(batch)).numpy()
            z = base(batch.x).numpy()
        # Each drawn sample is one of the part's, with its r, its z and its label.
        for one_r, one_z, label in zip(
            found.vectors["r"][at], found.vectors["z"][at], found.labels[at], strict=True
        ):
            here = np.isclose(r, one_r, atol=1e-5).all(1) & np.isclose(z, one_z, atol=1e-5).all(1)
            assert label in feed.labels[here]


def test_all_samples_where_there_are_fewer(found: Spaces) -> None:
    samples = load("small")
    construction = found.place
    parents = Runs(device="cpu")(construction.spec.parents())
    every = spaces(construction, parents, 10**6)
    assert len(every.labels) == len(samples.train) + len(samples.test)
    np.testing.assert_array_equal(every.labels[every.test], samples.test.y)
    with pytest.raises(ConfigError, match="points is 3; expected at least 10"):
        spaces(construction, parents, 3)


def made(found: Spaces, vectors: np.ndarray, labels: np.ndarray, test: np.ndarray) -> Spaces:
    held = {"r": vectors.astype(np.float32)}
    return replace(found, vectors=held, labels=labels.astype(np.int8), test=test.astype(bool))


def test_measures_of_known_spaces(found: Spaces) -> None:
    """Two far clumps: one per label, or one per part; and neither."""
    generator = np.random.default_rng(0)
    clump = np.repeat([0, 1], 50)
    vectors = generator.normal(size=(100, 3)) + 100 * clump[:, None]
    either = np.tile([0, 1], 50)
    by_label = made(found, vectors, clump, either)
    apart = measures(by_label.vectors["r"], by_label)
    assert apart["Purity"] == 1.0
    assert apart["Silhouette"] > 0.95
    assert apart["Mixing"] == pytest.approx(1, abs=0.1)
    by_part = made(found, vectors, either, clump)
    mixed = measures(by_part.vectors["r"], by_part)
    assert mixed["Mixing"] == 0.0
    assert mixed["Purity"] == pytest.approx(0.5, abs=0.05)
    assert mixed["Silhouette"] == pytest.approx(0, abs=0.05)


def test_chance_is_that_of_the_labels(found: Spaces) -> None:
    labels = np.repeat([0, 0, 0, 1], 25)
    vectors = np.random.default_rng(1).normal(size=(100, 2))
    one = made(found, vectors, labels, np.tile([0, 1], 50))
    frame = spaces_table(one).frame.set_index("Space")
    assert frame.at["chance", "Purity"] == pytest.approx(0.75**2 + 0.25**2)
    assert frame.at["r", "Purity"] == pytest.approx(0.625, abs=0.1)


def test_the_reading_is_made_of_the_numbers(found: Spaces) -> None:
    table = spaces_table(found)
    frame = table.frame.set_index("Space")
    frame.loc[["r", "z", "chance"], "Purity"] = (0.9, 0.7, 0.5)
    first = spaces_reading(replace(table, frame=frame.reset_index())).lines[0]
    assert "r 0.900, z 0.700; 0.500 by chance" in first
    assert "z keeps 50% of what r has above chance" in first
    frame.loc["r", "Purity"] = 0.4
    first = spaces_reading(replace(table, frame=frame.reset_index())).lines[0]
    assert "r itself does not set the labels apart" in first


def test_a_layout_is_made_once_and_drawn(found: Spaces, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = layouts(found)
    assert list(frame.columns) == ["space", "x", "y", "part", "label"]
    assert frame.groupby("space").size().to_dict() == {"r": 80, "z": 80}
    monkeypatch.setattr("openTSNE.TSNE", lambda **_: pytest.fail("made again"))
    assert layouts(found).equals(frame)
    figure = spaces_figure(frame)
    assert [ax.get_title(loc="right") for ax in figure.axes] == ["r", "z", "r", "z"]
    drawn = figure.axes[1].collections[0].get_offsets()
    z = frame[frame["space"] == "z"]
    assert np.sort(drawn[:, 0]).tolist() == pytest.approx(sorted(z["x"]))
