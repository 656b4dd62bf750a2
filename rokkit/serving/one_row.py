"""Answers for one sample at a time, where the calls of operations take longer than their numbers.

Symbols: B batch; P, Q widths.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from rokkit.data.batch import Batch
from rokkit.knowledge import KnowledgeModel
from rokkit.layers import FieldEmbedding
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
        from rokkit.serving.chain_kernel import answer  # what is compiled is long to import

        y = x.new_empty(1, int(self._widths[-1]))
        answer(x.contiguous().numpy()[0], self._packed, self._widths, y.numpy()[0])
        return y


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
        z = batch.extra if self._z_stays else None
        if self.g is None or z is not None:
            logits: Tensor = self.backbone(batch, self.embedding, z)
            return logits
        found = self.embedding(batch.x)
        z = self.g(found[..., self.own_dim :].flatten(1))
        known = _Remembered(self.embedding, batch.x, found)
        logits = self.backbone(batch, known, z)
        return logits


class _Remembered:
    """An embedding that has looked some ids up already."""

    def __init__(self, table: FieldEmbedding, ids: Tensor, found: Tensor) -> None:
        self.dim, self.of_history = table.dim, table.of_history
        self._table, self._ids, self._found = table, ids, found

    def __call__(self, ids: Tensor) -> Tensor:
        found: Tensor = self._found if ids is self._ids else self._table(ids)
        return found
