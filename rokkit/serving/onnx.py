"""ONNX of an exported program, and the runtime that answers with it. Both are extras."""

import importlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from rokkit.errors import ConfigError
from rokkit.serving.programs import Program

PACKAGES = ("onnx", "onnxscript", "onnxruntime")  # to write it, to translate into it, to check it
REGISTRATION = "torch.onnx._internal.exporter._registration"


def missing_packages() -> list[str]:
    """Those of the extra [export] that are not installed."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def require_onnx() -> None:
    """ConfigError with the remedy unless everything that ONNX takes is installed."""
    if missing := missing_packages():
        raise ConfigError(
            f"ONNX needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            "installed: pip install 'rokkit[export]'. The .pt2 program needs nothing more."
        )


def write_onnx(path: Path, made: ExportedProgram, program: Program) -> None:
    """Write `made` of `program` as ONNX to `path`; weights of 2 GB and more to a file beside it.

    ConfigError if a package is missing, or the model has an operator that ONNX lacks.
    """
    require_onnx()
    with _quiet():
        try:
            found = torch.onnx.export(
                made,
                dynamo=True,
                input_names=list(program.inputs),
                output_names=list(program.outputs),
                custom_translation_table=_translations(),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ConfigError(
                f"{program.name} cannot be written as ONNX ({_cause(error)}). Export it without: "
                "--no-onnx."
            ) from None
    assert found is not None
    found.save(str(path))


def session(
    path: Path, program: Program, threads: int = 0
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Answers by the ONNX file at `path`: arrays of ids by input, arrays by output.

    It is read whole; `threads` 0 leaves their number to the runtime.
    """
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    held = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def answer(ids: Mapping[str, NDArray[np.int32]]) -> dict[str, NDArray[np.float32]]:
        found = held.run(list(program.outputs), {name: ids[name] for name in program.inputs})
        return dict(zip(program.outputs, found, strict=True))

    return answer


def _translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Operators that torch does not translate by itself.

    TopK of all places is a stable sort: the standard puts the lower index first among equals.
    """
    op = importlib.import_module("onnxscript").opset18

    def stable_sort(x: Any, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
        length = op.Gather(op.Shape(x), op.Constant(value_ints=[dim]))
        return op.TopK(x, length, axis=dim, largest=int(descending))

    return {torch.ops.aten.sort.stable: stable_sort}


def _cause(error: BaseException) -> str:
    """What ONNX had no word for, in a line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).splitlines()[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of packages that it could translate too, were they there."""
    logger = logging.getLogger(REGISTRATION)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)
