"""The optimizer, and which parameters decay."""

from typing import Any, Protocol, runtime_checkable

from torch import nn
from torch.optim import Adam

from rokkit.errors import ConfigError
from rokkit.layers.embedding import FieldEmbedding
from rokkit.machine import compiles
from rokkit.training.config import TrainConfig

TABLES = (FieldEmbedding, nn.Embedding, nn.EmbeddingBag)
FUSED = ("cpu", "cuda")  # devices with a fused kernel: 3 to 4 times cheaper over a large table
BY_ROW = ("lazy-adam", "row-adagrad")  # optimizers whose tables are updated by row


@runtime_checkable
class Stepper(Protocol):
    """What the loop needs of an optimizer."""

    def zero_grad(self) -> None:
        """Forget all gradients."""
        ...

    def step(self) -> None:
        """Update what has a gradient."""
        ...

    def settle(self) -> None:
        """Make up for updates that were put off: before weights are read to be kept."""
        ...

    def close(self) -> None:
        """Leave the module settled and as it was found; no step may follow."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` of another one needs to go on from here."""
        ...

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Go on from where `content` was taken."""
        ...


class DenseAdam(Adam):
    """torch's Adam; it puts nothing off."""

    def settle(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class Together:
    """Id tables by an optimizer of their own, all else by Adam."""

    def __init__(self, dense: DenseAdam | None, tables: Stepper) -> None:
        self._parts: dict[str, Stepper] = {"tables": tables}
        if dense is not None:
            self._parts["dense"] = dense

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for part in self._parts.values():
            part.zero_grad()

    def step(self) -> None:
        """Update what has a gradient."""
        for part in self._parts.values():
            part.step()

    def settle(self) -> None:
        """Make up for updates that were put off."""
        for part in self._parts.values():
            part.settle()

    def close(self) -> None:
        """Leave the module settled and as it was found."""
        for part in self._parts.values():
            part.close()

    def state_dict(self) -> dict[str, Any]:
        """The state of each."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Each takes up its own."""
        for name, part in self._parts.items():
            part.load_state_dict(content[name])


def make_optimizer(module: nn.Module, config: TrainConfig) -> Stepper:
    """The optimizer `config.optimizer` of the trainable parameters of `module`.

    Frozen parameters are left out altogether. Weight decay is the L2 term inside the gradient, as
    in RIM's public code (rim.py), which leaves out id tables and biases. Norms' scales are left
    out here too: every 1-d parameter is.

    On another device than the CPU, and where numba is missing, "lazy-adam" is dense Adam: the same
    results but for rounding.

    Raises ConfigError if nothing is trainable, and there for "row-adagrad".
    """
    decaying, free = parameter_groups(module)
    if not decaying and not free:
        raise ConfigError(
            f"{type(module).__name__} has no trainable parameter. A frozen knowledge base needs "
            "a backbone beside it."
        )
    tables = _tables_by_row(module, config.optimizer, free)
    by_row = {id(table.weight) for table in tables}
    free = [p for p in free if id(p) not in by_row]
    groups = [
        {"params": params, "weight_decay": decay}
        for params, decay in ((decaying, config.weight_decay), (free, 0.0))
        if params
    ]
    devices = {p.device.type for p in decaying + free}
    fused = devices <= set(FUSED)
    dense = DenseAdam(groups, lr=config.learning_rate, fused=fused) if groups else None
    if tables:
        # Only here: what is compiled takes long to import.
        from rokkit.training.table_optim import LazyAdam, RowAdagrad

        by_row_optimizer = LazyAdam if config.optimizer == "lazy-adam" else RowAdagrad
        return Together(dense, by_row_optimizer(tables, config.learning_rate))
    assert dense is not None
    return dense


def _tables_by_row(
    module: nn.Module, optimizer: str, trainable: list[nn.Parameter]
) -> list[FieldEmbedding]:
    """The trainable id tables of `module` if `optimizer` updates tables by row, else none."""
    if optimizer not in BY_ROW:
        return []
    held = {id(p) for p in trainable}
    found = [m for m in module.modules() if isinstance(m, FieldEmbedding) and id(m.weight) in held]
    places = sorted({table.weight.device.type for table in found})
    if places in ([], ["cpu"]) and compiles():
        return found
    if optimizer == "row-adagrad":
        raise ConfigError(
            f"optimizer 'row-adagrad' works on the CPU and needs numba; the tables are on "
            f"{', '.join(places)}. Take device cpu, or optimizer 'adam'."
        )
    return []


def parameter_groups(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(those that decay, those that never do): matrices of dense layers, and all else."""
    in_tables = {id(p) for m in module.modules() if isinstance(m, TABLES) for p in m.parameters()}
    decaying: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            dense = parameter.ndim > 1 and id(parameter) not in in_tables
            (decaying if dense else free).append(parameter)
    return decaying, free
