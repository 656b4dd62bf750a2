"""Answers for one sample at a time, where the calls of operations take longer than their numbers.

Symbols: B batch; F fields; V ids; d width of f; R of z; P, Q widths.
"""

from functools import cache
from types import ModuleType

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from rokkit.data.batch import Batch
from rokkit.knowledge import KnowledgeModel
from rokkit.layers import FieldEmbedding, IdEmbedding
from rokkit.layers.loops import loops_apply
from rokkit.models.ctr import check_batch


class QuickLayers(nn.Module):
    """Linear layers with ReLU between them; a single row goes through all in one compiled loop.

    To be made of trained weights: the loop has a copy of its own.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers
        linears = [one for one in layers if isinstance(one, nn.Linear)]
        parts = [(one.weight.detach().t().flatten(), one.bias.detach()) for one in linears]
        self._packed = torch.cat([part for pair in parts for part in pair]).numpy()
        widths = [linears[0].in_features, *(one.out_features for one in linears)]
        self._widths = np.array(widths, np.int64)

    def forward(self, x: Float[Tensor, "B P"]) -> Float[Tensor, "B Q"]:
        """What the layers make of x."""
        if x.shape[0] != 1 or not loops_apply(x):
            y: Tensor = self.layers(x)
            return y
        return torch.from_numpy(_loops().answer(x.contiguous().numpy(), self._packed, self._widths))

    def of_ids(
        self, table: NDArray[np.float32], ids: Int[Tensor, "1 F"], first: int
    ) -> Float[Tensor, "1 Q"]:
        """What they make of the rows `ids` of a table [V, first + d], from column `first` on.

        P = F·d. IndexError for an id that is no row.
        """
        found = _loops().answer_ids(table, ids.numpy(), first, self._packed, self._widths)
        if not len(found):
            raise IndexError(f"ids {ids.tolist()} are no rows of a table of {len(table)} ids.")
        return torch.from_numpy(found)


@cache
def _loops() -> ModuleType:
    """What is compiled is long to import; to ask for it at each call takes as long as a loop."""
    import rokkit.serving.chain_kernel

    return rokkit.serving.chain_kernel


class _Remembered:
    """An embedding that has looked some ids up already."""

    def __init__(self, table: FieldEmbedding, ids: Tensor, found: Tensor) -> None:
        self.dim, self.of_history = table.dim, table.of_history
        self._table, self._ids, self._found = table, ids, found

    def __call__(self, ids: Tensor) -> Tensor:
        found: Tensor = self._found if ids is self._ids else self._table(ids)
        return found


class JoinedTables(nn.Module):
    """A KnowledgeModel whose own table and f lie side by side, so that each id is looked up once.

    It answers as the model does, and holds no other copy of either.
    """

    def __init__(self, model: KnowledgeModel) -> None:
        super().__init__()
        own, f = model.own.weight.detach(), model.base.f.weight.detach()
        self.embedding = FieldEmbedding(len(own), own.shape[1] + f.shape[1], std=0.0)
        with torch.no_grad():
            torch.cat([own, f], 1, out=self.embedding.weight)
        self.own_dim = own.shape[1]
        self._table = self.embedding.weight.detach().numpy()  # the same memory
        self.backbone = model.backbone
        self.g = model.base.g if model.use.uses_z else None
        self._z_stays = model.z_stays

    @property
    def needs(self) -> frozenset[str]:
        """The parts of a Batch that the model reads besides x."""
        return self.backbone.needs

    def forward(self, batch: Batch) -> Float[Tensor, "B"]:
        """Logits. ConfigError if the batch lacks what the model needs."""
        check_batch(batch, self.needs)
        known: IdEmbedding | _Remembered = self.embedding
        z = batch.extra if self._z_stays else None
        if self.g is not None and z is None:
            z, known = self._z(self.g, batch.x)
        logits: Tensor = self.backbone(batch, known, z)
        return logits

    def _z(
        self, g: nn.Module, x: Int[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "B R"], IdEmbedding | _Remembered]:
        """z = g(f(x)), and what to look up ids with from there on."""
        if len(x) == 1 and isinstance(g, QuickLayers) and loops_apply(self.embedding.weight):
            return g.of_ids(self._table, x, self.own_dim), self.embedding
        found = self.embedding(x)
        z: Tensor = g(found[..., self.own_dim :].flatten(1))
        return z, _Remembered(self.embedding, x, found)
