"""Settings chosen on validation data, with the same number of trials for every system.

A trial is an ordinary run of the first seed, so that the run folders keep it: a study goes on where
it was left, and a trial with the settings of the study itself costs nothing anew. The first trial
of a system is that of the study's own settings; the others are drawn from a declared grid without
repetition, the same for a given grid.

Plain systems come first, then those whose neighbours are found by the table of one of them. Then
ROK's construction and use are tuned once, for one backbone, with the backbone and the teacher as
chosen: a knowledge base is made for any backbone (§4.4). Other teachers are tuned last as parts of
ROK, over the grid that they were tried on by themselves.

What is tuned never sees test data: trials are judged by the validation metric that already
selects their weights (`Settings.monitor`).
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import ParameterGrid
from sklearn.utils import shuffle

from rokkit.config import build, check_type, require
from rokkit.errors import ConfigError, unknown_name
from rokkit.experiments.report import Report
from rokkit.experiments.settings import Settings, read_params
from rokkit.experiments.spec import RunSpec, Scalar
from rokkit.experiments.systems import IN_ROK, parse_system, system_spec
from rokkit.experiments.tables import Table
from rokkit.models import is_dense, is_estimator, list_systems, model_entry
from rokkit.paths import shown
from rokkit.training import TrainConfig

Values = dict[str, tuple[Scalar, ...]]
Choice = dict[str, Scalar]  # setting -> value; empty: the study's own


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What may be chosen, and how often one may look. ConfigError for what cannot be.

    `shared` holds settings of training or of heads, for every model that knows them; `models` those
    of single models, over the shared ones; `knowledge` those of `Settings` that make and use a
    knowledge base, and as `rim.setting` those of a teacher or a backbone as part of ROK systems,
    tuned for the system `knowledge_of`.
    """

    budget: int = 6  # trials per system, the study's own settings among them
    draw: int = 0  # seed of which points of the grid are tried
    shared: Values = dataclasses.field(default_factory=dict)
    models: dict[str, Values] = dataclasses.field(default_factory=dict)
    knowledge: Values = dataclasses.field(default_factory=dict)
    knowledge_of: str = "MLP+ROK"

    def __post_init__(self) -> None:
        require(self.budget >= 1, "budget", self.budget, "at least 1")
        require(self.draw >= 0, "draw", self.draw, "at least 0")
        for name, values in self.models.items():
            _check("models", "model", name, list_systems())
            for setting in values:
                _check(f"models: {name}", "setting", setting, _settings_of(name))
        every = {setting for name in list_systems() for setting in _settings_of(name)}
        for setting in self.shared:
            _check("shared", "setting", setting, every)
        fields = [f.name for f in dataclasses.fields(Settings)]
        for setting in self.knowledge:
            name, dot, own = setting.rpartition(".")
            if dot:
                _check("knowledge", "model", name, list_systems())
            _check("knowledge", "setting", own, _settings_of(name) if dot else fields)

    @classmethod
    def from_yaml(cls, path: Path | str) -> "Grid":
        """Read a grid file; ConfigError if it is missing, damaged or names the unknown."""
        where, held = shown(Path(path)), read_params(path)
        for name in ("shared", "knowledge"):
            held[name] = _values(held.get(name) or {}, f"{where}: {name}")
        models = check_type(held.get("models") or {}, dict, where=f"{where}: models")
        held["models"] = {
            str(name): _values(values or {}, f"{where}: models: {name}")
            for name, values in models.items()
        }
        return build(cls, held, where=where)

    def choices(self, values: Values) -> Iterator[Choice]:
        """The study's own settings, then every point of the grid `values` once, shuffled."""
        yield {}
        points = ParameterGrid({name: list(held) for name, held in values.items()})
        for point in shuffle(list(points), random_state=self.draw) if values else ():
            yield {name: point[name] for name in sorted(point)}

    def of_model(self, name: str) -> Values:
        """What may be chosen for the model `name`."""
        own = _settings_of(name)
        shared = {setting: held for setting, held in self.shared.items() if setting in own}
        return shared | dict(self.models.get(name, {}))


