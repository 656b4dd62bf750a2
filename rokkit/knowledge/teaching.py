"""What a teacher says of every sample of a feed: r, and how it weighs the neighbours.

Symbols: N samples of a feed; B of a batch; K neighbours; R width of r.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from rokkit.data.batch import Batch
from rokkit.errors import ConfigError
from rokkit.knowledge.base import KnowledgeBase
from rokkit.layers import IdEmbedding
from rokkit.models.ctr import CTRModel, check_batch
from rokkit.training.ctr import EVALUATION_ROWS, over
from rokkit.training.feed import Feed


@runtime_checkable
class Attentive(Protocol):
    """A teacher that weighs each neighbour by one number."""

    def attention_weights(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B K"]:
        """The weight of each neighbour in r; 0 where there is none."""
        ...


def teacher_representations(
    model: CTRModel, feed: Feed, batch_size: int = EVALUATION_ROWS
) -> NDArray[np.float32]:
    """r [N, R] of every sample of `feed`, in its order; the teacher in eval mode, float32.

    A sample without neighbours is aggregated over none: its r is what the teacher makes of that.
    """
    return over(model, feed, batch_size, model.aggregate)


def knowledge_of(
    base: KnowledgeBase, feed: Feed, batch_size: int = EVALUATION_ROWS
) -> NDArray[np.float32]:
    """z [N, R] of every sample of `feed`, in its order; the base in eval mode, float32."""
    return over(base, feed, batch_size, lambda batch: base(batch.x))


def teacher_attention(
    model: CTRModel, feed: Feed, batch_size: int = EVALUATION_ROWS
) -> NDArray[np.float32]:
    """[N, K]: the weight of each neighbour of every sample of `feed`; as above otherwise.

    Raises ConfigError for a teacher that has no such weights.
    """
    backbone = model.backbone
    if not isinstance(backbone, Attentive):
        raise ConfigError(
            f"positive is 'attn' and the teacher, {type(backbone).__name__}, has no weights of "
            "its neighbours (attention_weights); take another positive or a teacher such as rim."
        )

    def weights(batch: Batch) -> Float[Tensor, "B K"]:
        check_batch(batch, model.needs)
        return backbone.attention_weights(batch, model.embedding)

    return over(model, feed, batch_size, weights)
