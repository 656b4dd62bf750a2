"""MIMN's memory: a Neural Turing Machine that reads a user's behaviours (Pi et al., KDD'19, §4).

Symbols: B batch; T behaviours; S slots; D width of a behaviour, of a slot and of what is read; H of
the controller's state; G = 3H gates.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from rokkit.layers.addressing import address, read, spread, unit, write

SHARPNESS = 2.0  # least β (sharp_value of mimn.py)
CLIP = 20.0  # of what the controller tells the heads, either way (clip_value of mimn.py)
USAGE_SCALE = 400.0  # writes to a slot that the controller sees as 1 (max_q of mimn.py)


class MemoryState(NamedTuple):
    """What a user's behaviours have left behind."""

    controller: Tensor  # [B, H]: h
    read: Tensor  # [B, D]: v, what was read last
    memory: Tensor  # [B, S, D]: M
    added: Tensor  # [B, D]: Σ_t a_t
    usage: Tensor  # [B, S]: Σ_t w_t of the write head
    channels: Tensor  # [B, S, D]: states of the memory induction unit; zeros without it


class SplitGRUCell(nn.Module):
    """A GRU step on x ⊕ v, where `input(x)` is handed in: for all steps it is one product.

    r, u = sigmoid(…)    c = tanh(W x + V v + b + r ∘ (U h + b'))    h' = u ∘ h + (1 − u) ∘ c,
    the gates of torch.nn.GRUCell.
    """

    def __init__(self, in_dim: int, carried_dim: int, state_size: int) -> None:
        super().__init__()
        self.input = nn.Linear(in_dim, 3 * state_size)
        self.carried = nn.Linear(carried_dim, 3 * state_size, bias=False)
        self.hidden = nn.Linear(state_size, 3 * state_size)

    def forward(
        self,
        product: Float[Tensor, "B G"],
        carried: Float[Tensor, "B D"],
        state: Float[Tensor, "B H"],
    ) -> Float[Tensor, "B H"]:
        """h' for `product` = input(x), v = `carried` and h = `state`."""
        size = state.shape[1]
        gates_x, candidate_x = (product + self.carried(carried)).split((2 * size, size), 1)
        gates_h, candidate_h = self.hidden(state).split((2 * size, size), 1)
        reset, update = (gates_x + gates_h).sigmoid().chunk(2, 1)
        candidate = (candidate_x + reset * candidate_h).tanh()
        updated: Tensor = candidate + update * (state - candidate)
        return updated


class Induction(nn.Module):
    """Memory induction unit: a GRU state per slot, over x ⊕ M_s, updated where s is read most."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.cell = SplitGRUCell(dim, dim, dim)

    def forward(
        self,
        product: Float[Tensor, "B G"],
        reading: Float[Tensor, "B S"],
        keep: Bool[Tensor, "B 1"],
        state: MemoryState,
    ) -> Float[Tensor, "B S D"]:
        """The slots' next states; those of a row outside `keep` stay. M gets no gradient here."""
        slot = torch.arange(reading.shape[1], device=reading.device)
        chosen = (slot == reading.argmax(1, keepdim=True))[:, :, None]  # [B, S, 1]
        content = (state.memory.detach() * chosen).sum(1)
        updated = self.cell(product, content, (state.channels * chosen).sum(1))
        return torch.where(chosen & keep[:, :, None], updated[:, None], state.channels)


