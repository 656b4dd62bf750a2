"""Tuning: the same number of trials for every system, judged on validation data alone."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_study import SETTINGS, contents, params_file, settle, yields

from rokkit.cli import main
from rokkit.data import load
from rokkit.errors import ConfigError
from rokkit.experiments import Report, RunEvent, Runs, RunSpec, Settings, system_spec
from rokkit.experiments.tuning import (
    Grid,
    Tuned,
    chosen,
    knowledge_trials,
    model_trials,
    told,
    tune,
    tuning_table,
)
from rokkit.training import loop

GRID = Grid(
    budget=3,
    shared={"learning_rate": (0.01, 0.02, 0.03), "dropout": (0.0, 0.1)},
    models={"rim": {"scale_attention": (False, True)}, "gbdt": {"learning_rate": (0.1, 0.2)}},
    knowledge={"alpha": (0.0, 0.1, 0.9)},
)
STUDY = dataclasses.replace(SETTINGS, systems=("LR", "MLP", "MLP+ROK"), seeds=(3, 4), study="t")


def made(
    spec: RunSpec, auc: float, test: float = 0.5, loss: float = 0.7, folder: Path = Path()
) -> Report:
    """A report of `spec` with these validation metrics."""
    return Report(
        spec=spec,
        key="",
        folder=folder,
        metrics={"val": {"auc": auc, "log_loss": loss}, "test": {"auc": test, "log_loss": loss}},
        timings={"train": 1.0},
        parameters={},
        details={"best_epoch": 1},
        cached=False,
    )


class Judge:
    """In place of `Runs`: validation AUC by learning rate, test AUC the other way round."""

    def __init__(self) -> None:
        self.seen: list[RunSpec] = []

    def __call__(self, specs: Sequence[RunSpec]) -> list[Report]:
        self.seen += specs
        return [made(one, self.auc(one), test=1 - self.auc(one)) for one in specs]

    def auc(self, one: RunSpec) -> float:
        if one.knowledge is not None:
            return 0.5 + one.knowledge.construct.alpha / 10
        return 0.5 + one.training.learning_rate


def test_every_system_has_the_same_number_of_trials_on_the_first_seed_alone() -> None:
    judge = Judge()
    tuned = tune(STUDY, GRID, judge)
    counts: dict[str, int] = {}
    for trial, _ in tuned.trials:
        counts[trial.system] = counts.get(trial.system, 0) + 1
    # LR has no dropout, and still three learning rates; the teacher is tuned with the rest.
    assert counts == {"LR": 3, "MLP": 3, "RIM": 3, "MLP+ROK": 3}
    assert {one.seed for one in judge.seen} == {3}
    assert len(set(judge.seen)) == len(judge.seen)


def test_the_first_trial_is_the_study_itself_and_no_point_of_the_grid_repeats_it() -> None:
    study = dataclasses.replace(STUDY, learning_rate=0.02)
    every = dataclasses.replace(GRID, budget=100)
    trials = model_trials("mlp", study, every)
    assert trials[0].choice == {}
    assert trials[0].spec == system_spec("MLP", study, 3)
    assert len(trials) == 6  # the grid's six points, of which the study is one
    assert len({trial.spec for trial in trials}) == 6
    assert [trial.number for trial in trials] == list(range(6))
    lr = {trial.spec.training.learning_rate for trial in model_trials("lr", study, every)}
    assert lr == {0.01, 0.02, 0.03}


def test_the_points_are_drawn_by_the_grid_alone() -> None:
    def points(draw: int) -> list[str]:
        grid = dataclasses.replace(GRID, budget=6, draw=draw)
        return [told(trial.choice) for trial in model_trials("rim", STUDY, grid)]

    assert points(0) == points(0)
    assert points(0) != points(1)
    assert {p.count("=") for p in points(0)[1:]} == {3}


def test_a_default_spelt_out_is_no_trial_of_its_own() -> None:
    # The study's dropout is .1 and its learning rate .01; RIM's attention is not scaled by default.
    trials = model_trials("rim", STUDY, dataclasses.replace(GRID, budget=100))
    assert len(trials) == 12
    keys = {trial.spec.key("") for trial in trials}
    assert len(keys) == 12


def test_validation_chooses_and_test_data_does_not() -> None:
    tuned = tune(STUDY, GRID, Judge())
    for system in ("LR", "MLP", "RIM"):
        held = [(t, r) for t, r in tuned.trials if t.system == system]
        best = max(held, key=lambda pair: pair[1].metrics["val"]["auc"])[0]
        assert tuned.best[system] == best.number
        found = system_spec(system, tuned.settings, 3)
        assert found.training == best.spec.training
        assert found.model == best.spec.model
    alphas = [t.settings.alpha for t, _ in tuned.trials if t.system == "MLP+ROK"]
    assert tuned.settings.alpha == max(alphas) == 0.9


def test_equal_trials_leave_the_study_as_it_is() -> None:
    tuned = tune(STUDY, GRID, lambda specs: [made(one, 0.6) for one in specs])
    assert set(tuned.best.values()) == {0}
    assert tuned.settings == STUDY


def test_a_loss_that_selects_is_the_lower_the_better() -> None:
    study = dataclasses.replace(STUDY, systems=("LR",), monitor="log_loss")
    tuned = tune(study, GRID, lambda s: [made(o, 0.6, loss=o.training.learning_rate) for o in s])
    lowest = min(t.spec.training.learning_rate for t, _ in tuned.trials)
    assert system_spec("LR", tuned.settings, 0).training.learning_rate == lowest == 0.01


def test_knowledge_is_tuned_with_the_backbone_and_the_teacher_as_chosen() -> None:
    judge = Judge()
    tuned = tune(STUDY, GRID, judge)
    mlp, rim = (system_spec(name, tuned.settings, 3) for name in ("MLP", "RIM"))
    for trial, _ in tuned.trials:
        if trial.system == "MLP+ROK":
            assert trial.spec.model == mlp.model
            assert trial.spec.training == mlp.training
            assert trial.spec.parents()[0].parents()[0] == rim


def test_those_that_search_by_anothers_table_come_after_it() -> None:
    judge = Judge()
    tuned = tune(dataclasses.replace(STUDY, systems=("DERT", "RIM")), GRID, judge)
    rim = system_spec("RIM", tuned.settings, 3)
    dense = [one for one in judge.seen if one.system == "dert"]
    assert len(dense) == 3
    assert {one.parents()[0] for one in dense} == {rim}


def test_what_is_chosen_replaces_what_was_set_before() -> None:
    study = dataclasses.replace(
        STUDY,
        model_options=("mlp.dropout=0.3", "rim.init_std=0.2"),
        training_options=("lr.epochs=1",),
    )
    found = chosen(study, "mlp", {"dropout": 0.0, "learning_rate": 0.5, "batch_norm": True})
    assert found.model_options == ("rim.init_std=0.2", "mlp.dropout=0.0", "mlp.batch_norm=true")
    assert found.training_options == ("lr.epochs=1", "mlp.learning_rate=0.5")
    run = system_spec("MLP", found, 0)
    assert dict(run.model.config)["batch_norm"] is True
    assert run.training.learning_rate == 0.5
    assert system_spec("LR", found, 0).training.epochs == 1
    assert system_spec("RIM", found, 0).training == system_spec("RIM", STUDY, 0).training


def test_a_learning_rate_of_an_estimator_is_a_setting_of_the_model() -> None:
    found = chosen(STUDY, "gbdt", {"learning_rate": 0.1})
    assert found.model_options == ("gbdt.learning_rate=0.1",)
    assert found.training_options == ()


def test_the_table_has_a_row_per_trial_and_says_which_was_taken() -> None:
    tuned = tune(dataclasses.replace(STUDY, systems=("LR",)), GRID, Judge())
    frame = tuning_table(tuned).frame
    assert list(frame["Trial"]) == [0, 1, 2]
    assert frame["Settings"][0] == "the study's"
    taken = frame[frame["Taken"] == "yes"]
    assert list(taken["Trial"]) == [tuned.best["LR"]]
    assert taken["Val. AUC"].item() == frame["Val. AUC"].max()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("budget: 0", "budget is 0; expected at least 1"),
        (
            "shared: {learning_rat: [1]}",
            "shared: setting 'learning_rat' is not known. Did you mean",
        ),
        ("models: {dinn: {}}", "models: model 'dinn' is not known. Did you mean 'din'"),
        ("models: {din: {dropuot: [1]}}", "models: din: setting 'dropuot' is not known"),
        ("models: {gbdt: {epochs: [1]}}", "models: gbdt: setting 'epochs' is not known"),
        (
            "knowledge: {alhpa: [1]}",
            "knowledge: setting 'alhpa' is not known. Did you mean 'alpha'",
        ),
        ("knowledge: {rimm.dropout: [1]}", "knowledge: model 'rimm' is not known. Did you mean"),
        ("knowledge: {rim.droput: [1]}", "knowledge: setting 'droput' is not known. Did you mean"),
        ("shared: {dropout: []}", "expected at least one value"),
        ("shared: {dropout: 0.5}", "shared: dropout is 0.5"),
        ("bugdet: 3", "setting 'bugdet' is not known. Did you mean 'budget'"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Grid.from_yaml(path)


def test_a_value_out_of_range_is_refused_before_anything_runs() -> None:
    grid = dataclasses.replace(GRID, shared={"dropout": (2.0,)})
    with pytest.raises(ConfigError, match=r"dropout is 2\.0"):
        tune(STUDY, grid, lambda specs: pytest.fail("something ran"))
    with pytest.raises(ConfigError, match="alpha is 7"):
        knowledge_trials(STUDY, dataclasses.replace(GRID, knowledge={"alpha": (7.0,)}))


def test_the_teacher_may_be_tuned_as_a_part_of_rok() -> None:
    grid = dataclasses.replace(
        GRID, budget=9, knowledge={"rim.init_std": (0.2, 0.3), "rim.epochs": (1, 2)}
    )
    trials = knowledge_trials(STUDY, grid)
    assert len(trials) == 5
    for trial in trials[1:]:
        knowledge = trial.spec.knowledge
        assert dict(knowledge.teacher.config)["init_std"] == trial.choice["rim.init_std"]
        assert knowledge.teacher_training.epochs == trial.choice["rim.epochs"]
        assert system_spec("RIM", trial.settings, 3) == system_spec("RIM", STUDY, 3)


def test_further_teachers_are_tuned_as_parts_of_rok_where_they_were_tried_by_themselves() -> None:
    class Prefers(Judge):
        """A base is the better, the higher its teacher's learning rate; PET itself, the lower."""

        def auc(self, one: RunSpec) -> float:
            if one.knowledge is not None and one.knowledge.teacher.name == "pet":
                return one.knowledge.teacher_training.learning_rate
            return 0.5 - one.training.learning_rate if one.system == "pet" else super().auc(one)

    study = dataclasses.replace(STUDY, systems=("MLP", "MLP+ROK", "LR+ROK-PET", "LR+ROK-RIM"))
    tuned = tune(study, dataclasses.replace(GRID, budget=6), Prefers())
    held = [trial for trial, _ in tuned.trials if trial.system == "MLP+ROK-PET"]
    assert len(held) == 6
    assert all(one.settings.alpha == tuned.settings.alpha for one in held)
    alone = [trial.choice for trial, _ in tuned.trials if trial.system == "PET"]
    assert [one.choice for one in held][:2] == alone[:2]
    # PET by itself keeps what was chosen for it; in every ROK system it has its own.
    rates = {one.spec.knowledge.teacher_training.learning_rate for one in held}
    assert len(rates) == 3
    assert system_spec("PET", tuned.settings, 3).training.learning_rate == min(rates)
    for system in ("MLP+ROK-PET", "LR+ROK-PET"):
        knowledge = system_spec(system, tuned.settings, 3).knowledge
        assert knowledge.teacher_training.learning_rate == max(rates)
    assert "MLP+ROK-RIM" not in tuned.best


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tuned, Path]]:
    """A small study tuned in earnest, and where its folders are."""
    folder = tmp_path_factory.mktemp("tuning")
    with pytest.MonkeyPatch.context() as patch:
        settle(folder, patch)
        yield tune(STUDY, GRID, Runs()), folder


