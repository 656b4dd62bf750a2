"""Table 6: what inference costs, and what it buys."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from rokkit.data.batch import Batch
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
from rokkit.knowledge import KnowledgeModel
from rokkit.models import CTRModel, is_estimator
from rokkit.serving import exported, folded, missing_packages, of_model, session, write_onnx

NAMES = {"eager": "Eager", "onnx": "ONNX", "compiled": "Compiled"}
HOW = {"onnx": "exported and run by ONNX Runtime", "compiled": "through torch.compile"}
KEPT = ("weights", "histories", "pool", "index")
LATENCY = "measured.json"
BLOCKS = 10  # that the rounds are cut into, one after the other: what they differ by is chance
ROUNDS, LARGE = 300, 1024  # measurements of a call; samples of a large batch
STAGES = ("search", "look-up", "forward")
Form = Literal["eager", "onnx", "compiled"]
Turn = Callable[[int], Mapping[str, float]]
Answer = Callable[[Batch], Any]


def measured_latency(
    reports: Sequence[Report],
    forms: Sequence[Form] = ("eager",),
    rounds: int = ROUNDS,
    large: int = LARGE,
) -> pd.DataFrame:
    """Milliseconds of inference, tidy: system, form, batch, stage, p50, p95 (per call).

    Single test samples and batches of `large`, on the CPU with one thread, system by system in
    turns. Stages: the search for neighbours, as for a sample that was never seen; the look-up of
    what the model reads; the forward pass. The first seed of each system, in each of `forms` that
    it can be had in: others than eager only of what searches for nothing, ONNX with the extra
    [export]. What was measured once on this machine is kept and read again, also as a part of
    what a measurement of more systems or forms found.
    """
    return _measured(reports, forms, rounds, large).drop(columns="blocks")


def latency_by_block(reports: Sequence[Report]) -> pd.DataFrame:
    """The same measurement, of single samples and eager: median milliseconds, systems x blocks.

    Each column is of a tenth of the rounds, in which every system had its turns.
    """
    frame = _measured(reports, ("eager",), ROUNDS, LARGE)
    one = frame[(frame["batch"] == 1) & (frame["stage"] == "total")]
    return pd.DataFrame(list(one["blocks"]), index=list(one["system"]))


def _measured(
    reports: Sequence[Report], forms: Sequence[Form], rounds: int, large: int
) -> pd.DataFrame:
    first = {system: held[0] for system, held in by_system(reports).items()}
    asked = {system: report.key for system, report in first.items()}
    setting = [rounds, large, os.cpu_count(), BLOCKS]
    root = next(iter(first.values())).folder.parent
    frame = _kept(root, asked, forms, setting)
    if frame is None:
        rows = []
        asking = [(r, form) for r in first.values() for form in forms if applies(form, r)]
        with one_thread():
            # Made once for both sizes: an export takes far longer than what is measured.
            turns = {f"{r.label} {form}": Turns(r, form) for r, form in asking}
            for batch, times in ((1, rounds), (large, max(5, rounds // 30))):
                calls = {name: held.of(batch, times) for name, held in turns.items()}
                found = in_turns(calls, times, warm_up=max(2, times // 10))
                for report, form in asking:
                    rows += _rows(report, form, batch, found[f"{report.label} {form}"])
        covers = {"keys": asked, "forms": list(forms), "setting": setting}
        place = root / f"latency-{hash_of(covers)[:12]}" / LATENCY
        write_json(place, covers | {"rows": rows})
        frame = _kept(root, asked, forms, setting)
        assert frame is not None
    return frame


def _kept(
    root: Path, asked: Mapping[str, str], forms: Sequence[Form], setting: list[int | None]
) -> pd.DataFrame | None:
    """What a kept measurement found of these systems (each with its run's key) and forms."""
    for place in sorted(root.glob(f"latency-*/{LATENCY}")):
        held = read_json(place)
        covered = asked.items() <= held["keys"].items() and set(forms) <= set(held["forms"])
        if covered and held["setting"] == setting:
            frame = pd.DataFrame(held["rows"])
            wanted = frame["system"].isin(asked) & frame["form"].isin(forms)
            return frame[wanted].reset_index(drop=True)
    return None


def applies(form: Form, report: Report) -> bool:
    """Whether a run's model can be had in this form here."""
    assert report.spec.model is not None
    if form == "eager":
        return True
    searches = "neighbours" in report.spec.model.needs
    return not searches and not (form == "onnx" and missing_packages())


class Turns:
    """A run's model, ready to answer for test samples, and what it reads of them."""

    def __init__(self, report: Report, form: Form = "eager") -> None:
        samples = samples_of(report.spec.data)
        model = load_run(report.folder, report.spec, samples)
        inputs = Inputs(report.spec, samples, "cpu", _encoder(report))
        self.feed = inputs.feed("test", frozenset(model.needs))
        self.search = inputs.searcher()
        self.x = np.asarray(samples.test.x)
        self.answer = answering(model, form, self.feed.batch(torch.arange(2)))

    def of(self, batch: int, rounds: int) -> Turn:
        """A call that answers for the next `batch` samples and says what its stages took."""
        generator, n = np.random.default_rng(0), len(self.x)
        drawn = [generator.choice(n, min(batch, n), replace=False) for _ in range(rounds)]

        def call(i: int) -> Mapping[str, float]:
            rows: NDArray[np.int64] = drawn[i]
            stages = Stages()
            if self.search is not None:
                self.search(np.ascontiguousarray(self.x[rows]))
                stages.lap("search")
            ready = self.feed.batch(torch.from_numpy(rows))
            stages.lap("look-up")
            self.answer(ready)
            stages.lap("forward")
            return stages.seconds

        return call


def answering(model: CTRModel | KnowledgeModel, form: Form, example: Batch) -> Answer:
    """A function from a batch to probabilities by `model` in this form; `example` is any batch."""
    if form == "eager":
        ready = folded(model)
        return _without_gradients(lambda batch: ready(batch).sigmoid())
    shape = None if example.history is None else example.history.shape[1:]
    program = of_model(model, None if shape is None else (shape[0], shape[1]))
    if form == "compiled":
        compiled = torch.compile(exported(program).module())
        return _without_gradients(
            lambda batch: compiled(*(getattr(batch, name) for name in program.inputs))
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_onnx(path, exported(program), program)
        ask = session(path, program, threads=1)
    return lambda batch: ask({n: getattr(batch, n).numpy() for n in program.inputs})["probability"]


def _without_gradients(answer: Answer) -> Answer:
    def quietly(batch: Batch) -> Any:
        with torch.inference_mode():
            return answer(batch)

    return quietly


def latency_table(reports: Sequence[Report], frame: pd.DataFrame) -> Table:
    """Table 6: AUC and milliseconds by system, `frame` being `measured_latency`'s."""
    large = int(frame["batch"].max())
    rows = []
    eager = frame[frame["form"] == "eager"]
    others = [form for form in frame["form"].unique() if form != "eager"]
    totals = frame[frame["stage"] == "total"].set_index(["system", "form", "batch"])
    for system, held in by_system(reports).items():
        own = eager[eager["system"] == system].set_index(["batch", "stage"])
        stages = {f"{s} ms": own["p50"].get((1, s), np.nan) for s in STAGES}
        row = {
            "System": system,
            "AUC": float(on_test(held, "auc").mean()),
            "p50 ms": own.at[(1, "total"), "p50"],
            "p95 ms": own.at[(1, "total"), "p95"],
            **stages,
            f"ms a sample of {large}": own.at[(large, "total"), "p50"] / large,
        }
        for form in others:
            for column in ("p50", "p95"):
                row[f"{NAMES[form]} {column} ms"] = totals[column].get((system, form, 1), np.nan)
            whole = totals["p50"].get((system, form, large), np.nan)
            row[f"{NAMES[form]} ms a sample of {large}"] = whole / large
        for dataset in paper.DATASETS:
            name = {one.upper(): one for one in paper.rows(6)}.get(system)
            value = None if name is None else paper.value(6, name, dataset, "Milliseconds")
            row[f"Paper {dataset} ms"] = np.nan if value is None else value
        rows.append(row)
    table = pd.DataFrame(rows)
    thirds = [c for c in table.columns if " ms" in c or c.startswith("ms ")]
    return Table(
        frame=table,
        caption=f"Table 6 on {reports[0].spec.data.title}: test AUC, and what one sample costs.",
        formats=dict.fromkeys(thirds, "{:.3f}")
        | {c: "{:.2f}" for c in table.columns if c.startswith("Paper")}
        | {"AUC": "{:.4f}"},
        notes=(
            "Single samples on one core, eager: median, 95th percentile, and the medians of the "
            "stages: the search for neighbours in this process, the look-up of what the model "
            "reads, the forward pass, with BatchNorm folded into the layers before it, f "
            "put beside the own table and an MLP in one loop. AUC: mean over seeds.",
            *(f"{NAMES[form]}: the same model {HOW[form]}; look-up included." for form in others),
            "The paper's milliseconds are of a GPU and of a search by Elasticsearch.",
            *paper.notes_on([(6, row) for row in paper.rows(6)], "Milliseconds"),
        ),
    )


def footprint_table(reports: Sequence[Report]) -> Table:
    """Megabytes that a server holds for each system: weights, and what they read besides."""
    rows = []
    for system, held in by_system(reports).items():
        first = held[0]
        inputs = Inputs(first.spec, samples_of(first.spec.data), "cpu", _encoder(first))
        kept = {"weights": 4 * first.parameters["total"]} | inputs.kept_bytes()
        parts = {f"{kind} MB": kept.get(kind, np.nan) / 1e6 for kind in KEPT}
        rows.append({"System": system, **parts, "all MB": sum(kept.values()) / 1e6})
    frame = pd.DataFrame(rows)
    return Table(
        frame=frame,
        caption=f"What a server holds on {reports[0].spec.data.title}, in megabytes.",
        formats=dict.fromkeys(frame.columns[1:], "{:.2f}"),
        notes=(
            "Weights in float32, the id tables among them. Histories: the newest behaviours of "
            "every user. Pool: ids and labels. Index: of the search in this process.",
        ),
    )


def footprint_reading(table: Table) -> Reading:
    """What a search has to keep, and what ROK's base weighs."""
    held = table.frame.set_index("System")
    lines = []
    for system, row in held.iterrows():
        if row["index MB"] > 0:
            beside = row["pool MB"] + row["index MB"]
            lines.append(
                f"{system}'s search keeps {beside:.1f} MB of pool and index, "
                f"{beside / row['weights MB']:.1f} times the weights, and grows with the pool."
            )
        if f"{system}{ROK}" in held.index:
            added = held.at[f"{system}{ROK}", "all MB"] - row["all MB"]
            lines.append(f"ROK adds {added:+.1f} MB to {system}, whatever the size of the pool.")
    return Reading(tuple(lines))


def networks(reports: Sequence[Report]) -> list[Report]:
    """Those of `reports` that a server of networks could hold: no estimators, no aided heads."""
    return [
        r
        for r in reports
        if r.spec.model and not is_estimator(r.spec.model.name) and not r.spec.needs_extra
    ]


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
    report: Report, form: Form, batch: int, stages: Mapping[str, NDArray[np.float64]]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    total = np.sum(list(stages.values()), axis=0)
    (system,) = by_system([report])
    for stage, seconds in {**stages, "total": total}.items():
        p50, p95 = (float(v) * 1000 for v in np.quantile(seconds, (0.5, 0.95)))
        of = {"system": system, "form": str(form), "stage": stage}
        parts = np.array_split(seconds, min(BLOCKS, len(seconds)))
        blocks = [float(np.median(part)) * 1000 for part in parts]
        rows.append({**of, "batch": batch, "p50": p50, "p95": p95, "blocks": blocks})
    return rows


def _encoder(report: Report) -> Path | None:
    """The folder of the run whose table finds the neighbours, which lies beside the run's own."""
    encoder = report.spec.encoder
    if encoder is None:
        return None
    key = encoder.key(samples_of(report.spec.data).fingerprint)
    return encoder.folder(report.folder.parent.parent, key)
