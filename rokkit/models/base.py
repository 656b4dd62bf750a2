"""What a backbone is, and what a teacher has besides.

Symbols: B batch; F fields; d width of an id's embedding; P width of φ, the backbone's own
representation of a sample; E width of what joins the head's input.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from rokkit.config import require
from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.layers import MLP, FieldEmbedding, IdEmbedding

Penalised = tuple[Float[Tensor, "B"], Float[Tensor, ""] | None]


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Settings of every backbone of ours. Raises ConfigError for a value outside its range."""

    embed_dim: int = 16  # d, width of an id's embedding (RIM's public configs)
    init_std: float = 0.01  # σ of the id table's initial N(0, σ²)

    def __post_init__(self) -> None:
        require(self.embed_dim >= 1, "embed_dim", self.embed_dim, "at least 1")
        require(self.init_std > 0, "init_std", self.init_std, "above 0")


@dataclass(frozen=True, kw_only=True)
class HeadConfig(BackboneConfig):
    """Settings of a backbone whose head is an MLP."""

    hidden: tuple[int, ...] = (200, 80)  # widths of the head's hidden layers (RIM line)
    dropout: float = 0.0  # share dropped after each of them
    batch_norm: bool = False  # BatchNorm in each of them

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.hidden), "hidden", self.hidden, "at least one width")
        require(all(w >= 1 for w in self.hidden), "hidden", self.hidden, "widths of at least 1")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "a share from 0 to below 1")

    def head(self, in_dim: int) -> MLP:
        """The head: [B, in_dim] -> [B, 1]."""
        return MLP(in_dim, self.hidden, 1, self.dropout, self.batch_norm)


class Backbone(nn.Module):
    """A CTR model without its id table, which it is handed with each batch.

    A subclass is made with `(schema, config, extra_dim=0)`, gives `represent` and `forward`, and
    looks a history's ids up with `embedding.of_history`. A teacher gives `aggregate`,
    `representation_dim` and `representation_blocks` too.
    """

    needs: frozenset[str] = frozenset()  # optional parts of a Batch that it reads, whatever is set

    def __init__(self, schema: Schema, config: Any, extra_dim: int = 0) -> None:
        """`extra_dim` is E: the width of `extra` in `forward`, 0 for none."""
        super().__init__()
        require(extra_dim >= 0, "extra_dim", extra_dim, "at least 0")
        self.schema = schema
        self.config = config
        self.extra_dim = extra_dim
        self.needs = self.needs_of(config)
        first, last = min(schema.item_columns), max(schema.item_columns)
        beside = last - first + 1 == len(schema.item_columns)
        self._items = slice(first, last + 1) if beside else list(schema.item_columns)

    def item_tuple(self, x: Float[Tensor, "B F d"]) -> Float[Tensor, "B D"]:
        """The embeddings of the target's item tuple side by side, D = C·d."""
        return flat(x[:, self._items])

    @classmethod
    def needs_of(cls, config: Any) -> frozenset[str]:
        """What a model with these settings reads: `needs`, and more where a setting asks for it."""
        return cls.needs

    def read_pool(self, x: NDArray[np.int32]) -> None:
        """Take what is wanted of the pool's rows x [N, F], before training; nothing by default."""

    def adopt(self, embedding: FieldEmbedding, table: Float[Tensor, "V d"]) -> None:
        """Take what is wanted of the table that neighbours were searched by, before training.

        `embedding` is the model's own. Nothing by default.
        """

    def represent(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B P"]:
        """φ(x): what the backbone makes of a sample before its head (§4.4)."""
        raise NotImplementedError(f"{type(self).__name__} has no represent.")

    def forward(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Float[Tensor, "B"]:
        """Logits; `extra` joins the head's input (§4.4, instance-wise)."""
        raise NotImplementedError(f"{type(self).__name__} has no forward.")

    def penalised(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Penalised:
        """The logits, and what training adds to their cross-entropy: None, or one number.

        For models with a loss of their own, such as DIEN's auxiliary one or HPMN's regulariser.
        """
        return self(batch, embedding, extra), None


@runtime_checkable
class Teacher(Protocol):
    """What a backbone has besides if it can teach: r, and how r is laid out."""

    @property
    def representation_dim(self) -> int:
        """R."""
        ...

    @property
    def representation_blocks(self) -> Mapping[str, slice]:
        """Where in r each of its blocks lies, by name."""
        ...

    def aggregate(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B R"]:
        """r: what the teacher makes of the neighbours."""
        ...


def flat(embedded: Float[Tensor, "B M d"]) -> Float[Tensor, "B P"]:
    """The embeddings of a row side by side."""
    return embedded.flatten(1)


def join(*parts: Float[Tensor, "B _"] | None) -> Float[Tensor, "B P"]:
    """a ⊕ b ⊕ …, leaving out what is None."""
    held = [part for part in parts if part is not None]
    return held[0] if len(held) == 1 else torch.cat(held, dim=1)
