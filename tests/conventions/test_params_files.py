"""params/: short, flat files, every one of which names runs that can be made."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from rokkit.config import build
from rokkit.data import load
from rokkit.data.sources import REGISTRY
from rokkit.experiments import Runs, Settings, run_specs
from rokkit.experiments.settings import read_params
from rokkit.experiments.tuning import Grid
from rokkit.parameters import declared

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "params").glob("*.yaml"))
SMOKE = ROOT / "params" / "smoke.yaml"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LINES = 60

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
each_full_size = pytest.mark.parametrize("name", ["tmall", "taobao", "alipay"])
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_the_makefile_names_the_files() -> None:
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in ("movielens", "journey", "journey-hard", "smoke"):
        assert name in made
        assert (ROOT / "params" / f"{name}.yaml") in FILES


@each_file
def test_a_file_is_short_and_begins_with_what_it_is_for(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LINES
    assert lines[0].startswith("# ")


@each_file
def test_its_systems_are_runs(path: Path) -> None:
    settings = Settings.from_yaml(path)
    runs = run_specs(settings)
    assert len(runs) == len(settings.systems) * len(settings.seeds)
    assert {run.spec.data.name for run in runs} == {settings.dataset}
    assert {run.spec.retrieval.k for run in runs} == {settings.k}
    assert settings.backbone in settings.systems


@each_file
def test_its_data_options_are_options_of_its_data_set(path: Path) -> None:
    settings = Settings.from_yaml(path)
    given = settings.options_of_data()
    options = build(REGISTRY.get(settings.dataset).Options, given, where=path.name)
    assert {name: getattr(options, name) for name in given} == given


@each_file
def test_no_two_files_write_to_one_folder(path: Path) -> None:
    study = Settings.from_yaml(path).study_name
    assert study == path.stem
    assert [one for one in FILES if Settings.from_yaml(one).study_name == study] == [path]


def test_the_two_journeys_differ_in_their_negatives_alone() -> None:
    easy, hard = (read_params(ROOT / "params" / f"{n}.yaml") for n in ("journey", "journey-hard"))
    differ = {name for name in easy | hard if easy.get(name) != hard.get(name)}
    assert differ == {"study", "data_options", "protocols"}
    assert easy["protocols"] == hard["data_options"]
    assert hard["protocols"] == easy["data_options"]
    assert easy["data_options"] == ["history_negative_share=0.0"]
    assert hard["data_options"] == ["history_negative_share=0.5"]


@each_notebook
def test_smoke_holds_what_the_notebooks_hold(path: Path) -> None:
    smoke = Settings.from_yaml(SMOKE)
    own = {one.name: one.value for one in declared(path)}
    settings = build(Settings, own, where=path.name)
    if path.stem == "90_add_your_backbone":  # a demonstration: one seed, and what it stands beside
        assert set(own.pop("systems")) < set(smoke.systems)
        assert set(own.pop("seeds")) < set(smoke.seeds)
    assert {name: getattr(settings, name) for name in own} == {
        name: getattr(smoke, name) for name in own
    }


def test_every_parameter_of_smoke_is_declared_by_a_notebook() -> None:
    """And those of a run by each notebook that trains: 10_overall has them all."""
    names = {path.stem: {one.name for one in declared(path)} for path in NOTEBOOKS}
    drawn = {"backbones", "alphas", "points", "protocols", "teachers", "imitated", "long_seeds"}
    drawn |= {"forms"}
    assert set(read_params(SMOKE)) <= set.union(*names.values())
    assert set(read_params(SMOKE)) - drawn <= names["10_overall"]


@each_file
def test_no_value_of_the_smoke_size_is_left_standing_in_a_study(path: Path) -> None:
    """Else notebooks and `rokkit table`, which knows no notebook, would ask for other runs."""
    given, defaults = read_params(path), dataclasses.asdict(Settings())
    for notebook in NOTEBOOKS:
        for one in declared(notebook):
            default = defaults[one.name]
            default = list(default) if isinstance(default, tuple) else default
            assert one.name in given or one.value == default, f"{path.name} lacks {one.name}"


@pytest.mark.parametrize("path", sorted((ROOT / "params" / "grids").glob("*.yaml")), ids=str)
def test_a_grid_names_what_is_known(path: Path) -> None:
    grid = Grid.from_yaml(path)
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert grid.budget >= 2


@each_full_size
def test_full_sizes_carry_the_published_settings(name: str) -> None:
    """RIM's public configs and code, which the paper takes over (§5.1.3, §6.1)."""
    settings = Settings.from_yaml(ROOT / "params" / f"{name}.yaml")
    assert settings.backbone == {"tmall": "DIEN", "taobao": "DIEN", "alipay": "DIN"}[name]
    assert settings.options_of_data() == {"protocol": "rim"}
    assert (settings.k, settings.embed_dim, settings.hidden) == (10, 16, (200, 80))
    assert settings.history_length == 100
    assert settings.dropout == 0.2
    assert settings.optimizer == "lazy-adam"
    assert (settings.epochs, settings.evaluations_per_epoch, settings.patience) == (5, 2, 3)
    assert settings.weight_decay == 1e-4
    grid = Grid.from_yaml(ROOT / "params" / "grids" / "rim.yaml")
    assert grid.shared == {"learning_rate": (1e-3, 5e-4, 1e-4), "batch_size": (100, 200)}
    assert grid.budget == 6
    rates = (1e-3, 5e-4) if name == "alipay" else grid.shared["learning_rate"]
    assert settings.learning_rate in rates
    assert settings.batch_size in grid.shared["batch_size"]


