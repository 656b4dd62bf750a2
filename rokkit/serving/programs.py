"""Models as programs of ids: what goes in, what comes out, and the graph that torch.export makes.

Symbols: B batch, left open; F fields; T history length; C fields of the item tuple; R width of z;
d width of f.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.export import ExportedProgram

from rokkit.config import require
from rokkit.data.batch import Batch
from rokkit.errors import ConfigError
from rokkit.knowledge import KnowledgeBase, KnowledgeModel
from rokkit.models import CTRModel

READABLE = frozenset({"history", "history_negatives"})  # what a program can be given besides x
ROWS = "rows"  # the batch dimension's name
EXAMPLE_ROWS = 3  # to trace with; 0 and 1 would be taken for constants


@dataclass(frozen=True)
class Program:
    """A module with named inputs, all int32 ids, and named outputs, all float32.

    Shapes are those of one row: of x (F,), of history (T, C).
    """

    name: str  # of its files
    module: nn.Module
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]

    def __call__(self, ids: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the module itself answers, by output."""
        with torch.no_grad():
            return self.named(self.module(*(ids[name] for name in self.inputs)))

    def named(self, answer: Tensor | tuple[Tensor, ...]) -> dict[str, Tensor]:
        """An answer of the module, or of what was made of it, by output."""
        several = answer if isinstance(answer, tuple) else (answer,)
        return dict(zip(self.outputs, several, strict=True))


class Scorer(nn.Module):
    """The probability of a click; with knowledge, f, g and the backbone in one."""

    def __init__(self, model: CTRModel | KnowledgeModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, x: Int[Tensor, "B F"], history: Int[Tensor, "B T C"] | None = None
    ) -> Float[Tensor, "B"]:
        """Probabilities."""
        logits: Tensor = self.model(Batch(x=x, history=history))
        return logits.float().sigmoid()


class Knowing(nn.Module):
    """What a knowledge base says of a sample."""

    def __init__(self, base: KnowledgeBase) -> None:
        super().__init__()
        self.base = base

    def forward(self, x: Int[Tensor, "B F"]) -> tuple[Float[Tensor, "B R"], Float[Tensor, "B F d"]]:
        """z = g(f(x)) and f(x)."""
        f = self.base.embed(x)
        return self.base.g(f.flatten(1)), f


def of_model(model: CTRModel | KnowledgeModel, history: tuple[int, int] | None = None) -> Program:
    """The program of a model; `history` is (T, C), for a model that reads one.

    The model is taken over: it is in eval mode from then on, and takes no gradient.

    ConfigError for a model that reads what a server would have to search for.
    """
    if beyond := model.needs - READABLE:
        raise ConfigError(
            f"{type(model.backbone).__name__} reads {', '.join(sorted(beyond))}; a program is "
            "given the ids of a sample and of its user's behaviours, nothing else."
        )
    inputs: dict[str, tuple[int, ...]] = {"x": (model.backbone.schema.n_fields,)}
    if "history" in model.needs:
        require(history is not None, "history", history, "(T, C), for the model reads one")
        assert history is not None
        inputs["history"] = history
    module = Scorer(model).eval().requires_grad_(False)
    return Program("model", module, inputs, {"probability": ()})


def of_base(base: KnowledgeBase) -> Program:
    """The program of a knowledge base alone, which is taken over as by `of_model`."""
    fields = base.schema.n_fields
    outputs = {"z": (base.representation_dim,), "f": (fields, base.f.dim)}
    module = Knowing(base).eval().requires_grad_(False)
    return Program("knowledge", module, {"x": (fields,)}, outputs)


def exported(program: Program) -> ExportedProgram:
    """The program as torch.export has it, for any number of rows from 1.

    It names no files of the machine that made it.
    """
    rows = torch.export.Dim(ROWS, min=1)
    example = tuple(
        torch.zeros(EXAMPLE_ROWS, *shape, dtype=torch.int32) for shape in program.inputs.values()
    )
    with _quiet(), torch.no_grad():
        made = torch.export.export(
            program.module,
            example,
            dynamic_shapes={name: {0: rows} for name in program.inputs},
            strict=False,
        )
    _forget_source_lines(made)
    return made


def _forget_source_lines(made: ExportedProgram) -> None:
    """Nodes remember the lines of code that they come from, with the paths of its files."""
    for module in made.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)


@contextmanager
def _quiet() -> Iterator[None]:
    """torch's recurrences assign to themselves while they are traced, and warn of it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The tensor attribute", category=UserWarning)
        yield
