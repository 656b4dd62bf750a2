"""Recurrences over a user's behaviours, and the loss that teaches their states what comes next.

All after DIEN (Zhou et al., AAAI'19), whose sections bear names only. Histories are padded at the
end.

Symbols: B batch; T behaviours; Q width of a query; I width of an input; H of a state; D of a
behaviour.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from rokkit.layers.attended import products
from rokkit.layers.attention import ActivationUnit, ProductAttention, masked_softmax
from rokkit.layers.loops import loops_apply
from rokkit.layers.packing import PackedRows, Rows
from rokkit.layers.recurrence import recur


class StateAttention(ProductAttention):
    """a_t = softmax_t ⟨W q, h_t⟩: how much each state bears on the target.

    (Interest Evolving Layer.)
    """

    def __init__(self, query_dim: int, state_dim: int) -> None:
        super().__init__(query_dim, state_dim, bias=False)

    def packed(
        self, q: Float[Tensor, "B Q"], states: Float[Tensor, "n H"], rows: PackedRows
    ) -> Float[Tensor, "n"]:
        """The weight of each state, where they lie without padding."""
        return rows.softmax(products(self.query(q), states, rows.row))


class StateActivationUnit(nn.Module):
    """The same with DIN's activation unit for the score, as in DIEN's public code (utils.py).

    The query is brought to the states' width by a layer with PReLU first.

    DEVIATION(DIEN, utils.py): the unit is that of DIN here, with Dice, where the code has sigmoids.
    """

    def __init__(self, query_dim: int, state_dim: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.Linear(query_dim, state_dim), nn.PReLU(state_dim, init=0.1))
        self.unit = ActivationUnit(state_dim, hidden)

    def forward(
        self, q: Float[Tensor, "B Q"], states: Float[Tensor, "B T H"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T"]:
        """The weight of each state; 0 at padding, so all 0 for a user without behaviours."""
        row = torch.arange(q.shape[0], device=q.device).repeat_interleave(states.shape[1])
        scores = self.unit(self.query(q), states.flatten(0, 1), row, mask.flatten())
        return masked_softmax(scores.view(mask.shape), mask)

    def packed(
        self, q: Float[Tensor, "B Q"], states: Float[Tensor, "n H"], rows: PackedRows
    ) -> Float[Tensor, "n"]:
        """The same, where states lie without padding."""
        return rows.softmax(self.unit(self.query(q), states, rows.row))


class AUGRU(nn.Module):
    """GRU whose update gate is scaled by attention, in the paper's form (Interest Evolving Layer).

        u_t = σ(W_u i_t + U_u h_{t-1} + b_u)        r_t = σ(W_r i_t + U_r h_{t-1} + b_r)
        c_t = tanh(W_c i_t + r_t ∘ U_c h_{t-1} + b_c)
        h_t = (1 − a_t u_t) ∘ h_{t-1} + a_t u_t ∘ c_t,        h_0 = 0

    Where a_t is 0 the state stays as it is, so padding, which has no attention, changes nothing:
    the last state is that of the last behaviour, and zero for a user without any.

    DEVIATION(DIEN, utils.py): the public code takes u for the share that is kept and scales that by
    1 − a_t, so that a state changes at a_t = 0 and forgets everything at a_t = 1.
    """

    def __init__(self, in_dim: int, state_dim: int) -> None:
        super().__init__()
        self.entering = nn.Linear(in_dim, 3 * state_dim)  # W_u, W_r, W_c and the biases
        self.staying = nn.Linear(state_dim, 3 * state_dim, bias=False)  # U_u, U_r, U_c
        for parameter in self.parameters():  # as torch's GRU
            nn.init.uniform_(parameter, -(state_dim**-0.5), state_dim**-0.5)

    def forward(
        self,
        inputs: Float[Tensor, "B T I"],
        weights: Float[Tensor, "B T"],
        count: Int[Tensor, "B"] | None = None,
    ) -> Float[Tensor, "B H"]:
        """h_T of the inputs i_t, given attention a_t in `weights`: 0 from `count` on, if given."""
        if loops_apply(inputs):
            rows = Rows.padded(count, *inputs.shape[:2])
            return self.over(inputs.flatten(0, 1), weights.flatten(), rows)
        h = inputs.new_zeros(inputs.shape[0], self.staying.in_features)
        entering = self.entering(inputs.transpose(0, 1))  # all products with inputs at once
        for at, a in zip(entering.unbind(0), weights.t()[:, :, None].unbind(0), strict=True):
            gate_in, c_in = at.split((2 * h.shape[1], h.shape[1]), 1)
            gate_held, c_held = self.staying(h).split((2 * h.shape[1], h.shape[1]), 1)
            u, r = (gate_in + gate_held).sigmoid().chunk(2, 1)
            h = h + a * u * ((c_in + r * c_held).tanh() - h)
        return h

    def over(
        self, inputs: Float[Tensor, "n I"], weights: Float[Tensor, "n"], rows: Rows
    ) -> Float[Tensor, "B H"]:
        """The same of inputs that lie as `rows` says; where `loops_apply`."""
        entering = self.entering.weight, self.entering.bias
        staying = self.staying.weight, inputs.new_zeros(self.staying.out_features)
        return recur(inputs, weights, entering, staying, rows, torch_order=False)[1]


class NextBehaviour(nn.Module):
    """The auxiliary loss: a state tells the behaviour that came next from one that did not.

        L = mean over t < T of  −log σ(n(h_t, e_{t+1})) − log(1 − σ(n(h_t, ê_{t+1})))

    with n an MLP of sigmoids (100-50, model.py of DIEN's public code) and ê a sampled negative
    (Interest Extractor Layer).

    DEVIATION(DIEN, model.py): the mean is over pairs of behaviours, there over all places, padding
    included. The CTR loss beside it is a mean over two classes there, half of ours: padding apart,
    its weight of 1 would be 2 here. Its batch normalisation, which no training flag reaches, is a
    scale and a shift before a linear layer, and left to that layer.
    """

    def __init__(self, state_dim: int, dim: int, hidden: tuple[int, int] = (100, 50)) -> None:
        super().__init__()
        self.state = nn.Linear(state_dim, hidden[0])
        self.behaviour = nn.Linear(dim, hidden[0], bias=False)
        self.rest = nn.Sequential(
            nn.Sigmoid(), nn.Linear(*hidden), nn.Sigmoid(), nn.Linear(hidden[1], 1)
        )
        for linear in (self.state, self.behaviour):  # as one layer over h ⊕ e
            bound = (state_dim + dim) ** -0.5
            nn.init.uniform_(linear.weight, -bound, bound)

    def forward(
        self,
        states: Float[Tensor, "B T H"],
        behaviours: Float[Tensor, "B T D"],
        negatives: Float[Tensor, "B T D"],
        mask: Bool[Tensor, "B T"],
    ) -> Float[Tensor, ""]:
        """The loss; 0 if no user of the batch has two behaviours."""
        state, followed = self.state(states[:, :-1]), mask[:, 1:]
        right, wrong = (
            self.rest(state + self.behaviour(e[:, 1:])).squeeze(2).float()
            for e in (behaviours, negatives)
        )
        loss = functional.softplus(-right) + functional.softplus(wrong)
        return (loss * followed).sum() / followed.sum().clamp(min=1)
