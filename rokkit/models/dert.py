"""DERT: Dense Representation Retrieval (Zheng et al., KDD'23), as far as it is public.

Paper: "Dense Representation Learning and Retrieval for Tabular Data Prediction" (section not
checked: the paper was not at hand; what is known is its abstract).
    encoder   v(x) = E[x_1] ⊕ … ⊕ E[x_M], with E the id table of a trained RIM
    search    the K pool rows s of highest cos(v(x), v(s)) (rokkit/retrieval/dense.py)
    head      ŷ = RIM(x, those rows), with E as it is: attention, labels and MLP are trained anew
E is [V, d], v [B, M·d]; what the search finds is [B, K, F].

and r is RIM's. Where neighbours come from is settled before a model sees them, so this is RIM but
for its table: `adopt` puts E in its place. After the public prototype DenseRetrival (get_emb.py,
search_faiss.py, newrim.py), whose embeddings are looked up beforehand and never trained. Where
f joins its embeddings its own table has another width (ROK §4.4) and is trained from the start.
DEVIATION(DERT): the paper's own encoder, which has auxiliary losses, has no public code, and here
none is trained for the search, contrastively or otherwise: E is what RIM's training made it, as in
the prototype.

Symbols: B batch; V ids; M searched fields; K neighbours; d embedding; the rest as in RIM.
Cost: RIM's; what the search costs is the engine's.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rokkit.errors import ConfigError
from rokkit.layers import FieldEmbedding
from rokkit.models.registry import register_teacher
from rokkit.models.rim import RIM, RIMConfig


@dataclass(frozen=True, kw_only=True)
class DERTConfig(RIMConfig):
    """Settings of DERT. Raises ConfigError for a value outside its range."""

    tune_table: bool = False  # train the adopted table on; the prototype leaves it as it is


@register_teacher("dert", config=DERTConfig, family="retrieval", paper="KDD'23")
class DERT(RIM):
    """RIM's head over densely retrieved samples and an encoder's table.

    As many parameters as RIM; those of an adopted table are not trained unless `tune_table`.
    """

    dense = True  # the neighbours it is made for are those of a dense engine

    def adopt(self, embedding: FieldEmbedding, table: Float[Tensor, "V d"]) -> None:
        """Make the encoder's `table` that of the model, of which `embedding` is the other part.

        Raises ConfigError for a table of other ids or of another width.
        """
        if embedding.weight.shape != table.shape:
            raise ConfigError(
                f"the encoder's table is {tuple(table.shape)} and DERT's "
                f"{tuple(embedding.weight.shape)}, ids x embed_dim; take an encoder of the same "
                "data set and embed_dim."
            )
        with torch.no_grad():
            embedding.weight.copy_(table)
        embedding.requires_grad_(bool(self.config.tune_table))