class UserMemory(nn.Module):
    """The memory, its controller and its heads (MIMNCell of mimn.py).

    For each behaviour x_t, with K = tanh of a trained matrix, the keys of the slots:
        h_t = GRU(x_t ⊕ v_{t-1}, h_{t-1})      k, β, e, a from W h_t + b
        w = softmax_s β · ½(cos(k, K_s) + cos(k, M_s))      for the read and for the write head
        v_t = Σ_s w^r_s M_s      M ← M ∘ (1 − w^w eᵀ) + w^w aᵀ
    With `utilisation` the controller also sees how much each slot was written to, and may spread
    a write to the slots beside. `induction` adds the memory induction unit. Padding changes no
    part of the state.
    """

    start: Tensor

    def __init__(
        self,
        dim: int,
        state_size: int,
        slots: int,
        utilisation: bool = False,
        induction: bool = False,
    ) -> None:
        """D = `dim`, H = `state_size`, S = `slots`."""
        super().__init__()
        self.controller = SplitGRUCell(dim, dim, state_size)
        told = state_size + slots if utilisation else state_size
        self.parts = (2 * dim, 2, dim, dim)  # k and β of both heads, e, a
        self.orders = nn.Linear(told, sum(self.parts))
        self.spreading = nn.Linear(told, 3 + 1) if utilisation else None  # shift, focus
        self.induction = Induction(dim) if induction else None
        self.output = nn.Linear(state_size + dim, state_size)
        self.keys = nn.Parameter(torch.randn(slots, dim) * 0.5)
        self.first_read = nn.Parameter(torch.zeros(dim))
        # Random, so that slots differ, and tiny; not trained (init_M of mimn.py).
        self.register_buffer("start", torch.randn(slots, dim) * 1e-5)

    def forward(self, behaviours: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> MemoryState:
        """The state after the behaviours, oldest first; `mask` holds for those, not for padding.

        For a user without behaviours it is the state that all begin with.
        """
        state, keys = self._begin(behaviours), unit(self.keys.tanh())
        products = self.controller.input(behaviours).unbind(1)
        inducing = self.induction.cell.input(behaviours).unbind(1) if self.induction else ()
        for t, keep in enumerate(mask[:, :, None].unbind(1)):
            h, told, reading, writing, erase, add = self._act(products[t], keys, state)
            used, channels = writing.detach(), state.channels
            if self.spreading is not None:
                shift, focus = self._shift_and_focus(told)
                used = spread(used, shift, focus)  # what balances usage moves no address
                writing = spread(writing, shift, focus)
            if self.induction is not None:
                channels = self.induction(inducing[t], reading, keep, state)
            state = MemoryState(
                controller=torch.where(keep, h, state.controller),
                read=torch.where(keep, read(reading, state.memory), state.read),
                memory=write(writing * keep, erase, add, state.memory),
                added=state.added + add * keep,
                usage=state.usage + used * keep,
                channels=channels,
            )
        return state

    def recall(self, x: Float[Tensor, "B D"], state: MemoryState) -> Float[Tensor, "B H"]:
        """W (h ⊕ v) + b after one more step, on an x that is not written: what is held for it."""
        keys, product = unit(self.keys.tanh()), self.controller.input(x)
        acted = self._act(product, keys, state)
        found: Tensor = self.output(
            torch.cat([acted.controller, read(acted.reading, state.memory)], 1)
        )
        return found

    def _act(
        self, product: Float[Tensor, "B G"], keys: Float[Tensor, "S D"], state: MemoryState
    ) -> "_Act":
        h = self.controller(product, state.read, state.controller)
        told = h
        if self.spreading is not None:
            told = torch.cat([h, state.usage.detach() / USAGE_SCALE], 1)
        k, beta, erase, add = self.orders(told).clamp(-CLIP, CLIP).split(self.parts, 1)
        sharpness = SHARPNESS * (functional.softplus(beta) + 1)
        reading, writing = address(
            k.tanh().unflatten(1, (2, -1)), sharpness, state.memory, keys
        ).unbind(1)
        return _Act(h, told, reading, writing, erase.sigmoid(), add.tanh())

    def _shift_and_focus(
        self, told: Float[Tensor, "B W"]
    ) -> tuple[Float[Tensor, "B 3"], Float[Tensor, "B"]]:
        assert self.spreading is not None
        shift, focus = self.spreading(told).clamp(-CLIP, CLIP).split((3, 1), 1)
        return shift.softmax(1), 2 * SHARPNESS * (functional.softplus(focus.squeeze(1)) + 1)

    def _begin(self, behaviours: Float[Tensor, "B T D"]) -> MemoryState:
        rows, (slots, dim) = behaviours.shape[0], self.start.shape
        zeros = self.start.new_zeros
        return MemoryState(
            controller=zeros(rows, self.controller.hidden.in_features),
            read=self.first_read.tanh().expand(rows, dim),
            memory=self.start.tanh().expand(rows, slots, dim),
            added=zeros(rows, dim),
            usage=zeros(rows, slots),
            channels=zeros(rows, slots, dim),
        )


class _Act(NamedTuple):
    """What the controller makes of a behaviour."""

    controller: Tensor  # [B, H]: h
    told: Tensor  # [B, H], or [B, H + S] with usage: what the heads see
    reading: Tensor  # [B, S]: weights of the read head
    writing: Tensor  # [B, S]: weights of the write head
    erase: Tensor  # [B, D]: e
    add: Tensor  # [B, D]: a
