"""What a batch of notebooks cost: by notebook, and by the stages of the runs it executed."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from rokkit.experiments.report import DONE, REPORT, SPEC
from rokkit.experiments.tables import Table
from rokkit.files import read_json
from rokkit.paths import results_root, runs_root

STAGES = {  # of a run's own work; what its parents took stands in their reports
    "load": "histories, neighbours, batches",
    "represent": "r of every sample, by the teacher",
    "construct": "a base",
    "train": "a model",
    "predict": "val and test",
}


def notebooks_table(taken: Mapping[str, tuple[float, int, int]], whole: float) -> Table:
    """By notebook: (seconds, runs read, runs executed); `whole` are the seconds of the batch."""
    rows = [[name, seconds, done, read] for name, (seconds, read, done) in sorted(taken.items())]
    frame = pd.DataFrame(rows, columns=["Notebook", "Seconds", "Runs executed", "Runs read"])
    total = int(frame["Runs executed"].sum())
    return Table(
        frame=frame,
        caption=f"The batch by notebook: {total} runs executed, {whole / 60:.1f} minutes in all.",
        formats={"Seconds": "{:.0f}"},
        notes=(
            "Two notebooks that train go side by side, so that times overlap. A run is executed "
            "once, by the first notebook that asks for it; others read it. The teachers and bases "
            "that these runs need are not counted here.",
        ),
    )


def larger_batch_kept(study: str, name: str, taken: Iterable[str]) -> bool:
    """Whether the study's table `name` is of all notebooks `taken` and of others besides.

    One notebook that is executed again does not stand for the whole study.
    """
    kept = results_root() / study / f"{name}.csv"
    return kept.exists() and set(pd.read_csv(kept)["Notebook"]) > set(taken)


def finished_runs(dataset: str, since: float = 0.0) -> list[Path]:
    """Folders of a data set's runs that have finished since a moment, in seconds of the epoch."""
    done = sorted((runs_root() / dataset).glob(f"*/{DONE}"))
    return [path.parent for path in done if path.stat().st_mtime >= since - 1]


def stages_table(folders: Sequence[Path]) -> Table:
    """Processor minutes of finished runs, given by their folders, by stage.

    On a GPU these are the minutes of the process that feeds it. A search that runs share is in the
    run that did it, under its first stage.
    """
    spent: dict[str, list[float]] = {stage: [] for stage in (*STAGES, "rest")}
    for folder in folders:
        seconds = dict(read_json(folder / REPORT)["processor"])
        of_parents = "train" if read_json(folder / SPEC)["spec"]["model"] is None else "construct"
        own = {s: seconds[s] for s in STAGES if s in seconds and s != of_parents}
        for stage, value in own.items():
            spent[stage].append(value)
        spent["rest"].append(seconds.get("total", 0.0) - sum(own.values()))
    whole = sum(sum(values) for values in spent.values())
    rows = []
    for stage, values in spent.items():
        if values:
            share = 100 * sum(values) / whole if whole else 0.0
            of = STAGES.get(stage, "reading samples, searches, writing")
            rows.append([stage, of, len(values), sum(values) / 60, share])
    frame = pd.DataFrame(rows, columns=["Stage", "Of", "Runs", "Minutes", "Share %"])
    return Table(
        frame=frame,
        caption=f"{len(folders)} runs by stage: {whole / 60:.1f} minutes of processor time.",
        formats={"Minutes": "{:.1f}", "Share %": "{:.0f}"},
        notes=("Seconds of each run's own threads; kernels, figures and tests are not in it.",),
    )
