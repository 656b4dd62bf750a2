"""The optimizer, and which parameters decay."""

from torch import nn
from torch.optim import Adam, Optimizer

from rokkit.errors import ConfigError
from rokkit.layers.embedding import FieldEmbedding
from rokkit.training.config import TrainConfig

TABLES = (FieldEmbedding, nn.Embedding, nn.EmbeddingBag)
FUSED = ("cpu", "cuda")  # devices with a fused kernel: 3 to 4 times cheaper over a large table


def make_optimizer(module: nn.Module, config: TrainConfig) -> Optimizer:
    """Adam over the trainable parameters of `module`; frozen ones are left out altogether.

    Weight decay is the L2 term inside the gradient, as in RIM's public code (rim.py), which
    leaves out id tables and biases. Norms' scales are left out here too: every 1-d parameter is.

    Raises ConfigError if nothing is trainable.
    """
    decaying, free = parameter_groups(module)
    if not decaying and not free:
        raise ConfigError(
            f"{type(module).__name__} has no trainable parameter. A frozen knowledge base needs "
            "a backbone beside it."
        )
    groups = [
        {"params": params, "weight_decay": decay}
        for params, decay in ((decaying, config.weight_decay), (free, 0.0))
        if params
    ]
    devices = {p.device.type for p in decaying + free}
    return Adam(groups, lr=config.learning_rate, fused=devices <= set(FUSED))


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