def test_trials_are_runs_and_are_kept(real: tuple[Tuned, Path]) -> None:
    tuned, folder = real
    again = tune(STUDY, GRID, Runs(folder / "runs"))
    assert all(report.cached for _, report in again.trials)
    assert again.settings == tuned.settings
    for trial, report in again.trials:
        assert report.details["best_metric"] == pytest.approx(report.metrics["val"]["auc"])
        assert report.key.startswith(trial.spec.key(load("small").fingerprint))


def done(runs: Path) -> dict[Path, dict[str, tuple[int, bytes]]]:
    """What lies in each finished run, with the time at which it was written."""
    return {path.parent: contents(path.parent) for path in runs.rglob("DONE")}


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_tuning_that_is_interrupted_goes_on_from_there(
    real: tuple[Tuned, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """Kills: a trial that is trained again, a choice that depends on where tuning was left."""
    tuned, folder = real
    runs, steps = tmp_path / "runs", itertools.count(1)
    take_step = loop._Trainer.take_step
    last = share * sum(report.details["steps"] for _, report in tuned.trials)

    def interrupted(trainer: Any, rows: Any) -> None:
        if next(steps) > last:
            raise KeyboardInterrupt
        take_step(trainer, rows)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Trainer, "take_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tune(STUDY, GRID, Runs(runs, device="cpu"))
    before, every = done(runs), done(folder / "runs")
    assert 0 < len(before) < len(every)
    events: list[RunEvent] = []
    again = tune(STUDY, GRID, Runs(runs, device="cpu", progress=events.append))
    assert [event.kind for event in events].count("done") == len(every) - len(before)
    after = done(runs)
    assert {one: after[one] for one in before} == before
    assert {one.name for one in after} == {one.name for one in every}
    assert again.best == tuned.best
    assert again.settings == tuned.settings
    assert [trial for trial, _ in again.trials] == [trial for trial, _ in tuned.trials]
    assert yields([r for _, r in again.trials]) == yields([r for _, r in tuned.trials])


def test_the_command_writes_the_table_and_parameters_that_a_run_takes(
    real: tuple[Tuned, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned, folder = real
    import yaml

    grid, output = tmp_path / "g.yaml", tmp_path / "tuned.yaml"
    params = params_file(STUDY, tmp_path / "p.yaml")
    plain = {
        name: {k: list(v) for k, v in held.items()}
        for name, held in {"shared": GRID.shared, "knowledge": GRID.knowledge}.items()
    }
    models = {name: {k: list(v) for k, v in held.items()} for name, held in GRID.models.items()}
    grid.write_text(yaml.safe_dump(plain | {"budget": GRID.budget, "models": models}))
    words = ["tune", "--params", str(params), "--grid", str(grid), "--output", str(output)]
    assert main(words) == 0
    assert Settings.from_yaml(output) == tuned.settings
    shown = capsys.readouterr().out
    assert "chosen:" in shown
    assert (folder / "results" / "t" / "tuning.md").read_text().strip() in shown
    assert main(words) == 2  # it would overwrite the file
    assert "exists" in capsys.readouterr().err
