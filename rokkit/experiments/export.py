"""A finished run as an artefact that can be served: what `rokkit export` does."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rokkit.data import Samples
from rokkit.data.raw_values import read_values
from rokkit.data.sources import REGISTRY as SOURCES
from rokkit.errors import ArtefactError, ConfigError
from rokkit.experiments.grouping import samples_of
from rokkit.experiments.inputs import Inputs
from rokkit.experiments.model_card import model_card
from rokkit.experiments.report import REPORT, SPEC, Report, is_done, read_report
from rokkit.experiments.spec import COUNTED, KEY_LENGTH, RunSpec
from rokkit.experiments.weights import load_base, load_run
from rokkit.files import folder_aside, read_json, write_text
from rokkit.models import is_estimator, list_systems, list_teachers
from rokkit.paths import exported_root, runs_root, shown
from rokkit.serving import Artefact, Program, of_base, of_model, require_onnx, write_artefact

CARD = "README.md"
CHECKED = 64  # test samples that every program answers for before it counts as exported
# Kept predictions may be of a GPU, whose last digits differ; more is another model.
KEPT_TOLERANCE = 0.01


@dataclass(frozen=True)
class Exported:
    """What `export_run` made."""

    folder: Path
    report: Report
    artefact: Artefact
    samples: Samples


def export_run(run: Path | str, output: Path | None = None, onnx: bool | None = None) -> Exported:
    """Write the model of a finished run as an artefact, whole or not at all.

    run     its folder, or a name as `find_run` takes it
    output  a new folder (default: `<exported_root()>/<data set>/<name of the run>`)
    onnx    whether the model is written as ONNX too; None: if the extra [export] is installed and
            the model can be translated

    Raises ConfigError for a run that is unknown or not finished, a model that cannot be served by
    itself, an output that exists, or a missing extra, all before anything is written; and
    ArtefactError for damaged files, or a program that does not answer as the model does.
    """
    folder = find_run(run)
    if not is_done(folder):
        raise ConfigError(
            f"{shown(folder)} is not finished: it has no DONE. Run its study again; it goes on "
            "from its checkpoint."
        )
    written = read_json(folder / SPEC)
    spec = _read_spec(written, folder)
    if reason := refusal(spec):
        raise ConfigError(f"{spec.label} cannot be exported: {reason}")
    output = output or exported_root() / spec.data.name / folder.name
    if output.exists():
        raise ConfigError(f"{shown(output)} exists; give a new folder, or remove it.")
    if onnx:
        require_onnx()
    report = read_report(folder, spec, _fingerprint(written, folder), cached=True)
    samples = samples_of(spec.data)
    _check_fingerprint(samples, written, folder)
    program, ids, rows = _program(report, samples)
    kept = _check_kept(report, program, ids, rows)
    with folder_aside(output) as draft:
        artefact = write_artefact(
            draft,
            program,
            samples.schema,
            read_values(samples.folder),
            ids=ids,
            with_onnx=onnx,
            about={
                "run": {"label": spec.label, "key": report.key, "spec": _own_spec(spec)},
                "data": {"name": spec.data.name, "fingerprint": samples.fingerprint},
                "kept_predictions_differ_by": kept,
            },
        )
        write_text(draft / CARD, model_card(report, samples, program, artefact))
    return Exported(output, report, artefact, samples)


def find_run(name: Path | str, root: Path | None = None) -> Path:
    """The folder of a run, which lies below `root` (default: `runs_root()`) or is a path.

    A name is that of a folder, `din+rok-s0-0bdcea14f448`, or its part without the key,
    `din+rok-s0`, as progress has it; `movielens/din+rok-s0` where data sets share it. ConfigError
    with the nearest names if there is none, and with all if there are several.
    """
    if (Path(name) / SPEC).is_file():
        return Path(name)
    root, wanted = root or runs_root(), str(name).strip("/")
    folders = list(_run_folders(root))
    found = [folder for folder in folders if wanted in _names(folder)]
    if len(found) == 1:
        return found[0]
    if found:
        several = "\n".join(f"  {_told(folder)}" for folder in found)
        raise ConfigError(f"run {wanted!r} could be any of these; name one:\n{several}")
    known = dict.fromkeys(one for folder in folders for one in _names(folder))
    near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
    hint = f"The nearest: {', '.join(near)}." if near else f"{len(folders)} runs are there."
    raise ConfigError(f"run {wanted!r} is not known in {shown(root)}. {hint}")


def refusal(spec: RunSpec) -> str:
    """Why a run cannot be served by itself, and what can instead; "" if it can."""
    if spec.model is None:
        return ""
    name = spec.model.name
    if is_estimator(name):
        return (
            f"{name} is no network, so there is no program of it; a server would need LightGBM, "
            "the trees and the tables of click rates. Export a network, such as mlp or din."
        )
    searched = spec.aid is not None and spec.aid.kind == "r"
    if searched or "neighbours" in spec.model.needs:
        teacher = name if spec.aid is None or spec.aid.teacher is None else spec.aid.teacher.name
        base = f"knowledge-{teacher}" if teacher in list_teachers() else "a knowledge base"
        return (
            f"it reads the {spec.retrieval.k} nearest samples of the pool for each sample, so that "
            "a server would need the pool, its labels, an index and a search beside the program. "
            f"Export what imitates it without a search: {base}, or a backbone with ROK."
        )
    if spec.aid is not None and spec.aid.kind in COUNTED:
        return (
            "its head reads what the pool counts of ids, which a server would have to keep "
            "beside the program. Export the model without the aid, or with ROK."
        )
    if spec.aid is not None and spec.aid.kind == "peek":
        return (
            "its weights were selected on test data, so that its metrics say nothing of new data. "
            f"Export {name}, which is selected on validation data."
        )
    return ""


def _run_folders(root: Path) -> Iterator[Path]:
    """Every run below `root`, data set by data set."""
    yield from sorted(path.parent for path in root.glob(f"*/*/{SPEC}"))


def _names(folder: Path) -> tuple[str, ...]:
    """What a run may be called by."""
    label, dataset = folder.name[: -KEY_LENGTH - 1], folder.parent.name
    return (label, folder.name, f"{dataset}/{label}", f"{dataset}/{folder.name}")


def _told(folder: Path) -> str:
    """A run in a line: its name, how it does on validation samples, when it was finished."""
    name = f"{folder.parent.name}/{folder.name}"
    if not is_done(folder):
        return f"{name}  not finished"
    held = read_json(folder / REPORT)
    val = held["metrics"]["val"]
    metric = "auc" if "auc" in val else "r2"
    return f"{name}  val {metric} {val[metric]:.4f}  {held['finished']}"


def _read_spec(written: Any, folder: Path) -> RunSpec:
    """The spec of the run; ConfigError if what it names is registered elsewhere."""
    held = written.get("spec") if isinstance(written, dict) else None
    if not isinstance(held, dict):
        raise ArtefactError(
            f"{shown(folder / SPEC)} holds no spec. Remove the folder and run again."
        )
    models = [held.get("model")]
    models += [(held.get(part) or {}).get("teacher") for part in ("knowledge", "aid")]
    for kind, named, known in (
        ("model", models, list_systems()),
        ("data set", [held.get("data")], SOURCES.names()),
    ):
        for one in named:
            if one and one["name"] not in known:
                raise ConfigError(
                    f"the {kind} {one['name']!r} of {shown(folder)} is not rokkit's own. Call "
                    "rokkit.experiments.export_run where it is registered: in the notebook that "
                    "defines it, or after importing its module."
                )
    return RunSpec.from_dict(held)


def _own_spec(spec: RunSpec) -> dict[str, Any]:
    """What the run's model is; options of data may name places of the machine."""
    values = spec.to_dict()
    values["data"].pop("options")
    return values