@dataclass(frozen=True)
class Trial:
    """One run of one system with one choice of settings."""

    system: str
    number: int  # from 0, which is that of the study's own settings
    choice: Choice
    settings: Settings
    spec: RunSpec


@dataclass(frozen=True)
class Tuned:
    """What came of tuning: every trial with its report, and the settings chosen."""

    trials: Sequence[tuple[Trial, Report]]
    best: Mapping[str, int]  # system -> the number of its best trial
    settings: Settings  # those of the study with all that was chosen


def tune(
    settings: Settings, grid: Grid, runs: Callable[[Sequence[RunSpec]], list[Report]]
) -> Tuned:
    """Choose settings for every model among the systems of `settings`, then for ROK.

    `runs` executes specs, as `Runs` does. The teachers of ROK systems are tuned as systems.
    """
    parts = [parse_system(system, settings.teacher) for system in settings.systems]
    names = list(dict.fromkeys([p.model for p in parts] + [p.teacher for p in parts if p.teacher]))
    dense = [name for name in names if is_dense(name)]
    done: list[tuple[Trial, Report]] = []
    best: dict[str, int] = {}
    # Those that search by another's table come after it.
    for stage in ([name for name in names if name not in dense], dense):
        trials = [trial for name in stage for trial in model_trials(name, settings, grid)]
        done += zip(trials, runs([one.spec for one in trials]), strict=True)
        for name in stage:
            best[name.upper()] = _best(name.upper(), done, settings.monitor)
        for trial in trials:
            if trial.number == best[trial.system]:
                settings = chosen(settings, trial.system.lower(), trial.choice)
    teachers = list(dict.fromkeys(p.teacher for p in parts if p.teacher and p.gift == "rok"))
    if teachers and grid.knowledge:
        others = [one for one in teachers if one != settings.teacher]
        makers: list[Callable[[Settings, Grid], list[Trial]]]
        makers = [knowledge_trials, *(partial(teacher_trials, one) for one in others)]
        for make in makers:
            trials = make(settings, grid)
            done += zip(trials, runs([one.spec for one in trials]), strict=True)
            system = trials[0].system
            best[system] = _best(system, done, settings.monitor)
            settings = trials[best[system]].settings
    return Tuned(done, best, settings)


def model_trials(name: str, settings: Settings, grid: Grid) -> list[Trial]:
    """The trials of the model `name` by itself: as many as the budget, or all there are."""
    choices = grid.choices(grid.of_model(name))
    trials = ((choice, chosen(settings, name, choice)) for choice in choices)
    return _distinct(name.upper(), trials, grid.budget)


def knowledge_trials(settings: Settings, grid: Grid) -> list[Trial]:
    """The trials of ROK's settings, for `grid.knowledge_of`."""
    trials = ((choice, _of_rok(settings, choice)) for choice in grid.choices(grid.knowledge))
    return _distinct(grid.knowledge_of, trials, grid.budget)


def teacher_trials(teacher: str, settings: Settings, grid: Grid) -> list[Trial]:
    """The trials of a further teacher as a part of ROK, for `grid.knowledge_of`.

    The points come in the order in which the teacher was tried by itself, so that most of the
    teachers are there already.
    """
    choices = grid.choices(grid.of_model(teacher))
    trials = ((choice, chosen(settings, teacher, choice, where=IN_ROK)) for choice in choices)
    return _distinct(f"{grid.knowledge_of}-{teacher.upper()}", trials, grid.budget)


def _of_rok(settings: Settings, choice: Choice) -> Settings:
    """`settings` with a choice of the grid's `knowledge`."""
    plain = {name: value for name, value in choice.items() if "." not in name}
    found = build(Settings, dataclasses.asdict(settings) | plain, where="grid: knowledge")
    for name, value in choice.items():
        model, dot, setting = name.rpartition(".")
        if dot:
            found = chosen(found, model, {setting: value}, where=IN_ROK)
    return found


