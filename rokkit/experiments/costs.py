"""Tables 5 and 6: what training and inference cost."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from rokkit.evaluation.latency import Stages, in_turns
from rokkit.experiments import paper
from rokkit.experiments.grouping import by_system, on_test, samples_of
from rokkit.experiments.inputs import Inputs
from rokkit.experiments.reading import Reading
from rokkit.experiments.report import Report
from rokkit.experiments.spec import hash_of
from rokkit.experiments.systems import ROK
from rokkit.experiments.tables import Table
from rokkit.experiments.weights import load_run
from rokkit.files import read_json, write_json
from rokkit.models import is_estimator

STAGES = ("search", "look-up", "forward")
Turn = Callable[[int], Mapping[str, float]]


def phases_table(reports: Sequence[Report]) -> Table:
    """Table 5: seconds of both phases for each backbone with and without ROK, medians over seeds.

    Phase 1 is the search, the teacher and the construction, once for all backbones; phase 2 the
    backbone that uses the base. The paper's minutes are in the notes, of other data on other
    machines.
    """
    held = by_system(reports)
    rows = []
    for name in [one for one in held if one + ROK in held]:
        rok = held[name + ROK]
        seconds = {
            column: float(np.median([r.timings[stage] for r in rok]))
            for column, stage in (
                ("Search s", "retrieval"),
                ("Teacher s", "teacher"),
                ("Construction s", "construct"),
                ("Phase 2 s", "train"),
            )
        }
        phase_1 = sum(seconds[c] for c in ("Search s", "Teacher s", "Construction s"))
        alone = float(np.median([r.timings["train"] for r in held[name]]))
        rows.append(
            {
                "Backbone": name,
                **dict(list(seconds.items())[:3]),
                "Phase 1 s": phase_1,
                "Phase 2 s": seconds["Phase 2 s"],
                "Total s": phase_1 + seconds["Phase 2 s"],
                "Without ROK s": alone,
                "Phase 2 / without": seconds["Phase 2 s"] / alone,
                "Total / without": (phase_1 + seconds["Phase 2 s"]) / alone,
            }
        )
    frame = pd.DataFrame(rows)
    ratios = dict.fromkeys(("Phase 2 / without", "Total / without"), "{:.2f}")
    columns = [c for c in frame.columns if c.endswith(" s")]
    printed = "; ".join(
        f"{d}: {_minutes('Phase 1', d)} + {_minutes('Phase 2', d)} = {_minutes('Total', d)} "
        f"against {_minutes('DIEN without ROK', d)}"
        for d in paper.DATASETS
    )
    return Table(
        frame=frame,
        caption=f"Table 5 on {reports[0].spec.data.name}: seconds of training, median over seeds.",
        formats=dict.fromkeys(columns, "{:.1f}") | ratios,
        notes=(
            "Seconds of wall time on the machine that ran it. Phase 1 (search, teacher, "
            "construction) is done once for all backbones.",
            f"The paper, minutes of DIEN (phase 1 + phase 2 = total against without ROK): "
            f"{printed}. Its phases are made of the same stages.",
        ),
    )


def measured_latency(
    reports: Sequence[Report], rounds: int = 300, large: int = 1024
) -> pd.DataFrame:
    """Milliseconds of inference, tidy: system, batch, stage, p50, p95 (per call), samples.

    Single test samples and batches of `large`, on the CPU with one thread, system by system in
    turns. Stages: the search for neighbours, as for a sample that was never seen; the look-up of
    what the model reads; the forward pass. The first seed of each system. What was measured once
    on this machine is kept and read again.
    """
    first = [held[0] for held in by_system(reports).values()]
    covers = [[r.key for r in first], rounds, large, os.cpu_count()]
    place = first[0].folder.parent / f"latency-{hash_of(covers)[:12]}" / "latency.json"
    if not place.exists():
        rows = []
        with one_thread():
            for batch, times in ((1, rounds), (large, max(5, rounds // 30))):
                calls = {r.label: turn(r, batch, times) for r in first}
                found = in_turns(calls, times, warm_up=max(2, times // 10))
                rows += _rows(first, found, batch)
        write_json(place, rows)
    return pd.DataFrame(read_json(place))


def turn(report: Report, batch: int, rounds: int) -> Turn:
    """A call that answers for the next `batch` test samples and says what its stages took."""
    samples = samples_of(report.spec.data)
    model = load_run(report.folder, report.spec, samples)
    inputs = Inputs(report.spec, samples, "cpu", _encoder(report))
    feed = inputs.feed("test", frozenset(model.needs))
    search = inputs.searcher()
    x = np.asarray(samples.test.x)
    generator = np.random.default_rng(0)
    drawn = [generator.choice(len(x), min(batch, len(x)), replace=False) for _ in range(rounds)]

    def call(i: int) -> Mapping[str, float]:
        rows: NDArray[np.int64] = drawn[i]
        stages = Stages()
        if search is not None:
            search(np.ascontiguousarray(x[rows]))
            stages.lap("search")
        ready = feed.batch(torch.from_numpy(rows))
        stages.lap("look-up")
        with torch.inference_mode():
            model(ready).sigmoid()
        stages.lap("forward")
        return stages.seconds

    return call


def latency_table(reports: Sequence[Report], frame: pd.DataFrame) -> Table:
    """Table 6: AUC and milliseconds by system, `frame` being `measured_latency`'s."""
    large = int(frame["batch"].max())
    rows = []
    for system, held in by_system(reports).items():
        own = frame[frame["system"] == system].set_index(["batch", "stage"])
        stages = {f"{s} ms": own["p50"].get((1, s), np.nan) for s in STAGES}
        row = {
            "System": system,
            "AUC": float(on_test(held, "auc").mean()),
            "p50 ms": own.at[(1, "total"), "p50"],
            "p95 ms": own.at[(1, "total"), "p95"],
            **stages,
            f"ms a sample of {large}": own.at[(large, "total"), "p50"] / large,
        }
        for dataset in paper.DATASETS:
            name = {one.upper(): one for one in paper.rows(6)}.get(system)
            value = None if name is None else paper.value(6, name, dataset, "Milliseconds")
            row[f"Paper {dataset} ms"] = np.nan if value is None else value
        rows.append(row)
    table = pd.DataFrame(rows)
    thirds = [c for c in table.columns if " ms" in c or c.startswith("ms ")]
    return Table(
        frame=table,
        caption=f"Table 6 on {reports[0].spec.data.name}: test AUC, and what one sample costs.",
        formats=dict.fromkeys(thirds, "{:.3f}")
        | {c: "{:.2f}" for c in table.columns if c.startswith("Paper")}
        | {"AUC": "{:.4f}"},
        notes=(
            "Single samples on one core, eager: median, 95th percentile, and the medians of the "
            "stages: the search for neighbours in this process, the look-up of what the model "
            "reads, the forward pass. AUC: mean over seeds.",
            "The paper's milliseconds are of a GPU and of a search by Elasticsearch.",
        ),
    )


