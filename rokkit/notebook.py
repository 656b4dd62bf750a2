"""What a notebook's third cell calls, and the few things its other cells need.

    from rokkit import notebook
    session = notebook.begin(globals())

The second cell holds the parameters; papermill, `rokkit run` and the reader change them there.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

import rokkit
from rokkit.config import build, options
from rokkit.data import Samples, load
from rokkit.data import plan as data_plan
from rokkit.experiments import (
    DataSpec,
    Report,
    RunEvent,
    Runs,
    RunSpec,
    SavedFigure,
    Settings,
    Table,
    run_specs,
    save_figure,
    save_table,
)
from rokkit.experiments.executors import opened
from rokkit.experiments.figures import STYLE
from rokkit.overview import counted, overview
from rokkit.parameters import BEGUN, check_names, names_of, present
from rokkit.paths import figures_root, results_root, shown
from rokkit.progress import Progress, span
from rokkit.training import resolve_device

Name = TypeVar("Name")


def begin(names: dict[str, Any]) -> "Session":
    """Check the parameters among `names`, a notebook's `globals()`, and say where things stand.

    Raises ConfigError for a parameter that is not known (with the nearest one that is), of another
    type or out of range, and DataError if the data set's raw files are not there.
    """
    values = present(names)
    where = "this notebook's parameters"
    check_names(values, names_of(Settings), where=where)
    names[BEGUN] = frozenset(values)
    settings = build(Settings, values, where=where)
    style.use(STYLE)
    session = Session(settings)
    print(session.status())
    return session


@dataclass(frozen=True)
class Session:
    """A notebook that has begun: its settings, and its ways to the data, the runs and the files."""

    settings: Settings
    _follow: "Follower" = field(default_factory=lambda: Follower(), repr=False)

    @cached_property
    def samples(self) -> Samples:
        """The samples of the study, built if they are not there yet."""
        return load(self.settings.dataset, **self.settings.options_of_data())

    @property
    def title(self) -> str:
        """The data set for a caption, with those of its options that are no mere sizes."""
        return DataSpec.of(self.settings.dataset, self.settings.options_of_data()).title

    def having(self, **settings: Any) -> "Session":
        """The same study with some settings changed: `having(systems=["DIN"], seeds=[0])`.

        This session stays as it is. Raises ConfigError for a setting that is not known (with the
        nearest one that is), of another type or out of range.
        """
        values = dataclasses.asdict(self.settings) | settings
        return Session(build(Settings, values, where="session.having"))

    def with_option(self, option: str) -> "Session":
        """The same study on samples with one option of the data set changed: `"train_rows=9000"`.

        Raises ConfigError for a text that is no key=value.
        """
        (name,) = options([option], where="session.with_option")
        kept = [one for one in self.settings.data_options if one.partition("=")[0].strip() != name]
        return self.having(data_options=[*kept, option])

    def of_whole_pool(self) -> "Session":
        """The same study for what learns from the whole pool: fewer seeds, validated more often."""
        given = self.settings
        return self.having(seeds=given.long_seeds, evaluations_per_epoch=given.long_evaluations)

    def specs(self) -> list[RunSpec]:
        """A run per system and seed of the settings, in their order."""
        return [run.spec for run in run_specs(self.settings)]

    def constructions(self) -> list[RunSpec]:
        """The runs that construct the knowledge bases of `specs`, each once."""
        found: dict[str, RunSpec] = {}
        for spec in self.specs():
            if (one := spec.construction) is not None:
                # Specs may differ in what no base reads, such as the length of histories.
                found.setdefault(one.key(""), one)
        return list(found.values())

    def plan(self, specs: Sequence[RunSpec] | None = None) -> pd.DataFrame:
        """The runs that `specs` (None: those of the settings) need, and which are done."""
        planned = Runs().plan(self.specs() if specs is None else specs)
        rows = [(p.label, "done" if p.done else "to do", shown(p.folder)) for p in planned]
        return pd.DataFrame(rows, columns=["run", "state", "folder"])

    def plan_of(self, studies: Mapping[Any, "Session"]) -> pd.DataFrame:
        """The runs that several studies need: what `runs_of` would read or execute."""
        return self.plan([spec for study in studies.values() for spec in study.specs()])

    def runs(self, specs: Sequence[RunSpec] | None = None) -> list[Report]:
        """A report per spec (None: those of the settings): read where done, executed where not."""
        asked = self.specs() if specs is None else list(specs)
        with opened(self.settings.executor) as executor, self._follow:
            runs = Runs(
                executor=executor,
                jobs=self.settings.jobs,
                device=self.settings.device,
                progress=self._follow.event,
                tell=print,
            )
            reports = runs(asked)
        read = sum(report.cached for report in reports)
        print(counted(read, len(reports) - read))
        return reports

    def runs_of(self, studies: Mapping[Name, "Session"]) -> dict[Name, list[Report]]:
        """The runs of several studies, in one call: no core waits for the last run of each."""
        specs = {name: study.specs() for name, study in studies.items()}
        reports = iter(self.runs([spec for held in specs.values() for spec in held]))
        return {name: [next(reports) for _ in held] for name, held in specs.items()}

    def save_table(self, table: Table, name: str) -> Table:
        """Write `table` under results/<study>/ and hand it back to be shown."""
        print(shown(save_table(table, name, self.settings.study_name).with_suffix(".*")))
        return table

    def save_figure(self, figure: Figure, name: str, data: pd.DataFrame) -> SavedFigure:
        """Write `figure` and the `data` it draws under figures/<study>/; shows itself."""
        saved = save_figure(figure, name, self.settings.study_name, data)
        print(shown(saved.svg.with_suffix(".*")))
        return saved

    def overview(self) -> pd.DataFrame:
        """The notebooks and where each stands in this study."""
        return overview(self.settings.study_name)

    def status(self) -> str:
        """One line: version, data set, device, runs done and to do, where results go."""
        settings = self.settings
        device = resolve_device(settings.device)
        data = data_plan(settings.dataset, settings.options_of_data())
        if data.folder.is_dir():
            states = list(self.plan()["state"])
            runs = f"{len(states)} runs: {states.count('done')} done, {states.count('to do')} to do"
        else:
            runs = f"samples and {len(self.specs())} runs or more to do"
        places = [shown(top / settings.study_name) for top in (results_root(), figures_root())]
        version = f"rokkit {rokkit.__version__}"
        return " · ".join([version, settings.dataset, str(device), runs, ", ".join(places)])


class Follower:
    """Shows what a call of `Runs` is at. A context; it shows nothing until something happens."""

    def __init__(self) -> None:
        self.progress: Progress | None = None

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        if self.progress is not None:
            self.progress.close()
        self.progress = None

    def event(self, event: RunEvent) -> None:
        """What `Runs` calls."""
        if self.progress is None:
            self.progress = Progress(event.total, "runs")
        if event.kind == "failed":
            self.progress.tell(f"failed: {event.label}: {event.fields.get('error', '')}")
        self.progress.update(event.done, note(event))


def note(event: RunEvent) -> str:
    """`din+rok-s1 epoch 3/20 AUC 0.9141 · 4:10 left`."""
    fields = event.fields
    parts = [event.label]
    if "epoch" in fields:
        parts.append(f"epoch {fields['epoch']}/{fields.get('epochs', '?')}")
    if "auc" in fields:
        parts.append(f"AUC {fields['auc']:.4f}")
    text = " ".join(parts)
    return text if event.left is None else f"{text} · {span(event.left)} left"
