"""Embeddings of ids.

Symbols: V ids, id 0 the padding; d width of an embedding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from rokkit.config import require
from rokkit.layers.loops import loops_apply


@runtime_checkable
class IdEmbedding(Protocol):
    """What a backbone is handed to look ids up with. Id 0 becomes zeros."""

    @property
    def dim(self) -> int:
        """d."""
        ...

    def __call__(self, ids: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape d"]:
        """The embeddings of `ids`."""
        ...

    def of_history(self, ids: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape d"]:
        """The embeddings of ids that come from a history, which may differ from the target's."""
        ...


class FieldEmbedding(nn.Module):
    """One table for the ids of all fields. Row 0 is zero and gets no gradient.

    Optimizers know id tables by this class: they are not regularised (rim.py of RIM's public code).
    """

    def __init__(self, n_ids: int, dim: int, std: float = 0.01) -> None:
        """A table of `n_ids` rows, padding included, drawn from N(0, std²)."""
        super().__init__()
        require(n_ids >= 1, "n_ids", n_ids, "at least 1, the padding row")
        require(dim >= 1, "dim", dim, "at least 1")
        require(std >= 0, "std", std, "at least 0")
        # Set by an optimizer that wants to know which rows were, and are about to be, looked up.
        self.sparse_gradient = False
        self.on_reading: Callable[[Tensor], None] | None = None
        self.weight = nn.Parameter(torch.empty(n_ids, dim))
        nn.init.normal_(self.weight, std=std)
        with torch.no_grad():
            self.weight[0] = 0

    @property
    def dim(self) -> int:
        """d."""
        return self.weight.shape[1]

    def forward(self, ids: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape d"]:
        """Rows of the table."""
        self.announce(ids)
        if torch.is_grad_enabled() and self.weight.requires_grad and loops_apply(self.weight):
            found: Tensor = _LookUp.apply(self.weight, ids, self.sparse_gradient)  # type: ignore[no-untyped-call]
            return found
        return torch.embedding(self.weight, ids, padding_idx=0)

    def announce(self, ids: Int[Tensor, "*shape"]) -> None:
        """Rows are about to be read, by a look-up or otherwise."""
        if self.on_reading is not None:
            self.on_reading(ids)

    def of_history(self, ids: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape d"]:
        """The same rows: a history's ids mean what a target's do."""
        embedded: Tensor = self(ids)
        return embedded


def together(
    embedding: IdEmbedding, x: Int[Tensor, "*shape"], history: Int[Tensor, "*shape_of_history"]
) -> tuple[Float[Tensor, "*shape d"], Float[Tensor, "*shape_of_history d"]]:
    """A target's embeddings and those of a history, by one look-up where both mean the same.

    Sparse gradients of two look-ups would be copied to be put one after the other. Without
    gradients two look-ups are the quicker.
    """
    if not (isinstance(embedding, FieldEmbedding) and torch.is_grad_enabled()):
        return embedding(x), embedding.of_history(history)
    found = embedding(torch.cat([x.flatten(), history.flatten()]))
    own, others = torch.split(found, [x.numel(), history.numel()])
    return own.view(*x.shape, found.shape[1]), others.view(*history.shape, found.shape[1])


class _LookUp(torch.autograd.Function):
    """Rows of a table; their gradient is added up ten times as fast as torch does.

    The order of the additions is torch's, and so are the bits. A sparse gradient lists what was
    looked up as it is, repetitions and padding included.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, sparse: bool) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.shape, ctx.sparse = weight.shape, sparse
        from rokkit.layers.embedding_kernel import take_rows  # what is compiled is long to import

        found = weight.new_empty(*ids.shape, weight.shape[1])
        flat, rows = ids.reshape(-1).numpy(), found.view(-1, weight.shape[1]).numpy()
        wrong = take_rows(weight.detach().numpy(), flat, rows)
        if wrong >= 0:
            raise IndexError(f"id {flat[wrong]} is no row of a table of {len(weight)} ids.")
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (ids,) = ctx.saved_tensors
        flat, values = ids.reshape(-1), gradient.reshape(-1, ctx.shape[1]).contiguous()
        if ctx.sparse:
            return listed(flat, values, ctx.shape), None, None
        from rokkit.layers.embedding_kernel import add_rows

        sums = values.new_zeros(ctx.shape)
        add_rows(flat.numpy(), values.numpy(), sums.numpy())
        return sums, None, None


def listed(ids: Tensor, values: Tensor, shape: torch.Size) -> Tensor:
    """A sparse gradient of a table of `shape`: `values` [n, d] of the rows `ids` [n], as given."""
    return torch.sparse_coo_tensor(ids[None].long(), values, shape, check_invariants=False)


@dataclass(frozen=True)
class JoinedEmbedding:
    """Two tables side by side: `own` ⊕ `other` per id (ROK §4.4, feature-wise).

    Not a module: it owns no weights, so those of `other` appear once in a model's state.
    """

    own: FieldEmbedding
    other: FieldEmbedding
    on_history: bool = True  # False: zeros stand in for `other` in histories, so that d is one

    @property
    def dim(self) -> int:
        """d, the sum of both widths."""
        return self.own.dim + self.other.dim

    def __call__(self, ids: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape d"]:
        """own(ids) ⊕ other(ids)."""
        return torch.cat([self.own(ids), self.other(ids)], dim=-1)

    def of_history(self, ids: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape d"]:
        """The same, or own(ids) ⊕ 0 without `on_history`."""
        if self.on_history:
            return self(ids)
        return functional.pad(self.own(ids), (0, self.other.dim))
