"""What is retrieved, rank by rank, and what a base learnt of it: by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_study import made_report, settle, spec

from rokkit.data import load
from rokkit.experiments import (
    Report,
    Runs,
    imitation_table,
    retrieved_figure,
    retrieved_frame,
    retrieved_table,
)
from rokkit.retrieval import neighbours


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return settle(tmp_path, monkeypatch)


def test_ranks_by_hand(place: Path) -> None:
    """Kills: padding taken for the last row, another part, agreement with the pool's majority."""
    (teacher,) = Runs(place, device="cpu")([spec("RIM")])
    frame = retrieved_frame(teacher).set_index("rank")
    samples = load("small")
    held = neighbours(samples, "test", 3)
    x, y = np.asarray(samples.test.x), np.asarray(samples.test.y)
    for rank in (1, 3):
        ids = [int(i) for i in held.ids[:, rank - 1]]
        rows = [(i, j) for i, j in enumerate(ids) if j >= 0]
        row = frame.loc[rank]
        assert row["found"] == pytest.approx(len(rows) / len(ids))
        agrees = [samples.pool.y[j] == y[i] for i, j in rows]
        assert row["agrees"] == pytest.approx(np.mean(agrees))
        users = [samples.pool.x[j][0] == x[i][0] for i, j in rows]
        assert row["same user"] == pytest.approx(np.mean(users))
        assert 0 < row["weight"] < 1
    assert frame["score"].is_monotonic_decreasing
    assert retrieved_table(frame.reset_index(), at=(1, 3)).frame["rank"].tolist() == [1, 3]
    lines = retrieved_figure(frame.reset_index()).axes[0].lines
    assert np.asarray(lines[0].get_ydata()).tolist() == frame["agrees"].tolist()


def test_a_teacher_that_weighs_nothing_has_no_weights(place: Path) -> None:
    (teacher,) = Runs(place, device="cpu")([spec("PET")])
    assert "weight" not in retrieved_frame(teacher)


def test_a_dense_teacher_is_asked_by_its_encoder(place: Path) -> None:
    runs = Runs(place, device="cpu")
    (teacher,) = runs([spec("DERT")])
    frame = retrieved_frame(teacher, runs(teacher.spec.parents()))
    assert frame["found"].between(0, 1).all()


def test_imitation_by_hand(place: Path) -> None:
    """Kills: bases of two teachers in one mean, val and test exchanged."""

    def base(system: str, seed: int, **test: float) -> Report:
        made = made_report(place, "MLP", seed)
        val = {name: value + 0.1 for name, value in test.items()}
        construction = spec(system, seed).construction
        assert construction is not None
        return replace(made, spec=construction, metrics={"val": val, "test": test})

    bases = [
        base("MLP+ROK", 0, r2=0.4, r2_labels=0.2, collapse=0.5),
        base("DIN+ROK-PET", 0, r2=0.9),
        base("MLP+ROK", 1, r2=0.6, r2_labels=0.4),
    ]
    frame = imitation_table(bases).frame.set_index(["Teacher", "Of"])
    assert list(frame.index) == [("RIM", "all of r"), ("RIM", "labels"), ("PET", "all of r")]
    assert frame["Bases"].tolist() == [2, 2, 1]
    assert frame["R²"].tolist() == pytest.approx([0.5, 0.3, 0.9])
    assert frame["R² val"].tolist() == pytest.approx([0.6, 0.4, 1.0])
    assert frame["R² sd"].tolist()[:2] == pytest.approx([0.2 / 2**0.5] * 2)
    assert np.isnan(frame["R² sd"].iloc[2])