def _fingerprint(written: Any, folder: Path) -> str:
    try:
        return str(written["covers"]["data"]["fingerprint"])
    except (KeyError, TypeError):
        raise ArtefactError(
            f"{shown(folder / SPEC)} names no samples. Remove the folder and run again."
        ) from None


def _check_fingerprint(samples: Samples, written: Any, folder: Path) -> None:
    """Ids mean something else in other samples."""
    if samples.fingerprint != _fingerprint(written, folder):
        raise ArtefactError(
            f"{shown(folder)} was trained on other samples than {shown(samples.folder)}: the raw "
            "files or the options changed since. Do the run again."
        )


def _program(report: Report, samples: Samples) -> tuple[Program, dict[str, Tensor], Tensor]:
    """The run's program, the ids of some test samples by input, and their rows."""
    spec = report.spec
    inputs = Inputs(spec, samples, "cpu")
    n = len(samples.test)
    rows = torch.from_numpy(np.unique(np.linspace(0, n - 1, min(CHECKED, n)).astype(np.int64)))
    if spec.model is None:
        assert spec.knowledge is not None
        program = of_base(load_base(report.folder, spec.knowledge, samples))
        batch = inputs.feed("test", frozenset()).batch(rows)
    else:
        model = load_run(report.folder, spec, samples)
        batch = inputs.feed("test", frozenset(model.needs & {"history"})).batch(rows)
        shape = None if batch.history is None else batch.history.shape
        program = of_model(model, None if shape is None else (shape[1], shape[2]))
    return program, {name: getattr(batch, name) for name in program.inputs}, rows


def _check_kept(
    report: Report, program: Program, ids: dict[str, Tensor], rows: Tensor
) -> float | None:
    """By how much the model differs from the run's kept predictions, which its metrics are of.

    ArtefactError if that is more than another device explains; None for a knowledge base.
    """
    if report.spec.model is None:
        return None
    kept = np.asarray(report.predictions())[rows.numpy()]
    apart = float(np.abs(program(ids)["probability"].numpy() - kept).max())
    if not apart <= KEPT_TOLERANCE:
        raise ArtefactError(
            f"the weights of {shown(report.folder)} predict otherwise than the run did, by up to "
            f"{apart:.3f} on {len(rows)} test samples: its files or rokkit's code changed since. "
            "Do the run again."
        )
    return apart
