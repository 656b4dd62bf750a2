"""A model whose head is given further numbers of each sample: r itself, or statistics.

Symbols: B batch; E how many numbers.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.layers import FieldEmbedding
from rokkit.models.base import Backbone, Penalised
from rokkit.models.ctr import check_batch
from rokkit.models.registry import build_config, init_std, model_entry

LEAST_STD = 1e-6  # a column that never varies becomes zeros


class AidedModel(nn.Module):
    """A backbone and its id table; `batch.extra`, standardised, joins the head's input.

    It enters where z does when knowledge is used instance-wise (§4.4), so that RIM(LR) and ROK(LR)
    of Table 4 differ in what they are given alone.
    """

    mean: Float[Tensor, "E"]
    std: Float[Tensor, "E"]

    def __init__(
        self, embedding: FieldEmbedding, backbone: Backbone, extra: Float[Tensor, "N E"]
    ) -> None:
        """`extra` are the numbers of the train samples, by which they are standardised."""
        super().__init__()
        self.embedding = embedding
        self.backbone = backbone
        self.register_buffer("mean", extra.mean(0))
        self.register_buffer("std", extra.std(0, correction=0).clamp(min=LEAST_STD))

    @property
    def needs(self) -> frozenset[str]:
        """The parts of a Batch that the model reads besides x."""
        return self.backbone.needs | {"extra"}

    def forward(self, batch: Batch) -> Float[Tensor, "B"]:
        """Logits. ConfigError if the batch lacks what the model needs."""
        check_batch(batch, self.needs)
        logits: Tensor = self.backbone(batch, self.embedding, self._extra(batch))
        return logits

    def penalised(self, batch: Batch) -> Penalised:
        """As `forward`, and what training adds to the logits' cross-entropy."""
        check_batch(batch, self.needs, penalised=True)
        return self.backbone.penalised(batch, self.embedding, self._extra(batch))

    def _extra(self, batch: Batch) -> Float[Tensor, "B E"]:
        assert batch.extra is not None
        return (batch.extra - self.mean) / self.std


def with_extra(name: str, schema: Schema, extra: NDArray[np.float32], **config: Any) -> AidedModel:
    """The model `name` with fresh weights, given numbers like `extra` [N, E] of train samples.

    Raises ConfigError as `create_model` does.
    """
    ready = build_config(name, config)
    embedding = FieldEmbedding(schema.n_ids, ready.embed_dim, init_std(ready))
    backbone = model_entry(name).target(schema, ready, extra.shape[1])
    return AidedModel(embedding, backbone, torch.from_numpy(extra))
