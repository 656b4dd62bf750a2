"""`rokkit run`: notebooks in one batch, with the parameters of a study."""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rokkit.commands.common import add_parameters, columns, command, given_parameters, run_command


def add(commands: Any) -> None:
    """Declare `run`."""
    parser = command(
        commands,
        "run",
        run,
        about="execute notebooks with the parameters of a study, several at a time",
        examples=(
            "rokkit run --params params/movielens.yaml",
            "rokkit run 10_overall --params params/journey.yaml -p seeds=[0] --jobs 2",
            "rokkit run --params params/movielens.yaml --executor dask://10.0.0.5:8786",
            "rokkit run            (every notebook as it stands: the smoke size)",
        ),
    )
    parser.add_argument("notebooks", nargs="*", help="names or paths (default: all notebooks)")
    add_parameters(parser)
    parser.add_argument("--jobs", type=int, help="processes at the same time (default: the cores)")
    parser.add_argument(
        "--executor", metavar="ADDRESS", help="a cluster that does the runs: dask://host:port"
    )
    parser.add_argument("--out", type=Path, help="executed copies (default: executed/<study>)")


def run(options: argparse.Namespace) -> int:
    """Check, execute, tell; 1 if a notebook failed."""
    from rokkit.commands.screen import Screen
    from rokkit.config import require
    from rokkit.experiments import save_table
    from rokkit.experiments.batch import (
        finished_runs,
        larger_batch_kept,
        notebooks_table,
        stages_table,
    )
    from rokkit.experiments.slots import limited
    from rokkit.html_report import write_report
    from rokkit.machine import cores
    from rokkit.overview import runs_of
    from rokkit.paths import executed_root
    from rokkit.runner import execute, find, tasks

    start, began = time.monotonic(), time.time()
    notebooks = find(options.notebooks)
    given = given_parameters(options)
    if options.executor is not None:
        given = {**given, "executor": options.executor}
    studies = check(notebooks, given, where=options.params or "-p")
    jobs = options.jobs if options.jobs is not None else given.get("jobs", cores())
    require(isinstance(jobs, int) and jobs >= 1, "jobs", jobs, "a number from 1")
    folder = options.out or executed_root() / studies[0].study_name
    batch = tasks(notebooks, given, folder, jobs)
    with limited(jobs), Screen(batch) as screen:
        outcomes = execute(batch, jobs=jobs, watch=screen.show)
    new = {one.dataset: finished_runs(one.dataset, began) for one in studies}
    trained = [run for held in new.values() for run in held]
    taken = {o.task.name: (o.seconds, *runs_of(o.task.copy)) for o in outcomes}
    costs = [notebooks_table(taken, time.monotonic() - start)]
    costs += [stages_table(trained)] if trained else []
    report = write_report(folder, "".join(table._repr_html_() for table in costs))
    # What a batch cost that trained, and one that found all its runs done, are two tables.
    names = ("batch_notebooks", "batch_stages") if trained else ("batch_cached",)
    if not larger_batch_kept(studies[0].study_name, names[0], taken):
        for table, name in zip(costs, names, strict=True):
            save_table(table, name, studies[0].study_name)
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    for outcome in failed:
        print("\n" + _complaint(outcome, options))
    print("\n" + _summary(len(outcomes), len(failed), studies, report, new, began, start))
    return 1 if failed else 0


def check(notebooks: Sequence[Path], given: Mapping[str, Any], *, where: str) -> list[Any]:
    """The settings of each notebook, before any of them starts.

    Raises ConfigError for a parameter that is not known (with the nearest one), a value that does
    not fit, an unknown system, data set or option; DataError if the raw files are not there.
    """
    from rokkit.config import build
    from rokkit.data import plan
    from rokkit.experiments import Settings, run_specs
    from rokkit.parameters import check_names, declared, names_of
    from rokkit.paths import shown

    known = set(names_of(Settings))
    own = {path: {one.name: one.value for one in declared(path)} for path in notebooks}
    check_names(given, known.union(*own.values()), where=where)
    studies = []
    for path, values in own.items():
        used = {name: value for name, value in (values | dict(given)).items() if name in known}
        settings = build(Settings, used, where=f"{where}, for {shown(path)}")
        plan(settings.dataset, settings.options_of_data())
        run_specs(settings)
        studies.append(settings)
    return studies


def _complaint(outcome: Any, options: argparse.Namespace) -> str:
    """What went wrong, where, and how to go on."""
    from rokkit.overview import notebooks_folder
    from rokkit.paths import shown

    failure, notebook = outcome.failure, outcome.task.notebook
    ours = notebook.parent == notebooks_folder()
    lines = [
        f"{outcome.task.name} failed"
        + (f" in cell {failure.cell}: {failure.source}" if failure.cell else ""),
        *(f"  {line}" for line in failure.error.splitlines()),
    ]
    if failure.where:
        lines.append(f"  at {failure.where}")
    if outcome.task.copy.exists():
        lines.append(f"  executed copy: {shown(outcome.task.copy)}")
    again = run_command(options, outcome.task.name if ours else str(notebook))
    lines.append(f"  resume: {again}")
    lines.append("  (finished runs are read; one that was going continues from its checkpoint)")
    return "\n".join(lines)


def _summary(
    number: int,
    failed: int,
    studies: Sequence[Any],
    report: Path,
    new: Mapping[str, Sequence[Path]],
    began: float,
    start: float,
) -> str:
    """What was written where, and how long it took; `new` are the batch's runs by data set."""
    from rokkit.experiments.batch import finished_runs
    from rokkit.paths import figures_root, results_root, runs_root, shown
    from rokkit.progress import span

    rows = []
    for name in dict.fromkeys(one.study_name for one in studies):
        for what, place in (("tables", results_root() / name), ("figures", figures_root() / name)):
            written = [p for p in place.glob("*.*") if p.stat().st_mtime >= began - 1]
            if written:
                rows.append((what, shown(place), f"{len(written)} files written"))
    rows.append(("notebooks", shown(report.parent.parent), f"{number} executed copies"))
    rows.append(("report", shown(report), "all executed copies as pages"))
    for name, now in new.items():
        held = finished_runs(name)
        if held:
            place = shown(runs_root() / name)
            rows.append(("runs", place, f"{len(held)} finished, {len(now)} of them now"))
    verdict = f"{failed} of {number} notebooks failed" if failed else f"{number} notebooks done"
    return f"{verdict} in {span(time.monotonic() - start)}\n" + columns(rows, "  ")