def networks(reports: Sequence[Report]) -> list[Report]:
    """Those of `reports` that a server of networks could hold: no estimators, no aided heads."""
    return [
        r
        for r in reports
        if r.spec.model and not is_estimator(r.spec.model.name) and not r.spec.needs_extra
    ]


def phases_reading(table: Table) -> Reading:
    """What `phases_table` says of each backbone."""
    lines = []
    for _, row in table.frame.iterrows():
        faster = "less" if row["Phase 2 / without"] < 1 else "no less"
        lines.append(
            f"{row['Backbone']}: phase 2 takes {faster} time than training without ROK "
            f"({row['Phase 2 s']:.1f} s against {row['Without ROK s']:.1f} s); with phase 1 it is "
            f"{row['Total / without']:.1f} times as much."
        )
    return Reading(tuple(lines))


def latency_reading(table: Table) -> Reading:
    """What a search costs, and what ROK adds to a backbone."""
    held, lines = table.frame.set_index("System"), []
    for system, row in held.iterrows():
        if row["search ms"] > 0:
            lines.append(
                f"{system}: {row['p50 ms']:.2f} ms for one sample, {row['search ms']:.2f} ms of it "
                f"the search ({row['search ms'] / row['p50 ms']:.0%})."
            )
        if f"{system}{ROK}" in held.index:
            added = held.at[f"{system}{ROK}", "p50 ms"] - row["p50 ms"]
            lines.append(
                f"ROK adds {added:+.2f} ms to {system} ({added / row['p50 ms']:+.0%}) and "
                f"{held.at[f'{system}{ROK}', 'AUC'] - row['AUC']:+.4f} test AUC."
            )
    return Reading(tuple(lines))


@contextmanager
def one_thread() -> Iterator[None]:
    """torch with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _rows(
    reports: Sequence[Report], found: Mapping[str, Mapping[str, NDArray[np.float64]]], batch: int
) -> list[dict[str, str | int | float]]:
    rows: list[dict[str, str | int | float]] = []
    for system, held in by_system(reports).items():
        stages = dict(found[held[0].label])
        total = np.sum(list(stages.values()), axis=0)
        for stage, seconds in {**stages, "total": total}.items():
            p50, p95 = (float(v) * 1000 for v in np.quantile(seconds, (0.5, 0.95)))
            rows.append({"system": system, "batch": batch, "stage": stage, "p50": p50, "p95": p95})
    return rows


def _encoder(report: Report) -> Path | None:
    """The folder of the run whose table finds the neighbours, which lies beside the run's own."""
    encoder = report.spec.encoder
    if encoder is None:
        return None
    key = encoder.key(samples_of(report.spec.data).fingerprint)
    return encoder.folder(report.folder.parent.parent, key)


def _minutes(row: str, dataset: str) -> str:
    value = paper.value(5, row, dataset, "Minutes")
    return "–" if value is None else f"{value:g}"
