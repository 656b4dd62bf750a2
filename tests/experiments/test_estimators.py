"""A system that is no network, as a run like the others."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_study import contents, settle, spec

from rokkit.data import load
from rokkit.errors import ConfigError
from rokkit.evaluation import evaluate
from rokkit.experiments import Report, Runs, costs_table, curves_frame, overall_table


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        yield settle(tmp_path_factory.mktemp("estimators"), patch)


@pytest.fixture(scope="module")
def reports(place: Path) -> list[Report]:
    return Runs(place, device="cpu")([spec("GBDT"), spec("GBDT", seed=1), spec("MLP")])


def test_its_folder_holds_what_every_run_holds(reports: list[Report]) -> None:
    trees, _, network = reports
    names = [sorted(p.name for p in r.folder.iterdir()) for r in (trees, network)]
    assert names[0] == names[1]
    small = load("small")
    p = np.asarray(trees.predictions())
    users = small.user_index(np.asarray(small.test.x))
    assert trees.metrics["test"] == evaluate(np.asarray(small.test.y), p, users)
    assert trees.parameters["table"] == 0
    assert trees.parameters["total"] == trees.parameters["trainable"] > 0
    best = [row for row in trees.history() if row["step"] == trees.details["best_step"]]
    assert best[0]["auc"] == pytest.approx(trees.metrics["val"]["auc"], abs=1e-6)
    assert trees.details["best_metric"] == best[0]["auc"]


def test_it_is_read_from_the_cache_and_forced_to_the_same_bytes(
    place: Path, reports: list[Report]
) -> None:
    (again,) = Runs(place, device="cpu")([spec("GBDT")])
    assert again.cached
    before = {name: held for name, (_, held) in contents(reports[0].folder).items()}
    (anew,) = Runs(place, device="cpu", force=True)([spec("GBDT")])
    after = {name: held for name, (_, held) in contents(anew.folder).items()}
    same = {"best.safetensors", "history.csv", "predictions.npy", "predictions_val.npy"}
    assert {name for name in before if before[name] == after[name]} >= same


def test_its_key_covers_its_settings_and_not_those_of_the_loop() -> None:
    plain = spec("GBDT")
    assert plain.key("f") == spec("GBDT", epochs=9, batch_size=64).key("f")
    other = spec("GBDT", model_options=("gbdt.encoding=target",))
    assert other.key("f") != plain.key("f")
    assert other.model is not None
    assert other.model.resolved()["encoding"] == "target"


def test_the_tables_take_it(reports: list[Report]) -> None:
    table = overall_table(reports, "MLP").frame
    row = table[table["System"] == "GBDT"].iloc[0]
    assert row["Seeds"] == 2
    assert row["AUC"] == pytest.approx(np.mean([r.metrics["test"]["auc"] for r in reports[:2]]))
    assert list(costs_table(reports).frame["System"]) == ["GBDT", "MLP"]
    assert set(curves_frame(reports)["system"]) == {"GBDT", "MLP"}


def test_it_cannot_use_a_knowledge_base() -> None:
    with pytest.raises(ConfigError, match="'gbdt' has no embedding layer"):
        spec("GBDT+ROK")
    with pytest.raises(ConfigError, match="Did you mean 'GBDT'"):
        spec("GBTD")
