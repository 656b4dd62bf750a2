"""The knowledge base of ROK (§4.2, Fig. 3): z = g(f(x)) reconstructs what a teacher retrieves.

Symbols: B batch; F fields; V ids; R width of r and z; f the retrieval-oriented embedding layer;
g the knowledge encoder; h the projector.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rokkit.config import require
from rokkit.data.schema import Schema
from rokkit.knowledge.encoder import TransformerEncoder
from rokkit.layers import MLP, BatchNorm, FieldEmbedding, HiddenLayers

Encoder = Literal["mlp", "transformer"]
# What only one encoder reads.
OWN_SETTINGS: dict[Encoder, frozenset[str]] = {
    "mlp": frozenset({"hidden", "batch_norm"}),
    "transformer": frozenset({"layers", "heads", "width"}),
}


@dataclass(frozen=True, kw_only=True)
class KnowledgeBaseConfig:
    """Settings of f and g. Raises ConfigError for a value outside its range."""

    dim: int = 8  # width of f: d/2 for a backbone of d = 16 (footnote 3)
    encoder: Encoder = "mlp"  # what g is; the paper takes an MLP and allows a Transformer (§4.2)
    hidden: tuple[int, ...] = (256, 256)  # mlp: widths of g's hidden layers
    batch_norm: bool = True  # mlp: BatchNorm in g's hidden layers, never at its output
    layers: int = 2  # transformer: blocks
    heads: int = 4  # transformer: heads of its attention
    width: int = 32  # transformer: of a token; a multiple of heads
    dropout: float = 0.0  # share dropped after each hidden layer of g, or of what a block adds
    standardise: bool = (
        True  # z imitates r per dimension at mean 0, spread 1 over train; False: raw
    )
    # σ of f's initial N(0, σ²): small, so that ids which training never meets act as nearly zero.
    init_std: float = 0.01

    def __post_init__(self) -> None:
        known = get_args(Encoder)
        require(self.dim >= 1, "dim", self.dim, "at least 1")
        require(self.encoder in known, "encoder", self.encoder, f"one of {', '.join(known)}")
        for name in ("layers", "heads", "width"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        fits = self.width % self.heads == 0
        require(fits, "width", self.width, f"a multiple of heads, which is {self.heads}")
        require(bool(self.hidden), "hidden", self.hidden, "at least one width")
        require(all(w >= 1 for w in self.hidden), "hidden", self.hidden, "widths of at least 1")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "a share from 0 to below 1")
        require(self.init_std > 0, "init_std", self.init_std, "above 0")

    @property
    def unused(self) -> frozenset[str]:
        """Settings that belong to another encoder than the one chosen."""
        every = frozenset().union(*OWN_SETTINGS.values())
        return every - OWN_SETTINGS[self.encoder]


class KnowledgeBase(nn.Module):
    """f and g. z lies in the teacher's space, or with `standardise` in its standardised one.

    DEVIATION(§4.3.1): by default z imitates the standardised r, so that alpha weighs like with
    like (Eq. 8) and no block of r is lost for being small; `to_teacher_space` undoes it.
    """

    r_mean: Tensor
    r_std: Tensor

    def __init__(
        self, schema: Schema, config: KnowledgeBaseConfig, representation_dim: int
    ) -> None:
        """`representation_dim` is R, the teacher's."""
        super().__init__()
        require(representation_dim >= 1, "representation_dim", representation_dim, "at least 1")
        self.schema = schema
        self.config = config
        self.f = FieldEmbedding(schema.n_ids, config.dim, config.init_std)
        self.g = make_encoder(schema.n_fields, config, representation_dim)
        self.register_buffer("r_mean", torch.zeros(representation_dim))
        self.register_buffer("r_std", torch.ones(representation_dim))

    @property
    def representation_dim(self) -> int:
        """R."""
        return len(self.r_mean)

    def forward(self, x: Int[Tensor, "B F"]) -> Float[Tensor, "B R"]:
        """z = g(f(x))."""
        z: Tensor = self.g(self.embed(x).flatten(1))
        return z

    def embed(self, x: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape d"]:
        """f(x)."""
        embedded: Tensor = self.f(x)
        return embedded

    def standardised(self, r: Float[Tensor, "B R"]) -> Float[Tensor, "B R"]:
        """r in the space of z: unchanged unless construction set the statistics of r."""
        return (r - self.r_mean) / self.r_std

    def to_teacher_space(self, z: Float[Tensor, "B R"]) -> Float[Tensor, "B R"]:
        """z in the space of r; the inverse of `standardised`."""
        return z * self.r_std + self.r_mean


def make_encoder(fields: int, config: KnowledgeBaseConfig, out_dim: int) -> nn.Module:
    """g: [B, F·d] -> [B, R] for F `fields` and R `out_dim`."""
    if config.encoder == "mlp":
        in_dim = fields * config.dim
        return MLP(in_dim, config.hidden, out_dim, config.dropout, config.batch_norm)
    return TransformerEncoder(
        fields,
        config.dim,
        out_dim,
        layers=config.layers,
        heads=config.heads,
        width=config.width,
        dropout=config.dropout,
    )


class Projector(nn.Module):
    """h (Eq. 4-5): SimSiam's predictor, a bottleneck of a quarter of R. Only construction uses it.

    Linear without bias, BatchNorm, ReLU, Linear (simsiam/builder.py of SimSiam's public code).
    """

    def __init__(self, representation_dim: int) -> None:
        """`representation_dim` is R."""
        super().__init__()
        width = max(1, representation_dim // 4)
        self.layers = HiddenLayers(
            nn.Linear(representation_dim, width, bias=False),
            BatchNorm(width),
            nn.ReLU(),
            nn.Linear(width, representation_dim),
        )

    def forward(self, z: Float[Tensor, "B R"]) -> Float[Tensor, "B R"]:
        """p = h(z)."""
        p: Tensor = self.layers(z)
        return p


def split_embedding_dim(dim: int) -> tuple[int, int]:
    """(own, f): how a backbone's embedding of width d is shared with f (footnote 3: d/2 each).

    An odd d gives the backbone's own table the larger part. ConfigError if d is below 2.
    """
    require(dim >= 2, "embed_dim", dim, "at least 2, to be shared with the knowledge base")
    return dim - dim // 2, dim // 2
