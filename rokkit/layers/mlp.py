"""Multi-layer perceptrons."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from rokkit.config import require
from rokkit.layers.batch_norm import BatchNorm
from rokkit.layers.dropout import Dropout
from rokkit.layers.readout import Readout
from rokkit.layers.rectified import HiddenLayers


def hidden_layers(
    in_dim: int, hidden: tuple[int, ...], dropout: float = 0.0, batch_norm: bool = False
) -> HiddenLayers:
    """Linear, BatchNorm if asked for, ReLU and dropout per width in `hidden`.

    Before a BatchNorm the Linear has no bias: the mean takes it away again.
    """
    require(all(width >= 1 for width in hidden), "hidden", hidden, "widths of at least 1")
    require(0 <= dropout < 1, "dropout", dropout, "a share from 0 up to, not including, 1")
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise((in_dim, *hidden)):
        layers.append(nn.Linear(fan_in, fan_out, bias=not batch_norm))
        if batch_norm:
            layers.append(BatchNorm(fan_out))
        layers.append(nn.ReLU())
        if dropout > 0:
            layers.append(Dropout(dropout))
    return HiddenLayers(*layers)


class MLP(nn.Module):
    """Hidden layers and a linear output without normalisation."""

    def __init__(
        self,
        in_dim: int,
        hidden: tuple[int, ...],
        out_dim: int,
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.hidden = hidden_layers(in_dim, hidden, dropout, batch_norm)
        width = (in_dim, *hidden)[-1]
        self.out = Readout(width) if out_dim == 1 else nn.Linear(width, out_dim)

    def forward(self, x: Float[Tensor, "B P"]) -> Float[Tensor, "B Q"]:
        """[B, in_dim] -> [B, out_dim]."""
        y: Tensor = self.out(self.hidden(x))
        return y
