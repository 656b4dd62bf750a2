"""HPMN's memory, whose layers are updated ever more rarely, and its reader (Ren et al., SIGIR'19).

Symbols: B batch; T behaviours; n those of one row; L layers; Q width of a query; D width of a
behaviour; H of a layer's state.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rokkit.config import require
from rokkit.layers.mlp import hidden_layers
from rokkit.layers.recurrence import GRU


class PeriodicMemory(nn.Module):
    """Stacked GRUs; one state per layer is what it remembers.

    The lowest layer reads every behaviour, the layer above it the states below at every
    `periods[0]`-th step, the next at every `periods[0] · periods[1]`-th, and so on. Steps are
    counted back from the last behaviour, so that each layer's last update has seen it. That is what
    padding at the front gives (build_memory of hpmn.py), without running over the padding: a state
    is zero until the first behaviour, and stays zero for a user without any.
    """

    def __init__(self, in_dim: int, state_size: int, periods: tuple[int, ...]) -> None:
        """L = len(periods) + 1 layers, of H = `state_size` each."""
        super().__init__()
        self.periods = periods
        self.layers = nn.ModuleList(
            GRU(width, state_size) for width in (in_dim, *[state_size] * len(periods))
        )

    def forward(
        self, behaviours: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B L H"]:
        """The memory, lowest layer first. `mask` holds for the behaviours, which come first."""
        count, states = mask.sum(1), behaviours
        memory = []
        for period, gru in zip((1, *self.periods), self.layers, strict=True):
            states, count = every(states, count, period)
            states = gru(states, count)
            memory.append(last_state(states, count))
        return torch.stack(memory, 1)


def every(
    states: Float[Tensor, "B T H"], count: Int[Tensor, "B"], period: int
) -> tuple[Float[Tensor, "B U H"], Int[Tensor, "B"]]:
    """The states of each row that lie a multiple of `period` before its last one, and their number.

    `count` says how many states of a row are valid; the others follow them, as in what is returned.
    """
    if period == 1:
        return states, count
    length, width = states.shape[1:]
    steps = period * torch.arange(-(-length // period), device=states.device)
    place = ((count - 1) % period)[:, None] + steps
    place = place.clamp(max=length - 1)[:, :, None].expand(-1, -1, width)
    return states.gather(1, place), (count + period - 1) // period


def last_state(states: Float[Tensor, "B T H"], count: Int[Tensor, "B"]) -> Float[Tensor, "B H"]:
    """The state after each row's last valid step; zero for a row without one."""
    place = (count - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[2])
    return states.gather(1, place).squeeze(1) * (count > 0)[:, None]


class MemoryReader(nn.Module):
    """q ← M q + Σ_l softmax_l(score(q, m_l)) m_l in several hops, from q = W x + b.

    The score is an MLP with ReLU over [q, m, q − m, q∘m], another one for each hop; M is the same
    in all (query_memory and attention of hpmn.py).
    """

    def __init__(self, query_dim: int, state_size: int, hops: int, hidden: tuple[int, ...]) -> None:
        """`hidden` are the widths of a score's hidden layers, at least one."""
        super().__init__()
        require(bool(hidden), "attention_hidden", hidden, "at least one width")
        self.query = nn.Linear(query_dim, state_size)
        self.step = nn.Linear(state_size, state_size, bias=False)
        # The last one has no bias: a softmax over the scores takes it away again.
        self.scores = nn.ModuleList(
            nn.Sequential(
                hidden_layers(4 * state_size, hidden), nn.Linear(hidden[-1], 1, bias=False)
            )
            for _ in range(hops)
        )

    def forward(
        self, x: Float[Tensor, "B Q"], memory: Float[Tensor, "B L H"]
    ) -> Float[Tensor, "B H"]:
        """q after the last hop."""
        q: Tensor = self.query(x)
        for score in self.scores:
            asked = q[:, None].expand_as(memory)
            weights = score(torch.cat([asked, memory, asked - memory, asked * memory], 2)).softmax(
                1
            )
            q = self.step(q) + (weights * memory).sum(1)
        return q


def slot_covariance(memory: Float[Tensor, "B L H"]) -> Float[Tensor, "B"]:
    """‖C − diag C‖ (Frobenius), C the L x L covariance of the layers over their H dimensions.

    0 where no two layers hold alike (get_covreg of hpmn.py); its gradient at 0 is 0, not NaN.
    """
    centred = memory - memory.mean(2, keepdim=True)
    covariance = centred @ centred.transpose(1, 2) / memory.shape[2]
    between = covariance - torch.diag_embed(covariance.diagonal(dim1=1, dim2=2))
    norm: Tensor = torch.linalg.matrix_norm(between.float())
    return norm