def _distinct(system: str, trials: Iterable[tuple[Choice, Settings]], budget: int) -> list[Trial]:
    """The first `budget` trials that are runs of their own: a default spelt out is no other."""
    found: dict[str, Trial] = {}
    for choice, settings in trials:
        spec = system_spec(system, settings, settings.seeds[0])
        found.setdefault(spec.key(""), Trial(system, len(found), choice, settings, spec))
        if len(found) == budget:
            break
    return list(found.values())


def chosen(settings: Settings, name: str, choice: Choice, where: str = "") -> Settings:
    """`settings` with those of the model `name` that `choice` holds, over its earlier ones.

    `where` "rok." keeps them to ROK systems.
    """
    fields = set(_training_fields(name))
    training = {k: v for k, v in choice.items() if k in fields}
    model = {k: v for k, v in choice.items() if k not in fields}
    return dataclasses.replace(
        settings,
        model_options=_over(settings.model_options, where + name, model),
        training_options=_over(settings.training_options, where + name, training),
    )


def tuning_table(tuned: Tuned) -> Table:
    """Every trial by system: what it set, what validation said, and which was taken."""
    rows = [
        {
            "System": trial.system,
            "Trial": trial.number,
            "Settings": told(trial.choice),
            "Val. AUC": report.metrics["val"]["auc"],
            "Val. log-loss": report.metrics["val"]["log_loss"],
            "Best epoch": report.details["best_epoch"],
            "Train s": report.timings["train"],
            "Taken": "yes" if trial.number == tuned.best[trial.system] else "",
        }
        for trial, report in tuned.trials
    ]
    seed = tuned.settings.seeds[0]
    return Table(
        frame=pd.DataFrame(rows),
        caption=f"Trials on {tuned.settings.dataset}, seed {seed}, judged on validation data.",
        formats={**dict.fromkeys(("Val. AUC", "Val. log-loss"), "{:.4f}"), "Train s": "{:.1f}"},
        notes=(
            "Settings: those that differ from the study's own, which trial 0 has. A further "
            "teacher in ROK is told from what was chosen for it by itself.",
        ),
    )


def told(choice: Choice) -> str:
    """A choice in one line; the study's own settings as such."""
    return ", ".join(f"{name}={_text(value)}" for name, value in choice.items()) or "the study's"


def _best(system: str, done: Iterable[tuple[Trial, Report]], monitor: str) -> int:
    """The number of the best trial of `system`; the first of equals."""
    held = [(trial.number, report) for trial, report in done if trial.system == system]
    metric = "auc" if monitor == "auc" else "log_loss"
    values = np.array([report.metrics["val"][metric] for _, report in held])
    at = values.argmax() if metric == "auc" else values.argmin()
    return held[int(at)][0]


def _check(where: str, kind: str, name: str, known: Iterable[str]) -> None:
    """ConfigError with the nearest name unless `name` is `known`."""
    if name not in known:
        raise ConfigError(f"grid: {where}: " + unknown_name(kind, name, known))


def _settings_of(name: str) -> list[str]:
    config = [f.name for f in dataclasses.fields(model_entry(name).meta["config"])]
    return config + [one for one in _training_fields(name) if one not in config]


def _training_fields(name: str) -> list[str]:
    """Settings of training; an estimator has its own among those of the model."""
    if is_estimator(name):
        return []
    return [f.name for f in dataclasses.fields(TrainConfig)]


def _values(held: Any, where: str) -> dict[str, tuple[Scalar, ...]]:
    mapping = check_type(held, dict, where=where)
    found = {
        str(name): check_type(values, tuple[Scalar, ...], where=f"{where}: {name}")
        for name, values in mapping.items()
    }
    for name, values in found.items():
        require(bool(values), f"{where}: {name}", values, "at least one value")
    return found


def _over(pairs: Sequence[str], name: str, choice: Choice) -> tuple[str, ...]:
    """`pairs` (model.setting=value) with the chosen ones of the model in place of earlier ones."""
    own = {f"{name}.{setting}": value for setting, value in choice.items()}
    kept = [pair for pair in pairs if pair.partition("=")[0].strip() not in own]
    return (*kept, *(f"{setting}={_text(value)}" for setting, value in own.items()))


def _text(value: Scalar) -> str:
    """A value as YAML reads it back."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else f"{value}"
