"""Construction as a run: each way of it, what it measures, and that it can be interrupted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from made_samples import made_samples
from small_study import often_saved, settle, spec, yields

from rokkit.data import load
from rokkit.experiments import Report, RunError, Runs, RunSpec, aids
from rokkit.experiments.execute import measure_base, warm_items
from rokkit.experiments.weights import load_base
from rokkit.knowledge import ConstructConfig, KnowledgeBase, KnowledgeBaseConfig, UseConfig
from rokkit.knowledge import construct as construction
from rokkit.training import Feed, loop

TRANSFORMER = {"encoder": "transformer", "layers": 1, "heads": 2, "width": 4}
WAYS: dict[str, dict[str, Any]] = {
    "paper": {},
    "transformer": {"base": TRANSFORMER},
    "attn": {"construct": {"positive": "attn"}},
    "same_label": {"construct": {"positive": "same_label"}},
    "pool": {"construct": {"pool_rows": 100}},
    "all": {"base": TRANSFORMER, "construct": {"positive": "attn", "pool_rows": 40}},
}


def user(way: str, seed: int = 0) -> RunSpec:
    """MLP+ROK with a base constructed in this way."""
    one = spec("MLP+ROK", seed)
    assert one.knowledge is not None
    base = {"dim": 2, "hidden": (8,), "dropout": 0.1} | WAYS[way].get("base", {})
    construct = {"alpha": 0.3} | WAYS[way].get("construct", {})
    knowledge = replace(
        one.knowledge, base=KnowledgeBaseConfig(**base), construct=ConstructConfig(**construct)
    )
    return replace(one, knowledge=knowledge)


@pytest.fixture(scope="module")
def constructed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Report]]:
    """The construction of each way."""
    with pytest.MonkeyPatch.context() as patch:
        settle(tmp_path_factory.mktemp("ways"), patch)
        reports = Runs()([user(way).parents()[0] for way in WAYS])
        yield dict(zip(WAYS, reports, strict=True))


@pytest.mark.parametrize("way", WAYS)
def test_each_way_ends_in_a_base_that_a_backbone_uses(
    constructed: dict[str, Report], way: str
) -> None:
    report = constructed[way]
    assert report.details["steps"] > 0
    assert np.isfinite(report.metrics["test"]["r2"])
    (used,) = Runs()([user(way)])
    assert np.isfinite(used.metrics["test"]["auc"])
    assert RunSpec.from_dict(report.spec.to_dict()) == report.spec


def test_no_two_ways_end_with_the_same_weights(constructed: dict[str, Report]) -> None:
    weights = {(r.folder / "best.safetensors").read_bytes() for r in constructed.values()}
    assert len(weights) == len(WAYS)


def test_pool_rows_make_an_epoch_longer_and_are_searched_for_once(
    constructed: dict[str, Report],
) -> None:
    """120 train targets and 100 rows of the pool, batches of 16, 2 epochs."""
    assert constructed["paper"].details["steps"] == 2 * 8
    assert constructed["pool"].details["steps"] == 2 * 14
    tables = sorted(p.name for p in (load("small").folder / "neighbours").glob("pool-k3-*"))
    assert len(tables) == 2  # of 100 rows, and of 40
    assert constructed["pool"].timings["retrieval"] > 0


def test_the_pool_rows_of_another_seed_are_others(constructed: dict[str, Report]) -> None:
    Runs()([user("pool", 1).parents()[0]])
    tables = list((load("small").folder / "neighbours").glob("pool-k3-*"))
    assert len([p for p in tables if p.is_dir()]) == 3


def test_the_teacher_sees_pool_rows_among_others_and_their_own_labels_nowhere(
    constructed: dict[str, Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """r of a pool row is aggregated from neighbours that are not the row itself."""
    seen = []

    def spy(self: Any, samples: Any, part: str, **how: Any) -> None:
        real(self, samples, part, **how)
        if how.get("pool_rows") is not None:
            seen.append((how["pool_rows"], self))

    real = Feed.__init__
    monkeypatch.setattr(Feed, "__init__", spy)
    Runs(tmp_path)([user("pool").parents()[0]])
    assert len(seen) == 2  # the teacher's and the base's
    for rows, feed in seen:
        assert (rows == construction.draw_pool_rows(560, 100, 0)).all()
        held = feed._neighbours[120:]
        assert held.shape == (100, 3)
        assert (held != torch.from_numpy(rows)[:, None]).all()
        assert (held >= 0).any(1).all()


@pytest.mark.parametrize("way", ["transformer", "all"])
@pytest.mark.parametrize("at", [3, 11])
def test_a_construction_that_is_interrupted_ends_with_the_same_bytes(
    constructed: dict[str, Report],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    at: int,
) -> None:
    one = often_saved(user(way)).parents()[0]
    teacher = one.parents()[0]
    expected = Runs(tmp_path / "at once")([teacher, one])
    runs = Runs(tmp_path / "in two")
    runs([teacher])
    taken, real = [], loop._Trainer.take_step

    def deadly(trainer: Any, rows: Any) -> None:
        taken.append(1)
        if len(taken) == at:
            raise RuntimeError("the power fails")
        real(trainer, rows)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Trainer, "take_step", deadly)
        with pytest.raises(RunError, match="the power fails"):
            runs([one])
    found = runs([teacher, one])
    assert yields(found) == yields(expected)
    assert found[1].metrics == expected[1].metrics


def test_warm_items_are_those_of_train_targets() -> None:
    samples = made_samples(30)
    seen = set(samples.train.x[:, 1].tolist())
    for part in ("val", "test", "train"):
        expected = [item in seen for item in samples.part(part).x[:, 1].tolist()]
        assert warm_items(samples, part).tolist() == expected
    assert warm_items(samples, "train").all()
    assert 0 < warm_items(samples, "test").mean() < 1


class Base(torch.nn.Module):
    """z is what the test says it is, and standardised halves r."""

    def __init__(self, z: list[list[float]]) -> None:
        super().__init__()
        self.z = torch.tensor(z)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.z[x[:, 0].long()]

    def standardised(self, r: torch.Tensor) -> torch.Tensor:
        return r / 2


def measured(warm: list[bool]) -> dict[str, float]:
    """Four samples, r of two dimensions."""
    z = [[1.0, 0.0], [2.0, 1.0], [0.0, 0.0], [0.0, 1.0]]
    r = np.array([[2, 0], [4, 2], [2, 0], [6, 2]], np.float32)
    batches = SimpleNamespace(
        device=torch.device("cpu"),
        chunks=lambda size: iter([torch.arange(3), torch.tensor([3])]),
        batch=lambda rows: SimpleNamespace(x=rows[:, None]),
    )
    blocks = {"one": slice(0, 1), "two": slice(1, 2)}
    return measure_base(Base(z), batches, r, blocks, warm=np.array(warm))  # type: ignore[arg-type]


def test_warm_and_cold_are_measured_apart_each_around_its_own_mean() -> None:
    """In r / 2 the first two samples are met exactly; of the others 1² and 3² are missed.

    Around their mean (2, .5) they vary by 1² + 1² + 2 · .5², and 3 of it is 2.5.
    """
    found = measured([True, True, False, False])
    assert found["r2_warm"] == 1
    assert found["r2_cold"] == pytest.approx(1 - 10 / 2.5)
    assert found["r2"] == pytest.approx(1 - 10 / (2.75 + 1))
    assert found["r2_one"] == pytest.approx(1 - 10 / 2.75)
    assert found["r2_two"] == 1
    assert measured([False, False, True, True])["r2_cold"] == 1


@pytest.mark.parametrize(("warm", "absent"), [(True, "r2_cold"), (False, "r2_warm")])
def test_where_there_are_none_there_is_no_number(warm: bool, absent: str) -> None:
    found = measured([warm] * 4)
    assert absent not in found
    other = {"r2_cold": "r2_warm", "r2_warm": "r2_cold"}[absent]
    assert found[other] == found["r2"]
    assert np.isfinite(list(found.values())).all()


def test_a_report_tells_warm_from_cold(constructed: dict[str, Report]) -> None:
    report = constructed["paper"]
    samples = load("small")
    for part in ("val", "test"):
        warm = warm_items(samples, part)
        present = {name for name in ("r2_warm", "r2_cold") if name in report.metrics[part]}
        expected = {"r2_warm"} if warm.any() else set()
        assert present == expected | ({"r2_cold"} if not warm.all() else set())
    knowledge = report.spec.knowledge
    assert knowledge is not None
    assert load_base(report.folder, knowledge, samples).representation_dim == 5 * 4


@pytest.mark.parametrize("manner", ["instance", "both"])
def test_z_that_is_held_trains_what_z_that_is_asked_for_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manner: str
) -> None:
    """Kills: z of another part or order, of a base in training mode, one that is held too long."""
    one = user("paper")
    assert one.knowledge is not None
    one = replace(one, knowledge=replace(one.knowledge, use=UseConfig(manner=manner)))
    asked: list[int] = []
    forward = KnowledgeBase.forward

    def counted(self: KnowledgeBase, x: torch.Tensor) -> torch.Tensor:
        asked.append(len(x))
        return forward(self, x)

    monkeypatch.setattr(KnowledgeBase, "forward", counted)
    found, rows = [], []
    for largest in (aids.LARGEST_Z, 0):
        place = settle(tmp_path / str(largest), monkeypatch)
        Runs(place, device="cpu")(one.parents())
        monkeypatch.setattr(aids, "LARGEST_Z", largest)
        asked.clear()
        (report,) = Runs(place, device="cpu")([one])
        rows.append(sum(asked))
        found.append(np.load(report.folder / "predictions.npy"))
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-5)
    samples = load("small")
    assert rows[0] == sum(len(samples.part(part)) for part in ("train", "val", "test"))
    assert rows[1] > rows[0]