def test_the_published_grid_says_where_it_is_wider_than_alipays() -> None:
    held = (ROOT / "params" / "grids" / "rim.yaml").read_text(encoding="utf-8")
    assert "Alipay's lacks the rate 1e-4" in held.partition("budget:")[0]


@each_full_size
def test_a_full_size_runs_on_a_twin_of_its_format(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every system and protocol of the file, on a small made log in the raw format."""
    monkeypatch.setenv("ROKKIT_DATA", str(tmp_path / "data"))
    settings = Settings.from_yaml(ROOT / "params" / f"{name}.yaml")
    # 19 systems on three formats are to take half a minute: hence few rows, so all targets of
    # them, one seed, two epochs, a small g, short histories. Alipay's days of targets are few.
    rows = {"tmall": 4000, "taobao": 4000, "alipay": 30_000}[name]
    small = dataclasses.replace(
        settings,
        dataset="twin",
        data_options=(
            *settings.data_options,
            f"format={name}",
            f"rows={rows}",
            "target_rate=1.0",
        ),
        seeds=(0,),
        epochs=2,
        construct_epochs=1,
        base_hidden=(16,),
        history_length=5,
    )
    samples = load("twin", **small.options_of_data())
    assert settings.protocols
    for protocol in settings.protocols:
        options = dataclasses.replace(small, data_options=(*small.data_options, protocol))
        other = load("twin", **options.options_of_data())
        assert other.fingerprint != samples.fingerprint
        assert len(other.train) == len(samples.train)
    specs = [run.spec for run in run_specs(small)]
    reports = Runs(tmp_path / "runs", device="cpu")(specs)
    assert [report.spec.system for report in reports] == [one.lower() for one in settings.systems]
    assert len(reports) == 19
    for report in reports:
        for part in ("val", "test"):
            assert 0 <= report.metrics[part]["auc"] <= 1
            assert math.isfinite(report.metrics[part]["log_loss"])
        history = report.history()
        assert history
        assert all(math.isfinite(value) for row in history for value in row.values())
        assert np.isfinite(report.predictions()).all()
    (rim,) = (report for report in reports if report.spec.system == "rim")
    assert rim.metrics["test"]["auc"] > 0.5
