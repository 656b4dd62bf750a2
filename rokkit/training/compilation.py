"""The loss of a step through torch.compile."""

import functools
import textwrap
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rokkit.errors import ConfigError, TrainingError
from rokkit.layers.embedding import FieldEmbedding
from rokkit.layers.memory import UserMemory
from rokkit.layers.neighbour_attention import NeighbourAttention
from rokkit.layers.recurrence import GRU
from rokkit.layers.recurrent import AUGRU

BACKEND: str | Callable[..., Any] = "inductor"
# Left out of the graphs, each with its method: torch would write out every step of a history, which
# takes minutes to compile, and do in many passes over neighbours what our loop does in one. Id
# tables join them for an optimizer by row, which wants to know what is looked up.
EAGER: dict[type[nn.Module], str] = {
    GRU: "forward",
    AUGRU: "forward",
    UserMemory: "forward",
    NeighbourAttention: "over_ids",
}


class CompiledLoss:
    """The `loss` of `module`, compiled for batches of `rows` rows; another size of batch is eager.

    So the last, smaller batch compiles nothing, and a resumed training runs the same code as one
    that was not. (Graphs for any size are compiled again too, where one passes a bound of
    inductor's, and depend on the size that came first.) Until `close`, parts of `module` that are
    in EAGER are called outside of the graphs; the names of its weights stay as they are.

    Raises TrainingError where torch cannot compile the loss.
    """

    def __init__(self, loss: Callable[[Tensor], Tensor], module: nn.Module, rows: int) -> None:
        self._loss = loss
        self._name = type(module).__name__
        self._rows = rows
        self._held = [(part, name) for part in module.modules() if (name := _kept_out(part))]
        for part, name in self._held:
            eager = torch.compiler.disable(getattr(part, name))  # type: ignore[no-untyped-call]
            setattr(part, name, eager)
        # dynamic=None: a number that changes from step to step is compiled once more, not each time
        self._compiled = torch.compile(loss, backend=BACKEND, dynamic=None)

    def __call__(self, batch_rows: Int[Tensor, "B"]) -> Float[Tensor, ""]:
        """The mean loss of the training rows `batch_rows`."""
        if len(batch_rows) != self._rows:
            return self._loss(batch_rows)
        from torch._dynamo.exc import TorchDynamoException

        try:
            return self._compiled(batch_rows)
        except TorchDynamoException as error:
            raise TrainingError(
                f"torch.compile cannot compile the loss of {self._name} "
                f"({_first_line(error)}). Set compile to False."
            ) from error

    def close(self) -> None:
        """Leave the module as it was found, and no graphs: torch keeps eight of a function."""
        for part, name in self._held:
            delattr(part, name)
        torch.compiler.reset()


def _kept_out(part: nn.Module) -> str | None:
    """The method of `part` that no graph may hold, if there is one."""
    if isinstance(part, FieldEmbedding):
        return "forward" if part.sparse_gradient else None
    return next((name for kind, name in EAGER.items() if isinstance(part, kind)), None)


@functools.cache
def check_compilation(kind: str) -> None:
    """Compile a sum on a device of this kind, such as "cpu".

    Raises ConfigError if that fails: no C++ compiler, or a device that torch compiles nothing for.
    """
    # A graph that was kept of an earlier process would tell nothing.
    options: dict[str, Any] | None = {"fx_graph_cache": False} if BACKEND == "inductor" else None
    double = torch.compile(lambda x: x + x, backend=BACKEND, options=options)
    try:
        double(torch.ones(2, device=kind))
    except Exception as error:  # each backend, and each version of it, fails in its own way
        raise ConfigError(
            f"compile is True, but torch {torch.__version__} cannot compile for {kind!r} here "
            f"({_first_line(error)}). Set compile to False, or install what it needs: on a CPU a "
            "C++ compiler, such as g++, that is on the PATH or that CXX names."
        ) from error


def _first_line(error: Exception) -> str:
    error = getattr(error, "inner_exception", error)  # of a backend's
    first, *_ = [*str(error).strip().splitlines(), ""]
    return textwrap.shorten(f"{type(error).__name__}: {first}", 200).rstrip(".: ")
