"""The page that goes with an exported model: what it says is read from the run and its data."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from rokkit.data import Samples
from rokkit.experiments.data_table import card_table, parts_table
from rokkit.experiments.report import PREDICTIONS, Report
from rokkit.experiments.systems import system_name
from rokkit.experiments.tables import aligned
from rokkit.serving import ABOUT, Artefact, Program

BYTES = 4  # of a float32 weight

PT2 = """\
```python
import torch

program = torch.export.load("{file}").module()
{outputs} = program({inputs})  # int32 tensors, any number of rows
```"""
ONNX = """\
```python
import onnxruntime

session = onnxruntime.InferenceSession("{file}")
{outputs} = session.run(None, {{{inputs}}})  # int32 arrays
```"""


def model_card(report: Report, samples: Samples, program: Program, artefact: Artefact) -> str:
    """Markdown: what it is, how to ask it, how well it does, of what and by what, its limits."""
    return "\n\n".join(
        [
            f"# {_title(report)} on {samples.card['name']}, seed {report.spec.seed}",
            _about(report),
            "## How to ask it",
            *_loading(program, artefact),
            _fields(samples),
            _giving(samples, program),
            "## How well it does",
            _metrics(report),
            f"The weights are those of the evaluation with the best {_monitor(report)} on "
            "validation samples.",
            "## How it was made",
            _table(("what", "value"), _made(report)),
            "## Size",
            _table(("what", "size"), _sizes(report, artefact)),
            "## The data, and its terms",
            _table(("card", "content"), card_table(samples).texts()),
            parts_table(samples).markdown(),
            "## Limits",
            "\n".join(f"- {limit}" for limit in _limits(report, samples, artefact)),
            "",
        ]
    )


def _title(report: Report) -> str:
    spec = report.spec
    if spec.model is not None:
        return system_name(spec)
    assert spec.knowledge is not None
    return f"Knowledge base taught by {spec.knowledge.teacher.name.upper()}"


def _about(report: Report) -> str:
    """What the program is, in a paragraph."""
    spec = report.spec
    knowledge = spec.knowledge
    if spec.model is None:
        return (
            "f and g of a ROK knowledge base: for a sample x it gives z = g(f(x)), which imitates "
            f"what {knowledge.teacher.name.upper() if knowledge else ''} aggregates from retrieved "
            "samples, and f(x), an embedding of each field. It searches for nothing."
        )
    text = f"The model {spec.model.name.upper()}: it gives the probability of a click."
    if knowledge is None:
        return text
    places = {
        "instance": "z = g(f(x)) joins the input of its head",
        "feature": "f joins the embedding of every id",
        "both": "z = g(f(x)) joins the input of its head, and f the embedding of every id",
    }
    return (
        f"{text} It has a ROK knowledge base, taught by {knowledge.teacher.name.upper()}: "
        f"{places[knowledge.use.manner]}. f, g and the backbone are one program, which searches "
        "for nothing."
    )


def _loading(program: Program, artefact: Artefact) -> list[str]:
    """Code that loads each program."""
    outputs, names = ", ".join(program.outputs), list(program.inputs)
    blocks = [PT2.format(file=artefact.programs["pt2"], outputs=outputs, inputs=", ".join(names))]
    if "onnx" in artefact.programs:
        fed = ", ".join(f'"{name}": {name}' for name in names)
        one = outputs if len(program.outputs) > 1 else f"({outputs},)"
        blocks.append(ONNX.format(file=artefact.programs["onnx"], outputs=one, inputs=fed))
    return blocks


def _fields(samples: Samples) -> str:
    """The columns of x, with a raw value of each."""
    schema = samples.schema
    first = [[f.offset for f in schema.fields]]
    values = samples.raw(np.array(first, np.int32)).iloc[0]
    rows = [
        (str(i), f.name, f.role, f"{f.size:,}", f"{f.offset}..{f.stop - 1}", str(values[f.name]))
        for i, f in enumerate(schema.fields)
    ]
    return _table(("column of x", "field", "role", "values", "ids", "one of them"), rows)


def _giving(samples: Samples, program: Program) -> str:
    """How raw values become what the program is given."""
    text = (
        f"Raw values become ids by the arrays of `vocabulary/`: row i of them is "
        "`texts[starts[i]:starts[i + 1]]`, its id `ids[i]`; the rows of a field are those from its "
        f"`offset` in `{ABOUT}`, ascending by bytes. A missing value is the empty text. A value "
        "that is not there has the id 0, which is padding and acts as zeros."
    )
    if "history" not in program.inputs:
        return text
    length = program.inputs["history"][0]
    items = [samples.schema.fields[column].name for column in samples.schema.item_columns]
    return (
        f"{text}\n\n`history` [rows, {length}, {len(items)}] holds {', '.join(items)} of the "
        f"user's last {length} positive behaviours, oldest first; zeros follow where there are "
        f"fewer. A behaviour whose {items[0]} is unknown is left out before the last {length} are "
        "taken."
    )


def _metrics(report: Report) -> str:
    """Every metric that both parts have, a line each."""
    parts = [part for part in PREDICTIONS if part in report.metrics]
    shared = [
        name
        for name in report.metrics[parts[0]]
        if all(name in report.metrics[part] for part in parts)
    ]
    rows = [(name, *(f"{report.metrics[p][name]:.4f}" for p in parts)) for name in sorted(shared)]
    return _table(("metric", *parts), rows)


def _monitor(report: Report) -> str:
    """The metric that selected the weights."""
    spec = report.spec
    if spec.model is None:
        assert spec.knowledge is not None
        return spec.knowledge.construct_training.monitor
    return spec.training.monitor


def _made(report: Report) -> list[tuple[str, str]]:
    """Settings, training and versions."""
    spec, details = report.spec, report.details
    rows = [("run", report.folder.name), ("key", report.key)]
    if spec.model is not None:
        rows.append(("model", _settings(spec.model.resolved())))
    if spec.aid is not None:
        by = f" of {spec.aid.teacher.name.upper()}" if spec.aid.teacher else ""
        rows.append(("aid in training", f"{spec.aid.kind}{by}"))
    if (knowledge := spec.knowledge) is not None:
        rows += [
            ("teacher", knowledge.teacher.name.upper()),
            (
                "knowledge base",
                _settings(dataclasses.asdict(knowledge.base), knowledge.base.unused),
            ),
            ("construction", _settings(dataclasses.asdict(knowledge.construct))),
        ]
        if spec.model is not None:
            rows.append(("use of the base", _settings(dataclasses.asdict(knowledge.use))))
    training = spec.training if spec.model or not knowledge else knowledge.construct_training
    return [
        *rows,
        ("training", _settings(dataclasses.asdict(training))),
        ("best epoch", f"{details['best_epoch']} of {details['epochs']}"),
        ("finished", str(details["finished"])),
        ("device", str(details["device_name"] or details["device"])),
        ("versions", _settings(details["versions"])),
        ("commit", str(details["commit"] or "none")),
    ]


def _settings(values: Mapping[str, object], unused: Collection[str] = ()) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if name not in unused)


def _sizes(report: Report, artefact: Artefact) -> list[tuple[str, str]]:
    """Parameters, and bytes of the tables, of each file and of all."""
    held = report.parameters
    return [
        ("parameters in id tables", f"{held['table']:,}"),
        ("parameters elsewhere", f"{held['dense']:,}"),
        ("bytes of the id tables", f"{BYTES * held['table']:,}"),
        *((f"bytes of {name}", f"{size:,}") for name, size in artefact.files.items()),
        ("bytes of all these files", f"{sum(artefact.files.values()):,}"),
    ]


def _limits(report: Report, samples: Samples, artefact: Artefact) -> list[str]:
    """What it does not hold, and what its answers lean on."""
    rate = samples.card["parts"]["train"]["positive_rate"]
    apart = ", ".join(f"{name} {value:.1e}" for name, value in artefact.differences.items())
    limits = [
        "No search, no index, no teacher and no state of training are in it.",
        "Fields are given as the data set's source makes them of its log, and each as one value.",
        "The vocabulary is that of the whole log. Ids that training did not meet have the "
        "embedding that they began with, near zero; later values have none and act as zeros.",
        f"Answers of the programs differ from the model's by at most: {apart} (on some test "
        "samples, when it was exported).",
    ]
    if report.spec.model is not None:
        limits.append(
            f"Probabilities are right for a share of positives as in training, {rate:.4f}; where "
            "negatives were drawn, that is no click rate of a log."
        )
    if artefact.without_onnx:
        limits.append(f"There is no ONNX: {artefact.without_onnx}")
    return limits


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    numbers = ("test", "val", "values", "size")
    return "\n".join(aligned(columns, rows, [column in numbers for column in columns]))
