"""The artefact: one folder with everything that an answer takes, written whole or not at all.

model.pt2         the program (knowledge.pt2 of a knowledge base alone)
model.onnx        the same as ONNX, where it was asked for
vocabulary/       raw values to ids (see `vocabulary.py`)
artefact.json     inputs, outputs, fields, files with their sizes and digests
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.export import ExportedProgram

from rokkit.data.schema import Schema
from rokkit.errors import ArtefactError, ConfigError
from rokkit.files import explain_full_disk, write_json
from rokkit.serving import onnx
from rokkit.serving.programs import ROWS, Program, exported
from rokkit.serving.vocabulary import FOLDER, write_vocabulary

ABOUT = "artefact.json"
FORMAT = 1  # raised when a loader has to change
TOLERANCE = 1e-5  # largest difference between a program's answers and the model's


@dataclass(frozen=True)
class Artefact:
    """What was written."""

    programs: Mapping[str, str]  # "pt2", "onnx": the file of each
    files: Mapping[str, int]  # bytes of each file
    differences: Mapping[str, float]  # of each program's answers from the model's, at most
    without_onnx: str  # why there is no ONNX; "" if there is


def write_artefact(
    folder: Path,
    program: Program,
    schema: Schema,
    values: "pd.Series[Any]",
    *,
    ids: Mapping[str, Tensor],
    with_onnx: bool | None,
    about: Mapping[str, Any],
) -> Artefact:
    """Write the artefact of `program` into the new `folder`.

    `values` are raw values as texts by id; `about` joins what artefact.json holds. `with_onnx`
    None: if its packages are there and the model can be translated.

    Every program is loaded again and answers for `ids`, by input. ArtefactError if one differs
    from the model by more than 1e-5, ConfigError as `write_onnx`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    expected = program(ids)
    made = exported(program)
    path = folder / f"{program.name}.pt2"
    with explain_full_disk(path):
        torch.export.save(made, path)
    # Loaded again: what answers is what was written.
    loaded = torch.export.load(path).module()
    with torch.no_grad():
        found = program.named(loaded(*(ids[name] for name in program.inputs)))
    programs, differences = {"pt2": path.name}, {"pt2": _difference(expected, found)}
    path = path.with_suffix(".onnx")
    without_onnx = _write_onnx(path, made, program, with_onnx)
    if not without_onnx:
        answers = onnx.session(path, program)({name: ids[name].numpy() for name in program.inputs})
        programs["onnx"] = path.name
        differences["onnx"] = _difference(expected, answers)
    for kind, difference in differences.items():
        if not difference <= TOLERANCE:
            raise ArtefactError(
                f"{programs[kind]} differs from the model by {difference:.1e} on "
                f"{len(ids['x'])} samples; expected at most {TOLERANCE:g}. Nothing was exported."
            )
    write_vocabulary(folder / FOLDER, schema, values)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    sizes = {p.relative_to(folder).as_posix(): p.stat().st_size for p in files}
    write_json(
        folder / ABOUT,
        {
            **about,
            "format": FORMAT,
            "programs": programs,
            "inputs": _described(program.inputs, "int32"),
            "outputs": _described(program.outputs, "float32"),
            "schema": schema.to_dict(),
            "files": {
                name: {"bytes": size, "sha256": _digest(folder / name)}
                for name, size in sizes.items()
            },
            "differences": differences,
        },
    )
    return Artefact(programs, sizes, differences, without_onnx)


def _write_onnx(path: Path, made: ExportedProgram, program: Program, wanted: bool | None) -> str:
    """Why there is no ONNX at `path`; "" if there is."""
    if wanted is False:
        return "it was not asked for"
    try:
        with explain_full_disk(path):
            onnx.write_onnx(path, made, program)
    except ConfigError as error:
        if wanted:
            raise
        return str(error)
    return ""


def _described(tensors: Mapping[str, tuple[int, ...]], dtype: str) -> dict[str, Any]:
    return {name: {"dtype": dtype, "shape": [ROWS, *shape]} for name, shape in tensors.items()}


def _difference(expected: Mapping[str, Tensor], found: Mapping[str, Any]) -> float:
    """The largest difference over all outputs; NaN if one of them is."""
    apart = [
        np.abs(tensor.numpy().astype(np.float64) - np.asarray(found[name], np.float64)).max()
        for name, tensor in expected.items()
    ]
    return float(np.max(apart))


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
